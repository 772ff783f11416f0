//! A replica that evaluates: the steps of `exchange` (announce, assemble, follow), `evaluate::owned` (take,
//! seal), `evaluate::decide` (close, decide) and `evaluate::log`, around the real folds, merge and decision.

use std::collections::BTreeMap;

use crate::codec::{Reader, Writer};
use crate::decide::ledger::Ledger;
use crate::decide::model::ModelState;
use crate::decide::record::Record as Told;
use crate::dice::Dice;
use crate::offsets::TopicPartition;
use crate::pipeline::evaluate::log::unanswered::Unanswered;
use crate::pipeline::panes;
use crate::pipeline::simulator::RULES;
use crate::pipeline::simulator::counter::{MODEL, unless_killed};
use crate::pipeline::simulator::incidents::Flight;
use crate::pipeline::simulator::mutation::Mutation;
use crate::pipeline::simulator::referee::Referee;
use crate::pipeline::simulator::stream::{PANE, SHAPE};
use crate::pipeline::simulator::topics::{Fault, Name, Store};
use crate::pipeline::simulator::verdicts::{self, DIGEST, SILENCE, STATE_VERSION};
use crate::store::PaneRecord;
use crate::store::kafka::fold::{Assembly, Journal, Owners};
use crate::store::kafka::record::{Body, Head, Owner, Pane as PaneOf, Record, Test};
use crate::window::merge::Next;
use crate::window::{Merge, Partial, Ring};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not ours, or not yet.
    Away,
    /// Said in one of the two logs that it is.
    HalfAnnounced,
    Announced,
    Owner,
}

/// How a partition was last spoken of.
pub(super) struct Heard {
    pub next: i64,
    pub furthest: i64,
    pub caught_up: bool,
    pub quiet: bool,
}

pub(super) struct Judge {
    pub writer: u64,
    /// The group says that the model is ours.
    pub assigned: bool,
    pub(super) stage: Stage,
    /// In which log ours was announced first.
    first: Name,
    pub(super) owners: Owners,
    /// Records of the partials below this offset were read.
    pub(super) through: i64,
    pub(super) frontiers: BTreeMap<TopicPartition, i64>,
    pub(super) merge: Merge,
    pub(super) ring: Ring,
    pub(super) state: ModelState,
    pub(super) heard: BTreeMap<usize, Heard>,
    pub(super) sealing: Option<(PaneRecord, bool)>,
    /// End of the pane whose trigger is not durable yet.
    pub(super) unopened: Option<i64>,
    /// Start of the first pane that was decided.
    pub(super) began_ms: Option<i64>,
    pub(super) journal: Journal,
    pub(super) ledger: Ledger,
    pub(super) unanswered: Unanswered,
    pub(super) read: i64,
    pub(super) flight: Option<Flight>,
    pub(super) untold: Option<Told>,
    /// Sums of differences, where partials are that.
    pub(super) sums: BTreeMap<(TopicPartition, i64), Partial>,
}

fn merge() -> Merge {
    Merge::new(SHAPE.to_vec(), PANE).with_silence(usize::try_from(SILENCE).unwrap())
}

impl Judge {
    pub(super) fn new(writer: u64) -> Self {
        Self {
            writer,
            assigned: false,
            stage: Stage::Away,
            first: Name::Incidents,
            owners: Owners::default(),
            through: 0,
            frontiers: BTreeMap::new(),
            merge: merge(),
            ring: verdicts::ring(),
            state: ModelState::default(),
            heard: BTreeMap::new(),
            sealing: None,
            unopened: None,
            began_ms: None,
            journal: Journal::default(),
            ledger: Ledger::default(),
            unanswered: Unanswered::default(),
            read: 0,
            flight: None,
            untold: None,
            sums: BTreeMap::new(),
        }
    }

    pub(super) fn is_owner(&self) -> bool {
        self.stage == Stage::Owner
    }

    /// Nothing is left to decide or to send.
    pub(super) fn is_at_rest(&self, store: &Store) -> bool {
        self.is_owner()
            && self.through == store.partials.end()
            && self.unopened.is_none()
            && self.sealing.is_none()
            && self.flight.is_none()
            && self.untold.is_none()
            && self.ledger.pending().is_empty()
    }

    /// `Exchange::take_due`: said in both logs, in either order, and then what is there is read.
    pub(super) fn advance(
        &mut self,
        (store, referee): (&mut Store, &mut Referee),
        dice: &mut Dice,
    ) -> Result<(), Fault> {
        match self.stage {
            Stage::Away if self.assigned => {
                self.first = if dice.in_hundred(50) { Name::Incidents } else { Name::Partials };
                if self.own(self.first, store, dice)?.is_some() {
                    self.stage = Stage::HalfAnnounced;
                }
            }
            Stage::HalfAnnounced => {
                let other = match self.first {
                    Name::Incidents => Name::Partials,
                    _ => Name::Incidents,
                };
                if self.own(other, store, dice)?.is_some() {
                    self.follow_incidents(store);
                    self.stage = Stage::Announced;
                }
            }
            Stage::Announced => return self.assemble((store, referee), dice),
            Stage::Away | Stage::Owner => {}
        }
        Ok(())
    }

    fn own(&self, to: Name, store: &mut Store, dice: &mut Dice) -> Result<Option<i64>, Fault> {
        let record = Record { writer: self.writer, body: Body::Owner(Owner::default()) };
        match store.write(to, &record, dice) {
            Ok(at) => Ok(Some(at)),
            Err(fault) => unless_killed(fault).map(|()| None),
        }
    }

    /// `Exchange::assemble`, `hand_over`, `Evaluate::take`, `take_up`, `ModelEvaluator::restore`.
    fn assemble(
        &mut self,
        (store, referee): (&mut Store, &mut Referee),
        dice: &mut Dice,
    ) -> Result<(), Fault> {
        let mut assembly = Assembly::new(BTreeMap::from([(MODEL.to_owned(), RULES)]));
        store.partials.read(0).for_each(|entry| assembly.apply(Record::clone(&entry.record)));
        self.through = store.partials.end();
        self.owners = assembly.owners;
        if !self.owners.accepts(self.writer) {
            self.stage = Stage::Away;
            return Ok(());
        }
        let mut assembled = assembly.models.remove(MODEL).unwrap_or_default();
        self.forget();
        self.follow_incidents(store);
        let new = self.ledger.baseline(MODEL) != Some(DIGEST);
        if new {
            let orders = if store.mutation == Mutation::BaselineFirst {
                [false, true]
            } else {
                [true, false]
            };
            for state_now in orders {
                let durable = match state_now {
                    true => self.save(store, dice)?,
                    false => self.append(&verdicts::baseline(), store, dice)?,
                };
                if !durable {
                    self.stage = Stage::Away;
                    return Ok(());
                }
            }
        }
        let heads: Vec<Head> = assembled.heads.iter().flat_map(|told| told.heads.clone()).collect();
        if let Some(test) = &assembled.test {
            let mut input = Reader::new(&test.state);
            self.state = ModelState::decode(STATE_VERSION, input.bytes().unwrap(), 1).unwrap();
            self.began_ms = Some(input.i64().unwrap()).filter(|began_ms| *began_ms > i64::MIN);
        }
        if let (Some(began_ms), Some(end_ms)) = (self.began_ms, self.state.decided_end_ms) {
            self.merge.begin(began_ms.max(end_ms - SILENCE * PANE));
        }
        for record in assembled.take_panes() {
            self.take_pane(&record, store, None);
        }
        self.take_otherwise(store);
        let lost = assembled.test.is_none() && !new;
        let newest = self.merge.newest_end_ms().filter(|_| lost);
        if let Some(end_ms) = self.state.decided_end_ms.or(newest) {
            let panes = self.merge.resume(end_ms);
            referee.resumed(&panes, (self.began_ms, end_ms), store);
            panes.into_iter().for_each(|pane| self.ring.push(pane).unwrap());
            self.state.decided_end_ms = Some(end_ms);
        }
        heads.iter().for_each(|head| self.hear(head));
        self.stage = Stage::Owner;
        Ok(())
    }

    pub(super) fn forget(&mut self) {
        self.frontiers.clear();
        self.merge = merge();
        (self.ring, self.state) = (verdicts::ring(), ModelState::default());
        self.heard.clear();
        self.sums.clear();
        (self.sealing, self.unopened, self.began_ms) = (None, None, None);
    }

    /// `Exchange::give_up`, `Evaluate::release`: a request that is on its way goes on.
    pub(super) fn release(&mut self) {
        self.stage = Stage::Away;
        self.forget();
    }

    /// `Evaluate::close_panes`, by a clock; how many have closed.
    pub(super) fn close(
        &mut self,
        (partitions, clock_ms): (usize, i64),
        (store, referee): (&mut Store, &mut Referee),
        dice: &mut Dice,
    ) -> Result<usize, Fault> {
        if self.stage != Stage::Owner || self.heard.len() < partitions {
            return Ok(0);
        }
        let (mut closed, late) = (0, self.unopened);
        let clock_ms = match store.mutation {
            Mutation::SealedAhead => i64::MAX,
            _ => clock_ms,
        };
        loop {
            if let Some(end_ms) = self.unopened.take()
                && !self.open_incident(end_ms, (store, referee), dice)?
            {
                break;
            }
            if self.sealing.is_some() {
                self.write_seal(store, dice)?;
                break;
            }
            match self.merge.next(partitions, clock_ms) {
                Next::Wait => break,
                Next::Close(pane) => {
                    closed += 1;
                    referee.closed(&pane, store);
                    self.began_ms.get_or_insert(pane.start_ms);
                    let end_ms = pane.start_ms + PANE;
                    self.ring.push(pane).unwrap();
                    let decision =
                        verdicts::decide(&mut self.state, &self.ring, &self.ledger, end_ms);
                    if decision.trigger {
                        self.unopened = Some(end_ms);
                    }
                }
                Next::Seal(mut seal, partials) => {
                    let furthest: Vec<_> =
                        self.heard.iter().map(|(&n, heard)| (n, heard.furthest)).collect();
                    let sum = self.merge.sum(seal.pane_start_ms, &partials);
                    referee.sealing(&seal, sum.records, &furthest);
                    if store.mutation == Mutation::PassedUnsaid {
                        seal.passed_from_ms = None;
                    }
                    let unsealed = store.mutation == Mutation::NoSeal;
                    self.sealing = (!unsealed).then(|| (panes::sum(&seal, RULES, &sum), false));
                    self.write_seal(store, dice)?;
                    if unsealed || store.mutation == Mutation::SealNotReadBack {
                        self.sealing = None;
                        self.merge.freeze(seal, sum);
                    } else {
                        break;
                    }
                }
            }
        }
        if (closed > 0 || late.is_some()) && self.unopened.is_none() {
            self.save(store, dice)?;
        }
        Ok(closed)
    }

    fn write_seal(&mut self, store: &mut Store, dice: &mut Dice) -> Result<(), Fault> {
        let Some((record, written)) = self.sealing.as_mut().filter(|(_, written)| !*written) else {
            return Ok(());
        };
        let pane = PaneOf {
            model: MODEL.to_owned(),
            rules: RULES,
            of: String::new(),
            record: record.clone(),
        };
        let record = Record { writer: self.writer, body: Body::Seal(pane) };
        match store.write(Name::Partials, &record, dice) {
            Ok(_) => *written = true,
            Err(fault) => unless_killed(fault)?,
        }
        Ok(())
    }

    /// `ModelEvaluator::save`.
    fn save(&self, store: &mut Store, dice: &mut Dice) -> Result<bool, Fault> {
        let mut out = Writer::default();
        out.bytes(&self.state.encode());
        out.i64(self.began_ms.unwrap_or(i64::MIN));
        let (model, state) = (MODEL.to_owned(), out.into_bytes());
        let test = Test { model, rules: RULES, version: STATE_VERSION, state };
        let record = Record { writer: self.writer, body: Body::Test(test) };
        match store.write(Name::Partials, &record, dice) {
            Ok(_) => Ok(true),
            Err(fault) => unless_killed(fault).map(|()| false),
        }
    }
}
