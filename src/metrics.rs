//! Every Prometheus metric, its help text, and the verb that records it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::Statistic;
use crate::decide::view::View;
use crate::decode::Reason;
use crate::metrics::names::{
    COUNTERS, EVALUATION, GAUGES, HISTOGRAMS, LAG, OLDEST, QUEUE, SNAPSHOT_AGE, WATERMARK,
};
use crate::metrics::text::Families;

mod drift;
mod labels;
mod names;
mod process;
mod samples;
mod settings;
mod text;

pub use samples::{Sample, Samples};

/// What `/metrics` must be sent as; Prometheus 3 refuses an exposition without its version.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One family, as people read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    pub help: &'static str,
    /// Names of its labels, in their order; the `le` of a histogram's buckets comes behind them.
    pub labels: &'static [&'static str],
}

/// Every family that can be on `/metrics`, but for those of the process itself.
pub fn families() -> Vec<About> {
    let labels = labels::of;
    let about = |(name, kind, help): names::Named| {
        let (kind, labels) = (kind.as_str(), labels(name));
        About { name, kind, help, labels }
    };
    let recorded =
        |kind| move |&(name, help): &(_, _)| About { name, kind, help, labels: labels(name) };
    let histogram = |&(name, help, _): &(_, _, _)| About {
        name,
        kind: "histogram",
        help,
        labels: labels(name),
    };
    let mut all: Vec<About> = COUNTERS.iter().map(recorded("counter")).collect();
    all.extend(GAUGES.iter().map(recorded("gauge")));
    all.extend(HISTOGRAMS.iter().map(histogram));
    all.extend([WATERMARK, EVALUATION, LAG, SNAPSHOT_AGE, QUEUE, OLDEST].map(about));
    all.extend(drift::families().map(about));
    all.sort_by_key(|family| family.name);
    all
}

/// What is exported of the drift families.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Statistics with a series for each feature; reports have all of them.
    pub statistics: Vec<Statistic>,
    /// With more series than this, per-feature families of the last models are left out.
    pub max_series: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            statistics: vec![Statistic::Psi, Statistic::Js, Statistic::Ks, Statistic::Wasserstein],
            max_series: 50_000,
        }
    }
}

static METADATA: Metadata<'static> =
    Metadata::new(module_path!(), metrics::Level::INFO, Some(module_path!()));

/// The handle that every stage records through; clones share one set of series.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// Series that must be able to vanish; the exporter cannot forget one.
    vanishing: Mutex<Vanishing>,
}

#[derive(Default)]
struct Vanishing {
    /// Event time up to which a model's records have come, and when it was last evaluated.
    watermarks: BTreeMap<String, i64>,
    evaluations: BTreeMap<String, i64>,
    lag: BTreeMap<(String, i32), u64>,
    queues: BTreeMap<String, (usize, Option<i64>)>,
    snapshot_ms: Option<i64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A recorder of its own, not the process's global one: two pipelines in one process, as in
    /// tests, do not mix.
    pub fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for (name, _, buckets) in HISTOGRAMS {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
                .expect("every histogram has buckets");
        }
        let recorder = builder.build_recorder();
        for (name, help) in COUNTERS {
            recorder.describe_counter(KeyName::from_const_str(name), None, help.into());
        }
        for (name, help) in GAUGES {
            recorder.describe_gauge(KeyName::from_const_str(name), None, help.into());
        }
        for (name, help, _) in HISTOGRAMS {
            recorder.describe_histogram(KeyName::from_const_str(name), None, help.into());
        }
        let handle = recorder.handle();
        let metrics = Self(Arc::new(Inner { recorder, handle, vanishing: Mutex::default() }));
        metrics.gauge("driftd_build_info", &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
        // Without labels they can be there from the start, so that a first increase is seen.
        for name in [
            "driftd_consumer_rebalances_total",
            "driftd_consumer_stall_recoveries_total",
            "driftd_kafka_token_failures_total",
            "driftd_state_snapshots_total",
            "driftd_state_snapshot_failures_total",
            "driftd_config_reload_failures_total",
        ] {
            metrics.count(name, &[], 0);
        }
        metrics
    }

    /// Starts the counters of a model at 0, so that a first increase is seen as one.
    pub fn expect_model(&self, topic: &str, model: &str) {
        self.records_consumed(topic, 0, 0);
        self.records_late(topic, model, 0);
        self.panes_closed(model, 0);
        self.count("driftd_baseline_refresh_failures_total", &[("model", model)], 0);
        self.config_mismatch(model, false);
        for reason in Reason::ALL {
            self.records_rejected(topic, model, reason, 0);
        }
    }

    pub fn records_consumed(&self, topic: &str, records: u64, bytes: u64) {
        self.count("driftd_records_consumed_total", &[("topic", topic)], records);
        self.count("driftd_record_bytes_total", &[("topic", topic)], bytes);
    }

    pub fn records_rejected(&self, topic: &str, model: &str, reason: Reason, records: u64) {
        let labels = [("topic", topic), ("model", model), ("reason", reason.as_str())];
        self.count("driftd_records_rejected_total", &labels, records);
    }

    /// `fate` is a word of the dead letters' closed set, such as `written`.
    pub fn dead_letters(&self, fate: &'static str, copies: u64) {
        self.count("driftd_dead_letters_total", &[("fate", fate)], copies);
    }

    pub fn records_late(&self, topic: &str, model: &str, records: u64) {
        let labels = [("topic", topic), ("model", model)];
        self.count("driftd_records_late_total", &labels, records);
    }

    pub fn records_other_model(&self, topic: &str, records: u64) {
        self.count("driftd_records_other_model_total", &[("topic", topic)], records);
    }

    pub fn duplicate_keys(&self, topic: &str, model: &str, records: u64) {
        let labels = [("topic", topic), ("model", model)];
        self.count("driftd_duplicate_keys_total", &labels, records);
    }

    pub fn imprecise_numbers(&self, topic: &str, model: &str, numbers: u64) {
        let labels = [("topic", topic), ("model", model)];
        self.count("driftd_imprecise_numbers_total", &labels, numbers);
    }

    /// Many a record: its producer writes no stable order of keys, and decoding takes the longer way.
    pub fn keys_looked_up(&self, topic: &str, model: &str, keys: u64) {
        let labels = [("topic", topic), ("model", model)];
        self.count("driftd_keys_looked_up_total", &labels, keys);
    }

    /// `cause` is a word of the source's closed set, such as `retention`.
    pub fn records_lost(&self, topic: &str, cause: &'static str, records: u64) {
        let labels = [("topic", topic), ("cause", cause)];
        self.count("driftd_records_lost_total", &labels, records);
    }

    /// Ends of the process without a clean stop, in a row and at the same place, when it was started.
    pub fn unclean_ends(&self, ends: u32) {
        self.gauge("driftd_unclean_ends", &[]).set(f64::from(ends));
    }

    pub fn rebalanced(&self) {
        self.count("driftd_consumer_rebalances_total", &[], 1);
    }

    pub fn stall_recovered(&self) {
        self.count("driftd_consumer_stall_recoveries_total", &[], 1);
    }

    /// No new token of OAUTHBEARER could be had; the old one serves until it ends.
    pub fn token_failed(&self) {
        self.count("driftd_kafka_token_failures_total", &[], 1);
    }

    pub fn assigned_partitions(&self, topic: &str, partitions: usize) {
        let gauge = self.gauge("driftd_consumer_assigned_partitions", &[("topic", topic)]);
        gauge.set(partitions as f64);
    }

    pub fn lag(&self, topic: &str, partition: i32, records: u64) {
        self.vanishing().lag.insert((topic.to_owned(), partition), records);
    }

    /// The partition is no longer ours: its lag is another's to show.
    pub fn revoked(&self, topic: &str, partition: i32) {
        self.vanishing().lag.remove(&(topic.to_owned(), partition));
    }

    /// `ms` since the epoch, in event time: the lowest watermark of the model's partitions.
    pub fn event_watermark(&self, model: &str, ms: i64) {
        self.vanishing().watermarks.insert(model.to_owned(), ms);
    }

    pub fn panes_closed(&self, model: &str, panes: u64) {
        self.count("driftd_panes_closed_total", &[("model", model)], panes);
    }

    pub fn partials_published(&self, model: &str, partials: u64) {
        self.count("driftd_partials_published_total", &[("model", model)], partials);
    }

    pub fn snapshot_written(&self, bytes: u64, now_ms: i64) {
        self.count("driftd_state_snapshots_total", &[], 1);
        self.gauge("driftd_state_snapshot_bytes", &[]).set(bytes as f64);
        self.vanishing().snapshot_ms = Some(now_ms);
    }

    pub fn snapshot_failed(&self) {
        self.count("driftd_state_snapshot_failures_total", &[], 1);
    }

    /// `kind` is a word of the store's closed set, such as `partition` or `incidents`.
    pub fn state_rejected(&self, kind: &'static str, records: u64) {
        self.count("driftd_state_rejected_total", &[("kind", kind)], records);
    }

    pub fn evaluated(&self, model: &str, took: Duration, now_ms: i64) {
        self.histogram("driftd_evaluation_duration_seconds", &[]).record(took);
        self.vanishing().evaluations.insert(model.to_owned(), now_ms);
    }

    /// The model is evaluated elsewhere from now on: how far it has come is another's to show.
    pub fn released(&self, model: &str) {
        let mut vanishing = self.vanishing();
        vanishing.watermarks.remove(model);
        vanishing.evaluations.remove(model);
    }

    /// `outcome` is a word of the deliverer's closed set, such as `accepted` or `retried`.
    pub fn delivered(&self, target: &str, outcome: &'static str, took: Duration) {
        let labels = [("target", target), ("outcome", outcome)];
        self.count("driftd_webhook_deliveries_total", &labels, 1);
        let name = "driftd_webhook_delivery_duration_seconds";
        self.histogram(name, &[("target", target)]).record(took);
    }

    /// How many messages wait for the target, and since when the oldest does.
    pub fn pending(&self, target: &str, length: usize, oldest_ms: Option<i64>) {
        self.vanishing().queues.insert(target.to_owned(), (length, oldest_ms));
    }

    /// Moves histogram samples into their buckets; call it every few seconds, or they pile up in
    /// memory when nobody scrapes.
    pub fn run_upkeep(&self) {
        self.0.handle.run_upkeep();
    }

    /// The whole exposition: what was recorded, the process, and the drift families of `view`.
    pub fn render(&self, view: &View, config: &Config, now_ms: i64) -> String {
        let mut out = Families::default();
        out.absorb(&self.0.handle.render());
        self.render_vanishing(&mut out, now_ms);
        process::render(&mut out);
        drift::render(&mut out, view, &config.statistics, config.max_series);
        let series = out.series() + 1;
        out.set(drift::SERIES, &[], series as f64);
        out.render()
    }

    fn render_vanishing(&self, out: &mut Families, now_ms: i64) {
        let vanishing = self.vanishing();
        let of_models = [(WATERMARK, &vanishing.watermarks), (EVALUATION, &vanishing.evaluations)];
        for (family, times) in of_models {
            for (model, ms) in times {
                out.set(family, &[("model", model.as_str())], seconds(*ms));
            }
        }
        for ((topic, partition), lag) in &vanishing.lag {
            let labels = [("topic", topic.as_str()), ("partition", &partition.to_string())];
            out.set(LAG, &labels, *lag as f64);
        }
        for (target, (length, oldest_ms)) in &vanishing.queues {
            let labels = [("target", target.as_str())];
            out.set(QUEUE, &labels, *length as f64);
            if let Some(oldest_ms) = oldest_ms {
                out.set(OLDEST, &labels, seconds(*oldest_ms));
            }
        }
        if let Some(snapshot_ms) = vanishing.snapshot_ms {
            out.set(SNAPSHOT_AGE, &[], seconds((now_ms - snapshot_ms).max(0)));
        }
    }

    fn count(&self, name: &'static str, labels: &[(&'static str, &str)], n: u64) {
        let counter: Counter = self.0.recorder.register_counter(&key(name, labels), &METADATA);
        counter.increment(n);
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.0.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        self.0.recorder.register_histogram(&key(name, labels), &METADATA)
    }

    /// A panic elsewhere must not take `/metrics` with it: the map is whole after each statement.
    fn vanishing(&self) -> MutexGuard<'_, Vanishing> {
        self.0.vanishing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    debug_assert!(labels::are_of(name, labels), "metrics/labels.rs: {name} with {labels:?}");
    let labels: Vec<Label> =
        labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_model_has_come_is_shown_by_whoever_evaluates_it() {
        let metrics = Metrics::new();
        for model in ["fraud", "ranking"] {
            metrics.event_watermark(model, 1_767_225_600_000);
            metrics.evaluated(model, Duration::ZERO, 1_767_225_601_000);
        }
        let shown = |model: &str| {
            let text = metrics.render(&View::default(), &Config::default(), 0);
            let of = format!("{{model=\"{model}\"}}");
            ["event_watermark", "last_evaluation"].map(|what| {
                let name = format!("driftd_{what}_timestamp_seconds{of} ");
                text.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned))
            })
        };
        let both = ["1767225600", "1767225601"].map(|ms| Some(ms.to_owned()));
        assert_eq!(shown("fraud"), both);
        metrics.released("fraud");
        assert_eq!((shown("fraud"), shown("ranking")), ([None, None], both));
    }
}
