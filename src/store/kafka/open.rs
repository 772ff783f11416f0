//! Taking the topics: those that are missing are made if that is allowed, and all must be as needed.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::kafka;
use crate::kafka::producer::Producer;
use crate::kafka::topics::Wanted;
use crate::kafka::topics::create;
use crate::kafka::topics::find;
use crate::kafka::topics::sizes;
use crate::store::kafka::record::Owner;
use crate::store::kafka::topics::Names;
use crate::store::kafka::topics::faults;
use crate::store::kafka::topics::wanted;
use crate::store::kafka::{Config, Error, KafkaStore, Newest, Topics, drawn};

/// How often a topic that was just made is looked for.
const LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_millis(200);

impl KafkaStore {
    /// Looks at the topics. `kept` is how long a record must be there without being renewed; `me` is
    /// what people know this replica by, and `newest` what it reads.
    ///
    /// # Errors
    /// Topics that are missing and may not be made, or that would lose something.
    pub async fn open(
        config: &Config,
        brokers: &kafka::Config,
        kept: Duration,
        me: Owner,
        newest: Newest,
    ) -> Result<Self, Error> {
        let wanted = wanted(&config.topics, kept);
        let missing = missing(brokers, &wanted)?;
        if !missing.is_empty() {
            if !config.topics.create {
                let missing = missing.into_iter().map(|topic| topic.name).collect();
                return Err(Error::NoTopics { missing });
            }
            create_topics(&config.topics, brokers, kept).await?;
        }
        let names = Names::new(&config.topics.prefix);
        let found = find(brokers, &names.all()).await?;
        let faults = faults(&wanted, &found);
        if !faults.is_empty() {
            return Err(Error::Topics { faults });
        }
        Ok(Self {
            kafka: brokers.clone(),
            names,
            partitions: config.topics.partitions,
            writer: drawn(),
            written: AtomicU64::new(0),
            me,
            newest,
            producer: Producer::open(brokers)?,
            states: Mutex::default(),
            specs: Mutex::default(),
            incidents: Mutex::default(),
        })
    }
}

/// Makes those topics that are missing and waits until they are there; gives their names.
///
/// # Errors
/// What the broker says against one.
pub async fn create_topics(
    topics: &Topics,
    brokers: &kafka::Config,
    kept: Duration,
) -> Result<Vec<String>, Error> {
    let wanted = wanted(topics, kept);
    let absent = missing(brokers, &wanted)?;
    if absent.is_empty() {
        return Ok(Vec::new());
    }
    create(brokers, &absent).await?;
    let names: Vec<String> = absent.into_iter().map(|topic| topic.name).collect();
    tracing::info!(topics = names.join(", "), "made");
    for _ in 0..LOOKS {
        if missing(brokers, &wanted)?.is_empty() {
            return Ok(names);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Error::NoTopics { missing: names })
}

fn missing(brokers: &kafka::Config, wanted: &[Wanted]) -> Result<Vec<Wanted>, Error> {
    let names: Vec<String> = wanted.iter().map(|topic| topic.name.clone()).collect();
    let found = sizes(brokers, &names)?;
    Ok(wanted.iter().filter(|topic| !found.contains_key(&topic.name)).cloned().collect())
}
