//! Topics of driftd's own: what is there, and making what is not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use crate::kafka::Config;
use crate::kafka::Error;
use crate::kafka::consumer;
use crate::kafka::ffi;
use crate::kafka::options;
use crate::kafka::producer::Context;
use crate::kafka::producer::shared;
use crate::kafka::sample::partitions;
use crate::kafka::token;
use crate::kafka::trouble::refused;

const PATIENCE: Duration = Duration::from_secs(20);
/// Settings are asked for only to refuse wrong ones: a broker that does not tell them is no reason to wait.
const ASK: Duration = Duration::from_secs(5);
const CLOSE: Duration = Duration::from_secs(2);
/// From so many replicas on, one may be away and what is acknowledged is still on two.
const REPLICAS_SAFE: u32 = 3;

/// A topic as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub partitions: i32,
    pub settings: Vec<(&'static str, String)>,
}

/// A topic as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub partitions: usize,
    /// `None` when the broker does not tell.
    pub settings: Option<BTreeMap<String, String>>,
}

/// The topics of these names that are there, with their settings.
///
/// # Errors
/// When no broker answers, or one forbids to look.
pub async fn find(config: &Config, names: &[String]) -> Result<BTreeMap<String, Found>, Error> {
    let mut there = sizes(config, names)?;
    let admin = admin(config)?;
    let asked: Vec<ResourceSpecifier<'_>> =
        there.keys().map(|name| ResourceSpecifier::Topic(name)).collect();
    if asked.is_empty() {
        return Ok(there);
    }
    let options = AdminOptions::new().request_timeout(Some(ASK));
    let told = match admin.describe_configs(&asked, &options).await {
        Ok(told) => told,
        Err(error) => {
            tracing::warn!(%error, "the settings of driftd's topics can't be looked at; grant DescribeConfigs on them");
            return Ok(there);
        }
    };
    let names: Vec<String> = there.keys().cloned().collect();
    for (name, told) in names.iter().zip(told) {
        match told {
            // Of one that may not be looked at nothing is said but its name.
            Ok(resource) if resource.entries.is_empty() => {
                tracing::warn!(
                    topic = name,
                    "the settings of this topic can't be looked at; grant DescribeConfigs on it"
                );
            }
            Ok(resource) => {
                let values = resource.entries.into_iter();
                let settings =
                    values.filter_map(|entry| Some((entry.name, entry.value?))).collect();
                there.entry(name.clone()).or_default().settings = Some(settings);
            }
            Err(code) => {
                tracing::warn!(topic = name, %code, "the settings of this topic can't be looked at; grant DescribeConfigs on it");
            }
        }
    }
    Ok(there)
}

/// The topics of these names that are there, without their settings.
///
/// # Errors
/// As `find`.
pub fn sizes(config: &Config, names: &[String]) -> Result<BTreeMap<String, Found>, Error> {
    let consumer = Arc::new(consumer::create(config, &config.client_config()?)?);
    let until = Instant::now() + PATIENCE;
    let mut there = BTreeMap::new();
    let mut failed = None;
    for name in names {
        match partitions(config, &consumer, name, until) {
            Ok(found) => {
                let found = Found { partitions: found.len(), settings: None };
                there.insert(name.clone(), found);
            }
            Err(Error::UnknownTopic { .. }) => {}
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    if let Err(error) = consumer::retire(move || drop(consumer), CLOSE) {
        tracing::debug!(%error, "a reader is still closing");
    }
    failed.map_or(Ok(there), Err)
}

/// Makes topics with the cluster's own number of replicas; one that is there by now is left as it is.
///
/// # Errors
/// The first that could not be made.
pub async fn create(config: &Config, wanted: &[Wanted]) -> Result<(), Error> {
    let admin = admin(config)?;
    let safe = replication(&admin).await.is_some_and(|n| n >= REPLICAS_SAFE);
    let topics: Vec<NewTopic<'_>> = wanted
        .iter()
        .map(|topic| {
            let cluster = TopicReplication::Fixed(-1);
            let mut new = NewTopic::new(&topic.name, topic.partitions, cluster);
            for (name, value) in &topic.settings {
                new = new.set(name, value);
            }
            if safe { new.set("min.insync.replicas", "2") } else { new }
        })
        .collect();
    let options =
        AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let failed = |name: &str, cause| {
        refused(format!("create topic `{name}`"), cause, || {
            format!(
                "Create on topic `{name}` or on the cluster, or have somebody who may run `driftd topics \
                 create`"
            )
        })
    };
    let all = || wanted.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>().join(", ");
    let made = admin.create_topics(&topics, &options).await;
    for result in made.map_err(|cause| failed(&all(), cause))? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(failed(&name, KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

/// How many replicas a topic gets in this cluster by default.
async fn replication(admin: &AdminClient<Context>) -> Option<u32> {
    let broker = admin.inner().fetch_metadata(None, PATIENCE).ok()?.brokers().first()?.id();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let told = admin.describe_configs(&[ResourceSpecifier::Broker(broker)], &options).await.ok()?;
    let resource = told.into_iter().next()?.ok()?;
    resource.get("default.replication.factor")?.value.as_ref()?.parse().ok()
}

fn admin(config: &Config) -> Result<AdminClient<Context>, Error> {
    let tokens = token::Source::of(config);
    let made = shared(config)?.create_with_context(Context { tokens: tokens.clone() });
    let admin: AdminClient<_> = made.map_err(|error| Error::Combination(error.to_string()))?;
    if options::needs_token(config) {
        let given = tokens.token().and_then(|token| ffi::give_token(admin.inner(), &token));
        given.map_err(Error::Token)?;
    }
    Ok(admin)
}
