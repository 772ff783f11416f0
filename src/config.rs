//! Gathers each stage's own settings into one file, and reports every fault in it at once.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::ClientConfig;
use crate::compare::Statistic;
use crate::deliver;
use crate::fetch;
use crate::http;
use crate::kafka;
use crate::kafka::dead_letter;
use crate::metrics;
use crate::store;

mod check;
mod document;
mod drift;
mod fault;
pub mod fit;
mod fold;
mod importance;
mod interpolate;
mod load;
mod model;
mod schema;
mod typing;
mod yaml;

pub use drift::{DriftConfig, Threshold, Thresholds};
pub use fault::{Error, Fault, Faults, Mark};
pub use importance::Importance;
pub use load::{Loaded, load, parse};
pub use model::{Model, StartFrom};
pub use schema::schema;
pub use yaml::{quote, to_yaml};

/// Everything that driftd is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The brokers, and the options of librdkafka.
    pub kafka: kafka::Config,
    /// What is watched. For one model its keys may stand at the top level instead.
    pub models: Vec<Model>,
    /// What this process does: `ingest` only counts, `evaluate` only decides, `all` does both. Other than
    /// `all` needs `state.backend: kafka`.
    #[serde(default)]
    pub role: Role,
    /// Where records that could not be used are copied; without it they are only counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<dead_letter::Config>,
    /// Where counts, offsets and incidents are kept.
    #[serde(default)]
    pub state: store::Config,
    /// The two listeners.
    #[serde(default)]
    pub http: http::Config,
    /// Where messages for people go.
    #[serde(default)]
    pub notifiers: deliver::Notifiers,
    /// How other systems are reached over HTTP: webhooks, notifiers, baselines of web servers, MLflow.
    #[serde(default)]
    pub client: ClientConfig,
    /// How baselines are read.
    #[serde(default)]
    pub baselines: fetch::Config,
    /// What is exported to Prometheus.
    #[serde(default)]
    pub metrics: Exported,
    /// What is logged, on standard error.
    #[serde(default)]
    pub log: Log,
    /// `validate` refuses what would export more time series than this; a running daemon leaves the
    /// features of its last models out.
    #[serde(default = "default_max_series")]
    #[schemars(range(min = 1))]
    pub max_series: u64,
}

/// What a process does of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[default]
    All,
    Ingest,
    Evaluate,
}

impl Role {
    pub fn counts(self) -> bool {
        matches!(self, Role::All | Role::Ingest)
    }

    pub fn evaluates(self) -> bool {
        matches!(self, Role::All | Role::Evaluate)
    }
}

fn default_max_series() -> u64 {
    50_000
}

impl Config {
    /// How long a record of the Kafka backend must be there without being renewed: the longest history of
    /// a model, and a few days in which nobody looks after it.
    pub fn kept(&self) -> Duration {
        let history = |model: &Model| {
            let window = model.window().0.max(model.drift_config.max_age.0);
            window + model.lateness.0
        };
        let longest = self.models.iter().map(history).max().unwrap_or_default();
        longest + Duration::from_secs(3 * 86_400)
    }

    /// What the metrics stage is told.
    pub fn metrics(&self) -> metrics::Config {
        let max_series = usize::try_from(self.max_series).unwrap_or(usize::MAX);
        metrics::Config { statistics: self.metrics.statistics.clone(), max_series }
    }
}

/// What is exported to Prometheus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exported {
    /// Statistics with a series for each feature; reports have all of them.
    pub statistics: Vec<Statistic>,
}

impl Default for Exported {
    fn default() -> Self {
        Self { statistics: metrics::Config::default().statistics }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// One JSON object a line, or text for people.
    pub format: LogFormat,
    /// The least important line that is still written.
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// The directive that `tracing` understands.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}
