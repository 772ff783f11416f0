//! Values as YAML text that reads back as the same values.

use serde_json::Value;

/// Block style, two spaces a level; ends with a line break.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(&mut out, value, 0),
        Value::Array(items) if !items.is_empty() => block(&mut out, value, 0),
        other => {
            out.push_str(&inline(other));
            out.push('\n');
        }
    }
    out
}

fn block(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = quote(key);
                if is_block(value) {
                    out.push_str(&format!("{indent}{key}:\n"));
                    block(out, value, depth + 1);
                } else {
                    out.push_str(&format!("{indent}{key}: {}\n", inline(value)));
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if is_block(item) {
                    let mut inner = String::new();
                    block(&mut inner, item, depth + 1);
                    // The first line of the item stands behind its dash.
                    out.push_str(&format!("{indent}- {}", inner.trim_start()));
                } else {
                    out.push_str(&format!("{indent}- {}\n", inline(item)));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// A scalar that reads back as exactly `text`: plain where that is safe, else in double quotes. A dollar
/// sign that would begin a variable is doubled.
pub fn quote(text: &str) -> String {
    let variable = text.contains("${") || text.contains("$$");
    let text = if variable { text.replace('$', "$$") } else { text.to_owned() };
    let safe = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || "_/".contains(c));
    let reserved = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if word && text.chars().all(safe) && !reserved.contains(&text.to_lowercase().as_str()) {
        return text;
    }
    // JSON's escapes are all YAML's too. It leaves what drives terminals in C1, what may end a line, and a byte
    // order mark, which not even a comment may have.
    let is_odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    let json = Value::String(text).to_string();
    let escaped =
        |c: char| if is_odd(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    if json.contains(is_odd) { json.chars().map(escaped).collect() } else { json }
}
