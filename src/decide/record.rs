//! What is written to the incident log: everything that was decided, tried and learnt, in order.

use serde::{Deserialize, Serialize};

use crate::decide::announcement::Delivery;
use crate::decide::incident::CloseReason;
use crate::decide::incident::Incident;
use crate::decide::incident::IncidentState;
use crate::decide::incident::Run;
use crate::decide::ledger::Figures;

/// One record of the log. Unknown fields are skipped, so that a newer release's records are read.
/// `at_ms` is the wall clock and only tells people; `event_ms` is event time and decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A baseline was taken up by a model.
    Baseline { model: String, digest: String, source: String, active_from_ms: i64, at_ms: i64 },
    /// A trigger was decided. Its deliveries wait while `held` (catching up).
    Opened {
        incident: Box<Incident>,
        digest: String,
        event_ms: i64,
        at_ms: i64,
        held: bool,
        deliveries: Vec<Delivery>,
    },
    /// A held trigger is still true now that the daemon has caught up.
    Released { incident: String, at_ms: i64 },
    /// A message that is not part of an opening.
    Queued { delivery: Box<Delivery>, at_ms: i64 },
    /// Written before the request is sent.
    Attempt { delivery: String, target: String, n: u32, at_ms: i64 },
    Outcome {
        delivery: String,
        target: String,
        n: u32,
        at_ms: i64,
        status: Option<u16>,
        result: DeliveryResult,
        detail: String,
        /// What the receiver calls what it has taken: a run, a message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// What the pipeline says of an incident's run.
    Run { incident: String, run: Run, at_ms: i64 },
    /// Accepted long ago and nothing came of it.
    Marked { incident: String, state: IncidentState, at_ms: i64 },
    /// A person has taken a model's faults for drift.
    Accepted { model: String, faults: Vec<String>, event_ms: i64, at_ms: i64, by: String },
    /// Incidents of a model that the log no longer tells of: how many, and the highest ordinal of a
    /// baseline. Written when the log is rewritten.
    Forgotten {
        model: String,
        digest: String,
        ordinal: u64,
        incidents: u64,
        /// How these went.
        #[serde(default, skip_serializing_if = "Figures::is_empty")]
        figures: Figures,
    },
    Closed {
        incident: String,
        #[serde(rename = "as")]
        closed_as: CloseReason,
        event_ms: i64,
        at_ms: i64,
        by: String,
    },
}

/// What one attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryResult {
    Accepted,
    /// The target already had this id.
    AlreadyThere,
    /// It will be tried again.
    Retry,
    /// It will not be tried again.
    Failed,
    /// It was no longer wanted.
    Cancelled,
}
