//! Outputs of a pipeline: `dvc.lock` names their content by its hash, as `.dvc` files do for data.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::fetch::dvc::{fault, read_text, yaml};
use crate::fetch::error::Error;

const LOCK: &str = "dvc.lock";
/// What says in which folder a stage runs, where that is not the file's own.
const PIPELINE: &str = "dvc.yaml";
/// As many outputs are told of when the one that is named is not among them.
const TOLD: usize = 10;

/// The output `named`, by the `dvc.lock` of a folder above it within its repository: that file, and the
/// entry. `None` where there is no such file.
pub(super) fn find(
    location: &str,
    named: &str,
    root: Option<&Path>,
) -> Result<Option<(PathBuf, Value)>, Error> {
    let wanted = plain(Path::new(named));
    let (mut locks, mut others) = (Vec::new(), Vec::new());
    for folder in Path::new(named).ancestors().skip(1) {
        let lock = folder.join(LOCK);
        let text = match read_text(&lock, root) {
            Ok(text) => Some(text),
            Err(Error::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(text) = text {
            for (at, out) in outputs(location, folder, &text, root)? {
                if at == wanted {
                    return Ok(Some((lock, out)));
                }
                others.push(at.display().to_string());
            }
            locks.push(lock.display().to_string());
        }
        if folder.join(".dvc").is_dir() {
            break;
        }
    }
    if locks.is_empty() {
        return Ok(None);
    }
    others.truncate(TOLD);
    Err(fault(
        location,
        format!(
            "there is no {named}.dvc, and {} has no output {named}; it has: {}",
            locks.join(" and "),
            others.join(", ")
        ),
    ))
}

/// Every output of a `dvc.lock` with its place.
fn outputs(
    location: &str,
    folder: &Path,
    text: &str,
    root: Option<&Path>,
) -> Result<Vec<(PathBuf, Value)>, Error> {
    let lock = parsed(location, &folder.join(LOCK), text)?;
    let pipeline = match read_text(&folder.join(PIPELINE), root) {
        // It may hold templates and anchors, and matters only for this.
        Ok(text) if text.contains("wdir") => parsed(location, &folder.join(PIPELINE), &text)?,
        Ok(_) | Err(Error::Missing { .. }) => Value::Null,
        Err(error) => return Err(error),
    };
    let stages = lock.get("stages").and_then(Value::as_object);
    let mut found = Vec::new();
    for (name, stage) in stages.into_iter().flatten() {
        // A stage that was written for several items goes by `name@item`.
        let (written, item) = name.split_once('@').unwrap_or((name, ""));
        let written = &pipeline["stages"][written];
        let runs_in = written["wdir"].as_str().or_else(|| written["do"]["wdir"].as_str());
        let runs_in = runs_in.unwrap_or_default().replace("${item}", item).replace("${key}", item);
        // Another template stays as it is, so that it is seen where outputs are told of.
        let outs = stage["outs"].as_array().map(Vec::as_slice).unwrap_or_default();
        for out in outs {
            if let Some(path) = out["path"].as_str() {
                found.push((plain(&folder.join(&runs_in).join(path)), out.clone()));
            }
        }
    }
    Ok(found)
}

fn parsed(location: &str, path: &Path, text: &str) -> Result<Value, Error> {
    let path = path.display();
    yaml(text).map_err(|why| fault(location, format!("{path} can't be understood: {why}")))
}

/// The path without `.`, and without `..` behind a name.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_as_what_they_lead_to() {
        for (path, wanted) in
            [("./a/./b", "a/b"), ("a/../b", "b"), ("../a", "../a"), ("/x/y/../../z", "/z")]
        {
            assert_eq!(plain(Path::new(path)), Path::new(wanted), "{path}");
        }
    }
}
