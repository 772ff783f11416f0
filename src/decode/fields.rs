//! Where things are in a record: the `fields:` block of a model.

use std::fmt;

use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::feature::{canonical_boolean, canonical_integer, canonical_number};

/// Where things are in a record, as JSON pointers (RFC 6901). Everything has a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fields {
    /// The object (or array, see `feature_names`) that holds the features. Default, per record: the object at
    /// `/features` if there is one, else the record itself. With `rows` it is looked up in the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Pointer>,
    /// Names of the features where they come as an array: a list, or a pointer to an array of strings in the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_names: Option<FeatureNames>,
    /// What the model answered. Default: `/prediction`, if present. With `rows` it is looked up in the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Pointer>,
    /// How sure the model was, where a column of the baseline has that role. Default: `/confidence`, if present. With
    /// `rows` it is looked up in the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Pointer>,
    /// When the record happened. Default: the Kafka time stamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_time: Option<EventTime>,
    /// An array such as `/instances` whose elements are rows: objects, or arrays with `feature_names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Pointer>,
    /// The model's name; records that name another model, or none, are not this model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Pointer>,
    /// Only records whose value at `pointer` equals `equals` are this model's.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
}

/// Event time in the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTime {
    /// Where it stands in the record, such as `/ts`.
    pub pointer: Pointer,
    /// Never guessed.
    pub unit: TimeUnit,
    /// IANA name for `rfc3339` times that carry no offset; without it such times are rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
}

/// Unit of a time in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    S,
    Ms,
    Us,
    Ns,
    Rfc3339,
}

/// A filter on one value of the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Where the value stands in the record, such as `/tenant/id`.
    pub pointer: Pointer,
    /// A string, number or boolean; `3`, `3.0` and `"3"` are equal.
    pub equals: Scalar,
}

/// Why a setting of `fields` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    #[error("`{0}` is no JSON pointer: it must be empty or start with `/`, as in `/features`")]
    NoSlash(String),
    #[error("`{0}` is no JSON pointer: after `~` only `0` (for `~`) or `1` (for `/`) may come")]
    BadEscape(String),
    #[error(
        "`{0}` is no time zone that this machine knows; use an IANA name such as `Europe/Paris`"
    )]
    NoZone(String),
}

/// A JSON pointer (RFC 6901), checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Pointer(String);

impl Pointer {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its steps from the root, unescaped.
    pub fn steps(&self) -> impl Iterator<Item = String> + '_ {
        self.0.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
    }
}

impl TryFrom<String> for Pointer {
    type Error = FieldFault;

    fn try_from(text: String) -> Result<Self, FieldFault> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(FieldFault::NoSlash(text));
        }
        let mut after_tilde = text.split('~').skip(1);
        if after_tilde.any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(FieldFault::BadEscape(text));
        }
        Ok(Self(text))
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> String {
        pointer.0
    }
}

/// An IANA time zone, checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl TryFrom<String> for Zone {
    type Error = FieldFault;

    fn try_from(name: String) -> Result<Self, FieldFault> {
        match TimeZone::get(&name) {
            Ok(zone) => Ok(Self { name, zone }),
            Err(_) => Err(FieldFault::NoZone(name)),
        }
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.name
    }
}

/// Names of features that come as an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureNames {
    List(Vec<String>),
    /// An array of strings in the record.
    At(Pointer),
}

impl Serialize for FeatureNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            FeatureNames::List(names) => names.serialize(serializer),
            FeatureNames::At(pointer) => pointer.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FeatureNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = FeatureNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names or a JSON pointer")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FeatureNames, E> {
                Pointer::try_from(text.to_owned()).map(FeatureNames::At).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FeatureNames, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(FeatureNames::List(names))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for FeatureNames {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FeatureNames".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "a list of names, or a JSON pointer to an array of strings in the record",
            "oneOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}],
        })
    }
}

/// A string, number or boolean as its canonical string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar(String);

impl Scalar {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Canonical;

        impl Canonical {
            fn whole(number: i128) -> Scalar {
                let mut text = String::new();
                canonical_integer(number, &mut text);
                Scalar(text)
            }
        }

        impl Visitor<'_> for Canonical {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number or a boolean")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, boolean: bool) -> Result<Scalar, E> {
                Ok(Scalar(canonical_boolean(boolean).to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Self::whole(number.into()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Self::whole(number.into()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar, E> {
                let mut text = String::new();
                canonical_number(number, &mut text);
                Ok(Scalar(text))
            }
        }

        deserializer.deserialize_any(Canonical)
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Result<Fields, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn everything_is_optional_and_comes_back_as_written() {
        assert_eq!(fields("{}").unwrap(), Fields::default());
        let json = r#"{"features":"/a","feature_names":["x","y"],"prediction":"/p","event_time":{"pointer":"/ts","unit":"rfc3339","time_zone":"Europe/Paris"},"rows":"/instances","model":"/m","where":{"pointer":"/v","equals":"3"}}"#;
        assert_eq!(serde_json::to_string(&fields(json).unwrap()).unwrap(), json);
    }

    #[test]
    fn unknown_keys_and_unusable_values_are_refused_with_what_is_allowed() {
        for (json, message) in [
            (r#"{"feature":"/a"}"#, "unknown field `feature`"),
            (r#"{"features":"a"}"#, "must be empty or start with `/`"),
            (r#"{"features":"/a~2"}"#, "after `~` only `0`"),
            (r#"{"feature_names":3}"#, "a list of names or a JSON pointer"),
            (r#"{"event_time":{"pointer":"/t","unit":"h"}}"#, "unknown variant `h`"),
            (r#"{"event_time":{"pointer":"/t"}}"#, "missing field `unit`"),
            (
                r#"{"event_time":{"pointer":"/t","unit":"s","time_zone":"Mars/Base"}}"#,
                "`Mars/Base` is no time zone",
            ),
        ] {
            let error = fields(json).unwrap_err().to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
    }

    #[test]
    fn pointers_are_unescaped_step_by_step() {
        let pointer = Pointer::try_from("/a~1b/~01/0/".to_owned()).unwrap();
        assert_eq!(pointer.steps().collect::<Vec<_>>(), ["a/b", "~1", "0", ""]);
        assert_eq!(Pointer::try_from(String::new()).unwrap().steps().count(), 0);
    }

    #[test]
    fn what_a_filter_equals_is_canonical() {
        for json in ["3", "3.0", r#""3""#] {
            let json = format!(r#"{{"where":{{"pointer":"/a","equals":{json}}}}}"#);
            assert_eq!(fields(&json).unwrap().filter.unwrap().equals, Scalar::from("3"));
        }
    }
}
