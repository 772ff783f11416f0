//! What must hold, judged from the input and from everything that was ever written.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::ledger::Ledger;
use crate::decide::model::ModelState;
use crate::decide::record::{DeliveryResult, Record as Told};
use crate::pipeline::panes::{self, Logged};
use crate::pipeline::simulator::RULES;
use crate::pipeline::simulator::counter::MODEL;
use crate::pipeline::simulator::incidents::{FENCE, PATIENCE};
use crate::pipeline::simulator::stream::{Account, LATENESS, PANE, SHAPE, Stream};
use crate::pipeline::simulator::topics::Store;
use crate::pipeline::simulator::verdicts::{self, SILENCE};
use crate::store::kafka::record::Body;
use crate::window::{ClosedPane, Ring, Seal};

pub(super) struct Referee {
    stream: Stream,
    full: Vec<Account>,
    /// Panes as some replica has closed them; all others must have them the same.
    closed: BTreeMap<i64, ClosedPane>,
    /// Of two seals of an owner the first counts.
    seals: BTreeMap<i64, Seal>,
    owner: Option<u64>,
    looked: usize,
    received: BTreeSet<String>,
    expected: Ledger,
    incidents: Vec<(String, i64)>,
    state: ModelState,
    ring: Ring,
    pub faults: Vec<String>,
}

impl Referee {
    pub(super) fn new(stream: &Stream) -> Self {
        Self {
            stream: stream.clone(),
            full: Vec::new(),
            closed: BTreeMap::new(),
            seals: BTreeMap::new(),
            owner: None,
            looked: 0,
            received: BTreeSet::new(),
            expected: Ledger::default(),
            incidents: Vec::new(),
            state: ModelState::default(),
            ring: verdicts::ring(),
            faults: Vec::new(),
        }
    }

    /// The log has grown.
    pub(super) fn look_at(&mut self, stream: &Stream) {
        self.stream = stream.clone();
        self.full = (0..stream.len()).map(|n| stream.account(n, i64::MAX)).collect();
    }

    pub(super) fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    fn read_seals(&mut self, store: &Store) {
        let history = &store.partials.history;
        for entry in &history[self.looked..] {
            match &entry.record.body {
                Body::Owner(_) => self.owner = Some(entry.record.writer),
                Body::Seal(pane) if self.owner == Some(entry.record.writer) => {
                    let read = panes::read(&pane.record, RULES, &SHAPE).unwrap();
                    let Some(Logged::Sum(seal, _)) = read else { continue };
                    self.seals.entry(seal.pane_start_ms).or_insert(seal);
                }
                _ => {}
            }
        }
        self.looked = history.len();
    }

    /// A replica has closed a pane, now or again: it must hold what the log holds, or what the seal in force
    /// names of it.
    pub(super) fn closed(&mut self, pane: &ClosedPane, store: &Store) {
        self.read_seals(store);
        let start = pane.start_ms;
        if let Some(known) = self.closed.get(&start) {
            if known != pane {
                let (known, now) = (told(known), told(pane));
                self.fault(format!("pane {start} closed as {known} and as {now}"));
            }
            return;
        }
        let mut cells = [0, 0];
        let mut complete = true;
        let mut add = |of: Option<&[u64; 2]>| {
            let of = of.copied().unwrap_or_default();
            cells = [cells[0] + of[0], cells[1] + of[1]];
        };
        match self.seals.get(&start) {
            None if self.is_passed(start) => {
                self.fault(format!("pane {start} closed though a seal has passed over it"));
            }
            Some(seal) => {
                complete = seal.complete;
                for (_, n, through) in &seal.partitions {
                    let account = self.stream.account(usize::try_from(*n).unwrap(), *through);
                    add(account.panes.get(&start));
                }
            }
            None => self.full.iter().for_each(|account| add(account.panes.get(&start))),
        }
        let counts = pane.counts(&SHAPE).unwrap();
        let right = counts[0].cells[..2] == cells
            && pane.records == cells[0] + cells[1]
            && pane.complete == complete;
        if !right {
            let sealed = self.seals.contains_key(&start);
            let now = told(pane);
            self.fault(format!("pane {start} closed as {now}, and the log has {cells:?}, complete: {complete}, sealed: {sealed}"));
        }
        self.closed.insert(start, pane.clone());
    }

    fn is_passed(&self, start: i64) -> bool {
        self.seals.values().any(|seal| seal.passes(start))
    }

    /// A replica goes on at `end_ms` from what is stored: its window is that of who has closed its panes.
    pub(super) fn resumed(
        &mut self,
        panes: &[ClosedPane],
        (began_ms, end_ms): (Option<i64>, i64),
        store: &Store,
    ) {
        self.read_seals(store);
        let Some(began_ms) = began_ms else {
            return panes.iter().for_each(|pane| self.closed(pane, store));
        };
        if self.closed.keys().next().is_none_or(|first| *first != began_ms) {
            self.fault(format!("history is said to begin with {began_ms}"));
        }
        let from = began_ms.max(end_ms - SILENCE * PANE);
        let step = usize::try_from(PANE).unwrap();
        let expected: Vec<i64> = (from..end_ms).step_by(step).collect();
        let starts: Vec<i64> = panes.iter().map(|pane| pane.start_ms).collect();
        if starts != expected {
            self.fault(format!("panes {starts:?} are resumed, not {expected:?}"));
        }
        for pane in panes {
            match self.closed.contains_key(&pane.start_ms) {
                true => self.closed(pane, store),
                false if is_filled(pane) => {
                    let now = told(pane);
                    self.fault(format!("pane {} resumed as {now}", pane.start_ms));
                }
                false => {}
            }
        }
    }

    /// The clock closes only what it has come to, and a pane that is called complete lacks nothing of what
    /// is known to have been read, nor do those that it passes over.
    pub(super) fn sealing(&mut self, seal: &Seal, records: u64, heard: &[(usize, i64)]) {
        let start = seal.pane_start_ms;
        if start + PANE > self.stream.now() - LATENESS {
            self.fault(format!("pane {start} sealed ahead of the clock"));
        }
        if !seal.complete {
            return;
        }
        let of = |(n, next): &(usize, i64)| {
            let account = self.stream.account(*n, *next);
            let panes = account.panes.range(seal.passed_from_ms.unwrap_or(start)..=start);
            panes.map(|(_, cells)| cells[0] + cells[1]).sum::<u64>()
        };
        let known: u64 = heard.iter().map(of).sum();
        if records < known {
            self.fault(format!("pane {start} sealed as complete with {records} of {known}"));
        }
    }

    /// A target was asked: by a replica whose attempt is in the log and counts, not after an outcome, nor while
    /// the answer to another's request may still come.
    pub(super) fn received(&mut self, id: &str, attempt: Option<i64>, store: &Store) {
        self.received.insert(id.to_owned());
        let Some(at) = attempt else {
            return self.fault(format!("{id} was sent before it was durable"));
        };
        self.awaited(id, at, store);
        let mut owner = None;
        let mut done = false;
        for entry in store.incidents.history.iter().filter(|entry| entry.offset <= at) {
            let writer = entry.record.writer;
            match (&entry.record.body, entry.told.as_deref()) {
                (Body::Owner(_), _) => owner = Some(writer),
                (_, Some(Told::Outcome { delivery, result, .. })) => {
                    done |= *result != DeliveryResult::Retry && delivery == id;
                }
                (_, Some(Told::Attempt { .. })) if entry.offset == at && owner != Some(writer) => {
                    return self.fault(format!("{id} was sent by one that does not decide"));
                }
                _ => {}
            }
        }
        if done {
            self.fault(format!("{id} was sent though its outcome was known"));
        }
    }

    /// Who asks does so soon after saying so, and has waited for the answer to what another has asked.
    fn awaited(&mut self, id: &str, at: i64, store: &Store) {
        let mut owner = None;
        // The last attempt that counts and has no outcome: whose, its number and its time.
        let mut open: Option<(u64, u32, i64)> = None;
        for entry in store.incidents.history.iter().filter(|entry| entry.offset <= at) {
            let writer = entry.record.writer;
            match (&entry.record.body, entry.told.as_deref()) {
                (Body::Owner(_), _) => owner = Some(writer),
                (_, Some(Told::Outcome { delivery, n, .. })) if delivery == id => {
                    open = open.filter(|(_, last, _)| last > n);
                }
                (_, Some(Told::Attempt { delivery, n, at_ms, .. }))
                    if delivery == id && owner == Some(writer) =>
                {
                    let other = open.filter(|(other, _, _)| *other != writer && store.shared);
                    if entry.offset == at && store.now - at_ms >= FENCE {
                        self.fault(format!("{id} was sent long after that was written down"));
                    }
                    if entry.offset == at
                        && other.is_some_and(|(_, _, since)| at_ms - since < PATIENCE)
                    {
                        self.fault(format!("{id} was sent while another's answer could come"));
                    }
                    open = Some((writer, *n, *at_ms));
                }
                _ => {}
            }
        }
    }

    /// The schedule has healed: everything is closed, decided as by one process that was never disturbed, and
    /// delivered under one id.
    pub(super) fn healed(&mut self, decided_end_ms: Option<i64>, ledger: &Ledger) {
        let frontier = self.full.iter().map(|account| account.frontier).min().flatten();
        let last = self.closed.keys().next_back().map_or(i64::MIN, |start| start + PANE);
        let have: BTreeSet<i64> =
            self.full.iter().flat_map(|account| account.panes.keys().copied()).collect();
        let missing: Vec<i64> = have
            .into_iter()
            .filter(|start| frontier.is_some_and(|frontier| start + PANE <= frontier))
            .filter(|start| !self.closed.contains_key(start) && !self.is_passed(*start))
            .collect();
        if !missing.is_empty() {
            self.fault(format!("panes {missing:?} should be closed, up to {frontier:?}"));
        }
        self.look_at_silence();
        if !self.closed.is_empty() && decided_end_ms != Some(last) {
            self.fault(format!("decided up to {decided_end_ms:?}, closed up to {last}"));
        }
        let from = self.state.decided_end_ms.unwrap_or(i64::MIN);
        for (start, pane) in self.closed.range(from..) {
            self.ring.push(pane.clone()).unwrap();
            let end_ms = start + PANE;
            let decision = verdicts::decide(&mut self.state, &self.ring, &self.expected, end_ms);
            if decision.trigger {
                let opened = verdicts::opened(&self.expected, end_ms, None);
                self.expected.apply(&opened);
                let id = self.expected.open(MODEL).unwrap().incident.id.clone();
                self.incidents.push((id, end_ms));
            }
        }
        let mut found: Vec<(String, i64)> = ledger
            .incidents()
            .iter()
            .filter_map(|incident| ledger.entry(&incident.id))
            .map(|entry| (entry.incident.id.clone(), entry.opened_event_ms))
            .collect();
        found.reverse();
        if found != self.incidents {
            let expected = self.incidents.clone();
            self.fault(format!("incidents {found:?}, and undisturbed {expected:?}"));
        }
        let wanted: BTreeSet<String> = self.incidents.iter().map(|(id, _)| id.clone()).collect();
        if self.received != wanted {
            let received = self.received.clone();
            self.fault(format!("received {received:?}, wanted {wanted:?}"));
        }
    }

    /// Panes follow each other, and behind so many empty ones comes none without anything.
    fn look_at_silence(&mut self) {
        let mut before: Option<(i64, i64)> = None;
        let mut wrong = Vec::new();
        for (&start, pane) in &self.closed {
            if let Some((end_ms, filled_ms)) = before {
                let silent = end_ms - filled_ms >= SILENCE * PANE;
                let right = if silent { is_filled(pane) } else { start == end_ms };
                if !right {
                    wrong.push(start);
                }
            }
            let end_ms = start + PANE;
            let filled_ms = match before {
                Some((_, filled_ms)) if !is_filled(pane) => filled_ms,
                _ => end_ms,
            };
            before = Some((end_ms, filled_ms));
        }
        if !wrong.is_empty() {
            self.fault(format!("panes {wrong:?} are not those that should follow"));
        }
    }

    /// The open incident is over; what follows is another one's.
    pub(super) fn over(&mut self, closed: &Told) {
        self.expected.apply(closed);
    }

    pub(super) fn n_incidents(&self) -> usize {
        self.incidents.len()
    }

    pub(super) fn n_panes(&self) -> usize {
        self.closed.len()
    }

    pub(super) fn n_seals(&self) -> usize {
        self.seals.len()
    }
}

fn is_filled(pane: &ClosedPane) -> bool {
    pane.records > 0 || pane.rejects > 0 || !pane.complete
}

fn told(pane: &ClosedPane) -> String {
    let cells = pane.counts(&SHAPE).unwrap()[0].cells.clone();
    format!("{cells:?} of {}, complete: {}", pane.records, pane.complete)
}
