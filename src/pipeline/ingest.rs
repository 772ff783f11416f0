//! The data plane, per batch: source -> decode -> histogram -> pane, on its own thread.
//!
//! Order of durability: closed panes are published (fsync) before the snapshot that no longer holds
//! them; the group's committed offset only follows, for people who watch lag.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::clock::now_ms;
use crate::decode::Decoder;
use crate::decode::Reason;
use crate::http::Health;
use crate::kafka;
use crate::kafka::dead_letter::DeadLetters;
use crate::kafka::message::Group;
use crate::offsets::TopicId;
use crate::offsets::TopicPartition;
use crate::pipeline::breaker::Breaker;
use crate::pipeline::counted::Counted;
use crate::pipeline::desk::Desk;
use crate::pipeline::ingest::crew::Crew;
use crate::pipeline::ingest::crew::Present;
use crate::pipeline::ingest::dead_letters::Dead;
use crate::pipeline::ingest::inquiry::Inquiry;
use crate::pipeline::publish::Publisher;
use crate::pipeline::spec::Watched;
use crate::source::Event;
use crate::source::kafka::KafkaSource;
use crate::window::PartitionState;

mod crew;
mod dead_letters;
mod inquiry;
mod keep;
mod partitions;
mod rejects;

pub(super) use crew::Adoption;
pub(super) use crew::Order;
pub(super) use crew::Orders;

/// The longest that a call to the source blocks, so that orders and clocks are looked at.
const POLL: Duration = Duration::from_millis(100);
/// How long leaving the group may take.
const CLOSE: Duration = Duration::from_secs(3);
/// How long the last copies of rejected records are waited for.
const LAST_LETTERS: Duration = Duration::from_millis(500);

/// How a model's records are read and counted.
struct Reader {
    watched: Watched,
    decoder: Decoder,
}

/// What every ingest thread is given.
#[derive(Clone)]
pub(super) struct Parts {
    pub desk: Arc<Desk>,
    pub kafka: kafka::Config,
    pub dead_letters: Option<Arc<DeadLetters>>,
    /// To evaluation in this process; else it reads what is written to topics.
    pub out: Option<mpsc::Sender<Counted>>,
    pub health: Arc<Health>,
    pub snapshot_interval: Duration,
    pub breaker: Arc<Breaker>,
}

/// Reads in as many threads as there are receivers of orders, each a member of the group, until told
/// to stop; blocks, so it has a thread of its own, which is one of them.
pub(super) fn run(parts: &Parts, orders: Vec<mpsc::Receiver<Order>>) {
    let crew = Arc::new(Crew::new(orders.len()));
    let inquiry = Arc::new(Inquiry::start(parts));
    let member = |(number, orders)| Ingest::new(parts.clone(), (&crew, &inquiry), number, orders);
    let mut members = orders.into_iter().enumerate().map(member);
    let Some(mut first) = members.next() else { return };
    // Told once, and before anything that is counted by them.
    for model in 0..parts.desk.specs.len() {
        if let Some(watched) = parts.desk.watched(model) {
            first.keep(model, &watched);
            first.publisher.tell(Counted::Adopted { model, watched });
        }
    }
    thread::scope(|scope| {
        for member in members {
            let name = format!("ingest-{}", member.number);
            let started = thread::Builder::new().name(name).spawn_scoped(scope, || member.run());
            if let Err(error) = started {
                error!(%error, "no thread for another consumer");
                drop(Present(&crew));
            }
        }
        first.run();
    });
    parts.breaker.ended();
    if let Some(dead_letters) = &parts.dead_letters {
        dead_letters.flush(LAST_LETTERS);
    }
}

/// One thread with a consumer of its own, and the partitions that the group has given to it.
struct Ingest<'a> {
    desk: Arc<Desk>,
    crew: &'a Arc<Crew>,
    number: usize,
    kafka: kafka::Config,
    dead_letters: Option<Arc<DeadLetters>>,
    orders: mpsc::Receiver<Order>,
    publisher: Publisher,
    health: Arc<Health>,
    snapshot_interval: Duration,
    readers: HashMap<usize, Reader>,
    partitions: BTreeMap<TopicPartition, BTreeMap<usize, PartitionState>>,
    /// How many partitions each topic has, asked whenever some are taken.
    topic_sizes: HashMap<Arc<str>, usize>,
    topic_ids: HashMap<Arc<str>, Option<TopicId>>,
    /// Models whose baseline the disk has refused so far.
    unkept: BTreeSet<usize>,
    reject_lines: HashMap<(usize, Reason), Instant>,
    /// Recoveries of stalled partitions that the present source has been counted for.
    stalls: u64,
    /// The same of tokens that could not be had.
    token_failures: u64,
    published: Instant,
    snapshotted: Instant,
    breaker: Arc<Breaker>,
    noted: Instant,
    /// Partitions that may have ended the processes before this one are looked into before they are read.
    inquiry: &'a Arc<Inquiry>,
}

impl<'a> Ingest<'a> {
    fn new(
        parts: Parts,
        (crew, inquiry): (&'a Arc<Crew>, &'a Arc<Inquiry>),
        number: usize,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        let publisher = Publisher::new(parts.desk.clone(), parts.out, number);
        let now = Instant::now();
        Self {
            desk: parts.desk,
            crew,
            number,
            kafka: parts.kafka,
            dead_letters: parts.dead_letters,
            orders,
            publisher,
            health: parts.health,
            snapshot_interval: parts.snapshot_interval,
            readers: HashMap::new(),
            partitions: BTreeMap::new(),
            topic_sizes: HashMap::new(),
            topic_ids: HashMap::new(),
            unkept: BTreeSet::new(),
            reject_lines: HashMap::new(),
            stalls: 0,
            token_failures: 0,
            published: now,
            snapshotted: now,
            breaker: parts.breaker,
            noted: now,
            inquiry,
        }
    }

    fn run(mut self) {
        let _present = Present(self.crew);
        for model in 0..self.desk.specs.len() {
            self.prepare(model);
        }
        let mut source: Option<KafkaSource> = None;
        while !self.crew.is_over() {
            let now_ms = now_ms();
            self.health.ingest_turned(self.crew.turned(self.number, now_ms));
            match self.orders.try_recv() {
                Ok(Order::Adopt(adoption)) => {
                    if self.adopt(&adoption) {
                        // A model that was not read before needs its own start.
                        self.reconnect(&mut source);
                    }
                    continue;
                }
                Ok(Order::Stop) | Err(mpsc::error::TryRecvError::Disconnected) => break,
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            if self.desk.is_barred() {
                if source.is_some() {
                    self.reconnect(&mut source);
                }
                thread::sleep(POLL);
                continue;
            }
            if source.is_none() && !self.connect(&mut source) {
                thread::sleep(POLL);
                continue;
            }
            let Some(connected) = source.as_mut() else { continue };
            self.inquire(connected);
            let event = connected.next(POLL);
            if let Event::Failed(error) = &event {
                if matches!(error, kafka::Error::Renewed | kafka::Error::Recreated { .. }) {
                    info!(%error, "a new Kafka client is made");
                } else {
                    error!(%error, "the Kafka client failed; a new one is made");
                    self.publisher.tell(Counted::Failed { error: error.to_string() });
                }
                self.reconnect(&mut source);
                thread::sleep(Duration::from_secs(1));
                continue;
            }
            if let Event::Assigned(assigned) = &event {
                self.measure(connected, assigned);
            }
            self.apply(event);
            self.keep_time(connected);
        }
        self.finish(source);
    }

    /// Makes the decoder of a model whose baseline is known.
    fn prepare(&mut self, model: usize) {
        let Some(watched) = self.desk.watched(model) else { return };
        let spec = &self.desk.specs[model];
        let decoder = Decoder::new(
            spec.model.format,
            &spec.model.fields,
            &spec.model.options(),
            spec.name(),
            &watched.features,
        );
        self.readers.insert(model, Reader { watched, decoder });
    }

    fn connect(&mut self, source: &mut Option<KafkaSource>) -> bool {
        let topics = self.desk.topics();
        if topics.is_empty() {
            return false;
        }
        self.tell_assigned();
        let (desk, crew, number) = (self.desk.clone(), Arc::clone(self.crew), self.number);
        let inquiry = Arc::clone(self.inquiry);
        let starts = Box::new(move |partition: &TopicPartition| {
            let may_read = crew.claim(partition, number) && !inquiry.holds(partition, number);
            may_read.then(|| desk.starts(partition)).flatten()
        });
        match KafkaSource::connect(&self.kafka, &topics, starts) {
            Ok(connected) => {
                info!(topics = topics.join(","), group = self.kafka.group, "reading");
                *source = Some(connected);
                (self.stalls, self.token_failures) = (0, 0);
                true
            }
            Err(error) => {
                error!(%error, "Kafka can't be read; trying again");
                self.publisher.tell(Counted::Failed { error: error.to_string() });
                thread::sleep(Duration::from_secs(1));
                false
            }
        }
    }

    fn reconnect(&mut self, source: &mut Option<KafkaSource>) {
        self.inquiry.leave(self.number);
        let partitions: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        self.revoke(&partitions);
        if let Some(connected) = source.take()
            && let Err(error) = connected.close(CLOSE)
        {
            warn!(%error, "leaving the group");
        }
        self.crew.release_all(self.number);
        self.tell_assigned();
    }

    /// Applies one event of the source; no clock, no waiting.
    fn apply(&mut self, event: Event) {
        match event {
            Event::Batch(batch) => {
                for (partition, records) in batch.groups() {
                    self.count(partition, &records);
                }
            }
            Event::Assigned(assigned) => {
                self.assign(assigned);
                self.rebalanced();
            }
            Event::Revoked(partitions) => {
                self.inquiry.forget(&partitions);
                self.revoke(&partitions);
                self.rebalanced();
            }
            Event::Lost { partition, from, to, cause } => self.lose(&partition, from, to, cause),
            Event::Failed(_) | Event::Idle => {}
        }
    }

    fn count(&mut self, partition: &TopicPartition, records: &Group<'_>) {
        let next_offset = records.last_offset() + 1;
        let (n_records, bytes) = (records.records() as u64, records.bytes() as u64);
        self.desk.metrics.records_consumed(&partition.topic, n_records, bytes);
        let mut rejects = Vec::new();
        let mut dead: Vec<Dead> = Vec::new();
        let copies = self.dead_letters.is_some();
        for (&model, state) in self.partitions.get_mut(partition).into_iter().flatten() {
            let Some(Reader { watched, decoder }) = self.readers.get_mut(&model) else { continue };
            if state.next_offset >= next_offset {
                continue;
            }
            let batch = if state.next_offset <= records.first_offset() {
                decoder.decode(records.clone())
            } else {
                let counted = state.next_offset;
                decoder.decode(records.clone().skip_while(|record| record.offset < counted))
            };
            let before = state.totals.clone();
            if copies {
                let mut of_time = |offset, reason| dead.push(Dead::of_time(model, offset, reason));
                state.apply_telling(&watched.rules, &batch, next_offset, &mut of_time);
                dead.extend(batch.rejects.iter().map(|reject| Dead::new(model, reject)));
            } else {
                state.apply(&watched.rules, &batch, next_offset);
            }
            state.lineage.leader_epoch = records.leader_epoch();
            let metrics = &self.desk.metrics;
            let (topic, name) = (&*partition.topic, self.desk.specs[model].name());
            for reason in Reason::ALL {
                let new = state.totals.rejects[reason as usize] - before.rejects[reason as usize];
                if new > 0 {
                    metrics.records_rejected(topic, name, reason, new);
                    let sample = batch.rejects.iter().find(|r| r.reason == reason).cloned();
                    rejects.push((model, reason, new, sample));
                }
            }
            metrics.records_late(topic, name, state.totals.late - before.late);
            metrics.records_other_model(topic, batch.other_models);
            metrics.duplicate_keys(topic, name, batch.duplicate_keys);
            metrics.imprecise_numbers(topic, name, batch.imprecise);
            metrics.keys_looked_up(topic, name, batch.looked_up);
        }
        self.bury(partition, records, dead);
        for (model, reason, new, sample) in rejects {
            self.report_reject(partition, model, reason, (new, sample));
        }
    }

    fn publish(&mut self) {
        self.publisher.publish(&mut self.partitions);
    }

    fn finish(mut self, source: Option<KafkaSource>) {
        self.inquiry.leave(self.number);
        let offsets = self.snapshot_all();
        if let Some(source) = source {
            commit(&source, &offsets);
            if let Err(error) = source.close(CLOSE) {
                warn!(%error, "leaving the group");
            }
        }
        info!(partitions = mem::take(&mut self.partitions).len(), "ingest stopped");
    }
}

/// Only for people who watch lag: the state has its own offsets.
fn commit(source: &KafkaSource, offsets: &[(TopicPartition, i64)]) {
    if let Err(error) = source.commit(offsets) {
        warn!(%error, "the group's offsets could not be committed");
    }
}
