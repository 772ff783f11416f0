//! What each feature matters beside the others: a map in the configuration, or a small file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde::{Deserialize, Serialize};

use crate::config::document;

/// Weights by feature; 1 for those that are not named, 0 takes one out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(from = "Written", into = "Written")]
pub struct Importance {
    /// Where the weights were written, beside the configuration file.
    pub file: Option<String>,
    /// Empty for a file that has not been read yet.
    pub weights: BTreeMap<String, f64>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Written {
    File { file: String },
    Weights(BTreeMap<String, f64>),
}

impl From<Written> for Importance {
    fn from(written: Written) -> Self {
        match written {
            // A lone feature may have the name `file`.
            Written::File { file } => match file.trim().parse() {
                Ok(weight) => {
                    Self { file: None, weights: BTreeMap::from([("file".to_owned(), weight)]) }
                }
                Err(_) => Self { file: Some(file), weights: BTreeMap::new() },
            },
            Written::Weights(weights) => Self { file: None, weights },
        }
    }
}

impl From<Importance> for Written {
    fn from(importance: Importance) -> Self {
        match importance.file {
            Some(file) => Written::File { file },
            None => Written::Weights(importance.weights),
        }
    }
}

impl JsonSchema for Importance {
    fn schema_name() -> Cow<'static, str> {
        "Importance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Weights by feature, or `file`: a .json, .yaml or .csv file of them, from \
                            the configuration's own folder.",
            "anyOf": [
                {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
                {
                    "type": "object",
                    "properties": {"file": {
                        "type": "string",
                        "description": "A .json, .yaml or .csv file of names and weights.",
                    }},
                    "required": ["file"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl Importance {
    /// Reads the file, if the weights are in one; `folder` is the configuration's own.
    ///
    /// # Errors
    /// A file that can't be read, or that is no list of names and numbers: a sentence without its name.
    pub(super) fn read(&mut self, folder: &Path) -> Result<(), String> {
        let Some(file) = &self.file else { return Ok(()) };
        let path = folder.join(file);
        let size = fs::metadata(&path).map_err(|error| error.to_string())?.len();
        if usize::try_from(size).is_ok_and(|size| size > document::MAX_BYTES) {
            return Err(format!("{size} bytes are too many for a weight a feature"));
        }
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        let weights = match extension.to_ascii_lowercase().as_str() {
            "json" => from_json(&text)?,
            "yaml" | "yml" => from_yaml(&text)?,
            "csv" => from_csv(&text)?,
            _ => return Err("its name must end in .json, .yaml or .csv".to_owned()),
        };
        let bad = weights.iter().find(|(_, weight)| !weight.is_finite() || **weight < 0.0);
        if let Some((name, weight)) = bad {
            return Err(format!("the weight of `{name}` is {weight}; it must be 0 or more"));
        }
        self.weights = weights;
        Ok(())
    }
}

fn from_json(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let wanted = "an object of a number a feature is wanted, such as {\"amount\": 0.31}";
    serde_json::from_str(text).map_err(|error| format!("{error}; {wanted}"))
}

fn from_yaml(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let root = document::parse(text).map_err(|faults| {
        faults.first().map_or_else(String::new, |f| format!("line {}: {}", f.mark.line, f.message))
    })?;
    let weight = |entry: &document::Entry| {
        let number = entry.node.scalar().and_then(|scalar| scalar.text.trim().parse().ok());
        let number = number.ok_or_else(|| {
            format!("line {}: `{}` has no number behind it", entry.mark.line, entry.key)
        })?;
        Ok((entry.key.clone(), number))
    };
    root.entries().iter().map(weight).collect()
}

/// `name,weight` a line; a first line without a number is a heading.
fn from_csv(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let mut weights = BTreeMap::new();
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    for (at, (line, number)) in lines.enumerate() {
        let pair = line.rsplit_once(',').map(|(name, weight)| (unquoted(name), weight.trim()));
        match pair.map(|(name, weight)| (name, weight.trim_matches('"').parse::<f64>())) {
            Some((name, Ok(weight))) => {
                if weights.insert(name.clone(), weight).is_some() {
                    return Err(format!("line {number}: `{name}` is there twice"));
                }
            }
            Some((_, Err(_))) if at == 0 => {}
            _ => return Err(format!("line {number}: `name,weight` is wanted")),
        }
    }
    Ok(weights)
}

fn unquoted(name: &str) -> String {
    let name = name.trim();
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<BTreeMap<String, f64>, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let mut importance = Importance { file: Some(name.to_owned()), ..Importance::default() };
        importance.read(folder.path()).map(|()| importance.weights)
    }

    #[test]
    fn the_same_weights_in_every_format() {
        let expected = BTreeMap::from([("amount".to_owned(), 0.31), ("a, b".to_owned(), 2.0)]);
        let files = [
            ("w.json", "{\"amount\": 0.31, \"a, b\": 2}"),
            ("w.yaml", "amount: 0.31\n'a, b': 2\n"),
            ("w.csv", "feature,mean_abs_shap\namount,0.31\n\"a, b\",2\n"),
            ("w.CSV", "amount,0.31\r\n\"a, b\",2"),
        ];
        for (name, text) in files {
            assert_eq!(read(name, text), Ok(expected.clone()), "{name}");
        }
    }

    #[test]
    fn what_is_no_list_of_weights_says_why() {
        let refused = [
            ("w.json", "[1, 2]", "an object of a number"),
            ("w.json", "{\"a\": \"high\"}", "an object of a number"),
            ("w.yaml", "a: high\n", "line 1: `a` has no number"),
            ("w.csv", "feature,weight\na,high\n", "line 2: `name,weight`"),
            ("w.csv", "a,1\na,2\n", "line 2: `a` is there twice"),
            ("w.csv", "a,-1\n", "the weight of `a` is -1"),
            ("w.json", "{\"a\": 1e999}", ""),
            ("w.txt", "a 1", "must end in .json, .yaml or .csv"),
        ];
        for (name, text, why) in refused {
            let error = read(name, text).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
        let mut gone = Importance { file: Some("gone.json".to_owned()), ..Importance::default() };
        assert!(gone.read(Path::new("/nowhere")).is_err());
    }
}
