//! The JSON Schema of the configuration, as files are written and as they are typed.

use schemars::generate::SchemaSettings;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::config::Config;

/// Keys that may stand above their own place: a model's at the top level, a `drift_config`'s on the
/// model.
pub(super) struct Keys {
    pub(super) config: Vec<String>,
    pub(super) model: Vec<String>,
    pub(super) drift: Vec<String>,
}

/// The schema of the structs themselves, without shorthands.
pub(super) fn strict() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>().into()
}

/// The names of the keys at each of the three levels.
pub(super) fn keys(strict: &Value) -> Keys {
    let names = |schema: &Value| {
        let properties = schema["properties"].as_object();
        properties.into_iter().flat_map(|map| map.keys().cloned()).collect()
    };
    Keys {
        config: names(strict),
        model: names(&strict["$defs"]["Model"]),
        drift: names(&strict["$defs"]["DriftConfig"]),
    }
}

/// The JSON Schema for editors and checks in CI: everything that `load` accepts by its form.
pub fn schema() -> Value {
    let mut schema = strict();
    schema["title"] = json!("driftd's configuration");
    let drift = schema["$defs"]["DriftConfig"]["properties"].clone();
    let model = &mut schema["$defs"]["Model"];
    extend(&mut model["properties"], &drift);
    model["required"] = json!(["topic"]);
    model["anyOf"] = json!([{"required": ["drift_config"]}, {"required": ["reference_dataset"]}]);
    relax(&mut schema["$defs"]["DriftConfig"], &["reference_dataset"]);
    let model = schema["$defs"]["Model"]["properties"].clone();
    extend(&mut schema["properties"], &model);
    schema["required"] = json!(["kafka"]);
    schema["anyOf"] = json!([{"required": ["models"]}, {"required": ["topic"]}]);
    accept_null(&mut schema);
    let definitions = schema["$defs"].as_object_mut();
    definitions.into_iter().flat_map(|defs| defs.values_mut()).for_each(accept_null);
    schema
}

/// `key:` with nothing behind it is the same as no key, wherever a key is optional.
fn accept_null(schema: &mut Value) {
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (key, property) in properties {
        let Some(property) = property.as_object_mut() else { continue };
        if required.iter().any(|name| name == key) {
            continue;
        }
        if let Some(target) = property.remove("$ref") {
            property.insert("anyOf".into(), json!([{"$ref": target}, {"type": "null"}]));
        } else if let Some(Value::String(name)) = property.get("type").cloned() {
            property.insert("type".into(), json!([name, "null"]));
        }
    }
}

fn extend(properties: &mut Value, more: &Value) {
    let (Some(own), Some(more)) = (properties.as_object_mut(), more.as_object()) else { return };
    for (key, value) in more {
        own.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

/// `drift_config` may lack what stands beside it on the model.
fn relax(schema: &mut Value, optional: &[&str]) {
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|key| !key.as_str().is_some_and(|key| optional.contains(&key)));
    }
}

/// Follows `$ref` to the schema that it names.
pub(super) fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    while let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target.strip_prefix("#/$defs/").unwrap_or_default();
        schema = &root["$defs"][name];
    }
    schema
}

/// One thing that a value may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    Null,
    Boolean,
    Integer(&'a Value),
    Number(&'a Value),
    /// Any text.
    Text,
    /// One of these words.
    Word(&'a str),
    Array(&'a Value),
    Object(&'a Value),
    Anything,
}

/// Everything that a value under `schema` may be.
pub(super) fn shapes<'a>(root: &'a Value, schema: &'a Value) -> Vec<Shape<'a>> {
    let schema = resolve(root, schema);
    let branches = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array());
    let branches: Vec<&Value> = branches.flatten().collect();
    // An object's own `anyOf` says which keys go together, not what else the value may be.
    if !branches.is_empty() && schema.get("type").is_none() {
        return branches.into_iter().flat_map(|branch| shapes(root, branch)).collect();
    }
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return vec![Shape::Word(word)];
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let shape = |word: &'a Value| word.as_str().map_or(Shape::Null, Shape::Word);
        return words.iter().map(shape).collect();
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => return vec![Shape::Anything],
    };
    let shape = |name: &str| match name {
        "null" => Shape::Null,
        "boolean" => Shape::Boolean,
        "integer" => Shape::Integer(schema),
        "number" => Shape::Number(schema),
        "array" => Shape::Array(schema),
        "object" => Shape::Object(schema),
        _ => Shape::Text,
    };
    types.into_iter().map(shape).collect()
}

/// Something of the right form, for a required key whose own value is faulty, so that the rest can
/// still be checked.
pub(super) fn placeholder(root: &Value, schema: &Value) -> Value {
    match shapes(root, schema).first() {
        Some(Shape::Boolean) => json!(false),
        Some(Shape::Integer(_) | Shape::Number(_)) => json!(1),
        Some(Shape::Text) => json!("placeholder"),
        Some(Shape::Word(word)) => json!(word),
        Some(Shape::Array(_)) => json!([]),
        Some(Shape::Object(object)) => {
            let required = object["required"].as_array().into_iter().flatten();
            let filled = required
                .filter_map(Value::as_str)
                .map(|key| (key.to_owned(), placeholder(root, &object["properties"][key])));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        Some(Shape::Null | Shape::Anything) | None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document;
    use crate::config::document::Node;
    use crate::config::load;
    use crate::config::typing;

    #[test]
    fn a_key_has_one_place_only() {
        let keys = keys(&strict());
        for key in &keys.model {
            assert!(!keys.config.contains(key), "`{key}` means two things at the top level");
        }
        for key in &keys.drift {
            let elsewhere = keys.config.contains(key) || keys.model.contains(key);
            assert!(!elsewhere, "`{key}` means two things");
        }
    }

    #[test]
    fn every_key_says_what_it_is() {
        let root = strict();
        let mut places = vec![("top level", &root)];
        places.extend(root["$defs"].as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v)));
        for (place, schema) in places.into_iter().filter(|(place, _)| *place != "Threshold") {
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                let described = property.get("description").is_some()
                    || resolve(&root, property).get("description").is_some();
                assert!(described, "{place}: `{key}` has no description");
            }
        }
    }

    const DRIFTD: &str = include_str!("../../config/driftd.yaml");

    /// The file with its commented keys taken in.
    fn uncommented() -> String {
        let is_key = |rest: &str| {
            let word = rest.trim_start_matches("- ").split(' ').next();
            word.is_some_and(|word| word.ends_with(':'))
        };
        let line = |line: &str| match line.trim_start().strip_prefix("# ") {
            Some(rest) if is_key(rest) => {
                format!("{}{rest}\n", &line[..line.len() - line.trim_start().len()])
            }
            _ => format!("{line}\n"),
        };
        DRIFTD.lines().map(line).collect()
    }

    /// Asserts that one of `nodes` has every key of `schema`, and of what is below.
    fn complete(root: &Value, schema: &Value, nodes: &[&Node], path: &str) {
        for shape in shapes(root, schema) {
            match shape {
                Shape::Object(object) => {
                    for (key, property) in object["properties"].as_object().into_iter().flatten() {
                        let inner: Vec<&Node> =
                            nodes.iter().filter_map(|node| node.get(key)).collect();
                        assert!(!inner.is_empty(), "config/driftd.yaml lacks `{key}` in `{path}`");
                        if resolve(root, property)["description"]
                            != "A number is the `warning` line."
                        {
                            complete(root, property, &inner, key);
                        }
                    }
                    let entry = nodes.iter().find_map(|node| node.entries().first());
                    if object["additionalProperties"].is_object()
                        && let Some(entry) = entry
                    {
                        complete(root, &object["additionalProperties"], &[&entry.node], path);
                    }
                }
                Shape::Array(array) => {
                    let items: Vec<&Node> = nodes.iter().flat_map(|node| node.items()).collect();
                    complete(root, &array["items"], &items, path);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_reference_file_has_every_key_with_a_comment() {
        let node = document::parse(&uncommented()).unwrap();
        let strict = strict();
        complete(&strict, &strict, &[&node], "");
        let mut faults = Vec::new();
        typing::typed(&node, &strict, &mut faults);
        assert_eq!(faults, [], "its commented keys are not right");
        for line in DRIFTD.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        {
            let text = line.trim_start().trim_start_matches("# ").trim_start_matches("- ");
            assert!(text.contains(" # "), "no comment: {line}");
        }
    }

    #[test]
    fn the_public_schema_accepts_the_shorthands() {
        let schema = schema();
        for text in [
            DRIFTD,
            include_str!("../../config/seed.yaml"),
            include_str!("../../config/sasl.yaml"),
            include_str!("../../config/two-models.yaml"),
            "kafka: {brokers: k:1}\ntopic: t\nreference_dataset: r\nwindow: 1h\n",
        ] {
            let mut faults = Vec::new();
            typing::typed(&document::parse(text).unwrap(), &schema, &mut faults);
            assert_eq!(faults, []);
        }
        let mut faults = Vec::new();
        let node = document::parse("kafka: {broker: k:1}\ntopik: t\npane: {a: 1}\n").unwrap();
        typing::typed(&node, &schema, &mut faults);
        assert_eq!(faults.len(), 4, "{faults:?}");
    }

    #[test]
    fn the_reference_file_shows_the_defaults() {
        let shown = |text: &str| load::parse(text, &|_| None).unwrap().shown();
        let short = "kafka: {brokers: ['kafka:9092']}\ntopic: fraud.inferences\n\
                     reference_dataset: /baselines/fraud.parquet\n";
        assert_eq!(shown(DRIFTD), shown(short));
    }
}
