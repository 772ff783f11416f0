//! `driftd demo`: the whole path on an embedded Kafka, told as it happens.
//!
//! The broker, the producer, the training pipeline and the people are the demo's; the daemon between
//! them is the one that `driftd run` starts, with a configuration file that can be read.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;
use serde_json::Value;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::cli::OK;
use crate::cli::demo::receiver::Webhook;
use crate::cli::demo::screen::Screen;
use crate::cli::demo::traffic::Cues;
use crate::cli::run::log_to_standard_error;
use crate::cli::run::stop_on_signal;
use crate::client::Client;
use crate::client::ClientConfig;
use crate::clock::now_ms;
use crate::config;
use crate::config::Log;
use crate::config::LogFormat;
use crate::config::LogLevel;
use crate::deliver::Schedule;
use crate::fetch::WorkerCommand;
use crate::kafka::mock::MockBroker;
use crate::pipeline;
use crate::pipeline::Addresses;
use crate::setting::MINUTE_MS;

mod receiver;
mod screen;
mod traffic;
mod trainer;

/// Minutes of event time that are there before the story begins: a whole window.
const HISTORY: i64 = 64;
const LOOK: Duration = Duration::from_millis(250);
/// How long the model is watched healthy before its world changes.
const HEALTHY: Duration = Duration::from_secs(4);
/// How long the "training" takes.
const TRAINING: Duration = Duration::from_secs(3);
/// The story is over well before; otherwise something is wrong, and is said.
const PATIENCE: Duration = Duration::from_secs(44);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stay up after the story, until interrupted.
    #[arg(long)]
    keep_running: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    log_to_standard_error(Log { format: LogFormat::Text, level: LogLevel::Warn });
    let folder = std::env::temp_dir().join(format!("driftd-demo-{}", std::process::id()));
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the demo's folder {}", folder.display()))?;
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let told = runtime.block_on(tell(args, &folder));
    runtime.shutdown_timeout(Duration::from_millis(200));
    fs::remove_dir_all(&folder)
        .with_context(|| format!("cannot remove the demo's folder {}", folder.display()))?;
    told.map(|()| OK)
}

async fn tell(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    let broker = MockBroker::start()?;
    broker.create_topic(traffic::TOPIC, traffic::PARTITIONS)?;
    let brokers = broker.bootstrap_servers();
    let (receiver, webhooks) = receiver::listen().await?;
    let reference = folder.join("reference.parquet");
    let start_ms = now_ms() / MINUTE_MS * MINUTE_MS - 8 * 60 * MINUTE_MS;
    trainer::train(&reference, false, start_ms)?;
    let text = configuration(&brokers, &reference, &format!("http://{receiver}/retrain"), folder);
    fs::write(folder.join("driftd.yaml"), &text)?;
    let loaded = match config::parse(&text, &|_| None) {
        Ok(loaded) => loaded,
        Err(faults) => bail!("the demo's own configuration is wrong: {faults:?}"),
    };

    let (shown, warnings) = (config::to_yaml(&loaded.shown()), loaded.alarming());
    let cues = Arc::new(Cues::default());
    let producer = {
        let (cues, brokers) = (cues.clone(), brokers.clone());
        thread::spawn(move || traffic::produce(&brokers, start_ms, HISTORY, &cues))
    };
    let stop = stop_on_signal()?;
    let (ready, addresses) = oneshot::channel();
    let daemon = tokio::spawn(pipeline::run(
        loaded.config,
        pipeline::Options {
            worker: WorkerCommand::current("demo")?,
            schedule: Schedule::default(),
            shown,
            file: None,
            warnings,
        },
        stop.clone(),
        move |addresses| {
            // Whoever waits has gone only if the story has ended.
            ready.send(addresses).ok();
        },
    ));
    let Ok(addresses) = addresses.await else {
        return daemon.await?.context("the daemon did not start");
    };
    let screen = Screen::new(started);
    screen.opening(&brokers, receiver, addresses, folder);
    let mut story = Story {
        client: Client::new(&ClientConfig::default())?,
        model: Url::parse(&format!("http://{}/api/v1/models/fraud", addresses.admin))?,
        screen,
        cues: cues.clone(),
        reference,
        webhooks,
        stop: stop.clone(),
        started,
    };
    let told = story.tell().await;
    if told.is_ok() && args.keep_running {
        cues.real_time.store(true, Ordering::Relaxed);
        story.screen.keep_running();
        stop.cancelled().await;
    }
    cues.stop.store(true, Ordering::Relaxed);
    stop.cancel();
    daemon.await??;
    if producer.join().is_err() {
        bail!("the demo's producer failed");
    }
    told
}

/// The configuration is an ordinary one: an hour's window in panes of a minute.
fn configuration(brokers: &str, reference: &Path, webhook: &str, folder: &Path) -> String {
    let (reference, state) = (reference.display(), folder.join("state"));
    format!(
        r#"kafka:
  brokers: "{brokers}"
  group: driftd-demo
  options: {{session.timeout.ms: 6000}}
models:
  - name: fraud
    topic: {topic}
    fields:
      features: /features
      prediction: /prediction
      event_time: {{pointer: /ts, unit: ms}}
    start: earliest
    pane: 1m
    lateness: 1m
    drift_config:
      window: 1h
      reference_dataset: "{reference}"
      thresholds: {{psi_alert: 0.1, psi_retrain: 0.2}}
      retraining_trigger:
        webhook: "{webhook}"
        allow_http: true
        secret: "whsec_ZHJpZnRkIGRlbW86IG5vdCBhIHNlY3JldCBhdCBhbGw="
state: {{dir: "{state}"}}
http: {{public: "127.0.0.1:0", admin: "127.0.0.1:0"}}
baselines: {{refresh_interval: 5s}}
"#,
        topic = traffic::TOPIC,
        state = state.display(),
    )
}

/// The chapters, in order; each ends when the daemon itself shows that it has happened.
struct Story {
    client: Client,
    model: Url,
    screen: Screen,
    cues: Arc<Cues>,
    reference: PathBuf,
    webhooks: mpsc::Receiver<Webhook>,
    stop: CancellationToken,
    started: Instant,
}

impl Story {
    async fn tell(&mut self) -> anyhow::Result<()> {
        self.until("healthy", |model| model["drift"] == "healthy").await?;
        self.watch(HEALTHY).await?;
        self.cues.drifted.store(true, Ordering::Relaxed);
        self.screen.chapter("the world changes: amounts are 2.5 times what they were");
        let drifted = self
            .until("drifted, with an incident", |model| {
                model["drift"] == "drifted" && model["incident"] != "none"
            })
            .await?;
        let incident = drifted["incident_id"].as_str().unwrap_or_default().to_owned();
        let webhook = tokio::time::timeout(Duration::from_secs(5), self.webhooks.recv()).await;
        let webhook = webhook.ok().flatten().context("no webhook arrived")?;
        self.screen.webhook(&webhook);
        if webhook.id != incident {
            bail!("the webhook is for {}, the incident is {incident}", webhook.id);
        }
        self.watch(TRAINING).await?;
        let end_ms = self.cues.event_ms.load(Ordering::Relaxed);
        trainer::train(&self.reference, true, end_ms)?;
        self.screen.chapter("retrained: the pipeline writes a new reference.parquet");
        let adopted = self
            .until("the new baseline taken up", |model| {
                model["baseline"]["digest"] != drifted["baseline"]["digest"]
            })
            .await?;
        self.screen.baseline(&adopted);
        let healed = self
            .until("healthy again", |model| {
                model["drift"] == "healthy" && model["incident"] == "none"
            })
            .await?;
        let extra = self.webhooks.try_recv().is_ok();
        if extra {
            bail!("a second webhook arrived for one drift");
        }
        self.screen.ending(&healed, &incident, self.started.elapsed());
        Ok(())
    }

    /// Shows what the daemon says until it says what is awaited.
    async fn until(
        &mut self,
        awaited: &str,
        there: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        loop {
            let model = self.look().await?;
            if there(&model) {
                return Ok(model);
            }
            if self.started.elapsed() > PATIENCE {
                bail!("gave up waiting for: {awaited}; the daemon says {model}");
            }
        }
    }

    async fn watch(&mut self, span: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.look().await?;
        }
        Ok(())
    }

    async fn look(&mut self) -> anyhow::Result<Value> {
        tokio::select! {
            () = self.stop.cancelled() => bail!("interrupted"),
            () = sleep(LOOK) => {}
        }
        let answer = self.client.get(&self.model, Duration::from_secs(2)).await?;
        let model: Value = serde_json::from_slice(&answer.body)
            .with_context(|| format!("the API answered {}", answer.status))?;
        self.screen.model(&model);
        Ok(model)
    }
}
