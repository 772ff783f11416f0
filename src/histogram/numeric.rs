//! Numbers into cells between edges: the hot kernel.

use std::borrow::Cow;
use std::sync::OnceLock;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use half::f16;
use serde::{Deserialize, Serialize};

use crate::histogram::Counts;

mod block;
mod grid;

use block::Counter;
use grid::Grid;

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
    kernel: OnceLock<Kernel>,
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

/// What counting into these cells needs worked out once.
#[derive(Clone, Debug)]
struct Kernel {
    factor: f64,
    grid: Grid,
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
    fn round_all(self, values: &mut [f64]) {
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

/// Units of the last place to 1, or the other way round where the scale is negative.
fn power_of(scale: i8) -> f64 {
    10f64.powi(i32::from(scale.unsigned_abs()))
}

/// 2^51: beyond it a double is within half a unit of the last place of a whole number of them.
const WHOLE: f64 = 2_251_799_813_685_248.0;

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
            let power = power_of(*scale);
            let units = array.as_primitive::<Decimal128Type>().values().iter();
            if *scale >= 0 {
                units.map(|&v| v as f64 / power).collect()
            } else {
                units.map(|&v| v as f64 * power).collect()
            }
        }
        DataType::Boolean => {
            array.as_boolean().values().iter().map(|v| if v { 1.0 } else { 0.0 }).collect()
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let values = values(dictionary.values().as_ref())?;
            let at = |key: usize| values.get(key).copied().unwrap_or(f64::NAN);
            dictionary.normalized_keys().into_iter().map(at).collect()
        }
        _ => return None,
    };
    Some(Cow::Owned(owned))
}

/// Counts the values of `array` that are not null.
pub(super) fn count(cells: &NumericCells, array: &dyn Array, counts: &mut Counts) {
    let nulls = array.logical_nulls();
    let Some(values) = values(array) else {
        let null = nulls.map_or(0, |nulls| nulls.null_count());
        counts.type_error += (array.len() - null) as u64;
        return;
    };
    let kernel = cells
        .kernel
        .get_or_init(|| Kernel { factor: cells.scale.factor(), grid: Grid::new(&cells.edges) });
    let mut counter = Counter::new(cells, kernel.factor, &kernel.grid, counts);
    match nulls {
        Some(nulls) if nulls.null_count() > 0 => {
            for (start, end) in nulls.valid_slices() {
                counter.gather(&values[start..end]);
            }
        }
        _ => counter.take(&values),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int32Array,
        StringArray, UInt64Array,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::feature::{Absent, Column};
    use crate::histogram::{self, Cells};

    const UNIT: Scale = Scale { center: 0.0, unit: 1.0 };

    fn cells(edges: &[f64], storage: Storage) -> NumericCells {
        NumericCells::new(edges.to_vec(), -1.0, 10.0, UNIT, storage)
    }

    fn counted(cells: &NumericCells, array: &dyn Array) -> Counts {
        let mut counts = Counts::zero(cells.len());
        count(cells, array, &mut counts);
        counts
    }

    #[test]
    fn cells_are_closed_on_the_right() {
        let cells = cells(&[0.0, 1.0, 2.0], Storage::F64);
        let values = vec![-0.0, 0.0, f64::MIN_POSITIVE, 1.0, 1.0f64.next_up(), 2.0, 2.5];
        let counts = counted(&cells, &Float64Array::from(values));
        assert_eq!(counts.cells, [2, 2, 2, 1]);
    }

    #[test]
    fn an_atom_has_its_cell_to_itself() {
        let cells = cells(&[0.0f64.next_down(), 0.0], Storage::F64);
        let values = vec![0.0, -0.0, 0.0f64.next_down(), 0.0f64.next_up()];
        assert_eq!(counted(&cells, &Float64Array::from(values)).cells, [1, 2, 1]);
    }

    #[test]
    fn not_a_number_and_infinities_are_in_no_cell_and_no_sum() {
        let cells = cells(&[0.0], Storage::F64);
        let values = vec![f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0];
        let counts = counted(&cells, &Float64Array::from(values));
        assert_eq!((counts.nan, counts.pos_inf, counts.neg_inf), (2, 1, 1));
        assert_eq!((counts.cells.as_slice(), counts.sum), (&[0, 1][..], 1 << 20));
        assert_eq!((counts.below, counts.above), (0, 0));
    }

    #[test]
    fn absent_rows_and_explicit_nulls_are_told_apart() {
        let array = Arc::new(Float64Array::from(vec![None, Some(1.0), None, None]));
        let absent = vec![(0, Absent::Missing), (3, Absent::TypeError)];
        let cells = Cells::Numeric(cells(&[0.0], Storage::F64));
        let mut counts = Counts::zero(cells.len());
        histogram::count(&cells, &Column { array, absent }, &mut counts);
        assert_eq!((counts.missing, counts.null, counts.type_error), (1, 1, 1));
        assert_eq!(counts.records(), 4);
    }

    #[test]
    fn every_number_type_lands_in_the_same_cell() {
        let cells = cells(&[0.5, 1.5], Storage::F64);
        let arrays: [ArrayRef; 5] = [
            Arc::new(Float32Array::from(vec![0.0, 1.0])),
            Arc::new(Int32Array::from(vec![0, 1])),
            Arc::new(UInt64Array::from(vec![0, 1])),
            Arc::new(BooleanArray::from(vec![false, true])),
            Arc::new(Decimal128Array::from(vec![0, 100]).with_precision_and_scale(9, 2).unwrap()),
        ];
        for array in arrays {
            assert_eq!(counted(&cells, &array).cells, [1, 1, 0]);
        }
    }

    #[test]
    fn strings_where_numbers_belong_are_type_errors() {
        let cells = cells(&[0.5], Storage::F64);
        let counts = counted(&cells, &StringArray::from(vec![Some("1"), None]));
        assert_eq!(counts.type_error, 1);
    }

    #[test]
    fn a_live_double_and_a_training_float_are_the_same_number() {
        let edge = f64::from(0.1f32);
        let cells = cells(&[edge.next_down(), edge], Storage::F32);
        assert_eq!(counted(&cells, &Float64Array::from(vec![0.1])).cells, [0, 1, 0]);
        let overflow = counted(&cells, &Float64Array::from(vec![1e300]));
        assert_eq!(overflow.pos_inf, 1);
    }

    #[test]
    fn decimals_are_rounded_to_their_scale() {
        let cases = [
            (Storage::Decimal { scale: 2 }, 12.340_000_1, 12.34),
            (Storage::Decimal { scale: -2 }, 1234.0, 1200.0),
            (Storage::Decimal { scale: 2 }, 1e300, 1e300),
            (Storage::F16, 0.1, f16::from_f64(0.1).to_f64()),
            (Storage::F32, 0.1, f64::from(0.1f32)),
        ];
        for (storage, value, expected) in cases {
            assert_eq!(storage.round(value).to_bits(), expected.to_bits(), "{storage:?}");
        }
    }

    #[test]
    fn sums_give_mean_and_variance_back() {
        let values = vec![1.0, 2.0, 3.0, 6.0];
        let scale = Scale { center: 2.0, unit: 0.7 };
        let cells = NumericCells::new(vec![2.0], 1.0, 6.0, scale, Storage::F64);
        let counts = counted(&cells, &Float64Array::from(values));
        assert!((scale.mean(&counts).unwrap() - 3.0).abs() < 1e-5);
        assert!((scale.variance(&counts).unwrap() - 3.5).abs() < 1e-5);
        assert!((scale.to_mean(counts.low_sum, 2).unwrap() - 1.5).abs() < 1e-5);
        assert!((scale.to_mean(counts.high_sum, 2).unwrap() - 4.5).abs() < 1e-5);
        assert_eq!(scale.mean(&Counts::zero(2)), None);
    }

    #[test]
    fn fixed_point_is_clamped_whatever_the_unit() {
        assert_eq!(UNIT.to_fixed(1e300), 1 << 46);
        assert_eq!(UNIT.to_fixed(-1e300), -(1 << 46));
        assert_eq!(UNIT.to_fixed(1.5 / 1_048_576.0), 2);
        assert_eq!(UNIT.to_fixed(2.5 / 1_048_576.0), 2);
        for unit in [0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::NAN, f64::INFINITY] {
            let scale = Scale { center: -f64::MAX, unit };
            assert!(scale.to_fixed(f64::MAX).abs() <= 1 << 46, "{unit}");
        }
    }

    /// Edges, and values that try them: on edges, beside them, huge, tiny, and none at all.
    fn case() -> impl Strategy<Value = (NumericCells, Vec<Option<f64>>)> {
        let number = || {
            prop_oneof![
                6 => -20.0..20.0f64,
                2 => (-100i32..100).prop_map(|tenths| f64::from(tenths) / 10.0),
                1 => any::<u64>().prop_map(f64::from_bits),
                1 => prop::sample::select(vec![
                    0.0, -0.0, 5e-324, -5e-324, 1e300, -1e300, f64::MAX, f64::NAN,
                    f64::INFINITY, f64::NEG_INFINITY,
                ]),
            ]
        };
        let storage = prop_oneof![
            Just(Storage::F64),
            Just(Storage::F32),
            Just(Storage::F16),
            (-2i8..4).prop_map(|scale| Storage::Decimal { scale }),
        ];
        let scale = (-5.0..5.0f64, prop::sample::select(vec![1.0, 3.7, 1e-9, 1e9, 0.0]))
            .prop_map(|(center, unit)| Scale { center, unit });
        let edges = proptest::collection::vec((number(), any::<bool>()), 0..40);
        let values = proptest::collection::vec(proptest::option::weighted(0.9, number()), 0..2500);
        (edges, values, storage, scale, any::<bool>()).prop_map(
            |(edges, mut values, storage, scale, no_nulls)| {
                let rounded = edges.into_iter().map(|(edge, atom)| (storage.round(edge), atom));
                let mut edges: Vec<f64> = rounded
                    .flat_map(|(edge, atom)| [Some(edge), atom.then(|| edge.next_down())])
                    .flatten()
                    .filter(|edge| edge.is_finite())
                    .collect();
                edges.sort_by(f64::total_cmp);
                edges.dedup();
                for (value, &edge) in values.iter_mut().step_by(3).zip(&edges) {
                    *value = Some(edge);
                }
                if no_nulls {
                    values.retain(Option::is_some);
                }
                (NumericCells::new(edges, -10.0, 10.0, scale, storage), values)
            },
        )
    }

    proptest! {
        #[test]
        fn the_kernel_equals_counting_one_by_one((cells, values) in case()) {
            let mut expected = Counts::zero(cells.len());
            for &value in values.iter().flatten() {
                count_one(&cells, value, &mut expected);
            }
            let array = Float64Array::from(values.clone());
            let counts = counted(&cells, &array);
            prop_assert_eq!(&counts, &expected);
            // A slice, and blocks cut elsewhere, add up to the same.
            let cut = values.len() / 3;
            let mut parts = counted(&cells, &array.slice(0, cut));
            let rest = array.slice(cut, values.len() - cut);
            parts.add(&counted(&cells, &rest));
            prop_assert_eq!(&parts, &expected);
        }
    }

    /// Runs that are all small, have large values, or some that are not finite.
    fn runs() -> impl Strategy<Value = Vec<f64>> {
        let plain = || proptest::collection::vec(-12.0..12.0f64, 0..400);
        let with = |odd: Vec<f64>| {
            (plain(), prop::sample::select(odd), any::<prop::sample::Index>()).prop_map(
                |(mut run, odd, at)| {
                    run.insert(at.index(run.len() + 1), odd);
                    run
                },
            )
        };
        let large = vec![1e3, -1e3, 31.999, 32.0, 32.001, 1e9, -1e9, 1e300, -f64::MAX];
        let odd = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let run = prop_oneof![2 => plain(), 1 => with(large), 1 => with(odd)];
        proptest::collection::vec(run, 0..12).prop_map(|runs| runs.concat())
    }

    proptest! {
        #[test]
        fn small_blocks_count_like_large_ones(values in runs(), inner in any::<bool>()) {
            let edges = if inner { [-20.0, 0.5, 20.0] } else { [-9.0, 0.5, 11.0] };
            let (lowest, highest) = if inner { (-19.0, 19.0) } else { (-1.0, 10.0) };
            let cells = NumericCells::new(edges.to_vec(), lowest, highest, UNIT, Storage::F64);
            let mut expected = Counts::zero(cells.len());
            for &value in &values {
                count_one(&cells, value, &mut expected);
            }
            prop_assert_eq!(counted(&cells, &Float64Array::from(values)), expected);
        }
    }

    #[test]
    fn long_columns_of_extreme_values_lose_nothing() {
        let cells = cells(&[0.0], Storage::F64);
        let n = 1u64 << 20;
        let array = Float64Array::from(vec![1e300; 1 << 20]);
        let counts = counted(&cells, &array);
        assert_eq!(counts.sum, i128::from(n) << 46);
        assert_eq!(counts.sum_squares, i128::from(n) << 92);
        assert_eq!((counts.high_sum, counts.above), (counts.sum, n));
    }
}
