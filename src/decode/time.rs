//! Event time as it stands in a record, to milliseconds since the epoch.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::fields::{EventTime, TimeUnit};

/// 2000-01-01T00:00:00Z and the end of the year 9999, in ms: nothing else is a time of a record.
const FIRST: i128 = 946_684_800_000;
const LAST: i128 = 253_402_300_799_999;
/// What lies before 2100 in some unit is worth a hint.
const PLAUSIBLE: i128 = 4_102_444_800_000;

/// A time that cannot be used, with what it looks like.
pub(crate) type BadTime = Option<&'static str>;

/// Checks a time that is in ms already.
pub(crate) fn checked(ms: i64) -> Result<i64, BadTime> {
    if (FIRST..=LAST).contains(&ms.into()) { Ok(ms) } else { Err(None) }
}

/// A whole number in the declared unit, rounded down to ms.
pub(crate) fn from_integer(number: i128, unit: TimeUnit) -> Result<i64, BadTime> {
    match in_ms(number, unit) {
        Some(ms) if (FIRST..=LAST).contains(&ms) => i64::try_from(ms).map_err(|_| None),
        _ => Err(looks_like(number)),
    }
}

/// A number with a fraction in the declared unit, rounded down to ms.
#[expect(clippy::cast_possible_truncation, reason = "saturates, and is checked after")]
pub(crate) fn from_float(number: f64, unit: TimeUnit) -> Result<i64, BadTime> {
    let ms = match unit {
        TimeUnit::S => number * 1e3,
        TimeUnit::Ms => number,
        TimeUnit::Us => number / 1e3,
        TimeUnit::Ns => number / 1e6,
        TimeUnit::Rfc3339 => return Err(looks_like(number as i128)),
    };
    // A NaN becomes 0, which is before 2000.
    let ms = ms.floor() as i64;
    checked(ms).map_err(|_| looks_like(number as i128))
}

/// A string in the declared unit: digits, as some writers put 64-bit integers; RFC 3339, or local to the
/// declared time zone.
pub(crate) fn from_text(text: &str, time: &EventTime) -> Result<i64, BadTime> {
    if time.unit != TimeUnit::Rfc3339 {
        if let Ok(number) = text.parse() {
            return from_integer(number, time.unit);
        }
        if let Ok(number) = text.parse() {
            return from_float(number, time.unit);
        }
        return Err(text.parse::<Timestamp>().is_ok().then_some("looks like rfc3339"));
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return checked(timestamp.as_millisecond());
    }
    let Ok(local) = text.parse::<DateTime>() else {
        return Err(text.parse().ok().and_then(looks_like));
    };
    let Some(zone) = &time.time_zone else { return Err(Some("no offset: set time_zone")) };
    let timestamp = zone.zone().to_timestamp(local).map_err(|_| None)?;
    checked(timestamp.as_millisecond())
}

fn in_ms(number: i128, unit: TimeUnit) -> Option<i128> {
    match unit {
        TimeUnit::S => number.checked_mul(1000),
        TimeUnit::Ms => Some(number),
        TimeUnit::Us => Some(number.div_euclid(1000)),
        TimeUnit::Ns => Some(number.div_euclid(1_000_000)),
        TimeUnit::Rfc3339 => None,
    }
}

/// The unit in which the number would lie between 2000 and 2100; no two units overlap there.
fn looks_like(number: i128) -> BadTime {
    let units = [
        (TimeUnit::S, "looks like s"),
        (TimeUnit::Ms, "looks like ms"),
        (TimeUnit::Us, "looks like us"),
        (TimeUnit::Ns, "looks like ns"),
    ];
    let fits = |unit| in_ms(number, unit).is_some_and(|ms| (FIRST..PLAUSIBLE).contains(&ms));
    units.into_iter().find(|&(unit, _)| fits(unit)).map(|(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::super::fields::{Pointer, Zone};
    use super::*;

    const NOON: i64 = 1_735_732_800_000;

    fn rfc3339(zone: Option<&str>) -> EventTime {
        EventTime {
            pointer: Pointer::try_from("/ts".to_owned()).unwrap(),
            unit: TimeUnit::Rfc3339,
            time_zone: zone.map(|zone| Zone::try_from(zone.to_owned()).unwrap()),
        }
    }

    #[test]
    fn every_unit_means_the_same_moment() {
        let noon = i128::from(NOON);
        assert_eq!(from_integer(noon / 1000, TimeUnit::S), Ok(NOON));
        assert_eq!(from_integer(noon, TimeUnit::Ms), Ok(NOON));
        assert_eq!(from_integer(noon * 1000 + 999, TimeUnit::Us), Ok(NOON));
        assert_eq!(from_integer(noon * 1_000_000 + 999_999, TimeUnit::Ns), Ok(NOON));
        assert_eq!(from_float(1_735_732_800.5, TimeUnit::S), Ok(NOON + 500));
        assert_eq!(from_text("2025-01-01T12:00:00Z", &rfc3339(None)), Ok(NOON));
        assert_eq!(from_text("2025-01-01T14:00:00.000+02:00", &rfc3339(None)), Ok(NOON));
    }

    #[test]
    fn a_local_time_needs_a_zone() {
        let text = "2025-01-01T13:00:00";
        assert_eq!(from_text(text, &rfc3339(None)), Err(Some("no offset: set time_zone")));
        assert_eq!(from_text(text, &rfc3339(Some("Europe/Paris"))), Ok(NOON));
        assert_eq!(from_text("2025-01-01T12:00:00Z", &rfc3339(Some("Europe/Paris"))), Ok(NOON));
    }

    #[test]
    fn a_wrong_unit_says_what_it_looks_like() {
        let noon = i128::from(NOON);
        assert_eq!(from_integer(noon, TimeUnit::S), Err(Some("looks like ms")));
        assert_eq!(from_integer(noon / 1000, TimeUnit::Ms), Err(Some("looks like s")));
        assert_eq!(from_integer(noon * 1000, TimeUnit::Ms), Err(Some("looks like us")));
        assert_eq!(from_integer(noon, TimeUnit::Rfc3339), Err(Some("looks like ms")));
        assert_eq!(from_float(1.735_732_8e12, TimeUnit::S), Err(Some("looks like ms")));
        let ms = EventTime { unit: TimeUnit::Ms, ..rfc3339(None) };
        assert_eq!(from_text("2025-01-01T12:00:00Z", &ms), Err(Some("looks like rfc3339")));
        assert_eq!(from_text("1735732800", &ms), Err(Some("looks like s")));
        assert_eq!(from_text("soon", &ms), Err(None));
        assert_eq!(from_text("NaN", &ms), Err(None));
    }

    #[test]
    fn digits_in_quotes_are_a_number() {
        let of = |unit| EventTime { unit, ..rfc3339(None) };
        assert_eq!(from_text("1735732800000", &of(TimeUnit::Ms)), Ok(NOON));
        assert_eq!(from_text("1735732800000000000", &of(TimeUnit::Ns)), Ok(NOON));
        assert_eq!(from_text("1735732800.5", &of(TimeUnit::S)), Ok(NOON + 500));
    }

    #[test]
    fn before_2000_and_out_of_range_are_no_times() {
        assert_eq!(from_integer(946_684_799, TimeUnit::S), Err(None));
        assert_eq!(from_integer(946_684_800, TimeUnit::S), Ok(946_684_800_000));
        assert_eq!(from_integer(i128::MAX, TimeUnit::S), Err(None));
        assert_eq!(from_float(f64::NAN, TimeUnit::S), Err(None));
        assert_eq!(from_float(f64::INFINITY, TimeUnit::Ms), Err(None));
        assert_eq!(from_text("yesterday", &rfc3339(None)), Err(None));
        assert_eq!(checked(-1), Err(None));
    }
}
