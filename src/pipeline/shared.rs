//! What replicas share, where they do: opened, begun with, and the threads that keep up with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::warn;

use crate::config::Config;
use crate::fetch::WorkerCommand;
use crate::http::Health;
use crate::kafka;
use crate::pipeline::BadInput;
use crate::pipeline::baselines;
use crate::pipeline::baselines::Stored;
use crate::pipeline::counted::Counted;
use crate::pipeline::desk::Desk;
use crate::pipeline::evaluate::model;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::follow;
use crate::pipeline::follow::Follow;
use crate::pipeline::ingest::Orders;
use crate::pipeline::snapshot;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::store;
use crate::store::Backend;
use crate::store::FileStore;
use crate::store::KafkaStore;
use crate::store::Store;
use crate::store::kafka::Newest;
use crate::store::kafka::record::Owner;

const NEWEST: Newest = Newest { state: snapshot::VERSION, test: model::VERSION };
/// Time between attempts to reach the brokers that have the state.
const AGAIN: Duration = Duration::from_secs(2);

/// Opens the directory, where the state is in one.
///
/// # Errors
/// `BadInput` for a directory that is not this user's; a disk that is full or can't be written at present.
pub(super) fn open_files(config: &Config) -> anyhow::Result<Option<Store>> {
    match config.state.backend {
        Backend::File => match FileStore::open(&config.state.dir) {
            Ok(store) => Ok(Some(Store::File(Box::new(store)))),
            Err(error @ store::Error::Directory { .. }) if !error.is_read_only() => {
                Err(BadInput(error.into()).into())
            }
            Err(error) => Err(error.into()),
        },
        Backend::Kafka => Ok(None),
    }
}

/// Opens the topics, once brokers answer; until then `health` says what is waited for.
///
/// # Errors
/// `BadInput` for topics that can't be used as they are; what brokers refuse.
pub(super) async fn open_topics(config: &Config, health: &Health) -> anyhow::Result<Store> {
    let brokers = config.kafka.brokers.join(",");
    health.waiting_for(vec![format!("the brokers that have the state are asked: {brokers}")]);
    loop {
        let (config, runtime) = (config.clone(), Handle::current());
        let open = move || {
            let (state, me) = (&config.state, me(&config));
            runtime.block_on(KafkaStore::open(state, &config.kafka, config.kept(), me, NEWEST))
        };
        match spawn_blocking(open).await? {
            Err(error) if error.is_unreachable() => {
                error!(%error, "the state can't be reached; trying again");
                health.waiting_for(vec![format!("the state can't be reached: {error}")]);
                tokio::time::sleep(AGAIN).await;
            }
            opened => return usable(opened),
        }
    }
}

/// Opens what the configuration names, as it is now.
///
/// # Errors
/// As `open_files` and `open_topics`, and brokers that are not there.
pub(super) async fn open(config: &Config) -> anyhow::Result<Store> {
    if let Some(store) = open_files(config)? {
        return Ok(store);
    }
    let (state, kafka, me) = (&config.state, &config.kafka, me(config));
    usable(KafkaStore::open(state, kafka, config.kept(), me, NEWEST).await)
}

fn usable(opened: Result<KafkaStore, store::Error>) -> anyhow::Result<Store> {
    match opened {
        Ok(store) => Ok(Store::Kafka(Box::new(store))),
        Err(error @ (store::Error::Topics { .. } | store::Error::NoTopics { .. })) => {
            Err(BadInput(error.into()).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// What people know this process by, and where they reach it.
fn me(config: &Config) -> Owner {
    let name = std::env::var("HOSTNAME").unwrap_or_default();
    let name = if name.is_empty() { format!("pid {}", std::process::id()) } else { name };
    let external = config.http.external_url.as_ref().map(ToString::to_string);
    Owner { name, address: external.unwrap_or_default() }
}

/// What a start finds.
pub(super) struct Begun {
    /// The baseline in force of each model.
    pub watched: Vec<Option<Watched>>,
    /// Why other replicas count a model otherwise.
    pub others: BTreeMap<usize, String>,
}

impl Begun {
    /// Of the baselines in force.
    pub(super) fn digests(&self) -> Vec<Option<String>> {
        self.watched.iter().map(|w| Some(w.as_ref()?.baseline.digest.clone())).collect()
    }

    /// Where a command has said that the baselines are.
    pub(super) fn places(&self) -> Vec<Option<String>> {
        self.watched.iter().map(|w| w.as_ref()?.place.clone()).collect()
    }
}

/// The baselines to begin with.
///
/// # Errors
/// `BadInput` for a baseline that is there but cannot be used; what is stored can't be read.
pub(super) async fn begin(
    config: &Config,
    store: &Store,
    specs: &[Spec],
    worker: &WorkerCommand,
) -> anyhow::Result<Begun> {
    match store {
        Store::File(store) => {
            let stored = Stored::load(store, specs)?;
            let watched = baselines::at_start(&config.baselines, specs, stored, worker).await?;
            Ok(Begun { watched, others: BTreeMap::new() })
        }
        Store::Kafka(store) => {
            let proposes = config.role.evaluates();
            let (watched, others) =
                follow::at_start(store, specs, &config.baselines, worker, proposes).await?;
            Ok(Begun { watched, others })
        }
    }
}

/// The threads that keep up with what replicas share.
pub(super) struct Sharing {
    stop: CancellationToken,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Sharing {
    /// Starts them; `None` where nothing is shared.
    ///
    /// `orders` lead to the ingest threads, `out` to evaluation, which goes on from what `begun` says.
    pub(super) fn start(
        config: &Config,
        desk: &Arc<Desk>,
        worker: WorkerCommand,
        orders: Option<Orders>,
        (out, begun): (Sender<Counted>, Begun),
    ) -> anyhow::Result<Option<Self>> {
        let Begun { watched: in_force, others } = begun;
        if desk.store.kafka().is_none() {
            return Ok(None);
        }
        let stop = CancellationToken::new();
        let (adopted, adoptions) = mpsc::channel();
        let evaluators: kafka::Config =
            config.kafka.in_group(&format!("{}.evaluate", config.kafka.group));
        desk.bar(!others.is_empty());
        let follow = Follow {
            desk: desk.clone(),
            store: desk.store.clone(),
            metrics: desk.metrics.clone(),
            orders,
            adopted,
            proposes: config.role.evaluates(),
            baselines: config.baselines.clone(),
            worker,
            evaluators: evaluators.clone(),
            stop: stop.clone(),
            others,
        };
        let runtime = Handle::current();
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        // Evaluation ends when nobody can tell it anything any more: with the last thread that could.
        let mut threads = Vec::new();
        if config.role.evaluates() {
            threads.push(thread("follow").spawn(move || follow.run(&runtime))?);
            let exchange = Exchange {
                desk: desk.clone(),
                store: desk.store.clone(),
                metrics: desk.metrics.clone(),
                kafka: evaluators,
                out,
                adopted: adoptions,
                in_force,
                stop: stop.clone(),
                held: BTreeMap::new(),
                refused: BTreeSet::new(),
                again: BTreeSet::new(),
                reread: BTreeMap::new(),
            };
            threads.push(thread("exchange").spawn(move || exchange.run())?);
        } else {
            let run = move || {
                let _out = out;
                follow.run(&runtime);
            };
            threads.push(thread("follow").spawn(run)?);
        }
        Ok(Some(Self { stop, threads }))
    }

    /// Leaves the group that evaluates, so that others take over at once.
    pub(super) async fn stop(self, deadline: Instant) {
        let Self { stop, threads } = self;
        stop.cancel();
        let joined = spawn_blocking(move || {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        if tokio::time::timeout_at(deadline, joined).await.is_err() {
            warn!(
                "what replicas share was not let go in time; others take over when the session ends"
            );
        }
    }
}
