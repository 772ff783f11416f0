//! What the ingest threads of one process share: whose partition is whose, orders that all of them
//! carry out at the same time, and whether each of them still turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;

use crate::baseline::Baseline;
use crate::clock::now_ms;
use crate::offsets::TopicPartition;
use crate::pipeline::spec::Watched;

/// How often a thread that waits for others looks whether they are still there.
const LOOK: Duration = Duration::from_millis(50);
/// Orders that may wait for a thread.
const WAITING: usize = 64;

/// What control tells ingest.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Take up a baseline; live records are counted by it from the next pane on.
    Adopt(Arc<Adoption>),
    Stop,
}

/// Gives every ingest thread the same orders.
#[derive(Clone, Debug)]
pub(crate) struct Orders(Vec<mpsc::Sender<Order>>);

impl Orders {
    /// Orders for so many threads, and where each finds its own.
    pub(crate) fn new(threads: usize) -> (Self, Vec<mpsc::Receiver<Order>>) {
        let (senders, receivers) = (0..threads.max(1)).map(|_| mpsc::channel(WAITING)).unzip();
        (Self(senders), receivers)
    }

    /// As `send`, from a thread that may wait.
    ///
    /// # Errors
    /// When a thread has ended; all end then.
    pub(crate) fn blocking_send(&self, order: &Order) -> Result<(), SendError<Order>> {
        self.0.iter().try_for_each(|thread| thread.blocking_send(order.clone()))
    }

    /// # Errors
    /// When a thread has ended; all end then.
    pub(crate) async fn send(&self, order: Order) -> Result<(), SendError<Order>> {
        for thread in &self.0 {
            thread.send(order.clone()).await?;
        }
        Ok(())
    }
}

/// A baseline that all threads take up together: none counts on before it is known behind which
/// record of all their partitions it is in force.
#[derive(Debug)]
pub(crate) struct Adoption {
    pub(super) model: usize,
    pub(super) baseline: Arc<Baseline>,
    /// All replicas have agreed on it, and from which pane on it counts.
    pub(super) decided: Option<Watched>,
    /// Where it came from, if not from the configured place.
    pub(super) place: Option<String>,
    met: Mutex<Met>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Met {
    threads: usize,
    highest_ms: Option<i64>,
    /// Whether it is in force.
    outcome: Option<bool>,
}

impl Adoption {
    pub(crate) fn new(model: usize, baseline: Arc<Baseline>, place: Option<String>) -> Self {
        let (met, done) = (Mutex::default(), Condvar::new());
        Self { model, baseline, decided: None, place, met, done }
    }

    /// Of what is in force for all replicas.
    pub(crate) fn decided(model: usize, watched: Watched) -> Self {
        let adoption = Self::new(model, watched.baseline.clone(), None);
        Self { decided: Some(watched), ..adoption }
    }

    /// Whether all have met and it is not in force: the disk has refused it.
    pub(crate) fn was_refused(&self) -> bool {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.outcome == Some(false)
    }

    /// Waits until every thread is here. The last one puts the baseline in force, told the highest
    /// event time that any of them has read; all are told whether it did.
    pub(super) fn meet(
        &self,
        crew: &Crew,
        highest_ms: Option<i64>,
        put_in_force: impl FnOnce(Option<i64>) -> bool,
    ) -> bool {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.threads += 1;
        met.highest_ms = met.highest_ms.max(highest_ms);
        if met.threads == crew.size() {
            let done = put_in_force(met.highest_ms);
            met.outcome = Some(done);
            self.done.notify_all();
            return done;
        }
        loop {
            if let Some(done) = met.outcome {
                return done;
            }
            if crew.is_over() {
                return false;
            }
            let waited = self.done.wait_timeout(met, LOOK);
            met = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The threads of one process.
pub(super) struct Crew {
    /// When each last turned, ms since the epoch.
    turned: Vec<AtomicI64>,
    /// One has ended, so all do.
    over: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Which thread has a partition.
    partitions: BTreeMap<TopicPartition, usize>,
    /// The highest event time in partitions that were given up, by model.
    left_behind: BTreeMap<usize, i64>,
}

impl Crew {
    pub(super) fn new(size: usize) -> Self {
        let now = now_ms();
        Self {
            turned: (0..size).map(|_| AtomicI64::new(now)).collect(),
            over: AtomicBool::new(false),
            held: Mutex::default(),
        }
    }

    pub(super) fn size(&self) -> usize {
        self.turned.len()
    }

    /// A thread has turned; when the one did that has not for the longest.
    pub(super) fn turned(&self, thread: usize, now_ms: i64) -> i64 {
        self.turned[thread].store(now_ms, Ordering::Relaxed);
        let turned = self.turned.iter().map(|turned| turned.load(Ordering::Relaxed));
        turned.min().unwrap_or(now_ms)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a partition for a thread; false while another has it, which has yet to write its state.
    pub(super) fn claim(&self, partition: &TopicPartition, thread: usize) -> bool {
        let mut held = self.held();
        match held.partitions.get(partition) {
            Some(&holder) => holder == thread,
            None => {
                held.partitions.insert(partition.clone(), thread);
                true
            }
        }
    }

    /// The thread's state of a partition is written; `highest_ms` are its event times, by model.
    pub(super) fn release(
        &self,
        partition: &TopicPartition,
        thread: usize,
        highest_ms: impl Iterator<Item = (usize, i64)>,
    ) {
        let mut held = self.held();
        for (model, ms) in highest_ms {
            let known = held.left_behind.entry(model).or_insert(ms);
            *known = ms.max(*known);
        }
        if held.partitions.get(partition) == Some(&thread) {
            held.partitions.remove(partition);
        }
    }

    /// The thread has left the group.
    pub(super) fn release_all(&self, thread: usize) {
        self.held().partitions.retain(|_, holder| *holder != thread);
    }

    /// The highest event time of a model in partitions that were given up.
    pub(super) fn left_behind(&self, model: usize) -> Option<i64> {
        self.held().left_behind.get(&model).copied()
    }

    /// Tells how many partitions of a topic all threads have; nobody takes or gives one meanwhile.
    pub(super) fn tell_assigned(&self, topic: &str, tell: impl FnOnce(usize)) {
        let held = self.held();
        tell(held.partitions.keys().filter(|partition| *partition.topic == *topic).count());
    }
}

/// Ends the others with the thread that holds it, also when that panics.
pub(super) struct Present<'a>(pub(super) &'a Crew);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn partition(n: i32) -> TopicPartition {
        TopicPartition::new("t", n)
    }

    #[test]
    fn a_partition_has_one_thread_at_a_time() {
        let crew = Crew::new(2);
        assert!(crew.claim(&partition(0), 0) && crew.claim(&partition(0), 0));
        assert!(!crew.claim(&partition(0), 1));
        crew.release(&partition(0), 1, std::iter::empty());
        assert!(!crew.claim(&partition(0), 1), "only its holder gives it up");
        crew.release(&partition(0), 0, [(3, 70), (3, 50)].into_iter());
        assert!(crew.claim(&partition(0), 1) && crew.claim(&partition(1), 1));
        assert_eq!((crew.left_behind(3), crew.left_behind(0)), (Some(70), None));
        crew.tell_assigned("t", |n| assert_eq!(n, 2));
        crew.release_all(1);
        crew.tell_assigned("t", |n| assert_eq!(n, 0));
    }

    #[test]
    fn the_thread_that_is_stuck_is_the_one_that_is_told() {
        let crew = Crew::new(2);
        let now = now_ms() + 1_000;
        let stuck = crew.turned(0, now);
        assert!(stuck < now);
        assert_eq!(crew.turned(1, now + 5), now);
    }

    fn adoption() -> Adoption {
        Adoption::new(0, Arc::new(Baseline::of(Vec::new())), None)
    }

    #[test]
    fn a_baseline_is_put_in_force_once_when_all_are_there() {
        let crew = Crew::new(3);
        for outcome in [true, false] {
            let adoption = adoption();
            let calls = Mutex::new(Vec::new());
            let answers: Vec<bool> = thread::scope(|scope| {
                let meet = |highest| {
                    let (adoption, crew, calls) = (&adoption, &crew, &calls);
                    scope.spawn(move || {
                        adoption.meet(crew, highest, |all| {
                            calls.lock().unwrap().push(all);
                            outcome
                        })
                    })
                };
                let threads = [meet(Some(5)), meet(None), meet(Some(9))];
                threads.map(|thread| thread.join().unwrap()).into()
            });
            assert_eq!(answers, [outcome; 3]);
            assert_eq!(calls.into_inner().unwrap(), [Some(9)]);
        }
    }

    #[test]
    fn nobody_waits_for_a_thread_that_has_ended() {
        let (crew, adoption) = (Crew::new(2), adoption());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| adoption.meet(&crew, None, |_| true));
            drop(Present(&crew));
            assert!(!waiting.join().unwrap());
        });
    }
}
