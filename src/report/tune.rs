//! What `driftd tune` found out: the data's own noise, a policy that fits it, and what that will see.

use serde::Serialize;
use serde_json::Value;

pub mod text;

/// Everything, in the order that it is told.
#[derive(Clone, Debug, Serialize)]
pub struct Tuned {
    pub model: String,
    pub input: Input,
    pub baseline: Baseline,
    pub rate: Rate,
    pub design_effects: Vec<Effect>,
    pub windows: Vec<Window>,
    /// Whole days that were put in another order to see what no drift looks like, and how often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffled: Option<Shuffled>,
    pub proposal: Proposal,
    pub power: Vec<Row>,
    /// What a person should know before taking it over.
    pub notes: Vec<String>,
    /// The proposal as a part of a model's configuration.
    pub config: Value,
}

#[derive(Clone, Debug, Serialize)]
pub struct Input {
    pub source: String,
    /// Where a row's time was taken from.
    pub time: String,
    pub start: String,
    pub end: String,
    pub records: u64,
    pub rejected: u64,
    pub late: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Baseline {
    pub source: String,
    pub rows: u64,
    /// Its features that can be watched, and all of them.
    pub watched: usize,
    pub features: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rate {
    pub per_hour: f64,
    /// In a pane of the proposal.
    pub per_pane: f64,
}

/// How many records of a feature are worth one that is independent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    pub feature: String,
    pub body: f64,
    pub missing: f64,
    pub from: EffectFrom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectFrom {
    /// `design_effect` of the configuration.
    Configured,
    /// The baseline's own time column.
    Baseline,
    /// The records that were read.
    Records,
    /// Nothing shows it: 4.
    Assumed,
}

/// A window that might be taken: PSI that noise alone exceeds once in a thousand looks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    pub hours: u64,
    pub records: u64,
    pub median_floor: f64,
    pub worst_floor: f64,
    pub worst_feature: String,
    /// The PSI of the worst feature that one window in a hundred exceeds when the days are shuffled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffled_psi: Option<f64>,
    /// So often in 30 days some feature is above 0.2 then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffled_above_0_2: Option<f64>,
    /// The customary 0.1 and 0.2 are above both.
    pub fits: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shuffled {
    pub days: usize,
    pub shuffles: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    pub pane: String,
    pub window: String,
    pub psi_alert: f64,
    pub psi_retrain: f64,
    pub min_records: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub design_effect: Option<f64>,
    pub false_retrains: String,
    /// Panes that pass for one false retrain, and the evidence (natural logarithm) that one feature needs.
    pub panes_per_false_retrain: f64,
    pub evidence_needed: f64,
    /// Why it is so, a sentence each.
    pub reasons: Vec<String>,
}

/// One change, over the features that can have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub change: String,
    /// Soonest first; those that never see it last.
    pub features: Vec<Seen>,
}

/// How many records since the change it takes; absent: never.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    pub feature: String,
    pub psi: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrain: Option<f64>,
}

impl Row {
    /// The feature in the middle: half of them see it no later.
    pub fn median(&self) -> Option<&Seen> {
        self.features.get((self.features.len().max(1) - 1) / 2)
    }
}
