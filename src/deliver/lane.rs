//! One target's task: wait for what is due, have the attempt made durable, send, tell the outcome.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deliver::Clock;
use crate::deliver::Event;
use crate::deliver::Outcome;
use crate::deliver::Pending;
use crate::deliver::answer::Answer;
use crate::deliver::follow::{News, Said};

use crate::deliver::queue::Queue;
use crate::deliver::queue::Settled;
use crate::deliver::queue::Step;
use crate::deliver::queue::Turn;
use crate::deliver::target::{Taken, Target};
use crate::deliver::webhook::Attempt;

/// The wall clock may be set while we wait for it, so it is looked at this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The half of a lane that the deliverer holds.
pub(crate) struct Lane {
    pub(crate) target: Target,
    /// Held for a moment only, never across an await.
    queue: Mutex<Queue>,
    changed: Notify,
    /// The machine's clock, for what others are told.
    now_ms: Clock,
    /// When it began, by the machine's clock and by one that nobody sets.
    began: (i64, Instant),
}

impl Lane {
    pub(crate) fn new(target: Target, now_ms: Clock) -> Self {
        let queue = Mutex::new(Queue::new(target.schedule.clone()));
        let began = (now_ms(), Instant::now());
        Self { target, queue, changed: Notify::new(), now_ms, began }
    }

    pub(crate) fn push(&self, pending: Pending) -> bool {
        let until_ms = pending.unanswered_ms.map(|begun_ms| self.answered_by_ms(begun_ms));
        let taken = self.queue().push(pending, until_ms);
        self.changed.notify_one();
        taken
    }

    /// When the answer to a request that another process has begun is there, or comes no more. Two machines'
    /// clocks tell how long ago that was: whatever they say, it is waited for neither longer than for one that
    /// begins now, nor in vain for one of long ago.
    fn answered_by_ms(&self, begun_ms: i64) -> i64 {
        let patience = self.target.schedule.fence + self.target.patience();
        let patience_ms = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        let ago_ms = (self.now_ms)().saturating_sub(begun_ms).clamp(0, patience_ms);
        self.steady_ms().saturating_add(patience_ms - ago_ms)
    }

    /// What things are due by, ms since the epoch if the machine's clock was right at the beginning. Where
    /// that is set back by a year, nothing waits a year.
    fn steady_ms(&self) -> i64 {
        let (began_ms, began) = self.began;
        began_ms.saturating_add(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    pub(crate) fn cancel(&self, id: &str) {
        self.queue().cancel(id);
        self.target.forget(id);
        self.changed.notify_one();
    }

    pub(crate) fn recall(&self, told: &Taken) {
        self.target.recall(told);
        self.changed.notify_one();
    }

    pub(crate) fn forget_model(&self, model: &str) {
        self.queue().forget_model(model);
        self.target.forget_model(model);
        self.changed.notify_one();
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue().len()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The half that runs.
pub(crate) struct Runner {
    lane: Arc<Lane>,
    events: Sender<Event>,
    stop: CancellationToken,
}

/// Nobody takes our events any more: there is nothing durable to do.
struct Deserted;

impl Runner {
    pub(crate) fn new(lane: Arc<Lane>, events: Sender<Event>, stop: CancellationToken) -> Self {
        Self { lane, events, stop }
    }

    /// The machine's clock.
    fn now_ms(&self) -> i64 {
        (self.lane.now_ms)()
    }

    /// Until stopped; an attempt that has begun is finished first.
    pub(crate) async fn run(self) {
        while let Some(turn) = self.turn().await {
            if self.attempt(turn).await.is_err() {
                return;
            }
        }
    }

    /// The next delivery that is due; `None` to stop.
    async fn turn(&self) -> Option<Turn> {
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            let now_ms = self.lane.steady_ms();
            let step = self.lane.queue().next(now_ms);
            let sleep = match step {
                Step::Send(turn) => return Some(turn),
                Step::Wait(at) => {
                    let wait = at.saturating_sub(now_ms).max(0).cast_unsigned();
                    Duration::from_millis(wait).min(LONGEST_SLEEP)
                }
                Step::Idle => LONGEST_SLEEP,
            };
            let due_in = self.lane.target.due_ms().map(|due_ms| due_ms.saturating_sub(now_ms));
            if due_in.is_some_and(|wait| wait <= 0) {
                self.see_to(now_ms).await?;
                continue;
            }
            let due_in = due_in.unwrap_or(i64::MAX).cast_unsigned();
            let sleep = sleep.min(Duration::from_millis(due_in));
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = self.lane.changed.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Sees to what is due beside deliveries; `None` to stop.
    async fn see_to(&self, now_ms: i64) -> Option<()> {
        let news = tokio::select! {
            () = self.stop.cancelled() => return None,
            news = self.lane.target.see_to(now_ms, self.now_ms()) => news,
        };
        let Some(News { id, said }) = news else { return Some(()) };
        let Said { state, word, page, run } = said;
        let target = self.lane.target.name.clone();
        let event = Event::Run { id, target, state, word, page, run, at_ms: self.now_ms() };
        self.events.send(event).await.ok()
    }

    async fn attempt(&self, turn: Turn) -> Result<(), Deserted> {
        let Turn { delivery, n, body } = turn;
        let id = delivery.id.clone();
        loop {
            let Some(written) = self.written(&id, n).await? else {
                self.lane.cancel(&id);
                return Ok(());
            };
            if written.elapsed() < self.lane.target.schedule.fence {
                break;
            }
        }
        let body = body.unwrap_or_else(|| self.lane.target.render(&delivery));
        let at_ms = self.now_ms();
        let begun = Instant::now();
        let (answer, Settled { result, next_ms }) =
            if self.lane.queue().begin(&id, &body, self.lane.steady_ms()) {
                let attempt = Attempt { n, now_ms: at_ms };
                let answer = self.lane.target.send(&delivery, body, attempt).await;
                let now_ms = self.lane.steady_ms();
                let settled = self.lane.queue().settle(&id, &answer, now_ms);
                if matches!(settled.result, Outcome::Accepted | Outcome::AlreadyThere) {
                    self.lane.target.taken(&delivery, answer.reference.as_deref(), now_ms);
                }
                (answer, settled)
            } else {
                let detail = "called back before it was sent".to_owned();
                let answer = Answer { detail, ..Answer::default() };
                (answer, Settled { result: Outcome::Cancelled, next_ms: None })
            };
        let event = Event::Outcome {
            id,
            target: self.lane.target.name.clone(),
            n,
            at_ms,
            status: answer.status,
            result,
            detail: answer.detail,
            reference: answer.reference,
            next_attempt_ms: next_ms
                .map(|at| self.now_ms().saturating_add(at - self.lane.steady_ms())),
            elapsed: begun.elapsed(),
        };
        self.events.send(event).await.map_err(|_| Deserted)
    }

    /// Asks for the attempt to be written down, and is told when that was begun: many may ask at once. `None`
    /// if it shall not be made after all.
    async fn written(&self, id: &str, n: u32) -> Result<Option<Instant>, Deserted> {
        let (ack, answer) = oneshot::channel();
        let target = self.lane.target.name.clone();
        let event = Event::Attempting { id: id.to_owned(), target, n, ack };
        let asked = async {
            self.events.send(event).await.map_err(|_| Deserted)?;
            answer.await.map_err(|_| Deserted)
        };
        tokio::select! {
            // Nothing was sent yet, so stopping here loses nothing.
            () = self.stop.cancelled() => Err(Deserted),
            written = asked => written,
        }
    }
}
