//! The one librdkafka client: where the brokers are, its options, its security, and its faults in words.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use schemars::JsonSchema;
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

pub(crate) mod consumer;
pub mod dead_letter;
mod ffi;
mod group;
pub mod message;
pub mod mock;
mod oauth;
mod options;
pub mod probe;
pub mod producer;
pub mod range;
mod rate;
pub(crate) mod renewal;
mod sample;
pub mod tail;
mod token;
pub mod topics;
pub(crate) mod trouble;

pub use group::members;
pub use oauth::OAuth;
pub use rate::per_hour;
pub use sample::Sampled;
pub use sample::sample;

/// How Kafka is reached. Everything that librdkafka can be told goes under `options`, so that a typo
/// in a key of ours is still found.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `host:port` of some brokers: a list, or one string with commas.
    #[serde(deserialize_with = "brokers")]
    #[schemars(with = "Brokers")]
    pub brokers: Vec<String>,
    /// The consumer group that shares the partitions out among replicas.
    #[serde(default = "default_group")]
    pub group: String,
    /// Threads that read, decode and count, each a member of the group with some of the partitions.
    /// One takes several hundred thousand records a second; each costs its own memory and connections.
    #[serde(default = "default_consumers")]
    #[schemars(range(min = 1, max = 64))]
    pub consumers: usize,
    /// File with the bearer token for `sasl.mechanisms: OAUTHBEARER`; read again at every refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth_token_file: Option<PathBuf>,
    /// Endpoint that hands out that token, instead of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OAuth>,
    /// librdkafka's own options, by its own names. A secret may be given as `<name>_file`.
    #[serde(default, serialize_with = "redacted")]
    #[schemars(with = "BTreeMap<String, Scalar>")]
    pub options: BTreeMap<String, String>,
}

/// What is wrong with Kafka or with how we were told to reach it.
#[derive(Debug, Error)]
pub enum Error {
    #[error("kafka.brokers is empty; name at least one broker as host:port")]
    NoBrokers,
    #[error("kafka.brokers: `{0}` is not host:port")]
    BadBroker(String),
    #[error("kafka.group is empty; give the consumer group a name, such as `driftd`")]
    NoGroup,
    #[error("kafka.consumers is {0}; it must be from 1 to {MOST_CONSUMERS}")]
    BadConsumers(usize),
    #[error("kafka.options.{name} can't be set: {why}")]
    Refused { name: String, why: &'static str },
    #[error("kafka.options.{name}: {why}")]
    BadOption { name: String, why: String },
    #[error("kafka.options.{name}: can't read {}: {cause}", path.display())]
    SecretFile { name: String, path: PathBuf, cause: std::io::Error },
    #[error("kafka.options as a whole: librdkafka refuses them: {0}")]
    Combination(String),
    #[error(
        "sasl.mechanisms is OAUTHBEARER but there is no token: set kafka.oauth_token_file to the file that holds it, \
         or kafka.oauth to the endpoint that hands it out"
    )]
    NoToken,
    #[error("kafka.oauth: set either kafka.oauth or kafka.oauth_token_file")]
    TwoTokens,
    #[error("kafka.oauth.{key}: {message}")]
    OAuth { key: &'static str, message: String },
    #[error("{0}")]
    Token(String),
    #[error("`{0}` can't be the name of a topic: letters, digits, `.`, `_` and `-`, at most 249")]
    BadTopic(String),
    #[error("can't subscribe to {topics}: {cause}")]
    Subscribe { topics: String, cause: KafkaError },
    #[error("no broker of {brokers} answers: {why}")]
    Unreachable { brokers: String, why: String },
    #[error("topic `{topic}` does not exist on {brokers}; create it or correct `topic`")]
    UnknownTopic { topic: String, brokers: String },
    #[error("no permission to read topic `{topic}`: grant Describe and Read on it")]
    Forbidden { topic: String },
    #[error(
        "records of topic `{topic}` went away while they were read (retention); read later ones"
    )]
    Gone { topic: String },
    #[error("no permission to {doing}: grant {right}")]
    Denied { doing: String, right: String },
    #[error("can't {doing}: {cause}")]
    Request { doing: String, cause: KafkaError },
    #[error("the Kafka client can't go on ({code}): {reason}; restart it")]
    Fatal { code: RDKafkaErrorCode, reason: String },
    #[error(
        "topic `{topic}` was deleted and made anew; it is read by a new client, from its start"
    )]
    Recreated { topic: String },
    #[error("the secrets or certificates of kafka.options have changed; they need a new client")]
    Renewed,
    #[error("the embedded Kafka: {0}")]
    Mock(String),
    #[error("the group was not left within {0:?}; its session will time out instead")]
    CloseTimedOut(std::time::Duration),
}

fn default_group() -> String {
    "driftd".to_owned()
}

/// More threads than this share nothing out any better.
const MOST_CONSUMERS: usize = 64;

fn default_consumers() -> usize {
    1
}

/// The schema of a librdkafka option's value; all of them reach librdkafka as text.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Scalar {
    Text(String),
    Number(f64),
    Bool(bool),
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Brokers {
    List(Vec<String>),
    Commas(String),
}

fn brokers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Visitor;

    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of host:port, or one string with commas")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(parts.map(str::to_owned).collect())
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut brokers = Vec::new();
            while let Some(broker) = list.next_element()? {
                brokers.push(broker);
            }
            Ok(brokers)
        }
    }

    deserializer.deserialize_any(Visitor)
}

fn redacted<S: Serializer>(
    options: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(options.iter().map(|(name, value)| (name, options::shown(name, value))))
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: BTreeMap<_, _> =
            self.options.iter().map(|(name, value)| (name, options::shown(name, value))).collect();
        f.debug_struct("Config")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("consumers", &self.consumers)
            .field("oauth_token_file", &self.oauth_token_file)
            .field("oauth", &self.oauth)
            .field("options", &options)
            .finish()
    }
}

impl Config {
    /// Brokers, everything else at its default.
    pub fn new(brokers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            brokers: brokers.into_iter().map(Into::into).collect(),
            group: default_group(),
            consumers: default_consumers(),
            oauth_token_file: None,
            oauth: None,
            options: BTreeMap::new(),
        }
    }

    /// What librdkafka is told: the settings that we ship with the user's options over them.
    ///
    /// # Errors
    /// The first fault of `check`, short of what only librdkafka can tell.
    pub fn client_config(&self) -> Result<ClientConfig, Error> {
        match self.faults().into_iter().next() {
            Some(fault) => Err(fault),
            None => options::build(self),
        }
    }

    /// Every fault at once. librdkafka itself judges names, values and their combination (also
    /// whether certificate files can be read); nothing is connected to.
    ///
    /// # Errors
    /// All faults found, each naming its key.
    pub fn check(&self) -> Result<(), Vec<Error>> {
        let mut faults = self.faults();
        faults.extend(options::judged(self));
        if !faults.is_empty() {
            return Err(faults);
        }
        options::build(self).and_then(|config| options::combined(&config)).map_err(|e| vec![e])
    }

    /// Bound in bytes on what librdkafka holds of messages, for every consumer: the queue, the batch
    /// taken from it (at most another queue's worth), one fetch in flight per configured broker, and
    /// the bookkeeping of that many messages.
    pub fn memory_bytes(&self) -> u64 {
        options::memory_bytes(self)
    }

    /// Faults that need no librdkafka.
    fn faults(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        if self.brokers.is_empty() {
            faults.push(Error::NoBrokers);
        }
        let bad = self.brokers.iter().filter(|broker| !is_broker(broker));
        faults.extend(bad.map(|broker| Error::BadBroker(broker.clone())));
        if self.group.trim().is_empty() {
            faults.push(Error::NoGroup);
        }
        if !(1..=MOST_CONSUMERS).contains(&self.consumers) {
            faults.push(Error::BadConsumers(self.consumers));
        }
        faults.extend(options::refused(self));
        match (&self.oauth, &self.oauth_token_file) {
            (Some(_), Some(_)) => faults.push(Error::TwoTokens),
            (Some(oauth), None) => {
                let fault = oauth.fault();
                faults.extend(fault.map(|(key, message)| Error::OAuth { key, message }));
            }
            (None, None) if options::needs_token(self) => faults.push(Error::NoToken),
            (None, _) => {}
        }
        faults
    }

    /// The same cluster as a member of another group, of the classic protocol and without options that
    /// name or place the member.
    pub fn in_group(&self, group: &str) -> Self {
        let mut config = Self { group: group.to_owned(), consumers: 1, ..self.clone() };
        for name in ["group.protocol", "group.instance.id", "group.remote.assignor"] {
            config.options.remove(name);
        }
        config
    }

    /// The brokers as one word for messages.
    fn broker_list(&self) -> String {
        self.brokers.join(",")
    }
}

/// `host`, `host:port`, `[v6]:port`, with librdkafka's optional `PROTOCOL://` before it.
fn is_broker(broker: &str) -> bool {
    let address = broker.split_once("://").map_or(broker, |(_, address)| address);
    let bad = |c: char| c.is_whitespace() || c == '/' || c == ',';
    if address.is_empty() || address.contains(bad) {
        return false;
    }
    let port = match address.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => return true,
        Some((host, port)) if !host.is_empty() => port,
        Some(_) => return false,
        None => return true,
    };
    port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Kafka's own rule for names of topics; also keeps out `^`, which librdkafka takes for a pattern.
pub(crate) fn is_topic(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(options: &[(&str, &str)]) -> Config {
        let mut config = Config::new(["kafka:9092"]);
        config.options.extend(options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        config
    }

    fn faults(config: &Config) -> Vec<String> {
        let faults = config.check().err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn brokers_are_a_list_or_one_string() {
        let read = |json: &str| serde_json::from_str::<Config>(json).map(|c| c.brokers);
        assert_eq!(read(r#"{"brokers": ["a:1", "b:2"]}"#).unwrap(), ["a:1", "b:2"]);
        assert_eq!(read(r#"{"brokers": "a:1, b:2"}"#).unwrap(), ["a:1", "b:2"]);
        assert!(read(r#"{"brokers": "a:1", "topics": "x"}"#).is_err());
        assert!(read(r#"{"brokers": 5}"#).is_err());
    }

    #[test]
    fn a_broker_is_host_and_port() {
        for good in ["kafka:9092", "kafka", "[::1]:9092", "[::1]", "10.0.0.1:9", "SSL://k:9093"] {
            assert!(is_broker(good), "{good}");
        }
        for bad in
            ["", ":9092", "kafka:", "kafka:port", "ka fka:1", "kafka:70000", "kafka:0", "k/x"]
        {
            assert!(!is_broker(bad), "{bad}");
        }
    }

    #[test]
    fn topics_are_named_as_kafka_allows() {
        assert!(is_topic("fraud.inferences-2_b"));
        for bad in ["", ".", "..", "^fraud.*", "a b", &"x".repeat(250)] {
            assert!(!is_topic(bad), "{bad}");
        }
    }

    #[test]
    fn what_we_ship_is_accepted_with_either_group_protocol() {
        assert_eq!(faults(&with(&[])), Vec::<String>::new());
        assert_eq!(faults(&with(&[("group.protocol", "consumer")])), Vec::<String>::new());
        let kip848 = with(&[("group.protocol", "consumer")]).client_config().unwrap();
        assert_eq!(kip848.get("session.timeout.ms"), None);
        assert_eq!(kip848.get("partition.assignment.strategy"), None);
    }

    #[test]
    fn a_session_timeout_is_refused_with_the_new_protocol() {
        let config = with(&[("group.protocol", "consumer"), ("session.timeout.ms", "6000")]);
        let faults = faults(&config);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].contains("session.timeout.ms") && faults[0].contains("broker"),
            "{faults:?}"
        );
        assert!(config.client_config().is_err());
    }

    #[test]
    fn the_users_options_go_over_ours() {
        let config = with(&[("session.timeout.ms", "6000"), ("fetch.max.bytes", "2000000")]);
        let client = config.client_config().unwrap();
        assert_eq!(client.get("session.timeout.ms"), Some("6000"));
        assert_eq!(client.get("receive.message.max.bytes"), Some("2000512"));
        assert!(config.check().is_ok());
    }

    #[test]
    fn every_bad_option_is_named_at_once() {
        let config = with(&[
            ("sesion.timeout.ms", "6000"),
            ("fetch.wait.max.ms", "soon"),
            ("auto.offset.reset", "latest"),
            ("isolation.level", "read_committed"),
        ]);
        let faults = faults(&config).join("\n");
        for name in ["sesion.timeout.ms", "fetch.wait.max.ms", "auto.offset.reset"] {
            assert!(faults.contains(&format!("kafka.options.{name}")), "{name} in {faults}");
        }
        assert!(!faults.contains("isolation.level"), "{faults}");
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let faults =
            faults(&with(&[("session.timeout.ms", "400000"), ("max.poll.interval.ms", "1000")]));
        assert!(faults.join("\n").contains("max.poll.interval.ms"), "{faults:?}");
    }

    #[test]
    fn a_certificate_that_is_not_there_is_found_without_a_broker() {
        let config = with(&[("security.protocol", "ssl"), ("ssl.ca.location", "no/such/ca.pem")]);
        assert!(faults(&config).join("\n").contains("ssl.ca.location"), "{:?}", faults(&config));
    }

    #[test]
    fn tls_and_sasl_are_compiled_in() {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let config = with(&[
                ("security.protocol", "SASL_SSL"),
                ("sasl.mechanisms", mechanism),
                ("sasl.username", "driftd"),
                ("sasl.password", "hunter2"),
            ]);
            assert_eq!(faults(&config), Vec::<String>::new(), "{mechanism}");
        }
        let mut config =
            with(&[("security.protocol", "SASL_SSL"), ("sasl.mechanisms", "OAUTHBEARER")]);
        assert!(faults(&config).join("\n").contains("oauth_token_file"), "{:?}", faults(&config));
        config.oauth_token_file = Some("/var/run/secrets/token".into());
        assert_eq!(faults(&config), Vec::<String>::new());
        let oauth = |json| serde_json::from_str::<OAuth>(json).unwrap();
        config.oauth = Some(oauth(r#"{"token_url": "http://u:p@h/", "client_id": "d"}"#));
        assert!(faults(&config)[0].contains("either"), "{:?}", faults(&config));
        config.oauth_token_file = None;
        assert!(faults(&config)[0].starts_with("kafka.oauth.token_url: "), "{:?}", faults(&config));
        config.oauth = Some(oauth(r#"{"token_url": "https://h/", "client_id": "d"}"#));
        assert!(faults(&config)[0].contains("client_secret_file"), "{:?}", faults(&config));
        config.oauth =
            Some(oauth(r#"{"token_url": "https://h/", "client_id": "d", "client_secret": "s"}"#));
        assert_eq!(faults(&config), Vec::<String>::new());
    }

    #[test]
    fn secrets_are_never_shown() {
        let secret = "hunter2";
        let config = with(&[
            ("sasl.password", secret),
            ("ssl.key.password", secret),
            ("ssl.key.pem", secret),
            ("sasl.oauthbearer.client.secret", secret),
            ("sasl.oauthbearer.config", secret),
            ("sasl.username", "driftd"),
        ]);
        let shown = [format!("{config:?}"), serde_json::to_string(&config).unwrap()];
        for shown in &shown {
            assert!(!shown.contains(secret) && shown.contains("***"), "{shown}");
            assert!(shown.contains("driftd"), "{shown}");
        }
        assert!(!faults(&config).join("\n").contains(secret));
    }

    #[test]
    fn a_secret_may_lie_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let path = file.path().to_str().unwrap();
        let config = with(&[("sasl.password_file", path)]);
        assert_eq!(config.client_config().unwrap().get("sasl.password"), Some("hunter2"));
        assert!(serde_json::to_string(&config).unwrap().contains(path));
        let missing = faults(&with(&[("sasl.password_file", "no/such/file")])).join("\n");
        assert!(
            missing.contains("sasl.password_file") && missing.contains("no/such/file"),
            "{missing}"
        );
    }

    #[test]
    fn consumers_are_counted_and_named_apart() {
        for (consumers, good) in [(0, false), (1, true), (64, true), (65, false)] {
            let config = Config { consumers, ..with(&[]) };
            assert_eq!(config.check().is_ok(), good, "{consumers}");
        }
        let fixed = with(&[("group.instance.id", "driftd-0")]);
        assert_eq!(faults(&fixed), Vec::<String>::new());
        let two = faults(&Config { consumers: 2, ..fixed });
        assert!(two.len() == 1 && two[0].contains("kafka.options.group.instance.id"), "{two:?}");
    }

    #[test]
    fn the_memory_bound_follows_the_options() {
        let small = with(&[("queued.max.messages.kbytes", "1024"), ("fetch.max.bytes", "1000000")]);
        assert_eq!(small.memory_bytes(), 2 * 1024 * 1024 + 1_000_000 + 20_000 * 512);
        assert!(with(&[]).memory_bytes() > small.memory_bytes());
        let three = Config { consumers: 3, ..small.clone() };
        assert_eq!(three.memory_bytes(), 3 * small.memory_bytes());
    }
}
