//! A replica that counts: the steps of `ingest` (`assign`, `count`, `snapshot_all`, `revoke`), `publish` and
//! `beats`, in their order, around the real states, partials and records.

use std::collections::BTreeMap;

use crate::codec::Reader;
use crate::dice::Dice;
use crate::pipeline::panes;
use crate::pipeline::simulator::RULES;
use crate::pipeline::simulator::mutation::Mutation;
use crate::pipeline::simulator::stream::{LATENESS, Stream, partition};
use crate::pipeline::simulator::topics::{Fault, Name, Store};
use crate::pipeline::snapshot;
use crate::store::kafka::fold::States;
use crate::store::kafka::record::{Body, Head, Heads, Pane as PaneOf, Record, State};
use crate::window::{Pane, PartitionState, Progress, Rules};

pub(super) const MODEL: &str = "m";

/// Offsets that went back, which no schedule may bring about.
#[derive(Debug)]
pub(super) struct WentBack(pub String);

struct Held {
    state: PartitionState,
    high: i64,
    /// Nothing came since the last beat.
    still: bool,
    quiet: bool,
    /// What was published of panes, where partials are differences.
    sent: BTreeMap<i64, Pane>,
    /// Others' keys that are to be removed.
    doomed: Vec<String>,
}

pub(super) struct Counter {
    pub writer: u64,
    partitions: BTreeMap<usize, Held>,
    /// How far what was written of a partition was counted, as long as the process lives.
    written: BTreeMap<usize, i64>,
}

impl Counter {
    pub(super) fn new(writer: u64) -> Self {
        Self { writer, partitions: BTreeMap::new(), written: BTreeMap::new() }
    }

    pub(super) fn holds(&self, n: usize) -> bool {
        self.partitions.contains_key(&n)
    }

    pub(super) fn held(&self) -> Vec<usize> {
        self.partitions.keys().copied().collect()
    }

    /// `Ingest::assign`, `Desk::states`.
    pub(super) fn take(
        &mut self,
        n: usize,
        (store, stream, rules): (&mut Store, &Stream, &Rules),
        dice: &mut Dice,
    ) -> Result<Option<WentBack>, Fault> {
        let stored = stored(n, store);
        let known = stored.is_some();
        let mut state = match stored {
            Some(stored) => PartitionState::decode(&mut Reader::new(&stored.state), rules).unwrap(),
            None => PartitionState::new(rules, stream.low(n)),
        };
        if store.mutation == Mutation::OffsetApart {
            state.next_offset = store.committed.get(&n).copied().unwrap_or(0);
        }
        let acknowledged = furthest(n, store);
        let back = acknowledged.filter(|furthest| state.next_offset < *furthest).map(|furthest| {
            WentBack(format!("partition {n} goes on at {}, not {furthest}", state.next_offset))
        });
        if state.next_offset < stream.low(n) {
            let lost = (stream.low(n) - state.next_offset).unsigned_abs();
            state.lose(stream.low(n), lost);
        }
        let held = Held {
            state,
            high: stream.high(n),
            still: false,
            quiet: false,
            sent: BTreeMap::new(),
            doomed: Vec::new(),
        };
        self.partitions.insert(n, held);
        if !known {
            self.write_snapshot(n, store, dice).or_else(unless_killed)?;
        }
        Ok(back)
    }

    /// `Ingest::count`.
    pub(super) fn count(
        &mut self,
        n: usize,
        (store, stream, rules): (&Store, &Stream, &Rules),
        (most, shared): (usize, Option<i64>),
    ) {
        let Some(held) = self.partitions.get_mut(&n) else { return };
        if let (Mutation::SharedWatermark, Some(shared)) = (store.mutation, shared) {
            held.state.watermark.observe(shared, i64::MAX);
        }
        if let Some((batch, next)) = stream.read(n, held.state.next_offset, most) {
            held.state.apply(rules, &batch, next);
            (held.still, held.quiet) = (false, false);
        }
    }

    pub(super) fn highest(&self) -> Option<i64> {
        self.partitions.values().filter_map(|held| held.state.watermark.highest()).max()
    }

    pub(super) fn next(&self, n: usize) -> Option<i64> {
        self.partitions.get(&n).map(|held| held.state.next_offset)
    }

    /// Where the protocol goes on in a partition.
    pub(super) fn stored(n: usize, store: &Store) -> Option<i64> {
        stored(n, store).map(|state| state.next_offset)
    }

    pub(super) fn is_through(&self, n: usize, stream: &Stream) -> bool {
        let caught_up = |held: &Held| held.state.next_offset >= stream.high(n);
        self.partitions.get(&n).is_some_and(caught_up)
    }

    fn record(&self, body: Body, store: &Store) -> Record {
        let one_key = matches!(store.mutation, Mutation::OneKey | Mutation::Changelog);
        let counts = matches!(body, Body::State(_) | Body::Pane(_));
        Record { writer: if one_key && counts { 0 } else { self.writer }, body }
    }

    /// `Publisher::publish`: after an error all that have closed stay, and are written again.
    pub(super) fn publish(&mut self, store: &mut Store, dice: &mut Dice) -> Result<(), Fault> {
        for n in self.held() {
            let held = self.partitions.get_mut(&n).unwrap();
            let mut panes = held.state.take_closed();
            if store.mutation == Mutation::NotTakenBack {
                panes.retain(|pane| !pane.is_empty());
            }
            let mut written = Ok(());
            for pane in &panes {
                written = self.write_pane(n, pane, store, dice);
                if written.is_err() {
                    break;
                }
            }
            match written {
                Ok(()) => {}
                Err(Fault::Refused) => {
                    self.partitions.get_mut(&n).unwrap().state.put_back(panes);
                }
                Err(Fault::Killed) => return Err(Fault::Killed),
            }
        }
        Ok(())
    }

    fn write_pane(
        &mut self,
        n: usize,
        pane: &Pane,
        store: &mut Store,
        dice: &mut Dice,
    ) -> Result<(), Fault> {
        let held = self.partitions.get_mut(&n).unwrap();
        let mut told = pane.clone();
        if store.mutation == Mutation::Deltas
            && let Some(sent) = held.sent.insert(pane.start_ms, pane.clone())
        {
            told.records -= sent.records;
            told.features[0].subtract(&sent.features[0]);
        }
        let partial = held.state.partial(&partition(n), told);
        let (rules, through) = (partial.rules, partial.applied_through);
        let (model, of) = (MODEL.to_owned(), partition(n).to_string());
        let body = Body::Pane(PaneOf { model, rules, of, record: panes::partial(&partial) });
        let record = self.record(body, store);
        if store.mutation == Mutation::Tombstones {
            let start = format!("/{}/{}/", partition(n), pane.start_ms);
            let ours = record.key(0);
            let others = store.partials.keys().filter(|(key, _)| {
                key.starts_with("pane/") && key.contains(&start) && *key != ours
            });
            let others: Vec<String> = others.map(|(key, _)| key.to_owned()).collect();
            self.partitions.get_mut(&n).unwrap().doomed.extend(others);
        }
        let written = self.written.entry(n).or_insert(through);
        *written = through.max(*written);
        store.write(Name::Partials, &record, dice).map(|_| ())
    }

    /// `Ingest::snapshot_all`, and the commit behind it.
    pub(super) fn snapshot(&mut self, store: &mut Store, dice: &mut Dice) -> Result<(), Fault> {
        let apart = store.mutation == Mutation::OffsetApart;
        if store.mutation != Mutation::SnapshotFirst {
            self.publish(store, dice)?;
        }
        for n in self.held() {
            if apart && dice.in_hundred(50) {
                store.committed.insert(n, self.partitions[&n].state.next_offset);
            }
            self.write_snapshot(n, store, dice).or_else(unless_killed)?;
            let held = self.partitions.get_mut(&n).unwrap();
            store.committed.insert(n, held.state.next_offset);
            std::mem::take(&mut held.doomed).iter().for_each(|key| store.partials.delete(key));
        }
        if store.mutation == Mutation::SnapshotFirst {
            self.publish(store, dice)?;
        }
        Ok(())
    }

    /// `Ingest::snapshot`: not while closed panes could not be published.
    fn write_snapshot(&self, n: usize, store: &mut Store, dice: &mut Dice) -> Result<(), Fault> {
        let held = &self.partitions[&n];
        let mut state = held.state.clone();
        if store.mutation == Mutation::SnapshotFirst {
            state.take_closed();
        } else if state.has_closed() {
            return Err(Fault::Refused);
        }
        let encoded = snapshot::encode(MODEL, &state);
        let body = Body::State(State {
            partition: partition(n),
            model: encoded.model,
            rules: encoded.rules,
            epoch: 0,
            next_offset: encoded.next_offset,
            version: snapshot::VERSION,
            state: encoded.state,
        });
        let record = self.record(body, store);
        store.write(Name::State, &record, dice).map(|_| ())
    }

    /// `Publisher::progress` and `Beats::flush`: where each partition stands; what quiet ones hold first.
    pub(super) fn beat(
        &mut self,
        (store, stream): (&mut Store, &Stream),
        dice: &mut Dice,
    ) -> Result<(), Fault> {
        let mut heads = Vec::new();
        let mut open: Vec<(usize, Pane)> = Vec::new();
        let too_early = store.mutation == Mutation::ProgressFirst;
        for (&n, held) in &mut self.partitions {
            if held.state.has_closed() && !too_early {
                continue;
            }
            let behind = self.written.get(&n).is_some_and(|&w| held.state.applied_through() < w)
                && store.mutation != Mutation::OpenGoesBack;
            if held.still && !held.quiet && !behind {
                held.quiet = true;
                open.extend(held.state.open().map(|pane| (n, pane.clone())));
            }
            held.still = true;
            let watermark = held.state.watermark.get();
            let progress = Progress {
                partition: partition(n),
                next_offset: held.state.next_offset,
                frontier_ms: watermark.map(|wm| wm.saturating_sub(LATENESS)),
                first_pane_ms: held.state.first_pane_ms,
                caught_up: held.state.next_offset >= stream.high(n),
            };
            heads.push(Head { progress, high: held.high, quiet: held.quiet });
        }
        if heads.is_empty() {
            return Ok(());
        }
        let rules = self.partitions.values().next().unwrap().state.rules;
        let (model, name) = (MODEL.to_owned(), self.writer.to_string());
        let body =
            Body::Progress(Heads { model, rules, name, in_topic: Some(stream.len()), heads });
        let told = self.record(body, store);
        for (n, pane) in &open {
            if let Err(fault) = self.write_pane(*n, pane, store, dice) {
                // Said anew the next time.
                self.partitions.values_mut().for_each(|held| held.quiet = false);
                return unless_killed(fault);
            }
        }
        match store.write(Name::Partials, &told, dice) {
            Ok(_) => Ok(()),
            Err(fault) => {
                self.partitions.values_mut().for_each(|held| held.quiet = false);
                unless_killed(fault)
            }
        }
    }

    /// `Ingest::revoke`; an owner that is not told in time just goes.
    pub(super) fn give_up(
        &mut self,
        n: usize,
        store: &mut Store,
        dice: &mut Dice,
    ) -> Result<(), Fault> {
        if dice.in_hundred(70) {
            self.snapshot(store, dice)?;
        }
        self.partitions.remove(&n);
        Ok(())
    }
}

pub(super) fn unless_killed(fault: Fault) -> Result<(), Fault> {
    if fault == Fault::Killed { Err(fault) } else { Ok(()) }
}

/// The snapshot that a partition's new owner goes on from.
fn stored(n: usize, store: &Store) -> Option<State> {
    let mut states = States::default();
    let of = partition(n);
    let mut last = None;
    for entry in store.state.read(0) {
        if let Body::State(state) = &entry.record.body
            && state.partition == of
        {
            last = Some(state);
            states.apply(state.clone());
        }
    }
    match store.mutation {
        Mutation::LastWins | Mutation::Changelog => last.cloned(),
        _ => states.choose(&of, MODEL, RULES).cloned(),
    }
}

/// How far any snapshot of a partition that was ever written has come.
fn furthest(n: usize, store: &Store) -> Option<i64> {
    let of = partition(n);
    let states = store.state.history.iter().filter_map(|entry| match &entry.record.body {
        Body::State(state) if state.partition == of => Some(state.next_offset),
        _ => None,
    });
    states.max()
}
