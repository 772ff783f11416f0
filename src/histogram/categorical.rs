//! Categories into cells: one per frequent category, one for the rest that is known.

use std::sync::OnceLock;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, UInt32Type, UInt64Type};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::feature::canonical_integer;
use crate::histogram::numeric;
use crate::histogram::{Counts, Storage};

mod memo;
mod values;

use memo::{Key, Memo};
pub use values::{Category, each_category, written};
use values::{canonical_stored, category_of};

/// One cell per listed category, in that order, and a last cell `rest` for the other known ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CategoricalCells {
    /// Canonical strings, by descending reference count, then by name; at most 255.
    pub categories: Vec<String>,
    /// Sorted XXH3-64 of the canonical strings of known categories beyond `categories`.
    pub rest: Vec<u64>,
    /// The reference column is boolean: `true`, `false`, 1 and 0 are its categories.
    pub boolean: bool,
    /// The reference column holds numbers that live ones are rounded to: what they are compared as. `None` for
    /// texts and integers, which are compared as they are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Storage>,
    /// Built from the other fields at first use.
    #[serde(skip)]
    index: OnceLock<Index>,
}

impl PartialEq for CategoricalCells {
    fn eq(&self, other: &Self) -> bool {
        let Self { categories, rest, boolean, numbers, index: _ } = self;
        *categories == other.categories
            && *rest == other.rest
            && *boolean == other.boolean
            && *numbers == other.numbers
    }
}

impl CategoricalCells {
    /// Cells for `categories` and one for those whose `hash` is in `rest`.
    pub fn new(categories: Vec<String>, rest: Vec<u64>, boolean: bool) -> Self {
        Self { categories, rest, boolean, numbers: None, index: OnceLock::new() }
    }

    /// The same, of a column that stores its categories as these numbers.
    pub fn with_numbers(self, numbers: Option<Storage>) -> Self {
        Self { numbers, ..self }
    }

    pub fn len(&self) -> usize {
        self.categories.len() + 1
    }

    pub fn is_empty(&self) -> bool {
        false
    }

    /// The cell of a canonical string; `None` when the reference has never seen it.
    ///
    /// Booleans are as the reference writes them: `true` is 1 or `True` where it has nothing but these and
    /// their opposites. Where it has `numbers`, a number is what its column would store for it: of an f32
    /// 0.1, 0.10000000149011612 and `0.10` are one category.
    pub fn cell(&self, category: &str) -> Option<usize> {
        let index = self.index.get_or_init(|| Index::of(self));
        let written = match category {
            "1" if self.boolean => "true",
            "0" if self.boolean => "false",
            other => other,
        };
        let found = index.cell(self, written);
        found.or_else(|| self.boolean(index, category)).or_else(|| self.number(index, category))
    }

    /// The cell of a boolean that the reference writes otherwise.
    fn boolean(&self, index: &Index, category: &str) -> Option<usize> {
        let at = ["false", "true"].iter().position(|boolean| *boolean == category)?;
        index.cell(self, self.spelling()?[at])
    }

    /// The cell of a number that the reference writes otherwise. The reference's own texts are those of the
    /// numbers that it stores, so what is found as it stands is found by this as well.
    fn number(&self, index: &Index, category: &str) -> Option<usize> {
        let storage = self.numbers?;
        let stored = canonical_stored(category, storage)?;
        index.cell(self, &stored)
    }

    /// How false and true are written, where the reference has two values that can only mean that.
    fn spelling(&self) -> Option<[&'static str; 2]> {
        let means = |pair: &[&str; 2]| {
            self.rest.is_empty() && self.categories.iter().all(|known| pair.contains(&&**known))
        };
        [["0", "1"], ["False", "True"]].into_iter().find(means)
    }
}

/// XXH3-64 of a canonical string, as `CategoricalCells::rest` keeps it.
pub fn hash(category: &str) -> u64 {
    xxh3_64(category.as_bytes())
}

/// Open addressing by the hash; slots hold the cell plus one, 0 is free.
#[derive(Clone, Debug)]
struct Index {
    slots: Vec<(u64, u32)>,
}

impl Index {
    fn of(cells: &CategoricalCells) -> Self {
        let n = cells.categories.len() + cells.rest.len();
        let mut index = Self { slots: vec![(0, 0); (2 * n + 1).next_power_of_two()] };
        let listed = cells.categories.iter().map(|category| hash(category)).enumerate();
        let rest = cells.rest.iter().map(|&hash| (cells.categories.len(), hash));
        for (cell, hash) in listed.chain(rest) {
            let cell = u32::try_from(cell + 1).expect("at most 255 categories are listed");
            let free = index.probe(hash).find(|&slot| index.slots[slot].1 == 0);
            index.slots[free.expect("at most half of the slots are taken")] = (hash, cell);
        }
        index
    }

    fn probe(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "masked anyway")]
        let home = hash as usize & mask;
        (0..=mask).map(move |step| (home + step) & mask)
    }

    fn cell(&self, cells: &CategoricalCells, category: &str) -> Option<usize> {
        let hash = hash(category);
        for slot in self.probe(hash) {
            let (taken_by, cell) = self.slots[slot];
            let cell = (cell as usize).checked_sub(1)?;
            if taken_by == hash && cells.categories.get(cell).is_none_or(|known| known == category)
            {
                return Some(cell);
            }
        }
        None
    }
}

/// What values were counted as, by number: the cells, and behind them what is in no cell.
struct Tally<'a> {
    cells: &'a CategoricalCells,
    counted: Vec<u64>,
}

impl<'a> Tally<'a> {
    fn new(cells: &'a CategoricalCells) -> Self {
        Self { cells, counted: vec![0; cells.len() + 4] }
    }

    /// The number of what a category is counted as.
    fn number(&self, category: Category<'_>) -> u32 {
        let n_cells = self.cells.len();
        let number = match category {
            Category::Text(text) => self.cells.cell(text).unwrap_or(n_cells),
            Category::Nan => n_cells + 1,
            Category::PosInf => n_cells + 2,
            Category::NegInf => n_cells + 3,
        };
        u32::try_from(number).expect("at most 255 categories are listed")
    }

    #[inline]
    fn add(&mut self, number: u32) {
        self.counted[number as usize] += 1;
    }

    fn finish(self, counts: &mut Counts) {
        let (cells, others) = self.counted.split_at(self.cells.len());
        for (count, counted) in counts.cells.iter_mut().zip(cells) {
            *count += counted;
        }
        let Counts { unseen, nan, pos_inf, neg_inf, .. } = counts;
        for (count, counted) in [unseen, nan, pos_inf, neg_inf].into_iter().zip(others) {
            *count += counted;
        }
    }

    fn strings<'s>(&mut self, strings: impl ExactSizeIterator<Item = Option<&'s str>>) {
        let mut memo = Memo::new(strings.len());
        for text in strings.flatten() {
            let look_up = || self.number(Category::Text(text));
            let number = match Key::text(text) {
                Some(key) => memo.get(key, look_up),
                None => look_up(),
            };
            self.add(number);
        }
    }

    fn integers<T: Into<i128> + Copy>(
        &mut self,
        integers: impl ExactSizeIterator<Item = Option<T>>,
        bits: impl Fn(T) -> u64,
    ) {
        let mut memo = Memo::new(integers.len());
        let mut text = String::new();
        for integer in integers.flatten() {
            let number = memo.get(Key::number(bits(integer)), || {
                text.clear();
                canonical_integer(integer, &mut text);
                self.number(Category::Text(&text))
            });
            self.add(number);
        }
    }

    fn floats(&mut self, array: &dyn Array) -> bool {
        let Some(values) = numeric::values(array) else { return false };
        let nulls = array.logical_nulls();
        let mut memo = Memo::new(values.len());
        let mut text = String::new();
        for (row, &value) in values.iter().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let number = memo
                .get(Key::number(value.to_bits()), || self.number(category_of(value, &mut text)));
            self.add(number);
        }
        true
    }

    /// Every distinct value is looked up once.
    fn dictionary(&mut self, array: &dyn Array) -> bool {
        let dictionary = array.as_any_dictionary();
        // Arrow can't normalise keys of nothing; then every row is null.
        if dictionary.values().is_empty() {
            return true;
        }
        let mut numbers = vec![None; dictionary.values().len()];
        let known = each_category(dictionary.values().as_ref(), &mut |key, category| {
            numbers[key] = Some(self.number(category));
        });
        let nulls = dictionary.nulls();
        for (row, key) in dictionary.normalized_keys().into_iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            if let Some(Some(number)) = numbers.get(key) {
                self.add(*number);
            }
        }
        known
    }
}

/// Counts the values of `array` that are not null.
pub(super) fn count(cells: &CategoricalCells, array: &dyn Array, counts: &mut Counts) {
    let mut tally = Tally::new(cells);
    macro_rules! integers {
        ($type:ty) => {
            tally.integers(array.as_primitive::<$type>().iter(), |v| {
                u64::from_le_bytes(v.to_le_bytes())
            })
        };
    }
    let mut known = true;
    match array.data_type() {
        DataType::Utf8 => tally.strings(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => tally.strings(array.as_string::<i64>().iter()),
        DataType::Utf8View => tally.strings(array.as_string_view().iter()),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Int32 => tally
            .integers(array.as_primitive::<Int32Type>().iter(), |v| u64::from(v.cast_unsigned())),
        DataType::UInt32 => tally.integers(array.as_primitive::<UInt32Type>().iter(), u64::from),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            known = tally.floats(array);
        }
        DataType::Dictionary(_, _) => known = tally.dictionary(array),
        _ => {
            known = each_category(array, &mut |_, category| {
                let number = tally.number(category);
                tally.add(number);
            });
        }
    }
    tally.finish(counts);
    if !known {
        counts.type_error += (array.len() - array.logical_null_count()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int64Array,
        LargeStringArray, StringArray, StringViewArray, TimestampSecondArray,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::feature::canonical_number;

    fn counted(cells: &CategoricalCells, array: &dyn Array) -> Counts {
        let mut counts = Counts::zero(cells.len());
        count(cells, array, &mut counts);
        counts
    }

    /// Tenths, neighbours in a narrow type, and any.
    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-50..50i32).prop_map(|x| f64::from(x) / 10.0),
            (-50..50i16).prop_map(|x| f64::from(f32::from(x) / 10.0)),
            (0..40u16).prop_map(|x| 2048.0 + f64::from(x) / 4.0),
            any::<f32>().prop_filter("finite", |x| x.is_finite()).prop_map(f64::from),
            any::<f64>().prop_filter("finite", |x| x.is_finite()),
        ]
    }

    fn digits() -> CategoricalCells {
        CategoricalCells::new(vec!["3".into(), "a".into()], vec![hash("b")], false)
    }

    #[test]
    fn a_dictionary_without_values_has_only_nulls() {
        let keys = [None::<&str>, None];
        let array = DictionaryArray::<Int32Type>::from_iter(keys);
        let counts = counted(&digits(), &array);
        assert_eq!((counts.in_cells(), counts.unseen), (0, 0));
        assert!(each_category(&array, &mut |_, _| panic!("nothing is there")));
    }

    #[test]
    fn three_and_three_point_zero_and_its_string_are_one_category() {
        let arrays: [ArrayRef; 4] = [
            Arc::new(Int64Array::from(vec![3])),
            Arc::new(Float64Array::from(vec![3.0])),
            Arc::new(StringArray::from(vec!["3"])),
            Arc::new(StringViewArray::from(vec!["3"])),
        ];
        for array in arrays {
            assert_eq!(counted(&digits(), &array).cells, [1, 0, 0]);
        }
    }

    #[test]
    fn known_beyond_the_list_is_rest_and_unknown_is_in_no_cell() {
        let values = vec![Some("a"), Some("b"), None, Some("c"), Some("")];
        let plain = counted(&digits(), &LargeStringArray::from(values.clone()));
        assert_eq!(plain.cells, [0, 1, 1]);
        assert_eq!(plain.unseen, 2);
        let dictionary: DictionaryArray<Int32Type> = values.into_iter().collect();
        assert_eq!(counted(&digits(), &dictionary), plain);
    }

    #[test]
    fn booleans_and_their_numbers_are_one_category_where_the_reference_is_boolean() {
        let cells = CategoricalCells::new(vec!["true".into(), "false".into()], vec![], true);
        let arrays: [ArrayRef; 4] = [
            Arc::new(BooleanArray::from(vec![true, false, true])),
            Arc::new(Int64Array::from(vec![1, 0, 1])),
            Arc::new(Float64Array::from(vec![1.0, -0.0, 1.0])),
            Arc::new(StringArray::from(vec!["true", "0", "1"])),
        ];
        for array in arrays {
            assert_eq!(counted(&cells, &array).cells, [2, 1, 0]);
        }
    }

    #[test]
    fn booleans_are_what_the_reference_calls_them() {
        let live = BooleanArray::from(vec![true, false, true]);
        for (no, yes) in [("0", "1"), ("False", "True"), ("false", "true")] {
            let cells = CategoricalCells::new(vec![no.into(), yes.into()], vec![], false);
            assert_eq!(counted(&cells, &live).cells, [1, 2, 0], "{yes}");
        }
        for others in [["1", "2"], ["1", "true"], ["0", "False"]] {
            let cells = CategoricalCells::new(others.map(str::to_owned).to_vec(), vec![], false);
            assert_eq!(counted(&cells, &BooleanArray::from(vec![false])).unseen, 1, "{others:?}");
        }
    }

    #[test]
    fn a_whole_decimal_keeps_every_digit_of_an_id() {
        let id = 9_007_199_254_740_993;
        let text = id.to_string();
        let cells = CategoricalCells::new(vec![text], vec![], false);
        let decimals = |units: i128, scale| {
            Decimal128Array::from(vec![units]).with_precision_and_scale(38, scale).unwrap()
        };
        for array in [decimals(id, 0), decimals(id * 100, 2)] {
            assert_eq!(counted(&cells, &array).cells, [1, 0]);
        }
        assert_eq!(counted(&cells, &decimals(id - 1, 0)).unseen, 1);
        let part = CategoricalCells::new(vec!["12.5".into(), "3000".into()], vec![], false);
        assert_eq!(counted(&part, &decimals(1250, 2)).cells, [1, 0, 0]);
        assert_eq!(counted(&part, &decimals(3, -3)).cells, [0, 1, 0]);
    }

    #[test]
    fn numbers_are_compared_as_what_the_reference_stores() {
        let cells = |numbers| {
            let known = ["0.1", "1", "16777216"].map(str::to_owned).to_vec();
            CategoricalCells::new(known, vec![hash("0.25")], false).with_numbers(Some(numbers))
        };
        let single = cells(Storage::F32);
        for (text, cell) in [
            ("0.1", Some(0)),
            ("0.10000000149011612", Some(0)),
            ("0.10", Some(0)),
            ("1.0", Some(1)),
            ("1e0", Some(1)),
            ("1.00000001", Some(1)),
            ("16777217", Some(2)),
            ("0.250", Some(3)),
            ("0.100001", None),
            ("1e300", None),
            ("nan", None),
            ("inf", None),
            ("one", None),
            ("", None),
        ] {
            assert_eq!(single.cell(text), cell, "{text}");
        }
        // A double tells these apart.
        let double = cells(Storage::F64);
        assert_eq!((double.cell("1.0"), double.cell("1.00000001")), (Some(1), None));
        assert_eq!((double.cell("16777217"), double.cell("0.10000000149011612")), (None, None));
        let money =
            CategoricalCells::new(vec!["12.5".into(), "9007199254740992".into()], vec![], false)
                .with_numbers(Some(Storage::Decimal { scale: 2 }));
        assert_eq!((money.cell("12.50"), money.cell("12.504")), (Some(0), Some(0)));
        // Neighbours of many digits stay two, although they are one double.
        assert_eq!(money.cell("9007199254740993"), None);
        // Texts and integers are compared as they are written.
        assert_eq!(digits().cell("3.0"), None);
    }

    #[test]
    fn an_id_that_the_reference_holds_as_a_double_is_known_by_it() {
        let id = 9_007_199_254_740_993_i64;
        let cells = CategoricalCells::new(vec!["9007199254740992".into()], vec![], false)
            .with_numbers(Some(Storage::F64));
        let texts = StringArray::from(vec![id.to_string()]);
        assert_eq!(counted(&cells, &Int64Array::from(vec![id])).cells, [1, 0]);
        assert_eq!(counted(&cells, &texts).cells, [1, 0]);
        assert_eq!(counted(&cells, &Int64Array::from(vec![id + 2])).unseen, 1);
    }

    #[test]
    fn not_a_number_is_no_category_and_a_time_is_a_wrong_type() {
        let odd = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3.0];
        let counts = counted(&digits(), &Float64Array::from(odd));
        assert_eq!((counts.nan, counts.pos_inf, counts.neg_inf), (1, 1, 1));
        assert_eq!(counts.cells, [1, 0, 0]);
        let times = TimestampSecondArray::from(vec![Some(1), None]);
        assert_eq!(counted(&digits(), &times).type_error, 1);
    }

    #[test]
    fn equality_does_not_ask_whether_the_index_was_built() {
        let (used, fresh) = (digits(), digits());
        assert_eq!(used.cell("a"), Some(1));
        assert_eq!(used, fresh);
    }

    proptest! {
        #[test]
        fn every_category_finds_its_own_cell(names in proptest::collection::btree_set("[a-z]{0,6}", 0..300)) {
            let (listed, rest): (Vec<_>, Vec<_>) =
                names.iter().cloned().enumerate().partition(|&(i, _)| i % 3 != 0);
            let listed: Vec<String> = listed.into_iter().map(|(_, name)| name).take(255).collect();
            let rest: Vec<u64> = rest.iter().map(|(_, name)| hash(name)).collect();
            let cells = CategoricalCells::new(listed.clone(), rest.clone(), false);
            for name in &names {
                let expected = listed
                    .iter()
                    .position(|known| known == name)
                    .or_else(|| rest.contains(&hash(name)).then_some(listed.len()));
                prop_assert_eq!(cells.cell(name), expected);
            }
            prop_assert_eq!(cells.cell("UNKNOWN"), None);
        }

        /// The live value is a category of the reference exactly where the column would store the same for both.
        #[test]
        fn floats_are_one_category_if_the_column_stores_one_number(
            storage in prop::sample::select(vec![Storage::F64, Storage::F32, Storage::F16]),
            known in proptest::collection::vec(number(), 1..20),
            others in proptest::collection::vec(number(), 0..20),
        ) {
            let mut names: Vec<String> = Vec::new();
            let mut stored: Vec<f64> = Vec::new();
            for x in &known {
                let x = storage.round(*x) + 0.0;
                if x.is_finite() && !stored.contains(&x) {
                    let mut name = String::new();
                    canonical_number(written(storage, x), &mut name);
                    names.push(name);
                    stored.push(x);
                }
            }
            let cells = CategoricalCells::new(names, vec![], false).with_numbers(Some(storage));
            for x in known.iter().chain(&others) {
                let rounded = storage.round(*x) + 0.0;
                let expected = stored.iter().position(|known| known.total_cmp(&rounded).is_eq());
                let mut canonical = String::new();
                canonical_number(*x, &mut canonical);
                // As a producer may write it: as it is, as what is stored, with an exponent.
                for text in [canonical, format!("{x}"), format!("{x:e}"), format!("{rounded}")] {
                    prop_assert_eq!(cells.cell(&text), expected, "{} of {:?}", text, &cells);
                }
            }
        }

        #[test]
        fn a_canonical_number_reads_back_as_the_same_number(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let mut text = String::new();
            canonical_number(number, &mut text);
            // -0 is written as 0.
            let read = text.parse::<f64>().unwrap() + 0.0;
            prop_assert_eq!(read.to_bits(), (number + 0.0).to_bits());
        }
    }
}
