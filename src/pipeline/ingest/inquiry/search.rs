//! The thread that lets readers read, one at a time: first in all suspects together, a slice of each, so
//! that those with nothing to hide are given back soon; then step by step where one was ended.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use tracing::{error, warn};

use crate::kafka;
use crate::kafka::probe::{End, How, Probe, Said, Stretch};
use crate::offsets::TopicPartition;
use crate::pipeline::breaker::Breaker;
use crate::pipeline::desk::Desk;
use crate::pipeline::ingest::Parts;
use crate::pipeline::ingest::inquiry::case::{Case, Stage};
use crate::source::hole::Hole;
use crate::source::{Event, Start};

/// Bytes of one partition that are handed over before it is another's turn.
const SLICE: u64 = 32 << 20;
/// Times that a reader is asked that could not work, as when no broker answers.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// Readers that the end of one place may take: their steps double and halve.
const STEPS: usize = 200;

/// A partition to be looked into.
pub(super) struct Request {
    pub(super) partition: TopicPartition,
    /// How far it was ever read.
    pub(super) furthest: i64,
    pub(super) events: SyncSender<Event>,
}

/// How a reader ended.
enum Outcome {
    /// With everything read.
    Done,
    /// By what it read.
    Died,
    /// It could not work; whether it had begun to read.
    Failed { why: String, begun: bool },
}

pub(super) struct Searcher {
    kafka: kafka::Config,
    desk: Arc<Desk>,
    breaker: Arc<Breaker>,
    requests: Receiver<Request>,
    /// What a reader may take, once that was asked.
    room: Option<u64>,
    /// No broker that a reader could not reach has kept the others waiting yet.
    together: bool,
}

impl Searcher {
    pub(super) fn new(parts: &Parts, requests: Receiver<Request>) -> Self {
        let (kafka, desk) = (parts.kafka.clone(), parts.desk.clone());
        let breaker = parts.breaker.clone();
        Self { kafka, desk, breaker, requests, room: None, together: true }
    }

    /// Looks into whatever is asked for, until nobody can ask any more.
    pub(super) fn run(mut self) {
        let mut cases: VecDeque<Case> = VecDeque::new();
        loop {
            if cases.is_empty() {
                let Ok(request) = self.requests.recv() else { return };
                cases.push_back(case_of(request));
            }
            cases.extend(self.requests.try_iter().map(case_of));
            cases.retain_mut(|case| self.open(case) && case.is_wanted());
            self.turn(&mut cases);
        }
    }

    /// Asks where a partition's models stand; false if nothing in it can be passed over.
    fn open(&self, case: &mut Case) -> bool {
        if case.is_open() {
            return true;
        }
        let Some(starts) = self.desk.starts(&case.partition) else { return true };
        let offsets = starts.into_iter().map(|start| match start {
            Start::Offset(offset, _) => Some(offset),
            Start::Earliest | Start::Latest | Start::Time(_) => None,
        });
        match offsets.collect::<Option<Vec<i64>>>().filter(|all| !all.is_empty()) {
            Some(offsets) => {
                case.open(offsets);
                true
            }
            None => {
                error!(partition = %case.partition, "where its models stand is not known, so nothing in it is passed over");
                self.breaker.spare(&case.partition);
                false
            }
        }
    }

    /// One reader's work.
    fn turn(&mut self, cases: &mut VecDeque<Case>) {
        let is_fresh = |case: &Case| case.is_open() && matches!(case.stage, Stage::Read);
        let (mut fresh, mut others): (Vec<_>, VecDeque<_>) =
            (Vec::new(), VecDeque::with_capacity(cases.len()));
        for case in mem::take(cases) {
            // Most have nothing to hide, so those come first.
            if is_fresh(&case) && (self.together || fresh.is_empty()) {
                fresh.push(case);
            } else {
                others.push_back(case);
            }
        }
        if !fresh.is_empty() {
            self.read(&mut fresh);
        } else if let Some(at) = others.iter().position(Case::is_open) {
            fresh.extend(others.remove(at));
            fresh.iter_mut().for_each(|case| self.step(case));
        } else if !others.is_empty() {
            thread::sleep(PAUSE);
        }
        for mut case in fresh {
            if case.is_over() {
                case.conclude();
            } else {
                others.push_back(case);
            }
        }
        *cases = others;
    }

    fn how(&mut self) -> How {
        let room = *self.room.get_or_insert_with(|| self.breaker.room());
        How { room, most_bytes: u64::MAX, ..How::default() }
    }

    /// Hands over a slice of each, one after the other.
    fn read(&mut self, cases: &mut [Case]) {
        let how = How { whole: true, most_bytes: SLICE, ..self.how() };
        let stretches: Vec<Stretch> = cases.iter().map(Case::stretch).collect();
        let mut at = 0;
        let outcome = self.ask(&stretches, how, |said| match said {
            Said::Begun { stretch, low, high, .. } => {
                at = stretch;
                if let Some(case) = cases.get_mut(at) {
                    case.begin(low, high);
                }
            }
            said => {
                if let Some(case) = cases.get_mut(at) {
                    hear(case, said);
                }
            }
        });
        let several = cases.len() > 1;
        let Some(case) = cases.get_mut(at) else { return };
        match outcome {
            Outcome::Done => case.tries = 0,
            // The reader had nothing of it any more.
            Outcome::Died if case.is_over() => {}
            Outcome::Died => {
                warn!(partition = %case.partition, offset = case.next, "a process that reads on from here is ended");
                case.stage = Stage::Narrow;
            }
            // One whose broker is away must not keep the others waiting.
            Outcome::Failed { begun: false, .. } if several => self.together = false,
            Outcome::Failed { .. } if case.is_over() => {}
            Outcome::Failed { why, .. } => self.fail(case, &why),
        }
    }

    /// Goes on where a reader was ended.
    fn step(&mut self, case: &mut Case) {
        match mem::replace(&mut case.stage, Stage::Narrow) {
            Stage::Narrow => self.narrow(case),
            Stage::End { hole, at, steps } => self.find_end(case, (hole, at, steps)),
            stage @ (Stage::Read | Stage::Over) => case.stage = stage,
        }
    }

    /// Hands over everything before what ends a reader. Only what is first in a request that holds nothing
    /// else can be blamed.
    fn narrow(&mut self, case: &mut Case) {
        let how = How { whole: true, one_by_one: true, most_bytes: SLICE, ..self.how() };
        let before = case.next;
        let outcome = self.ask(&[case.stretch()], how, |said| hear(case, said));
        match outcome {
            Outcome::Done => case.tries = 0,
            Outcome::Died if case.is_over() => {}
            Outcome::Died if case.next == before => {
                let mut hole = Hole::new(before);
                let at = hole.failed(before, case.high);
                case.stage = Stage::End { hole, at, steps: 0 };
            }
            Outcome::Died => {}
            Outcome::Failed { why, .. } => self.fail(case, &why),
        }
    }

    /// Tries whether a reader survives from `at` on, to find the first offset that it does from.
    fn find_end(&mut self, case: &mut Case, (mut hole, at, steps): (Hole, i64, usize)) {
        let how = How { one_by_one: true, first: true, ..self.how() };
        let mut high = case.high;
        let outcome = self.ask(&[Stretch::new(&case.partition, at)], how, |said| {
            if let Said::Begun { high: end, .. } = said {
                high = end;
            }
        });
        case.high = high;
        let from = hole.from;
        let next = match outcome {
            Outcome::Failed { why, .. } => {
                case.stage = Stage::End { hole, at, steps };
                return self.fail(case, &why);
            }
            Outcome::Died if at >= high => None,
            Outcome::Died => Some(hole.failed(at, high)),
            Outcome::Done => match hole.worked(at) {
                Some(next) => Some(next),
                None => {
                    error!(
                        partition = %case.partition, from, to = at,
                        "these records end every process that reads them, as a batch does that is very large once it is decompressed; they are passed over and count as lost. See what wrote them, with kafka-dump-log on the broker, and give write rights on the topic to those you trust"
                    );
                    return case.pass(from, at);
                }
            },
        };
        case.tries = 0;
        case.stage = match next.filter(|_| steps < STEPS) {
            Some(at) => Stage::End { hole, at, steps: steps + 1 },
            // A reader that survives nothing is not ended by what it reads.
            None => {
                error!(partition = %case.partition, from, "no end of what ends a process was found");
                Stage::Over
            }
        };
    }

    /// A reader could not work; it is asked again, and at last done without.
    fn fail(&self, case: &mut Case, why: &str) {
        case.tries += 1;
        let partition = &case.partition;
        if case.tries == TRIES {
            error!(%partition, why, "what ends this process could not be looked for; it is read again as it is");
            self.breaker.spare(partition);
            case.stage = Stage::Over;
        } else {
            warn!(%partition, why, "a reader could not work; trying again");
            thread::sleep(PAUSE);
        }
    }

    /// Lets a reader read, and tells what it says.
    fn ask(&self, stretches: &[Stretch], how: How, mut heard: impl FnMut(Said)) -> Outcome {
        let mut begun = false;
        let failed = |why: String, begun| Outcome::Failed { why, begun };
        let probe = Probe::start(self.breaker.program(), &self.kafka, stretches, how);
        let mut probe = match probe {
            Ok(probe) => probe,
            Err(error) => return failed(error.to_string(), begun),
        };
        while let Some(said) = probe.hear() {
            begun |= matches!(said, Said::Begun { .. });
            match said {
                Said::Failed(why) => return failed(why, begun),
                // As a batch is whose decompression finds no memory.
                Said::Undecodable => return Outcome::Died,
                said => heard(said),
            }
        }
        match probe.end() {
            Ok(End::Done) => Outcome::Done,
            Ok(End::Died(_)) if begun => Outcome::Died,
            Ok(End::Died(how)) => {
                failed(format!("it ended before it read anything ({how})"), begun)
            }
            Err(error) => failed(error.to_string(), begun),
        }
    }
}

fn case_of(Request { partition, furthest, events }: Request) -> Case {
    Case::new(partition, furthest, events)
}

/// What a reader says of the partition that it hands over.
fn hear(case: &mut Case, said: Said) {
    match said {
        Said::Begun { low, high, .. } => case.begin(low, high),
        Said::Records { batch, next } => case.hand_over(batch, next),
        Said::Over { end } => case.came_through(end),
        Said::Came { .. } | Said::Undecodable | Said::Failed(_) => {}
    }
}
