//! Copies of records that could not be used, on a topic of their own.
//!
//! Counting never waits for them: a copy that finds no room, or that the brokers refuse, is counted
//! and given up.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::producer::DeliveryResult;
use rdkafka::producer::Producer as _;
use rdkafka::producer::ProducerContext;
use rdkafka::producer::ThreadedProducer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::kafka;
use crate::kafka::Error;
use crate::kafka::consumer::log_line;
use crate::kafka::message::Original;
use crate::kafka::producer::shared;
use crate::kafka::renewal::Renewal;
use crate::kafka::token;
use crate::metrics::Metrics;
use crate::setting::ByteSize;

/// What a waiting copy costs beside its bytes.
const OVERHEAD: u64 = 512;
/// One line in so long says that copies are lost.
const LINE: Duration = Duration::from_secs(60);
/// The longest that librdkafka keeps a copy which no broker takes.
const LAST: Duration = Duration::from_secs(30);
/// The most that librdkafka lets a message be.
const MESSAGE_MAX: u64 = 1_000_000_000;

/// Where records that could not be used are copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The topic; it must exist and must be none that a model reads.
    pub topic: String,
    /// What may wait to be written. Beyond it copies are dropped, and counted.
    #[serde(default = "default_buffer")]
    pub buffer: ByteSize,
}

fn default_buffer() -> ByteSize {
    ByteSize(16 << 20)
}

/// Why a record is copied.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    pub model: &'a str,
    pub reason: &'a str,
    /// What a person should know beyond the reason.
    pub hint: Option<&'a str>,
}

/// What became of a copy. Closed: it is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written,
    /// The brokers did not take it in time, or never would.
    Failed,
    /// There was no room for it.
    Dropped,
}

impl Fate {
    const ALL: [Fate; 3] = [Fate::Written, Fate::Failed, Fate::Dropped];

    fn as_str(self) -> &'static str {
        match self {
            Fate::Written => "written",
            Fate::Failed => "failed",
            Fate::Dropped => "dropped",
        }
    }
}

/// Writes copies from any thread.
pub struct DeadLetters {
    kafka: kafka::Config,
    config: Config,
    metrics: Metrics,
    /// Made anew when a password or a certificate has changed.
    client: Mutex<Arc<ThreadedProducer<Context>>>,
    renewal: Mutex<Renewal>,
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters").field("topic", &self.config.topic).finish_non_exhaustive()
    }
}

impl DeadLetters {
    /// Brokers need not be there yet.
    ///
    /// # Errors
    /// Options that librdkafka refuses.
    pub fn connect(
        kafka: &kafka::Config,
        config: &Config,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        for fate in Fate::ALL {
            metrics.dead_letters(fate.as_str(), 0);
        }
        // Before the client: a file that changes between the two is then seen to have changed.
        let renewal = Mutex::new(Renewal::of(kafka));
        let client = Mutex::new(client(kafka, config, &metrics)?);
        Ok(Self { kafka: kafka.clone(), config: config.clone(), metrics, client, renewal })
    }

    /// The client to write with.
    fn client(&self) -> Arc<ThreadedProducer<Context>> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        if renewal.is_due(Instant::now()) {
            *renewal = Renewal::of(&self.kafka);
            match self::client(&self.kafka, &self.config, &self.metrics) {
                Ok(fresh) => retire(mem::replace(&mut *client, fresh)),
                Err(error) => tracing::error!(%error, "no new producer for dead letters"),
            }
        }
        client.clone()
    }

    /// Copies a record, with why and where from in headers behind its own. Never waits.
    pub fn copy(&self, record: &Original<'_>, topic: &str, partition: i32, verdict: Verdict<'_>) {
        let (key, payload, own) = (record.key(), record.payload(), record.headers());
        let own_bytes = own.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
        let bytes = key.map_or(0, <[u8]>::len) + payload.map_or(0, <[u8]>::len);
        let cost = (bytes + own_bytes.sum::<usize>()) as u64 + OVERHEAD;
        let client = self.client();
        let context = client.client().context();
        let before = context.waiting.fetch_add(cost, Ordering::AcqRel);
        if before.saturating_add(cost) > self.config.buffer.0 {
            context.end(cost, Fate::Dropped, "its buffer is full");
            return;
        }
        let (partition, offset) = (partition.to_string(), record.offset().to_string());
        let time = record.timestamp_ms().to_string();
        let ours = [
            ("driftd.reason", verdict.reason),
            ("driftd.model", verdict.model),
            ("driftd.topic", topic),
            ("driftd.partition", &partition),
            ("driftd.offset", &offset),
            ("driftd.time", &time),
            ("driftd.version", env!("CARGO_PKG_VERSION")),
        ];
        let mut headers = OwnedHeaders::new_with_capacity(own.len() + ours.len() + 1);
        for (name, value) in own {
            headers = headers.insert(Header { key: &name, value });
        }
        for (key, value) in ours {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        if let Some(hint) = verdict.hint {
            headers = headers.insert(Header { key: "driftd.hint", value: Some(hint) });
        }
        let mut copy: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(
            &self.config.topic,
            usize::try_from(cost).unwrap_or(usize::MAX),
        );
        (copy.key, copy.payload, copy.headers) = (key, payload, Some(headers));
        if let Err((error, _)) = client.send(copy) {
            context.end(cost, Fate::Dropped, &error.to_string());
        }
    }

    /// Waits for what is on its way, at most so long.
    pub fn flush(&self, timeout: Duration) {
        if let Err(error) = self.client().flush(timeout) {
            tracing::warn!(topic = self.config.topic, %error, "the last dead letters were not written");
        }
    }
}

fn client(
    kafka: &kafka::Config,
    config: &Config,
    metrics: &Metrics,
) -> Result<Arc<ThreadedProducer<Context>>, Error> {
    let mut client = shared(kafka)?;
    // A copy that comes twice does no harm; an idempotent producer can come to a state in which it
    // never writes again.
    client
        .set("enable.idempotence", "false")
        .set("linger.ms", "20")
        .set("message.timeout.ms", LAST.as_millis().to_string())
        .set("message.max.bytes", config.buffer.0.clamp(1_000, MESSAGE_MAX).to_string());
    let context = Context {
        tokens: token::Source::of(kafka),
        metrics: metrics.clone(),
        waiting: AtomicU64::new(0),
        told: Mutex::default(),
    };
    let made = client.create_with_context(context).map_err(|error| match error {
        KafkaError::ClientCreation(why) => Error::Combination(why),
        other => Error::Combination(other.to_string()),
    });
    made.map(Arc::new)
}

/// Lets a client write what it has taken, and end, while another one goes on.
fn retire(client: Arc<ThreadedProducer<Context>>) {
    let flushing = thread::Builder::new().name("dead-letters".to_owned()).spawn(move || {
        if let Err(error) = client.flush(LAST) {
            tracing::warn!(%error, "some dead letters were not written");
        }
    });
    if let Err(error) = flushing {
        tracing::warn!(%error, "some dead letters may not be written");
    }
}

/// What librdkafka calls back.
struct Context {
    tokens: token::Source,
    metrics: Metrics,
    /// Bytes on their way.
    waiting: AtomicU64,
    /// When it was last said that copies are lost.
    told: Mutex<Option<Instant>>,
}

impl Context {
    fn end(&self, cost: u64, fate: Fate, why: &str) {
        self.waiting.fetch_sub(cost, Ordering::AcqRel);
        self.metrics.dead_letters(fate.as_str(), 1);
        if fate == Fate::Written {
            return;
        }
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| now.duration_since(at) >= LINE) {
            *told = Some(now);
            tracing::warn!(why, "dead letters are lost; counting goes on");
        }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log_line(level, fac, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "dead letters");
    }

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.tokens.token().map_err(Into::into)
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, cost: usize) {
        match result {
            Ok(_) => self.end(cost as u64, Fate::Written, ""),
            Err((error, _)) => self.end(cost as u64, Fate::Failed, &error.to_string()),
        }
    }
}
