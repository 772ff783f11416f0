//! One watched model: where its records are, what they look like, and the block that says when it has drifted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::baseline::FeatureOverride;
use crate::baseline::Overrides;
use crate::compare::Statistic;
use crate::config::drift::DriftConfig;
use crate::decide::check::{Check, Range};
use crate::decide::evidence::log_panes_allowed;
use crate::decide::{Level, Policy};
use crate::decode::Fields;
use crate::decode::Format;
use crate::decode::JsonOptions;
use crate::decode::Options;
use crate::feature::Role;
use crate::setting::ByteSize;
use crate::setting::Span;
use crate::setting::season::Period;

/// What is watched: a topic, a baseline and a policy.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Up to 128 of `A-Z a-z 0-9 _ . : / -`; the topic's name if not given.
    #[serde(default)]
    pub name: String,
    /// The topic of the inference records; several models may share one (`fields.model`, `fields.where`).
    pub topic: String,
    /// How the records are written.
    #[serde(default)]
    pub format: Format,
    /// Where in a record things are.
    #[serde(default)]
    pub fields: Fields,
    /// What is let pass in JSON records.
    #[serde(default)]
    pub json: JsonOptions,
    /// What the baseline's own columns do not say, by feature.
    #[serde(default)]
    pub features: BTreeMap<String, FeatureOverride>,
    /// Columns of the baseline that are no features.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// The baseline's column that says when a row happened; `none`: no column does. Found by type and name
    /// if not given.
    #[serde(default)]
    pub time_column: Option<String>,
    /// What live values have to be, window by window; at most 200.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Where reading begins when there is no state: `window` (now - window - lateness), `earliest`,
    /// `latest`, or a time in RFC 3339.
    #[serde(default)]
    pub start: StartFrom,
    /// The slices of event time that counts are kept in: 1, 2, 5, 10, 15 or 30 s or min, or 1 h.
    #[serde(default = "default_pane")]
    pub pane: Span,
    /// How long a pane waits for late records, in event time.
    #[serde(default = "default_lateness")]
    pub lateness: Span,
    /// A larger record is rejected as `too_large`.
    #[serde(default = "default_max_record_bytes")]
    pub max_record_bytes: ByteSize,
    /// Baseline, thresholds and trigger. Its keys may also stand on the model itself.
    pub drift_config: DriftConfig,
}

fn default_pane() -> Span {
    Span::from_secs(5 * 60)
}

fn default_lateness() -> Span {
    Span::from_secs(15 * 60)
}

fn default_max_record_bytes() -> ByteSize {
    ByteSize(1 << 20)
}

impl Model {
    /// The length of the monitoring window.
    pub fn window(&self) -> Span {
        self.drift_config.window()
    }

    /// Where things are in this model's records.
    pub fn fields(&self) -> Fields {
        self.fields.clone()
    }

    /// What is said about the baseline's columns.
    pub fn overrides(&self) -> Overrides {
        let is_prediction = |settings: &FeatureOverride| settings.role == Some(Role::Prediction);
        let prediction = self.features.iter().find(|(_, settings)| is_prediction(settings));
        let watches = |role| self.drift_config.thresholds.p_value(role).is_some();
        // Borders of slots are borders of shorter panes in every zone.
        let seasonal = self.drift_config.season.period != Period::None
            && self.pane.as_ms() > default_pane().as_ms();
        Overrides {
            features: self.features.clone(),
            ignore: self.ignore.iter().cloned().collect(),
            time_column: self.time_column.clone(),
            prediction: prediction.map(|(name, _)| name.clone()),
            watch_prediction: watches(Role::Prediction),
            watch_confidence: watches(Role::Confidence),
            convention: self.drift_config.profile,
            season: self.drift_config.season.clone(),
            ranges: self.ranges(),
            pane_ms: seasonal.then(|| self.pane.as_ms()),
        }
    }

    /// Ranges of values that checks tell apart, by feature.
    fn ranges(&self) -> BTreeMap<String, Vec<Range>> {
        let mut all: BTreeMap<String, Vec<Range>> = BTreeMap::new();
        for check in &self.checks {
            let ranges = check.ranges();
            if let Some(feature) = check.feature.as_ref().filter(|_| !ranges.is_empty()) {
                all.entry(feature.clone()).or_default().extend(ranges);
            }
        }
        all
    }

    /// How its payloads are read.
    pub fn options(&self) -> Options {
        let max_record_bytes = usize::try_from(self.max_record_bytes.0).unwrap_or(usize::MAX);
        Options { json: self.json, max_record_bytes }
    }

    /// What decides about this model, with every default filled in.
    pub fn policy(&self) -> Policy {
        let drift = &self.drift_config;
        let pane_ms = self.pane.as_ms();
        let panes = |span: Span| usize::try_from(span.as_ms() / pane_ms).unwrap_or(usize::MAX);
        Policy {
            thresholds: drift.lines(),
            psi_tolerance: drift.thresholds.psi_tolerance,
            window_panes: panes(self.window()),
            pane_ms,
            max_age_panes: panes(drift.max_age),
            min_records: drift.min_records,
            max_reject_ratio: drift.max_reject_ratio,
            min_features: drift.min_features,
            min_share: drift.min_share,
            output_p_values: Role::OUTPUTS
                .into_iter()
                .filter_map(|role| Some((role, drift.thresholds.p_value(role)?)))
                .collect(),
            max_retrains: drift.max_retrains.count,
            retrain_period_ms: drift.max_retrains.period.as_ms(),
            design_effect: drift.design_effect,
            rule: drift.rule,
            importance: drift.importance.weights.clone(),
            log_panes_allowed: log_panes_allowed(
                drift.false_retrains.period.as_ms(),
                drift.false_retrains.count,
                pane_ms,
            ),
            expire_after_ms: drift.expire_after.as_ms(),
            dry_run: drift.dry_run
                || drift.retraining_trigger.as_ref().is_some_and(|trigger| trigger.dry_run),
            has_trigger: drift.retraining_trigger.is_some(),
        }
    }

    /// The line of `statistic` at `level`, if it has one.
    pub fn threshold(&self, statistic: Statistic, level: Level) -> Option<f64> {
        let lines = self.drift_config.lines();
        lines.into_iter().find(|line| (line.0, line.1) == (statistic, level)).map(|line| line.2)
    }
}

/// Where reading begins when the state has no offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// The offsets of now - window - lateness.
    #[default]
    Window,
    Earliest,
    Latest,
    Time(Timestamp),
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is no place to start; write window, earliest, latest, or a time such as 2026-11-01T00:00:00Z"
)]
pub struct BadStart(String);

impl FromStr for StartFrom {
    type Err = BadStart;

    fn from_str(text: &str) -> Result<Self, BadStart> {
        match text.trim() {
            "window" => Ok(Self::Window),
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => time.parse().map(Self::Time).map_err(|_| BadStart(text.to_owned())),
        }
    }
}

impl fmt::Display for StartFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartFrom::Window => f.write_str("window"),
            StartFrom::Earliest => f.write_str("earliest"),
            StartFrom::Latest => f.write_str("latest"),
            StartFrom::Time(time) => time.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for StartFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for StartFrom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for StartFrom {
    fn schema_name() -> Cow<'static, str> {
        "StartFrom".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "window, earliest, latest, or a time in RFC 3339.",
            "type": "string",
            "pattern": "^(window|earliest|latest|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+)$",
        })
    }
}
