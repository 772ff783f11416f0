//! From a feature's cells to the few columns that evidence is kept in.

use crate::baseline::FeatureBaseline;
use crate::baseline::season::PRIOR;
use crate::decide::evidence::null::{RARE, Shape};
use crate::decide::evidence::slots::SlotMap;
use crate::histogram::{Cells, Counts};

/// What a body bin of a number should hold: finer in the tails than deciles.
const TARGETS: [f64; 14] =
    [0.01, 0.04, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.04, 0.01];

/// A fixed sum of cells: the coarsest columns from which both the detector's bins and the bins of
/// scores can be had, so that a score since onset needs no more than what the detector keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    shape: Shape,
    /// Column of each cell, ascending.
    of_cell: Vec<usize>,
    /// Detector bin of each column, ascending without gaps; and bin of scores.
    body: Vec<usize>,
    bins: Vec<usize>,
    /// Of a feature with a season, how each slot's cells become columns.
    slots: Vec<SlotMap>,
}

impl Columns {
    /// The columns of a feature that has a reference.
    ///
    /// A cell of a number goes to the detector bin in which the middle of its reference mass falls:
    /// the first `j` with `F_i - P_i / 2 <= ` the targets' sum up to `j`. Categories have the bins of
    /// their scores.
    pub fn new(feature: &FeatureBaseline) -> Self {
        let (shape, body) = match &feature.cells {
            Cells::Numeric(_) => (Shape::Numeric, by_mass(&feature.reference.cells)),
            Cells::Categorical(_) => (Shape::Categorical, bin_of_cells(feature)),
        };
        let bins = bin_of_cells(feature);
        let mut columns = Self {
            shape,
            of_cell: Vec::new(),
            body: Vec::new(),
            bins: Vec::new(),
            slots: Vec::new(),
        };
        let mut last = None;
        for pair in body.iter().copied().zip(bins.iter().copied()) {
            if last != Some(pair) {
                // Detector bins that got no cell are dropped.
                let n_bodies = match last {
                    None => 0,
                    Some((body, _)) => {
                        columns.body[columns.body.len() - 1] + usize::from(body != pair.0)
                    }
                };
                columns.body.push(n_bodies);
                columns.bins.push(pair.1);
                last = Some(pair);
            }
            columns.of_cell.push(columns.body.len() - 1);
        }
        let slots = feature.season.iter().flat_map(|season| &season.slots);
        columns.slots =
            slots.map(|slot| columns.slot(&slot.cells, &feature.reference.cells)).collect();
        columns
    }

    /// How the cells of a slot that holds `slot` of the `reference` become columns.
    pub fn slot(&self, slot: &[u64], reference: &[u64]) -> SlotMap {
        let floats = |counts: &[u64]| counts.iter().copied().map(to_float).collect::<Vec<f64>>();
        let (slot, reference) = (floats(slot), floats(reference));
        match self.shape {
            Shape::Numeric => SlotMap::monotone(&slot, &reference, &self.of_cell, PRIOR),
            Shape::Categorical => SlotMap::maximal(
                &self.gathered_cells(&slot),
                &self.gathered_cells(&reference),
                PRIOR,
            ),
        }
    }

    /// Cells summed into columns.
    fn gathered_cells(&self, cells: &[f64]) -> Vec<f64> {
        gathered(cells, &self.of_cell)
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many numbers `map` gives: the columns and the three behind them.
    pub fn len(&self) -> usize {
        self.body.len() + RARE
    }

    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Counts to columns: the body's, then below, above and missing of a number, or nothing, unseen and
    /// missing of a category. Infinities are outside of the range; what has the wrong type is no value.
    pub fn map(&self, counts: &Counts) -> Vec<f64> {
        let mut columns = vec![0u64; self.len()];
        for (&column, count) in self.of_cell.iter().zip(&counts.cells) {
            columns[column] += count;
        }
        let n_body = self.body.len();
        let (first, second) = match self.shape {
            Shape::Numeric => {
                // A parity profile has cells of its own outside of the range: what is outside may lie
                // in more than the outer column.
                take_out(columns[..n_body].iter_mut(), counts.below);
                take_out(columns[..n_body].iter_mut().rev(), counts.above);
                (counts.below + counts.neg_inf, counts.above + counts.pos_inf)
            }
            Shape::Categorical => (0, counts.unseen),
        };
        columns[n_body] = first;
        columns[n_body + 1] = second;
        columns[n_body + 2] = counts.absent();
        columns.into_iter().map(to_float).collect()
    }

    /// The same as `map`, of counts of one slot of the season, so that they are compared with all of the
    /// reference. What is outside of the body is as it is.
    pub fn map_in(&self, slot: Option<usize>, counts: &Counts) -> Vec<f64> {
        match slot.and_then(|slot| self.slots.get(slot)) {
            None => self.map(counts),
            Some(map) => self.map_by(map, counts),
        }
    }

    /// Counts of a slot to columns by that slot's map.
    pub fn map_by(&self, map: &SlotMap, counts: &Counts) -> Vec<f64> {
        let mut columns = self.map(counts);
        let rare = columns.split_off(self.body.len());
        let mut mapped = match self.shape {
            Shape::Categorical => map.apply(&columns),
            Shape::Numeric => {
                let mut cells = counts.cells.clone();
                take_out(cells.iter_mut(), counts.below);
                take_out(cells.iter_mut().rev(), counts.above);
                map.apply(&cells.into_iter().map(to_float).collect::<Vec<f64>>())
            }
        };
        mapped.extend(rare);
        mapped
    }

    /// The detector's bins and the three behind them, from columns.
    pub fn body(&self, columns: &[f64]) -> Vec<f64> {
        let (body, rare) = columns.split_at(self.body.len());
        let mut sums = gathered(body, &self.body);
        sums.extend_from_slice(rare);
        sums
    }

    /// The bins of scores, from columns; what is outside of the range belongs to the outer bins.
    pub fn bins(&self, columns: &[f64]) -> Vec<f64> {
        let (body, rare) = columns.split_at(self.body.len());
        let mut sums = gathered(body, &self.bins);
        if self.shape == Shape::Numeric
            && let [below, above, _] = rare
        {
            sums[0] += below;
            *sums.last_mut().expect("a feature has a bin") += above;
        }
        sums
    }
}

/// Takes `n` out of the columns, the first ones first.
fn take_out<'a>(columns: impl Iterator<Item = &'a mut u64>, n: u64) {
    let mut left = n;
    for column in columns {
        let taken = left.min(*column);
        *column -= taken;
        left -= taken;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a pane are far below 2^53")]
fn to_float(count: u64) -> f64 {
    count as f64
}

/// Neighbouring columns of one bin, summed.
fn gathered(columns: &[f64], bin_of: &[usize]) -> Vec<f64> {
    let mut sums = vec![0.0; bin_of.last().map_or(0, |last| last + 1)];
    bin_of.iter().zip(columns).for_each(|(&bin, count)| sums[bin] += count);
    sums
}

fn bin_of_cells(feature: &FeatureBaseline) -> Vec<usize> {
    let starts = &feature.bins.starts;
    let bin = |cell: usize| starts.partition_point(|&start| start as usize <= cell) - 1;
    (0..feature.cells.len()).map(bin).collect()
}

fn by_mass(reference: &[u64]) -> Vec<usize> {
    let total = to_float(reference.iter().sum::<u64>()).max(1.0);
    let mut ends = [0.0; TARGETS.len()];
    let mut sum = 0.0;
    for (end, target) in ends.iter_mut().zip(TARGETS) {
        sum += target;
        *end = sum;
    }
    let mut before = 0.0;
    let mut bins: Vec<Option<usize>> = Vec::with_capacity(reference.len());
    for &count in reference {
        let middle = (before + to_float(count) / 2.0) / total;
        before += to_float(count);
        let bin = ends.iter().position(|&end| middle <= end).unwrap_or(TARGETS.len() - 1);
        // A cell that the reference left empty goes with its neighbour below.
        bins.push(if count > 0 { Some(bin) } else { bins.last().copied().flatten() });
    }
    let first = bins.iter().flatten().next().copied().unwrap_or(0);
    bins.into_iter().map(|bin| bin.unwrap_or(first)).collect()
}

#[expect(clippy::float_cmp, reason = "these are exact")]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::histogram::{Bins, CategoricalCells, NumericCells, Scale, Storage};

    fn numeric(reference: Vec<u64>, starts: Vec<u32>) -> FeatureBaseline {
        let edges = (1..reference.len()).map(|edge| edge as f64).collect();
        let scale = Scale { center: 0.0, unit: 1.0 };
        let cells = NumericCells::new(edges, 0.0, reference.len() as f64, scale, Storage::F64);
        feature(Cells::Numeric(cells), reference, starts)
    }

    fn feature(cells: Cells, reference: Vec<u64>, starts: Vec<u32>) -> FeatureBaseline {
        let reference = Counts { cells: reference, ..Counts::default() };
        FeatureBaseline::of_counts("amount", cells, Bins { starts }, reference)
    }

    #[test]
    fn even_cells_make_the_fourteen_bins_and_deciles_are_unions_of_them() {
        let even = numeric(vec![50; 240], (0..10).map(|bin| bin * 24).collect());
        let columns = Columns::new(&even);
        assert_eq!(columns.len(), 14 + RARE);
        let body = columns.body(&columns.map(&even.reference));
        let shares: Vec<f64> = body[..14].iter().map(|count| count / 12_000.0).collect();
        assert!(shares.iter().zip(TARGETS).all(|(share, target)| (share - target).abs() < 0.005));
        assert_eq!(columns.bins(&columns.map(&even.reference)), [1200.0; 10]);
    }

    #[test]
    fn what_is_outside_is_beside_the_body_and_in_the_outer_bins() {
        let even = numeric(vec![50; 240], (0..10).map(|bin| bin * 24).collect());
        let columns = Columns::new(&even);
        let mut live = even.reference.clone();
        live.cells[0] += 7;
        live.below = 7;
        live.pos_inf = 3;
        live.null = 5;
        live.nan = 1;
        let mapped = columns.map(&live);
        assert_eq!(mapped[14..], [7.0, 3.0, 6.0]);
        assert_eq!(columns.body(&mapped)[0], columns.body(&columns.map(&even.reference))[0]);
        assert_eq!(columns.bins(&mapped)[0], 1207.0);
    }

    #[test]
    fn what_is_outside_may_lie_in_several_columns() {
        let wide = numeric(vec![0, 0, 50, 50, 0, 0], vec![0, 1, 2, 3, 4, 5]);
        let columns = Columns::new(&wide);
        let cells = vec![3, 4, 10, 10, 5, 6];
        let live = Counts { cells, below: 7, above: 11, ..Counts::default() };
        let body = columns.body(&columns.map(&live));
        assert_eq!(body.iter().sum::<f64>(), 38.0);
        assert_eq!(body[body.len() - RARE..], [7.0, 11.0, 0.0]);
    }

    #[test]
    fn a_category_has_the_bins_of_its_scores() {
        let names = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let cells = Cells::Categorical(CategoricalCells::new(names, Vec::new(), false));
        let n_cells = cells.len();
        let feature = feature(cells, vec![100; n_cells], vec![0, 1, 2]);
        let columns = Columns::new(&feature);
        let live = Counts { cells: vec![10; n_cells], unseen: 4, missing: 2, ..Counts::default() };
        let mapped = columns.map(&live);
        let rest = 10.0 * (n_cells - 2) as f64;
        assert_eq!(columns.body(&mapped), [10.0, 10.0, rest, 0.0, 4.0, 2.0]);
        assert_eq!(columns.bins(&mapped), [10.0, 10.0, rest]);
    }

    #[test]
    fn a_constant_is_one_column() {
        let constant = numeric(vec![0, 900, 0], vec![0]);
        let columns = Columns::new(&constant);
        assert_eq!(columns.body(&columns.map(&constant.reference)), [900.0, 0.0, 0.0, 0.0]);
    }

    proptest! {
        #[test]
        fn no_value_is_lost_or_counted_twice(
            reference in proptest::collection::vec(prop_oneof![Just(0u64), 0..400u64], 1..300),
            live in proptest::collection::vec(0..50u64, 300),
            cuts in proptest::collection::btree_set(1..300u32, 0..10),
        ) {
            let n = reference.len();
            let starts = std::iter::once(0).chain(cuts.into_iter().filter(|&cut| (cut as usize) < n));
            let feature = numeric(reference, starts.collect());
            let columns = Columns::new(&feature);
            let cells = live[..n].to_vec();
            let (below, above) = if n > 1 { (cells[0] / 2, cells[n - 1] / 3) } else { (cells[0] / 2, 0) };
            let live = Counts { below, above, cells, null: 3, ..Counts::default() };
            let mapped = columns.map(&live);
            let total = (live.in_cells() + 3) as f64;
            prop_assert_eq!(mapped.iter().sum::<f64>(), total);
            prop_assert_eq!(columns.body(&mapped).iter().sum::<f64>(), total);
            let bins = feature.bins.sum(&live.cells);
            let expected: Vec<f64> = bins.iter().map(|&count| count as f64).collect();
            prop_assert_eq!(columns.bins(&mapped), expected);
            prop_assert!(columns.body(&mapped).len() <= 14 + RARE);
        }
    }
}
