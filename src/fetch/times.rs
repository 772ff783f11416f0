//! When each row of a baseline happened, from the column that tells.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::fetch::error::Error;
use crate::fetch::parquet::Table;

/// Of a longer baseline the first rows tell.
const ROWS_MOST: usize = 20_000_000;
/// 2000-01-01T00:00:00Z: numbers that end before it count from something else than 1970.
const YEAR_2000_MS: i64 = 946_684_800_000;

/// The times of a column, in milliseconds since the epoch.
pub(super) struct Times {
    /// Of the first rows, one each.
    pub(super) of_rows: Vec<Option<i64>>,
    /// The last one of all rows.
    pub(super) last_ms: Option<i64>,
    /// They are times of the calendar, not only since the start of something.
    pub(super) is_dated: bool,
}

impl Times {
    /// Of the column at `index`.
    pub(super) fn read(table: &Table, index: usize) -> Result<Self, Error> {
        let mut reading = Reading::new(ROWS_MOST);
        table.for_each(index, &mut |array| reading.push(array))?;
        Ok(reading.finish())
    }
}

/// A column that is still being read.
struct Reading {
    rows_most: usize,
    of_rows: Vec<Option<i64>>,
    last_ms: Option<i64>,
    are_numbers: bool,
    /// All of these are days as one number, such as 20240115.
    are_days: bool,
}

impl Reading {
    fn new(rows_most: usize) -> Self {
        let of_rows = Vec::new();
        Self { rows_most, of_rows, last_ms: None, are_numbers: false, are_days: true }
    }

    fn push(&mut self, array: &ArrayRef) {
        let times = milliseconds(array);
        self.are_numbers |= array.data_type().is_numeric();
        let mut known = times.iter().flatten();
        self.are_days = self.are_days && self.are_numbers && known.all(|&ms| day_in(ms).is_some());
        self.last_ms = self.last_ms.max(times.iter().copied().flatten().max());
        let room = self.rows_most - self.of_rows.len();
        self.of_rows.extend(times.into_iter().take(room));
    }

    fn finish(self) -> Times {
        let Self { mut of_rows, mut last_ms, are_numbers, are_days, .. } = self;
        if are_numbers && are_days {
            of_rows.iter_mut().chain([&mut last_ms]).for_each(|time| *time = time.and_then(day_in));
        }
        let is_dated = !are_numbers || last_ms.is_some_and(|last| last >= YEAR_2000_MS);
        Times { of_rows, last_ms, is_dated }
    }
}

/// The day of a number that was taken for seconds.
fn day_in(ms: i64) -> Option<i64> {
    day_of(ms / 1_000)
}

/// Times of any column that can tell one: moments, dates, text in ISO 8601, numbers since the epoch.
fn milliseconds(array: &ArrayRef) -> Vec<Option<i64>> {
    let none = || vec![None; array.len()];
    let moment = DataType::Timestamp(TimeUnit::Millisecond, None);
    match array.data_type() {
        DataType::Timestamp(..)
        | DataType::Date32
        | DataType::Date64
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => match cast(array, &moment) {
            Ok(times) => times.as_primitive::<TimestampMillisecondType>().iter().collect(),
            Err(_) => none(),
        },
        other if other.is_integer() => match cast(array, &DataType::Int64) {
            Ok(numbers) => numbers.as_primitive::<Int64Type>().iter().map(since_epoch).collect(),
            Err(_) => none(),
        },
        other if other.is_floating() => match cast(array, &DataType::Float64) {
            Ok(numbers) => {
                let numbers = numbers.as_primitive::<Float64Type>().iter();
                #[expect(clippy::cast_possible_truncation, reason = "saturates; times fit")]
                let whole = numbers.map(|number| number.map(|number| number as i64));
                whole.map(since_epoch).collect()
            }
            Err(_) => none(),
        },
        _ => none(),
    }
}

/// The start of a day (UTC) that is written as one number: 20240115.
fn day_of(number: i64) -> Option<i64> {
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    if !(1900..=2100).contains(&year) {
        return None;
    }
    let part = |part: i64| i8::try_from(part).ok();
    let date = Date::new(i16::try_from(year).ok()?, part(month)?, part(day)?).ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told by their size.
fn since_epoch(number: Option<i64>) -> Option<i64> {
    const YEAR_3000_S: i64 = 32_503_680_000;
    let number = number?;
    match number.unsigned_abs() {
        size if size < YEAR_3000_S.unsigned_abs() => Some(number * 1_000),
        size if size < YEAR_3000_S.unsigned_abs() * 1_000 => Some(number),
        size if size < YEAR_3000_S.unsigned_abs() * 1_000_000 => Some(number / 1_000),
        _ => Some(number / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Float64Array, Int32Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn times_are_read_from_whatever_tells_them() {
        let expected = [Some(1_767_225_600_000), None];
        let arrays: [ArrayRef; 6] = [
            Arc::new(Int64Array::from(vec![Some(1_767_225_600), None])),
            Arc::new(Int64Array::from(vec![Some(1_767_225_600_000_000), None])),
            Arc::new(Int64Array::from(vec![Some(1_767_225_600_000_000_000), None])),
            Arc::new(Float64Array::from(vec![Some(1_767_225_600.4), None])),
            Arc::new(Date32Array::from(vec![Some(20_454), None])),
            Arc::new(StringArray::from(vec![Some("2026-01-01T00:00:00Z"), None])),
        ];
        for array in arrays {
            assert_eq!(milliseconds(&array), expected, "{}", array.data_type());
        }
        let other: ArrayRef = Arc::new(StringArray::from(vec!["yesterday"]));
        assert_eq!(milliseconds(&other), [None]);
        let small: ArrayRef = Arc::new(Int32Array::from(vec![1_767_225_600]));
        assert_eq!(milliseconds(&small), [Some(1_767_225_600_000)]);
    }

    fn read(rows_most: usize, arrays: &[ArrayRef]) -> Times {
        let mut reading = Reading::new(rows_most);
        arrays.iter().for_each(|array| reading.push(array));
        reading.finish()
    }

    fn numbers(numbers: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(numbers.to_vec()))
    }

    #[test]
    fn days_that_are_written_as_one_number_are_days() {
        // 2024-01-15 and 2024-02-29.
        let days = [Some(1_705_276_800_000), Some(1_709_164_800_000)];
        let times = read(9, &[numbers(&[20_240_115]), numbers(&[20_240_229])]);
        assert_eq!((&times.of_rows[..], times.last_ms), (&days[..], days[1]));
        assert!(times.is_dated);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(20_240_115.0), None]));
        assert_eq!(read(9, &[floats]).of_rows, [days[0], None]);
        // One that is no day tells that the others are none either.
        for other in [20_240_230, 20_241_301, 18_991_231, 21_010_101, 5] {
            let times = read(9, &[numbers(&[20_240_115, other])]);
            assert_eq!(times.of_rows[0], Some(20_240_115_000), "{other}");
        }
    }

    #[test]
    fn numbers_before_2000_are_no_dates() {
        assert!(!read(9, &[numbers(&[0, 1, 172_792])]).is_dated, "seconds since the start");
        assert!(read(9, &[numbers(&[0, 1_767_225_600])]).is_dated);
        assert!(!read(9, &[numbers(&[])]).is_dated);
        let written: ArrayRef = Arc::new(StringArray::from(vec!["1998-05-01T00:00:00Z"]));
        assert!(read(9, &[written]).is_dated, "a year that is written is meant");
    }

    #[test]
    fn the_last_time_is_that_of_all_rows_however_many_are_kept() {
        let rows = [numbers(&[1_767_225_600, 1_767_225_601]), numbers(&[1_767_225_700])];
        let times = read(1, &rows);
        assert_eq!(times.of_rows, [Some(1_767_225_600_000)]);
        assert_eq!(times.last_ms, Some(1_767_225_700_000));
    }
}
