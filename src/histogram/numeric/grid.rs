//! Which cell a value falls in: a monotone table and exact fix-ups, or a branchless search.

use std::hint::select_unpredictable;

/// Buckets of the table; their numbers are the low bits of a double that was rounded to an integer.
const BUCKETS: usize = 4096;
/// Edges that the table can hold, its padding included.
const ROOM: usize = 1024;
/// Sub-histograms: neighbours of equal cell then don't wait for each other's store.
pub(super) const LANES: usize = 4;
/// Not a multiple of 4 KiB: stores a page apart would delay each other's loads.
const STRIDE: usize = ROOM + 16;
/// More edges than this in one bucket, and searching is faster.
const MAX_FIXUPS: usize = 4;
/// 2^52: added to a number below it, it leaves the rounded integer in the low bits.
const ROUNDER: f64 = 4_503_599_627_370_496.0;

/// How cells are found, chosen from the edges alone.
#[derive(Clone, Debug)]
pub(super) enum Grid {
    Table(Box<Table>),
    Search(Search),
}

impl Grid {
    pub(super) fn new(edges: &[f64]) -> Self {
        match Table::new(edges) {
            Some(table) => Self::Table(Box::new(table)),
            None => Self::Search(Search::new(edges)),
        }
    }

    /// Counters for `count` and `flush`.
    pub(super) fn counters(&self) -> Vec<u32> {
        match self {
            Self::Table(_) => vec![0; LANES * STRIDE],
            Self::Search(search) => vec![0; search.edges.len()],
        }
    }

    /// Adds each value's cell to the counters; the values are finite. Fewer than 2^32 between
    /// two flushes.
    pub(super) fn count(&self, values: &[f64], counters: &mut [u32]) {
        match self {
            Self::Table(table) => table.count(values, counters),
            Self::Search(search) => search.count(values, counters),
        }
    }

    /// Moves the counters to `cells` and leaves zeros.
    pub(super) fn flush(&self, counters: &mut [u32], cells: &mut [u64]) {
        let stride = match self {
            Self::Table(_) => STRIDE,
            Self::Search(search) => search.edges.len(),
        };
        for lane in counters.chunks_mut(stride) {
            for (cell, counter) in cells.iter_mut().zip(lane) {
                *cell += u64::from(std::mem::take(counter));
            }
        }
    }
}

/// Buckets between the outer edges. A value's bucket grows with the value, so edges of lower
/// buckets are below it, edges of higher ones are not, and only those of its own need a look.
#[derive(Clone, Debug)]
pub(super) struct Table {
    lowest: f64,
    /// Straight: buckets to 1. Bent: what a distance from `lowest` is scaled by.
    density: f64,
    /// Buckets are equally wide, or grow with the distance from `lowest` as doubles do: then this
    /// many low bits of `1 + distance` are dropped.
    bend: Option<u32>,
    /// The most edges in one bucket.
    fixups: usize,
    /// How many edges lie in lower buckets.
    lower: [u16; BUCKETS],
    /// Padded with infinity, which no value is above.
    edges: [f64; ROOM],
}

impl Table {
    /// The straight or bent table with the fewest fix-ups; `None` when the edges are too many, or
    /// too unevenly spread for all of them.
    fn new(edges: &[f64]) -> Option<Self> {
        if edges.len() + MAX_FIXUPS >= ROOM {
            return None;
        }
        let straight = Self::filled(edges, 1.0, None);
        if straight.fixups <= 1 {
            return Some(straight);
        }
        // The larger the scale, the finer the buckets beside the lowest edge.
        let bent = [1e1, 1e2, 1e3, 1e4, 1e6, 1e9]
            .into_iter()
            .map(|scale| Self::filled(edges, scale, Some(0)));
        let best = bent.fold(straight, |a, b| if b.fixups < a.fixups { b } else { a });
        (best.fixups <= MAX_FIXUPS).then_some(best)
    }

    /// `scale` is how long the range of the edges is made, relative to the buckets of a straight
    /// table and to 1 of a bent one.
    fn filled(edges: &[f64], scale: f64, bend: Option<u32>) -> Self {
        let (lowest, highest) = match edges {
            [] => (0.0, 0.0),
            [lowest, .., highest] => (*lowest, *highest),
            [only] => (*only, *only),
        };
        // The predecessor of 0 would make every difference with 0 denormal, which is slow.
        let lowest = if lowest.abs() < f64::MIN_POSITIVE { 0.0 } else { lowest };
        let scale = if bend.is_some() { scale } else { (BUCKETS - 1) as f64 };
        // Whatever the density, buckets are monotone as long as no 0 * inf can come up.
        let density = (scale / (highest - lowest)).clamp(f64::MIN_POSITIVE, f64::MAX);
        let mut padded = [f64::INFINITY; ROOM];
        padded[..edges.len()].copy_from_slice(edges);
        let lower = [0; BUCKETS];
        let mut table = Self { lowest, density, bend, fixups: 0, lower, edges: padded };
        if bend.is_some() {
            let range = table.bent_distance(highest);
            table.bend = (0..64).find(|&shift| range >> shift < BUCKETS as u64);
        }
        let mut in_bucket = [0u16; BUCKETS];
        for &edge in edges {
            in_bucket[table.bucket_of(edge)] += 1;
        }
        let mut lower = 0;
        for (start, n) in table.lower.iter_mut().zip(in_bucket) {
            *start = lower;
            lower += n;
            table.fixups = table.fixups.max(n.into());
        }
        table
    }

    fn bucket_of(&self, value: f64) -> usize {
        match self.bend {
            Some(shift) => self.bucket::<true>(value, shift),
            None => self.bucket::<false>(value, 0),
        }
    }

    /// Bits of `1 + distance` above those of 1: linear near `lowest`, logarithmic far from it.
    #[inline(always)]
    fn bent_distance(&self, value: f64) -> u64 {
        let distance = (value - self.lowest) * self.density;
        let distance = if distance > 0.0 { distance } else { 0.0 };
        (distance + 1.0).to_bits() - 1f64.to_bits()
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "masked or limited before")]
    fn bucket<const BENT: bool>(&self, value: f64, shift: u32) -> usize {
        if BENT {
            let bucket = self.bent_distance(value) >> shift;
            return bucket.min(BUCKETS as u64 - 1) as usize;
        }
        let at = (value - self.lowest) * self.density;
        let at = if at > 0.0 { at } else { 0.0 };
        let last = (BUCKETS - 1) as f64;
        let at = if at < last { at } else { last };
        (at + ROUNDER).to_bits() as usize & (BUCKETS - 1)
    }

    #[inline(always)]
    fn cell<const FIXUPS: usize, const BENT: bool>(&self, value: f64, shift: u32) -> usize {
        let lower = usize::from(self.lower[self.bucket::<BENT>(value, shift)]);
        let mut cell = lower;
        for fixup in 0..FIXUPS {
            cell += usize::from(self.edges[(lower + fixup) & (ROOM - 1)] < value);
        }
        cell & (ROOM - 1)
    }

    fn count(&self, values: &[f64], counters: &mut [u32]) {
        let counters: &mut [u32; LANES * STRIDE] =
            counters.try_into().expect("counters are made by this grid");
        match (self.fixups, self.bend) {
            (0 | 1, None) => self.count_with::<1, false>(values, counters, 0),
            (2, None) => self.count_with::<2, false>(values, counters, 0),
            (_, None) => self.count_with::<MAX_FIXUPS, false>(values, counters, 0),
            (0 | 1, Some(shift)) => self.count_with::<1, true>(values, counters, shift),
            (2, Some(shift)) => self.count_with::<2, true>(values, counters, shift),
            (_, Some(shift)) => self.count_with::<MAX_FIXUPS, true>(values, counters, shift),
        }
    }

    fn count_with<const FIXUPS: usize, const BENT: bool>(
        &self,
        values: &[f64],
        counters: &mut [u32; LANES * STRIDE],
        shift: u32,
    ) {
        let (groups, rest) = values.as_chunks::<LANES>();
        for group in groups {
            for (lane, &value) in group.iter().enumerate() {
                counters[lane * STRIDE + self.cell::<FIXUPS, BENT>(value, shift)] += 1;
            }
        }
        for &value in rest {
            counters[self.cell::<FIXUPS, BENT>(value, shift)] += 1;
        }
    }
}

/// Bisection without branches, eight values at a time so that their loads overlap.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Padded with infinity to a power of two above the number of edges.
    edges: Vec<f64>,
}

impl Search {
    fn new(edges: &[f64]) -> Self {
        let mut padded = edges.to_vec();
        padded.resize((edges.len() + 1).next_power_of_two(), f64::INFINITY);
        Self { edges: padded }
    }

    fn count(&self, values: &[f64], counters: &mut [u32]) {
        let (groups, rest) = values.as_chunks::<8>();
        for group in groups {
            for cell in self.cells(group) {
                counters[cell] += 1;
            }
        }
        for value in rest {
            let [cell] = self.cells(&[*value]);
            counters[cell] += 1;
        }
    }

    #[inline]
    fn cells<const N: usize>(&self, values: &[f64; N]) -> [usize; N] {
        let mut cells = [0; N];
        let mut half = self.edges.len() / 2;
        while half > 0 {
            for (cell, &value) in cells.iter_mut().zip(values) {
                let above = self.edges[*cell + half - 1] < value;
                *cell = select_unpredictable(above, *cell + half, *cell);
            }
            half /= 2;
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edges() -> impl Strategy<Value = Vec<f64>> {
        let edge = prop_oneof![
            4 => -10.0..10.0f64,
            1 => any::<f64>().prop_filter("finite", |edge| edge.is_finite()),
            1 => prop::sample::select(vec![0.0, 5e-324, f64::MAX, -f64::MAX, f64::MIN_POSITIVE]),
        ];
        (proptest::collection::vec(edge, 0..50), any::<bool>()).prop_map(|(mut edges, atoms)| {
            if atoms {
                edges.extend(edges.clone().into_iter().map(f64::next_down));
            }
            edges.retain(|edge| edge.is_finite());
            edges.sort_by(f64::total_cmp);
            edges.dedup();
            edges
        })
    }

    /// What partition_point says.
    fn expected(edges: &[f64], values: &[f64]) -> Vec<u64> {
        let mut cells = vec![0; edges.len() + 1];
        for &value in values {
            cells[edges.partition_point(|&edge| edge < value)] += 1;
        }
        cells
    }

    fn counted(grid: &Grid, n_cells: usize, values: &[f64]) -> Vec<u64> {
        let mut counters = grid.counters();
        let mut cells = vec![0; n_cells];
        grid.count(values, &mut counters);
        grid.flush(&mut counters, &mut cells);
        assert!(counters.iter().all(|&counter| counter == 0));
        cells
    }

    proptest! {
        #[test]
        fn every_grid_finds_the_cells_of_partition_point(
            edges in edges(),
            values in proptest::collection::vec(-12.0..12.0f64, 0..100),
        ) {
            let mut values = values;
            for &edge in &edges {
                values.extend([edge, edge.next_up(), edge.next_down(), -edge]);
            }
            values.extend([0.0, -0.0, 5e-324, f64::MAX, -f64::MAX]);
            values.retain(|value| value.is_finite());
            let expected = expected(&edges, &values);
            prop_assert_eq!(&counted(&Grid::new(&edges), edges.len() + 1, &values), &expected);
            let search = Grid::Search(Search::new(&edges));
            prop_assert_eq!(&counted(&search, edges.len() + 1, &values), &expected);
        }
    }

    #[test]
    fn even_and_heavy_tailed_edges_get_a_table_and_wild_ones_a_search() {
        let even: Vec<f64> = (0..480).map(f64::from).collect();
        assert!(matches!(Grid::new(&even), Grid::Table(_)));
        assert!(matches!(Grid::new(&[]), Grid::Table(_)));
        let heavy: Vec<f64> = (0..200).map(|step| 1.1f64.powi(step)).collect();
        assert!(matches!(Grid::new(&heavy), Grid::Table(table) if table.bend.is_some()));
        let near = (1..10).map(|step| 1.0 + f64::from(step) * 1e-15);
        let wild: Vec<f64> = [-1.0, 0.0].into_iter().chain(near).chain([1e9, 1e99]).collect();
        assert!(matches!(Grid::new(&wild), Grid::Search(_)));
        let many: Vec<f64> = (0..2000).map(f64::from).collect();
        assert!(matches!(Grid::new(&many), Grid::Search(_)));
    }
}
