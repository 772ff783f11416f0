//! The settings that we ship, the options that are ours alone, and librdkafka's judgement of the rest.

use std::fs;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::client::Client;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaType;
use tracing::Level;

use crate::kafka::Config;
use crate::kafka::Error;

/// Shipped for both group protocols; the user's options go over them.
const SHIPPED: [(&str, &str); 17] = [
    ("client.id", "driftd"),
    // A snapshot may have moved since: an offset out of range is an event to us, never a silent jump.
    ("auto.offset.reset", "error"),
    // Offsets live inside the state; the group's are only for people who watch lag.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("allow.auto.create.topics", "false"),
    // Input may be transactional: what was aborted never happened.
    ("isolation.level", "read_committed"),
    ("check.crcs", "true"),
    // Bounds memory: with every partition forwarded to one queue this is the bound for all of them.
    ("queued.max.messages.kbytes", "32768"),
    // Five batches ahead of the reader.
    ("queued.min.messages", "20000"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.max.bytes", "16777216"),
    // A full queue makes the fetcher wait this long before it looks again. librdkafka's default of
    // 1000 ms starves a reader that is nearly as fast as the fetcher (measured: a tenth of the
    // speed, benches/README.md); in 5 ms no reader empties the queue above.
    ("fetch.queue.backoff.ms", "5"),
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("socket.keepalive.enable", "true"),
    ("log.connection.close", "false"),
    ("max.poll.interval.ms", "300000"),
];

/// Only with the classic group protocol.
const CLASSIC: [(&str, &str); 2] =
    [("partition.assignment.strategy", "cooperative-sticky"), ("session.timeout.ms", "45000")];

const OFFSETS: &str =
    "driftd keeps offsets inside its own state and decides itself where to resume";
const CONNECTION: &str = "use kafka.brokers";
const ALREADY: &str = "it is how driftd reads; there is nothing to choose";
const BROKER_SIDE: &str = "with group.protocol=consumer the broker decides it";

const OAUTH: &str = "use kafka.oauth, by which driftd itself asks the endpoint";

const INSTANCE: &str = "group.instance.id";
const ONE_INSTANCE: &str = "with kafka.consumers above 1 several members would have the same";

/// Options that are ours, and why.
const OWNED: [(&str, &str); 25] = [
    ("auto.offset.reset", "use `start:` of the model; an offset out of range is counted as lost"),
    ("enable.auto.commit", OFFSETS),
    ("auto.commit.enable", OFFSETS),
    ("auto.commit.interval.ms", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("offset.store.method", OFFSETS),
    ("offset.store.path", OFFSETS),
    ("offset.store.sync.interval.ms", OFFSETS),
    ("bootstrap.servers", CONNECTION),
    ("metadata.broker.list", CONNECTION),
    ("group.id", "use kafka.group"),
    ("enable.partition.eof", ALREADY),
    ("log.queue", ALREADY),
    ("enabled_events", ALREADY),
    ("allow.auto.create.topics", "driftd never creates the topics that it reads"),
    ("consume.callback.max.messages", ALREADY),
    ("plugin.library.paths", "driftd loads no foreign code"),
    ("test.mock.num.brokers", "`driftd demo` has an embedded Kafka"),
    ("test.mock.broker.rtt", "`driftd demo` has an embedded Kafka"),
    ("sasl.oauthbearer.method", OAUTH),
    ("sasl.oauthbearer.client.id", OAUTH),
    ("sasl.oauthbearer.client.secret", OAUTH),
    ("sasl.oauthbearer.scope", OAUTH),
    ("sasl.oauthbearer.token.endpoint.url", OAUTH),
    ("enable.sasl.oauthbearer.unsecure.jwt", "use kafka.oauth_token_file or kafka.oauth"),
];

/// Refused beside `group.protocol=consumer`.
const CLASSIC_ONLY: [&str; 4] = [
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
    "group.protocol.type",
];

const HIDDEN: [&str; 6] =
    ["password", "secret", "passphrase", "key.pem", "oauthbearer.config", "private.key"];

/// Bookkeeping of librdkafka per queued message beside its bytes.
const BYTES_PER_MESSAGE: u64 = 512;

/// Whether an option's value must never be shown.
fn is_secret(name: &str) -> bool {
    HIDDEN.iter().any(|part| name.contains(part)) && !name.ends_with(".location")
}

/// An option's value as it may be shown. The path of a `_file` is no secret.
pub(super) fn shown<'a>(name: &str, value: &'a str) -> &'a str {
    if is_secret(name) && secret_file(name).is_none() { "***" } else { value }
}

/// `sasl.password_file` gives `sasl.password`.
fn secret_file(name: &str) -> Option<&str> {
    name.strip_suffix("_file").filter(|base| is_secret(base))
}

/// Files that librdkafka, or we for it, read when a client is made.
pub(super) fn files(config: &Config) -> Vec<PathBuf> {
    let named = config.options.iter().filter(|(name, _)| {
        secret_file(name).is_some() || name.starts_with("ssl.") && name.ends_with(".location")
    });
    named.map(|(_, path)| PathBuf::from(path)).collect()
}

fn is_kip848(config: &Config) -> bool {
    config.options.get("group.protocol").is_some_and(|p| p.eq_ignore_ascii_case("consumer"))
}

/// Whether assignments come as differences. Told from the options: asking the client can hang while
/// it closes.
pub(super) fn is_cooperative(config: &Config) -> bool {
    let strategy = config.options.get("partition.assignment.strategy");
    is_kip848(config) || strategy.is_none_or(|s| s.contains("cooperative"))
}

/// Whether the broker wants a bearer token.
pub(super) fn needs_token(config: &Config) -> bool {
    let mechanism =
        config.options.get("sasl.mechanisms").or_else(|| config.options.get("sasl.mechanism"));
    mechanism.is_some_and(|m| m.eq_ignore_ascii_case("OAUTHBEARER"))
}

/// Options that the user may not set.
pub(super) fn refused(config: &Config) -> Vec<Error> {
    let kip848 = is_kip848(config);
    let why = |name: &str| {
        let owned = OWNED.iter().find(|(owned, _)| *owned == name).map(|(_, why)| *why);
        owned
            .or_else(|| (kip848 && CLASSIC_ONLY.contains(&name)).then_some(BROKER_SIDE))
            .or_else(|| (config.consumers > 1 && name == INSTANCE).then_some(ONE_INSTANCE))
    };
    let refused = config
        .options
        .keys()
        .filter_map(|name| why(name).map(|why| Error::Refused { name: name.clone(), why }));
    refused.collect()
}

/// Everything that librdkafka is told.
pub(super) fn build(config: &Config) -> Result<ClientConfig, Error> {
    let mut client = ClientConfig::new();
    client.set_log_level(log_level());
    for (name, value) in SHIPPED {
        client.set(name, value);
    }
    if !is_kip848(config) {
        for (name, value) in CLASSIC {
            client.set(name, value);
        }
    }
    client.set("bootstrap.servers", config.broker_list());
    client.set("group.id", &config.group);
    for (name, value) in &config.options {
        match secret_file(name) {
            Some(base) => client.set(base, read_secret(name, Path::new(value))?),
            None => client.set(name, value),
        };
    }
    // librdkafka wants room for the protocol's frame around a fetch.
    if !config.options.contains_key("receive.message.max.bytes") {
        let fetch = number(config, "fetch.max.bytes", 16 << 20);
        client.set("receive.message.max.bytes", (fetch + 512).max(1_000).to_string());
    }
    Ok(client)
}

fn read_secret(name: &str, path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(|cause| Error::SecretFile {
        name: name.to_owned(),
        path: path.to_owned(),
        cause,
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// librdkafka filters its log itself, so it is told what would be shown.
fn log_level() -> RDKafkaLogLevel {
    if tracing::enabled!(target: "librdkafka", Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    }
}

/// Every option that librdkafka itself does not take, one by one.
pub(super) fn judged(config: &Config) -> Vec<Error> {
    let judge = |(name, value): (&String, &String)| {
        let (name_there, value) = match secret_file(name) {
            Some(base) => match read_secret(name, Path::new(value)) {
                Ok(secret) => (base, secret),
                Err(error) => return Some(error),
            },
            None => (name.as_str(), value.clone()),
        };
        let mut alone = ClientConfig::new();
        alone.set(name_there, value);
        match alone.create_native_config() {
            Ok(_) => None,
            Err(KafkaError::ClientConfig(_, why, _, _)) => {
                Some(Error::BadOption { name: name.clone(), why: without_value(name, why) })
            }
            Err(error) => Some(Error::BadOption { name: name.clone(), why: error.to_string() }),
        }
    };
    config.options.iter().filter_map(judge).collect()
}

/// librdkafka repeats the value in some of its messages.
fn without_value(name: &str, why: String) -> String {
    if is_secret(name) { "librdkafka does not accept the value".to_owned() } else { why }
}

/// The options together, certificates read, without a broker to connect to.
pub(super) fn combined(config: &ClientConfig) -> Result<(), Error> {
    let mut offline = config.clone();
    offline.remove("bootstrap.servers");
    offline.set_log_level(RDKafkaLogLevel::Critical);
    let native = offline.create_native_config().map_err(|e| Error::Combination(e.to_string()))?;
    Client::new(&offline, native, RDKafkaType::RD_KAFKA_CONSUMER, DefaultClientContext)
        .map(drop)
        .map_err(|error| match error {
            KafkaError::ClientCreation(why) => Error::Combination(why),
            other => Error::Combination(other.to_string()),
        })
}

/// An option that is a number; what librdkafka would refuse counts as the default here.
fn number(config: &Config, name: &str, default: u64) -> u64 {
    config.options.get(name).and_then(|value| value.trim().parse().ok()).unwrap_or(default)
}

pub(super) fn memory_bytes(config: &Config) -> u64 {
    let queue = number(config, "queued.max.messages.kbytes", 32_768).saturating_mul(1024);
    let fetch = number(config, "fetch.max.bytes", 16 << 20);
    let messages = number(config, "queued.min.messages", 20_000);
    let brokers = config.brokers.len().max(1) as u64;
    queue
        .saturating_mul(2)
        .saturating_add(fetch.saturating_mul(brokers))
        .saturating_add(messages.saturating_mul(BYTES_PER_MESSAGE))
        .saturating_mul(config.consumers as u64)
}
