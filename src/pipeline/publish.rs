//! Closed panes on their way from ingest to evaluation: durable first, then told.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::error;

use crate::offsets::TopicPartition;
use crate::pipeline::beats::Beats;
use crate::pipeline::counted::Counted;
use crate::pipeline::desk::Desk;
use crate::pipeline::panes;
use crate::pipeline::profile;
use crate::pipeline::spec::Watched;
use crate::store;
use crate::window::Pane;
use crate::window::Partial;
use crate::window::PartitionState;
use crate::window::Progress;

/// Open panes of a partition are passed on when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(2);

/// How often closed panes are made durable and passed on: to evaluation in this process, and to a topic.
const PASSED: Duration = Duration::from_millis(250);
const WRITTEN: Duration = Duration::from_millis(1000);

/// Every partition's states, by the index of the model.
pub(super) type States = BTreeMap<TopicPartition, BTreeMap<usize, PartitionState>>;

pub(super) struct Publisher {
    desk: Arc<Desk>,
    /// To evaluation in this process; else `beats` are written for whoever evaluates.
    out: Option<mpsc::Sender<Counted>>,
    beats: Beats,
    told: HashMap<(usize, TopicPartition), Told>,
    waiting: BTreeMap<usize, Waiting>,
}

/// What evaluation is told next of a model's partitions.
#[derive(Default)]
struct Waiting {
    progress: Vec<(Progress, i64)>,
    open: Vec<Partial>,
    quiet: Vec<TopicPartition>,
}

/// What evaluation was last told of a partition.
struct Told {
    progress: Progress,
    since: Instant,
    open: bool,
}

impl Publisher {
    /// `number` is that of the ingest thread.
    pub(super) fn new(desk: Arc<Desk>, out: Option<mpsc::Sender<Counted>>, number: usize) -> Self {
        let (told, waiting) = (HashMap::new(), BTreeMap::new());
        Self { desk, out, beats: Beats::new(number), told, waiting }
    }

    /// How often `publish` and `progress` are due.
    pub(super) fn interval(&self) -> Duration {
        if self.out.is_some() { PASSED } else { WRITTEN }
    }

    /// Waits for room: evaluation that is behind slows ingest down, and memory stays bounded.
    pub(super) fn tell(&self, counted: Counted) {
        let Some(out) = &self.out else { return };
        if out.blocking_send(counted).is_err() {
            error!("evaluation has ended; what was counted waits in the next snapshot");
        }
    }

    /// Makes the closed panes of all partitions durable and passes them on: one write a model, since
    /// each waits for the disk. If the disk refuses they stay with the states, and counting goes on.
    pub(super) fn publish(&mut self, partitions: &mut States) {
        let mut closed: BTreeMap<usize, Vec<Partial>> = BTreeMap::new();
        for (partition, states) in partitions.iter_mut() {
            for (&model, state) in states.iter_mut().filter(|(_, state)| state.has_closed()) {
                let panes = state.take_closed().into_iter();
                let partials = panes.map(|pane| state.partial(partition, pane));
                closed.entry(model).or_default().extend(partials);
            }
        }
        // An empty one only takes back what others were told of a pane, and files hold nothing of that.
        let shared = self.desk.store.kafka().is_some();
        for (model, partials) in closed {
            let name = self.desk.specs[model].name();
            let rules = partials.first().map_or(0, |partial| partial.rules);
            let record = |p: &Partial| (p.partition.clone(), panes::partial(p));
            let stored = partials.iter().filter(|partial| shared || !partial.pane.is_empty());
            let records = stored.map(record).collect();
            match self.desk.store.append_panes(name, rules, records) {
                Ok(_) => {
                    self.desk.metrics.partials_published(name, partials.len() as u64);
                    for partial in &partials {
                        self.beats.published(model, &partial.partition, partial.applied_through);
                    }
                    self.tell(Counted::Partials { model, partials });
                }
                Err(error) => {
                    error!(model = name, %error, "closed panes can't be written; trying again");
                    self.desk.metrics.snapshot_failed();
                    put_back(partitions, model, partials);
                }
            }
        }
    }

    /// Notes how far a partition has come, if that has changed; its log ends at `high`.
    pub(super) fn progress(
        &mut self,
        model: usize,
        partition: &TopicPartition,
        state: &PartitionState,
        (caught_up, high): (bool, i64),
    ) {
        // Evaluation would close the panes that the disk has refused so far without what is in them.
        if state.has_closed() {
            return;
        }
        let Some(watched) = self.desk.watched(model) else { return };
        let progress = progress_of(partition, state, &watched, caught_up);
        if self.out.is_none() {
            return self.beats.note(model, state, (progress, high));
        }
        let now = Instant::now();
        let waiting = self.waiting.entry(model).or_default();
        let key = (model, partition.clone());
        match self.told.get_mut(&key) {
            Some(told) if told.progress == progress => {
                if !told.open && now.duration_since(told.since) >= QUIET {
                    told.open = true;
                    waiting.quiet.push(partition.clone());
                    let open = state.open().map(|pane| state.partial(partition, pane.clone()));
                    waiting.open.extend(open);
                }
            }
            Some(_) | None => {
                waiting.progress.push((progress.clone(), high));
                self.told.insert(key, Told { progress, since: now, open: false });
            }
        }
    }

    pub(super) fn flush_progress(&mut self) {
        if self.out.is_none() {
            return self.beats.flush(&self.desk);
        }
        for (model, Waiting { progress, open, quiet }) in std::mem::take(&mut self.waiting) {
            if !progress.is_empty() || !quiet.is_empty() {
                self.tell(Counted::Progress { model, progress, open, quiet });
            }
        }
    }

    /// A partition is ours; its log ended at `high` then.
    pub(super) fn taken(&mut self, model: usize, partition: &TopicPartition, high: i64) {
        self.beats.taken(model, partition, high);
    }

    /// How many partitions the model's topic has.
    pub(super) fn measured(&mut self, model: usize, in_topic: Option<usize>) {
        self.beats.measured(model, in_topic);
    }

    /// The partition is evaluation's anew: everything is told again.
    pub(super) fn forget(&mut self, model: usize, partition: &TopicPartition) {
        self.told.remove(&(model, partition.clone()));
    }

    /// Stores a baseline that is about to be counted by; a restart counts by the same.
    pub(super) fn keep_profile(&self, model: usize, watched: &Watched) -> Result<(), store::Error> {
        let Some(store) = self.desk.store.file() else { return Ok(()) };
        let spec = &self.desk.specs[model];
        let json = profile::encode(&spec.model, watched);
        let version = profile::version(&watched.baseline);
        store.save_profile(spec.name(), version, &json).map(|_| ())
    }
}

/// Gives each state its closed panes again, in their order.
fn put_back(partitions: &mut States, model: usize, partials: Vec<Partial>) {
    let mut panes: BTreeMap<TopicPartition, Vec<Pane>> = BTreeMap::new();
    for partial in partials {
        panes.entry(partial.partition).or_default().push(partial.pane);
    }
    for (partition, panes) in panes {
        if let Some(state) = partitions.get_mut(&partition).and_then(|s| s.get_mut(&model)) {
            state.put_back(panes);
        }
    }
}

/// How far a state has come.
pub(super) fn progress_of(
    partition: &TopicPartition,
    state: &PartitionState,
    watched: &Watched,
    caught_up: bool,
) -> Progress {
    Progress {
        partition: partition.clone(),
        next_offset: state.next_offset,
        frontier_ms: state.watermark.get().map(|wm| wm.saturating_sub(watched.rules.lateness_ms)),
        first_pane_ms: state.first_pane_ms,
        caught_up,
    }
}
