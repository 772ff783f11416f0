//! How the values of one feature are counted on this processor.

use std::fmt;

use crate::histogram::Counts;

use super::level::Level;
use super::lookup::Lookup;
use super::portable;
use super::range::Range;
use super::search::Search;
use super::tally::{Chunk, Places, Tally};
use super::{NumericCells, Storage};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// Worked out once for a feature. Every level counts the same, bit for bit.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    level: Level,
    storage: Storage,
    range: Range,
    /// For small numbers, by their fixed point; not there where that can't tell the edges apart.
    pub(super) steps: Option<Lookup>,
    /// For all finite numbers.
    pub(super) bent: Option<Lookup>,
    search: Search,
    /// What stands in a chunk where there is no value, to be taken out of the counts again.
    pub(super) padding: f64,
}

/// Calls a kernel of the level that was found to be here.
macro_rules! at_level {
    ($kernel:expr, $name:ident($($argument:expr),*)) => {
        match $kernel.level {
            Level::Portable => portable::$name($($argument),*),
            // SAFETY: `Kernel::new` has made sure that this processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::$name($($argument),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::$name($($argument),*) },
        }
    };
}

#[expect(unsafe_code, reason = "kernels of a level may only be called where it is")]
impl Kernel {
    /// The kernels of `level`, which this processor has.
    pub(super) fn new(cells: &NumericCells, level: Level) -> Self {
        assert!(level.is_here(), "this processor has no {level}");
        let factor = cells.scale.factor();
        let center = cells.scale.center;
        let extremes = (cells.lowest, cells.highest);
        let steps = Lookup::steps(&cells.edges, extremes, (center, factor), level);
        let quiet = steps.as_ref().and_then(Lookup::quiet_value);
        Self {
            level,
            storage: cells.storage,
            range: Range::new(cells, factor),
            steps,
            bent: Lookup::bent(&cells.edges, level),
            search: Search::new(&cells.edges),
            padding: quiet.unwrap_or(if center.is_finite() { center } else { 0.0 }),
        }
    }

    /// For a column of so many values.
    pub(super) fn tally(&self, values: usize) -> Option<Tally> {
        let by_bytes = |lookup: &Lookup| match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => false,
            _ => lookup.few,
        };
        self.steps.as_ref().map(|lookup| Tally::new(lookup, values, by_bytes(lookup)))
    }

    /// For a column of so many values.
    pub(super) fn places(&self, values: usize) -> Option<Places> {
        self.bent.as_ref().map(|lookup| Places::new(lookup, values))
    }

    /// Counts chunks by their keys alone; how many it did before one that needs a closer look.
    pub(super) fn fast(
        &self,
        chunks: &[Chunk],
        tally: Option<&mut Tally>,
        counts: &mut Counts,
    ) -> usize {
        let Some((lookup, tally)) = self.steps.as_ref().zip(tally) else { return 0 };
        at_level!(self, fast(lookup, &self.range, chunks, tally, counts))
    }

    /// Counts chunks of small finite numbers; how many it did before one that has another.
    pub(super) fn exact(
        &self,
        chunks: &[Chunk],
        tally: Option<&mut Tally>,
        counts: &mut Counts,
    ) -> usize {
        let Some((lookup, tally)) = self.steps.as_ref().zip(tally) else { return 0 };
        at_level!(self, exact(lookup, &self.range, chunks, tally, counts))
    }

    /// Counts chunks of finite numbers; how many it did before one that has another.
    pub(super) fn wide(
        &self,
        chunks: &[Chunk],
        places: Option<&mut Places>,
        counters: &mut Vec<u32>,
        counts: &mut Counts,
    ) -> usize {
        if let Some((lookup, places)) = self.bent.as_ref().zip(places) {
            return at_level!(self, wide(lookup, &self.range, chunks, places, counts));
        }
        for (done, chunk) in chunks.iter().enumerate() {
            if !at_level!(self, sum(&self.range, chunk, counts)) {
                return done;
            }
            self.search.count(chunk, counters);
        }
        chunks.len()
    }

    /// Brings values to doubles as the reference stores them, with the padding where a chunk's mask
    /// has no bit.
    pub(super) fn prepare<T: Copy>(
        &self,
        values: &[T],
        widen: impl Fn(T) -> f64 + Copy,
        masks: &[u64],
        chunks: &mut [Chunk],
    ) {
        at_level!(self, prepare(values, widen, self.storage, (masks, self.padding), chunks));
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (&self.steps, &self.bent) {
            (Some(steps), _) if steps.few && steps.in_registers() => "few edges, in registers",
            (Some(steps), _) if steps.few => "few edges",
            (Some(_), _) => "fine grid",
            (None, Some(_)) => "bent grid",
            (None, None) => "search",
        };
        write!(f, "{}, {kind}", self.level)
    }
}
