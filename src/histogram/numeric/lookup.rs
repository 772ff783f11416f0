//! Which cell a value falls in, from a short key wherever that is enough.
//!
//! A key grows with the value. So where a value and an edge differ in it, they are told apart by
//! it, 16 at a time where doubles would be 8. A value whose key is an edge's own touches that edge:
//! then the doubles decide. The key is the value in fixed point, which is needed for the sums
//! anyway; or, for edges over many orders of magnitude, the upper half of a double.

use super::ROUNDER;
use super::level::Level;

/// Added to a value in fixed point, so that small ones are keys from 0 to 2^26.
pub(super) const BIAS: u32 = 1 << 25;
pub(super) const KEY_BITS: u32 = 26;
/// Adding it to a number of steps leaves the key in the low bits, as `ROUNDER` does: it is even, so
/// halves go to the same even step.
pub(super) const BIASED_ROUNDER: f64 = ROUNDER + BIAS as f64;
/// Regions that a byte-wise count is worth, by level.
const FEW: usize = 64;
const FEW_PORTABLE: usize = 24;
/// Buckets that fit two registers of 16.
pub(super) const IN_REGISTERS: usize = 32;
/// Sizes of the table, the smaller first: 16 KiB lie well in the first-level cache.
const SIZES: [usize; 4] = [IN_REGISTERS, 512, 4096, 16_384];
/// What the range of the edges is scaled to for bent keys: the more, the finer beside the lowest.
const BENDS: [f64; 6] = [1e1, 1e2, 1e3, 1e4, 1e6, 1e9];
/// A region has at most 10 bits above the field that keys are compared in; of few, 8.
const FIELD: u32 = 22;
const FEW_FIELD: u32 = 24;

/// Keys of edges in buckets of equal width, at most one in each.
///
/// Distinct keys of edges divide the keys into regions. They are numbered from above: region 0 is
/// over the highest edge.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    pub(super) ruler: Ruler,
    /// A key's bucket is what is left of it after so many bits.
    pub(super) shift: u32,
    /// One below the lowest edge's key, and one over the highest one's: further out is no news.
    pub(super) low: u32,
    pub(super) high: u32,
    /// For a bucket, its first key plus its own edge's place in it, and in the bits from `field` on
    /// the region of values below that edge. Less a key, the region is the key's, and the field is
    /// 0 where the key is the edge's. A power of two long; buckets wrap around.
    pub(super) table: Vec<u32>,
    pub(super) field: u32,
    /// The edge above each region, infinity above the topmost: what doubles are compared with.
    pub(super) marks: Vec<f64>,
    /// The cell of each region.
    pub(super) cells: Vec<u32>,
    /// The cell of what equals a region's mark: the region's own, or the atom that the mark is.
    pub(super) on_mark: Vec<u32>,
    /// A key under the one, or one that is not under the other, may be out of the reference's range.
    pub(super) inner_low: u32,
    pub(super) inner_high: u32,
    /// Whether the lowest, and the highest region is the outer cell of that side.
    pub(super) lowest_is_outer: bool,
    pub(super) highest_is_outer: bool,
    /// Regions are few enough to be counted byte by byte.
    pub(super) few: bool,
}

/// How keys are made of `(x - origin) * factor`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruler {
    pub(super) origin: f64,
    pub(super) factor: f64,
    /// The upper half of 1 plus that as a double, or of 1 where that is negative: linear near the
    /// origin, logarithmic far from it. Otherwise it is the fixed point and is rounded.
    pub(super) bent: bool,
}

/// Where a number lies on a ruler.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Below,
    Key(u32),
    Above,
}

/// An edge, or an atom's two, that a key stands for.
struct Step {
    key: u32,
    mark: f64,
    atom: bool,
}

impl Lookup {
    /// Keys in the fixed point that `center` and `factor` make. `None` where edges lie too close
    /// together, or too far out, for keys to tell them apart.
    pub(super) fn steps(
        edges: &[f64],
        range: (f64, f64),
        (center, factor): (f64, f64),
        level: Level,
    ) -> Option<Self> {
        let ruler = Ruler { origin: center, factor, bent: false };
        SIZES.iter().find_map(|&size| Self::sized(edges, range, ruler, size, level))
    }

    /// Bent keys, for all finite values.
    pub(super) fn bent(edges: &[f64], level: Level) -> Option<Self> {
        let (first, last) = (*edges.first()?, *edges.last()?);
        // The predecessor of 0 would make every difference with 0 denormal, which is slow.
        let origin = if first.abs() < f64::MIN_POSITIVE { 0.0 } else { first };
        SIZES.iter().find_map(|&size| {
            BENDS.iter().find_map(|&bend| {
                let factor = (bend / (last - origin)).clamp(f64::MIN_POSITIVE, f64::MAX);
                let ruler = Ruler { origin, factor, bent: true };
                Self::sized(edges, (first, last), ruler, size, level)
            })
        })
    }

    fn sized(
        edges: &[f64],
        (lowest, highest): (f64, f64),
        ruler: Ruler,
        size: usize,
        level: Level,
    ) -> Option<Self> {
        let (mut under, mut over) = (0, 0);
        let mut steps: Vec<Step> = Vec::with_capacity(edges.len());
        for &edge in edges {
            match ruler.place(edge)? {
                Place::Below => under += 1,
                Place::Above => over += 1,
                Place::Key(key) => match steps.last_mut() {
                    Some(last) if last.key == key => {
                        // Edges ascend, so nothing is between.
                        let atom = !last.atom && last.mark.next_up() >= edge;
                        (last.mark, last.atom) = atom.then_some((edge, true))?;
                    }
                    _ => steps.push(Step { key, mark: edge, atom: false }),
                },
            }
        }
        let (first, last) = (steps.first()?, steps.last()?);
        let (low, high) = (first.key.checked_sub(1)?, last.key + 1);
        let shift = separating(&steps, size, low, high)?;
        let few = steps.len() < if level == Level::Portable { FEW_PORTABLE } else { FEW };
        let field = if few { FEW_FIELD } else { FIELD };
        if (high >> KEY_BITS != 0 && !ruler.bent)
            || steps.len() >= 1 << (32 - FIELD)
            || shift >= field
        {
            return None;
        }
        let mut lookup = Self {
            ruler,
            shift,
            low,
            high,
            table: filled(&steps, shift, field, low, high),
            field,
            marks: vec![f64::INFINITY],
            cells: Vec::new(),
            on_mark: Vec::new(),
            inner_low: match ruler.place(lowest)? {
                Place::Below => 0,
                Place::Key(key) => key + 1,
                Place::Above => u32::MAX,
            },
            inner_high: match ruler.place(highest)? {
                Place::Below => 0,
                Place::Key(key) => key,
                Place::Above => u32::MAX,
            },
            lowest_is_outer: under == 0,
            highest_is_outer: over == 0,
            few,
        };
        lookup.number(&steps, under);
        Some(lookup)
    }

    /// Numbers the regions from above and the cells from below, where `under` lie before the steps.
    fn number(&mut self, steps: &[Step], under: u32) {
        let mut cell = under;
        for step in steps {
            self.cells.push(cell);
            cell += u32::from(step.atom);
            self.on_mark.push(cell);
            cell += 1;
        }
        self.cells.push(cell);
        self.on_mark.push(cell);
        self.marks.extend(steps.iter().rev().map(|step| step.mark));
        self.cells.reverse();
        self.on_mark.reverse();
    }

    /// The number of regions.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether values with keys from `least` to `most` may be in the outer cells, or outside the
    /// reference's range.
    #[inline(always)]
    pub(super) fn may_be_outer(&self, least: u32, most: u32) -> bool {
        let inner = least > self.low + 1 && most < self.high - 1;
        !inner | (least < self.inner_low) | (most >= self.inner_high)
    }

    /// Whether the table is one for registers.
    pub(super) fn in_registers(&self) -> bool {
        self.table.len() == IN_REGISTERS
    }

    /// A value that touches no edge and is in the reference's range, if there is one.
    pub(super) fn quiet_value(&self) -> Option<f64> {
        let inner = self.marks.windows(2).skip(1).map(|pair| pair[1].midpoint(pair[0]));
        [self.ruler.origin].into_iter().chain(inner).find(|&value| {
            let Some(Place::Key(key)) = self.ruler.place(value) else { return false };
            let touches = |&mark: &f64| self.ruler.place(mark) == Some(Place::Key(key));
            key >= self.inner_low && key < self.inner_high && !self.marks.iter().any(touches)
        })
    }
}

impl Ruler {
    /// The place of `x`; `None` when the scale is none.
    fn place(self, x: f64) -> Option<Place> {
        let steps = (x - self.origin) * self.factor;
        if self.bent {
            return Some(Place::Key(bent_key(steps)));
        }
        let key = (steps + BIASED_ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits());
        match u32::try_from(key) {
            Ok(key) if key >> KEY_BITS == 0 => Some(Place::Key(key)),
            _ if steps < 0.0 => Some(Place::Below),
            _ if steps > 0.0 => Some(Place::Above),
            _ => None,
        }
    }
}

/// The upper half of `1 + distance` as a double, of 1 where that is negative or not a number.
#[inline(always)]
pub(super) fn bent_key(distance: f64) -> u32 {
    let distance = if distance > 0.0 { distance } else { 0.0 };
    ((distance + 1.0).to_bits() >> 32) as u32
}

/// The shift by which at most `size` buckets hold at most one step each.
fn separating(steps: &[Step], size: usize, low: u32, high: u32) -> Option<u32> {
    let buckets = |shift: u32| ((high >> shift) - (low >> shift)) as usize + 1;
    let shift = (0..32).find(|&shift| buckets(shift) <= size)?;
    let apart = |pair: &[Step]| pair[0].key >> shift != pair[1].key >> shift;
    steps.windows(2).all(apart).then_some(shift)
}

fn filled(steps: &[Step], shift: u32, field: u32, low: u32, high: u32) -> Vec<u32> {
    let buckets = (low >> shift)..=(high >> shift);
    let n_buckets = buckets.clone().count().next_power_of_two().max(IN_REGISTERS);
    let mut table = vec![0; n_buckets];
    let mut above = steps;
    for bucket in buckets {
        let region = u32::try_from(above.len()).unwrap_or(u32::MAX);
        let edge = match above.split_first() {
            Some((step, rest)) if step.key >> shift == bucket => {
                above = rest;
                step.key & ((1 << shift) - 1)
            }
            // Higher than any key in the bucket.
            _ => 1 << shift,
        };
        let start = (bucket << shift).wrapping_add(region << field);
        table[bucket as usize & (n_buckets - 1)] = start.wrapping_add(edge);
    }
    table
}
