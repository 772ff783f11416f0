//! When a row of a file happened: which column says so, in what unit, and its values in ms.

use std::path::Path;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::datatypes::Float64Type;
use arrow::datatypes::Int64Type;
use arrow::datatypes::TimeUnit as ArrowUnit;
use arrow::datatypes::TimestampMillisecondType;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Map;
use serde_json::Value;

use crate::baseline::Layout;
use crate::baseline::Overrides;
use crate::baseline::Source;
use crate::decode::EventTime;
use crate::decode::Pointer;
use crate::decode::TimeUnit;
use crate::decode::fields::Zone;
use crate::decode::time;
use crate::source::file::Error;

/// No record is from later; a number that would be is in another unit.
const PLAUSIBLE_MS: i64 = 4_102_444_800_000;

/// What the user says about the rows' time.
#[derive(Clone, Debug, Default)]
pub struct TimeAsked {
    /// A column, a key, or a JSON pointer.
    pub column: Option<String>,
    pub unit: Option<TimeUnit>,
    /// For times without an offset; UTC if not given.
    pub zone: Option<Zone>,
    /// The rows have no time: so many of them make a pane.
    pub rows_per_pane: Option<u64>,
}

/// Where a row's time comes from.
#[derive(Clone, Debug)]
pub enum RowTime {
    /// The decoder finds it in the record.
    Field(EventTime),
    /// A column of the table; its own type wins over a unit.
    Column { name: String, unit: TimeUnit, zone: Option<Zone> },
    /// There is none: rows follow each other evenly.
    Spread { rows_per_pane: u64 },
}

impl RowTime {
    /// For people: completes "time: ...".
    pub fn describe(&self) -> String {
        let of = |at: &str, unit: &TimeUnit, zone: &Option<Zone>| {
            let zone = zone.clone().map(|zone| format!(" in {}", String::from(zone)));
            format!("`{at}` ({}{})", name_of(*unit), zone.unwrap_or_default())
        };
        match self {
            RowTime::Field(at) => of(at.pointer.as_str(), &at.unit, &at.time_zone),
            RowTime::Column { name, unit, zone } => of(name, unit, zone),
            RowTime::Spread { rows_per_pane } => {
                format!("none; {rows_per_pane} rows a pane, evenly spread from 2000-01-01")
            }
        }
    }
}

fn name_of(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::S => "s",
        TimeUnit::Ms => "ms",
        TimeUnit::Us => "us",
        TimeUnit::Ns => "ns",
        TimeUnit::Rfc3339 => "rfc3339",
    }
}

/// As a pointer, whichever way it was given.
fn pointer(given: &str) -> Result<Pointer, String> {
    let text = if given.starts_with('/') {
        given.to_owned()
    } else {
        format!("/{}", given.replace('~', "~0").replace('/', "~1"))
    };
    Pointer::try_from(text).map_err(|error| error.to_string())
}

/// The time of NDJSON records, from the first of them.
pub(super) fn of_lines(
    path: &Path,
    first: Option<Map<String, Value>>,
    asked: &TimeAsked,
    configured: Option<&EventTime>,
) -> Result<RowTime, Error> {
    if let Some(rows_per_pane) = asked.rows_per_pane {
        return Ok(RowTime::Spread { rows_per_pane });
    }
    if let (None, Some(configured)) = (&asked.column, configured) {
        return Ok(RowTime::Field(EventTime {
            pointer: configured.pointer.clone(),
            unit: asked.unit.unwrap_or(configured.unit),
            time_zone: asked.zone.clone().or_else(|| configured.time_zone.clone()),
        }));
    }
    let path = path.display().to_string();
    let Some(first) = first else { return Err(Error::Nothing { path }) };
    let columns = || first.keys().take(8).cloned().collect::<Vec<_>>().join(", ");
    let column = asked.column.clone().or_else(|| time_column(of_record(&first)));
    let Some(column) = column else { return Err(Error::NoTime { path, columns: columns() }) };
    let bad = |cause: String| Error::BadTime { path: path.clone(), column: column.clone(), cause };
    let pointer = pointer(&column).map_err(bad)?;
    let record = Value::Object(first.clone());
    let value = record.pointer(pointer.as_str());
    let value = value
        .ok_or_else(|| bad(format!("the first record has no such key; it has: {}", columns())))?;
    let (unit, local) = match value {
        Value::Number(number) => (asked.unit.or_else(|| unit_of(number.as_f64())), false),
        Value::String(text) => (Some(TimeUnit::Rfc3339), text.parse::<Timestamp>().is_err()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => (None, false),
    };
    let unit = asked.unit.or(unit).ok_or_else(|| {
        bad(format!("{value} is no time between 2000 and 2100 in s, ms, us or ns; say --time-unit"))
    })?;
    let time_zone = asked.zone.clone().or_else(|| local.then(utc));
    Ok(RowTime::Field(EventTime { pointer, unit, time_zone }))
}

/// The time of a table's rows, from its columns and the first of its rows.
pub(super) fn of_table(
    path: &Path,
    first: &RecordBatch,
    asked: &TimeAsked,
    configured: Option<&EventTime>,
) -> Result<RowTime, Error> {
    if let Some(rows_per_pane) = asked.rows_per_pane {
        return Ok(RowTime::Spread { rows_per_pane });
    }
    let path = path.display().to_string();
    let schema = first.schema();
    let has = |name: &String| first.column_by_name(name).is_some();
    let of_configured = configured.and_then(|at| at.pointer.steps().last()).filter(has);
    let own = || {
        let columns = schema.fields().iter();
        time_column(columns.map(|f| (f.name().clone(), f.data_type().clone())).collect())
    };
    let is_configured = asked.column.is_none() && of_configured.is_some();
    let names: Vec<&str> =
        schema.fields().iter().take(8).map(|field| field.name().as_str()).collect();
    let column = asked.column.clone().or(of_configured).or_else(own);
    let Some(name) = column else {
        return Err(Error::NoTime { path, columns: names.join(", ") });
    };
    let bad = |cause: String| Error::BadTime { path: path.clone(), column: name.clone(), cause };
    let Some(array) = first.column_by_name(&name) else {
        return Err(bad(format!("there is no such column; the file has: {}", names.join(", "))));
    };
    let declared = configured.filter(|_| is_configured);
    let found = match array.data_type() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Some(TimeUnit::Ms),
        number if number.is_numeric() => unit_of(first_number(array)),
        _ => Some(TimeUnit::Rfc3339),
    };
    let unit = asked.unit.or(declared.map(|at| at.unit)).or(found).ok_or_else(|| {
        bad("its first value is no time between 2000 and 2100 in s, ms, us or ns; say --time-unit"
            .to_owned())
    })?;
    let zone = asked.zone.clone().or_else(|| declared.and_then(|at| at.time_zone.clone()));
    Ok(RowTime::Column { name, unit, zone })
}

/// Keys of a record as columns of a file, so that both are searched alike.
fn of_record(record: &Map<String, Value>) -> Vec<(String, DataType)> {
    let data_type = |value: &Value| match value {
        Value::Number(_) => DataType::Int64,
        Value::String(_) => DataType::Utf8,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => DataType::Null,
    };
    record.iter().map(|(key, value)| (key.clone(), data_type(value))).collect()
}

fn time_column(columns: Vec<(String, DataType)>) -> Option<String> {
    let source = Source { columns, pandas_index: Default::default() };
    Layout::new(&source, &Overrides::default()).ok()?.time_column
}

/// The unit in which a number lies between 2000 and 2100; no two overlap there.
fn unit_of(number: Option<f64>) -> Option<TimeUnit> {
    let number = number?;
    [TimeUnit::S, TimeUnit::Ms, TimeUnit::Us, TimeUnit::Ns]
        .into_iter()
        .find(|&unit| time::from_float(number, unit).is_ok_and(|ms| ms < PLAUSIBLE_MS))
}

fn first_number(array: &ArrayRef) -> Option<f64> {
    let numbers = cast(array, &DataType::Float64).ok()?;
    numbers.as_primitive::<Float64Type>().iter().flatten().next()
}

fn utc() -> Zone {
    Zone::try_from("UTC".to_owned()).expect("every machine knows UTC")
}

/// The time of every row in ms since the epoch; `Err` is a row that has none, with what a person
/// should know. Columns of Arrow's own time types need no unit.
pub fn times_of(
    array: &ArrayRef,
    unit: TimeUnit,
    zone: Option<&Zone>,
) -> Vec<Result<i64, Option<&'static str>>> {
    let rows = array.len();
    let none = || vec![Err(None); rows];
    match array.data_type() {
        DataType::Timestamp(_, of) => {
            let naive = of.is_none();
            let ms = cast(array, &DataType::Timestamp(ArrowUnit::Millisecond, of.clone()));
            let Ok(ms) = ms else { return none() };
            let zone = zone.filter(|_| naive).and_then(time_zone);
            checked(ms.as_primitive::<TimestampMillisecondType>().iter(), zone.as_ref())
        }
        DataType::Date32 | DataType::Date64 => {
            let ms = cast(array, &DataType::Timestamp(ArrowUnit::Millisecond, None));
            let Ok(ms) = ms else { return none() };
            let zone = zone.and_then(time_zone);
            checked(ms.as_primitive::<TimestampMillisecondType>().iter(), zone.as_ref())
        }
        whole if whole.is_integer() => {
            let Ok(whole) = cast(array, &DataType::Int64) else { return none() };
            let ms = |value: Option<i64>| time::from_integer(value.ok_or(None)?.into(), unit);
            whole.as_primitive::<Int64Type>().iter().map(ms).collect()
        }
        number if number.is_numeric() => {
            let Ok(numbers) = cast(array, &DataType::Float64) else { return none() };
            let ms = |value: Option<f64>| time::from_float(value.ok_or(None)?, unit);
            numbers.as_primitive::<Float64Type>().iter().map(ms).collect()
        }
        _ => {
            let Ok(texts) = cast(array, &DataType::Utf8) else { return none() };
            let pointer = pointer("time").expect("a fixed pointer");
            let time_zone = Some(zone.cloned().unwrap_or_else(utc));
            let at = EventTime { pointer, unit: TimeUnit::Rfc3339, time_zone };
            let ms = |text: Option<&str>| time::from_text(text.ok_or(None)?, &at);
            texts.as_string::<i32>().iter().map(ms).collect()
        }
    }
}

fn time_zone(zone: &Zone) -> Option<TimeZone> {
    TimeZone::get(&String::from(zone.clone())).ok()
}

/// Local times of `zone`, or UTC.
fn checked(
    values: impl Iterator<Item = Option<i64>>,
    zone: Option<&TimeZone>,
) -> Vec<Result<i64, Option<&'static str>>> {
    let local = |ms: i64, zone: &TimeZone| {
        let local: DateTime = TimeZone::UTC.to_datetime(Timestamp::from_millisecond(ms).ok()?);
        zone.to_timestamp(local).ok().map(Timestamp::as_millisecond)
    };
    let ms = |value: Option<i64>| {
        let value = value.ok_or(None)?;
        let value = zone.map_or(Some(value), |zone| local(value, zone)).ok_or(None)?;
        time::checked(value)
    };
    values.map(ms).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::array::StringArray;
    use arrow::array::TimestampNanosecondArray;
    use serde_json::json;

    use super::*;

    const NOON: i64 = 1_735_732_800_000;

    fn lines(record: &Value, asked: &TimeAsked) -> Result<RowTime, Error> {
        of_lines(Path::new("a.ndjson"), record.as_object().cloned(), asked, None)
    }

    fn shown(record: &Value, asked: &TimeAsked) -> String {
        lines(record, asked).map_or_else(|e| e.to_string(), |time| time.describe())
    }

    #[test]
    fn the_time_of_records_is_found_by_name_and_its_unit_by_its_size() {
        let asked = TimeAsked::default();
        assert_eq!(shown(&json!({"x": 1, "ts": NOON}), &asked), "`/ts` (ms)");
        assert_eq!(shown(&json!({"timestamp": NOON / 1000}), &asked), "`/timestamp` (s)");
        let text = json!({"event_time": "2025-01-01T12:00:00Z"});
        assert_eq!(shown(&text, &asked), "`/event_time` (rfc3339)");
        let local = json!({"ts": "2025-01-01 12:00:00"});
        assert_eq!(shown(&local, &asked), "`/ts` (rfc3339 in UTC)");
        let zone = Zone::try_from("Europe/Paris".to_owned()).ok();
        let paris = TimeAsked { zone, ..TimeAsked::default() };
        assert_eq!(shown(&local, &paris), "`/ts` (rfc3339 in Europe/Paris)");
    }

    #[test]
    fn what_is_asked_for_comes_before_what_is_configured() {
        let record = json!({"ts": "2025-01-01 12:00:00"});
        let configured =
            EventTime { pointer: pointer("ts").unwrap(), unit: TimeUnit::Ms, time_zone: None };
        let of = |asked: &TimeAsked| {
            let first = record.as_object().cloned();
            of_lines(Path::new("a.ndjson"), first, asked, Some(&configured)).unwrap().describe()
        };
        assert_eq!(of(&TimeAsked::default()), "`/ts` (ms)");
        let zone = Zone::try_from("Europe/Paris".to_owned()).ok();
        let asked = TimeAsked { unit: Some(TimeUnit::Rfc3339), zone, ..TimeAsked::default() };
        assert_eq!(of(&asked), "`/ts` (rfc3339 in Europe/Paris)");
    }

    #[test]
    fn a_time_that_is_not_there_says_what_to_do() {
        let asked = TimeAsked::default();
        assert!(shown(&json!({"x": 1}), &asked).contains("--rows-per-pane"));
        assert!(shown(&json!({"ts": 7}), &asked).contains("--time-unit"));
        let named = TimeAsked { column: Some("when".to_owned()), ..TimeAsked::default() };
        assert!(shown(&json!({"x": 1}), &named).contains("no such key; it has: x"));
        let nested = TimeAsked { column: Some("/meta/at".to_owned()), ..TimeAsked::default() };
        assert_eq!(shown(&json!({"meta": {"at": NOON}}), &nested), "`/meta/at` (ms)");
    }

    #[test]
    fn every_type_of_column_means_the_same_moment() {
        let ns: ArrayRef =
            Arc::new(TimestampNanosecondArray::from(vec![Some(NOON * 1_000_000), None]));
        assert_eq!(times_of(&ns, TimeUnit::S, None), [Ok(NOON), Err(None)]);
        let s: ArrayRef = Arc::new(Int64Array::from(vec![NOON / 1000, 5]));
        assert_eq!(times_of(&s, TimeUnit::S, None), [Ok(NOON), Err(None)]);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["2025-01-01 12:00:00", "no"]));
        assert_eq!(times_of(&text, TimeUnit::Ms, None), [Ok(NOON), Err(None)]);
        let paris = Zone::try_from("Europe/Paris".to_owned()).unwrap();
        assert_eq!(times_of(&ns, TimeUnit::Ms, Some(&paris))[0], Ok(NOON - 3_600_000));
        assert_eq!(times_of(&text, TimeUnit::Ms, Some(&paris))[0], Ok(NOON - 3_600_000));
    }
}
