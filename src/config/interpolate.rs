//! Fills in `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `${file:/path}`, in values only and after
//! parsing, so that what is filled in can never change the structure.

use std::fs::File;
use std::io;
use std::io::Read;

use crate::config::document::Node;
use crate::config::fault::Fault;

/// A file that a variable is read from is a token or a password.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Names that tell that their value is not for other eyes.
const SECRET_WORDS: [&str; 6] = ["TOKEN", "SECRET", "PASS", "KEY", "CREDENTIAL", "AUTH"];

/// Fills in every value of `root`; gives the texts that must never be printed.
pub(super) fn interpolate(
    root: &mut Node,
    variable: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<Fault>,
) -> Vec<String> {
    let mut secrets = Vec::new();
    root.for_each_scalar(&mut |scalar, mark, path| {
        if !scalar.text.contains('$') {
            return;
        }
        match fill(&scalar.text, variable, &mut secrets) {
            Ok(text) if text == scalar.text => {}
            Ok(text) => scalar.template = Some(std::mem::replace(&mut scalar.text, text)),
            Err(message) => {
                scalar.broken = true;
                faults.push(Fault::new(mark, path, message));
            }
        }
    });
    secrets
}

fn fill(
    template: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    secrets: &mut Vec<String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = after.find('}').ok_or("`${` has no `}`; write `$$` for a dollar sign")?;
            let (value, secret) = value_of(&after[..end], variable)?;
            if secret && !value.is_empty() {
                secrets.push(value.clone());
            }
            out.push_str(&value);
            rest = &after[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The value, and whether it is a secret.
fn value_of(
    expression: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, bool), String> {
    if let Some(path) = expression.strip_prefix("file:") {
        let text = read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        return Ok((text, true));
    }
    let (name, fallback) = match expression.split_once(':') {
        Some((name, fallback)) => (name, Some(fallback)),
        None => (expression, None),
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(valid) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(format!("`${{{expression}}}` names no variable; write `$$` for a dollar sign"));
    }
    let upper = name.to_ascii_uppercase();
    let secret = SECRET_WORDS.iter().any(|word| upper.contains(word));
    let value = variable(name);
    let text = match (value, fallback) {
        (Some(value), None) => value,
        (Some(value), Some(_)) if !value.is_empty() => value,
        (_, Some(rest)) => match (rest.strip_prefix('-'), rest.strip_prefix('?')) {
            (Some(default), _) => default.to_owned(),
            (None, Some(message)) => {
                return Err(format!("the environment variable {name} is not set: {message}"));
            }
            (None, None) => {
                return Err(format!(
                    "`${{{expression}}}` is not understood; write ${{{name}:-default}} or ${{{name}:?message}}"
                ));
            }
        },
        (None, None) => {
            return Err(format!(
                "the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            ));
        }
    };
    Ok((text, secret))
}

fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE_BYTES {
        let message = format!("larger than {MAX_FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    // Editors and `echo` end a file with a line break that is no part of the secret.
    let trimmed = text.strip_suffix('\n').unwrap_or(&text);
    Ok(trimmed.strip_suffix('\r').unwrap_or(trimmed).to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn filled(template: &str) -> Result<String, String> {
        let variable = |name: &str| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        fill(template, &variable, &mut Vec::new())
    }

    #[test]
    fn variables_have_defaults_and_messages() {
        assert_eq!(filled("a-${SET}-b").unwrap(), "a-value-b");
        assert_eq!(filled("${SET:-other}").unwrap(), "value");
        assert_eq!(filled("${EMPTY}").unwrap(), "");
        assert_eq!(filled("${EMPTY:-other}").unwrap(), "other");
        assert_eq!(filled("${UNSET:-}").unwrap(), "");
        assert_eq!(filled("$${SET} costs 5$").unwrap(), "${SET} costs 5$");
        assert!(filled("${UNSET}").unwrap_err().contains("UNSET is not set"));
        assert!(filled("${UNSET:?ask ops}").unwrap_err().ends_with("ask ops"));
        for bad in ["${SET", "${}", "${1A}", "${A B}", "${SET:}x${UNSET:x}"] {
            assert!(filled(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_is_read_without_its_last_line_break() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "hunter2").unwrap();
        let mut secrets = Vec::new();
        let template = format!("Bearer ${{file:{}}}", file.path().display());
        assert_eq!(fill(&template, &|_| None, &mut secrets).unwrap(), "Bearer hunter2");
        assert_eq!(secrets, ["hunter2"]);
        assert!(filled("${file:/no/such/file}").unwrap_err().contains("/no/such/file"));
    }
}
