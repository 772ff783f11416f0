//! What a policy would have done about a stretch of records: as JSON, as text and as a page.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::baseline::FeatureBaseline;
use crate::compare::Statistic;
use crate::compare::bin_edges;
use crate::decide::DriftState;
use crate::decide::FeatureVerdict;
use crate::decide::Incident;
use crate::decide::Level;
use crate::decide::Suppression;
use crate::decide::fault::Fault;
use crate::histogram::Cells;
use crate::report::words::short;

pub mod page;
mod pictures;
pub mod series;
pub mod text;

use series::Series;

/// What was replayed, and what came of it under each policy.
#[derive(Clone, Debug)]
pub struct Replay {
    pub input: Input,
    pub runs: Vec<Run>,
}

/// Where the records came from.
#[derive(Clone, Debug, Serialize)]
pub struct Input {
    pub source: String,
    pub files: usize,
    /// `ndjson`, `parquet` or `kafka`.
    pub format: &'static str,
    pub bytes: u64,
    /// They were put in order of time first.
    pub sorted: bool,
    /// What was read of a topic; those without a record are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionRead>,
}

/// Offsets `[from, to)` of one partition.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PartitionRead {
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

impl Input {
    /// For people: what it is and how much.
    fn describe(&self) -> String {
        let Input { files, format, bytes, sorted, partitions, .. } = self;
        let many = match (partitions.len(), *files) {
            (0, 1) => String::new(),
            (0, files) => format!(", {files} files"),
            (n, _) => {
                let offsets: u64 = partitions.iter().map(|read| read.to.abs_diff(read.from)).sum();
                let s = if n == 1 { "" } else { "s" };
                format!(", {offsets} offsets of {n} partition{s}")
            }
        };
        let sorted = if *sorted { ", put in order of time" } else { "" };
        format!("{format}{many}, {:.1} MB{sorted}", *bytes as f64 / 1e6)
    }
}

/// One policy, from the first record to the last.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The configuration file.
    pub policy: String,
    pub model: String,
    pub baseline: BaselineUsed,
    pub settings: Settings,
    /// Where a row's time was taken from.
    pub time: String,
    pub start: Option<String>,
    pub end: Option<String>,
    /// Closed panes, empty ones included.
    pub panes: u64,
    /// Records that were counted.
    pub records: u64,
    pub late: u64,
    pub other_models: u64,
    pub rejected: u64,
    pub rejects: BTreeMap<&'static str, u64>,
    /// What a rejected record may be about, by reason.
    pub reject_hints: BTreeMap<&'static str, String>,
    pub totals: Totals,
    /// Panes in which a due trigger was held back, by reason.
    pub suppressed: BTreeMap<Suppression, u64>,
    pub events: Vec<Event>,
    pub incidents: Vec<Incident>,
    /// Worst first.
    pub features: Vec<FeatureRun>,
    pub series: Series,
    /// What the data itself does without drift, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null: Option<Null>,
}

#[derive(Clone, Debug, Serialize)]
pub struct BaselineUsed {
    pub source: String,
    pub digest: String,
    pub rows: u64,
}

/// What decided.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    pub window_ms: i64,
    pub pane_ms: i64,
    pub lateness_ms: i64,
    pub min_records: u64,
    pub design_effect: f64,
    pub thresholds: Vec<Line>,
    /// How many retrainings in which time, such as `2 per 7d`.
    pub max_retrains: String,
    /// After how long an incident was closed; without it incidents stay open until they expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_after_ms: Option<i64>,
}

/// A line that scores must not cross.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    pub statistic: Statistic,
    pub level: Level,
    pub threshold: f64,
}

/// How often each thing came; a warning counts when people are told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub notices: u64,
    pub warnings: u64,
    pub triggers: u64,
    pub faults: u64,
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The window is full and nothing drifts.
    Healthy,
    Notice,
    Warning,
    /// Over the line of retraining, and held back.
    Drifted,
    /// A retraining was started.
    Trigger,
    /// Drift has gone.
    Clear,
    /// The incident was closed.
    Closed,
    /// What came in could not be trusted, or can again.
    Fault,
    /// A check is violated, or passes again.
    Check,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Healthy => "healthy",
            Kind::Notice => "notice",
            Kind::Warning => "warning",
            Kind::Drifted => "drifted",
            Kind::Trigger => "trigger",
            Kind::Clear => "clear",
            Kind::Closed => "closed",
            Kind::Fault => "fault",
            Kind::Check => "check",
        }
    }
}

/// One thing that people would have been told, or the daemon would have done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// End of the pane that it was decided in.
    pub time: String,
    #[serde(skip)]
    pub at_ms: i64,
    pub kind: Kind,
    pub drift: DriftState,
    /// What is real, by the most evidence; else the score that is furthest over, or nearest to, a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Statistic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Since when it drifts, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// People are told of it: a warning, once until the model is healthy again, or a trigger.
    pub told: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suppressed_by: Vec<Suppression>,
    /// What is wrong with the feed, of a change in that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    pub explanation: String,
}

/// A feature over the whole replay.
#[derive(Clone, Debug, Serialize)]
pub struct FeatureRun {
    /// The verdict at the last pane.
    #[serde(flatten)]
    pub last: FeatureVerdict,
    /// When it was furthest over, or nearest to, one of its lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst: Option<Worst>,
}

/// A feature's worst moment.
#[derive(Clone, Debug, Serialize)]
pub struct Worst {
    /// End of the pane.
    pub time: String,
    pub statistic: Statistic,
    pub score: f64,
    pub threshold: f64,
    pub level: Level,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_floor: Option<f64>,
    /// The line was crossed: the score was above it, and no noise.
    pub crossed: bool,
    /// Panes in which some line of it was crossed.
    pub panes_over: u64,
    pub bins: Vec<Bin>,
}

/// One bin of a picture: shares of all values that fell in one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bin {
    pub label: String,
    pub reference: f64,
    pub live: f64,
}

/// What the present policy and the customary one do about the same days in another order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Null {
    pub shuffles: u32,
    pub seed: u64,
    /// Whole days that were permuted; of each shuffle the first part is the reference.
    pub days: usize,
    pub reference_days: usize,
    /// Days that were watched, over all shuffles.
    pub stream_days: usize,
    /// Triggers of the present policy.
    pub policy: Rate,
    /// Windows in which some feature's PSI went over 0.2.
    pub psi_above_0_2: Rate,
}

/// How often it came, and per 30 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    pub count: u64,
    pub per_30_days: f64,
}

/// The limits of each bin, or its first category, for people.
pub fn bin_labels(feature: &FeatureBaseline) -> Vec<String> {
    match &feature.cells {
        Cells::Numeric(_) => {
            let edges = bin_edges(feature);
            let label = |bin: usize| match (bin.checked_sub(1).map(|i| edges[i]), edges.get(bin)) {
                (None, None) => "all".to_owned(),
                (None, Some(to)) => format!("≤ {}", short(*to)),
                (Some(from), None) => format!("> {}", short(from)),
                (Some(from), Some(to)) => format!("{} – {}", short(from), short(*to)),
            };
            (0..=edges.len()).map(label).collect()
        }
        Cells::Categorical(cells) => {
            let name = |&start: &u32| cells.categories.get(start as usize).cloned();
            let starts = feature.bins.starts.iter();
            starts.map(|start| name(start).unwrap_or_else(|| "rest".to_owned())).collect()
        }
    }
}

impl Replay {
    /// Some policy would have started a retraining.
    pub fn triggered(&self) -> bool {
        self.runs.iter().any(|run| run.totals.triggers > 0)
    }

    /// One document: the run's keys at the top with `input` beside them; with several policies one
    /// such object for each under `policies`.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct One<'a> {
            input: &'a Input,
            #[serde(flatten)]
            run: &'a Run,
        }
        #[derive(Serialize)]
        struct Several<'a> {
            input: &'a Input,
            policies: &'a [Run],
        }
        let json = match self.runs.as_slice() {
            [run] => serde_json::to_string(&One { input: &self.input, run }),
            runs => serde_json::to_string(&Several { input: &self.input, policies: runs }),
        };
        json.expect("plain data with string keys and finite numbers") + "\n"
    }
}
