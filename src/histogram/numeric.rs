//! Numbers into cells between edges: the hot kernel.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use half::f16;
use serde::{Deserialize, Serialize};

use crate::histogram::Counts;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
#[cfg(test)]
mod hostile;
mod kernel;
mod level;
mod lookup;
mod portable;
mod range;
mod search;
mod tally;
#[cfg(test)]
mod tests;

use block::Counter;
use kernel::Kernel;
pub use level::Level;

/// `K = edges.len() + 1` right-closed cells `(edges[i-1], edges[i]]`; the outer two are open to
/// infinity. An atom `a` has the cell `(pred(a), a]` to itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NumericCells {
    /// Strictly ascending, finite.
    pub edges: Vec<f64>,
    /// The reference's own range; outside it a value is `below` or `above`.
    pub lowest: f64,
    pub highest: f64,
    pub scale: Scale,
    pub storage: Storage,
    /// Built from the other fields at first use; they must not change after it.
    #[serde(skip)]
    kernel: OnceLock<Box<Kernel>>,
}

impl PartialEq for NumericCells {
    fn eq(&self, other: &Self) -> bool {
        let Self { edges, lowest, highest, scale, storage, kernel: _ } = self;
        *edges == other.edges
            && (*lowest, *highest) == (other.lowest, other.highest)
            && *scale == other.scale
            && *storage == other.storage
    }
}

impl NumericCells {
    /// Cells between `edges`, which ascend strictly and are finite.
    pub fn new(edges: Vec<f64>, lowest: f64, highest: f64, scale: Scale, storage: Storage) -> Self {
        Self { edges, lowest, highest, scale, storage, kernel: OnceLock::new() }
    }

    pub fn len(&self) -> usize {
        self.edges.len() + 1
    }

    pub fn is_empty(&self) -> bool {
        false
    }

    /// The cell of a finite value that is already rounded to the storage type.
    pub fn cell(&self, value: f64) -> usize {
        self.edges.partition_point(|&edge| edge < value)
    }

    /// How this processor counts into these cells, in a few words.
    pub fn kernel(&self) -> impl fmt::Display {
        self.built()
    }

    fn built(&self) -> &Kernel {
        self.kernel.get_or_init(|| Box::new(Kernel::new(self, Level::best())))
    }

    /// Takes `n` times a finite value out of counts that it was counted into.
    fn remove(&self, value: f64, n: u64, counts: &mut Counts) {
        let cell = self.cell(value);
        counts.cells[cell] -= n;
        counts.below -= n * u64::from(value < self.lowest);
        counts.above -= n * u64::from(value > self.highest);
        let (n, fixed) = (i128::from(n), i128::from(self.scale.to_fixed(value)));
        counts.sum -= n * fixed;
        counts.sum_squares -= n * fixed * fixed;
        counts.low_sum -= if cell == 0 { n * fixed } else { 0 };
        counts.high_sum -= if cell == self.edges.len() { n * fixed } else { 0 };
    }
}

/// The fixed point of sums: `x` counts as `round((x - center) / unit * 2^20)`, clamped to +-2^46.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// The reference's median.
    pub center: f64,
    /// The reference's interquartile range; if that is 0 its standard deviation, if that is 0 then 1.
    pub unit: f64,
}

/// 2^20 steps to a unit.
const STEPS: f64 = 1_048_576.0;
/// 2^46: 2^32 squares of it still fit an i128.
const LIMIT: f64 = 70_368_744_177_664.0;
/// 1.5 * 2^52: adding it to a number below 2^51 leaves the rounded integer in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

impl Scale {
    /// Steps of the fixed point to 1; finite and positive whatever the unit.
    pub(crate) fn factor(self) -> f64 {
        let factor = STEPS / self.unit.abs();
        if factor > 0.0 { factor.min(f64::MAX) } else { STEPS }
    }

    /// `x` in fixed point: `(x - center) * (2^20 / unit)`, clamped to +-2^46, then rounded half to
    /// even. `x` is finite.
    pub fn to_fixed(self, x: f64) -> i64 {
        fixed(x, self.center, self.factor())
    }

    /// What a sum of `n` values in fixed point is as a mean of the values themselves.
    pub fn to_mean(self, sum: i128, n: u64) -> Option<f64> {
        (n > 0).then(|| self.center + wide_ratio(sum, n) / self.factor())
    }

    /// Mean of the values in cells; `None` when there are none.
    pub fn mean(self, counts: &Counts) -> Option<f64> {
        self.to_mean(counts.sum, counts.in_cells())
    }

    /// Variance (ddof 0) of the values in cells; `None` when there are none.
    pub fn variance(self, counts: &Counts) -> Option<f64> {
        let n = counts.in_cells();
        if n == 0 {
            return None;
        }
        // n * sum_squares - sum^2 in integers: no cancellation, whatever the mean. It fits: the
        // sums are at most 2^(32+92) and 2^(32+46), so the products are scaled down by floats only
        // when they could not fit.
        let exact = i128::from(n).checked_mul(counts.sum_squares).and_then(|wide| {
            counts.sum.checked_mul(counts.sum).and_then(|square| wide.checked_sub(square))
        });
        let n_float = to_float(i128::from(n));
        let variance = match exact {
            Some(difference) => to_float(difference) / n_float / n_float,
            None => {
                let mean = wide_ratio(counts.sum, n);
                wide_ratio(counts.sum_squares, n) - mean * mean
            }
        };
        Some(variance.max(0.0) / (self.factor() * self.factor()))
    }

    /// Standard deviation (ddof 0) of the values in cells; `None` when there are none.
    pub fn sd(self, counts: &Counts) -> Option<f64> {
        self.variance(counts).map(f64::sqrt)
    }
}

/// The one definition of the fixed point, for `Scale` and for the kernels.
#[inline]
pub(crate) fn fixed(x: f64, center: f64, factor: f64) -> i64 {
    let steps = (x - center) * factor;
    let steps = if steps < LIMIT { steps } else { LIMIT };
    let steps = if steps > -LIMIT { steps } else { -LIMIT };
    (steps + ROUNDER).to_bits().cast_signed() - ROUNDER.to_bits().cast_signed()
}

/// `sum / n` with the integer part divided exactly.
fn wide_ratio(sum: i128, n: u64) -> f64 {
    let n = i128::from(n);
    to_float(sum / n) + to_float(sum % n) / to_float(n)
}

#[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
fn to_float(wide: i128) -> f64 {
    wide as f64
}

/// What the reference column stores; a live value is rounded to it before it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    F64,
    F32,
    F16,
    Decimal { scale: i8 },
}

impl Storage {
    /// The value that the reference column would hold for `x`. Infinite where it overflows.
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the point")]
    pub fn round(self, x: f64) -> f64 {
        match self {
            Storage::F64 => x,
            Storage::F32 => f64::from(x as f32),
            Storage::F16 => f16::from_f64(x).to_f64(),
            Storage::Decimal { scale } => round_decimal(x, scale, power_of(scale)),
        }
    }

    /// `round` of every value, in a loop of its own for each type.
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the point")]
    pub(crate) fn round_all(self, values: &mut [f64]) {
        match self {
            Storage::F64 => {}
            Storage::F32 => {
                for x in values {
                    *x = f64::from(*x as f32);
                }
            }
            Storage::F16 => {
                for x in values {
                    *x = f16::from_f64(*x).to_f64();
                }
            }
            Storage::Decimal { scale } => {
                let power = power_of(scale);
                for x in values {
                    *x = round_decimal(*x, scale, power);
                }
            }
        }
    }
}

/// Of the values of a closed range, by what the column stores: they lie above the first edge, and up to the
/// second. A bound one double within a value that the column can store leaves that value out, so an open
/// end is written as the next double; infinite where the range has no end.
pub fn edges_of_range(storage: Storage, [low, high]: [Option<f64>; 2]) -> (f64, f64) {
    // -0 and 0 are one value; adding 0 makes them so.
    let stored = |bound: f64| storage.round(bound) + 0.0;
    let same = |a: f64, b: f64| a.total_cmp(&b).is_eq();
    let below = low.map_or(f64::NEG_INFINITY, |low| match stored(low) {
        first if same(low, first.next_up()) => first,
        first => first.next_down(),
    });
    let last = high.map_or(f64::INFINITY, |high| match stored(high) {
        last if same(high, last.next_down()) => last.next_down(),
        last => last,
    });
    (below, last)
}

/// Units of the last place to 1, or the other way round where the scale is negative.
fn power_of(scale: i8) -> f64 {
    10f64.powi(i32::from(scale.unsigned_abs()))
}

/// The double nearest to `units` of `10^-scale`.
pub(super) fn of_decimal(units: i128, scale: i8) -> f64 {
    let power = power_of(scale);
    if scale >= 0 { units as f64 / power } else { units as f64 * power }
}

/// 2^51: beyond it a double is within half a unit of the last place of a whole number of them.
pub(super) const WHOLE: f64 = 2_251_799_813_685_248.0;

#[inline]
fn round_decimal(x: f64, scale: i8, power: f64) -> f64 {
    let units = if scale >= 0 { x * power } else { x / power };
    let rounded = (units + ROUNDER) - ROUNDER;
    let rounded = if scale >= 0 { rounded / power } else { rounded * power };
    if units.abs() < WHOLE { rounded } else { x }
}

/// The array's values as doubles, nulls as any number; `None` when it holds no numbers.
/// Booleans are 0 and 1; a decimal is the nearest double to its value.
pub fn values(array: &dyn Array) -> Option<Cow<'_, [f64]>> {
    macro_rules! widened {
        ($type:ty) => {
            array.as_primitive::<$type>().values().iter().map(|&v| f64::from(v)).collect()
        };
    }
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the nearest double is counted")]
    let owned: Vec<f64> = match array.data_type() {
        DataType::Float64 => {
            return Some(Cow::Borrowed(array.as_primitive::<Float64Type>().values()));
        }
        DataType::Float32 => widened!(Float32Type),
        DataType::Float16 => widened!(Float16Type),
        DataType::Int8 => widened!(Int8Type),
        DataType::Int16 => widened!(Int16Type),
        DataType::Int32 => widened!(Int32Type),
        DataType::Int64 => {
            array.as_primitive::<Int64Type>().values().iter().map(|&v| v as f64).collect()
        }
        DataType::UInt8 => widened!(UInt8Type),
        DataType::UInt16 => widened!(UInt16Type),
        DataType::UInt32 => widened!(UInt32Type),
        DataType::UInt64 => {
            array.as_primitive::<UInt64Type>().values().iter().map(|&v| v as f64).collect()
        }
        DataType::Decimal128(_, scale) => {
            let units = array.as_primitive::<Decimal128Type>().values().iter();
            units.map(|&units| of_decimal(units, *scale)).collect()
        }
        DataType::Boolean => {
            array.as_boolean().values().iter().map(|v| if v { 1.0 } else { 0.0 }).collect()
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let values = values(dictionary.values().as_ref())?;
            // Arrow can't normalise keys of nothing; then every row is null.
            if values.is_empty() {
                return Some(Cow::Owned(vec![f64::NAN; array.len()]));
            }
            let at = |key: usize| values.get(key).copied().unwrap_or(f64::NAN);
            dictionary.normalized_keys().into_iter().map(at).collect()
        }
        _ => return None,
    };
    Some(Cow::Owned(owned))
}

/// Counts the values of `array` that are not null.
pub(super) fn count(cells: &NumericCells, array: &dyn Array, counts: &mut Counts) {
    count_with(cells, cells.built(), array, counts);
}

fn count_with(cells: &NumericCells, kernel: &Kernel, array: &dyn Array, counts: &mut Counts) {
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    let mut counter = Counter::new(cells, kernel, array.len(), counts);
    macro_rules! primitive {
        ($type:ty, $widen:expr) => {
            counter.values(array.as_primitive::<$type>().values(), nulls.as_ref(), $widen)
        };
    }
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the nearest double is counted")]
    match array.data_type() {
        DataType::Float64 if nulls.is_none() => {
            counter.doubles(array.as_primitive::<Float64Type>().values());
        }
        DataType::Float64 => primitive!(Float64Type, |v| v),
        DataType::Float32 => primitive!(Float32Type, f64::from),
        DataType::Int32 => primitive!(Int32Type, f64::from),
        DataType::Int64 => primitive!(Int64Type, |v| v as f64),
        DataType::UInt32 => primitive!(UInt32Type, f64::from),
        DataType::UInt64 => primitive!(UInt64Type, |v| v as f64),
        _ => match values(array) {
            Some(values) => counter.values(&values, nulls.as_ref(), |v| v),
            None => {
                let null = nulls.map_or(0, |nulls| nulls.null_count());
                counter.type_errors((array.len() - null) as u64);
            }
        },
    }
    counter.finish();
}

/// The plain definition of counting one value, which the kernel equals bit for bit.
#[cfg(test)]
fn count_one(cells: &NumericCells, value: f64, counts: &mut Counts) {
    let value = cells.storage.round(value);
    if value.is_nan() {
        counts.nan += 1;
    } else if value == f64::INFINITY {
        counts.pos_inf += 1;
    } else if value == f64::NEG_INFINITY {
        counts.neg_inf += 1;
    } else {
        let cell = cells.cell(value);
        counts.cells[cell] += 1;
        counts.below += u64::from(value < cells.lowest);
        counts.above += u64::from(value > cells.highest);
        let fixed = i128::from(cells.scale.to_fixed(value));
        counts.sum += fixed;
        counts.sum_squares += fixed * fixed;
        if cell == 0 {
            counts.low_sum += fixed;
        }
        if cell == cells.edges.len() {
            counts.high_sum += fixed;
        }
    }
}
