//! Tells others: the retraining trigger and the people, each by a task of its own.
//!
//! `deliver` persists nothing and decides nothing. Whoever starts it owns the outbox: it hears of
//! every attempt before it is made and makes that durable, and of every outcome afterwards. A
//! target that is down never delays another; within a target each model's deliveries keep their
//! order.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::decide::Delivery;
use crate::decide::RunState;
use crate::deliver::lane::Lane;
use crate::deliver::lane::Runner;

mod access;
mod alertmanager;
mod answer;
mod credential;
mod follow;
mod github_app;
mod lane;
mod message;
mod notifiers;
mod opsgenie;
mod pagerduty;
mod plan;
mod poster;
mod preset;
mod provider;
mod queue;
mod retry;
mod rules;
mod sign;
mod slack;
mod target;
mod teams;
mod template;
mod trigger;
mod webhook;

pub use github_app::GithubApp;
pub use notifiers::{ACCEPTED, Alertmanager, Notifiers, Reader, Receiver, Slack, SlackChannel};
pub use preset::Preset;
pub use retry::Schedule;
pub use slack::parse_channel;
pub use target::{Error, Taken, Target, Tried, dry_render};
pub use trigger::{Address, AlreadyThere, Fault, SigningSecret, Trigger};

/// The wall clock, ms since the epoch.
pub type Clock = fn() -> i64;

/// A delivery that is durable and has no final outcome yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    pub delivery: Delivery,
    /// Attempts already made, by this process or one before it.
    pub attempts: u32,
    /// When the first of them was made.
    pub first_attempt_ms: Option<i64>,
    /// When another process began the last of them, if nobody has told its answer yet: that is waited for as
    /// long as it may come.
    pub unanswered_ms: Option<i64>,
}

/// What the owner of the outbox has to write down.
#[derive(Debug)]
pub enum Event {
    /// An attempt is about to be made. It waits for the answer: once the attempt is durable, when it was
    /// written down; `None` if the delivery was cancelled. Every attempt that was written down has one
    /// `Outcome`, unless the process dies or is shut down first.
    Attempting { id: String, target: String, n: u32, ack: oneshot::Sender<Option<Instant>> },
    Outcome {
        id: String,
        target: String,
        n: u32,
        at_ms: i64,
        /// HTTP status, where there was an answer.
        status: Option<u16>,
        result: Outcome,
        /// One line for people, without secrets.
        detail: String,
        /// What the receiver calls what it has taken: a run, a message.
        reference: Option<String>,
        /// With `Retry` and `SlowRetry`, unless it was cancelled meanwhile.
        next_attempt_ms: Option<i64>,
        elapsed: Duration,
    },
    /// What the receiver of a trigger says of the run that it has started.
    Run {
        id: String,
        target: String,
        state: RunState,
        /// In its own word.
        word: String,
        /// A page for people.
        page: Option<String>,
        /// What it calls the run from now on.
        run: String,
        at_ms: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    /// The receiver has had it: from an earlier attempt, or, at the first one, from an earlier life.
    AlreadyThere,
    /// Tried again by the schedule.
    Retry,
    /// Tried again slowly; someone has to act, so people are told at once.
    SlowRetry,
    /// The receiver will never take it.
    Stopped,
    /// No attempt succeeded in the schedule's greatest age.
    GaveUp,
    /// It was called back before it was sent.
    Cancelled,
}

impl Outcome {
    /// Whether nothing more will be tried.
    pub fn is_final(self) -> bool {
        match self {
            Outcome::Retry | Outcome::SlowRetry => false,
            Outcome::Accepted | Outcome::AlreadyThere => true,
            Outcome::Stopped | Outcome::GaveUp | Outcome::Cancelled => true,
        }
    }
}

/// Why a delivery was not taken; it stays in the outbox.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotTaken {
    #[error("{target} has {} deliveries waiting; it takes no more", queue::CAPACITY)]
    QueueFull { target: String },
    #[error("no target {target} is configured")]
    UnknownTarget { target: String },
}

/// The running targets.
pub struct Deliverer {
    lanes: BTreeMap<String, Arc<Lane>>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Deliverer {
    /// Starts a task for each target. Call it within a Tokio runtime.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "only the tasks keep a sender, so that the events end when they do"
    )]
    pub fn start(targets: Vec<Target>, events: mpsc::Sender<Event>, now_ms: Clock) -> Self {
        let stop = CancellationToken::new();
        let mut lanes = BTreeMap::new();
        let mut tasks = JoinSet::new();
        for target in targets {
            let name = target.name.clone();
            let lane = Arc::new(Lane::new(target, now_ms));
            lanes.insert(name, lane.clone());
            let (events, stop) = (events.clone(), stop.clone());
            tasks.spawn(Runner::new(lane, events, stop).run());
        }
        Self { lanes, tasks, stop }
    }

    /// Takes a durable delivery; one that already waits is not taken twice.
    ///
    /// # Errors
    /// The target's queue is full, or there is no such target.
    pub fn enqueue(&self, pending: Pending) -> Result<(), NotTaken> {
        let target = pending.delivery.target_name();
        match self.lanes.get(&target) {
            None => Err(NotTaken::UnknownTarget { target }),
            Some(lane) if lane.push(pending) => Ok(()),
            Some(_) => Err(NotTaken::QueueFull { target }),
        }
    }

    /// Tells a target of a message that it took from another process and that is not over: a run is
    /// followed on, an alert kept, a thread found again; what is to be done is due at once.
    pub fn recall(&self, told: &Taken) {
        if let Some(lane) = self.lanes.get(&told.delivery.target_name()) {
            lane.recall(told);
        }
    }

    /// Another process delivers what is of this model: nothing more is sent, asked or kept from here. A
    /// request that is on its way still gets its outcome; what its target then has to follow is to be
    /// forgotten by another call.
    pub fn forget_model(&self, model: &str) {
        self.lanes.values().for_each(|lane| lane.forget_model(model));
    }

    /// Makes no further attempt. One whose request is on its way still gets its outcome.
    pub fn cancel(&self, delivery_id: &str) {
        for lane in self.lanes.values() {
            lane.cancel(delivery_id);
        }
    }

    /// The deliveries that wait, by target.
    pub fn waiting(&self) -> impl Iterator<Item = (&str, usize)> {
        self.lanes.iter().map(|(target, lane)| (target.as_str(), lane.waiting()))
    }

    /// Begins nothing more at once; what is returned lets requests on their way finish until `deadline`, then
    /// drops them: the outbox still has them. Events must be taken meanwhile; they end when it does.
    pub fn shutdown(&mut self, deadline: Instant) -> impl Future<Output = ()> + use<> {
        self.stop.cancel();
        let mut tasks = mem::take(&mut self.tasks);
        async move {
            let finished = async { while tasks.join_next().await.is_some() {} };
            if tokio::time::timeout_at(deadline, finished).await.is_err() {
                tasks.shutdown().await;
            }
        }
    }
}
