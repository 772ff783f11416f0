//! librdkafka's own mock cluster: the broker of the demo and of the tests.
//!
//! It keeps the last 5 MiB or 100,000 batches of a partition, answers every look-up by time with the
//! end, and accepts but does not apply transactions.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::DeliveryResult;
use rdkafka::producer::Producer as _;
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use crate::kafka::Error;
use crate::kafka::consumer::log_line;
use crate::kafka::ffi;

/// One broker inside this process, on a free port of the loopback; gone on drop.
pub struct MockBroker {
    client: BaseProducer<Context>,
}

impl MockBroker {
    /// # Errors
    /// When librdkafka can't start its threads or listen.
    pub fn start() -> Result<Self, Error> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", "1").set_log_level(RDKafkaLogLevel::Error);
        let client: BaseProducer<Context> = config
            .create_with_context(Context::default())
            .map_err(|error| Error::Mock(error.to_string()))?;
        ffi::form_groups_at_once(client.client());
        Ok(Self { client })
    }

    /// What `kafka.brokers` is to be.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster(|cluster| Ok(cluster.bootstrap_servers())).unwrap_or_default()
    }

    /// # Errors
    /// When the topic exists already.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), Error> {
        self.cluster(|cluster| cluster.create_topic(name, partitions, 1))
    }

    /// Cuts every connection and refuses new ones, until `wake`.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn sleep(&self) -> Result<(), Error> {
        self.cluster(|cluster| cluster.broker_down(1))
    }

    /// # Errors
    /// When the cluster does not answer.
    pub fn wake(&self) -> Result<(), Error> {
        self.cluster(|cluster| cluster.broker_up(1))
    }

    /// Answers every request so late from now on.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn delay(&self, by: Duration) -> Result<(), Error> {
        self.cluster(|cluster| cluster.broker_round_trip_time(1, by))
    }

    fn cluster<T>(
        &self,
        ask: impl FnOnce(&rdkafka::mocking::MockCluster<'_, Context>) -> Result<T, KafkaError>,
    ) -> Result<T, Error> {
        let cluster = self.client.client().mock_cluster();
        let cluster = cluster.ok_or_else(|| Error::Mock("it is not running".to_owned()))?;
        ask(&cluster).map_err(|error| Error::Mock(error.to_string()))
    }
}

/// Writes records in batches, in order per partition.
pub struct Producer {
    client: BaseProducer<Context>,
}

/// The first record that could not be delivered.
#[derive(Default)]
struct Context {
    failed: Mutex<Option<String>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log_line(level, fac, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "producer");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            let what = || format!("{}-{}: {error}", message.topic(), message.partition());
            failed.get_or_insert_with(what);
        }
    }
}

impl Producer {
    /// # Errors
    /// When librdkafka can't make a client.
    pub fn connect(brokers: &str) -> Result<Self, Error> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "5")
            .set("batch.num.messages", "10000")
            // A batch that is flushed would wait for the acknowledgement of the one before.
            .set("socket.nagle.disable", "true")
            // One request at a time: a retry can't overtake.
            .set("max.in.flight.requests.per.connection", "1")
            .set_log_level(RDKafkaLogLevel::Error);
        let client = config
            .create_with_context(Context::default())
            .map_err(|error| Error::Mock(error.to_string()))?;
        Ok(Self { client })
    }

    /// Queues a record; waits while the queue is full. `payload: None` is a tombstone.
    ///
    /// # Errors
    /// When librdkafka does not take the record.
    pub fn produce(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        timestamp_ms: i64,
        payload: Option<&[u8]>,
    ) -> Result<(), Error> {
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(topic).partition(partition).timestamp(timestamp_ms);
        record.key = key;
        record.payload = payload;
        loop {
            match self.client.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.client.poll(Duration::from_millis(5));
                    record = back;
                }
                Err((error, _)) => {
                    return Err(Error::Mock(format!("{topic}-{partition}: {error}")));
                }
            }
        }
        self.client.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until everything queued is written.
    ///
    /// # Errors
    /// The first record that was not delivered, or that time ran out.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let until = Instant::now() + timeout;
        while self.client.in_flight_count() > 0 && Instant::now() < until {
            self.client.poll(Duration::from_millis(5));
        }
        let mut failed =
            self.client.context().failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.take() {
            Some(what) => Err(Error::Mock(format!("not delivered: {what}"))),
            None if self.client.in_flight_count() > 0 => {
                Err(Error::Mock(format!("not everything was written within {timeout:?}")))
            }
            None => Ok(()),
        }
    }
}
