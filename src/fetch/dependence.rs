//! How much a baseline's records depend on each other, and what seasons they have, from its own time column.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{concat, take};

use crate::baseline::{FeatureBaseline, SeasonRule, live_column};
use crate::decide::evidence::Columns;
use crate::fetch::error::Error;
use crate::fetch::parquet::Table;
use crate::fetch::season::{Fragments, Tried};
use crate::fetch::times::Times;
use crate::histogram::{Counts, count};
use crate::setting::DAY_MS;
use crate::setting::season::Calendar;

/// The shortest pane that is measured in.
const PANE_MS: i64 = 300_000;
/// Panes are lengthened until they hold so many rows on average, or are so few.
const ROWS_A_PANE: usize = 8;
const PANES_FEW: usize = 1024;
/// However long a baseline spans, it is cut into no more panes than this.
const PANES_MOST: usize = 131_072;
/// The place in time of a row without one.
const NO_TIME: u32 = u32::MAX;

/// Which pane of event time each row is in, and which slots.
pub(super) struct PaneClock {
    /// How seasons are looked for, and what the rows' times allow.
    rule: SeasonRule,
    is_dated: bool,
    calendars: Vec<Calendar>,
    pane_ms: i64,
    n_panes: usize,
    /// The latest time of a row.
    pub(super) last_ms: i64,
    /// Rows in the order that they are taken in.
    runs: Vec<Run>,
    /// Where the rows don't stand in order of time: which row to take next.
    order: Option<UInt32Array>,
}

/// Rows behind each other that are in one pane, and in one slot of each calendar.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    rows: usize,
    /// `None` of rows without a time.
    at: Option<Place>,
}

/// A pane, and a slot of each calendar.
type Place = (u32, Vec<u16>);

impl PaneClock {
    /// From the column at `index`; `None` where it tells no times, or all rows are of one time. The zone of
    /// `rule` is known to be there.
    pub(super) fn read(
        table: &Table,
        index: usize,
        rule: SeasonRule,
    ) -> Result<Option<Self>, Error> {
        Ok(Self::new(Times::read(table, index)?, rule))
    }

    fn new(times: Times, mut rule: SeasonRule) -> Option<Self> {
        let Times { of_rows: times, last_ms, is_dated } = times;
        let known = times.iter().flatten();
        let (first, last) = (*known.clone().min()?, *known.clone().max()?);
        if first == last {
            return None;
        }
        let (pane_ms, n_panes) = panes(times.len(), first, last);
        // Slots may be shorter than panes: rows are told apart by the shortest pane.
        let origin = first.div_euclid(pane_ms) * (pane_ms / PANE_MS);
        let place = |time: &Option<i64>| {
            let place = time.map(|time| time.div_euclid(PANE_MS) - origin);
            place.and_then(|place| u32::try_from(place).ok()).unwrap_or(NO_TIME)
        };
        let mut places: Vec<u32> = times.iter().map(place).collect();
        let of_day = |time: i64| time.rem_euclid(DAY_MS);
        let is_daily = known.into_iter().all(|&time| of_day(time) == of_day(first));
        drop(times);
        let order = put_in_order(&mut places);
        let time_of = |place: u32| (origin + i64::from(place)) * PANE_MS;
        let distinct: Vec<i64> = places
            .chunk_by(|a, b| a == b)
            .map(|run| run[0])
            .filter(|&place| place != NO_TIME)
            .map(time_of)
            .collect();
        rule.see(last.saturating_sub(first), &distinct, is_daily);
        drop(distinct);
        let calendars = if is_dated { rule.calendars().unwrap_or_default() } else { Vec::new() };
        let slots = |place: u32| -> Vec<u16> {
            let start_ms = rule.pane_of(time_of(place));
            let slot = |calendar: &Calendar| u16::try_from(calendar.slot(start_ms)).unwrap_or(0);
            calendars.iter().map(slot).collect()
        };
        let per_pane = u32::try_from(pane_ms / PANE_MS).unwrap_or(u32::MAX);
        let mut runs: Vec<Run> = Vec::new();
        for run in places.chunk_by(|a, b| a == b) {
            let at = (run[0] != NO_TIME).then(|| (run[0] / per_pane, slots(run[0])));
            match runs.last_mut().filter(|last| last.at == at) {
                Some(last) => last.rows += run.len(),
                None => runs.push(Run { rows: run.len(), at }),
            }
        }
        let last_ms = last_ms.unwrap_or(last);
        Some(Self { rule, is_dated, calendars, pane_ms, n_panes, last_ms, runs, order })
    }

    /// Why slots of a day or a week can't be made from these times, if they can't.
    pub(super) fn lacks(&self) -> Option<&'static str> {
        if !self.is_dated {
            Some("counts from no date: all of its numbers are before the year 2000")
        } else if self.rule.is_daily() {
            Some("tells days only")
        } else {
            None
        }
    }

    /// How seasons were looked for; `None` where the times are of no calendar.
    pub(super) fn into_rule(self) -> Option<SeasonRule> {
        self.is_dated.then_some(self.rule)
    }

    /// Measures a feature that has its cells, from its column at `index`: its design effect, `None` with
    /// too few panes, and its season.
    pub(super) fn measure(
        &self,
        table: &Table,
        index: usize,
        feature: &mut FeatureBaseline,
    ) -> Result<(), Error> {
        let columns = Columns::new(feature);
        let mut fragments = Fragments::new(&columns, &self.calendars, self.n_panes);
        let mut runs = Runs { all: &self.runs, left: self.runs.first().map_or(0, |run| run.rows) };
        let mut counts = Counts::zero(feature.cells.len());
        let mut add = |array: &ArrayRef| {
            let mut from = 0;
            while let Some((rows, at)) = runs.take(array.len() - from) {
                let slice = array.slice(from, rows);
                from += rows;
                let Some((pane, slots)) = at else { continue };
                counts.clear();
                count(&feature.cells, &live_column(&slice, feature.kind), &mut counts);
                fragments.add(*pane as usize, slots, &counts);
            }
        };
        match &self.order {
            None => table.for_each(index, &mut add)?,
            Some(order) => {
                let mut parts: Vec<ArrayRef> = Vec::new();
                table.for_each(index, &mut |array| parts.push(array.clone()))?;
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                let ordered = concat(&parts).and_then(|whole| take(&whole, order, None));
                // Parts of different types: their order in time can't be made.
                let Ok(ordered) = ordered else { return Ok(()) };
                add(&ordered);
            }
        }
        let Tried { effect, season } =
            fragments.finish(&self.rule, &feature.reference, self.pane_ms);
        feature.design_effect = effect;
        feature.season = season;
        Ok(())
    }
}

/// Length and number of the panes that this many rows from `first` to `last` are measured in.
fn panes(rows: usize, first: i64, last: i64) -> (i64, usize) {
    let n_panes = |pane_ms: i64| {
        let span = last.div_euclid(pane_ms) - first.div_euclid(pane_ms) + 1;
        usize::try_from(span).unwrap_or(usize::MAX)
    };
    let is_many = |n: usize| n > PANES_MOST || (n > PANES_FEW && rows / n < ROWS_A_PANE);
    let mut pane_ms = PANE_MS;
    while is_many(n_panes(pane_ms)) {
        pane_ms *= 2;
    }
    (pane_ms, n_panes(pane_ms))
}

/// Sorts places; where they were not sorted, the rows in the order that they are in then.
fn put_in_order(places: &mut Vec<u32>) -> Option<UInt32Array> {
    if places.is_sorted() {
        return None;
    }
    let n = u32::try_from(places.len()).unwrap_or(u32::MAX);
    let mut rows: Vec<u32> = (0..n).collect();
    rows.sort_by_key(|&row| places[row as usize]);
    *places = rows.iter().map(|&row| places[row as usize]).collect();
    Some(UInt32Array::from(rows))
}

/// The runs that are still to come.
struct Runs<'a> {
    all: &'a [Run],
    /// Rows of the first of them.
    left: usize,
}

impl<'a> Runs<'a> {
    /// At most `most` rows of one run, and where they are; `None` behind the last run, or of no rows.
    fn take(&mut self, most: usize) -> Option<(usize, Option<&'a Place>)> {
        while self.left == 0 {
            self.all = self.all.get(1..)?;
            self.left = self.all.first()?.rows;
        }
        let rows = self.left.min(most);
        self.left -= rows;
        (rows > 0).then(|| (rows, self.all[0].at.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::baseline::Overrides;
    use crate::setting::HOUR_MS;
    use crate::setting::season::{Cycle, Period, Season};

    /// 2026-01-01T00:00:00Z
    const START: i64 = 1_767_225_600_000;

    fn rule(period: Period, time_zone: &str, pane_ms: i64) -> SeasonRule {
        let season = Season { period, slots: None, time_zone: time_zone.to_owned() };
        let pane_ms = Some(pane_ms);
        SeasonRule::new(&Overrides { season, pane_ms, ..Overrides::default() })
    }

    fn clock(of_rows: Vec<Option<i64>>, rule: SeasonRule) -> Option<PaneClock> {
        let last_ms = of_rows.iter().copied().flatten().max();
        PaneClock::new(Times { of_rows, last_ms, is_dated: true }, rule)
    }

    fn every(step_ms: i64, from: i64, n: i64) -> Vec<Option<i64>> {
        (0..n).map(|row| Some(from + row * step_ms)).collect()
    }

    #[test]
    fn rows_have_the_slot_of_the_live_pane_that_they_would_be_in() {
        // Through the hour that Berlin lacks and the one that it has twice.
        for from in ["2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z"] {
            let from = from.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            let times = every(60_000, from, 30 * 60);
            let calendar = Calendar::new(Cycle::Day, "Europe/Berlin").unwrap();
            let clock = clock(times.clone(), rule(Period::Day, "Europe/Berlin", 300_000)).unwrap();
            let mut rows = times.iter().flatten();
            for run in &clock.runs {
                let (pane, slots) = run.at.as_ref().unwrap();
                for &time in rows.by_ref().take(run.rows) {
                    let live_pane = time.div_euclid(300_000) * 300_000;
                    assert_eq!(usize::from(slots[0]), calendar.slot(live_pane));
                    assert_eq!(i64::from(*pane), live_pane / 300_000 - from / 300_000);
                }
            }
            assert_eq!(rows.next(), None);
        }
        // Panes of an hour in a zone off the hour: the whole pane has the slot of its start.
        let clock = clock(every(60_000, START, 240), rule(Period::Day, "Asia/Kolkata", HOUR_MS));
        let slots: BTreeSet<u16> =
            clock.unwrap().runs.into_iter().filter_map(|run| Some(run.at?.1[0])).collect();
        assert_eq!(slots, BTreeSet::from([5, 6, 7, 8]));
    }

    #[test]
    fn slots_are_told_apart_within_panes_that_are_longer() {
        // One row in three hours: panes are lengthened until they hold eight of them.
        let times = every(3 * HOUR_MS, START, 20_000);
        let clock = clock(times, rule(Period::Day, "UTC", 300_000)).unwrap();
        assert!(clock.pane_ms > 24 * HOUR_MS, "{}", clock.pane_ms);
        let slots = clock.runs.iter().take(8).map(|run| run.at.as_ref().unwrap().1[0]);
        assert_eq!(slots.collect::<Vec<_>>(), [0, 3, 6, 9, 12, 15, 18, 21]);
    }

    #[test]
    fn unsorted_and_gappy_times_are_put_in_order_and_rows_without_one_are_left_out() {
        let sorted = [every(60_000, START, 50), every(60_000, START + 40 * DAY_MS, 50)].concat();
        let mut mixed: Vec<Option<i64>> =
            (0..100).map(|row| sorted[(row * 37) % 100]).chain([None, None]).collect();
        mixed.swap(3, 100);
        let clock = clock(mixed, rule(Period::Auto, "UTC", 300_000)).unwrap();
        let rows: usize = clock.runs.iter().map(|run| run.rows).sum();
        assert_eq!((rows, clock.runs.last().unwrap()), (102, &Run { rows: 2, at: None }));
        assert!(clock.runs.is_sorted_by_key(|run| run.at.as_ref().map_or(u32::MAX, |at| at.0)));
        // Rows on two days only, however far apart, show no season.
        assert_eq!((clock.rule.days, clock.calendars.len()), (2, 0));
        assert_eq!(clock.rule.span_ms, 40 * DAY_MS + 49 * 60_000);
    }

    #[test]
    fn times_that_tell_nothing_are_no_clock() {
        let rule = || rule(Period::Day, "UTC", 300_000);
        assert!(clock(Vec::new(), rule()).is_none());
        assert!(clock(vec![None; 9], rule()).is_none());
        assert!(clock(vec![Some(START); 9], rule()).is_none());
        let two = clock(vec![Some(START), Some(START + 1)], rule()).unwrap();
        assert_eq!((two.n_panes, two.rule.days), (1, 1));
    }

    #[test]
    fn times_that_tell_days_only_show_no_season() {
        let days = || (0..60).flat_map(|day| [Some(START + day * DAY_MS); 9]).collect::<Vec<_>>();
        let daily = |times, zone| clock(times, rule(Period::Auto, zone, 300_000)).unwrap();
        // Midnight in UTC is two hours of Berlin's winter and summer.
        let year = every(DAY_MS, START, 300);
        for (times, zone) in [(days(), "UTC"), (days(), "Asia/Kolkata"), (year, "Europe/Berlin")] {
            let clock = daily(times, zone);
            assert_eq!((clock.calendars.len(), clock.lacks()), (0, Some("tells days only")));
            assert!(clock.runs.iter().all(|run| run.at.is_some()), "they order the rows");
        }
        // Days that begin at midnight of the zone.
        let berlin = Calendar::new(Cycle::Day, "Europe/Berlin").unwrap();
        let hours = every(HOUR_MS, START, 300 * 24).into_iter();
        let midnights = hours.filter(|at| berlin.slot(at.unwrap()) == 0).collect();
        assert_eq!(daily(midnights, "Europe/Berlin").lacks(), Some("tells days only"));
        // Twice a day leaves most of the hours empty; half an hour is not a matter of days.
        let twice = daily(every(DAY_MS / 2, START, 120), "UTC");
        assert_eq!((twice.calendars.len(), twice.lacks()), (0, None));
        let short = every(60_000, START + DAY_MS - 900_000, 30);
        let short = clock(short, rule(Period::Day, "Asia/Kolkata", 300_000)).unwrap();
        assert_eq!((short.calendars.len(), short.lacks()), (1, None));
    }

    #[test]
    fn times_since_the_start_of_something_order_rows_and_show_no_season() {
        let of_rows = every(60_000, 0, 30 * 1440);
        let times = Times { of_rows, last_ms: Some(9), is_dated: false };
        let clock = PaneClock::new(times, rule(Period::Auto, "UTC", 300_000)).unwrap();
        assert_eq!((clock.n_panes, clock.last_ms, clock.calendars.len()), (30 * 144, 9, 0));
        assert!(clock.lacks().unwrap().contains("no date"));
        assert_eq!(clock.into_rule(), None);
    }

    #[test]
    fn runs_are_taken_across_the_arrays_that_rows_come_in() {
        let at = |pane: u32| Some((pane, vec![0]));
        let all =
            [Run { rows: 3, at: at(0) }, Run { rows: 2, at: at(1) }, Run { rows: 4, at: None }];
        let mut runs = Runs { all: &all, left: 3 };
        let mut taken = Vec::new();
        for mut array in [2, 5, 0, 9] {
            while let Some((rows, at)) = runs.take(array) {
                array -= rows;
                taken.push((rows, at.map(|at| at.0)));
            }
        }
        let expected = [(2, Some(0)), (1, Some(0)), (2, Some(1)), (2, None), (2, None)];
        assert_eq!(taken, expected);
    }
}
