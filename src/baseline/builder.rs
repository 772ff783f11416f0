//! One column into one feature: cells from its values, then counts. A second pass over the column
//! counts only what was not held in the first.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;

use crate::baseline::bins::{category_bins, value_bins};
use crate::baseline::category::Categories;
use crate::baseline::column::{live_column, numbers, storage};
use crate::baseline::evidently::is_integer;
use crate::baseline::layout::Class;
use crate::baseline::number::Numbers;
use crate::baseline::{Convention, FeatureBaseline, Planned, Unusable};
use crate::feature::{Column, Kind};
use crate::histogram::count;
use crate::histogram::{Bins, CategoricalCells, Cells, Counts};

/// A distribution needs at least so many values.
const VALUES_MIN: u64 = 100;

/// How much of a column is held at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Numeric values; above, edges come from a sample.
    pub values: usize,
    /// Categories beyond those with cells.
    pub rest: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { values: 20_000_000, rest: 1_000_000 }
    }
}

/// The first pass over a column.
#[derive(Debug)]
pub struct Builder {
    planned: Planned,
    rows: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Known from its type alone.
    Unusable(Unusable),
    Numeric(Numbers),
    Categorical(Categories),
}

impl Builder {
    /// For a column of `rows` rows.
    pub fn new(planned: Planned, rows: u64, limits: Limits) -> Self {
        let state = match (planned.unusable, planned.kind) {
            (Some(why), _) => State::Unusable(why),
            (None, Kind::Numeric) => {
                State::Numeric(Numbers::new(rows, limits.values, storage(&planned.data_type)))
            }
            (None, Kind::Categorical) => {
                let boolean = Class::of(&planned.data_type) == Class::Boolean;
                let numbers = numbers(&planned.data_type);
                State::Categorical(Categories::new(boolean, numbers, limits.rest))
            }
        };
        Self { planned, rows, state }
    }

    /// Whether the column has to be read at all.
    pub fn reads(&self) -> bool {
        match self.state {
            State::Unusable(_) => false,
            State::Numeric(_) | State::Categorical(_) => true,
        }
    }

    /// Takes the next rows, in the order of the file.
    pub fn push(&mut self, array: &ArrayRef) {
        let array = live_column(array, self.planned.kind).array;
        let known = match &mut self.state {
            State::Unusable(_) => true,
            State::Numeric(numbers) => numbers.push(&array),
            State::Categorical(categories) => categories.push(&array),
        };
        if !known && *array.data_type() != DataType::Null {
            self.state = State::Unusable(Unusable::UnsupportedType);
        }
    }

    /// Ends the first pass: cells and bins are fixed from here on.
    pub fn into_counter(self) -> Counter {
        let Self { planned, rows, state } = self;
        let mut feature = blank(&planned);
        let counts = match state {
            State::Unusable(why) => {
                feature.unusable = Some(why);
                None
            }
            State::Numeric(numbers) => measure(&mut feature, numbers, &planned),
            State::Categorical(categories) => {
                tally(&mut feature, categories, planned.declared, rows)
            }
        };
        let counted = feature.unusable.is_some() || counts.is_some();
        feature.reference = counts
            .filter(|_| feature.unusable.is_none())
            .unwrap_or_else(|| Counts::zero(feature.cells.len()));
        Counter { feature, counted }
    }
}

/// What all rows count as, where the values were held.
fn measure(feature: &mut FeatureBaseline, numbers: Numbers, planned: &Planned) -> Option<Counts> {
    let grids = match planned.convention {
        Convention::Driftd => None,
        Convention::Evidently => Some(is_integer(&feature.column_type)),
    };
    let Some(measured) = numbers.finish(grids, &planned.ranges) else {
        feature.unusable = Some(Unusable::AllNull);
        return None;
    };
    feature.unusable = (measured.finite < VALUES_MIN).then_some(Unusable::TooFewRows);
    // Edges of a handful of values are raw values: they stay out of the profile.
    if feature.unusable.is_none() {
        feature.cells = Cells::Numeric(measured.cells);
        feature.bins = measured.bins;
    }
    feature.distinct = measured.distinct;
    feature.sample = measured.sample;
    feature.singletons = measured.singletons;
    feature.mean = measured.mean;
    feature.sd = measured.sd;
    measured.values.filter(|_| feature.unusable.is_none()).map(|values| {
        let mut counts = Counts { cells: vec![0; feature.cells.len()], ..measured.others };
        let array = Arc::new(Float64Array::from(values));
        count(&feature.cells, &Column { array, absent: Vec::new() }, &mut counts);
        counts
    })
}

/// What all rows count as.
fn tally(
    feature: &mut FeatureBaseline,
    categories: Categories,
    declared: bool,
    rows: u64,
) -> Option<Counts> {
    let tally = categories.finish();
    feature.distinct = tally.distinct;
    feature.singletons = tally.singletons;
    feature.unusable = if tally.total == 0 {
        Some(Unusable::AllNull)
    } else if tally.total < VALUES_MIN {
        Some(Unusable::TooFewRows)
    } else if !declared && tally.distinct > rows / 2 {
        Some(Unusable::IdLike)
    } else if tally.overflow {
        Some(Unusable::TooManyCategories)
    } else {
        None
    };
    // Names of an identifier are raw values: they stay out of the profile.
    if feature.unusable.is_none() {
        feature.cells = Cells::Categorical(tally.cells);
    }
    tally.counts
}

/// The second pass over a column, where one is needed.
#[derive(Debug)]
pub struct Counter {
    feature: FeatureBaseline,
    /// The first pass knew all that is to be counted.
    counted: bool,
}

impl Counter {
    /// Whether the second pass is needed.
    pub fn reads(&self) -> bool {
        !self.counted
    }

    /// Takes the next rows; the same ones as the first pass. What that has counted is not counted again.
    pub fn push(&mut self, array: &ArrayRef) {
        if self.counted {
            return;
        }
        let column = live_column(array, self.feature.kind);
        count(&self.feature.cells, &column, &mut self.feature.reference);
    }

    pub fn finish(mut self) -> FeatureBaseline {
        if let (Cells::Categorical(_), None) = (&self.feature.cells, self.feature.unusable) {
            let counts = &self.feature.reference.cells;
            self.feature.bins = match self.feature.convention {
                Convention::Driftd => category_bins(counts),
                Convention::Evidently => value_bins(counts),
            };
        }
        self.feature
    }
}

fn blank(planned: &Planned) -> FeatureBaseline {
    let cells = Cells::Categorical(CategoricalCells::new(Vec::new(), Vec::new(), false));
    FeatureBaseline {
        role: planned.role,
        kind: planned.kind,
        column_type: planned.data_type.to_string(),
        convention: planned.convention,
        ..FeatureBaseline::of_counts(
            &planned.name,
            cells,
            Bins { starts: vec![0] },
            Counts::default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, DictionaryArray, Float32Array, Int32Array, Int64Array, StringArray,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::feature::Role;

    fn planned(array: &ArrayRef, kind: Kind) -> Planned {
        Planned {
            index: 0,
            name: "x".to_owned(),
            role: Role::Feature,
            kind,
            data_type: array.data_type().clone(),
            declared: true,
            unusable: None,
            convention: Convention::Driftd,
            ranges: Vec::new(),
        }
    }

    fn build(array: &ArrayRef, kind: Kind, declared: bool) -> FeatureBaseline {
        let planned = Planned { declared, ..planned(array, kind) };
        let mut builder = Builder::new(planned, array.len() as u64, Limits::default());
        builder.push(array);
        let mut counter = builder.into_counter();
        if counter.reads() {
            counter.push(array);
        }
        counter.finish()
    }

    proptest! {
        #[test]
        fn numbers_are_conserved(
            values in proptest::collection::vec(
                proptest::option::weighted(0.9, prop_oneof![
                    10 => -1e6..1e6f64,
                    5 => (-3..3i32).prop_map(f64::from),
                    1 => Just(f64::NAN),
                    1 => Just(f64::INFINITY),
                ]),
                300..900,
            ),
        ) {
            let finite = values.iter().flatten().filter(|v| v.is_finite()).count() as u64;
            let rows = values.len() as u64;
            let array: ArrayRef = Arc::new(Float64Array::from(values));
            let feature = build(&array, Kind::Numeric, false);
            prop_assert_eq!(feature.unusable, None);
            prop_assert_eq!(feature.reference.in_cells(), finite);
            prop_assert_eq!(feature.reference.records(), rows);
            prop_assert_eq!((feature.reference.below, feature.reference.above), (0, 0));
            let bins = feature.bins.sum(&feature.reference.cells);
            prop_assert_eq!(bins.iter().sum::<u64>(), finite);
            prop_assert!(bins.iter().all(|&n| n > 0), "{:?}", bins);
        }

        #[test]
        fn categories_are_conserved(
            values in proptest::collection::vec(proptest::option::weighted(0.9, 0..400u32), 900..1500),
        ) {
            let some = values.iter().flatten().count() as u64;
            let rows = values.len() as u64;
            let array: ArrayRef = Arc::new(
                values.iter().map(|v| v.map(|v| format!("c{}", v * v / 400))).collect::<StringArray>(),
            );
            let feature = build(&array, Kind::Categorical, false);
            prop_assert_eq!(feature.reference.in_cells(), some);
            prop_assert_eq!(feature.reference.records(), rows);
            prop_assert_eq!(feature.reference.unseen, 0);
            prop_assert!(feature.reference.cells.windows(2).take(254).all(|w| w[0] >= w[1] || w[1] == 0));
        }
    }

    proptest! {
        #[test]
        fn what_was_held_counts_like_a_second_pass(
            values in proptest::collection::vec(
                proptest::option::weighted(0.9, prop_oneof![
                    20 => -1e3..1e3f64,
                    20 => (-9..9i32).prop_map(f64::from),
                    1 => prop::sample::select(vec![
                        -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 5e-324,
                    ]),
                ]),
                100..4000,
            ),
            cut: prop::sample::Index,
        ) {
            #[expect(clippy::cast_possible_truncation, reason = "other types, other values")]
            let arrays: [ArrayRef; 5] = [
                Arc::new(Float64Array::from(values.clone())),
                Arc::new(values.iter().map(|v| v.map(|v| v as f32)).collect::<Float32Array>()),
                Arc::new(values.iter().map(|v| v.map(|v| v as i64)).collect::<Int64Array>()),
                Arc::new(values.iter().map(|v| v.map(|v| v > 0.0)).collect::<BooleanArray>()),
                Arc::new(values.iter().map(|v| v.map(|v| v.to_string())).collect::<StringArray>()),
            ];
            for array in &arrays {
                for kind in [Kind::Numeric, Kind::Categorical] {
                    if matches!(array.data_type(), DataType::Utf8) && kind == Kind::Numeric {
                        continue;
                    }
                    let mut builder =
                        Builder::new(planned(array, kind), array.len() as u64, Limits::default());
                    let at = cut.index(array.len());
                    builder.push(&array.slice(0, at));
                    builder.push(&array.slice(at, array.len() - at));
                    let counter = builder.into_counter();
                    prop_assert!(!counter.reads());
                    let feature = counter.finish();
                    let mut counts = Counts::zero(feature.cells.len());
                    if feature.unusable.is_none() {
                        count(&feature.cells, &live_column(array, kind), &mut counts);
                    }
                    prop_assert_eq!(&feature.reference, &counts);
                }
            }
        }
    }

    #[test]
    fn a_sample_decides_edges_only_and_counts_stay_exact() {
        let array: ArrayRef = Arc::new(Int32Array::from_iter_values(0..50_000));
        let planned = planned(&array, Kind::Numeric);
        let limits = Limits { values: 5_000, rest: 10 };
        let mut builder = Builder::new(planned, 50_000, limits);
        builder.push(&array);
        let mut counter = builder.into_counter();
        assert!(counter.reads());
        counter.push(&array);
        let feature = counter.finish();
        let sample = feature.sample.unwrap();
        assert!((4_000..=5_000).contains(&sample), "{sample}");
        assert_eq!(feature.reference.in_cells(), 50_000);
        assert_eq!((feature.reference.below, feature.reference.above), (0, 0), "range is exact");
        let bins = feature.bins.sum(&feature.reference.cells);
        assert_eq!(bins.len(), 10);
        assert!(bins.iter().all(|n| (4_000..6_000).contains(n)), "{bins:?}");
    }

    #[test]
    fn identifiers_are_unusable_and_their_names_are_not_kept() {
        let array: ArrayRef =
            Arc::new((0..1000).map(|i| Some(format!("user-{i}"))).collect::<StringArray>());
        let feature = build(&array, Kind::Categorical, false);
        assert_eq!(feature.unusable, Some(Unusable::IdLike));
        assert_eq!(feature.cells.len(), 1);
        assert_eq!(build(&array, Kind::Categorical, true).unusable, None, "declared on purpose");
    }

    #[test]
    fn few_values_and_none_are_unusable() {
        let few: ArrayRef = Arc::new(Float64Array::from(vec![1.0; 99]));
        assert_eq!(build(&few, Kind::Numeric, false).unusable, Some(Unusable::TooFewRows));
        let none: ArrayRef = Arc::new(Float64Array::from(vec![None; 200]));
        assert_eq!(build(&none, Kind::Numeric, false).unusable, Some(Unusable::AllNull));
        let nan: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN; 200]));
        assert_eq!(build(&nan, Kind::Numeric, false).unusable, Some(Unusable::AllNull));
    }

    #[test]
    fn integers_declared_categorical_are_their_decimal_strings() {
        let array: ArrayRef = Arc::new(Int32Array::from_iter_values((0..300).map(|i| i % 3)));
        let feature = build(&array, Kind::Categorical, true);
        let Cells::Categorical(cells) = &feature.cells else { panic!("{feature:?}") };
        assert_eq!(cells.categories, ["0", "1", "2"]);
        assert_eq!(feature.reference.cells, [100, 100, 100, 0]);
        assert_eq!(feature.bins.len(), 3);
    }

    #[test]
    fn booleans_are_categories_that_know_it() {
        let array: ArrayRef = Arc::new(BooleanArray::from_iter((0..200).map(|i| Some(i % 4 == 0))));
        let feature = build(&array, Kind::Categorical, false);
        let Cells::Categorical(cells) = &feature.cells else { panic!("{feature:?}") };
        assert!(cells.boolean && feature.feature().boolean);
        assert_eq!(cells.categories, ["false", "true"]);
    }

    #[test]
    fn a_number_that_is_0_or_1_may_come_as_a_boolean_and_no_other() {
        let of = |values: [i32; 2]| {
            let array = Int32Array::from_iter_values((0..300).map(|i| values[i % 3 / 2]));
            build(&(Arc::new(array) as ArrayRef), Kind::Numeric, true).feature().boolean
        };
        assert!(of([0, 1]));
        assert!(!of([0, 2]) && !of([-1, 1]));
        let parts = Float64Array::from_iter_values((0..300).map(|i| f64::from(i % 3) / 2.0));
        assert!(!build(&(Arc::new(parts) as ArrayRef), Kind::Numeric, true).feature().boolean);
    }

    #[test]
    fn narrow_floats_of_a_dictionary_are_written_as_people_write_them() {
        let values = Float32Array::from(vec![0.1, 2.5]);
        let keys = Int32Array::from_iter_values((0..300).map(|i| i % 2));
        let array: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::new(values)));
        let feature = build(&array, Kind::Categorical, true);
        let Cells::Categorical(cells) = &feature.cells else { panic!("{feature:?}") };
        assert_eq!(cells.categories, ["0.1", "2.5"]);
    }
}
