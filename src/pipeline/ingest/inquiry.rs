//! What has ended this process again and again is looked for, by readers that it may end instead, and
//! passed over: everything before it is counted, it itself is lost, and everything behind it is read as
//! ever. Only partitions that may hold it wait for that, each until it was looked into itself.
//!
//! A search speaks as a source does, so that the records that a reader hands over go the way of all others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tracing::{error, warn};

use crate::offsets::TopicPartition;
use crate::pipeline::breaker::Breaker;
use crate::pipeline::ingest::inquiry::search::{Request, Searcher};
use crate::pipeline::ingest::{Ingest, Parts};
use crate::source::Event;
use crate::source::kafka::KafkaSource;

mod case;
mod search;

/// Batches on their way to the thread that counts.
const WAITING: usize = 4;
/// Events of searches that are applied before the source is asked again.
const AT_ONCE: usize = 16;

/// The searches of one process.
pub(super) struct Inquiry {
    breaker: Arc<Breaker>,
    /// To the thread that lets readers read; none where nothing is suspect.
    requests: Option<Sender<Request>>,
    searches: Mutex<BTreeMap<TopicPartition, Search>>,
}

/// A partition that is looked into, for the ingest thread that has it.
struct Search {
    thread: usize,
    events: Receiver<Event>,
}

impl Inquiry {
    /// Ready to look into what is suspect, if anything is.
    pub(super) fn start(parts: &Parts) -> Self {
        let breaker = parts.breaker.clone();
        let (deaths, partitions) = (breaker.deaths(), breaker.suspects());
        parts.desk.metrics.unclean_ends(deaths);
        let mut inquiry = Self { breaker, requests: None, searches: Mutex::default() };
        if partitions == 0 {
            return inquiry;
        }
        warn!(
            deaths,
            partitions,
            "this process has ended again and again without getting further; what it was reading is read by a process of its own first"
        );
        let (requests, requested) = channel();
        let searcher = Searcher::new(parts, requested);
        match thread::Builder::new().name("inquiry".to_owned()).spawn(move || searcher.run()) {
            Ok(_) => inquiry.requests = Some(requests),
            Err(error) => error!(%error, "no thread to look for what ends this process"),
        }
        inquiry
    }

    fn searches(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Search>> {
        self.searches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a partition must not be read by this process yet; a search in it is begun then, whose events
    /// are for the thread that asks.
    pub(super) fn holds(&self, partition: &TopicPartition, thread: usize) -> bool {
        let Some(requests) = &self.requests else { return false };
        let mut searches = self.searches();
        // What it has handed over may not be stored yet.
        if searches.contains_key(partition) {
            return true;
        }
        let Some(furthest) = self.breaker.suspect(partition) else { return false };
        let (events, heard) = sync_channel(WAITING);
        let request = Request { partition: partition.clone(), furthest, events };
        if requests.send(request).is_err() {
            return false;
        }
        searches.insert(partition.clone(), Search { thread, events: heard });
        true
    }

    /// What searches for a thread have come to since it was last asked.
    pub(super) fn next(&self, thread: usize) -> Option<Event> {
        self.requests.as_ref()?;
        let mut searches = self.searches();
        let (mut found, mut over) = (None, Vec::new());
        for (partition, search) in searches.iter().filter(|(_, search)| search.thread == thread) {
            match search.events.try_recv() {
                Ok(event) => {
                    found = Some(event);
                    break;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => over.push(partition.clone()),
            }
        }
        for partition in over {
            searches.remove(&partition);
            self.breaker.settled(&partition);
        }
        found
    }

    /// Partitions are not ours any more; whoever takes them looks again.
    pub(super) fn forget(&self, partitions: &[TopicPartition]) {
        let mut searches = self.searches();
        for partition in partitions {
            searches.remove(partition);
        }
    }

    /// None of a thread's partitions is its any more.
    pub(super) fn leave(&self, thread: usize) {
        self.searches().retain(|_, search| search.thread != thread);
    }
}

impl Ingest<'_> {
    /// Applies what searches in partitions of ours have come to.
    pub(super) fn inquire(&mut self, source: &mut KafkaSource) {
        for _ in 0..AT_ONCE {
            match self.inquiry.next(self.number) {
                Some(Event::Assigned(assigned)) => {
                    // No pane may close before it is known of how many partitions.
                    let topics = assigned.iter().map(|a| &a.partition.topic);
                    let unknown = topics.filter(|topic| source.n_partitions(topic).is_none());
                    source.measure(unknown.cloned().collect::<BTreeSet<_>>());
                    self.measure(source, &assigned);
                    self.assign(assigned);
                }
                Some(Event::Revoked(partitions)) => self.revoke(&partitions),
                Some(event) => self.apply(event),
                None => return,
            }
        }
    }
}
