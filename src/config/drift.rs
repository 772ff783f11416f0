//! The `drift_config` block: baseline, thresholds, and the gates before a trigger.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use serde_json::Value;

use crate::baseline::Convention;
use crate::compare::Statistic;
use crate::config::importance::Importance;
use crate::decide::{Level, Rule, with_lines_of};
use crate::deliver::Trigger;
use crate::feature::Role;
use crate::setting::Budget;
use crate::setting::Span;
use crate::setting::season::Season;

const DAY: u64 = 86_400;

/// When a model has drifted, and what happens then.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DriftConfig {
    /// The training data, or a profile of it: a file or a folder at a path, `s3://bucket/key`, or another
    /// place of docs/baselines.md.
    pub reference_dataset: String,
    /// The length of the window in hours; 24 if neither this nor `window` is given.
    #[serde(default)]
    pub monitoring_window_hours: Option<f64>,
    /// The length of the window as a span: `30m`, `24h`.
    #[serde(default)]
    pub window: Option<Span>,
    /// Whose numbers scores are: bins, smoothing, base and lines of that tool. Unset: those that a
    /// saved profile was built for, else driftd's own.
    #[serde(default)]
    pub profile: Option<Convention>,
    /// The lines that scores must not cross.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// The pipeline that is started when drift is real and large.
    #[serde(default)]
    pub retraining_trigger: Option<Trigger>,
    /// A window with fewer records reaches back by whole panes, up to `max_age`; with fewer even then its
    /// scores trigger nothing.
    #[serde(default = "default_min_records")]
    #[schemars(range(min = 1))]
    pub min_records: u64,
    /// How far a thin window reaches back at most, and how long closed panes are kept.
    #[serde(default = "default_max_age")]
    pub max_age: Span,
    /// How long a partition whose owner is gone holds the window back.
    #[serde(default = "default_max_stall")]
    pub max_stall: Span,
    /// How far what was read may be behind the present, with records unread, before nothing is triggered
    /// until they are read; as long as the window if unset: then nothing of it is of the present one.
    #[serde(default)]
    pub max_lag: Option<Span>,
    /// The share of rejected records in an hour above which nothing triggers.
    #[serde(default = "default_max_reject_ratio")]
    #[schemars(range(min = 0, max = 1))]
    pub max_reject_ratio: f64,
    /// Features that must have crossed together.
    #[serde(default = "default_min_features")]
    #[schemars(range(min = 1))]
    pub min_features: usize,
    /// The share of the watched features that must have crossed together, rounded up; with `min_features`,
    /// whichever asks for more.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub min_share: f64,
    /// Retrainings that are started at most, in event time.
    #[serde(default = "default_max_retrains")]
    pub max_retrains: Budget,
    /// False retrainings that are tolerated: the budget of the sequential test.
    #[serde(default = "default_false_retrains")]
    pub false_retrains: Budget,
    /// An incident that nobody closes is closed after this.
    #[serde(default = "default_expire_after")]
    pub expire_after: Span,
    /// Decide, record and log what would be sent, and send nothing about this model: no trigger, and no message
    /// to anybody.
    #[serde(default)]
    pub dry_run: bool,
    /// How scores become levels: by evidence against the budget of false retrains, or by the window alone.
    #[serde(default)]
    pub rule: Rule,
    /// How much more counts vary than independent records would; measured where the baseline has a time
    /// column, else learnt from three live days.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub design_effect: Option<f64>,
    /// The season that live is compared within: `auto`, `none`, `day` or `week`, alone or with its time
    /// zone. `auto` takes one per feature where the baseline's time column shows it.
    #[serde(default)]
    pub season: Season,
    /// What each feature matters (SHAP values or any other), here or in a `file`; 1 for those not named, 0
    /// takes one out.
    #[serde(default)]
    pub importance: Importance,
}

fn default_min_records() -> u64 {
    200
}

fn default_max_age() -> Span {
    Span::from_secs(7 * DAY)
}

fn default_max_stall() -> Span {
    Span::from_secs(30 * 60)
}

fn default_max_reject_ratio() -> f64 {
    0.05
}

fn default_min_features() -> usize {
    1
}

fn default_max_retrains() -> Budget {
    Budget { count: 2, period: Span::from_secs(7 * DAY) }
}

fn default_false_retrains() -> Budget {
    Budget { count: 1, period: Span::from_secs(30 * DAY) }
}

fn default_expire_after() -> Span {
    Span::from_secs(14 * DAY)
}

impl DriftConfig {
    /// The length of the window, however it was written.
    pub fn window(&self) -> Span {
        match (self.window, self.monitoring_window_hours) {
            (Some(window), _) => window,
            // The checks have seen to it that the number makes a span.
            (None, Some(hours)) => {
                let exact = Duration::try_from_secs_f64(hours * 3_600.0).unwrap_or_default();
                let ms = exact.saturating_add(Duration::from_micros(500)).as_millis();
                Span(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
            }
            (None, None) => Span::from_secs(DAY),
        }
    }

    /// How far it may be behind the present.
    pub fn max_lag(&self) -> Span {
        self.max_lag.unwrap_or_else(|| self.window())
    }

    /// Every line in force, by statistic and level: those written, the defaults, and those of the
    /// profile where nothing is written for their statistic.
    pub fn lines(&self) -> Vec<(Statistic, Level, f64)> {
        with_lines_of(self.profile.unwrap_or_default(), self.thresholds.lines())
    }
}

/// Lines by name: the customary three, and any statistic by its own name. Always complete: what is
/// not written has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "WrittenThresholds")]
pub struct Thresholds {
    /// PSI above which a feature is at `warning`.
    pub psi_alert: f64,
    /// PSI above which a feature is at `retrain`.
    pub psi_retrain: f64,
    /// PSI that is taken for no change at all; the sequential test will use it.
    pub psi_tolerance: f64,
    /// The p-value of the prediction's drift, tested once a window, below which it warns.
    pub prediction_drift_p_value: Option<f64>,
    /// The same of the model's confidence.
    pub confidence_drift_p_value: Option<f64>,
    /// The other statistics.
    #[serde(flatten)]
    pub others: BTreeMap<Statistic, Threshold>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenThresholds {
    psi_alert: Option<f64>,
    psi_retrain: Option<f64>,
    psi_tolerance: Option<f64>,
    prediction_drift_p_value: Option<f64>,
    confidence_drift_p_value: Option<f64>,
    #[serde(flatten)]
    others: BTreeMap<Statistic, Threshold>,
}

impl From<WrittenThresholds> for Thresholds {
    fn from(written: WrittenThresholds) -> Self {
        let mut others = written.others;
        // `psi:` is the same pair under the statistic's own name.
        let psi = others.remove(&Statistic::Psi);
        for (statistic, warning, retrain) in DEFAULTS {
            let line = others.get(&statistic);
            let warning = line.and_then(|line| line.warning()).unwrap_or(warning);
            let retrain = line.and_then(|line| line.retrain()).or(retrain);
            others.insert(statistic, Threshold::Lines { warning: Some(warning), retrain });
        }
        Self {
            psi_alert: written.psi_alert.or(psi.and_then(Threshold::warning)).unwrap_or(0.1),
            psi_retrain: written.psi_retrain.or(psi.and_then(Threshold::retrain)).unwrap_or(0.2),
            psi_tolerance: written.psi_tolerance.unwrap_or(0.01),
            prediction_drift_p_value: written.prediction_drift_p_value,
            confidence_drift_p_value: written.confidence_drift_p_value,
            others,
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        WrittenThresholds::default().into()
    }
}

/// What is in force for a statistic that the configuration does not name: `warning`, `retrain`.
/// Missing values and wrong types are faults and never retrain.
const DEFAULTS: [(Statistic, f64, Option<f64>); 4] = [
    (Statistic::Missing, 0.01, None),
    (Statistic::Unseen, 0.01, Some(0.05)),
    (Statistic::OutOfRange, 0.01, Some(0.05)),
    (Statistic::TypeError, 0.01, None),
];

/// The lines of one statistic; a single number is `warning`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Threshold {
    Warning(f64),
    Lines {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retrain: Option<f64>,
    },
}

impl Threshold {
    /// The line of level `warning`.
    pub fn warning(self) -> Option<f64> {
        match self {
            Threshold::Warning(value) => Some(value),
            Threshold::Lines { warning, .. } => warning,
        }
    }

    /// The line of level `retrain`.
    pub fn retrain(self) -> Option<f64> {
        match self {
            Threshold::Warning(_) => None,
            Threshold::Lines { retrain, .. } => retrain,
        }
    }
}

impl Thresholds {
    /// The p-value below which the drift of one of the model's outputs warns.
    pub fn p_value(&self, output: Role) -> Option<f64> {
        match output {
            Role::Prediction => self.prediction_drift_p_value,
            Role::Confidence => self.confidence_drift_p_value,
            Role::Feature | Role::Label | Role::Latency => None,
        }
    }

    /// Every line in force, defaults included, by statistic and level.
    pub fn lines(&self) -> Vec<(Statistic, Level, f64)> {
        let mut lines = vec![
            (Statistic::Psi, Level::Warning, self.psi_alert),
            (Statistic::Psi, Level::Retrain, self.psi_retrain),
        ];
        for (statistic, line) in &self.others {
            lines.extend(line.warning().map(|value| (*statistic, Level::Warning, value)));
            lines.extend(line.retrain().map(|value| (*statistic, Level::Retrain, value)));
        }
        lines
    }
}

impl JsonSchema for Thresholds {
    fn schema_name() -> Cow<'static, str> {
        "Thresholds".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let number = |description: &str, maximum: Option<f64>| {
            let mut schema = json_schema!({
                "type": ["number", "null"], "description": description, "exclusiveMinimum": 0,
            });
            if let Some(maximum) = maximum {
                schema.insert("maximum".into(), maximum.into());
            }
            Value::from(schema)
        };
        let mut properties = Map::new();
        properties.insert(
            "psi_alert".into(),
            number("PSI above which a feature is at `warning`: 0.1.", None),
        );
        properties.insert(
            "psi_retrain".into(),
            number("PSI above which a feature is at `retrain`: 0.2.", None),
        );
        properties.insert(
            "psi_tolerance".into(),
            number("PSI that is taken for no change at all: 0.01.", None),
        );
        for output in Role::OUTPUTS {
            let output = output.as_str();
            let text = format!(
                "p-value of the {output}'s drift, tested once a window, below which it warns."
            );
            properties.insert(format!("{output}_drift_p_value"), number(&text, Some(1.0)));
        }
        for name in statistic_names(generator) {
            let line = generator.subschema_for::<Threshold>();
            properties.insert(name, line.into());
        }
        json_schema!({
            "type": "object",
            "description": "The lines that scores must not cross, by statistic.",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

/// As they are written, in the order of the enum.
fn statistic_names(generator: &mut SchemaGenerator) -> Vec<String> {
    let schema = Value::from(Statistic::json_schema(generator));
    let plain = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|one| one["enum"].as_array().into_iter().flatten().chain(one.get("const")));
    plain.chain(described).filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

impl JsonSchema for Threshold {
    fn schema_name() -> Cow<'static, str> {
        "Threshold".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number is the `warning` line.",
            "anyOf": [
                {"type": "number"},
                {
                    "type": "object",
                    "properties": {
                        "warning": {"type": ["number", "null"]},
                        "retrain": {"type": ["number", "null"]},
                    },
                    "additionalProperties": false,
                },
            ],
        })
    }
}
