//! Times as people and JSON read them.

use jiff::Timestamp;

/// Milliseconds since the epoch as RFC 3339 in UTC, to the second where that is exact.
pub fn rfc3339(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.to_string(),
        // Only times that no record can have come here.
        Err(_) => format!("{ms}ms"),
    }
}

/// What `rfc3339` or any other program wrote, in milliseconds since the epoch.
pub fn millis(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// For serde: milliseconds since the epoch, written as RFC 3339.
pub mod as_rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::rfc3339;

    pub fn serialize<S: Serializer>(ms: &i64, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&rfc3339(*ms))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<i64, D::Error> {
        let text = String::deserialize(input)?;
        let time: Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(time.as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(1_700_000_000_250), "2023-11-14T22:13:20.25Z");
        assert_eq!(rfc3339(i64::MAX), "9223372036854775807ms");
    }
}
