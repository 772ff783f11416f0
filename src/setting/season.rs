//! Seasons: the `season` setting, and which slot of a day or a week a moment belongs to.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::setting::HOUR_MS;

const HOURS_A_DAY: usize = 24;
const DAYS_A_WEEK: usize = 7;
/// 1970-01-01 was a Thursday; weeks begin on Monday.
const EPOCH_WEEKDAY: i64 = 3;
const UTC: &str = "UTC";

/// What comes again: the hours of a day, or of a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cycle {
    Day,
    Week,
}

impl Cycle {
    pub const ALL: [Cycle; 2] = [Cycle::Day, Cycle::Week];

    pub fn as_str(self) -> &'static str {
        match self {
            Cycle::Day => "day",
            Cycle::Week => "week",
        }
    }

    /// One slot an hour.
    pub fn slots(self) -> usize {
        match self {
            Cycle::Day => HOURS_A_DAY,
            Cycle::Week => HOURS_A_DAY * DAYS_A_WEEK,
        }
    }
}

/// Which season a model has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Per feature, what the baseline's time column shows.
    #[default]
    Auto,
    None,
    Day,
    Week,
}

impl Period {
    pub fn as_str(self) -> &'static str {
        match self {
            Period::Auto => "auto",
            Period::None => "none",
            Period::Day => "day",
            Period::Week => "week",
        }
    }

    /// The cycle that was asked for by name.
    pub fn cycle(self) -> Option<Cycle> {
        match self {
            Period::Auto | Period::None => None,
            Period::Day => Some(Cycle::Day),
            Period::Week => Some(Cycle::Week),
        }
    }
}

/// `season` in the configuration: a period alone (`season: day`), or with its time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Season {
    pub period: Period,
    /// 24 of a day, 168 of a week; follows from the period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    pub time_zone: String,
}

impl Default for Season {
    fn default() -> Self {
        Self { period: Period::Auto, slots: None, time_zone: UTC.to_owned() }
    }
}

impl Season {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Short(Period),
    Full {
        #[serde(default)]
        period: Period,
        #[serde(default)]
        slots: Option<u32>,
        #[serde(default)]
        time_zone: Option<String>,
    },
}

impl From<Written> for Season {
    fn from(written: Written) -> Self {
        let (period, slots, time_zone) = match written {
            Written::Short(period) => (period, None, None),
            Written::Full { period, slots, time_zone } => (period, slots, time_zone),
        };
        Self { period, slots, time_zone: time_zone.unwrap_or_else(|| UTC.to_owned()) }
    }
}

impl JsonSchema for Season {
    fn schema_name() -> Cow<'static, str> {
        "Season".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let periods = json_schema!({
            "description": "auto: per feature, where the baseline's time column shows one.",
            "enum": ["auto", "none", "day", "week"],
        });
        json_schema!({
            "description": "The season that live is compared within; a word is the period.",
            "anyOf": [
                periods,
                {
                    "type": "object",
                    "properties": {
                        "period": periods,
                        "slots": {
                            "type": ["integer", "null"],
                            "description": "24 of a day, 168 of a week.",
                        },
                        "time_zone": {
                            "type": ["string", "null"],
                            "description": "IANA name of the zone whose clock the slots follow: UTC.",
                        },
                    },
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// The machine's database has no such zone.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "unknown time zone `{0}`; write a name of the IANA database, such as UTC or Europe/Berlin, and see \
     that this machine has the database (package tzdata)"
)]
pub struct UnknownZone(pub String);

/// The slots of a cycle by the local time of a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    cycle: Cycle,
    /// `None` is UTC, which needs no database.
    zone: Option<TimeZone>,
    name: String,
}

impl Calendar {
    /// # Errors
    /// When the zone is not known here.
    pub fn new(cycle: Cycle, time_zone: &str) -> Result<Self, UnknownZone> {
        let zone = match time_zone {
            UTC => None,
            name => Some(TimeZone::get(name).map_err(|_| UnknownZone(name.to_owned()))?),
        };
        Ok(Self { cycle, zone, name: time_zone.to_owned() })
    }

    pub fn cycle(&self) -> Cycle {
        self.cycle
    }

    pub fn time_zone(&self) -> &str {
        &self.name
    }

    /// The hour of the local day, or of the local week from Monday on, at `at_ms` since the epoch.
    ///
    /// A day of 25 hours has one hour twice: both are one slot. One of 23 hours lacks a slot.
    pub fn slot(&self, at_ms: i64) -> usize {
        let local_hour = at_ms.saturating_add(self.offset_ms(at_ms)).div_euclid(HOUR_MS);
        let hours = self.cycle.slots() as i64;
        let monday = match self.cycle {
            Cycle::Day => 0,
            Cycle::Week => EPOCH_WEEKDAY * HOURS_A_DAY as i64,
        };
        usize::try_from(local_hour.saturating_add(monday).rem_euclid(hours)).unwrap_or(0)
    }

    /// The slots of `[from_ms, to_ms)`, one for each hour, in order; at most a cycle of them.
    pub fn covered(&self, from_ms: i64, to_ms: i64) -> Vec<usize> {
        let hours = (0..self.cycle.slots() as i64).map(|hour| from_ms + hour * HOUR_MS);
        hours.take_while(|at_ms| *at_ms < to_ms).map(|at_ms| self.slot(at_ms)).collect()
    }

    /// What local time is ahead of UTC. Beyond the years that the database knows it is UTC.
    fn offset_ms(&self, at_ms: i64) -> i64 {
        let Some(zone) = &self.zone else { return 0 };
        let at = Timestamp::from_millisecond(at_ms).ok();
        at.map_or(0, |at| i64::from(zone.to_offset(at).seconds()) * 1_000)
    }
}

impl fmt::Display for Calendar {
    /// `day, 24 slots, Europe/Berlin`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} slots, {}", self.cycle.as_str(), self.cycle.slots(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn slots(cycle: Cycle, zone: &str, from: &str, panes: i64) -> Vec<usize> {
        let calendar = Calendar::new(cycle, zone).unwrap();
        (0..panes).map(|pane| calendar.slot(at(from) + pane * HOUR_MS)).collect()
    }

    #[test]
    fn a_day_in_utc_has_its_hours_and_a_week_begins_on_monday() {
        let hours: Vec<usize> = (0..24).collect();
        assert_eq!(slots(Cycle::Day, "UTC", "2026-11-02T00:00:00Z", 24), hours);
        let week: Vec<usize> = (0..168).collect();
        assert_eq!(slots(Cycle::Week, "UTC", "2026-11-02T00:00:00Z", 168), week);
        assert_eq!(slots(Cycle::Week, "UTC", "1969-12-29T00:00:00Z", 168), week);
    }

    #[test]
    fn the_day_that_is_short_lacks_a_slot_and_the_long_one_has_one_twice() {
        let short: Vec<usize> = (0..24).filter(|&hour| hour != 2).collect();
        assert_eq!(slots(Cycle::Day, "Europe/Berlin", "2026-03-28T23:00:00Z", 23), short);
        let long: Vec<usize> = [0, 1, 2].into_iter().chain(2..24).collect();
        assert_eq!(slots(Cycle::Day, "Europe/Berlin", "2026-10-24T22:00:00Z", 25), long);
        // The days behind them begin at 0 again.
        assert_eq!(slots(Cycle::Day, "Europe/Berlin", "2026-03-29T22:00:00Z", 1), [0]);
        assert_eq!(slots(Cycle::Day, "Europe/Berlin", "2026-10-25T23:00:00Z", 1), [0]);
        // A week of them is the local one, Monday to Sunday.
        assert_eq!(slots(Cycle::Week, "America/New_York", "2026-11-02T05:00:00Z", 2), [0, 1]);
        assert_eq!(slots(Cycle::Week, "America/New_York", "2026-11-02T04:00:00Z", 1), [167]);
    }

    #[test]
    fn a_zone_off_the_hour_has_slots_by_its_own_clock() {
        let calendar = Calendar::new(Cycle::Day, "Asia/Kolkata").unwrap();
        assert_eq!(calendar.slot(at("2026-11-02T18:29:59Z")), 23);
        assert_eq!(calendar.slot(at("2026-11-02T18:30:00Z")), 0);
    }

    #[test]
    fn moments_that_no_calendar_has_get_a_slot_all_the_same() {
        for zone in ["UTC", "Europe/Berlin"] {
            let calendar = Calendar::new(Cycle::Week, zone).unwrap();
            assert!([i64::MIN, -1, i64::MAX].into_iter().all(|at| calendar.slot(at) < 168));
        }
    }

    #[test]
    fn a_word_is_the_period_and_what_is_left_out_has_its_default() {
        let read = |json: &str| serde_json::from_str::<Season>(json).unwrap();
        assert_eq!(read("\"none\"").period, Period::None);
        assert_eq!(read("{}"), Season::default());
        let full = read(r#"{"period": "week", "slots": 168, "time_zone": "Asia/Tokyo"}"#);
        assert_eq!((full.period, full.slots), (Period::Week, Some(168)));
        assert_eq!(read(&serde_json::to_string(&full).unwrap()), full);
        assert!(serde_json::from_str::<Season>("\"month\"").is_err());
    }

    #[test]
    fn a_zone_that_is_not_there_is_named() {
        let error = Calendar::new(Cycle::Day, "Europe/Berln").unwrap_err();
        assert!(error.to_string().contains("`Europe/Berln`"), "{error}");
    }
}
