//! How runs go: what a trigger has started is asked after until it has ended.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::client::with_causes;
use crate::decide::Delivery;
use crate::decide::RunState;
use crate::deliver::access::Caller;
use crate::deliver::plan;
use crate::deliver::provider::Of;
use crate::deliver::retry::Schedule;
use crate::deliver::webhook::Webhook;
use crate::setting::whole_ms;

/// What a receiver says of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) state: RunState,
    /// In its own word.
    pub(crate) word: String,
    /// A page for people.
    pub(crate) page: Option<String>,
    /// What the run is called from now on.
    pub(crate) run: String,
}

/// Something that people and the log are told of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) id: String,
    pub(crate) said: Said,
}

/// The runs that are asked after.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<Vec<Followed>>);

#[derive(Clone, Debug)]
struct Followed {
    delivery: Delivery,
    run: String,
    since_ms: i64,
    due_ms: i64,
    asked: u32,
    told: Option<RunState>,
}

impl Runs {
    /// A run that exists since `since_ms`, to be asked after from `due_ms` on.
    pub(crate) fn add(&self, delivery: &Delivery, run: &str, since_ms: i64, due_ms: i64) {
        let mut runs = self.lock();
        if runs.iter().all(|known| known.delivery.id != delivery.id) {
            runs.push(Followed {
                delivery: delivery.clone(),
                run: run.to_owned(),
                since_ms,
                due_ms,
                asked: 0,
                told: None,
            });
        }
    }

    pub(crate) fn forget(&self, id: &str) {
        self.lock().retain(|followed| followed.delivery.id != id);
    }

    pub(crate) fn forget_model(&self, model: &str) {
        self.lock().retain(|followed| followed.delivery.model != model);
    }

    /// When the next run is asked after, ms since the epoch.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        self.lock().iter().map(|followed| followed.due_ms).min()
    }

    /// Asks after the run that is due by the first clock; what is new of it. The second is the machine's.
    pub(crate) async fn ask(
        &self,
        webhook: &Webhook,
        client: &Client,
        schedule: &Schedule,
        (now_ms, wall_ms): (i64, i64),
    ) -> Option<News> {
        let due = self.lock().iter().find(|followed| followed.due_ms <= now_ms).cloned()?;
        let caller = webhook.caller(client, wall_ms);
        let asked = webhook.ask(caller, &due.delivery, &due.run).await;
        let id = due.delivery.id;
        let mut runs = self.lock();
        // It may have been closed while we waited.
        let followed = runs.iter_mut().find(|followed| followed.delivery.id == id)?;
        followed.due_ms = now_ms + whole_ms(wait(schedule, followed.asked));
        followed.asked = followed.asked.saturating_add(1);
        let waited_ms = now_ms - followed.since_ms;
        let news = match asked {
            Err(why) => {
                tracing::warn!(
                    id,
                    run = followed.run,
                    why,
                    "the pipeline does not say how the run goes"
                );
                None
            }
            // It waits for its turn.
            Ok(None) => None,
            Ok(Some(said)) => {
                followed.run.clone_from(&said.run);
                // One that was seen among the newest runs may be among them no more.
                let seen = followed.told == Some(RunState::Running) && webhook.lists_newest();
                let patient = said.state == RunState::Missing
                    && (seen || waited_ms < whole_ms(schedule.missing));
                let is_new = followed.told != Some(said.state) && !patient;
                if is_new {
                    followed.told = Some(said.state);
                }
                is_new.then_some(said)
            }
        };
        let ended = followed.told.is_some_and(RunState::is_final);
        if ended || waited_ms > whole_ms(schedule.max_age) {
            runs.retain(|followed| followed.delivery.id != id);
        }
        news.map(|said| News { id, said })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Followed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a run that was started just now is asked after.
pub(crate) fn first_ms(schedule: &Schedule, now_ms: i64) -> i64 {
    now_ms.saturating_add(whole_ms(schedule.ask.0))
}

/// Soon at first, when it may not be there yet, then less and less often.
fn wait(schedule: &Schedule, asked: u32) -> Duration {
    let (first, most) = schedule.ask;
    first.saturating_mul(1 << asked.min(16)).min(most)
}

impl Webhook {
    /// Runs are looked for among the newest ones only.
    fn lists_newest(&self) -> bool {
        self.plan.provider.confirm.as_ref().is_some_and(|confirm| matches!(confirm.of, Of::Ours(_)))
    }

    /// Asks the receiver how a run goes; `None` while it has only a place in a queue.
    ///
    /// # Errors
    /// It can't be asked, or gives no answer that can be understood.
    async fn ask(
        &self,
        caller: Caller<'_>,
        delivery: &Delivery,
        run: &str,
    ) -> Result<Option<Said>, String> {
        let confirm = self.plan.provider.confirm.as_ref().ok_or("it can't be asked")?;
        let missing = || {
            let (state, word, page) = (RunState::Missing, String::new(), None);
            Ok(Some(Said { state, word, page, run: run.to_owned() }))
        };
        let Some(mut found) = self.get_json(caller, delivery, confirm.url, run).await? else {
            return missing();
        };
        let listed = |list: &str| found.pointer(list).and_then(Value::as_array).cloned();
        let in_list = match confirm.of {
            Of::Itself => None,
            Of::First(list) => Some(listed(list).and_then(|runs| runs.into_iter().next())),
            Of::Ours(list) => Some(listed(list).and_then(|runs| {
                runs.into_iter().find(|run| run.to_string().contains(&delivery.announcement.id))
            })),
        };
        match in_list {
            None => {}
            Some(Some(run)) => found = run,
            Some(None) => return missing(),
        }
        let mut called = run.to_owned();
        if let Some(then) = confirm.then.and_then(|at| found.pointer(at)).and_then(plan::word) {
            called = then;
            let Some(next) = self.get_json(caller, delivery, confirm.url, &called).await? else {
                return missing();
            };
            found = next;
        }
        // A run has a state from its first moment on, be it null; a place in a queue has none.
        let is_queued =
            confirm.then.is_some() && confirm.state.iter().all(|at| found.pointer(at).is_none());
        let mut states = confirm.state.iter().filter_map(|at| found.pointer(at)?.as_str());
        let word = states.next().unwrap_or_default().to_owned();
        let cancelled = found.get("cancelled").and_then(Value::as_bool) == Some(true);
        let state = match &*word {
            word if confirm.succeeded.contains(&word) => RunState::Succeeded,
            word if confirm.failed.contains(&word) || cancelled => RunState::Failed,
            _ if is_queued => return Ok(None),
            _ => RunState::Running,
        };
        // Where it waited is no page of the run.
        let page = confirm.page.filter(|_| !is_queued).and_then(|at| found.pointer(at));
        Ok(Some(Said { state, word, page: page.and_then(plan::word), run: called }))
    }

    /// `None` where there is nothing.
    async fn get_json(
        &self,
        caller: Caller<'_>,
        delivery: &Delivery,
        url: &str,
        run: &str,
    ) -> Result<Option<Value>, String> {
        let url = self.plan.url(url, &delivery.announcement, Some(run))?;
        let mut request = self.get(url);
        request.headers.extend(self.confirm_headers().await?);
        let sent = self.access.send(caller, request).await.map_err(|answer| answer.detail)?;
        let response = sent.0.map_err(|why| with_causes(&why))?;
        match response.status {
            200..=299 => serde_json::from_slice(&response.body)
                .map(Some)
                .map_err(|why| format!("its answer is not JSON: {why}")),
            404 => Ok(None),
            status => Err(format!("it answered {status}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_asked_after_only_once_it_can_be_there() {
        assert_eq!(first_ms(&Schedule::default(), 1_000), 11_000);
        let first: Vec<u64> = (0..6).map(|n| wait(&Schedule::default(), n).as_secs()).collect();
        assert_eq!(first, [10, 20, 40, 80, 160, 300]);
    }
}
