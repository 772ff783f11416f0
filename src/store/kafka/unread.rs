//! Records of driftd's own topics that can't be used: where they are, and what they would have told.

use std::collections::BTreeMap;
use std::fmt;

use crate::kafka::tail::Entry;
use crate::store::Error;
use crate::store::kafka::record::{Body, Record, Unreadable};

/// Versions of what is inside records: the highest that this process reads.
#[derive(Clone, Copy, Debug)]
pub struct Newest {
    /// Of the state of a model in a partition.
    pub state: u8,
    /// Of what deciding about a model has come to.
    pub test: u8,
}

impl Newest {
    /// The version of a record's content, and the highest that is read, if that is lower.
    fn exceeded(self, body: &Body) -> Option<u8> {
        let (found, supported) = match body {
            Body::State(state) => (state.version, self.state),
            Body::Test(test) => (test.version, self.test),
            Body::Pane(_) | Body::Seal(_) | Body::Progress(_) => return None,
            Body::Spec(_) | Body::Incident(_) | Body::Owner(_) => return None,
        };
        (found > supported).then_some(found)
    }
}

/// A record that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub why: Unreadable,
}

impl Unread {
    pub(super) fn new(topic: &str, entry: &Entry<'_>, why: Unreadable) -> Self {
        let key = String::from_utf8_lossy(entry.key.unwrap_or_default()).into_owned();
        let (partition, offset) = (entry.partition, entry.offset);
        Self { topic: topic.to_owned(), partition, offset, key, why }
    }

    pub fn is_newer(&self) -> bool {
        matches!(self.why, Unreadable::Newer(_))
    }

    /// Why what depends on it is not touched.
    pub fn refusal(&self) -> Error {
        Error::Unread(Box::new(self.clone()))
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, offset, key, why } = self;
        write!(f, "the record at offset {offset} of {topic} partition {partition}, key `{key}`, ")?;
        match why {
            Unreadable::Damaged => f.write_str("is damaged"),
            Unreadable::Newer(found) => {
                write!(f, "was written by a newer driftd (version {found})")
            }
        }
    }
}

/// Those of a log, by key: what comes later under a key takes the place of what was there, as compaction has
/// it; so a record can be taken away by one without a value.
#[derive(Clone, Debug, Default)]
pub struct Unreads(BTreeMap<String, Unread>);

impl Unreads {
    /// Decodes the next record; `None` is one without a value, or of a kind that only a newer release knows.
    pub(super) fn decode(
        &mut self,
        topic: &str,
        entry: &Entry<'_>,
        newest: Newest,
    ) -> Result<Option<Record>, Unread> {
        let decoded = entry.payload.map_or(Ok(None), Record::decode);
        let exceeded = |record: &Record| newest.exceeded(&record.body);
        let why = match decoded {
            Ok(Some(record)) => match exceeded(&record) {
                Some(found) => Unreadable::Newer(found),
                None => {
                    self.forget(entry);
                    return Ok(Some(record));
                }
            },
            Ok(None) => {
                self.forget(entry);
                return Ok(None);
            }
            Err(why) => why,
        };
        let unread = Unread::new(topic, entry, why);
        self.0.insert(unread.key.clone(), unread.clone());
        Err(unread)
    }

    fn forget(&mut self, entry: &Entry<'_>) {
        // Almost always there is nothing.
        if !self.0.is_empty() {
            self.0.remove(&*String::from_utf8_lossy(entry.key.unwrap_or_default()));
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Unread> {
        self.0.values()
    }

    /// Those whose key begins so.
    pub fn of(&self, prefix: &str) -> impl Iterator<Item = &Unread> {
        self.iter().filter(move |unread| unread.key.starts_with(prefix))
    }
}

impl FromIterator<Unread> for Unreads {
    fn from_iter<I: IntoIterator<Item = Unread>>(all: I) -> Self {
        Self(all.into_iter().map(|unread| (unread.key.clone(), unread)).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::store::kafka::record::Test;

    use super::*;

    const NEWEST: Newest = Newest { state: 1, test: 3 };

    fn test(version: u8) -> Vec<u8> {
        let test = Test { model: "fraud".to_owned(), rules: 9, version, state: vec![1; 9] };
        Record { writer: 5, body: Body::Test(test) }.encode()
    }

    fn entry(offset: i64, payload: Option<&[u8]>) -> Entry<'_> {
        Entry { partition: 2, offset, timestamp_ms: 0, key: Some(b"test/fraud"), payload }
    }

    #[test]
    fn what_cannot_be_used_is_named_until_something_takes_its_place() {
        let mut unreads = Unreads::default();
        let (good, newer) = (test(3), test(4));
        let mut damaged = good.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let mut next = |offset, payload| {
            let decoded = unreads.decode("driftd.partials", &entry(offset, payload), NEWEST);
            let named = decoded.as_ref().err().map(ToString::to_string);
            assert_eq!(named, unreads.of("test/fraud").next().map(ToString::to_string));
            (decoded.is_ok_and(|record| record.is_some()), named.unwrap_or_default())
        };
        assert_eq!(next(0, Some(&good)), (true, String::new()));
        let place = "of driftd.partials partition 2, key `test/fraud`,";
        let (_, named) = next(1, Some(&damaged));
        assert_eq!(named, format!("the record at offset 1 {place} is damaged"));
        let (_, named) = next(2, Some(&newer));
        assert!(named.contains("offset 2") && named.contains("(version 4)"), "{named}");
        assert_eq!(next(3, None), (false, String::new()), "taken away");
        next(4, Some(&newer));
        assert_eq!(next(5, Some(&good)), (true, String::new()));
    }
}
