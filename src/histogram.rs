//! Fine cells that values are counted into, the counts, and the bins that statistics are computed on.

use serde::{Deserialize, Serialize};

use crate::codec::{Reader, Truncated, Writer};
use crate::feature::{Absent, Column};

pub mod categorical;
pub mod numeric;

pub use categorical::CategoricalCells;
pub use numeric::{NumericCells, Scale, Storage};

/// The grid of one feature. What falls where is fixed by the reference, never by live values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Cells {
    Numeric(NumericCells),
    Categorical(CategoricalCells),
}

impl Cells {
    /// How many cells there are, the open outer ones (or `rest`) included.
    pub fn len(&self) -> usize {
        match self {
            Cells::Numeric(cells) => cells.len(),
            Cells::Categorical(cells) => cells.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Counts every row of `column` into `counts`, which is of the same cells.
///
/// A value is rounded to the reference's storage type first. Nulls, NaN, infinities, wrong types
/// and unseen categories have counts of their own and are in no cell.
pub fn count(cells: &Cells, column: &Column, counts: &mut Counts) {
    assert_eq!(cells.len(), counts.cells.len(), "counts of other cells");
    let mut absent = 0;
    for (_, why) in &column.absent {
        absent += 1;
        match why {
            Absent::Missing => counts.missing += 1,
            Absent::TypeError => counts.type_error += 1,
        }
    }
    counts.null += (column.array.logical_null_count() as u64).saturating_sub(absent);
    match cells {
        Cells::Numeric(cells) => numeric::count(cells, column.array.as_ref(), counts),
        Cells::Categorical(cells) => categorical::count(cells, column.array.as_ref(), counts),
    }
}

/// Bins are unions of neighbouring cells: `starts[b]` is the first cell of bin `b`, ascending from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bins {
    pub starts: Vec<u32>,
}

impl Bins {
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Cell counts summed into bins; `cells` has one count per cell.
    pub fn sum(&self, cells: &[u64]) -> Vec<u64> {
        let ends = self.starts.iter().skip(1).map(|&s| s as usize).chain([cells.len()]);
        self.starts.iter().zip(ends).map(|(&s, e)| cells[s as usize..e].iter().sum()).collect()
    }
}

/// How many values of one feature fell where. Integers only, so that sums are exact in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// One per cell of the feature's `Cells`, in order.
    pub cells: Vec<u64>,
    /// The record had no such key.
    pub missing: u64,
    /// The value was an explicit null.
    pub null: u64,
    pub nan: u64,
    pub pos_inf: u64,
    pub neg_inf: u64,
    pub type_error: u64,
    /// Of the values in the lowest cell, those under the reference's own minimum.
    pub below: u64,
    /// Of the values in the highest cell, those over the reference's own maximum.
    pub above: u64,
    /// Categories that the reference has never seen; in no cell.
    pub unseen: u64,
    /// Sum of the values in cells, in the fixed point of the feature's `Scale`.
    pub sum: i128,
    /// Sum of their squares, in the square of that fixed point.
    pub sum_squares: i128,
    /// Sum over the lowest cell only.
    pub low_sum: i128,
    /// Sum over the highest cell only.
    pub high_sum: i128,
}

impl Counts {
    pub fn zero(n_cells: usize) -> Self {
        Self { cells: vec![0; n_cells], ..Self::default() }
    }

    /// Nothing counted, in the same cells.
    pub fn clear(&mut self) {
        let mut cells = std::mem::take(&mut self.cells);
        cells.fill(0);
        *self = Self { cells, ..Self::default() };
    }

    /// Values that fell in a cell: the `n` (or `m`) of every statistic on cells and bins.
    pub fn in_cells(&self) -> u64 {
        self.cells.iter().sum()
    }

    /// Missing keys, nulls and NaN: what pandas, too, calls missing.
    pub fn absent(&self) -> u64 {
        self.missing + self.null + self.nan
    }

    /// Every record that was looked at for this feature.
    pub fn records(&self) -> u64 {
        self.in_cells()
            + self.absent()
            + self.pos_inf
            + self.neg_inf
            + self.type_error
            + self.unseen
    }

    /// Adds `other`, which was counted into the same cells.
    pub fn add(&mut self, other: &Counts) {
        self.combine(other, |a, b| a + b, |a, b| a + b);
    }

    /// Takes `other` out again; it must have been added before.
    pub fn subtract(&mut self, other: &Counts) {
        self.combine(other, |a, b| a - b, |a, b| a - b);
    }

    fn combine(
        &mut self,
        other: &Counts,
        small: impl Fn(u64, u64) -> u64,
        wide: impl Fn(i128, i128) -> i128,
    ) {
        assert_eq!(self.cells.len(), other.cells.len(), "counts of other cells");
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            *mine = small(*mine, *theirs);
        }
        for (mine, theirs) in self.small_mut().into_iter().zip(other.small()) {
            *mine = small(*mine, theirs);
        }
        for (mine, theirs) in self.wide_mut().into_iter().zip(other.wide()) {
            *mine = wide(*mine, theirs);
        }
    }

    fn small(&self) -> [u64; 9] {
        [
            self.missing,
            self.null,
            self.nan,
            self.pos_inf,
            self.neg_inf,
            self.type_error,
            self.below,
            self.above,
            self.unseen,
        ]
    }

    fn small_mut(&mut self) -> [&mut u64; 9] {
        [
            &mut self.missing,
            &mut self.null,
            &mut self.nan,
            &mut self.pos_inf,
            &mut self.neg_inf,
            &mut self.type_error,
            &mut self.below,
            &mut self.above,
            &mut self.unseen,
        ]
    }

    fn wide(&self) -> [i128; 4] {
        [self.sum, self.sum_squares, self.low_sum, self.high_sum]
    }

    fn wide_mut(&mut self) -> [&mut i128; 4] {
        [&mut self.sum, &mut self.sum_squares, &mut self.low_sum, &mut self.high_sum]
    }

    /// Appends the counts; runs of empty cells take two bytes, so a quiet pane is small.
    pub fn encode(&self, out: &mut Writer) {
        out.u64(self.cells.len() as u64);
        let mut zeros = 0;
        for &count in &self.cells {
            if count == 0 {
                zeros += 1;
                continue;
            }
            flush_zeros(out, &mut zeros);
            out.u64(count);
        }
        flush_zeros(out, &mut zeros);
        for count in self.small() {
            out.u64(count);
        }
        for sum in self.wide() {
            out.i128(sum);
        }
    }

    /// Reads what `encode` wrote, refusing more than `max_cells` cells before allocating them.
    pub fn decode(input: &mut Reader<'_>, max_cells: usize) -> Result<Self, Truncated> {
        let n_cells = input.len_at_most(max_cells)?;
        let mut counts = Counts { cells: Vec::with_capacity(n_cells), ..Counts::default() };
        while counts.cells.len() < n_cells {
            match input.u64()? {
                0 => {
                    let run = input.len_at_most(n_cells - counts.cells.len())?;
                    if run == 0 {
                        return Err(Truncated);
                    }
                    counts.cells.resize(counts.cells.len() + run, 0);
                }
                count => counts.cells.push(count),
            }
        }
        for small in counts.small_mut() {
            *small = input.u64()?;
        }
        for wide in counts.wide_mut() {
            *wide = input.i128()?;
        }
        Ok(counts)
    }
}

/// An empty cell is written as 0 and the length of its run.
fn flush_zeros(out: &mut Writer, zeros: &mut u64) {
    if *zeros > 0 {
        out.u64(0);
        out.u64(std::mem::take(zeros));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts() -> impl Strategy<Value = Counts> {
        (
            proptest::collection::vec(prop_oneof![Just(0u64), 0..u64::from(u32::MAX)], 7),
            0..1000u64,
            any::<i64>(),
        )
            .prop_map(|(cells, small, wide)| Counts {
                cells,
                missing: small,
                unseen: small / 2,
                sum: i128::from(wide) << 40,
                high_sum: -i128::from(wide),
                ..Counts::default()
            })
    }

    proptest! {
        #[test]
        fn decode_gives_back_what_encode_took(counts in counts()) {
            let mut out = Writer::default();
            counts.encode(&mut out);
            let bytes = out.into_bytes();
            let mut input = Reader::new(&bytes);
            prop_assert_eq!(Counts::decode(&mut input, 7).unwrap(), counts);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn every_prefix_is_refused(counts in counts()) {
            let mut out = Writer::default();
            counts.encode(&mut out);
            let bytes = out.into_bytes();
            for end in 0..bytes.len() {
                prop_assert!(Counts::decode(&mut Reader::new(&bytes[..end]), 7).is_err());
            }
        }

        #[test]
        fn adding_commutes_and_subtracting_undoes(a in counts(), b in counts()) {
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.add(&b);
            ba.add(&a);
            prop_assert_eq!(&ab, &ba);
            prop_assert_eq!(ab.records(), a.records() + b.records());
            ab.subtract(&b);
            prop_assert_eq!(ab, a);
        }
    }
}
