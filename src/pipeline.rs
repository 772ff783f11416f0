//! Builds every stage, spawns it, waits, and shuts down in order: the only place where stages meet.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use thiserror::Error;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;

use crate::client::Client;
use crate::clock::now_ms;
use crate::config::Config;
use crate::config::Model;
use crate::decide::View;
use crate::deliver::Deliverer;
use crate::deliver::Schedule;
use crate::deliver::Target;
use crate::deliver::parse_channel;
use crate::fetch::WorkerCommand;
use crate::http;
use crate::http::Command;
use crate::http::Health;
use crate::http::Servers;
use crate::http::Shared;
use crate::kafka::dead_letter::DeadLetters;
use crate::metrics::Metrics;

use crate::pipeline::breaker::Breaker;
use crate::pipeline::configured::Configured;
use crate::pipeline::control::Control;
use crate::pipeline::desk::Desk;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::Inputs;
use crate::pipeline::evaluate::Parts;
use crate::pipeline::evaluate::log::IncidentLog;
use crate::pipeline::ingest::Order;
use crate::pipeline::ingest::Orders;
use crate::pipeline::shared::Begun;
use crate::pipeline::shared::Sharing;
use crate::pipeline::spec::Spec;
use crate::report::page::encode;

mod baselines;
mod beats;
mod breaker;
mod configured;
mod control;
mod counted;
mod desk;
mod evaluate;
mod exchange;
mod follow;
mod ingest;
mod panes;
mod profile;
mod publish;
pub mod replay;
mod settling;
mod shared;
#[cfg(test)]
mod simulator;
mod snapshot;
mod spec;
pub mod transfer;
pub mod tune;

/// Messages between two stages that may wait; a stage that is behind slows the one before it down.
const WAITING: usize = 64;
/// The whole shutdown is done in less than five seconds.
const SHUTDOWN: Duration = Duration::from_secs(4);
/// How long requests in flight are waited for at the end.
const FAREWELL: Duration = Duration::from_millis(500);
/// A start that is told to stop is waited for so long; what it holds then has no state.
const INTERRUPTED: Duration = Duration::from_millis(500);

/// Something that the user gave us cannot be used: exit code 78.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct BadInput(pub anyhow::Error);

/// What the caller may want otherwise than the daemon's own defaults.
pub struct Options {
    /// How a baseline worker is started.
    pub worker: WorkerCommand,
    pub schedule: Schedule,
    /// The configuration as it may be shown, for the page.
    pub shown: String,
    /// Its file, which a reload looks at again.
    pub file: Option<PathBuf>,
    /// How many things in it will not work as written.
    pub warnings: usize,
}

/// Where the running program can be reached.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

/// Runs until `stop`; `ready` is called once with the addresses that were bound, when all is running.
///
/// # Errors
/// `BadInput` for a configuration or baseline that cannot be used; anything else is a failure.
pub async fn run(
    config: Config,
    options: Options,
    stop: CancellationToken,
    ready: impl FnOnce(Addresses),
) -> anyhow::Result<()> {
    // Heard once all is running; until then it must not end the process, which is what it does by itself.
    drop(signal(SignalKind::hangup()).context("cannot listen to SIGHUP")?);
    // A task of its own: it may wait for brokers without looking up.
    let mut starting = tokio::spawn(start(config, options, stop.clone()));
    let started = tokio::select! {
        biased;
        started = &mut starting => started,
        () = stop.cancelled() => {
            starting.abort();
            // In this moment it may have finished.
            match tokio::time::timeout(INTERRUPTED, starting).await {
                Ok(Ok(Ok(running))) => Ok(Ok(running)),
                Ok(_) | Err(_) => {
                    info!("stopped before it had started");
                    return Ok(());
                }
            }
        }
    };
    let running = started.context("the start failed")??;
    let (public, admin) = (running.servers.public_addr(), running.servers.admin_addr());
    info!(%public, %admin, "started");
    ready(Addresses { public, admin });
    running.until(stop).await
}

async fn start(
    config: Config,
    options: Options,
    stop: CancellationToken,
) -> anyhow::Result<Running> {
    // First: a folder that another process has is told as such, not as an address in use.
    let files = shared::open_files(&config)?;
    let open = Open::new(&config, &options).await?;
    let (public, admin) = (open.servers.public_addr(), open.servers.admin_addr());
    info!(%public, %admin, "listening");
    let store = match files {
        Some(store) => Arc::new(store),
        None => Arc::new(shared::open_topics(&config, &open.health).await?),
    };
    open.health.waiting_for(vec!["the baselines are being read".to_owned()]);
    let begun = shared::begin(&config, &store, &open.specs, &options.worker).await?;
    // It may wait for brokers.
    let log = spawn_blocking(move || IncidentLog::open(store)).await??;
    Running::start(config, options, open, (log, begun), stop)
}

/// What is there before the state and the baselines are read, which may take minutes: whoever asks meanwhile
/// is answered.
struct Open {
    specs: Arc<Vec<Spec>>,
    metrics: Metrics,
    targets: Vec<Target>,
    health: Arc<Health>,
    view: watch::Sender<Arc<View>>,
    commanded: mpsc::Receiver<Command>,
    servers: Servers,
}

impl Open {
    async fn new(config: &Config, options: &Options) -> anyhow::Result<Self> {
        let (metrics, specs) = (Metrics::new(), Arc::new(specs(config)));
        specs.iter().for_each(|spec| metrics.expect_model(&spec.model.topic, spec.name()));
        metrics.config_loaded(options.warnings, now_ms());
        let targets = targets(config, &specs, &options.schedule)?;
        let health = Arc::new(Health::default());
        let (view, views) = watch::channel(Arc::new(View::default()));
        let (commands, commanded) = mpsc::channel(WAITING);
        let shared = Shared {
            view: views,
            metrics: metrics.clone(),
            health: health.clone(),
            commands,
            exported: config.metrics(),
            configuration: options.shown.as_str().into(),
        };
        let servers = http::serve(&config.http, shared).await.map_err(|e| BadInput(e.into()))?;
        Ok(Self { specs, metrics, targets, health, view, commanded, servers })
    }
}

/// Every stage, running.
struct Running {
    servers: Servers,
    orders: Orders,
    /// Of the threads that read records, where this process counts.
    reading: Option<thread::JoinHandle<()>>,
    /// What replicas share, where they do.
    sharing: Option<Sharing>,
    evaluating: JoinHandle<()>,
    /// Hold no state that has to be written: they just end.
    others: Vec<JoinHandle<()>>,
}

impl Running {
    /// From what is open, the log, and what was `begun` with, inside a runtime.
    fn start(
        config: Config,
        options: Options,
        open: Open,
        (log, begun): (IncidentLog, Begun),
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let Open { specs, metrics, targets, health, view, commanded, servers } = open;
        let store = log.store();
        let (deliveries, delivered) = mpsc::channel(WAITING);
        let (counted, counts) = mpsc::channel(WAITING);
        let (orders, ordered) = Orders::new(config.kafka.consumers);
        let (requests, requested) = mpsc::channel(WAITING);
        let evaluate = Evaluate::new(Parts {
            specs: specs.clone(),
            store: store.clone(),
            metrics: metrics.clone(),
            health: health.clone(),
            deliverer: Deliverer::start(targets, deliveries, now_ms),
            view,
            log,
        });
        let control = Control {
            config: config.clone(),
            specs: specs.clone(),
            worker: options.worker.clone(),
            metrics: metrics.clone(),
            digests: begun.digests(),
            adoptions: vec![None; specs.len()],
            places: begun.places(),
            orders: orders.clone(),
            requests,
            store: store.clone(),
            evaluates: config.role.evaluates(),
            configured: Configured::of(options.file, &options.shown),
        };
        let desk = Arc::new(Desk::new(specs, store, metrics.clone(), begun.watched.clone()));
        let to = config.role.counts().then(|| orders.clone());
        let breaker = Breaker::open(&config.state, options.worker.program.clone());
        let sharing = Sharing::start(&config, &desk, options.worker, to, (counted.clone(), begun))?;
        let parts = ingest::Parts {
            desk,
            dead_letters: dead_letters(&config, &metrics)?,
            kafka: config.kafka,
            out: sharing.is_none().then_some(counted),
            health: health.clone(),
            snapshot_interval: config.state.snapshot_interval.0,
            breaker: Arc::new(breaker),
        };
        let inputs = Inputs { counted: counts, deliveries: delivered, requests: requested };
        let reading = config.role.counts().then(|| spawn_ingest(parts, ordered)).transpose()?;
        health.waiting_for(Vec::new());
        Ok(Self {
            servers,
            orders,
            reading,
            sharing,
            evaluating: tokio::spawn(evaluate.run(inputs, SHUTDOWN)),
            others: vec![tokio::spawn(control.run(commanded, stop)), tokio::spawn(upkeep(metrics))],
        })
    }

    /// Waits for `stop`, then ends the stages in the order of the data: ingest with its last
    /// snapshot, evaluation, the targets, and the listeners last, so that the end can be scraped.
    async fn until(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = stop.cancelled() => None,
            ended = &mut self.evaluating => Some(ended),
        };
        info!("stopping");
        let deadline = Instant::now() + SHUTDOWN;
        let in_time = match self.reading {
            Some(reading) => stop_ingest(self.orders, reading, deadline).await,
            None => true,
        };
        if let Some(sharing) = self.sharing {
            sharing.stop(deadline).await;
        }
        self.others.iter().for_each(JoinHandle::abort);
        if let Some(ended) = ended {
            ended.context("evaluation failed")?;
            anyhow::bail!("ingest ended by itself; see the lines above");
        }
        match tokio::time::timeout_at(deadline, &mut self.evaluating).await {
            Ok(ended) => ended.context("evaluation failed")?,
            Err(_) => {
                self.evaluating.abort();
                warn!(
                    "evaluation did not finish in time; the next start goes on from the state, and sends \
                     again what was not answered"
                );
            }
        }
        self.servers.shutdown(FAREWELL).await;
        info!(in_time, "stopped");
        Ok(())
    }
}

fn spawn_ingest(
    parts: ingest::Parts,
    ordered: Vec<mpsc::Receiver<Order>>,
) -> io::Result<thread::JoinHandle<()>> {
    let thread = thread::Builder::new().name("ingest".to_owned());
    thread.spawn(move || ingest::run(&parts, ordered))
}

/// Tells ingest to stop and waits for its last snapshot.
async fn stop_ingest(orders: Orders, reading: thread::JoinHandle<()>, deadline: Instant) -> bool {
    if orders.send(Order::Stop).await.is_err() {
        warn!("ingest had stopped before");
    }
    let joined = spawn_blocking(move || reading.join());
    match tokio::time::timeout_at(deadline, joined).await {
        Ok(Ok(Ok(()))) => true,
        Ok(_) => {
            warn!("ingest failed; the next start goes on from its last snapshot");
            false
        }
        Err(_) => {
            warn!("ingest did not stop in time; the next start goes on from its last snapshot");
            false
        }
    }
}

async fn upkeep(metrics: Metrics) {
    let mut tick = interval(Duration::from_secs(5));
    loop {
        tick.tick().await;
        metrics.run_upkeep();
    }
}

fn dead_letters(config: &Config, metrics: &Metrics) -> anyhow::Result<Option<Arc<DeadLetters>>> {
    let Some(dead_letter) = &config.dead_letter else { return Ok(None) };
    let connected = DeadLetters::connect(&config.kafka, dead_letter, metrics.clone());
    Ok(Some(Arc::new(connected.map_err(|e| BadInput(e.into()))?)))
}

fn specs(config: &Config) -> Vec<Spec> {
    let spec = |model: &Model| {
        let trigger = model.drift_config.retraining_trigger.as_ref();
        let channel = trigger.and_then(|t| t.notification_channel.as_deref());
        let channel = channel.and_then(|text| parse_channel(text).ok());
        let url = config.http.external_url.as_ref();
        Spec {
            model: model.clone(),
            policy: model.policy(),
            trigger: trigger.map(|_| format!("retraining_trigger/{}", model.name)),
            people: config.notifiers.readers(channel),
            url: url.map(|url| format!("{url}/models/{}", encode(&model.name))),
        }
    };
    config.models.iter().map(spec).collect()
}

/// The targets that are configured.
fn targets(config: &Config, specs: &[Spec], schedule: &Schedule) -> anyhow::Result<Vec<Target>> {
    let mut targets: Vec<Target> = Vec::new();
    // Who only counts sends nothing, and needs no secrets for it.
    if !config.role.evaluates() {
        return Ok(targets);
    }
    let client = Client::new(&config.client).map_err(|e| BadInput(e.into()))?;
    for spec in specs {
        for reader in &spec.people {
            if targets.iter().all(|known| known.name() != reader.name()) {
                let target = Target::reader(reader, &config.notifiers, &client);
                let target = target.map_err(|e| BadInput(e.into()))?;
                targets.push(target.with_schedule(schedule.clone()));
            }
        }
        let Some(trigger) = &spec.model.drift_config.retraining_trigger else { continue };
        let target = Target::trigger(spec.name(), trigger, &client);
        targets.push(target.map_err(|e| BadInput(e.into()))?.with_schedule(schedule.clone()));
    }
    Ok(targets)
}
