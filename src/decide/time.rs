//! Times as people and JSON read them.

use jiff::Timestamp;

/// Milliseconds since the epoch as RFC 3339 in UTC, to the second where that is exact. Before the first time
/// and after the last that can be written it is that one, as no record can have it.
pub fn rfc3339(ms: i64) -> String {
    let end = |_| if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(ms).unwrap_or_else(end).to_string()
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
    }

    #[test]
    fn times_that_cannot_be_written_are_the_last_that_can() {
        for (ms, end) in [(i64::MIN, Timestamp::MIN), (i64::MAX, Timestamp::MAX)] {
            assert_eq!(rfc3339(ms), end.to_string());
            assert_eq!(millis(&rfc3339(ms)), Some(end.as_millisecond()));
        }
    }
}
