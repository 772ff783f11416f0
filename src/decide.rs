//! Scores to decisions: levels, the incident state machine, and what people and readers are shown.

pub mod announce;
pub mod announcement;
pub mod check;
pub mod effects;
pub mod evidence;
pub mod fault;
pub mod gates;
pub mod history;
pub mod incident;
pub mod ledger;
pub mod model;
pub mod output;
pub mod policy;
pub mod record;
pub mod rule;
pub mod sequential;
pub mod shift;
pub mod time;
pub mod verdict;
pub mod view;
pub mod worst;

pub use announcement::{Act, Announcement, Audience, Delivery, Kind};
pub use incident::{CloseReason, Incident, IncidentState, Run, RunState};
pub use policy::{
    DEFAULT_MIN_RECORDS, DEFAULT_PSI_TOLERANCE, Level, Policy, Rule, default_thresholds,
    with_lines_of,
};
pub use verdict::{Crossing, VerdictRule, crossings, verdict};
pub use view::{DriftState, FeatureVerdict, ModelView, Quality, Suppression, Verdict, View};
