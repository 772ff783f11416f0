//! What evaluation is told of what was counted, here or elsewhere.

use crate::offsets::TopicPartition;
use crate::pipeline::spec::Watched;
use crate::store::Kept;
use crate::window::Pane;
use crate::window::Partial;
use crate::window::Progress;
use crate::window::Seal;

/// What evaluation is told, in order.
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
    /// How far partitions have come, each with where its log ends; and of the quiet ones, where nothing
    /// came lately, what all their open panes hold.
    Progress {
        model: usize,
        progress: Vec<(Progress, i64)>,
        open: Vec<Partial>,
        quiet: Vec<TopicPartition>,
    },
    Revoked {
        model: usize,
        partitions: Vec<TopicPartition>,
    },
    /// A model is ours to evaluate, or goes over to other rules, with all that is known of it.
    Taken {
        model: usize,
        taken: Box<Taken>,
    },
    /// How far partitions have come elsewhere, each with where its log ended when that was told.
    Heard {
        model: usize,
        progress: Vec<(Progress, i64)>,
        /// Those where nothing came lately, and whose open panes have been told.
        quiet: Vec<TopicPartition>,
        in_topic: Option<usize>,
    },
    /// A pane that the clock has closed, read back.
    Sealed {
        model: usize,
        seal: Seal,
        sum: Pane,
    },
    /// Models that are another's to evaluate.
    Released {
        models: Vec<usize>,
    },
    /// The source can't go on.
    Failed {
        error: String,
    },
}

/// A model with all that is known of it.
#[derive(Debug)]
pub(super) struct Taken {
    pub watched: Watched,
    pub kept: Kept,
    /// How far each partition has come, and where its log ended when that was told.
    pub heads: Vec<(Progress, i64)>,
    pub in_topic: Option<usize>,
}
