//! What is counted where, at every level that this processor has.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int32Array, StringArray, UInt64Array,
};
use proptest::prelude::*;

use super::*;
use crate::feature::{Absent, Column};
use crate::histogram;
use crate::histogram::Cells;

const UNIT: Scale = Scale { center: 0.0, unit: 1.0 };

fn cells(edges: &[f64], storage: Storage) -> NumericCells {
    NumericCells::new(edges.to_vec(), -1.0, 10.0, UNIT, storage)
}

fn counted(cells: &NumericCells, array: &dyn Array) -> Counts {
    let count_at = |level| {
        let mut counts = Counts::zero(cells.len());
        count_with(cells, &Kernel::new(cells, level), array, &mut counts);
        counts
    };
    let portable = count_at(Level::Portable);
    for level in Level::here() {
        assert_eq!(count_at(level), portable, "{level}");
    }
    portable
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

#[test]
fn long_columns_of_one_cell_lose_nothing() {
    let n = (1usize << 19) + 100;
    let array = Float64Array::from(vec![0.25; n]);
    for edges in [2u32, 30, 200] {
        let edges: Vec<f64> = (0..edges).map(|edge| (f64::from(edge) + 0.5) / 20.0).collect();
        let cell = edges.partition_point(|&edge| edge < 0.25);
        let counts = counted(&cells(&edges, Storage::F64), &array);
        assert_eq!(counts.cells[cell], n as u64);
        assert_eq!(counts.in_cells(), n as u64);
        assert_eq!(counts.sum, (n as i128) << 18);
        assert_eq!(counts.sum_squares, (n as i128) << 36);
    }
}

#[test]
fn a_dictionary_without_values_has_only_nulls() {
    let values = Float64Array::from(Vec::<f64>::new());
    let keys = Int32Array::from(vec![None, None]);
    let array = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values)).unwrap();
    assert_eq!(counted(&cells(&[0.0], Storage::F64), &array), Counts::zero(2));
}
