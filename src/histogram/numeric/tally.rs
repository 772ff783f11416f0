//! What the kernels add up, before it is brought to counts.

use crate::histogram::Counts;

use super::lookup::{BIAS, Lookup};

/// So many values pass through a kernel together. Short, for the processor then fetches the next
/// ones while it still counts these.
pub(super) const CHUNK: usize = 64;
pub(super) type Chunk = [f64; CHUNK];

/// Sub-histograms: neighbours of equal cell then don't wait for each other's store.
pub(super) const LANES: usize = 4;

/// Sums and counts of the chunks of one column, by regions of its `Lookup`.
#[derive(Debug)]
pub(super) struct Tally {
    /// Values whose keys were added.
    pub(super) values: u64,
    pub(super) keys: u64,
    /// Keys of which those over `Lookup::high` were added as that.
    pub(super) keys_to_high: u64,
    /// Keys that were also raised to `Lookup::low`.
    pub(super) keys_inside: u64,
    pub(super) squares: u128,
    pub(super) regions: Vec<u64>,
    /// Sub-histograms by region, `lane` apart.
    pub(super) narrow: Vec<u32>,
    /// From one sub-histogram to the next; 0 when there is only one.
    pub(super) lane: usize,
    pub(super) places: Places,
    /// How many values of a chunk's lane were in a region over the one of the index.
    pub(super) over: Vec<[u8; CHUNK]>,
    /// Chunks in `over`; a lane holds 255.
    pub(super) chunks_over: u8,
}

/// Of fewer values, zeroing sub-histograms and adding them up takes longer than waiting.
const MANY: usize = 4096;
/// The same by region: of so few values each, neighbours seldom wait for one another.
const MANY_A_REGION: usize = 32;

impl Tally {
    /// For so many values. Of few regions, those over each may be counted by bytes.
    pub(super) fn new(lookup: &Lookup, values: usize, by_bytes: bool) -> Self {
        let n_regions = lookup.len();
        let apart = apart(n_regions);
        let few = values < MANY.max(MANY_A_REGION * n_regions);
        let (lane, lanes) = if few { (0, 1) } else { (apart, LANES) };
        Self {
            values: 0,
            keys: 0,
            keys_to_high: 0,
            keys_inside: 0,
            squares: 0,
            regions: vec![0; n_regions],
            narrow: if lookup.few { Vec::new() } else { vec![0; lanes * apart] },
            lane,
            places: Places::new(lookup, values),
            over: if by_bytes { vec![[0; CHUNK]; n_regions - 1] } else { Vec::new() },
            chunks_over: 0,
        }
    }

    /// Adds sums of keys of which what lies in outer cells is added elsewhere.
    #[inline(always)]
    pub(super) fn add_whole(&mut self, values: u64, keys: u64, squares: u128) {
        self.values += values;
        self.keys += keys;
        self.keys_to_high += keys;
        self.keys_inside += keys;
        self.squares += squares;
    }

    /// Brings the bytes to the regions.
    pub(super) fn flush_bytes(&mut self) {
        let mut at_least = u64::from(std::mem::take(&mut self.chunks_over)) * CHUNK as u64;
        for (region, over) in self.regions.iter_mut().zip(&mut self.over) {
            let more: u64 = over.iter().copied().map(u64::from).sum();
            *region += at_least - more;
            at_least = more;
            *over = [0; CHUNK];
        }
        if let Some(last) = self.regions.last_mut() {
            *last += at_least;
        }
    }

    /// Moves everything to the counts and leaves zeros.
    pub(super) fn flush(&mut self, lookup: &Lookup, counts: &mut Counts) {
        self.flush_bytes();
        for lane in self.narrow.chunks_mut(apart(lookup.len())) {
            for (region, counter) in self.regions.iter_mut().zip(lane) {
                *region += u64::from(std::mem::take(counter));
            }
        }
        self.flush_sums(lookup, counts);
        for (region, &cell) in self.regions.iter_mut().zip(&lookup.cells) {
            counts.cells[cell as usize] += std::mem::take(region);
        }
        self.places.flush(lookup, counts);
    }

    fn flush_sums(&mut self, lookup: &Lookup, counts: &mut Counts) {
        let bias = i128::from(BIAS);
        let values = i128::from(std::mem::take(&mut self.values));
        let keys = i128::from(std::mem::take(&mut self.keys));
        let to_high = i128::from(std::mem::take(&mut self.keys_to_high));
        let inside = i128::from(std::mem::take(&mut self.keys_inside));
        let squares = std::mem::take(&mut self.squares).cast_signed();
        let sum = keys - bias * values;
        counts.sum += sum;
        counts.sum_squares += squares - 2 * bias * sum - bias * bias * values;
        // What the limits took away and added is what the keys beyond them differ by.
        if let (Some(&outer), true) = (self.regions.last(), lookup.lowest_is_outer) {
            let low = i128::from(lookup.low) - bias;
            counts.low_sum += to_high - inside + low * i128::from(outer);
        }
        if let (Some(&outer), true) = (self.regions.first(), lookup.highest_is_outer) {
            let high = i128::from(lookup.high) - bias;
            counts.high_sum += keys - to_high + high * i128::from(outer);
        }
    }
}

/// How far sub-histograms lie apart. Not a multiple of 4 KiB: stores a page apart would delay each
/// other's loads.
fn apart(regions: usize) -> usize {
    regions.next_multiple_of(16) + 16
}

/// Counts by regions, and by the marks above them.
#[derive(Debug)]
pub(super) struct Places {
    /// Not less than there are regions.
    marks: u32,
    /// `LANES` sub-histograms, each by region, and `marks` further those on a region's mark. Empty
    /// until they are needed.
    counters: Vec<u32>,
    /// Worth it.
    many: bool,
}

impl Places {
    /// For so many values.
    pub(super) fn new(lookup: &Lookup, values: usize) -> Self {
        let marks = u32::try_from(apart(lookup.len())).unwrap_or(u32::MAX);
        Self { marks, counters: Vec::new(), many: values >= MANY }
    }

    /// What is added to a region for its mark.
    #[inline(always)]
    pub(super) fn marks(&self) -> u32 {
        self.marks
    }

    /// Counts places that `marks` tells apart, of a chunk which comes alone or not.
    #[inline(always)]
    pub(super) fn count(
        &mut self,
        places: &[u32; CHUNK],
        alone: bool,
        lookup: &Lookup,
        counts: &mut Counts,
    ) {
        if alone || !self.many {
            for &place in places {
                let (cells, at) = match place.checked_sub(self.marks) {
                    None => (&lookup.cells, place),
                    Some(at) => (&lookup.on_mark, at),
                };
                counts.cells[cells[at as usize] as usize] += 1;
            }
            return;
        }
        let lane = 2 * self.marks as usize;
        if self.counters.is_empty() {
            self.counters = vec![0; LANES * lane];
        }
        count_each(places, &mut self.counters, lane);
    }

    pub(super) fn flush(&mut self, lookup: &Lookup, counts: &mut Counts) {
        let half = self.marks as usize;
        for lane in self.counters.chunks_mut(2 * half) {
            let (regions, marks) = lane.split_at_mut(half);
            for (counters, cells) in [(regions, &lookup.cells), (marks, &lookup.on_mark)] {
                for (counter, &cell) in counters.iter_mut().zip(cells) {
                    counts.cells[cell as usize] += u64::from(std::mem::take(counter));
                }
            }
        }
    }
}

/// Adds 1 for each place, in sub-histograms `lane` apart.
#[inline(always)]
pub(super) fn count_each(places: &[u32; CHUNK], counters: &mut [u32], lane: usize) {
    for group in places.as_chunks::<LANES>().0 {
        for (at, &place) in group.iter().enumerate() {
            counters[at * lane + place as usize] += 1;
        }
    }
}
