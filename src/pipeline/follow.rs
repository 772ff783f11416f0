//! What all replicas count by: each model's spec, from the log that they share. A spec that this
//! configuration would count otherwise bars the process until nobody counts by it any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::clock::now_ms;
use crate::fetch;
use crate::fetch::WorkerCommand;
use crate::kafka;
use crate::metrics::Metrics;
use crate::pipeline::BadInput;
use crate::pipeline::baselines::check;
use crate::pipeline::baselines::location;
use crate::pipeline::baselines::tell_misfits;
use crate::pipeline::desk::Desk;
use crate::pipeline::ingest::Adoption;
use crate::pipeline::ingest::Order;
use crate::pipeline::ingest::Orders;
use crate::pipeline::profile;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::store::KafkaStore;
use crate::store::Store;
use crate::store::kafka::record::Spec as Agreed;
use crate::window::pane_start;
use crate::window::watermark::believable;

const LOOK: Duration = Duration::from_millis(200);
/// How often it is looked whether those who count otherwise are gone, and a missing baseline is tried.
const AGAIN: Duration = Duration::from_secs(5);
/// A new baseline counts from the pane behind this much event time: all replicas know of it by then.
const SLACK_MS: i64 = 10_000;

/// What a spec is to a configuration.
pub(super) enum Understood {
    Ours(Box<Watched>),
    /// Why it would be counted otherwise here.
    Other(String),
}

/// Reads a spec by a model's configuration.
///
/// # Errors
/// When a newer release wrote the baseline, or its bytes make no sense.
pub(super) fn understand(spec: &Spec, agreed: &Agreed) -> anyhow::Result<Understood> {
    let name = spec.name();
    anyhow::ensure!(
        agreed.version <= profile::VERSION,
        "the baseline of {name} was stored by a newer driftd (format {}, this one reads up to {})",
        agreed.version,
        profile::VERSION
    );
    let kept = profile::decode(&agreed.profile)
        .with_context(|| format!("the stored baseline of {name} makes no sense"))?;
    if kept.settings != profile::settings(&spec.model.overrides()) {
        let why = "the settings of its features differ".to_owned();
        return Ok(Understood::Other(why));
    }
    if let Some(topic) = kept.topic.filter(|topic| *topic != spec.model.topic) {
        let why = format!("its topic is {topic} there and {} here", spec.model.topic);
        return Ok(Understood::Other(why));
    }
    kept.baseline.check_zone()?;
    let place = kept.place.filter(|_| kept.configured == location(&spec.model));
    let watched = Watched::new(spec, Arc::new(kept.baseline), kept.active_from_ms);
    if watched.rules.hash != agreed.rules {
        let why = "fields, format, pane, lateness or max_record_bytes differ".to_owned();
        return Ok(Understood::Other(why));
    }
    Ok(Understood::Ours(Box::new(Watched { place, ..watched })))
}

/// Proposes that a model be counted by a baseline; what is in force afterwards may be another's.
pub(super) fn propose(store: &KafkaStore, spec: &Spec, watched: &Watched) -> anyhow::Result<()> {
    let seq = store.spec(spec.name()).map_or(1, |agreed| agreed.seq + 1);
    store.propose(Agreed {
        model: spec.name().to_owned(),
        seq,
        rules: watched.rules.hash,
        partitions: store.partitions(),
        version: profile::version(&watched.baseline),
        profile: profile::encode(&spec.model, watched),
    })?;
    Ok(())
}

/// The digest of the baseline that is in force for all replicas.
pub(super) fn agreed_digest(store: &KafkaStore, name: &str) -> Option<String> {
    let agreed = store.spec(name)?;
    Some(profile::decode(&agreed.profile).ok()?.baseline.digest)
}

/// From which pane on a new baseline counts, when records of a model have come to `furthest_ms`; a record
/// may say any time, so at most as far as the clock bears it out.
pub(super) fn active_from(furthest_ms: Option<i64>, now_ms: i64, pane_ms: i64) -> i64 {
    let furthest_ms = furthest_ms.map(|ms| believable(ms, now_ms));
    furthest_ms.map_or(i64::MIN, |ms| pane_start(ms + SLACK_MS, pane_ms) + pane_ms)
}

/// Keeps a process with what is in force.
pub(super) struct Follow {
    pub desk: Arc<Desk>,
    pub store: Arc<Store>,
    pub metrics: Metrics,
    /// To the ingest threads, where there are some.
    pub orders: Option<Orders>,
    /// To what reads the partials.
    pub adopted: mpsc::Sender<(usize, Option<Watched>)>,
    /// Whether this process may say what is counted by: it reads baselines.
    pub proposes: bool,
    pub baselines: fetch::Config,
    pub worker: WorkerCommand,
    /// As the group that evaluates knows its members.
    pub evaluators: kafka::Config,
    pub stop: CancellationToken,
    /// Why a model would be counted otherwise here.
    pub others: BTreeMap<usize, String>,
}

impl Follow {
    /// Until told to stop; blocks, so it has a thread of its own.
    pub(super) fn run(mut self, runtime: &Handle) {
        self.show();
        let mut tried = Instant::now();
        let mut failing: Option<String> = None;
        while !self.stop.is_cancelled() {
            let store = self.store.clone();
            let Some(store) = store.kafka() else { return };
            match store.new_specs(Duration::ZERO) {
                Ok(models) => {
                    models.iter().for_each(|model| self.follow(store, model));
                    // What was in the way may have been taken away.
                    if failing.take().is_some() {
                        self.show();
                    }
                }
                Err(error) => {
                    self.desk.bar(true);
                    let why = error.to_string();
                    if failing.as_ref() != Some(&why) {
                        error!(%error, "what is counted by can't be followed: nothing is counted");
                        failing = Some(why);
                    }
                }
            }
            if self.proposes && tried.elapsed() >= AGAIN {
                tried = Instant::now();
                self.fill(store, runtime);
            }
            thread::sleep(LOOK);
        }
    }

    /// A spec has changed.
    fn follow(&mut self, store: &KafkaStore, name: &str) {
        let Some(model) = self.desk.specs.iter().position(|spec| spec.name() == name) else {
            return;
        };
        let Some(agreed) = store.spec(name) else { return };
        match understand(&self.desk.specs[model], &agreed) {
            Ok(Understood::Ours(watched)) => {
                self.others.remove(&model);
                let same = self.desk.watched(model).is_some_and(|known| {
                    known.rules.hash == watched.rules.hash
                        && known.baseline.digest == watched.baseline.digest
                });
                if !same {
                    self.adopt(model, *watched);
                }
            }
            Ok(Understood::Other(why)) => drop(self.others.insert(model, why)),
            Err(error) => drop(self.others.insert(model, format!("{error:#}"))),
        }
        self.show();
    }

    fn adopt(&self, model: usize, watched: Watched) {
        info!(
            model = self.desk.specs[model].name(),
            digest = watched.baseline.digest,
            active_from_ms = watched.rules.active_from_ms,
            "a baseline is in force for all replicas"
        );
        match &self.orders {
            Some(orders) => {
                let order = Order::Adopt(Arc::new(Adoption::decided(model, watched.clone())));
                if orders.blocking_send(&order).is_err() {
                    return;
                }
            }
            None => self.desk.watch(model, watched.clone()),
        }
        // Nobody reads partials in a process that only counts.
        self.adopted.send((model, Some(watched))).ok();
    }

    /// Bars or frees the process, and says why.
    fn show(&self) {
        for (model, spec) in self.desk.specs.iter().enumerate() {
            let other = self.others.get(&model);
            self.metrics.config_mismatch(spec.name(), other.is_some());
            if let Some(why) = other {
                error!(
                    model = spec.name(),
                    why,
                    "config_mismatch: other replicas count this model otherwise; this one counts and decides nothing until they are gone, or this configuration is theirs"
                );
            }
        }
        let barred = !self.others.is_empty();
        if barred != self.desk.is_barred() {
            info!(barred, "counting");
        }
        self.desk.bar(barred);
    }

    /// Models that nobody counts, or whom nobody counts any more as was agreed.
    fn fill(&mut self, store: &KafkaStore, runtime: &Handle) {
        for model in 0..self.desk.specs.len() {
            let spec = self.desk.specs[model].clone();
            let known = store.spec(spec.name());
            if known.is_some() && !self.others.contains_key(&model) {
                continue;
            }
            let furthest_ms = match &known {
                None => None,
                Some(agreed) if self.is_abandoned() => match furthest(store, &spec, agreed) {
                    Ok(furthest_ms) => furthest_ms,
                    Err(error) => {
                        warn!(
                            model = spec.name(),
                            error = format!("{error:#}"),
                            "it can't be told how far it has come"
                        );
                        continue;
                    }
                },
                Some(_) => continue,
            };
            let from = active_from(furthest_ms, now_ms(), spec.model.pane.as_ms());
            let load = built(&self.baselines, &spec, from, &self.worker);
            let proposed =
                runtime.block_on(load).and_then(|watched| propose(store, &spec, &watched));
            if let Err(error) = proposed {
                error!(
                    model = spec.name(),
                    error = format!("{error:#}"),
                    "no baseline; trying again"
                );
                self.metrics.baseline_refresh_failed(spec.name());
            }
        }
    }

    /// Whether nobody evaluates: those who count otherwise would.
    fn is_abandoned(&self) -> bool {
        match kafka::members(&self.evaluators) {
            Ok(members) => members == 0,
            Err(error) => {
                warn!(%error, "it can't be told whether other replicas are there");
                false
            }
        }
    }
}

/// Reads the configured baseline of a model.
async fn built(
    config: &fetch::Config,
    spec: &Spec,
    active_from_ms: i64,
    worker: &WorkerCommand,
) -> anyhow::Result<Watched> {
    let place = location(&spec.model);
    let baseline = fetch::load(config, place, &spec.model.overrides(), worker).await?;
    check(spec, &baseline)?;
    tell_misfits(&spec.model, &baseline);
    Ok(Watched::new(spec, Arc::new(baseline), active_from_ms))
}

/// The highest event time that is known of a model, by whomever it was counted.
fn furthest(store: &KafkaStore, spec: &Spec, agreed: &Agreed) -> anyhow::Result<Option<i64>> {
    let wanted = BTreeMap::from([(agreed.model.clone(), agreed.rules)]);
    let read = store.assemble(store.place(&agreed.model), wanted)?;
    let heads = read.assembly.models.values().flat_map(|model| &model.heads);
    let frontiers = heads.flat_map(|h| &h.heads).filter_map(|head| head.progress.frontier_ms);
    // Their lateness may have been another; none is longer than both together.
    let lateness = spec.model.lateness.as_ms();
    Ok(frontiers.max().map(|frontier| frontier + lateness))
}

/// The baselines that are in force at a start, by model, and why a model is counted otherwise
/// elsewhere. Where nothing is agreed on yet, the configured baseline is proposed.
///
/// # Errors
/// `BadInput` for a baseline that is there but cannot be used; brokers that do not answer.
pub(super) async fn at_start(
    store: &KafkaStore,
    specs: &[Spec],
    config: &fetch::Config,
    worker: &WorkerCommand,
    proposes: bool,
) -> anyhow::Result<(Vec<Option<Watched>>, BTreeMap<usize, String>)> {
    store.read_specs()?;
    for spec in specs.iter().filter(|spec| proposes && store.spec(spec.name()).is_none()) {
        match fetch::load(config, location(&spec.model), &spec.model.overrides(), worker).await {
            Ok(baseline) => {
                check(spec, &baseline).map_err(BadInput)?;
                tell_misfits(&spec.model, &baseline);
                propose(store, spec, &Watched::new(spec, Arc::new(baseline), i64::MIN))?;
            }
            Err(error) if error.is_unreachable() => {
                error!(model = spec.name(), %error, "the baseline can't be reached; trying again, the other models run");
            }
            Err(error) => {
                let context = format!("model {}: the baseline can't be used", spec.name());
                return Err(BadInput(anyhow::Error::new(error).context(context)).into());
            }
        }
    }
    let (mut watched, mut others) = (Vec::new(), BTreeMap::new());
    for (model, spec) in specs.iter().enumerate() {
        let understood = store.spec(spec.name()).map(|agreed| understand(spec, &agreed));
        watched.push(match understood.transpose()? {
            Some(Understood::Ours(watched)) => Some(*watched),
            Some(Understood::Other(why)) => {
                others.insert(model, why);
                None
            }
            None => None,
        });
    }
    // What has just been read is no news.
    store.new_specs(Duration::ZERO)?;
    Ok((watched, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_baseline_counts_from_a_whole_pane_ahead() {
        let now_ms = 1_000_000;
        assert_eq!(active_from(None, now_ms, 60_000), i64::MIN);
        assert_eq!(active_from(Some(0), now_ms, 60_000), 60_000);
        assert_eq!(active_from(Some(50_000), now_ms, 60_000), 120_000);
        assert_eq!(active_from(Some(100), now_ms, 1_000), 11_000);
    }

    #[test]
    fn one_record_of_years_ahead_puts_no_baseline_off() {
        let now_ms = 1_800_000_000_000;
        let from = active_from(Some(now_ms + 10 * 365 * 86_400_000), now_ms, 60_000);
        assert_eq!(from, now_ms + 6 * 60_000);
    }
}
