//! What waits for one target: in order per model, at most so much, and less often while it is down.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::decide::Delivery;
use crate::deliver::Outcome;
use crate::deliver::Pending;
use crate::deliver::answer::Answer;
use crate::deliver::retry;
use crate::deliver::retry::Failure;
use crate::deliver::retry::Next;
use crate::deliver::retry::Schedule;
use crate::deliver::rules::Judgement;
use crate::setting::whole_ms;

/// Deliveries that one target may have waiting.
pub(crate) const CAPACITY: usize = 1000;

/// The waiting deliveries of one target, and its circuit breaker. Synchronous: the task that sends
/// asks `next`, sends, and tells `settle`.
#[derive(Debug)]
pub(crate) struct Queue {
    schedule: Schedule,
    /// By model; only the first of each may be sent.
    models: BTreeMap<String, VecDeque<Item>>,
    len: usize,
    pushed: u64,
    /// In a row, over all models.
    failures: u32,
    last_failure_ms: i64,
}

#[derive(Debug)]
struct Item {
    delivery: Arc<Delivery>,
    order: u64,
    attempts: u32,
    first_ms: Option<i64>,
    due_ms: i64,
    /// Not to be asked sooner, even when the target is found to be up again.
    not_before_ms: i64,
    /// Answers so far that count towards a preset's cap.
    capped: u32,
    body: Option<Bytes>,
    in_flight: bool,
    cancelled: bool,
    /// It is due so late only because another process has asked, whose answer may still come.
    awaited: bool,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Send(Turn),
    /// Nothing before this time, ms since the epoch.
    Wait(i64),
    Idle,
}

/// A delivery whose attempt is next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) delivery: Arc<Delivery>,
    /// The number of the attempt, from 1.
    pub(crate) n: u32,
    /// What was sent before, if anything was.
    pub(crate) body: Option<Bytes>,
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) result: Outcome,
    pub(crate) next_ms: Option<i64>,
}

impl Queue {
    pub(crate) fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            models: BTreeMap::new(),
            len: 0,
            pushed: 0,
            failures: 0,
            last_failure_ms: 0,
        }
    }

    /// False if the queue is full. A delivery that is already waiting is not taken twice; one in flight
    /// that was cancelled is wanted again. Until `until_ms` another process may tell the answer to a request of
    /// its own; a repeat without it says that this wait is over.
    pub(crate) fn push(&mut self, pending: Pending, until_ms: Option<i64>) -> bool {
        if let Some(item) = self.find(&pending.delivery.id) {
            item.cancelled = false;
            if item.awaited && until_ms.is_none() {
                (item.awaited, item.due_ms, item.not_before_ms) = (false, 0, 0);
            }
            return true;
        }
        if self.len >= CAPACITY {
            return false;
        }
        self.len += 1;
        self.pushed += 1;
        let model = pending.delivery.model.clone();
        self.models.entry(model).or_default().push_back(Item {
            delivery: Arc::new(pending.delivery),
            order: self.pushed,
            attempts: pending.attempts,
            first_ms: pending.first_attempt_ms,
            due_ms: until_ms.unwrap_or(0),
            not_before_ms: until_ms.unwrap_or(0),
            capped: 0,
            body: None,
            in_flight: false,
            cancelled: false,
            awaited: until_ms.is_some(),
        });
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What is being sent cannot be called back: it gets its outcome, but no other attempt.
    pub(crate) fn cancel(&mut self, id: &str) {
        match self.find(id) {
            Some(item) if item.in_flight => item.cancelled = true,
            Some(_) => self.remove(id),
            None => {}
        }
    }

    /// `cancel` for everything of a model.
    pub(crate) fn forget_model(&mut self, model: &str) {
        if let Some(items) = self.models.get_mut(model) {
            items.retain(|item| item.in_flight);
            items.iter_mut().for_each(|item| item.cancelled = true);
        }
        self.tidy();
    }

    /// The first of some model that is due, earliest first; while the breaker is open, one in each
    /// probe interval.
    pub(crate) fn next(&self, now_ms: i64) -> Step {
        let heads = self.models.values().filter_map(VecDeque::front);
        let Some(item) = heads.min_by_key(|item| (item.due_ms, item.order)) else {
            return Step::Idle;
        };
        let at = match self.is_open() {
            true => item.due_ms.max(self.last_failure_ms + whole_ms(self.schedule.probe_interval)),
            false => item.due_ms,
        };
        if at > now_ms {
            return Step::Wait(at);
        }
        Step::Send(Turn {
            delivery: item.delivery.clone(),
            n: item.attempts + 1,
            body: item.body.clone(),
        })
    }

    /// The attempt is durable and begins now. False if it was cancelled in the meantime.
    pub(crate) fn begin(&mut self, id: &str, body: &Bytes, now_ms: i64) -> bool {
        let Some(item) = self.find(id) else { return false };
        item.attempts += 1;
        item.first_ms.get_or_insert(now_ms);
        item.body = Some(body.clone());
        (item.in_flight, item.awaited) = (true, false);
        true
    }

    /// Takes an attempt's answer and says what follows.
    pub(crate) fn settle(&mut self, id: &str, answer: &Answer, now_ms: i64) -> Settled {
        let done = |result| Settled { result, next_ms: None };
        let settled = match answer.judgement {
            Judgement::Accepted => done(Outcome::Accepted),
            Judgement::AlreadyThere => done(Outcome::AlreadyThere),
            Judgement::Stop => done(Outcome::Stopped),
            Judgement::Retry | Judgement::Slow => self.plan(id, answer, now_ms),
        };
        match answer.judgement {
            Judgement::Accepted | Judgement::AlreadyThere => self.succeeded(now_ms),
            Judgement::Stop | Judgement::Retry | Judgement::Slow => {
                self.failures = self.failures.saturating_add(1);
                self.last_failure_ms = now_ms;
            }
        }
        if settled.next_ms.is_none() {
            self.remove(id);
        }
        settled
    }

    fn plan(&mut self, id: &str, answer: &Answer, now_ms: i64) -> Settled {
        let schedule = self.schedule.clone();
        let slow = answer.judgement == Judgement::Slow;
        let again = if slow { Outcome::SlowRetry } else { Outcome::Retry };
        let Some(item) = self.find(id) else { return Settled { result: again, next_ms: None } };
        item.in_flight = false;
        if item.cancelled {
            return Settled { result: again, next_ms: None };
        }
        if let Some(cap) = answer.cap {
            item.capped += 1;
            if item.capped >= cap {
                return Settled { result: Outcome::Stopped, next_ms: None };
            }
        }
        let asked = answer.retry_after.as_deref();
        let retry_after = asked.and_then(|text| retry::parse_retry_after(text, now_ms));
        let first_ms = item.first_ms.unwrap_or(now_ms);
        let failure = Failure { n: item.attempts, first_ms, now_ms, slow, retry_after };
        match retry::next_attempt(&schedule, &failure, retry::jitter_of(id, item.attempts)) {
            Next::GiveUp => Settled { result: Outcome::GaveUp, next_ms: None },
            Next::At(at) => {
                item.due_ms = at;
                item.not_before_ms = if slow || retry_after.is_some() { at } else { now_ms };
                Settled { result: again, next_ms: Some(at) }
            }
        }
    }

    /// The target is up: what waits only because it was down need not wait for its hour.
    fn succeeded(&mut self, now_ms: i64) {
        if self.is_open() {
            for item in self.models.values_mut().filter_map(VecDeque::front_mut) {
                item.due_ms = item.due_ms.min(item.not_before_ms.max(now_ms));
            }
        }
        self.failures = 0;
    }

    fn is_open(&self) -> bool {
        self.failures >= self.schedule.breaker_failures
    }

    fn find(&mut self, id: &str) -> Option<&mut Item> {
        self.models.values_mut().flatten().find(|item| item.delivery.id == id)
    }

    fn remove(&mut self, id: &str) {
        for items in self.models.values_mut() {
            items.retain(|item| item.delivery.id != id);
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        self.models.retain(|_, items| !items.is_empty());
        self.len = self.models.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use crate::decide::Announcement;
    use crate::decide::Audience;
    use crate::decide::Kind;
    use crate::decide::announcement::Data;

    use super::*;

    const SECOND: i64 = 1000;

    fn pending(id: &str, model: &str) -> Pending {
        let data = Data { model: model.to_owned(), ..Data::default() };
        let announcement = Announcement {
            event_type: "driftd.drift.detected".to_owned(),
            id: id.to_owned(),
            timestamp: String::new(),
            data,
        };
        let delivery = Delivery {
            id: id.to_owned(),
            target: "slack".to_owned(),
            channel: Some("ml".to_owned()),
            model: model.to_owned(),
            kind: Kind::Triggered,
            audience: Audience::Ml,
            announcement,
        };
        Pending { delivery, attempts: 0, first_attempt_ms: None, unanswered_ms: None }
    }

    fn queue_of(deliveries: &[(&str, &str)]) -> Queue {
        let mut queue = Queue::new(Schedule { jitter: 0.0, ..Schedule::default() });
        for (id, model) in deliveries {
            assert!(queue.push(pending(id, model), None));
        }
        queue
    }

    fn answer(judgement: Judgement) -> Answer {
        Answer { judgement, ..Answer::misconfigured(String::new()) }
    }

    /// The id that would be sent now.
    fn ready(queue: &Queue, now_ms: i64) -> Option<String> {
        match queue.next(now_ms) {
            Step::Send(turn) => Some(turn.delivery.id.clone()),
            Step::Wait(_) | Step::Idle => None,
        }
    }

    fn attempt(queue: &mut Queue, id: &str, judgement: Judgement, now_ms: i64) -> Settled {
        assert_eq!(ready(queue, now_ms).as_deref(), Some(id));
        assert!(queue.begin(id, &Bytes::new(), now_ms));
        queue.settle(id, &answer(judgement), now_ms)
    }

    #[test]
    fn a_model_keeps_its_order_while_another_goes_on() {
        let mut queue = queue_of(&[("a1", "a"), ("a2", "a"), ("b1", "b")]);
        let failed = attempt(&mut queue, "a1", Judgement::Retry, 0);
        assert_eq!(failed, Settled { result: Outcome::Retry, next_ms: Some(5 * SECOND) });
        attempt(&mut queue, "b1", Judgement::Accepted, 0);
        assert_eq!(queue.next(SECOND), Step::Wait(5 * SECOND));
        attempt(&mut queue, "a1", Judgement::Accepted, 5 * SECOND);
        attempt(&mut queue, "a2", Judgement::Accepted, 5 * SECOND);
        assert_eq!(queue.next(5 * SECOND), Step::Idle);
    }

    #[test]
    fn five_failures_open_the_breaker_and_one_success_closes_it() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let mut queue = queue_of(&names.map(|name| (name, name)));
        for name in &names[..5] {
            attempt(&mut queue, name, Judgement::Retry, 0);
        }
        assert_eq!(queue.next(0), Step::Wait(60 * SECOND), "f waits for the probe interval");
        attempt(&mut queue, "f", Judgement::Retry, 60 * SECOND);
        assert_eq!(queue.next(60 * SECOND), Step::Wait(120 * SECOND));
        attempt(&mut queue, "g", Judgement::Accepted, 120 * SECOND);
        let mut sent = Vec::new();
        while let Some(id) = ready(&queue, 120 * SECOND) {
            attempt(&mut queue, &id, Judgement::Accepted, 120 * SECOND);
            sent.push(id);
        }
        assert_eq!(sent, ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn what_is_in_flight_is_finished_but_not_repeated_after_a_cancel() {
        let mut queue = queue_of(&[("a", "m"), ("b", "m")]);
        assert!(queue.begin("a", &Bytes::new(), 0));
        queue.cancel("a");
        let settled = queue.settle("a", &answer(Judgement::Retry), 0);
        assert_eq!(settled, Settled { result: Outcome::Retry, next_ms: None });
        assert_eq!(ready(&queue, 0).as_deref(), Some("b"));
        queue.cancel("b");
        assert!(!queue.begin("b", &Bytes::new(), 0));
        assert_eq!(queue.next(0), Step::Idle);
    }

    #[test]
    fn what_is_given_back_is_sent_from_here_only_once_it_is_ours_again() {
        let mut queue = queue_of(&[("a1", "a"), ("a2", "a"), ("b1", "b")]);
        assert!(queue.begin("a1", &Bytes::new(), 0));
        queue.forget_model("a");
        assert_eq!(queue.len(), 2, "one in flight, and what is of another model");
        let settled = queue.settle("a1", &answer(Judgement::Retry), 0);
        assert_eq!(settled, Settled { result: Outcome::Retry, next_ms: None });
        assert_eq!(ready(&queue, i64::MAX).as_deref(), Some("b1"));

        assert!(queue.push(pending("a1", "a"), None) && queue.begin("a1", &Bytes::new(), 0));
        queue.forget_model("a");
        assert!(queue.push(pending("a1", "a"), None), "ours again while its request is on its way");
        let settled = queue.settle("a1", &answer(Judgement::Retry), 0);
        assert_eq!(settled.next_ms, Some(5 * SECOND));
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn an_answer_that_may_have_started_something_is_not_asked_for_forever() {
        let mut queue = queue_of(&[("a", "m")]);
        let capped = Answer { cap: Some(2), ..answer(Judgement::Retry) };
        assert!(queue.begin("a", &Bytes::new(), 0));
        assert_eq!(queue.settle("a", &capped, 0).result, Outcome::Retry);
        assert!(queue.begin("a", &Bytes::new(), 5 * SECOND));
        assert_eq!(queue.settle("a", &capped, 5 * SECOND).result, Outcome::Stopped);
        assert_eq!(queue.next(i64::MAX), Step::Idle);
    }

    #[test]
    fn a_full_queue_refuses_and_a_repeat_is_not_taken_twice() {
        let mut queue = queue_of(&[]);
        for n in 0..CAPACITY {
            assert!(queue.push(pending(&n.to_string(), "m"), None));
        }
        assert!(!queue.push(pending("one more", "m"), None));
        assert!(queue.push(pending("0", "m"), None), "already there");
        assert_eq!(queue.len(), CAPACITY);
        attempt(&mut queue, "0", Judgement::Accepted, 0);
        assert!(queue.push(pending("one more", "m"), None));
        assert!(!queue.push(pending("two more", "m"), None));
    }

    #[test]
    fn after_a_restart_the_count_and_the_age_go_on() {
        let mut queue = Queue::new(Schedule { jitter: 0.0, ..Schedule::default() });
        let first = Some(0);
        let pending = Pending { attempts: 9, first_attempt_ms: first, ..pending("a", "m") };
        queue.push(pending, None);
        let late = 73 * 3600 * SECOND;
        let Step::Send(turn) = queue.next(late) else { panic!("due at once") };
        assert_eq!(turn.n, 10);
        assert_eq!(attempt(&mut queue, "a", Judgement::Retry, late).result, Outcome::GaveUp);
    }

    #[test]
    fn what_another_has_asked_is_sent_once_its_answer_is_told_or_comes_no_more() {
        let mut queue = queue_of(&[("b", "n")]);
        let asked = || Pending { attempts: 1, unanswered_ms: Some(0), ..pending("a", "m") };
        assert!(queue.push(asked(), Some(40 * SECOND)));
        // That the target is up says nothing of it.
        attempt(&mut queue, "b", Judgement::Accepted, SECOND);
        assert!(queue.push(asked(), Some(50 * SECOND)), "it is not put off again");
        assert_eq!(queue.next(SECOND), Step::Wait(40 * SECOND));
        assert_eq!(ready(&queue, 40 * SECOND).as_deref(), Some("a"));

        let told = || Pending { unanswered_ms: None, ..asked() };
        assert!(queue.push(told(), None));
        assert_eq!(ready(&queue, SECOND).as_deref(), Some("a"));
        let failed = attempt(&mut queue, "a", Judgement::Retry, SECOND);
        // Told again, it keeps the time of its own schedule.
        assert!(queue.push(told(), None));
        assert_eq!(Some(queue.next(SECOND)), failed.next_ms.map(Step::Wait));
    }
}
