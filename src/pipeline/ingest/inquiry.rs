//! What has ended this process again and again is looked for, by readers that it may end instead, and
//! passed over: everything before it is counted, it itself is lost, and everything behind it is read as
//! ever.
//!
//! It speaks as a source does, so that the records that a reader hands over go the way of all others.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::kafka;
use crate::kafka::probe::{End, How, Probe, Said, Stretch};
use crate::offsets::TopicPartition;
use crate::pipeline::breaker::Breaker;
use crate::pipeline::desk::Desk;
use crate::pipeline::ingest::{Ingest, POLL, Parts};
use crate::source::hole::Hole;
use crate::source::{Assigned, Event, LossCause, Start};

/// Batches on their way to the thread that counts.
const WAITING: usize = 4;
/// A process that was ended had at most so much ahead of what it had counted: the queue, the batch
/// in hand, and what was counted since that was last noted.
const AHEAD: u64 = 512 << 20;
/// Times that a reader is asked that could not work, as when no broker answers.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// Places in one partition that may be passed over in one go; more are no accident of a batch.
const MOST: usize = 16;
/// Readers that the end of one place may take: their steps double and halve.
const STEPS: usize = 200;

/// What a search is made with.
struct Means {
    kafka: kafka::Config,
    desk: Arc<Desk>,
    breaker: Arc<Breaker>,
}

/// A search on a thread of its own.
pub(super) struct Inquiry {
    events: Receiver<Event>,
}

/// What a search is ended by before it is done.
enum Stop {
    /// Nobody wants to know any more.
    Unheard,
    /// It could not be carried out.
    Failed(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Failed(error.to_string())
    }
}

/// How far a reader came, and whether it came to what was asked for.
struct Walk {
    next: i64,
    died: bool,
}

impl Inquiry {
    /// Starts to look, if something is suspect.
    pub(super) fn start(parts: &Parts) -> Option<Self> {
        let deaths = parts.breaker.deaths();
        parts.desk.metrics.unclean_ends(deaths);
        let (places, room) = parts.breaker.suspects()?;
        let means = Means {
            kafka: parts.kafka.clone(),
            desk: parts.desk.clone(),
            breaker: parts.breaker.clone(),
        };
        warn!(
            deaths,
            partitions = places.len(),
            room,
            "this process has ended again and again without getting further; what it was reading is read by a process of its own first"
        );
        let (events, inquired) = sync_channel(WAITING);
        let search = Search { means, room, events };
        let started =
            thread::Builder::new().name("inquiry".to_owned()).spawn(move || search.run(places));
        if let Err(error) = started {
            error!(%error, "no thread to look for what ends this process");
            return None;
        }
        Some(Self { events: inquired })
    }

    /// What is to be applied next; breaks with the end of the search.
    pub(super) fn next(&mut self, timeout: Duration) -> ControlFlow<(), Event> {
        match self.events.recv_timeout(timeout) {
            Ok(event) => ControlFlow::Continue(event),
            Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(Event::Idle),
            Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
        }
    }
}

impl Ingest<'_> {
    /// Applies what the search has come to; threads that do not search wait for its end.
    pub(super) fn inquire(&mut self) {
        match self.inquiry.as_mut().map(|inquiry| inquiry.next(POLL)) {
            Some(ControlFlow::Continue(event)) => self.apply(event),
            Some(ControlFlow::Break(())) => {
                self.inquiry = None;
                self.crew.inquire(false);
            }
            None => thread::sleep(POLL),
        }
    }
}

struct Search {
    means: Means,
    room: u64,
    events: SyncSender<Event>,
}

impl Search {
    fn run(self, places: Vec<(TopicPartition, i64)>) {
        match self.look(places) {
            Ok(()) => self.means.breaker.settled(),
            Err(Stop::Unheard) => {}
            Err(Stop::Failed(why)) => {
                error!(%why, "what ends this process could not be looked for; it is read again as it is");
            }
        }
    }

    fn look(&self, places: Vec<(TopicPartition, i64)>) -> Result<(), Stop> {
        let mut found = false;
        let mut left = places;
        while let Some((at, next)) = self.survey(&left)? {
            found = true;
            let (partition, _) = left[at].clone();
            warn!(%partition, offset = next, "a process that reads on from here is ended");
            self.pass(&partition)?;
            left.drain(..=at);
        }
        if !found {
            info!("nothing was found that ends a process that reads it");
        }
        Ok(())
    }

    /// Reads places one after the other; which one of them ended the reader, and where it was.
    fn survey(&self, places: &[(TopicPartition, i64)]) -> Result<Option<(usize, i64)>, Stop> {
        if places.is_empty() {
            return Ok(None);
        }
        let stretches: Vec<_> =
            places.iter().map(|(name, from)| Stretch::new(name, *from)).collect();
        let how = How { most_bytes: AHEAD, ..self.how() };
        let (mut at, mut next) = (0, 0);
        let died = self.ask(&stretches, how, |said| {
            match said {
                Said::Begun { stretch, from, .. } => (at, next) = (stretch, from),
                Said::Came { next: to } => next = to,
                Said::Undecodable | Said::Records { .. } | Said::Over | Said::Failed(_) => {}
            }
            Ok(())
        })?;
        Ok(died.then_some((at, next)))
    }

    fn how(&self) -> How {
        How { room: self.room, most_bytes: u64::MAX, ..How::default() }
    }

    /// Counts a partition up to what ends a reader, again and again until nothing does.
    fn pass(&self, partition: &TopicPartition) -> Result<(), Stop> {
        let offsets = self.starts(partition).into_iter().map(|start| match start {
            Start::Offset(offset, _) => Some(offset),
            Start::Earliest | Start::Latest | Start::Time(_) => None,
        });
        let Some(offsets) = offsets.collect::<Option<Vec<i64>>>().filter(|all| !all.is_empty())
        else {
            error!(%partition, "where its models stand is not known, so nothing in it is passed over");
            return Ok(());
        };
        let bounds = self.bounds(partition)?;
        let mut next = offsets.iter().copied().min().unwrap_or(bounds.1).max(bounds.0);
        self.tell(Event::Assigned(vec![Assigned {
            partition: partition.clone(),
            starts: offsets,
            low: bounds.0,
            high: bounds.1,
            topic: None,
        }]))?;
        for _ in 0..MOST {
            let Some(from) = self.hand_over(partition, next)? else { break };
            let Some(to) = self.end_of(partition, from)? else { break };
            error!(
                %partition, from, to,
                "these records end every process that reads them, as a batch does that is very large once it is decompressed; they are passed over and count as lost. See what wrote them, with kafka-dump-log on the broker, and give write rights on the topic to those you trust"
            );
            let cause = LossCause::Deadly;
            self.tell(Event::Lost { partition: partition.clone(), from, to, cause })?;
            next = to;
            if self.survey(&[(partition.clone(), next)])?.is_none() {
                break;
            }
        }
        self.tell(Event::Revoked(vec![partition.clone()]))
    }

    /// Where the models that read a partition go on; none when brokers do not tell what is stored.
    fn starts(&self, partition: &TopicPartition) -> Vec<Start> {
        for _ in 0..TRIES {
            if let Some(starts) = self.means.desk.starts(partition) {
                return starts;
            }
            thread::sleep(PAUSE);
        }
        Vec::new()
    }

    fn bounds(&self, partition: &TopicPartition) -> Result<(i64, i64), Stop> {
        let mut bounds = (0, 0);
        let stretch = [Stretch::new(partition, i64::MAX)];
        self.ask(&stretch, self.how(), |said| {
            if let Said::Begun { low, high, .. } = said {
                bounds = (low, high);
            }
            Ok(())
        })?;
        Ok(bounds)
    }

    /// Hands over everything before what ends a reader, and says where that begins; `None` when nothing
    /// does within what a process has ahead.
    fn hand_over(&self, partition: &TopicPartition, from: i64) -> Result<Option<i64>, Stop> {
        let whole = How { whole: true, most_bytes: AHEAD, ..self.how() };
        let mut walk = self.walk(partition, from, whole)?;
        while walk.died {
            let before = walk.next;
            walk = self.walk(partition, before, How { one_by_one: true, ..whole })?;
            // Only what is first in a request that holds nothing else can be blamed.
            if walk.died && walk.next == before {
                return Ok(Some(before));
            }
        }
        Ok(None)
    }

    fn walk(&self, partition: &TopicPartition, from: i64, how: How) -> Result<Walk, Stop> {
        let mut next = from;
        let died = self.ask(&[Stretch::new(partition, from)], how, |said| match said {
            Said::Records { batch, next: to } => {
                next = to;
                self.tell(Event::Batch(batch))
            }
            Said::Came { next: to } => {
                next = to;
                Ok(())
            }
            Said::Begun { .. } | Said::Undecodable | Said::Over | Said::Failed(_) => Ok(()),
        })?;
        Ok(Walk { next, died })
    }

    /// The first offset behind `from` that a reader survives; `None` if it survives none, which is no
    /// matter of what it reads.
    fn end_of(&self, partition: &TopicPartition, from: i64) -> Result<Option<i64>, Stop> {
        let (_, high) = self.bounds(partition)?;
        let first = How { one_by_one: true, first: true, ..self.how() };
        let mut hole = Hole::new(from);
        let mut at = hole.failed(from, high);
        for _ in 0..STEPS {
            let died = self.walk(partition, at, first)?.died;
            if died && at >= high {
                break;
            }
            at = if died {
                hole.failed(at, high)
            } else {
                match hole.worked(at) {
                    None => return Ok(Some(at)),
                    Some(next) => next,
                }
            };
        }
        error!(%partition, from, "no end of what ends a process was found");
        Ok(None)
    }

    /// Lets a reader read; whether it was ended by what it read. One that could not work is asked again.
    fn ask(
        &self,
        stretches: &[Stretch],
        how: How,
        mut heard: impl FnMut(Said) -> Result<(), Stop>,
    ) -> Result<bool, Stop> {
        let mut tries = 0;
        loop {
            let Means { kafka, breaker, .. } = &self.means;
            let mut probe = Probe::start(breaker.program(), kafka, stretches, how)?;
            let (mut failed, mut undecodable, mut begun) = (None, false, false);
            while let Some(said) = probe.hear() {
                begun |= matches!(said, Said::Begun { .. });
                match said {
                    Said::Failed(why) => failed = Some(why),
                    // As a batch is whose decompression finds no memory.
                    Said::Undecodable => {
                        undecodable = true;
                        break;
                    }
                    said => heard(said)?,
                }
            }
            if undecodable {
                return Ok(true);
            }
            let end = probe.end()?;
            let why = match (failed, end) {
                (None, End::Done) => return Ok(false),
                (None, End::Died(_)) if begun => return Ok(true),
                (None, End::Died(how)) => format!("it ended before it read anything ({how})"),
                (Some(why), _) => why,
            };
            tries += 1;
            // What was handed over must not come again.
            if tries == TRIES || (begun && how.whole) {
                return Err(Stop::Failed(why));
            }
            warn!(%why, "a reader could not work; trying again");
            thread::sleep(PAUSE);
        }
    }

    fn tell(&self, event: Event) -> Result<(), Stop> {
        self.events.send(event).map_err(|_| Stop::Unheard)
    }
}
