//! Values that settings are made of: secrets that are never printed, spans of time as `15m`, sizes as
//! `2GiB`, budgets as `2 per 7d`, seasons by their period.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

pub mod season;

/// Units of time, in milliseconds.
pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// Whole milliseconds of a span; the most that can be written where it is longer.
pub fn whole_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A secret; every way of showing it shows `***`.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// A span of time written with its unit: `500ms`, `30s`, `15m`, `24h`, `7d`; parts add up (`1h30m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// Whole milliseconds.
    pub fn as_ms(self) -> i64 {
        whole_ms(self.0)
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a span of time; write a number with its unit, such as 500ms, 30s, 15m, 24h or 7d"
)]
pub struct BadSpan(String);

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(text.to_owned());
        let mut rest = text.trim();
        let mut total = 0u64;
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let unit = UNITS.iter().find(|(name, _)| *name == &rest[..letters]).ok_or_else(bad)?;
            let part = number.checked_mul(unit.1).ok_or_else(bad)?;
            // Time stamps are signed.
            let sum = total.checked_add(part).filter(|sum| i64::try_from(*sum).is_ok());
            total = sum.ok_or_else(bad)?;
            rest = rest[letters..].trim_start();
        }
        Ok(Span(Duration::from_millis(total)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.as_ms().cast_unsigned();
        let (unit, size) = UNITS
            .iter()
            .rev()
            .find(|(_, size)| ms >= *size && ms.is_multiple_of(*size))
            .unwrap_or(&("s", 1_000));
        write!(f, "{}{unit}", ms / size)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time with its unit: 500ms, 30s, 15m, 24h, 7d.",
            "pattern": "^\\s*([0-9]+(ms|s|m|h|d)\\s*)+$",
        })
    }
}

/// A number of bytes written with its unit: `512KiB`, `2GiB`, `10MB`, or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a number of bytes; write it with its unit, such as 512KiB, 64MiB or 2GiB")]
pub struct BadByteSize(String);

const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl FromStr for ByteSize {
    type Err = BadByteSize;

    fn from_str(text: &str) -> Result<Self, BadByteSize> {
        let bad = || BadByteSize(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = trimmed.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let unit = unit.trim();
        let size = match unit {
            "" => 1,
            _ => {
                let known = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(unit);
                SIZES.iter().find(known).ok_or_else(bad)?.1
            }
        };
        Ok(Self(number.checked_mul(size).ok_or_else(bad)?))
    }
}

/// In the largest binary unit that is whole.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match binary.iter().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size)) {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "A number of bytes, with its unit or without: 512KiB, 64MiB, 2GiB.",
            "pattern": "^\\s*[0-9]+\\s*([kKMGT]i?)?[bB]?\\s*$",
            "minimum": 0,
        })
    }
}

/// At most so many in a span of time, written `2 per 7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    pub count: u32,
    pub period: Span,
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a budget; write how many per span of time, such as `2 per 7d`")]
pub struct BadBudget(String);

impl FromStr for Budget {
    type Err = BadBudget;

    fn from_str(text: &str) -> Result<Self, BadBudget> {
        let bad = || BadBudget(text.to_owned());
        let (count, period) = text.split_once(" per ").ok_or_else(bad)?;
        let count = count.trim().parse().map_err(|_| bad())?;
        let period: Span = period.parse().map_err(|_| bad())?;
        if period.0.is_zero() { Err(bad()) } else { Ok(Self { count, period }) }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}", self.count, self.period)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Budget {
    fn schema_name() -> Cow<'static, str> {
        "Budget".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "At most so many in a span of time: `2 per 7d`.",
            "pattern": "^\\s*[0-9]+ per \\s*([0-9]+(ms|s|m|h|d)\\s*)+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        let ms = |text: &str| text.parse::<Span>().map(Span::as_ms).ok();
        assert_eq!(ms("15m"), Some(900_000));
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("500ms"), Some(500));
        for bad in
            ["", "15", "m", "15 parsecs", "-1s", "99999999999999999999d", "106751991168d", "1.5h"]
        {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn spans_are_shown_in_their_largest_whole_unit() {
        for text in ["15m", "24h", "7d", "90s", "500ms", "0s"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
        assert_eq!(Span::from_secs(86_400).to_string(), "1d");
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        let size = |text: &str| text.parse::<ByteSize>().map(|size| size.0).ok();
        assert_eq!(size("2GiB"), Some(2 << 30));
        assert_eq!(size("10 MB"), Some(10_000_000));
        assert_eq!(size("4096"), Some(4096));
        for bad in ["", "GiB", "1.5GiB", "-1", "3 apples", "99999999999TiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(ByteSize(2 << 30).to_string(), "2GiB");
        assert_eq!(ByteSize(1001).to_string().parse(), Ok(ByteSize(1001)));
    }

    #[test]
    fn budgets_are_read_and_shown_alike() {
        let budget: Budget = "2 per 7d".parse().unwrap();
        assert_eq!(budget, Budget { count: 2, period: Span::from_secs(7 * 86_400) });
        assert_eq!(budget.to_string(), "2 per 7d");
        for bad in ["2", "two per 7d", "2 per week", "2 per 0s", "-1 per 7d"] {
            assert!(bad.parse::<Budget>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
    }
}
