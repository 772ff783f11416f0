//! The control plane, per pane: merge -> compare -> decide -> record -> deliver.
//!
//! Select, then apply: one task owns everything here, and `apply` neither waits nor reads a clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tracing::warn;

use crate::clock::now_ms;
use crate::decide::CloseReason;
use crate::decide::View;
use crate::decide::record::Record;
use crate::deliver;
use crate::deliver::Deliverer;
use crate::http::Health;
use crate::metrics::Metrics;
use crate::pipeline::counted::Counted;
use crate::pipeline::evaluate::log::IncidentLog;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::spec::Spec;
use crate::setting::whole_ms;
use crate::store::Store;

mod checks;
mod decide;
mod deliveries;
mod dry;
mod ends;
mod faults;
mod incidents;
mod lag;
pub(super) mod log;
pub(super) mod model;
mod outputs;
mod owned;
pub(super) mod quality;
mod remember;
mod score;
mod show;
mod tell;
mod trouble;
mod warnings;

/// How often the clock is looked at: idle partitions, stale models, views.
const TICK: Duration = Duration::from_millis(200);

/// What a person asks of an incident; answered with what happened, or why not.
#[derive(Debug)]
pub(super) enum Request {
    Close {
        id: String,
        closed_as: CloseReason,
        by: String,
        reply: oneshot::Sender<Closing>,
    },
    /// Where a model stands, or where it is evaluated.
    Stand {
        model: usize,
        reply: oneshot::Sender<Result<Standing, String>>,
    },
    /// A model's present faults are drift after all.
    Accept {
        model: String,
        by: String,
        reply: oneshot::Sender<Accepting>,
    },
}

/// What became of a request to accept a model's faults as drift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Accepting {
    /// What was accepted.
    Done(String),
    Unknown,
    NoFault,
    /// The log can't be written.
    NotDurable,
    /// Another replica evaluates the model: where that is.
    Elsewhere(String),
}

/// What became of a request to close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    Done,
    Unknown,
    AlreadyClosed,
    /// The log can't be written.
    NotDurable,
    /// Another replica evaluates the model: where that is.
    Elsewhere(String),
}

/// Where a model stands, for whoever brings it a new baseline.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// The highest event time that is known of it.
    pub furthest_ms: Option<i64>,
}

/// Everything that can happen to evaluation.
#[derive(Debug)]
enum Event {
    Counted(Counted),
    /// The ingest thread has ended: nothing more will be counted.
    IngestEnded,
    Delivery(deliver::Event),
    Asked(Request),
    Tick,
}

/// Where events come from.
pub(super) struct Inputs {
    pub counted: mpsc::Receiver<Counted>,
    pub deliveries: mpsc::Receiver<deliver::Event>,
    pub requests: mpsc::Receiver<Request>,
}

pub(super) struct Evaluate {
    specs: Arc<Vec<Spec>>,
    store: Arc<Store>,
    metrics: Metrics,
    health: Arc<Health>,
    deliverer: Deliverer,
    view: watch::Sender<Arc<View>>,
    log: IncidentLog,
    models: Vec<ModelEvaluator>,
    /// What could not be written although it has happened, and since when something waits for the log or a queue.
    unwritten: Vec<Record>,
    waiting: Option<Instant>,
    /// Triggers of which was said that their target is not configured.
    unknown: BTreeSet<String>,
    dirty: bool,
    /// By how much the machine's clock has been set since the start: no incident is older for it.
    clock_moved_ms: i64,
}

/// What evaluation is built from.
pub(super) struct Parts {
    pub specs: Arc<Vec<Spec>>,
    pub store: Arc<Store>,
    pub metrics: Metrics,
    pub health: Arc<Health>,
    pub deliverer: Deliverer,
    pub view: watch::Sender<Arc<View>>,
    pub log: IncidentLog,
}

impl Evaluate {
    pub(super) fn new(parts: Parts) -> Self {
        let now = Instant::now();
        // Where replicas share the models, those that are ours come one by one.
        let owned = parts.store.file().is_some();
        let models = parts.specs.iter().map(|spec| {
            let mut model = ModelEvaluator::new(spec.clone(), now);
            model.owned = owned;
            model
        });
        let models = models.collect();
        let mut evaluate = Self {
            specs: parts.specs,
            store: parts.store,
            metrics: parts.metrics,
            health: parts.health,
            deliverer: parts.deliverer,
            view: parts.view,
            log: parts.log,
            models,
            unwritten: Vec::new(),
            waiting: None,
            unknown: BTreeSet::new(),
            dirty: true,
            clock_moved_ms: 0,
        };
        if owned {
            evaluate.recall(|_| true);
        }
        evaluate.send_pending();
        // Readers that come before the first tick find every model.
        evaluate.publish();
        evaluate
    }

    /// Runs until ingest has ended and what targets were asked last has been answered, for which it has
    /// `patience`.
    pub(super) async fn run(mut self, mut inputs: Inputs, patience: Duration) {
        let began = (Instant::now(), now_ms());
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                biased;
                Some(event) = inputs.deliveries.recv() => Event::Delivery(event),
                Some(request) = inputs.requests.recv() => Event::Asked(request),
                _ = tick.tick() => Event::Tick,
                counted = inputs.counted.recv() => {
                    counted.map_or(Event::IngestEnded, Event::Counted)
                }
            };
            let now = (Instant::now(), now_ms());
            self.clock_moved_ms = now.1 - began.1 - whole_ms(now.0 - began.0);
            let is_last = matches!(event, Event::IngestEnded);
            self.apply(event, now);
            if is_last {
                return self.finish(inputs.deliveries, now.0 + patience).await;
            }
        }
    }

    /// Begins nothing more; the outcome of what is on its way is in the log when this returns, or the next
    /// process would send it again.
    async fn finish(mut self, mut deliveries: mpsc::Receiver<deliver::Event>, deadline: Instant) {
        let ended = self.deliverer.shutdown(deadline);
        let written = async {
            while let Some(event) = deliveries.recv().await {
                self.delivered(event, now_ms());
            }
        };
        tokio::join!(ended, written);
    }

    fn apply(&mut self, event: Event, (now, now_ms): (Instant, i64)) {
        match event {
            Event::Counted(counted) => self.counted(counted, now, now_ms),
            Event::Delivery(event) => self.delivered(event, now_ms),
            Event::Asked(request) => self.asked(request, now_ms),
            Event::Tick => {
                self.health.evaluate_turned(now_ms);
                self.follow_log();
                self.write_again(now);
                for model in 0..self.models.len() {
                    self.dirty |= self.models[model].look_at_clock(now, now_ms);
                    self.close_panes(model, now_ms);
                    self.release_held(model, now_ms);
                    self.tell_warnings(model, now_ms);
                    self.watch_quality(model, (now, now_ms));
                    self.tell_lag(model, now_ms);
                    self.tell_faults(model, now_ms);
                    self.tell_checks(model, now_ms);
                }
                // Whichever way it was set: rather too late than too soon.
                self.age_incidents(now_ms.min(now_ms - self.clock_moved_ms));
                self.end_stories(now_ms);
                self.publish();
            }
            Event::IngestEnded => self.publish(),
        }
    }

    fn counted(&mut self, counted: Counted, now: Instant, now_ms: i64) {
        let model = match counted {
            Counted::Adopted { model, watched } => {
                self.adopt(model, watched, now_ms);
                model
            }
            Counted::Assigned { model, partitions, in_topic } => {
                for (progress, high) in partitions {
                    self.models[model].assign(progress, high, now);
                }
                self.models[model].measure(in_topic, now);
                model
            }
            Counted::Partials { model, partials } => {
                partials.into_iter().for_each(|partial| self.models[model].merge.add(partial));
                model
            }
            Counted::Progress { model, progress, open, quiet } => {
                open.into_iter().for_each(|partial| self.models[model].merge.add(partial));
                progress
                    .into_iter()
                    .for_each(|(p, high)| self.models[model].progress(p, high, now));
                quiet.iter().for_each(|partition| self.models[model].quiet(partition));
                model
            }
            Counted::Revoked { model, partitions } => {
                partitions.iter().for_each(|partition| self.models[model].revoke(partition));
                self.models[model].measure(None, now);
                model
            }
            Counted::Taken { model, taken } => {
                self.take(model, *taken, (now, now_ms));
                model
            }
            Counted::Heard { model, progress, quiet, in_topic } => {
                if self.models[model].owned {
                    progress
                        .into_iter()
                        .for_each(|(p, high)| self.models[model].hear(p, high, now));
                    quiet.iter().for_each(|partition| self.models[model].quiet(partition));
                    self.models[model].measure(in_topic, now);
                }
                model
            }
            Counted::Sealed { model, seal, sum } => {
                self.models[model].merge.freeze(seal, sum);
                self.models[model].sealing = None;
                model
            }
            Counted::Released { models } => {
                self.release(&models, now);
                self.dirty = true;
                return;
            }
            Counted::Failed { error } => {
                warn!(error, "the source failed");
                return;
            }
        };
        self.dirty = true;
        self.close_panes(model, now_ms);
        self.release_held(model, now_ms);
        self.tell_warnings(model, now_ms);
    }
}

#[cfg(test)]
mod tests;
