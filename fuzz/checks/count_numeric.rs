//! Numbers into cells: the kernels against counting one value at a time with `partition_point`.
//!
//! Input: edges, storage and scale, the column's type, then its values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int8Array, Int32Array, Int64Array, StringArray, UInt8Array, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int8Type;
use driftd::feature::{Absent, Column};
use driftd::histogram::{Cells, Counts, NumericCells, Scale, Storage, count};

use super::input::Input;

const MAX_VALUES: usize = 2000;

/// Counts a column whole, in two parts, and by the plain definition.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let storage = storage(&mut input);
    let edges = edges(&mut input, storage);
    let scale = scale(&mut input);
    let range = [input.number(&edges), input.number(&edges)];
    let lowest = range[0].min(range[1]).clamp(-f64::MAX, f64::MAX);
    let highest = range[0].max(range[1]).clamp(-f64::MAX, f64::MAX);
    let cells = NumericCells::new(edges, lowest, highest, scale, storage);
    let (column, values) = column(&mut input, &cells.edges);
    let expected = plain(&cells, &column, &values);
    let cells = Cells::Numeric(cells);
    let mut whole = Counts::zero(cells.len());
    count(&cells, &column, &mut whole);
    assert_eq!(whole, expected, "{:?} of {cells:?}", column.array);
    let rows = column.array.len();
    let cut = if rows == 0 { 0 } else { input.below(rows + 1) };
    let mut parts = Counts::zero(cells.len());
    for (from, to) in [(0, cut), (cut, rows)] {
        count(&cells, &slice(&column, from, to), &mut parts);
    }
    assert_eq!(parts, expected, "cut at {cut}: {:?} of {cells:?}", column.array);
}

fn storage(input: &mut Input<'_>) -> Storage {
    match input.byte() % 8 {
        0..=3 => Storage::F64,
        4 | 5 => Storage::F32,
        6 => Storage::F16,
        _ => Storage::Decimal { scale: i8::from_le_bytes(input.array()) % 12 },
    }
}

/// Few edges, an even or a growing grid, or edges that are anywhere; finite and ascending.
fn edges(input: &mut Input<'_>, storage: Storage) -> Vec<f64> {
    let mut edges: Vec<f64> = match input.byte() % 4 {
        shape @ (0 | 1) => {
            let (start, step) = (input.number(&[]), input.number(&[]).abs());
            let n = i32::from(input.byte()) * if shape == 0 { 1 } else { 5 };
            (0..n).map(|i| start + step * f64::from(i)).collect()
        }
        2 => {
            let (start, n) = (input.number(&[]), i32::from(input.byte()));
            (0..n).map(|i| start * 1.07f64.powi(i)).collect()
        }
        _ => {
            let n = input.byte() % 64;
            (0..n).map(|_| input.number(&[])).collect()
        }
    };
    let atoms = input.byte() % 4;
    if atoms == 3 {
        edges.extend(edges.clone().iter().map(|edge| storage.round(*edge).next_down()));
    }
    edges = edges.into_iter().map(|edge| storage.round(edge)).collect();
    if atoms >= 2 {
        edges.extend(edges.clone().iter().step_by(3).map(|edge| edge.next_down()));
    }
    edges.retain(|edge| edge.is_finite());
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    edges
}

/// A finite centre and a positive finite unit, as a profile must have.
fn scale(input: &mut Input<'_>) -> Scale {
    let [center, unit] = [input.number(&[]), input.number(&[])];
    let center = if center.is_finite() { center } else { 0.0 };
    let unit = if unit.is_finite() && unit != 0.0 { unit.abs() } else { 1.0 };
    Scale { center, unit }
}

/// A column of some type, and its values as doubles; what is null is `None`.
fn column(input: &mut Input<'_>, edges: &[f64]) -> (Column, Vec<Option<f64>>) {
    let (kind, repeat) = (input.byte(), 1 + usize::from(input.byte()) % 40);
    let odd = input.byte();
    let mut values = Vec::new();
    while !input.is_empty() && values.len() < 200 {
        let null = odd & 1 == 1 && input.byte().is_multiple_of(5);
        let value = input.number(edges);
        values.push((!null).then_some(value));
    }
    values = values.repeat(repeat);
    values.truncate(MAX_VALUES);
    let (array, values) = array(kind, values);
    let mut absent = Vec::new();
    for (row, value) in (0u32..).zip(&values) {
        if value.is_none() && odd & 2 == 2 && row % 3 < 2 {
            absent.push((row, if row % 2 == 0 { Absent::Missing } else { Absent::TypeError }));
        }
    }
    (Column { array, absent }, values)
}

#[expect(clippy::cast_possible_truncation, reason = "any number of the type will do")]
#[expect(clippy::cast_sign_loss, reason = "any number of the type will do")]
#[expect(clippy::cast_precision_loss, reason = "the nearest double is the definition")]
fn array(kind: u8, values: Vec<Option<f64>>) -> (ArrayRef, Vec<Option<f64>>) {
    macro_rules! of {
        ($array:ty, $make:expr, $read:expr) => {{
            let made: Vec<_> = values.iter().map(|value| value.map($make)).collect();
            let read = made.iter().map(|value| value.map($read)).collect();
            (Arc::new(<$array>::from(made)) as ArrayRef, read)
        }};
    }
    match kind % 16 {
        0 => of!(Float32Array, |x| x as f32, f64::from),
        1 => of!(Int64Array, |x| x as i64, |x| x as f64),
        2 => of!(Int32Array, |x| x as i32, f64::from),
        3 => of!(UInt8Array, |x| x as u8, f64::from),
        4 => of!(UInt64Array, |x| x as u64, |x| x as f64),
        5 => of!(BooleanArray, |x| x > 0.0, f64::from),
        6 => {
            let power = 10f64.powi(3);
            let (array, read) =
                of!(Decimal128Array, |x| (x * power) as i128 % 10i128.pow(30), |x| x as f64
                    / power);
            let array = array.as_any().downcast_ref::<Decimal128Array>().expect("just made");
            let array = array.clone().with_precision_and_scale(38, 3).expect("it fits");
            (Arc::new(array), read)
        }
        7 => dictionary(&values),
        8 => {
            // Under its nulls a column may hold anything.
            let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
            let hidden = values.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
            (Arc::new(Float64Array::new(hidden, Some(nulls))), values)
        }
        // No numbers: every value that is there is of a wrong type.
        9 => (Arc::new(values.iter().map(|x| x.map(|_| "1")).collect::<StringArray>()), values),
        _ => of!(Float64Array, |x| x, |x| x),
    }
}

/// Few distinct values, one of them null, and keys that are null as well.
fn dictionary(values: &[Option<f64>]) -> (ArrayRef, Vec<Option<f64>>) {
    let mut distinct: Vec<Option<f64>> = values.iter().copied().take(50).collect();
    distinct.push(None);
    let n = i8::try_from(distinct.len()).expect("at most 51");
    let keys: Int8Array = (0..values.len())
        .map(|row| {
            if row % 11 == 10 {
                None
            } else {
                i8::try_from(row % usize::from(n.unsigned_abs())).ok()
            }
        })
        .collect();
    let read = keys.iter().map(|key| distinct[usize::from(key?.unsigned_abs())]).collect();
    let distinct = Arc::new(Float64Array::from(distinct));
    (Arc::new(DictionaryArray::<Int8Type>::new(keys, distinct)), read)
}

fn slice(column: &Column, from: usize, to: usize) -> Column {
    let absent = column
        .absent
        .iter()
        .filter(|(row, _)| (from..to).contains(&(*row as usize)))
        .map(|(row, why)| (row - u32::try_from(from).expect("few rows"), *why))
        .collect();
    Column { array: column.array.slice(from, to - from), absent }
}

/// The definition, value by value.
fn plain(cells: &NumericCells, column: &Column, values: &[Option<f64>]) -> Counts {
    let mut counts = Counts::zero(cells.edges.len() + 1);
    for (_, why) in &column.absent {
        match why {
            Absent::Missing => counts.missing += 1,
            Absent::TypeError => counts.type_error += 1,
        }
    }
    let nulls = values.iter().filter(|value| value.is_none()).count();
    counts.null = (nulls - column.absent.len()) as u64;
    if column.array.data_type() == &arrow::datatypes::DataType::Utf8 {
        counts.type_error += (values.len() - nulls) as u64;
        return counts;
    }
    for value in values.iter().flatten() {
        let value = cells.storage.round(*value);
        match value {
            _ if value.is_nan() => counts.nan += 1,
            f64::INFINITY => counts.pos_inf += 1,
            f64::NEG_INFINITY => counts.neg_inf += 1,
            _ => plain_finite(cells, value, &mut counts),
        }
    }
    counts
}

fn plain_finite(cells: &NumericCells, value: f64, counts: &mut Counts) {
    let cell = cells.edges.partition_point(|&edge| edge < value);
    counts.cells[cell] += 1;
    counts.below += u64::from(value < cells.lowest);
    counts.above += u64::from(value > cells.highest);
    let fixed = fixed(cells.scale, value);
    counts.sum += fixed;
    counts.sum_squares += fixed * fixed;
    counts.low_sum += if cell == 0 { fixed } else { 0 };
    counts.high_sum += if cell == cells.edges.len() { fixed } else { 0 };
}

/// `(x - center) * (2^20 / unit)`, clamped to +-2^46, then rounded half to even.
#[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 2^46")]
fn fixed(scale: Scale, x: f64) -> i128 {
    let limit = 2f64.powi(46);
    let factor = (2f64.powi(20) / scale.unit).clamp(f64::MIN_POSITIVE, f64::MAX);
    ((x - scale.center) * factor).clamp(-limit, limit).round_ties_even() as i128
}
