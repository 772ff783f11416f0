//! The producer of driftd's own topics: idempotent, in order per partition, acknowledged by every
//! replica that is in sync before a call returns.

use std::fmt;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::DeliveryResult;
use rdkafka::producer::Producer as _;
use rdkafka::producer::ProducerContext;
use rdkafka::producer::ThreadedProducer;
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use crate::kafka::Config;
use crate::kafka::Error;
use crate::kafka::consumer::log_line;
use crate::kafka::renewal::Renewal;
use crate::kafka::token;
use crate::kafka::trouble::refused;

/// A record that is larger is refused; the topics are created to take it.
pub const RECORD_MAX: usize = 8 << 20;
/// Nobody waits longer for an acknowledgement. Whether the record arrived is then unknown.
const PATIENCE: Duration = Duration::from_secs(10);
/// Behind librdkafka's own verdict.
const AFTER: Duration = Duration::from_secs(2);
/// After brokers did not answer, nobody waits for them again for so long: who has many things to write
/// waits once.
const REST: Duration = Duration::from_secs(2);
const QUEUE_FULL: Duration = Duration::from_millis(10);

/// What the clients of our own topics are told over what reading needs.
const SHIPPED: [(&str, &str); 7] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("compression.type", "zstd"),
    ("linger.ms", "5"),
    ("socket.keepalive.enable", "true"),
    ("log.connection.close", "false"),
    ("allow.auto.create.topics", "false"),
];
/// The user's options that are for every kind of client.
const SHARED: [&str; 13] = [
    "bootstrap.servers",
    "broker.address.",
    "client.",
    "enable.ssl.",
    "enable.sasl.",
    "https.",
    "metadata.",
    "reconnect.",
    "sasl.",
    "security.",
    "socket.",
    "ssl.",
    "debug",
];

/// One record for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub topic: String,
    pub partition: i32,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Writes records and waits for them. Threads may share it.
pub struct Producer {
    config: Config,
    /// Made anew when librdkafka says that it can't go on, and when a password or a certificate has changed.
    client: Mutex<Arc<ThreadedProducer<Context>>>,
    renewal: Mutex<Renewal>,
    /// Until when nothing is tried.
    resting: Mutex<Option<Instant>>,
}

/// Answers librdkafka and takes its acknowledgements.
pub(super) struct Context {
    pub(super) tokens: token::Source,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log_line(level, fac, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka, writing");
    }

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let token = self.tokens.token();
        if let Err(error) = &token {
            tracing::warn!(error, "Kafka, writing");
        }
        token.map_err(Into::into)
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Box<Slot>) {
        let outcome = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        slot.acks.settle(slot.index, outcome);
    }
}

/// Which record of which call an acknowledgement is for.
pub(super) struct Slot {
    acks: Arc<Acks>,
    index: usize,
}

/// The acknowledgements of one call.
struct Acks {
    outcomes: Mutex<Vec<Option<Result<i64, KafkaError>>>>,
    changed: Condvar,
}

impl Acks {
    fn settle(&self, index: usize, outcome: Result<i64, KafkaError>) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes[index] = Some(outcome);
        self.changed.notify_all();
    }

    /// Every offset, or the first error; a record without an answer at `until` has timed out.
    fn wait(&self, until: Instant) -> Result<Vec<i64>, KafkaError> {
        let timed_out = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        while outcomes.iter().any(Option::is_none) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(timed_out);
            }
            let waited = self.changed.wait_timeout(outcomes, left);
            outcomes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        outcomes.iter().map(|outcome| outcome.clone().unwrap_or(Err(timed_out.clone()))).collect()
    }
}

impl Producer {
    /// A client that connects in the background.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses.
    pub fn open(config: &Config) -> Result<Self, Error> {
        // Before the client: a file that changes between the two is then seen to have changed.
        let renewal = Mutex::new(Renewal::of(config));
        let client = Mutex::new(connect(config)?);
        Ok(Self { config: config.clone(), client, renewal, resting: Mutex::default() })
    }

    /// Writes all records, those of a partition in their order, and waits until all are durable.
    /// Returns their offsets.
    ///
    /// # Errors
    /// When one of them was not acknowledged in time: any of them may have been written all the same.
    pub fn write(&self, records: &[Outgoing]) -> Result<Vec<i64>, Error> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.is_some_and(|until| Instant::now() < until) {
            let cause = KafkaError::MessageProduction(RDKafkaErrorCode::AllBrokersDown);
            return Err(failed(records, cause));
        }
        *resting = None;
        drop(resting);
        self.renew();
        let until = Instant::now() + PATIENCE + AFTER;
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let acks = Arc::new(Acks {
            outcomes: Mutex::new((0..records.len()).map(|_| None).collect()),
            changed: Condvar::new(),
        });
        for (index, record) in records.iter().enumerate() {
            let slot = Box::new(Slot { acks: acks.clone(), index });
            if let Err(error) = send(&client, record, slot, until) {
                acks.settle(index, Err(error));
            }
        }
        acks.wait(until).map_err(|cause| {
            // What ended the client says more than that its queue was given up.
            let fatal = client.client().fatal_error();
            let cause = fatal.map_or(cause, |(code, _)| KafkaError::MessageProduction(code));
            self.replace(&client);
            if cause == KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut) {
                let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
                *resting = Some(Instant::now() + REST);
            }
            failed(records, cause)
        })
    }

    /// Puts another client in the place of one that will never write again.
    fn replace(&self, failed: &Arc<ThreadedProducer<Context>>) {
        let Some((code, reason)) = failed.client().fatal_error() else { return };
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&client, failed) {
            return;
        }
        tracing::warn!(%code, reason, "the producer can't go on; a new one is made");
        self.reconnect(&mut client);
    }

    /// Puts another client in the place of one that was made with files that have changed since. Who
    /// writes by the old one still does.
    fn renew(&self) {
        let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        if renewal.is_due(Instant::now()) {
            *renewal = Renewal::of(&self.config);
            tracing::info!(
                "passwords or certificates of Kafka have changed; a new producer is made"
            );
            self.reconnect(&mut self.client.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn reconnect(&self, client: &mut Arc<ThreadedProducer<Context>>) {
        match connect(&self.config) {
            Ok(fresh) => *client = fresh,
            Err(error) => tracing::error!(%error, "no new producer"),
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Producer")
    }
}

/// What every client of our own topics is told: ours, and those of the user's options that are not
/// only for consumers.
pub(super) fn shared(config: &Config) -> Result<ClientConfig, Error> {
    let reading = config.client_config()?;
    let mut client = ClientConfig::new();
    client.set_log_level(reading.log_level);
    for name in reading.config_map().into_keys() {
        if SHARED.iter().any(|shared| name.starts_with(shared))
            && let Some(value) = reading.get(name)
        {
            client.set(name, value);
        }
    }
    for (name, value) in SHIPPED {
        client.set(name, value);
    }
    Ok(client)
}

fn connect(config: &Config) -> Result<Arc<ThreadedProducer<Context>>, Error> {
    let mut client = shared(config)?;
    client
        .set("message.timeout.ms", PATIENCE.as_millis().to_string())
        .set("message.max.bytes", RECORD_MAX.to_string());
    let made = client.create_with_context(Context { tokens: token::Source::of(config) });
    made.map(Arc::new).map_err(|error| Error::Combination(error.to_string()))
}

fn failed(records: &[Outgoing], cause: KafkaError) -> Error {
    let place = records.first().map(|r| format!("{}-{}", r.topic, r.partition)).unwrap_or_default();
    let topic = records.first().map(|r| r.topic.as_str()).unwrap_or_default();
    let of_cluster =
        cause.rdkafka_error_code() == Some(RDKafkaErrorCode::ClusterAuthorizationFailed);
    refused(format!("write to {place}"), cause, || match of_cluster {
        true => format!(
            "Write on topic `{topic}`, and on brokers before 2.8 IdempotentWrite on the cluster"
        ),
        false => format!("Write on topic `{topic}`"),
    })
}

/// Queues a record; waits while the queue is full.
fn send(
    client: &ThreadedProducer<Context>,
    record: &Outgoing,
    slot: Box<Slot>,
    until: Instant,
) -> Result<(), KafkaError> {
    let mut queued = BaseRecord::with_opaque_to(&record.topic, slot)
        .partition(record.partition)
        .key(&record.key)
        .payload(&record.value);
    loop {
        match client.send(queued) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if Instant::now() < until =>
            {
                thread::sleep(QUEUE_FULL);
                queued = back;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::kafka::mock::MockBroker;

    use super::*;

    #[test]
    fn options_of_consumers_stay_with_consumers() {
        let mut config = Config::new(["kafka:9092"]);
        for (name, value) in [
            ("session.timeout.ms", "6000"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.username", "driftd"),
            ("sasl.password", "hunter2"),
        ] {
            config.options.insert(name.to_owned(), value.to_owned());
        }
        let client = shared(&config).unwrap();
        assert_eq!(client.get("session.timeout.ms"), None);
        assert_eq!(client.get("group.id"), None);
        assert_eq!(client.get("sasl.password"), Some("hunter2"));
        assert_eq!(client.get("acks"), Some("all"));
    }

    #[test]
    fn what_is_written_has_its_offset_and_what_is_not_an_error() {
        let broker = MockBroker::start().unwrap();
        broker.create_topic("own", 2).unwrap();
        let producer = Producer::open(&Config::new([broker.bootstrap_servers()])).unwrap();
        let to = |partition, value: &str| Outgoing {
            topic: "own".to_owned(),
            partition,
            key: b"k".to_vec(),
            value: value.as_bytes().to_vec(),
        };
        let written = producer.write(&[to(0, "a"), to(1, "b"), to(0, "c")]).unwrap();
        assert_eq!(written, [0, 0, 1]);
        let error = producer.write(&[to(7, "nowhere")]).unwrap_err().to_string();
        assert!(error.contains("write to own-7"), "{error}");
    }
}
