//! Where records come from: batches of messages and changes of assignment in one stream of events.

use std::fmt;

use crate::kafka::Error;
use crate::kafka::message::MessageBatch;
use crate::offsets::Lineage;
use crate::offsets::TopicId;
use crate::offsets::TopicPartition;

pub mod file;
pub(crate) mod hole;
pub mod kafka;

/// Where a partition is read from when it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Exactly here, in the log that this was an offset of: the next one of a snapshot.
    Offset(i64, Lineage),
    Earliest,
    Latest,
    /// The first record with this Kafka time stamp (ms since the epoch) or a later one.
    Time(i64),
}

/// A partition that is now ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub partition: TopicPartition,
    /// Each `Start` that was asked for, resolved to an offset, in the same order. An offset outside
    /// the log, or of another one, became `low`; a `Lost` follows for it. Messages come from the smallest of them on.
    pub starts: Vec<i64>,
    /// First and next-to-be-written offset of the log when it was taken.
    pub low: i64,
    pub high: i64,
    /// The id of its topic, where brokers tell it.
    pub topic: Option<TopicId>,
}

/// Says where each model that reads a partition wants to start: one `Start` per model.
/// It is asked every time a partition is taken, also when it comes back; `None` is asked again soon, and
/// holds no other partition up.
/// A partition that it was asked about ends as `Revoked`, if the source is not closed before.
pub type StartsFn = Box<dyn FnMut(&TopicPartition) -> Option<Vec<Start>> + Send>;

/// What a source has to say, in the order in which it happened.
#[derive(Debug)]
pub enum Event {
    /// Records, in offset order per partition.
    Batch(MessageBatch),
    /// These partitions are ours from now on; their records follow.
    Assigned(Vec<Assigned>),
    /// These are no longer ours; no record of theirs follows.
    Revoked(Vec<TopicPartition>),
    /// The log is not what it was: offsets `from..to` of this partition will never be read.
    Lost { partition: TopicPartition, from: i64, to: i64, cause: LossCause },
    /// The source can't go on; every later call says so again.
    Failed(Error),
    /// Nothing within the timeout.
    Idle,
}

/// Why offsets were skipped. Closed: it is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossCause {
    /// The broker deleted them before they were read. `to` is the log's first offset. A model that
    /// had got past `from` lost only what lies between its own next offset and `to`.
    Retention,
    /// The log ends before the offset, where brokers know of no ids: it was cut, or the topic was made anew.
    /// Reading resumes at the log's first offset, which is `to`; how many are gone nobody can tell.
    BeyondEnd,
    /// The topic was deleted and made anew: its id is another. Reading resumes at `to`, the first offset of
    /// the new one; how many records of the old one are gone nobody can tell. It is nothing to a model whose
    /// start was one of the new topic.
    Recreated,
    /// The log was cut below `from`, and other records have taken, or will take, the place of those that were
    /// read (an unclean leader election). Reading resumes at `to`: where the two part if that is known, else
    /// at `from` or the end of the log.
    Truncated,
    /// A batch that could not be decompressed or failed its checksum was skipped.
    Undecodable,
    /// A batch that ended every process that read it was skipped.
    Deadly,
}

impl LossCause {
    pub const ALL: [LossCause; 6] = [
        LossCause::Retention,
        LossCause::BeyondEnd,
        LossCause::Recreated,
        LossCause::Truncated,
        LossCause::Undecodable,
        LossCause::Deadly,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            LossCause::Retention => "retention",
            LossCause::BeyondEnd => "beyond_end",
            LossCause::Recreated => "recreated",
            LossCause::Truncated => "truncated",
            LossCause::Undecodable => "undecodable_batch",
            LossCause::Deadly => "deadly_batch",
        }
    }
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
