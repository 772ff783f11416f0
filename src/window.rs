//! Event time: which pane a record belongs to, when a pane closes, and the ring of closed panes.

pub mod merge;
pub mod pane;
pub mod partition;
pub mod ring;
pub mod watermark;

pub use merge::{Merge, Progress, Seal};
pub use pane::{ClosedPane, Pane, Partial};
pub use partition::{PartitionState, Rules};
pub use ring::Ring;
pub use watermark::Watermark;

/// Start of the pane that `event_ms` falls in.
pub fn pane_start(event_ms: i64, pane_ms: i64) -> i64 {
    event_ms - event_ms.rem_euclid(pane_ms)
}
