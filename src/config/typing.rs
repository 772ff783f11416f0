//! Types the tree by the schema: the text of a scalar becomes what the schema expects there, and every
//! value that cannot is a fault.

use serde_json::Map;
use serde_json::Number;
use serde_json::Value;

use crate::config::document::Node;
use crate::config::document::Scalar;
use crate::config::document::Tree;
use crate::config::document::join;
use crate::config::fault::Fault;
use crate::config::fault::did_you_mean;
use crate::config::fold;
use crate::config::schema;
use crate::config::schema::Shape;

/// What typing found: a value of the schema's form, and where it is not what was written.
pub(super) struct Typed {
    pub(super) value: Value,
    /// Paths as written, whose values are faulty and were left out or replaced.
    pub(super) broken: Vec<String>,
}

/// Types `root` by `schema` (with its `$defs`).
pub(super) fn typed(root: &Node, schema: &Value, faults: &mut Vec<Fault>) -> Typed {
    let mut walk = Walk { schema, faults, broken: Vec::new() };
    let value = walk.node(root, schema).unwrap_or_else(|| schema::placeholder(schema, schema));
    Typed { value, broken: walk.broken }
}

struct Walk<'a> {
    schema: &'a Value,
    faults: &'a mut Vec<Fault>,
    broken: Vec<String>,
}

impl<'a> Walk<'a> {
    fn fault(&mut self, node: &Node, message: impl Into<String>) {
        self.faults.push(Fault::new(node.mark, &node.path, message));
        self.broken.push(node.path.clone());
    }

    /// `None` where the value is faulty.
    fn node(&mut self, node: &Node, schema: &'a Value) -> Option<Value> {
        let shapes = schema::shapes(self.schema, schema);
        match &node.tree {
            Tree::Scalar(scalar) if scalar.broken => {
                self.broken.push(node.path.clone());
                None
            }
            Tree::Scalar(scalar) => match type_scalar(scalar, &shapes) {
                Ok(value) => Some(value),
                Err(message) => {
                    self.fault(node, message);
                    None
                }
            },
            Tree::Sequence(items) => {
                let Some(array) = shapes.iter().find_map(|shape| match shape {
                    Shape::Array(schema) => Some(*schema),
                    _ => None,
                }) else {
                    self.fault(node, format!("expected {}, found a list", expected(&shapes)));
                    return None;
                };
                let limit = |key: &str| array[key].as_u64();
                let n = items.len() as u64;
                if let (Some(least), Some(most)) = (limit("minItems"), limit("maxItems"))
                    && !(least..=most).contains(&n)
                {
                    let wanted =
                        if least == most { most.to_string() } else { format!("{least} to {most}") };
                    self.fault(node, format!("expected a list of {wanted}, found one of {n}"));
                    return None;
                }
                let item = &array["items"];
                let typed = items.iter().map(|node| {
                    let value = self.node(node, item);
                    value.unwrap_or_else(|| schema::placeholder(self.schema, item))
                });
                Some(Value::Array(typed.collect()))
            }
            Tree::Mapping(_) => self.mapping(node, &shapes),
        }
    }

    fn mapping(&mut self, node: &Node, shapes: &[Shape<'a>]) -> Option<Value> {
        let objects: Vec<&'a Value> = shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Object(schema) => Some(*schema),
                _ => None,
            })
            .collect();
        let fits = |schema: &&&Value| {
            node.entries().iter().all(|entry| schema["properties"].get(&entry.key).is_some())
        };
        let Some(object) = objects.iter().find(fits).or(objects.first()) else {
            self.fault(node, format!("expected {}, found a mapping", expected(shapes)));
            return None;
        };
        Some(Value::Object(self.object(node, object)))
    }

    fn object(&mut self, node: &Node, object: &'a Value) -> Map<String, Value> {
        let properties = object["properties"].as_object();
        let more = object.get("additionalProperties").filter(|more| more.is_object());
        let required: Vec<&str> =
            object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut out = Map::new();
        for entry in node.entries() {
            let Some(schema) = properties.and_then(|map| map.get(&entry.key)).or(more) else {
                let known =
                    || properties.into_iter().flat_map(|map| map.keys().map(String::as_str));
                self.faults.push(fold::unknown_key(entry, &node.path, known));
                continue;
            };
            // `key:` with nothing behind it is the same as no key.
            if entry.node.is_null() {
                continue;
            }
            if let Some(value) = self.node(&entry.node, schema) {
                out.insert(entry.key.clone(), value);
            } else if required.contains(&entry.key.as_str()) {
                out.insert(entry.key.clone(), schema::placeholder(self.schema, schema));
            }
        }
        for key in required {
            if !out.contains_key(key) {
                let path = join(&node.path, key);
                self.faults.push(Fault::new(node.mark, &path, "is missing"));
                self.broken.push(path);
                let schema = &object["properties"][key];
                out.insert(key.to_owned(), schema::placeholder(self.schema, schema));
            }
        }
        out
    }
}

/// The first shape that the text fits. Where text will do, it stays text: `no` and `1.10` included.
fn type_scalar(scalar: &Scalar, shapes: &[Shape<'_>]) -> Result<Value, String> {
    if shapes.iter().any(|shape| matches!(shape, Shape::Text | Shape::Anything)) {
        return Ok(Value::String(scalar.text.clone()));
    }
    let text = scalar.text.trim();
    let mut why = None;
    for shape in shapes {
        let found = match shape {
            Shape::Null if scalar.is_null() => Ok(Value::Null),
            Shape::Word(word) if *word == text => Ok(Value::String(text.to_owned())),
            Shape::Boolean => boolean(text).map(Value::Bool),
            Shape::Integer(schema) => integer(text).and_then(|n| in_range(n, schema)),
            Shape::Number(schema) => number(text).and_then(|n| in_range(n, schema)),
            Shape::Null
            | Shape::Word(_)
            | Shape::Text
            | Shape::Anything
            | Shape::Array(_)
            | Shape::Object(_) => continue,
        };
        match found {
            Ok(value) => return Ok(value),
            Err(message) => why = why.or(message),
        }
    }
    let why = why.unwrap_or_else(|| format!("expected {}", expected(shapes)));
    Err(format!("{why}, found `{}`{}", scalar.shown(), did_you_mean(text, words(shapes))))
}

fn words<'a>(shapes: &'a [Shape<'_>]) -> impl Iterator<Item = &'a str> {
    shapes.iter().filter_map(|shape| if let Shape::Word(word) = shape { Some(*word) } else { None })
}

fn boolean(text: &str) -> Result<bool, Option<String>> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(None),
    }
}

fn integer(text: &str) -> Result<Number, Option<String>> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let unsigned = digits.parse::<u64>().map(Number::from);
    unsigned.or_else(|_| digits.parse::<i64>().map(Number::from)).map_err(|_| None)
}

fn number(text: &str) -> Result<Number, Option<String>> {
    // Rust reads `inf`, `nan` and `infinity` too; no setting means those.
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(None);
    }
    let value = text.parse().map_err(|_| None)?;
    Number::from_f64(value).ok_or(None)
}

fn in_range(number: Number, schema: &Value) -> Result<Value, Option<String>> {
    let value = number.as_f64().unwrap_or(f64::NAN);
    let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(least) = limit("minimum").filter(|least| value < *least) {
        return Err(Some(format!("expected at least {least}")));
    }
    if let Some(least) = limit("exclusiveMinimum").filter(|least| value <= *least) {
        return Err(Some(format!("expected more than {least}")));
    }
    if let Some(most) = limit("maximum").filter(|most| value > *most) {
        return Err(Some(format!("expected at most {most}")));
    }
    Ok(Value::Number(number))
}

/// `a number`, `a number or a mapping`, `one of: a, b`.
fn expected(shapes: &[Shape<'_>]) -> String {
    let mut names: Vec<String> = Vec::new();
    let words: Vec<&str> = words(shapes).collect();
    if !words.is_empty() {
        names.push(format!("one of: {}", words.join(", ")));
    }
    for shape in shapes {
        let name = match shape {
            Shape::Null | Shape::Word(_) => continue,
            Shape::Boolean => "true or false",
            Shape::Integer(_) => "a whole number",
            Shape::Number(_) => "a number",
            Shape::Text => "text",
            Shape::Array(_) => "a list",
            Shape::Object(_) => "a mapping",
            Shape::Anything => "a value",
        };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names.join(" or ")
}
