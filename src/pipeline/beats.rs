//! How far this process has come, told to evaluators elsewhere: written whenever it has changed, and
//! now and then when it has not, so that they know that somebody is there.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::offsets::TopicPartition;
use crate::pipeline::desk::Desk;
use crate::pipeline::panes;
use crate::store;
use crate::store::PaneRecord;
use crate::store::kafka::record::Head;
use crate::store::kafka::record::Heads;
use crate::window::PartitionState;
use crate::window::Progress;

/// Open panes of a partition are written when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(2);
/// The longest time without a sign of life.
const BEAT: Duration = Duration::from_secs(10);

pub(super) struct Beats {
    /// Of the ingest thread: each tells of its own partitions.
    number: usize,
    models: BTreeMap<usize, Beat>,
    partitions: HashMap<(usize, TopicPartition), Told>,
    /// How far what this process has written of a partition was counted. It is written under one key: a
    /// partition that came back is behind that at first, and must not put less in its place.
    written: HashMap<(usize, TopicPartition), i64>,
}

#[derive(Default)]
struct Beat {
    rules: u64,
    in_topic: Option<usize>,
    heads: Vec<Head>,
    /// What quiet partitions hold, to be written before it is said that they are.
    open: Vec<(TopicPartition, PaneRecord)>,
    changed: bool,
    written: Option<Instant>,
}

/// What was last said of a partition.
struct Told {
    progress: Option<Progress>,
    since: Instant,
    quiet: bool,
    high: i64,
}

impl Beats {
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            models: BTreeMap::new(),
            partitions: HashMap::new(),
            written: HashMap::new(),
        }
    }

    pub(super) fn taken(&mut self, model: usize, partition: &TopicPartition, high: i64) {
        let told = Told { progress: None, since: Instant::now(), quiet: false, high };
        self.partitions.insert((model, partition.clone()), told);
    }

    pub(super) fn measured(&mut self, model: usize, in_topic: Option<usize>) {
        let beat = self.models.entry(model).or_default();
        beat.in_topic = in_topic.or(beat.in_topic);
    }

    /// Closed panes of a partition were written, counted through this offset.
    pub(super) fn published(&mut self, model: usize, partition: &TopicPartition, through: i64) {
        let written = self.written.entry((model, partition.clone())).or_insert(through);
        *written = through.max(*written);
    }

    /// Where a model's partition stands; every one of ours is noted before each `flush`.
    pub(super) fn note(
        &mut self,
        model: usize,
        state: &PartitionState,
        (progress, high): (Progress, i64),
    ) {
        let now = Instant::now();
        let beat = self.models.entry(model).or_default();
        let key = (model, progress.partition.clone());
        let Some(told) = self.partitions.get_mut(&key) else { return };
        beat.rules = state.rules;
        told.high = high;
        if told.progress.as_ref() != Some(&progress) {
            *told = Told { progress: Some(progress.clone()), since: now, quiet: false, ..*told };
            beat.changed = true;
        } else if !told.quiet
            && now.duration_since(told.since) >= QUIET
            && self.written.get(&key).is_none_or(|&through| state.applied_through() >= through)
        {
            self.written.insert(key, state.applied_through());
            told.quiet = true;
            beat.changed = true;
            beat.open.extend(state.open().map(|pane| {
                let partial = state.partial(&progress.partition, pane.clone());
                (progress.partition.clone(), panes::partial(&partial))
            }));
        }
        beat.heads.push(Head { progress, high: told.high, quiet: told.quiet });
    }

    /// Writes what has been noted. What can't be written is said anew the next time.
    pub(super) fn flush(&mut self, desk: &Desk) {
        let now = Instant::now();
        let mut failed = Vec::new();
        for (&model, beat) in &mut self.models {
            let heads = std::mem::take(&mut beat.heads);
            let open = std::mem::take(&mut beat.open);
            let is_due = beat.written.is_none_or(|at| now.duration_since(at) >= BEAT);
            if heads.is_empty() || !(beat.changed || is_due) {
                continue;
            }
            let name = desk.specs[model].name();
            match write(desk, (name, self.number), beat, heads, &open) {
                Ok(()) => {
                    beat.changed = false;
                    beat.written = Some(now);
                }
                Err(error) => {
                    warn!(model = name, %error, "how far it has come can't be written; trying again");
                    failed.push(model);
                }
            }
        }
        for ((model, _), told) in &mut self.partitions {
            if failed.contains(model) {
                told.progress = None;
            }
        }
    }
}

fn write(
    desk: &Desk,
    (name, number): (&str, usize),
    beat: &Beat,
    heads: Vec<Head>,
    open: &[(TopicPartition, PaneRecord)],
) -> Result<(), store::Error> {
    let Some(store) = desk.store.kafka() else { return Ok(()) };
    if !open.is_empty() {
        store.append_panes(name, beat.rules, open)?;
    }
    let (model, in_topic) = (name.to_owned(), beat.in_topic);
    let (name, rules) = (format!("{}/{number}", store.name()), beat.rules);
    store.append_progress(vec![Heads { model, rules, name, in_topic, heads }])
}
