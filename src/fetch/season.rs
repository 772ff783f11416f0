//! Whether slots of a day or a week pay for one feature: its counts in panes, with and without them.
//!
//! A map that is judged on the records that made it fits too well. So the maps of the first half of the
//! panes are judged on the second half, and the other way round; then all records make the maps.

use crate::baseline::design_effect::DesignEffect;
use crate::baseline::{FeatureSeason, SeasonRule};
use crate::decide::evidence::{Columns, SlotMap};
use crate::histogram::Counts;
use crate::setting::season::{Calendar, Cycle};

/// One feature's counts by pane, and by slot where calendars are tried.
pub(super) struct Fragments<'a> {
    columns: &'a Columns,
    n_panes: usize,
    /// Body columns and the three behind them of each pane, without slots.
    sums: Vec<Vec<f64>>,
    calendars: Vec<Halves>,
    /// What was counted, in the order that it came.
    kept: Vec<Fragment>,
    /// Cells of all fragments that are not empty, and their counts.
    cells: Vec<(u16, u32)>,
}

/// What one run of rows counted.
struct Fragment {
    pane: usize,
    slots: Vec<u16>,
    /// Where its cells end.
    end: usize,
    neg_inf: u64,
    pos_inf: u64,
    absent: u64,
}

/// Each slot's counts in the first and in the second half of the panes.
struct Halves {
    cycle: Cycle,
    slots: [Vec<Counts>; 2],
}

/// What was found out of one feature.
pub(super) struct Tried {
    pub(super) effect: Option<DesignEffect>,
    pub(super) season: Option<FeatureSeason>,
}

impl<'a> Fragments<'a> {
    pub(super) fn new(columns: &'a Columns, calendars: &[Calendar], n_panes: usize) -> Self {
        let width = columns.body(&vec![0.0; columns.len()]).len();
        let halves = |calendar: &Calendar| {
            let slots = || vec![Counts::default(); calendar.cycle().slots()];
            Halves { cycle: calendar.cycle(), slots: [slots(), slots()] }
        };
        Self {
            columns,
            n_panes,
            sums: vec![vec![0.0; width]; n_panes],
            calendars: calendars.iter().map(halves).collect(),
            kept: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Takes in rows of a pane and of a slot of each calendar.
    pub(super) fn add(&mut self, pane: usize, slots: &[u16], counts: &Counts) {
        let Some(sums) = self.sums.get_mut(pane) else { return };
        let mapped = self.columns.body(&self.columns.map(counts));
        sums.iter_mut().zip(mapped).for_each(|(sum, count)| *sum += count);
        if self.calendars.is_empty() {
            return;
        }
        let half = usize::from(pane >= self.n_panes / 2);
        for (calendar, &slot) in self.calendars.iter_mut().zip(slots) {
            let sum = &mut calendar.slots[half][usize::from(slot)];
            if sum.cells.is_empty() {
                *sum = counts.clone();
            } else {
                sum.add(counts);
            }
        }
        let filled = (0u16..).zip(&counts.cells).filter(|(_, count)| **count > 0);
        self.cells.extend(filled.map(|(cell, &n)| (cell, u32::try_from(n).unwrap_or(u32::MAX))));
        let (neg_inf, pos_inf, absent) = (counts.neg_inf, counts.pos_inf, counts.absent());
        let (slots, end) = (slots.to_vec(), self.cells.len());
        self.kept.push(Fragment { pane, slots, end, neg_inf, pos_inf, absent });
    }

    /// The design effect to use, and the season: the one that was asked for, or, with `auto`, the one that
    /// leaves enough less of it. `reference` is what all rows counted.
    pub(super) fn finish(self, rule: &SeasonRule, reference: &Counts, pane_ms: i64) -> Tried {
        let mut best = Tried { effect: DesignEffect::measure(&self.sums, pane_ms), season: None };
        for at in 0..self.calendars.len() {
            let with = DesignEffect::measure(&self.mapped(at, reference), pane_ms);
            let body = |effect: &Option<DesignEffect>| effect.as_ref().map(|e| e.effects.body);
            let takes = match (body(&with), body(&best.effect)) {
                (Some(with), Some(without)) => rule.takes(with, without),
                // Too few panes to measure anything: what is asked for is done.
                _ => rule.period.cycle().is_some(),
            };
            let cycle = self.calendars[at].cycle;
            if takes {
                let slots = self.calendars[at].whole(reference.cells.len());
                let other = std::mem::replace(&mut best.effect, with);
                // What a day leaves is not what no season leaves.
                let other = match best.season.take() {
                    Some(FeatureSeason { other, slots, .. }) if !slots.is_empty() => other,
                    _ => other,
                };
                best.season = Some(FeatureSeason { cycle, other, slots });
            } else if best.season.as_ref().is_none_or(|tried| {
                // Of those that are not used, the nearest is told.
                !tried.is_used() && body(&with) < body(&tried.other)
            }) {
                best.season = Some(FeatureSeason { cycle, other: with, slots: Vec::new() });
            }
        }
        best
    }

    /// Panes of body columns, each mapped by its slot's map of the other half.
    fn mapped(&self, at: usize, reference: &Counts) -> Vec<Vec<f64>> {
        let n_cells = reference.cells.len();
        let empty = vec![0; n_cells];
        let maps = [1, 0].map(|other: usize| -> Vec<SlotMap> {
            let slots = self.calendars[at].slots[other].iter();
            let cells = slots.map(|slot| if slot.cells.is_empty() { &empty } else { &slot.cells });
            cells.map(|cells| self.columns.slot(cells, &reference.cells)).collect()
        });
        let width = self.sums.first().map_or(0, Vec::len);
        let mut panes = vec![vec![0.0; width]; self.n_panes];
        let (mut from, mut counts) = (0, Counts::zero(n_cells));
        for fragment in &self.kept {
            counts.clear();
            for &(cell, count) in &self.cells[from..fragment.end] {
                counts.cells[usize::from(cell)] = u64::from(count);
            }
            from = fragment.end;
            counts.neg_inf = fragment.neg_inf;
            counts.pos_inf = fragment.pos_inf;
            counts.missing = fragment.absent;
            let half = usize::from(fragment.pane >= self.n_panes / 2);
            let map = &maps[half][usize::from(fragment.slots[at])];
            let mapped = self.columns.body(&self.columns.map_by(map, &counts));
            panes[fragment.pane].iter_mut().zip(mapped).for_each(|(sum, count)| *sum += count);
        }
        panes
    }
}

impl Halves {
    /// Each slot's counts in all panes.
    fn whole(&self, n_cells: usize) -> Vec<Counts> {
        let [first, second] = &self.slots;
        first
            .iter()
            .zip(second)
            .map(|(first, second)| {
                let mut sum = Counts::zero(n_cells);
                for half in [first, second].into_iter().filter(|half| !half.cells.is_empty()) {
                    sum.add(half);
                }
                sum
            })
            .collect()
    }
}
