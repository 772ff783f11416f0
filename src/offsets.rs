//! Where a record is: topic and partition, which log that is, and how far each has been consumed.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// One partition of one topic; the unit of ordering, ownership and state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

/// `topic-partition`, as Kafka's own tools print it.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What Kafka knows a topic by: another one when it is deleted and made again under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// As librdkafka writes it; `None` is no id, or that of no topic.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        Self::known(bytes.try_into().ok()?)
    }

    /// `None` where it is all zeros, as brokers say that have no ids.
    pub fn known(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }
}

/// As Kafka's own tools print it.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Which log an offset is one of. A name and a number do not say it: topics are made again, and a leader
/// that lacked records overwrites them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// `None` where brokers do not tell it.
    pub topic: Option<TopicId>,
    /// Epoch of the leader that wrote the last record below the offset, where that is known.
    pub leader_epoch: Option<i32>,
    /// How often the log was found not to be the one that was read before.
    pub breaks: u32,
}

impl Lineage {
    /// Whether `topic` is known to be another one than this log's.
    pub fn is_foreign(&self, topic: Option<TopicId>) -> bool {
        matches!((self.topic, topic), (Some(ours), Some(theirs)) if ours != theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_known_ids_that_differ_are_foreign() {
        let (one, other) = (TopicId::known([1; 16]), TopicId::known([2; 16]));
        let ours = Lineage { topic: one, ..Lineage::default() };
        assert!(ours.is_foreign(other) && !ours.is_foreign(one) && !ours.is_foreign(None));
        assert!(!Lineage::default().is_foreign(one));
        assert_eq!(TopicId::known([0; 16]), None);
        assert_eq!(TopicId::parse("AAAAAAAAAAAAAAAAAAAAAA"), None);
    }

    #[test]
    fn an_id_is_read_as_librdkafka_writes_it_and_shown_as_kafka_does() {
        let id = TopicId::parse("+/8BAgMEBQYHCAkKCwwNDg").unwrap();
        assert_eq!(id.to_string(), "-_8BAgMEBQYHCAkKCwwNDg");
        assert_eq!(TopicId::parse(&id.to_string()), None);
    }
}
