//! A JSON text by serde_json as a tree that keeps what `serde_json::Value` forgets: keys that come
//! twice, how numbers are written, and Python's words for what is none.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value; of an object every entry, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// A number as it is written, or `NaN`, `Infinity`, `-Infinity`.
#[derive(Clone, Debug, PartialEq)]
pub struct Number(pub String);

/// Stands before a number that serde_json is given as a string.
const NUMBER: &str = "\u{fdd0}number ";

/// What serde_json says of a text.
pub enum Parsed {
    Json(Tree),
    /// Not JSON, or its depth is beyond what serde_json follows.
    No,
    /// It holds the noncharacter that this module needs for itself.
    Unknown,
}

/// Reads `text`; words for what is no number are values if `allow_nan`.
pub fn parse(text: &str, allow_nan: bool) -> Parsed {
    if text.contains('\u{fdd0}') || text.to_lowercase().contains("\\ufdd0") {
        return Parsed::Unknown;
    }
    let (quoted, odd) = quote_numbers(text, allow_nan);
    let tree = serde_json::from_str::<Tree>(&quoted).ok().filter(Tree::has_no_number_for_a_key);
    // Quoting numbers changes nothing else: serde_json itself says the same of the text, unless a
    // number in it is beyond every double or a word, which it calls an error.
    let plain = serde_json::from_str::<serde_json::Value>(text).is_ok();
    assert!(plain == tree.is_some() || (odd && tree.is_some()), "the model misreads {text:?}");
    tree.map_or(Parsed::No, Parsed::Json)
}

/// How deep the brackets outside of strings go, whether or not they match.
pub fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut rest = text;
    while let Some(byte) = rest.bytes().next() {
        let step = match byte {
            b'"' => string(rest),
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        rest = &rest[step..];
    }
    deepest
}

/// Length of the string that `text` begins with, or of all of it.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Every number outside of strings as a string, and whether there was one that serde_json refuses.
fn quote_numbers(text: &str, allow_nan: bool) -> (String, bool) {
    let (mut out, mut odd) = (String::new(), false);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let words = ["NaN", "Infinity", "-Infinity"];
        let word = words.iter().find(|word| allow_nan && rest.starts_with(**word));
        let len = word.map_or_else(|| number(rest), |word| word.len());
        let step = match first {
            '"' => string(rest),
            _ if len > 0 => {
                odd |= word.is_some() || rest[..len].parse::<f64>().is_ok_and(f64::is_infinite);
                out.push('"');
                out.push_str(NUMBER);
                out.push_str(&rest[..len]);
                out.push('"');
                rest = &rest[len..];
                continue;
            }
            _ => first.len_utf8(),
        };
        out.push_str(&rest[..step]);
        rest = &rest[step..];
    }
    (out, odd)
}

/// Length of the longest JSON number that `text` begins with.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    match bytes.get(at) {
        Some(b'0') => at += 1,
        Some(b'1'..=b'9') => at += digits(at),
        Some(_) | None => return 0,
    }
    if bytes.get(at) == Some(&b'.') && digits(at + 1) > 0 {
        at += 1 + digits(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let count = digits(at + 1 + sign);
        if count > 0 {
            at += 1 + sign + count;
        }
    }
    at
}

impl Number {
    pub fn is_word(&self) -> bool {
        self.0.ends_with(['N', 'y'])
    }

    /// Written without point and exponent.
    pub fn is_whole(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    }

    /// The nearest double, infinite beyond the largest: by serde_json where it takes the number.
    pub fn value(&self) -> f64 {
        match self.0.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            written => serde_json::from_str(written)
                .unwrap_or_else(|_| written.parse().expect("JSON's numbers are also Rust's")),
        }
    }
}

impl Tree {
    /// The value under `key`; of equal keys the last counts.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        match self {
            Tree::Object(entries) => {
                entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// What a JSON pointer (RFC 6901) leads to.
    pub fn pointer(&self, pointer: &str) -> Option<&Tree> {
        let steps = pointer.split('/').skip(1);
        steps.map(|step| step.replace("~1", "/").replace("~0", "~")).try_fold(self, |at, step| {
            match at {
                Tree::Array(items) => {
                    let index = step.parse::<usize>().ok().filter(|i| i.to_string() == step);
                    items.get(index?)
                }
                _ => at.get(&step),
            }
        })
    }

    pub fn is_object(&self) -> bool {
        matches!(self, Tree::Object(_))
    }

    /// Whether an object, this one or any inside, has this key twice.
    pub fn has_twice(&self, wanted: &str) -> bool {
        match self {
            Tree::Array(items) => items.iter().any(|item| item.has_twice(wanted)),
            Tree::Object(entries) => {
                entries.iter().filter(|(key, _)| key == wanted).count() > 1
                    || entries.iter().any(|(_, value)| value.has_twice(wanted))
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => false,
        }
    }

    fn has_no_number_for_a_key(&self) -> bool {
        match self {
            Tree::Array(items) => items.iter().all(Self::has_no_number_for_a_key),
            Tree::Object(entries) => entries
                .iter()
                .all(|(key, value)| !key.starts_with(NUMBER) && value.has_no_number_for_a_key()),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => true,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Tree, E> {
                Ok(match text.strip_prefix(NUMBER) {
                    Some(number) => Tree::Number(Number(number.to_owned())),
                    None => Tree::Text(text.to_owned()),
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Tree::Array(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Tree::Object(entries))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
