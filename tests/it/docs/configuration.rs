//! `docs/configuration.md` is what the schema of the program says; `DRIFTD_WRITE_DOCS=1` writes it anew.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::{Map, Value};

use super::root;

const HEAD: &str = "# Configuration reference

Written from `driftd config schema` by a test, so it is what the program takes. Every key at its default, in the shape of a file, is in
[config/driftd.yaml](../config/driftd.yaml). One model needs no `models:` list: its keys, and those of its `drift_config`, may stand at the
top level. `${VAR}`, `${VAR:-default}` and `${file:/path}` are filled in within strings. A key that is not here is an error with file, line and column.

";

/// The parts of the file, in the order in which one meets them.
const PARTS: [(&str, &str); 10] = [
    ("kafka", "Kafka"),
    ("models", "Models"),
    ("drift_config", "What counts as drift, and what it starts"),
    ("state", "State"),
    ("http", "Listeners"),
    ("notifiers", "People"),
    ("metrics", "Metrics"),
    ("baselines", "Reading baselines"),
    ("client", "Reaching HTTP servers"),
    ("log", "Log"),
];

struct Reference {
    schema: Value,
    text: String,
}

impl Reference {
    /// The object behind references, options and lists, and whether it was a list.
    fn resolved<'a>(&'a self, property: &'a Value) -> (&'a Value, bool) {
        if let Some(name) = property["$ref"].as_str() {
            return self.resolved(&self.schema["$defs"][name.trim_start_matches("#/$defs/")]);
        }
        if let Some(choices) = property["anyOf"].as_array() {
            let mut real = choices.iter().filter(|choice| choice["type"] != "null");
            if let (Some(only), None) = (real.next(), real.next()) {
                return self.resolved(only);
            }
        }
        match property.get("items") {
            Some(items) => (self.resolved(items).0, true),
            None => (property, false),
        }
    }

    fn objects<'a>(
        &'a self,
        property: &'a Value,
    ) -> Option<(&'a Map<String, Value>, &'static str)> {
        let (target, list) = self.resolved(property);
        if let Some(properties) = target["properties"].as_object() {
            return Some((properties, if list { "[]" } else { "" }));
        }
        let each = target.get("additionalProperties").filter(|each| each.is_object())?;
        let properties = self.resolved(each).0["properties"].as_object()?;
        Some((properties, ".NAME"))
    }

    /// What may stand there, in words.
    fn kind(&self, property: &Value) -> String {
        let (target, list) = self.resolved(property);
        let one = self.kind_of(target);
        if list { format!("list of {one}") } else { one }
    }

    fn kind_of(&self, target: &Value) -> String {
        if let Some(words) = target["enum"].as_array() {
            return words.iter().map(code).collect::<Vec<_>>().join(", ");
        }
        if let Some(choices) = target["oneOf"].as_array().or(target["anyOf"].as_array()) {
            let kinds = choices.iter().filter(|choice| choice["type"] != "null");
            let kinds: Vec<_> = kinds
                .map(|choice| match choice.get("const") {
                    Some(word) => code(word),
                    None => self.kind(choice),
                })
                .collect();
            return kinds.join(", ");
        }
        if let Some(pattern) = target["pattern"].as_str() {
            let known = [
                ("per", "budget, such as `2 per 7d`"),
                ("window|", "`window`, `earliest`, `latest` or a time"),
                ("[kKMGT]", "size, such as `64MiB`"),
                ("ms|s|m", "span, such as `5m`"),
            ];
            let found = known.iter().find(|(part, _)| pattern.contains(part));
            return found
                .map_or_else(|| format!("text like `{pattern}`"), |(_, word)| (*word).to_owned());
        }
        let words = match &target["type"] {
            Value::Array(types) => types.clone(),
            one => vec![one.clone()],
        };
        let words: Vec<_> = words.iter().filter_map(Value::as_str).filter_map(word_of).collect();
        words.join(" or ")
    }

    fn rows(&mut self, path: &str, properties: &Map<String, Value>, skip: &dyn Fn(&str) -> bool) {
        for (key, property) in properties {
            if skip(key) {
                continue;
            }
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let (kind, inner) = {
                let inner = self.objects(property).map(|(inner, mark)| (inner.clone(), mark));
                (self.kind(property), inner)
            };
            let meaning = meaning(property);
            let default = property.get("default").filter(|default| is_shown(default));
            let default = default.map(code).unwrap_or_default();
            writeln!(self.text, "| `{path}` | {kind} | {default} | {meaning} |").unwrap();
            if let Some((inner, mark)) = inner {
                self.rows(&format!("{path}{mark}"), &inner, &|_| false);
            }
        }
    }
}

fn word_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "string" => "text",
        "integer" => "whole number",
        "number" => "number",
        "boolean" => "`true`, `false`",
        "object" => "keys",
        "array" => "list",
        _ => return None,
    })
}

fn code(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// Defaults of whole objects are those of their keys.
fn is_shown(default: &Value) -> bool {
    match default {
        Value::Null | Value::Object(_) => false,
        Value::Array(list) => !list.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn meaning(property: &Value) -> String {
    let text = property["description"].as_str().unwrap_or_default();
    text.replace('\n', " ").replace('|', "\\|")
}

fn reference() -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_driftd")).args(["config", "schema"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let own = |name: &str| -> Map<String, Value> {
        schema["$defs"][name]["properties"].as_object().unwrap().clone()
    };
    let (model, drift) = (own("Model"), own("DriftConfig"));
    let top = schema["properties"].as_object().unwrap().clone();
    let mut reference = Reference { schema, text: HEAD.to_owned() };
    let mut left: Vec<_> = top.keys().filter(|key| !model.contains_key(*key)).cloned().collect();
    for (key, title) in PARTS {
        left.retain(|other| other != key);
        writeln!(
            reference.text,
            "## {title}\n\n| key | what | default | meaning |\n|---|---|---|---|"
        )
        .unwrap();
        if key == "models" {
            let inner = |key: &str| key != "drift_config" && drift.contains_key(key);
            let mut keys = model.clone();
            if let Some(block) = keys.get_mut("drift_config") {
                *block = serde_json::json!({"type": "object", "description": block["description"].clone()});
            }
            reference.rows("models[]", &keys, &inner);
        } else {
            let only = Map::from_iter([(key.to_owned(), top[key].clone())]);
            reference.rows("", &only, &|_| false);
        }
        reference.text.push('\n');
    }
    if !left.is_empty() {
        writeln!(
            reference.text,
            "## More\n\n| key | what | default | meaning |\n|---|---|---|---|"
        )
        .unwrap();
        reference.rows("", &top, &|key| !left.iter().any(|other| other == key));
    }
    format!("{}\n", reference.text.trim_end())
}

#[test]
fn the_configuration_reference_is_what_the_schema_says() {
    let path = root().join("docs/configuration.md");
    let reference = reference();
    if env::var_os("DRIFTD_WRITE_DOCS").is_some() {
        fs::write(&path, &reference).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference,
        "docs/configuration.md is older than the schema: DRIFTD_WRITE_DOCS=1 cargo test --test it docs::"
    );
    assert!(reference.contains("| `drift_config.thresholds.psi_retrain` |"), "{reference}");
    assert!(reference.contains("| `kafka.brokers` |"), "{reference}");
}
