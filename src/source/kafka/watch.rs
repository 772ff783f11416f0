//! Whether the topics are still those whose partitions were taken: one that is deleted and made again has
//! another id under the same name, and librdkafka goes on where it was in the old one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::offsets::TopicId;

/// How often brokers are asked although nobody has said that an id has changed.
const LOOK: Duration = Duration::from_secs(60);

/// The ids of topics. Once one has changed nothing of the client counts any more: it does not forget the
/// epochs of the old topic's leaders either, and could wait for ever for later ones of the new.
pub(super) struct Watch {
    known: BTreeMap<Arc<str>, TopicId>,
    recreated: Option<String>,
    look_at: Instant,
}

impl Watch {
    pub(super) fn new() -> Self {
        let look_at = Instant::now() + LOOK;
        Self { known: BTreeMap::new(), recreated: None, look_at }
    }

    /// Partitions of a topic were taken, that has this id.
    pub(super) fn know(&mut self, topic: &Arc<str>, id: Option<TopicId>) {
        let Some(id) = id else { return };
        self.hear(topic, id);
        self.known.insert(Arc::clone(topic), id);
    }

    /// A topic is said to have this id now.
    pub(super) fn hear(&mut self, topic: &str, id: TopicId) {
        if self.known.get(topic).is_some_and(|known| *known != id) {
            self.recreated = Some(topic.to_owned());
        }
    }

    /// Whether brokers have told the topic's id, so that another one would be heard of.
    pub(super) fn knows(&self, topic: &str) -> bool {
        self.known.contains_key(topic)
    }

    /// The topic that is another one by now.
    pub(super) fn recreated(&self) -> Option<&str> {
        self.recreated.as_deref()
    }

    /// Topics to ask brokers for, now and then.
    pub(super) fn due(&mut self, now: Instant) -> Option<Vec<Arc<str>>> {
        if now < self.look_at || self.known.is_empty() {
            return None;
        }
        self.look_at = now + LOOK;
        Some(self.known.keys().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_another_one_when_its_id_is() {
        let (one, other) = (TopicId([1; 16]), TopicId([2; 16]));
        let topic = Arc::from("t");
        let mut watch = Watch::new();
        // What is heard before anything was taken is no news.
        watch.hear("t", one);
        watch.know(&topic, None);
        watch.know(&topic, Some(other));
        watch.hear("t", other);
        watch.hear("u", one);
        assert_eq!(watch.recreated(), None);
        assert!(watch.knows("t") && !watch.knows("u"));
        let now = Instant::now();
        assert_eq!(watch.due(now), None);
        assert_eq!(watch.due(now + LOOK), Some(vec![topic]));
        assert_eq!(watch.due(now + LOOK), None);
        watch.hear("t", one);
        assert_eq!(watch.recreated(), Some("t"));
    }
}
