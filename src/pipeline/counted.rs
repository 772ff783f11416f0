//! What ingest tells evaluation.

use crate::offsets::TopicPartition;
use crate::pipeline::spec::Watched;
use crate::window::Partial;
use crate::window::Progress;

/// What ingest tells evaluation, in order.
#[derive(Debug)]
pub(super) enum Counted {
    /// A baseline is in force from here on; everything that follows was counted by its rules.
    Adopted {
        model: usize,
        watched: Watched,
    },
    /// Partitions that were taken together, each with where its log ends; told together, so that no
    /// pane closes with one that is ahead before the others are known.
    Assigned {
        model: usize,
        partitions: Vec<(Progress, i64)>,
        /// How many the topic has, ours or not; `None` when no broker would say.
        in_topic: Option<usize>,
    },
    /// Closed panes, durable; in order within a partition.
    Partials {
        model: usize,
        partials: Vec<Partial>,
    },
    /// How far partitions have come; and of the quiet ones, where nothing came lately, what all
    /// their open panes hold.
    Progress {
        model: usize,
        progress: Vec<Progress>,
        open: Vec<Partial>,
        quiet: Vec<TopicPartition>,
    },
    Revoked {
        model: usize,
        partitions: Vec<TopicPartition>,
    },
    /// The source can't go on.
    Failed {
        error: String,
    },
}
