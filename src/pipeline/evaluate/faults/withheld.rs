//! Panes of the window in which a feature has a fault: their counts are no evidence of drift.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::codec::Truncated;
use crate::decide::fault::Faults;
use crate::histogram::Counts;
use crate::window::ClosedPane;
use crate::window::Ring;

/// Counts of panes in the window that are no evidence of drift, per feature.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    /// Panes of which something is withheld, oldest first, and of which features.
    panes: VecDeque<(Arc<ClosedPane>, Vec<bool>)>,
    sums: Vec<Counts>,
}

impl Withheld {
    /// Makes the sums those of `faults` in the window of `ring`; only panes whose part has changed are
    /// decoded.
    pub(crate) fn follow(
        &mut self,
        faults: &Faults,
        ring: &Ring,
        shape: &[usize],
    ) -> Result<(), Truncated> {
        if self.panes.is_empty() && !faults.withholds() {
            return Ok(());
        }
        if self.sums.len() != shape.len() {
            self.sums = shape.iter().map(|&cells| Counts::zero(cells)).collect();
        }
        let (from_ms, end_ms) = ring.span_ms().unwrap_or_default();
        let mut held = std::mem::take(&mut self.panes);
        for pane in ring.panes() {
            if !(from_ms..end_ms).contains(&pane.start_ms) {
                continue;
            }
            while let Some((gone, flags)) = held.pop_front_if(|(p, _)| p.start_ms < pane.start_ms) {
                self.change(&gone, &flags, &vec![false; flags.len()])?;
            }
            let known = held.pop_front_if(|(p, _)| p.start_ms == pane.start_ms);
            let before = known.map_or_else(|| vec![false; shape.len()], |(_, flags)| flags);
            let flags: Vec<bool> =
                (0..shape.len()).map(|f| faults.is_withheld(f, pane.start_ms)).collect();
            self.change(&pane, &before, &flags)?;
            if flags.contains(&true) {
                self.panes.push_back((pane, flags));
            }
        }
        for (gone, flags) in held {
            self.change(&gone, &flags, &vec![false; flags.len()])?;
        }
        Ok(())
    }

    fn change(&mut self, pane: &ClosedPane, from: &[bool], to: &[bool]) -> Result<(), Truncated> {
        if from == to {
            return Ok(());
        }
        let shape: Vec<usize> = self.sums.iter().map(|sum| sum.cells.len()).collect();
        let counts = pane.counts(&shape)?;
        for (((sum, counts), from), to) in self.sums.iter_mut().zip(&counts).zip(from).zip(to) {
            match (from, to) {
                (false, true) => sum.add(counts),
                (true, false) => sum.subtract(counts),
                (true, true) | (false, false) => {}
            }
        }
        Ok(())
    }

    /// Panes in the window of which a feature's counts are withheld.
    pub(crate) fn panes(&self, feature: usize) -> impl Iterator<Item = &ClosedPane> {
        let of = self.panes.iter().filter(move |(_, flags)| flags.get(feature) == Some(&true));
        of.map(|(pane, _)| pane.as_ref())
    }

    /// What is left of a feature's window.
    pub(crate) fn rest<'a>(&self, feature: usize, live: &'a Counts) -> Cow<'a, Counts> {
        match self.sums.get(feature).filter(|sum| sum.records() > 0) {
            None => Cow::Borrowed(live),
            Some(sum) => {
                let mut rest = live.clone();
                rest.subtract(sum);
                Cow::Owned(rest)
            }
        }
    }
}
