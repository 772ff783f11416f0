//! Is it drift or a fault: what a broken feed does to counts, told apart before drift is decided.
//!
//! A fault is a change that retraining would only learn by heart: values that are gone, of another type,
//! in another unit, stuck. Panes are looked at as soon as they hold `LOOK` records (thin ones together);
//! a faulty feature leaves the decision, and its panes are no evidence of drift afterwards.
//!
//! Every test is aware of noise. A share of `k` in `n` is above the expected `p` for certain when
//! `n_e KL(k/n || p)` is above `nats`, with `n_e = n / (phi (1 + n/m))`: `exp(-n KL)` bounds the tail of
//! the binomial law (Chernoff), so it is never exceeded more often than that by chance. `nats` is
//! `-ln(ALPHA)`, shared by the features and by the tests of each.

use serde::{Deserialize, Serialize};

use crate::decide::announcement::Audience;
use crate::decide::time::rfc3339;
use crate::decode::strangers::Strangers;

mod constant;
mod examine;
mod feed;
mod lag;
mod newcomers;
mod phases;
mod share;
mod track;
mod unit;

pub use lag::Lag;
pub use phases::{Change, Faults, PaneCounts, Untold};

/// Chance of a fault without cause, per look at a whole model.
const ALPHA: f64 = 1e-5;
/// Tests that share `ALPHA` within a feature: missing, wrong type, unit, constant, unseen.
const TESTS: f64 = 5.0;
/// Records that a look needs; fewer are taken together with the next pane's.
const LOOK: u64 = 30;
/// Records that are looked at together for what single looks are too small to show.
const BLOCK: u64 = 1000;
/// Over so long a stream has forgotten its last value, or will not within reason: as noisy as that much
/// of it is, is how noisy values near each other may be together.
const FORGOTTEN_MS: i64 = 86_400_000;
/// A share of unusable values above what is expected that is a fault: the least that can by itself, if
/// it takes values from one end only, carry PSI over customary thresholds; and what bars a feed of
/// rejects.
const UNUSABLE: f64 = 0.05;
/// New categories are drift until they are most of the values: then it is the spelling that changed.
const UNSEEN: f64 = 0.5;
/// From this share of records on a key is gone.
const GONE: f64 = 0.99;
/// A common factor of mean and standard deviation from here on (or from its reciprocal down) is one of
/// units.
const FACTOR: f64 = 5.0;
/// How far the two factors may differ, beyond what noise explains.
const AGREE: f64 = 0.05;
/// A fault that is older than this in event time is no hiccup: the people of the model have to know.
pub const OLD_MS: i64 = 24 * 3_600_000;

/// New names that a sentence tells.
const NAMES: usize = 5;

/// What is wrong. Closed: it is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Values are missing, null, NaN or infinite.
    NullSurge,
    /// Values have a type that cannot be read as the feature's.
    TypeChange,
    /// The key has gone from the records.
    SchemaChange,
    /// Everything is multiplied by one factor.
    UnitChange,
    /// One value only, where the reference varies.
    Constant,
    /// Most values are categories that the reference has never seen.
    UnseenSurge,
    /// Too many records of the whole feed can't be used.
    Rejects,
    /// Records of the feed come again, byte for byte, where all of them differed.
    Duplicates,
    /// So much of the feed is unread that what would be decided is about the past.
    Lag,
}

impl FaultKind {
    /// In this order they are stored: new ones go to the end.
    pub const ALL: [FaultKind; 9] = [
        FaultKind::NullSurge,
        FaultKind::TypeChange,
        FaultKind::SchemaChange,
        FaultKind::UnitChange,
        FaultKind::Constant,
        FaultKind::UnseenSurge,
        FaultKind::Rejects,
        FaultKind::Duplicates,
        FaultKind::Lag,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::NullSurge => "null_surge",
            FaultKind::TypeChange => "type_change",
            FaultKind::SchemaChange => "schema_change",
            FaultKind::UnitChange => "unit_change",
            FaultKind::Constant => "constant",
            FaultKind::UnseenSurge => "unseen_surge",
            FaultKind::Rejects => "rejects",
            FaultKind::Duplicates => "duplicates",
            FaultKind::Lag => "lag",
        }
    }
}

/// The numbers that a fault was told by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub kind: FaultKind,
    /// Records (or values, for units and constants) that were looked at.
    pub records: u64,
    /// Share of them that is faulty, and the share that the reference leads to expect.
    pub share: f64,
    pub expected: f64,
    /// What values were multiplied by, for a unit change; the value itself, for a constant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<f64>,
}

/// One fault as readers see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    pub kind: FaultKind,
    /// `None` is the whole feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// Start of the first pane that has it, RFC 3339 UTC.
    pub since: String,
    pub audience: Audience,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Finding>,
    /// For people.
    pub sentence: String,
    /// Names that the baseline does not know and that came when the feature went: it may have been renamed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_names: Vec<String>,
    /// A person has taken it for drift: it bars nothing.
    pub accepted: bool,
}

impl Fault {
    /// A fault of a feature, or of the whole feed, that began at `since_ms`, seen at `now_ms` (event time).
    pub(super) fn found(
        feature: Option<&str>,
        finding: Finding,
        since_ms: i64,
        now_ms: i64,
        accepted: bool,
    ) -> Self {
        let since = rfc3339(since_ms);
        Self {
            kind: finding.kind,
            feature: feature.map(str::to_owned),
            sentence: format!("{} since {since}", finding.sentence(feature.unwrap_or("the feed"))),
            since,
            audience: audience(now_ms - since_ms),
            evidence: Some(finding),
            new_names: Vec::new(),
            accepted,
        }
    }

    /// The same with the names that came when the feature went.
    pub(super) fn with_names(mut self, names: &Strangers) -> Self {
        if self.kind == FaultKind::SchemaChange && !names.is_empty() {
            self.new_names = names.iter().map(str::to_owned).collect();
            let shown: Vec<String> =
                names.iter().take(NAMES).map(|name| format!("`{name}`")).collect();
            let more = match self.new_names.len().saturating_sub(NAMES) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let told = format!("; new since then: {}{more}", shown.join(", "));
            self.sentence.push_str(&told);
        }
        self
    }

    /// Rejects of the whole feed over the hour before `end_ms`.
    pub fn of_rejects(ratio: f64, allowed: f64, end_ms: i64) -> Self {
        let sentence = format!(
            "{:.1} % of the records of the last hour can't be used, where {:.1} % are allowed",
            100.0 * ratio,
            100.0 * allowed
        );
        Self {
            kind: FaultKind::Rejects,
            feature: None,
            since: rfc3339(end_ms - 3_600_000),
            audience: Audience::Sre,
            evidence: None,
            sentence,
            new_names: Vec::new(),
            accepted: false,
        }
    }
}

/// The plumbing's people first; who owns the model once it lasts.
fn audience(age_ms: i64) -> Audience {
    if age_ms > OLD_MS { Audience::Ml } else { Audience::Sre }
}

impl Finding {
    /// What is wrong with `feature`, with its numbers.
    pub fn sentence(&self, feature: &str) -> String {
        let Finding { kind, records, share, expected, number } = *self;
        let (share, expected) = (100.0 * share, 100.0 * expected);
        match (kind, number) {
            (FaultKind::NullSurge, _) => format!(
                "{feature} is missing, null, NaN or infinite in {share:.1} % of {records} records, where {expected:.1} % are expected"
            ),
            (FaultKind::TypeChange, _) => format!(
                "{feature} has the wrong type in {share:.1} % of {records} records, where {expected:.1} % are expected: type change"
            ),
            (FaultKind::SchemaChange, _) => format!(
                "{feature} is gone: {share:.1} % of {records} records have no such key; was it renamed or dropped?"
            ),
            (FaultKind::UnitChange, Some(factor)) => format!(
                "{feature} is {} of the reference, in mean and standard deviation alike, over {records} values: a change of unit{}",
                times(factor),
                unit::hint(factor)
            ),
            (FaultKind::Constant, Some(value)) => format!(
                "{feature} was {value} in each of {records} values in a row, where the reference varies"
            ),
            (FaultKind::UnitChange | FaultKind::Constant, None) => format!(
                "{feature} was one and the same in each of {records} values in a row, where the reference varies"
            ),
            (FaultKind::UnseenSurge, _) => format!(
                "{feature} is a category that the reference never saw in {share:.1} % of {records} values, where {expected:.1} % are expected; has its spelling changed?"
            ),
            (FaultKind::Rejects, _) => {
                format!("{share:.1} % of {records} records can't be used")
            }
            (FaultKind::Lag, _) => format!("{records} records are not read yet"),
            (FaultKind::Duplicates, _) => format!(
                "{share:.1} % of {records} sampled records had come before, byte for byte, where {expected:.1} % are usual: does a producer send again what it has sent?"
            ),
        }
    }
}

/// `x100`, `x0.01`: at most three digits, which is more than a guess of a unit needs.
fn times(factor: f64) -> String {
    let digits = factor.abs().log10().floor();
    let rounder = 10f64.powi(2).max(1.0) / 10f64.powf(digits);
    let rounded = (factor * rounder).round() / rounder;
    format!("x{rounded}")
}

/// Nats of evidence that a test needs in a model of `features` features.
fn nats(features: usize) -> f64 {
    (features.max(1) as f64 * TESTS / ALPHA).ln()
}

#[cfg(test)]
mod tests;
