//! The values of a column as categories: their canonical strings, whatever type holds them.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use half::f16;

use crate::feature::{canonical_boolean, canonical_integer, canonical_number};
use crate::histogram::{Storage, numeric};

/// What one value of a categorical column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category<'a> {
    /// Its canonical string.
    Text(&'a str),
    Nan,
    PosInf,
    NegInf,
}

/// Calls `visit` with every value of `array` that is not null, in order, with its row. False, and
/// no call, when the array's type cannot be a category (times, lists, binary...).
pub fn each_category(array: &dyn Array, visit: &mut dyn FnMut(usize, Category<'_>)) -> bool {
    let mut text = String::new();
    macro_rules! strings {
        ($strings:expr) => {
            for (row, value) in $strings.iter().enumerate() {
                if let Some(value) = value {
                    visit(row, Category::Text(value));
                }
            }
        };
    }
    macro_rules! integers {
        ($type:ty) => {
            for (row, value) in array.as_primitive::<$type>().iter().enumerate() {
                if let Some(value) = value {
                    text.clear();
                    canonical_integer(value, &mut text);
                    visit(row, Category::Text(&text));
                }
            }
        };
    }
    match array.data_type() {
        DataType::Utf8 => strings!(array.as_string::<i32>()),
        DataType::LargeUtf8 => strings!(array.as_string::<i64>()),
        DataType::Utf8View => strings!(array.as_string_view()),
        DataType::Boolean => {
            for (row, value) in array.as_boolean().iter().enumerate() {
                if let Some(value) = value {
                    visit(row, Category::Text(canonical_boolean(value)));
                }
            }
        }
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            return each_float(array, visit);
        }
        DataType::Decimal128(_, scale) => {
            for (row, value) in array.as_primitive::<Decimal128Type>().iter().enumerate() {
                if let Some(value) = value {
                    text.clear();
                    canonical_decimal(value, *scale, &mut text);
                    visit(row, Category::Text(&text));
                }
            }
        }
        DataType::Dictionary(_, _) => return each_of_dictionary(array, visit),
        DataType::Null => {}
        _ => return false,
    }
    true
}

fn each_float(array: &dyn Array, visit: &mut dyn FnMut(usize, Category<'_>)) -> bool {
    let Some(values) = numeric::values(array) else { return false };
    let mut text = String::new();
    for (row, &value) in values.iter().enumerate() {
        if array.is_null(row) {
            continue;
        }
        visit(row, category_of(value, &mut text));
    }
    true
}

/// A decimal of `units` of `10^-scale`: a whole one digit by digit, for a double has only 53 bits of an id.
fn canonical_decimal(units: i128, scale: i8, text: &mut String) {
    let power = 10i128.checked_pow(scale.unsigned_abs().into());
    let whole = power.and_then(|power| match scale {
        ..=0 => units.checked_mul(power),
        1.. => (units % power == 0).then(|| units / power),
    });
    match whole {
        Some(whole) => canonical_integer(whole, text),
        None => canonical_number(numeric::of_decimal(units, scale), text),
    }
}

/// The category of a number, written to `text`.
pub(super) fn category_of(value: f64, text: &mut String) -> Category<'_> {
    if value.is_nan() {
        return Category::Nan;
    }
    if value.is_infinite() {
        return if value > 0.0 { Category::PosInf } else { Category::NegInf };
    }
    text.clear();
    canonical_number(value, text);
    Category::Text(text)
}

/// The double that is written as the number which a column stores for `x` is: 0.1 for an f32, where `Storage::round`
/// gives the 0.10000000149011612 that it widens to. Not finite where the column overflows.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the point")]
pub fn written(storage: Storage, x: f64) -> f64 {
    let shortest = match storage {
        Storage::F64 | Storage::Decimal { .. } => return storage.round(x),
        Storage::F32 => (x as f32).to_string(),
        Storage::F16 => f16::from_f64(x).to_string(),
    };
    // What is not finite has a text that reads back, too.
    shortest.parse().unwrap_or(x)
}

/// The canonical string of what a column stores for the number that `text` is; `None` if it is no number, or
/// a decimal of so many digits that its double may be another one's.
pub(super) fn canonical_stored(text: &str, storage: Storage) -> Option<String> {
    let number: f64 = text.parse().ok()?;
    if let Storage::Decimal { scale } = storage {
        let units = number * 10f64.powi(i32::from(scale));
        (units.abs() < numeric::WHOLE).then_some(())?;
    }
    let stored = written(storage, number);
    let mut canonical = String::new();
    stored.is_finite().then(|| canonical_number(stored, &mut canonical))?;
    Some(canonical)
}

fn each_of_dictionary(array: &dyn Array, visit: &mut dyn FnMut(usize, Category<'_>)) -> bool {
    let dictionary = array.as_any_dictionary();
    // Arrow can't normalise keys of nothing; then every row is null.
    if dictionary.values().is_empty() {
        return true;
    }
    let mut texts: Vec<Option<OwnedCategory>> = vec![None; dictionary.values().len()];
    let known = each_category(dictionary.values().as_ref(), &mut |key, category| {
        texts[key] = Some(OwnedCategory::of(category));
    });
    let nulls = dictionary.nulls();
    for (row, key) in dictionary.normalized_keys().into_iter().enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        if let Some(Some(category)) = texts.get(key) {
            visit(row, category.borrow());
        }
    }
    known
}

#[derive(Clone)]
enum OwnedCategory {
    Text(String),
    Nan,
    PosInf,
    NegInf,
}

impl OwnedCategory {
    fn of(category: Category<'_>) -> Self {
        match category {
            Category::Text(text) => Self::Text(text.to_owned()),
            Category::Nan => Self::Nan,
            Category::PosInf => Self::PosInf,
            Category::NegInf => Self::NegInf,
        }
    }

    fn borrow(&self) -> Category<'_> {
        match self {
            Self::Text(text) => Category::Text(text),
            Self::Nan => Category::Nan,
            Self::PosInf => Category::PosInf,
            Self::NegInf => Category::NegInf,
        }
    }
}
