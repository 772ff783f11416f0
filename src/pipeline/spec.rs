//! What the stages are told about one model: its settings, and how its baseline is counted.

use std::hash::Hasher;
use std::sync::Arc;

use jiff::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use crate::baseline::Baseline;
use crate::config::Model;
use crate::config::StartFrom;
use crate::decide::Policy;
use crate::deliver::Reader;
use crate::feature::Feature;
use crate::setting::season::Period;
use crate::source::Start;
use crate::window::Rules;

/// One model as configured; fixed while the process runs.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub model: Model,
    pub policy: Policy,
    /// Name of the retraining target, if there is one.
    pub trigger: Option<String>,
    /// Where people are told.
    pub people: Vec<Reader>,
    /// Link to the model, if the admin listener has an external address.
    pub url: Option<String>,
}

impl Spec {
    pub(super) fn name(&self) -> &str {
        &self.model.name
    }

    /// The season that was asked for.
    pub(super) fn season(&self) -> Period {
        self.model.drift_config.season.period
    }

    /// Where reading begins without a state.
    pub(super) fn start(&self, now_ms: i64) -> Start {
        match self.model.start {
            StartFrom::Earliest => Start::Earliest,
            StartFrom::Latest => Start::Latest,
            StartFrom::Time(time) => Start::Time(Timestamp::as_millisecond(time)),
            StartFrom::Window => {
                let back = self.model.window().as_ms() + self.model.lateness.as_ms();
                Start::Time(now_ms - back)
            }
        }
    }
}

/// A baseline in force: what live records are counted by and compared with.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub baseline: Arc<Baseline>,
    pub rules: Arc<Rules>,
    /// One per feature of the baseline, in its order.
    pub features: Arc<Vec<Feature>>,
    /// Where it came from, if a command named another place than the configuration; it is looked at
    /// there for changes, until the configuration names another.
    pub place: Option<String>,
}

impl Watched {
    /// Goes over to `baseline` for records from `active_from_ms` (event time) on.
    pub(super) fn new(spec: &Spec, baseline: Arc<Baseline>, active_from_ms: i64) -> Self {
        let cells = baseline.features.iter().map(|f| f.cells.clone()).collect();
        let features = baseline.features.iter().map(|f| f.feature()).collect();
        let rules = Rules {
            hash: rules_hash(spec, &baseline, active_from_ms),
            pane_ms: spec.model.pane.as_ms(),
            lateness_ms: spec.model.lateness.as_ms(),
            active_from_ms,
            cells,
        };
        Self { baseline, rules: Arc::new(rules), features: Arc::new(features), place: None }
    }
}

/// Everything that decides what is counted where: counts of two different hashes never mix.
fn rules_hash(spec: &Spec, baseline: &Baseline, active_from_ms: i64) -> u64 {
    let model = &spec.model;
    let mut hasher = Xxh3::new();
    hasher.write(baseline.rules_digest().as_bytes());
    // The settings' own JSON: a new setting that changes counting is in it without a line here.
    for part in [
        serde_json::to_string(&model.fields),
        serde_json::to_string(&model.json),
        serde_json::to_string(&model.format),
        serde_json::to_string(&model.pane),
        serde_json::to_string(&model.lateness),
        serde_json::to_string(&model.max_record_bytes),
    ] {
        hasher.write(part.unwrap_or_default().as_bytes());
    }
    hasher.write_i64(active_from_ms);
    hasher.finish()
}
