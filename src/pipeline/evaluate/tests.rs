//! Decisions across catching up, new baselines and restarts, event by event, without clock or broker.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::baseline::Baseline;
use crate::baseline::FeatureBaseline;
use crate::client::Client;
use crate::client::ClientConfig;
use crate::config;
use crate::decide::DriftState;
use crate::decide::IncidentState;
use crate::decide::Kind as Told;
use crate::decide::Quality;
use crate::decide::Suppression;
use crate::deliver::Reader;
use crate::deliver::Target;
use crate::histogram::Bins;
use crate::histogram::Cells;
use crate::histogram::Counts;
use crate::histogram::NumericCells;
use crate::histogram::Scale;
use crate::histogram::Storage;
use crate::offsets::TopicPartition;
use crate::pipeline::spec::Watched;
use crate::store::FileStore;
use crate::window::Pane;
use crate::window::Partial;
use crate::window::Progress;

mod checks;
mod dry;
mod ends;
mod far;
mod fed;
mod lag;
mod season;
mod sent;
mod shown;
mod told;
mod trouble;
mod warnings;

use fed::Fed;

const PANE: i64 = 60_000;
const START: i64 = 1_767_225_600_000;
/// Records in a pane.
const RECORDS: u64 = 200;

const CONFIG: &str = r#"
kafka: {brokers: "localhost:9092"}
models:
  - name: fraud
    topic: inferences
    pane: 1m
    lateness: 1m
    drift_config:
      window: 10m
      max_age: 2h
      design_effect: 1
      reference_dataset: /reference.parquet
      retraining_trigger: {webhook: "https://retrain.example/now"}
"#;

fn spec() -> Spec {
    spec_of(CONFIG)
}

fn spec_of(config: &str) -> Spec {
    let config = config::parse(config, &|_| None).unwrap().config;
    let model = config.models[0].clone();
    Spec {
        policy: model.policy(),
        trigger: Some("retraining_trigger/fraud".to_owned()),
        people: vec![Reader::of_slack("ops")],
        url: None,
        model,
    }
}

fn watched(spec: &Spec, digest: &str, active_from_ms: i64) -> Watched {
    let scale = Scale { center: 5.0, unit: 5.0 };
    let edges = (1..10).map(f64::from).collect();
    let cells = NumericCells::new(edges, 0.0, 10.0, scale, Storage::F64);
    let bins = Bins { starts: (0..10).collect() };
    let reference = Counts { cells: vec![2_000; 10], ..Counts::default() };
    let feature = FeatureBaseline {
        role: spec.model.features.get("amount").and_then(|f| f.role).unwrap_or_default(),
        mean: Some(5.0),
        sd: Some(2.9),
        distinct: 1_000,
        ..FeatureBaseline::of_counts("amount", Cells::Numeric(cells), bins, reference)
    };
    let mut baseline = Baseline {
        digest: digest.to_owned(),
        source: "/reference.parquet".to_owned(),
        ..Baseline::of(vec![feature])
    };
    season::add(&mut baseline, spec);
    baseline.watch_outputs(&spec.model.overrides());
    Watched::new(spec, Arc::new(baseline), active_from_ms)
}

const SENT: Option<(IncidentState, Option<CloseReason>, bool)> =
    Some((IncidentState::Triggered, None, true));
const HELD: Option<(IncidentState, Option<CloseReason>, bool)> =
    Some((IncidentState::Triggered, None, false));

fn closed(why: CloseReason) -> Option<(IncidentState, Option<CloseReason>, bool)> {
    Some((IncidentState::Closed, Some(why), false))
}

#[tokio::test]
async fn a_drift_in_the_present_is_sent_at_once() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(20, false);
    assert_eq!(fed.tick().models[0].drift, DriftState::Healthy);
    assert_eq!(fed.incident(), None);
    fed.panes(10, true);
    assert_eq!(fed.tick().models[0].drift, DriftState::Drifted);
    assert_eq!(fed.incident(), SENT);
}

#[tokio::test]
async fn a_drift_of_the_past_is_held_and_sent_if_it_is_still_there() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 35);
    fed.panes(20, false);
    fed.panes(14, true);
    assert_eq!(fed.incident(), HELD);
    fed.panes(1, true);
    assert_eq!(fed.incident(), SENT);
}

#[tokio::test]
async fn a_drift_that_was_over_before_it_could_be_told_is_missed() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 60);
    fed.panes(20, false);
    fed.panes(10, true);
    fed.panes(29, false);
    assert_eq!(fed.incident(), HELD);
    fed.panes(1, false);
    assert_eq!(fed.incident(), closed(CloseReason::Missed));
    assert_eq!(fed.evaluate.log.ledger().triggers_after("fraud", 0), 0);
}

#[tokio::test]
async fn a_held_trigger_outlives_a_restart_after_which_nothing_new_comes() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 35);
    fed.panes(20, false);
    fed.panes(14, true);
    assert_eq!(fed.incident(), HELD);
    drop(fed);
    // The topic ends where the state does.
    let mut fed = Fed::start(dir.path(), 34, 34);
    assert_eq!(fed.incident(), SENT);
    let view = fed.tick();
    assert_eq!(view.models[0].drift, DriftState::Drifted);
    assert_eq!(view.models[0].suppressed_by, [Suppression::IncidentOpen]);
}

#[tokio::test]
async fn a_new_baseline_ends_the_incident_and_starts_the_window_anew() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    assert_eq!(fed.incident(), SENT);
    fed.before = fed.panes;
    fed.adopt("second", START + fed.panes * PANE, 0);
    assert_eq!(fed.incident(), closed(CloseReason::Replaced));
    let view = fed.tick();
    assert_eq!((view.models[0].drift, view.models[0].window.records), (DriftState::Settling, 0));
    assert_eq!(view.models[0].incident, None);
    // The same baseline again is no news.
    fed.adopt("second", START + fed.panes * PANE, 0);
    assert_eq!(fed.evaluate.log.ledger().incidents().len(), 1);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_bars_every_trigger() {
    let dir = TempDir::new().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    store.append_incident(log::VERSION + 1, b"what a newer release writes").unwrap();
    drop(store);
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    let view = fed.tick();
    assert_eq!(view.models[0].drift, DriftState::Drifted);
    assert_eq!(view.models[0].suppressed_by, [Suppression::UnreadableIncidents]);
    assert_eq!(fed.incident(), None);
}

#[tokio::test]
async fn a_recovery_before_any_attempt_ends_the_incident() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    assert_eq!(fed.incident(), SENT);
    fed.panes(25, false);
    assert_eq!(fed.incident(), closed(CloseReason::Recovered));
}

#[tokio::test]
async fn without_every_partition_panes_wait_and_then_are_incomplete() {
    let dir = TempDir::new().unwrap();
    // The sequential test learns nothing of incomplete panes; rule `window` sees the drift and is barred.
    let spec = spec_of(&CONFIG.replace("design_effect: 1", "rule: window"));
    let mut fed = Fed::start_by(spec, dir.path(), 0, 0);
    fed.panes(20, false);
    let ours = TopicPartition::new("inferences", 0);
    fed.tell(Counted::Revoked { model: 0, partitions: vec![ours] });
    let partitions = vec![(fed.progress(), 0)];
    fed.tell(Counted::Assigned { model: 0, partitions, in_topic: Some(2) });
    let before = fed.tick().models[0].window.end_ms;
    fed.panes(10, true);
    assert_eq!(fed.tick().models[0].window.end_ms, before);
    let later = Instant::now() + Duration::from_secs(31 * 60);
    let view = fed.tick_by(later, START + 100 * PANE);
    assert_eq!(view.models[0].window.end_ms, before + 10 * PANE);
    assert_eq!(view.models[0].drift, DriftState::Drifted);
    assert_eq!(view.models[0].suppressed_by, [Suppression::IncompleteWindow]);
    assert_eq!(fed.incident(), None);
}

#[tokio::test]
async fn a_person_closes_an_incident_once() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    let id = fed.evaluate.log.ledger().open("fraud").unwrap().incident.id.clone();
    assert_eq!(fed.close("nobody knows it"), Closing::Unknown);
    assert_eq!(fed.close(&id), Closing::Done);
    assert_eq!(fed.close(&id), Closing::AlreadyClosed);
    assert_eq!(fed.incident(), closed(CloseReason::Dismissed));
}

mod outputs;
