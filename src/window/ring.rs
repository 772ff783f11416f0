//! The last panes of a model and the running sum of its window.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::codec::Truncated;
use crate::histogram::Counts;
use crate::setting::season::Calendar;
use crate::setting::season::Cycle;
use crate::window::ClosedPane;
use crate::window::Pane;

/// Closed panes, oldest first and without gaps, and the sum over the window at their end.
///
/// The window is the last `window_panes`; while it holds fewer than `min_records` records it reaches
/// back by whole panes, over at most `max_panes`.
#[derive(Clone, Debug)]
pub struct Ring {
    shape: Vec<usize>,
    pane_ms: i64,
    window_panes: usize,
    max_panes: usize,
    min_records: u64,
    /// Shared with readers: a new pane copies pointers, never counts.
    panes: VecDeque<Arc<ClosedPane>>,
    /// How many of the newest panes `sum` covers.
    covered: usize,
    sum: Vec<Counts>,
    records: u64,
    /// The window's records by slot of each calendar.
    slots: Vec<(Calendar, Vec<u64>)>,
}

impl Ring {
    pub fn new(
        shape: Vec<usize>,
        pane_ms: i64,
        window_panes: usize,
        max_panes: usize,
        min_records: u64,
    ) -> Self {
        let sum = shape.iter().map(|&n| Counts::zero(n)).collect();
        let max_panes = max_panes.max(window_panes);
        Self {
            shape,
            pane_ms,
            window_panes,
            max_panes,
            min_records,
            panes: VecDeque::new(),
            covered: 0,
            sum,
            records: 0,
            slots: Vec::new(),
        }
    }

    /// The same, which also tells the window's records by the slots of these calendars. A pane's slot is
    /// that of its start.
    pub fn with_calendars(mut self, calendars: Vec<Calendar>) -> Self {
        let empty = |calendar: Calendar| {
            let slots = vec![0; calendar.cycle().slots()];
            (calendar, slots)
        };
        self.slots = calendars.into_iter().map(empty).collect();
        self
    }

    /// Appends the next pane and moves the window to its end. Where panes were passed over before it, they
    /// were empty, and more than are kept.
    pub fn push(&mut self, pane: ClosedPane) -> Result<(), Truncated> {
        let newest = self.panes.back().map(|newest| newest.start_ms + self.pane_ms);
        if newest.is_some_and(|end_ms| end_ms < pane.start_ms) {
            self.fall_silent(pane.start_ms);
        }
        self.add(&pane)?;
        self.panes.push_back(Arc::new(pane));
        self.covered += 1;
        while self.covered > self.window_panes && self.can_spare_oldest() {
            self.shrink()?;
        }
        while self.records < self.min_records
            && self.covered < self.panes.len()
            && self.covered < self.max_panes
        {
            let pane = self.panes[self.panes.len() - self.covered - 1].clone();
            self.add(&pane)?;
            self.covered += 1;
        }
        while self.covered > self.max_panes {
            self.shrink()?;
        }
        while self.panes.len() > self.max_panes {
            self.panes.pop_front();
        }
        Ok(())
    }

    /// As many empty panes as there are panes lie right before `end_ms`.
    fn fall_silent(&mut self, end_ms: i64) {
        let mut start_ms = end_ms;
        for pane in self.panes.iter_mut().rev() {
            start_ms -= self.pane_ms;
            *pane = Arc::new(ClosedPane::new(&Pane::empty(start_ms, &self.shape), true));
        }
        self.sum = self.shape.iter().map(|&n| Counts::zero(n)).collect();
        self.records = 0;
        self.slots.iter_mut().for_each(|(_, slots)| slots.fill(0));
    }

    fn can_spare_oldest(&self) -> bool {
        let oldest = &self.panes[self.panes.len() - self.covered];
        self.records - oldest.records >= self.min_records
    }

    fn shrink(&mut self) -> Result<(), Truncated> {
        let oldest = self.panes[self.panes.len() - self.covered].clone();
        for (sum, counts) in self.sum.iter_mut().zip(oldest.counts(&self.shape)?) {
            sum.subtract(&counts);
        }
        self.records -= oldest.records;
        for (calendar, slots) in &mut self.slots {
            slots[calendar.slot(oldest.start_ms)] -= oldest.records;
        }
        self.covered -= 1;
        Ok(())
    }

    fn add(&mut self, pane: &ClosedPane) -> Result<(), Truncated> {
        for (sum, counts) in self.sum.iter_mut().zip(pane.counts(&self.shape)?) {
            sum.add(&counts);
        }
        self.records += pane.records;
        for (calendar, slots) in &mut self.slots {
            slots[calendar.slot(pane.start_ms)] += pane.records;
        }
        Ok(())
    }

    /// How many of the window's records came in each slot of the calendar of this cycle that was given to
    /// the ring.
    pub fn slots(&self, cycle: Cycle) -> Option<(&Calendar, &[u64])> {
        let (calendar, slots) = self.slots.iter().find(|(of, _)| of.cycle() == cycle)?;
        Some((calendar, slots))
    }

    /// Live counts of the window, one per feature.
    pub fn live(&self) -> &[Counts] {
        &self.sum
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    /// `[start, end)` of the window in event time; `None` before the first pane.
    pub fn span_ms(&self) -> Option<(i64, i64)> {
        let newest = self.panes.back()?;
        let oldest = &self.panes[self.panes.len() - self.covered];
        Some((oldest.start_ms, newest.start_ms + self.pane_ms))
    }

    /// Panes that the plain window (without reaching back) holds, newest first.
    pub fn window(&self) -> impl Iterator<Item = &ClosedPane> {
        self.panes.iter().rev().take(self.window_panes).map(Arc::as_ref)
    }

    /// There are as many panes as the window is long.
    pub fn is_full(&self) -> bool {
        self.panes.len() >= self.window_panes
    }

    pub fn panes(&self) -> Vec<Arc<ClosedPane>> {
        self.panes.iter().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.panes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.panes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn closed(start_ms: i64, records: u64) -> ClosedPane {
        let mut pane = Pane::empty(start_ms, &[2]);
        pane.records = records;
        pane.features[0].cells = vec![records, 0];
        ClosedPane::new(&pane, true)
    }

    fn ring_of(records: &[u64], window: usize, max: usize, min_records: u64) -> Ring {
        let mut ring = Ring::new(vec![2], 1000, window, max, min_records);
        for (start, &n) in (0..).step_by(1000).zip(records) {
            ring.push(closed(start, n)).unwrap();
        }
        ring
    }

    #[test]
    fn a_thin_window_reaches_back_by_whole_panes() {
        let ring = ring_of(&[50, 60, 10, 0, 10], 2, 10, 60);
        assert_eq!(ring.span_ms(), Some((1000, 5000)));
        assert_eq!(ring.records(), 80);
    }

    #[test]
    fn reaching_back_ends_at_the_oldest_pane_that_is_kept() {
        let ring = ring_of(&[50, 60, 10, 0, 10], 2, 3, 60);
        assert_eq!(ring.records(), 20);
        assert_eq!(ring.len(), 3);
    }

    #[test]
    fn a_silence_that_was_passed_over_has_empty_panes_to_the_end() {
        let hour = 3_600_000;
        let calendar = Calendar::new(Cycle::Day, "UTC").unwrap();
        let ring = || Ring::new(vec![2], hour, 3, 5, 4).with_calendars(vec![calendar.clone()]);
        let (mut passed, mut closed_one_by_one) = (ring(), ring());
        let pane = |at: i64, records| closed(at * hour, records);
        for at in 0..9 {
            passed.push(pane(at, if at < 4 { 7 } else { 0 })).unwrap();
        }
        for at in 0..1000 {
            closed_one_by_one.push(pane(at, if at < 4 { 7 } else { 0 })).unwrap();
        }
        for at in 1000..1008 {
            for ring in [&mut passed, &mut closed_one_by_one] {
                ring.push(pane(at, 2)).unwrap();
            }
            assert_eq!(passed.panes(), closed_one_by_one.panes());
            assert_eq!(passed.live(), closed_one_by_one.live());
            assert_eq!(passed.span_ms(), closed_one_by_one.span_ms());
            assert_eq!(passed.slots(Cycle::Day), closed_one_by_one.slots(Cycle::Day));
        }
    }

    #[test]
    fn the_windows_records_are_known_by_slot() {
        let hour = 3_600_000;
        let calendar = Calendar::new(Cycle::Day, "Europe/Berlin").unwrap();
        let mut ring = Ring::new(vec![2], hour, 26, 100, 0).with_calendars(vec![calendar.clone()]);
        // Into the day of 25 hours.
        let start = 1_792_879_200_000;
        assert_eq!(calendar.slot(start), 0);
        for (pane, records) in (0..60).zip(1..) {
            ring.push(closed(start + pane * hour, records)).unwrap();
            let mut expected = vec![0; 24];
            for pane in ring.panes().iter().rev().take(26) {
                expected[calendar.slot(pane.start_ms)] += pane.records;
            }
            assert_eq!(ring.slots(Cycle::Day).unwrap().1, expected);
            assert_eq!(expected.iter().sum::<u64>(), ring.records());
        }
        assert_eq!(ring.slots(Cycle::Week), None);
    }

    proptest! {
        /// The running sum equals the sum over the shortest suffix of panes that is at least the
        /// window and, where that is possible, holds `min_records`.
        #[test]
        fn the_running_sum_is_the_sum_of_the_window(
            records in proptest::collection::vec(0..40u64, 1..40),
            window in 1..6usize,
            extra in 0..10usize,
            min_records in 0..120u64,
        ) {
            let max = window + extra;
            let ring = ring_of(&records, window, max, min_records);
            let kept = &records[records.len().saturating_sub(max)..];
            let mut covered = window.min(kept.len());
            let sum = |n: usize| kept[kept.len() - n..].iter().sum::<u64>();
            while sum(covered) < min_records && covered < kept.len() {
                covered += 1;
            }
            prop_assert_eq!(ring.records(), sum(covered));
            prop_assert_eq!(ring.live()[0].cells[0], sum(covered));
        }
    }
}
