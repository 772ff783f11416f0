//! Partials from wherever they were counted, for the models that are ours to evaluate.
//!
//! A member of a consumer group of its own: Kafka says which partitions of the partials are ours, and a
//! record in the log says so to everybody else. What a partition holds is read whole when it is taken, or
//! when the rules of a model change; then comes what is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::warn;

use crate::kafka;
use crate::kafka::message::MessageBatch;
use crate::metrics::Metrics;
use crate::offsets::TopicPartition;
use crate::pipeline::counted::Counted;
use crate::pipeline::desk::Desk;
use crate::pipeline::exchange::told::Frontiers;
use crate::pipeline::spec::Watched;
use crate::source::Event;
use crate::source::Start;
use crate::source::kafka::KafkaSource;
use crate::store;
use crate::store::Store;
use crate::store::kafka::fold::Owners;
use crate::store::kafka::record::{Body, Record};

mod told;
mod unread;

#[cfg(test)]
pub(super) use told::furthest;

const POLL: Duration = Duration::from_millis(100);
/// Time between attempts to take a partition that could not be read, or that another says is its.
const AGAIN: Duration = Duration::from_secs(2);
/// Time that a group takes to tell a member that was away that its partitions are another's. Who is told by
/// the log first does not claim them again before.
const SUPERSEDED: Duration = Duration::from_secs(10);
/// Time between two times that a partition is read anew for a record that can't be used: there may be many.
const REREAD: Duration = Duration::from_secs(20);
const CLOSE: Duration = Duration::from_secs(2);

pub(super) struct Exchange {
    pub desk: Arc<Desk>,
    pub store: Arc<Store>,
    pub metrics: Metrics,
    pub kafka: kafka::Config,
    pub out: Sender<Counted>,
    /// Baselines that come into force.
    pub adopted: mpsc::Receiver<(usize, Option<Watched>)>,
    pub in_force: Vec<Option<Watched>>,
    pub stop: CancellationToken,
    /// The partitions of the partials that the group has given to us.
    pub held: BTreeMap<i32, Held>,
    /// Models of these that a newer release has written records of.
    pub refused: BTreeSet<usize>,
    /// Partitions to be read anew, and when they last were.
    pub again: BTreeSet<i32>,
    pub reread: BTreeMap<i32, Instant>,
}

/// A partition that the group has given to us.
pub(super) struct Held {
    owners: Owners,
    /// Records below this offset have been read; `None` until we have taken it in the log.
    through: Option<i64>,
    /// When to try to take it.
    due: Instant,
    /// How far partitions have ever come, by model: a late process may say less.
    frontiers: BTreeMap<usize, Frontiers>,
    /// How many partitions the topics of models had when they were handed over, where brokers say.
    sizes: BTreeMap<usize, usize>,
    /// Models whose topic has fewer by now, as somebody says; and when the brokers were asked last.
    shrunk: BTreeSet<usize>,
    asked: Instant,
}

impl Held {
    fn new(due: Instant) -> Self {
        Self {
            owners: Owners::default(),
            through: None,
            due,
            frontiers: BTreeMap::new(),
            sizes: BTreeMap::new(),
            shrunk: BTreeSet::new(),
            asked: Instant::now(),
        }
    }
}

impl Exchange {
    /// Until told to stop; blocks, so it has a thread of its own.
    pub(super) fn run(mut self) {
        let mut source: Option<KafkaSource> = None;
        while !self.stop.is_cancelled() {
            match self.adopted.try_recv() {
                Ok((model, watched)) => {
                    self.in_force[model] = watched;
                    self.changed(model);
                    continue;
                }
                Err(mpsc::TryRecvError::Empty) => {}
                // Nobody follows what is in force any more, so nothing can be evaluated by it.
                Err(mpsc::TryRecvError::Disconnected) => break,
            }
            if self.desk.is_barred() {
                self.leave(&mut source);
                thread::sleep(POLL);
                continue;
            }
            let Some(connected) = self.connected(&mut source) else {
                thread::sleep(AGAIN);
                continue;
            };
            let event = connected.next(POLL);
            self.apply(event, &mut source);
            self.look_at_owners();
            self.look_at_sizes();
            self.read_again();
            self.take_due();
        }
        self.leave(&mut source);
    }

    fn connected<'a>(&self, source: &'a mut Option<KafkaSource>) -> Option<&'a mut KafkaSource> {
        if source.is_none() {
            let topic = self.store.kafka()?.names().partials.clone();
            let starts = Box::new(|_: &TopicPartition| Some(vec![Start::Latest]));
            match KafkaSource::connect(&self.kafka, &[topic], starts) {
                Ok(connected) => *source = Some(connected),
                Err(error) => error!(%error, "partials can't be read; trying again"),
            }
        }
        source.as_mut()
    }

    fn leave(&mut self, source: &mut Option<KafkaSource>) {
        let held: Vec<i32> = self.held.keys().copied().collect();
        held.into_iter().for_each(|partition| self.release(partition));
        if let Some(connected) = source.take()
            && let Err(error) = connected.close(CLOSE)
        {
            warn!(%error, "leaving the group that evaluates");
        }
    }

    fn apply(&mut self, event: Event, source: &mut Option<KafkaSource>) {
        match event {
            Event::Assigned(assigned) => {
                for assigned in assigned {
                    let partition = assigned.partition.partition;
                    self.held.insert(partition, Held::new(Instant::now()));
                }
            }
            Event::Revoked(partitions) => {
                partitions.iter().for_each(|p| self.release(p.partition));
            }
            Event::Batch(batch) => self.read(&batch),
            Event::Lost { partition, from, to, cause } => {
                warn!(%partition, from, to, %cause, "partials are gone before they were read");
                self.give_up(partition.partition, Instant::now());
            }
            Event::Failed(error) => {
                error!(%error, "the Kafka client failed; a new one is made");
                self.leave(source);
                thread::sleep(AGAIN);
            }
            Event::Idle => {}
        }
    }

    /// The models of a partition.
    fn models(&self, partition: i32) -> Vec<usize> {
        let Some(store) = self.store.kafka() else { return Vec::new() };
        let of = |&model: &usize| store.place(self.desk.specs[model].name()) == partition;
        (0..self.desk.specs.len()).filter(of).collect()
    }

    fn take_due(&mut self) {
        let now = Instant::now();
        let due = |(_, held): &(&i32, &Held)| held.through.is_none() && held.due <= now;
        let due: Vec<i32> = self.held.iter().filter(due).map(|(&partition, _)| partition).collect();
        for partition in due {
            let models = self.models(partition);
            let taken = self.announce(partition).and_then(|()| self.assemble(partition, &models));
            if let Err(error) = taken {
                warn!(partition, %error, "the partials of some models can't be taken; trying again");
                self.give_up(partition, Instant::now() + AGAIN);
            }
        }
    }

    /// Another may have come to announce itself in the incident log alone: then what we decide would never
    /// count, and nobody would say so.
    fn look_at_owners(&mut self) {
        let Some(store) = self.store.kafka() else { return };
        let other = |(partition, held): (&i32, &Held)| {
            (held.through.is_some() && !store.decides(*partition)).then_some(*partition)
        };
        let lost: Vec<i32> = self.held.iter().filter_map(other).collect();
        for partition in lost {
            warn!(partition, "another decides about these models by now");
            self.give_up(partition, Instant::now() + AGAIN);
        }
    }

    fn announce(&self, partition: i32) -> Result<(), store::Error> {
        self.store.kafka().map_or(Ok(()), |store| store.announce(partition))
    }

    /// A model has other rules: what was counted by them is read again.
    fn changed(&mut self, model: usize) {
        let Some(store) = self.store.kafka() else { return };
        let partition = store.place(self.desk.specs[model].name());
        if self.held.get(&partition).is_none_or(|held| held.through.is_none()) {
            return;
        }
        if let Err(error) = self.assemble(partition, &[model]) {
            warn!(partition, %error, "the partials of a model can't be read; trying again");
            self.give_up(partition, Instant::now() + AGAIN);
        }
    }

    /// Reads what a partition holds of models, and hands it to evaluation.
    fn assemble(&mut self, partition: i32, models: &[usize]) -> Result<(), store::Error> {
        let store = self.store.clone();
        let Some(store) = store.kafka() else { return Ok(()) };
        let in_force = |&model: &usize| {
            let watched = self.in_force[model].as_ref()?;
            Some((self.desk.specs[model].name().to_owned(), watched.rules.hash))
        };
        let wanted = models.iter().filter_map(in_force).collect();
        let mut read = store.assemble(partition, wanted)?;
        for record in read.unread.iter() {
            error!(%record, "a record of the partials can't be used");
            self.metrics.state_rejected("panes", 1);
        }
        let ours = read.assembly.owners.accepts(store.writer());
        let Some(held) = self.held.get_mut(&partition) else { return Ok(()) };
        held.owners = read.assembly.owners;
        if !ours {
            // Another has taken it after us. Should it be late, ours is the last word.
            self.give_up(partition, Instant::now() + SUPERSEDED);
            return Ok(());
        }
        // What is not among `models` was handed over before, up to where the stream stands.
        if held.through.is_none() {
            held.through = Some(read.next_offset);
        }
        let sizes = self.sizes(models);
        for &model in models {
            let assembled = read.assembly.models.remove(self.desk.specs[model].name());
            let size = sizes.get(&model).copied();
            match self.missing(model, &read.unread) {
                Ok(missing) => {
                    self.refused.remove(&model);
                    let assembled = (assembled.unwrap_or_default(), missing);
                    self.hand_over(partition, (model, size), assembled);
                }
                Err(newer) => self.refuse(model, &newer),
            }
        }
        Ok(())
    }

    /// The group has taken a partition away.
    fn release(&mut self, partition: i32) {
        if self.held.remove(&partition).is_some_and(|held| held.through.is_some()) {
            self.tell(Counted::Released { models: self.models(partition) });
        }
    }

    /// A partition is not ours for now, whatever the group says.
    fn give_up(&mut self, partition: i32, due: Instant) {
        if let Some(held) = self.held.insert(partition, Held::new(due))
            && held.through.is_some()
        {
            self.tell(Counted::Released { models: self.models(partition) });
        }
    }

    fn read(&mut self, batch: &MessageBatch) {
        for (partition, records) in batch.groups() {
            for message in records {
                let through = self.held.get(&partition.partition).and_then(|held| held.through);
                if through.is_none_or(|through| message.offset < through) {
                    continue;
                }
                match message.payload.map(Record::decode) {
                    Some(Ok(Some(record))) => self.apply_record(partition.partition, record),
                    Some(Ok(None)) => {}
                    // Its models go on with what the log holds without it, as after a restart.
                    Some(Err(why)) => {
                        warn!(%partition, offset = message.offset, ?why, "a record can't be used");
                        self.again.insert(partition.partition);
                    }
                    // What was in the way may be gone.
                    None if !self.refused.is_empty() => {
                        self.again.insert(partition.partition);
                    }
                    None => {}
                }
            }
        }
    }

    /// Partitions with records that can't be used, or that were in the way, are read from their beginning.
    fn read_again(&mut self) {
        let now = Instant::now();
        let is_due = |partition: &i32| {
            self.reread.get(partition).is_none_or(|at| now.duration_since(*at) >= REREAD)
        };
        let due: Vec<i32> = self.again.iter().copied().filter(is_due).collect();
        for partition in due {
            self.again.remove(&partition);
            self.reread.insert(partition, now);
            if self.held.contains_key(&partition) {
                self.give_up(partition, now);
            }
        }
    }

    fn apply_record(&mut self, partition: i32, Record { writer, body }: Record) {
        let Some(held) = self.held.get_mut(&partition) else { return };
        match body {
            Body::Owner(owner) => {
                let ours = self.store.kafka().is_some_and(|store| store.writer() == writer);
                let name = owner.name.clone();
                held.owners.announce(writer, owner);
                if !ours {
                    warn!(partition, by = name, "another evaluates these models by now");
                    self.give_up(partition, Instant::now() + SUPERSEDED);
                }
            }
            Body::Pane(pane) => self.pane(&pane),
            Body::Seal(pane) => {
                if held.owners.accepts(writer) {
                    self.pane(&pane);
                }
            }
            Body::Progress(heads) => self.heads(partition, &heads),
            Body::State(_) | Body::Spec(_) | Body::Incident(_) | Body::Test(_) => {}
        }
    }

    fn tell(&self, counted: Counted) {
        if self.out.blocking_send(counted).is_err() {
            error!("evaluation has ended");
        }
    }
}
