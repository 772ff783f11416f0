//! Counting is a function of the log: not of its batches, nor of restarts between them.

use std::sync::Arc;

use arrow::array::Float64Array;
use proptest::prelude::*;

use super::*;
use crate::codec::{Reader, Writer};
use crate::decode::Reject;
use crate::feature::Absent;
use crate::feature::Column;
use crate::histogram::NumericCells;
use crate::histogram::Scale;
use crate::histogram::Storage;

const PANE: i64 = 60_000;
const DAY: i64 = 24 * 3_600_000;
const BASE: i64 = 20_000 * DAY;

fn rules() -> Rules {
    let scale = Scale { center: 0.0, unit: 1.0 };
    let cells = NumericCells::new(vec![-1.0, 0.0, 1.0], -2.0, 2.0, scale, Storage::F64);
    Rules {
        hash: 7,
        pane_ms: PANE,
        lateness_ms: 2 * PANE,
        active_from_ms: BASE + 2 * PANE,
        cells: vec![Cells::Numeric(cells)],
    }
}

/// One record of a log: a row at an event time, or a reject.
#[derive(Clone, Debug)]
enum Entry {
    Row { event_ms: i64, kafka_ms: i64, value: Option<f64> },
    Reject(Reason),
}

fn batch(entries: &[Entry], first: i64) -> Batch {
    let mut out = Batch {
        offsets: Vec::new(),
        kafka_ms: Vec::new(),
        event_ms: Vec::new(),
        fingerprints: Vec::new(),
        strangers: Vec::new(),
        columns: Vec::new(),
        rejects: Vec::new(),
        duplicate_keys: 0,
        other_models: 0,
        imprecise: 0,
        looked_up: 0,
    };
    let (mut values, mut absent) = (Vec::new(), Vec::new());
    for (offset, entry) in (first..).zip(entries) {
        match entry {
            Entry::Row { event_ms, kafka_ms, value } => {
                if value.is_none() {
                    absent.push((u32::try_from(values.len()).unwrap(), Absent::Missing));
                }
                values.push(*value);
                out.offsets.push(offset);
                out.event_ms.push(*event_ms);
                out.fingerprints.push(event_ms.unsigned_abs() % 199);
                if event_ms % 7 == 0 {
                    let row = u32::try_from(values.len() - 1).unwrap();
                    let name = format!("name{}", event_ms % 3);
                    out.strangers.push((row, [name.as_str()].into_iter().collect()));
                }
                out.kafka_ms.push(*kafka_ms);
            }
            Entry::Reject(reason) => {
                out.rejects.push(Reject { offset, reason: *reason, hint: None });
            }
        }
    }
    out.columns.push(Column { array: Arc::new(Float64Array::from(values)), absent });
    out
}

/// Mostly a clock that goes on, with stragglers; now and then a liar by a month, a time from the
/// future, a reject.
fn log() -> impl Strategy<Value = Vec<Entry>> {
    let value = || proptest::option::weighted(0.9, -3.0..3.0);
    let kind = prop_oneof![
        20 => (0..20_000i64, value()).prop_map(|(dt, value)| (dt, 0, value)),
        4 => (-400_000..0i64, value()).prop_map(|(dt, value)| (0, dt, value)),
        2 => (-1..2i64, value()).prop_map(|(n, value)| (0, n * 30 * DAY, value)),
        1 => Just((-1, 0, None)),
        1 => Just((-2, 0, None)),
    ];
    proptest::collection::vec(kind, 0..120).prop_map(|kinds| {
        let mut now = BASE;
        let entry = |(step, off, value): (i64, i64, Option<f64>)| match step {
            -1 => Entry::Reject(Reason::Malformed),
            -2 => Entry::Row { event_ms: now + DAY, kafka_ms: now, value: None },
            step => {
                now += step;
                Entry::Row { event_ms: now + off, kafka_ms: now + off.max(0), value }
            }
        };
        kinds.into_iter().map(entry).collect()
    })
}

/// Applies a log in the given pieces; the panes that closed, and the state's bytes.
fn run(log: &[Entry], cuts: &[usize], restart: bool) -> (Vec<Pane>, Vec<u8>, Totals) {
    let rules = rules();
    let mut state = PartitionState::new(&rules, 0);
    let mut closed = Vec::new();
    let ends = cuts.iter().map(|cut| cut % (log.len() + 1)).chain([log.len()]);
    let mut ends: Vec<usize> = ends.collect();
    ends.sort_unstable();
    let mut from = 0;
    for to in ends {
        let next = i64::try_from(to).unwrap();
        state.apply(&rules, &batch(&log[from..to], i64::try_from(from).unwrap()), next);
        closed.extend(state.take_closed());
        if restart {
            state = restarted(&state, &rules);
        }
        from = to;
    }
    (closed, bytes(&state), state.totals)
}

fn bytes(state: &PartitionState) -> Vec<u8> {
    let mut out = Writer::default();
    state.encode(&mut out);
    out.into_bytes()
}

fn restarted(state: &PartitionState, rules: &Rules) -> PartitionState {
    PartitionState::decode(&mut Reader::new(&bytes(state)), rules).unwrap()
}

proptest! {
    #[test]
    fn batches_and_restarts_change_nothing(
        log in log(),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let whole = run(&log, &[], false);
        prop_assert_eq!(&run(&log, &cuts, false), &whole);
        prop_assert_eq!(&run(&log, &cuts, true), &whole);
        let each: Vec<usize> = (0..log.len()).collect();
        prop_assert_eq!(&run(&log, &each, true), &whole);
    }

    #[test]
    fn every_record_is_somewhere(log in log()) {
        let (closed, state, totals) = run(&log, &[], false);
        let rejects: u64 = totals.rejects.iter().sum();
        let all = totals.records + totals.late + totals.before_active + rejects;
        prop_assert_eq!(all, log.len() as u64);
        let state = PartitionState::decode(&mut Reader::new(&state), &rules()).unwrap();
        let panes = || closed.iter().chain(state.open());
        prop_assert_eq!(panes().map(|p| p.records).sum::<u64>(), totals.records);
        prop_assert!(panes().all(|p| p.features[0].records() == p.records));
        prop_assert!(panes().all(|p| p.sampled == p.records && p.repeated <= p.sampled));
        prop_assert_eq!(panes().map(|p| p.rejects).sum::<u64>() + state.unplaced_rejects, rejects);
        let starts: Vec<i64> = closed.iter().filter(|p| !p.is_empty()).map(|p| p.start_ms).collect();
        prop_assert!(starts.is_sorted_by(|a, b| a < b), "{:?}", starts);
    }
}

fn rows(times: impl IntoIterator<Item = i64>) -> Vec<Entry> {
    let row = |event_ms| Entry::Row { event_ms, kafka_ms: event_ms, value: Some(0.5) };
    times.into_iter().map(row).collect()
}

#[test]
fn a_state_of_other_rules_keeps_its_position_and_counts_anew() {
    let rules = rules();
    let mut state = PartitionState::new(&rules, 0);
    let log = rows((0..20).map(|i| BASE + 3 * PANE + i * 1000));
    state.apply(&rules, &batch(&log, 0), 20);
    let other = Rules { hash: 8, ..rules };
    let read = restarted(&state, &other);
    assert_eq!((read.next_offset, read.rules, &read.watermark), (20, 8, &state.watermark));
    assert_eq!((read.open().count(), read.first_pane_ms), (0, None));
}

#[test]
fn a_first_record_of_long_ago_or_of_years_ahead_is_taken_back() {
    let rules = Rules { active_from_ms: i64::MIN, ..rules() };
    for liar in [-DAY * 9000, 4000 * DAY] {
        let mut state = PartitionState::new(&rules, 0);
        // What was lost before the first record is still said by the pane of the first that counts.
        state.lose(5, 5);
        let mut log = rows([BASE + liar]);
        state.apply(&rules, &batch(&log, 5), 6);
        assert_eq!(state.open().map(|pane| pane.records).collect::<Vec<_>>(), [1]);
        log.extend(rows((0..20).map(|i| BASE + i * 1000)));
        for cut in [7, 12, 13, 14] {
            let mut state = restarted(&state, &rules);
            state.apply(&rules, &batch(&log[1..cut - 5], 6), i64::try_from(cut).unwrap());
            let mut closed = state.take_closed();
            state.apply(&rules, &batch(&log[cut - 5..], i64::try_from(cut).unwrap()), 26);
            closed.extend(state.take_closed());
            // Who was told of the pane while it was open hears that nothing is in it.
            let start = pane_start(BASE + liar, PANE);
            assert_eq!(closed, [Pane::empty(start, &rules.shape())]);
            let open: Vec<(i64, u64, u64, bool)> =
                state.open().map(|p| (p.start_ms, p.records, p.rejects, p.gap)).collect();
            assert_eq!(open, [(BASE, 13, 8, true)]);
            assert_eq!((state.totals.records, state.first_pane_ms), (13, Some(BASE)));
            assert_eq!(state.totals.rejects[Reason::TimeJump as usize], 8);
        }
    }
}

#[test]
fn what_was_passed_before_the_rules_were_known_is_missing_but_nothing_of_the_future() {
    let mut state = PartitionState::new(&rules(), 0);
    state.apply(&rules(), &batch(&rows((0..20).map(|i| BASE + i * PANE)), 0), 20);
    let from = BASE + 10 * PANE;
    let new = Rules { hash: 8, active_from_ms: from, ..rules() };
    let missed = |state: &PartitionState, now_ms: i64| -> Vec<i64> {
        let mut state = state.clone();
        state.adopt(&new);
        state.miss(&new, now_ms);
        let mut panes = state.take_closed();
        panes.extend(state.open().cloned());
        assert!(panes.iter().all(|pane| pane.gap && pane.records == 0));
        panes.iter().map(|pane| (pane.start_ms - from) / PANE).collect()
    };
    assert_eq!(missed(&state, BASE + 19 * PANE), (0..10).collect::<Vec<_>>());
    // A liar is six days ahead of the clock, which is at the last honest record.
    state.apply(&rules(), &batch(&rows([BASE + 6 * DAY]), 20), 21);
    assert_eq!(missed(&state, BASE + 19 * PANE), (0..15).collect::<Vec<_>>());
}

#[test]
fn what_was_lost_is_said_by_the_panes_around_it() {
    let rules = rules();
    let mut state = PartitionState::new(&rules, 0);
    let log = rows((0..20).map(|i| BASE + 3 * PANE + i * 1000));
    state.apply(&rules, &batch(&log, 0), 20);
    state.lose(50, 30);
    assert_eq!((state.next_offset, state.totals.lost), (50, 30));
    let state = &mut restarted(&state, &rules);
    let later = rows((0..2).map(|i| BASE + (4 + 10 * i) * PANE));
    state.apply(&rules, &batch(&later, 50), 52);
    let gaps: Vec<bool> = state.take_closed().iter().map(|pane| pane.gap).collect();
    assert_eq!(gaps, [true, true]);
    assert!(state.open().all(|pane| !pane.gap));
}

#[test]
fn a_log_that_broke_off_goes_on_further_than_before_and_says_so() {
    let rules = rules();
    let mut state = PartitionState::new(&rules, 0);
    let log = rows((0..20).map(|i| BASE + 3 * PANE + i * 1000));
    state.apply(&rules, &batch(&log, 0), 20);
    let (first, second) = (TopicId::known([1; 16]), TopicId::known([2; 16]));
    state.lineage = Lineage { topic: first, leader_epoch: Some(3), breaks: 0 };
    let before = state.applied_through();
    assert_eq!(before, 20);
    state.break_off(0, second);
    assert_eq!((state.next_offset, state.totals.lost), (0, 1));
    assert_eq!(state.lineage, Lineage { topic: second, leader_epoch: None, breaks: 1 });
    assert!(state.applied_through() > before);
    assert!(state.open().all(|pane| pane.gap));
    // By other rules nothing but the position is read.
    for rules in [&rules, &Rules { hash: 8, ..rules.clone() }] {
        let read = restarted(&state, rules);
        assert_eq!((read.next_offset, read.lineage), (0, state.lineage));
    }
}

#[test]
fn panes_that_could_not_be_published_come_first_the_next_time() {
    let rules = rules();
    let mut state = PartitionState::new(&rules, 0);
    let log = rows((0..10).map(|i| BASE + (3 + i) * PANE));
    state.apply(&rules, &batch(&log[..8], 0), 8);
    let closed = state.take_closed();
    assert!(!closed.is_empty());
    state.put_back(closed.clone());
    state.apply(&rules, &batch(&log[8..], 8), 10);
    let again = state.take_closed();
    assert_eq!(again[..closed.len()], closed);
    assert_eq!(again.len(), closed.len() + 2);
}

#[test]
fn records_that_are_sent_again_are_known_after_a_restart() {
    let rules = rules();
    let mut state = PartitionState::new(&rules, 0);
    let log = rows((0..100).map(|i| BASE + 3 * PANE + i));
    state.apply(&rules, &batch(&log, 0), 100);
    let sample = |state: &PartitionState| -> Vec<(u64, u64)> {
        state.open().map(|pane| (pane.sampled, pane.repeated)).collect()
    };
    assert_eq!(sample(&state), [(100, 0)]);
    let mut state = restarted(&state, &rules);
    state.apply(&rules, &batch(&log[..30], 100), 130);
    assert_eq!(sample(&state), [(130, 30)]);
    // Of records whose bytes nobody has, nothing is said.
    let unknown = Batch { fingerprints: Vec::new(), ..batch(&log, 130) };
    state.apply(&rules, &unknown, 230);
    assert_eq!(sample(&state), [(130, 30)]);
}

#[test]
fn a_state_that_an_earlier_release_wrote_is_read() {
    let rules = rules();
    let mut state = PartitionState::new(&rules, 0);
    let log = rows((0..20).map(|i| BASE + 3 * PANE + i * 1000));
    state.apply(&rules, &batch(&log, 0), 20);
    let mut sample = Writer::default();
    state.open().for_each(|pane| pane.encode_sample(&mut sample));
    state.repeats.encode(&mut sample);
    let mut old = bytes(&state);
    old.truncate(old.len() - LINEAGE_BYTES);
    let sampled = PartitionState::decode(&mut Reader::new(&old), &rules).unwrap();
    assert_eq!(sampled, state, "only the lineage is missing, and there is none yet");
    old.truncate(old.len() - sample.into_bytes().len());
    let read = PartitionState::decode(&mut Reader::new(&old), &rules).unwrap();
    assert_eq!(read.repeats, Repeats::default());
    assert_eq!((read.next_offset, read.totals.records), (20, state.totals.records));
    assert!(read.open().all(|pane| pane.records > 0 && pane.sampled == 0));
}
