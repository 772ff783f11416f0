//! An Arrow array of a file as the counters take it, and what its type stores.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float16Type, Float32Type};

use crate::feature::{Column, Kind};
use crate::histogram::{Storage, categorical};

/// A column of a Parquet file, reference or live, as `histogram::count` takes it.
pub fn live_column(array: &ArrayRef, kind: Kind) -> Column {
    let array = match kind {
        Kind::Categorical => as_written(array),
        Kind::Numeric => widen(array),
    };
    Column { array, absent: Vec::new() }
}

/// Narrow floats as they are written: the category is `0.1`, not `0.10000000149011612`.
fn as_written(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().iter();
            shortest(values.map(|v| v.map(f64::from)), Storage::F32)
        }
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>().iter();
            shortest(values.map(|v| v.map(f64::from)), Storage::F16)
        }
        DataType::Dictionary(_, values)
            if matches!(**values, DataType::Float32 | DataType::Float16) =>
        {
            let dictionary = array.as_any_dictionary();
            dictionary.with_values(as_written(dictionary.values()))
        }
        _ => widen(array),
    }
}

/// What numbers a column of categories stores, where two that are written otherwise may be one: floats and
/// decimals.
pub(super) fn numbers(data_type: &DataType) -> Option<Storage> {
    match data_type {
        DataType::Dictionary(_, values) => numbers(values),
        DataType::Float64 => Some(Storage::F64),
        _ => Some(storage(data_type)).filter(|storage| *storage != Storage::F64),
    }
}

/// What the reference column stores, so that live values can be rounded to it.
pub(super) fn storage(data_type: &DataType) -> Storage {
    match data_type {
        DataType::Float32 => Storage::F32,
        DataType::Float16 => Storage::F16,
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Storage::Decimal { scale: *scale },
        DataType::Dictionary(_, values) => storage(values),
        _ => Storage::F64,
    }
}

/// Decimals that the counters do not know, as ones that they do.
fn widen(array: &ArrayRef) -> ArrayRef {
    let wider = match array.data_type() {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
            DataType::Decimal128(38, *scale)
        }
        DataType::Decimal256(..) => DataType::Float64,
        DataType::Dictionary(_, values) if values.is_numeric() => {
            let values = array.as_any_dictionary().values();
            let plain = widen(values);
            if Arc::ptr_eq(&plain, values) {
                return Arc::clone(array);
            }
            return array.as_any_dictionary().with_values(plain);
        }
        _ => return Arc::clone(array),
    };
    cast(array, &wider).unwrap_or_else(|_| new_null_array(&DataType::Null, array.len()))
}

fn shortest(values: impl Iterator<Item = Option<f64>>, storage: Storage) -> ArrayRef {
    Arc::new(values.map(|v| v.map(|v| categorical::written(storage, v))).collect::<Float64Array>())
}
