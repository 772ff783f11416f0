//! First pass over a categorical column: how often each category occurs.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use arrow::array::{Array, ArrayRef};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::baseline::cap::LISTED_MAX;
use crate::histogram::categorical::{self, Category};
use crate::histogram::{CategoricalCells, Counts, Storage};

#[derive(Debug)]
pub(super) struct Categories {
    boolean: bool,
    /// Of a column of floats or decimals: what it stores.
    numbers: Option<Storage>,
    counts: HashMap<String, u64, Seeded>,
    distinct_max: usize,
    /// More categories than are kept; `counts` is not complete.
    overflow: bool,
    total: u64,
    /// What is in no cell.
    others: Counts,
}

/// What the first pass found.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) cells: CategoricalCells,
    /// Every row, unless there was an overflow.
    pub(super) counts: Option<Counts>,
    pub(super) overflow: bool,
    pub(super) total: u64,
    /// At least so many, when there was an overflow.
    pub(super) distinct: u64,
    pub(super) singletons: u64,
}

impl Categories {
    /// At most `rest_max` categories are known beyond those that have cells.
    pub(super) fn new(boolean: bool, numbers: Option<Storage>, rest_max: usize) -> Self {
        Self {
            boolean,
            numbers,
            counts: HashMap::with_hasher(Seeded::new()),
            distinct_max: rest_max.saturating_add(LISTED_MAX),
            overflow: false,
            total: 0,
            others: Counts::default(),
        }
    }

    /// Takes the next rows; false when the array cannot be categories.
    pub(super) fn push(&mut self, array: &ArrayRef) -> bool {
        self.others.null += array.logical_null_count() as u64;
        categorical::each_category(array.as_ref(), &mut |_, category| match category {
            Category::Text(text) => self.add(text),
            Category::Nan => self.others.nan += 1,
            Category::PosInf => self.others.pos_inf += 1,
            Category::NegInf => self.others.neg_inf += 1,
        })
    }

    fn add(&mut self, text: &str) {
        self.total += 1;
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
        } else if self.counts.len() < self.distinct_max {
            self.counts.insert(text.to_owned(), 1);
        } else {
            self.overflow = true;
        }
    }

    pub(super) fn finish(self) -> Tally {
        let distinct = self.counts.len() as u64 + u64::from(self.overflow);
        let singletons = self.counts.values().filter(|&&count| count == 1).count() as u64;
        let mut ranked: Vec<(String, u64)> = self.counts.into_iter().collect();
        ranked.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let beyond = ranked.split_off(ranked.len().min(LISTED_MAX));
        let in_rest = beyond.iter().map(|(_, count)| count).sum();
        let cells = ranked.iter().map(|&(_, count)| count).chain([in_rest]).collect();
        let counts = (!self.overflow).then_some(Counts { cells, ..self.others });
        let mut rest: Vec<u64> = beyond.iter().map(|(text, _)| categorical::hash(text)).collect();
        rest.sort_unstable();
        rest.dedup();
        let categories = ranked.into_iter().map(|(text, _)| text).collect();
        Tally {
            cells: CategoricalCells::new(categories, rest, self.boolean).with_numbers(self.numbers),
            counts,
            overflow: self.overflow,
            total: self.total,
            distinct,
            singletons,
        }
    }
}

/// A fast hash that a file can't be made to collide in: its seed is not known outside.
#[derive(Clone, Debug)]
struct Seeded {
    seed: u64,
}

impl Seeded {
    fn new() -> Self {
        Self { seed: RandomState::new().hash_one(0) }
    }
}

impl BuildHasher for Seeded {
    type Hasher = Hash;

    fn build_hasher(&self) -> Hash {
        Hash(self.seed)
    }
}

struct Hash(u64);

impl Hasher for Hash {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// Ends a text, and nothing follows it here.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;

    fn tally(values: &[&str], rest_max: usize) -> Tally {
        let mut categories = Categories::new(false, None, rest_max);
        let array: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        assert!(categories.push(&array));
        categories.finish()
    }

    #[test]
    fn categories_are_ranked_by_count_and_then_by_name() {
        let tally = tally(&["b", "a", "c", "c", "b", "d"], 10);
        assert_eq!(tally.cells.categories, ["b", "c", "a", "d"]);
        assert_eq!((tally.total, tally.distinct, tally.singletons), (6, 4, 2));
    }

    #[test]
    fn beyond_255_only_hashes_are_kept_and_beyond_the_limit_nothing() {
        let names: Vec<String> = (0..300).map(|i| format!("c{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let kept = tally(&names, 45);
        assert_eq!((kept.cells.categories.len(), kept.cells.rest.len()), (255, 45));
        assert!(!kept.overflow);
        assert!(tally(&names, 44).overflow);
    }
}
