//! Decisions across catching up, new baselines and restarts, event by event, without clock or broker.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::baseline::Baseline;
use crate::baseline::Convention;
use crate::baseline::FeatureBaseline;
use crate::config;
use crate::decide::DriftState;
use crate::decide::IncidentState;
use crate::decide::Kind as Told;
use crate::decide::Quality;
use crate::decide::Suppression;
use crate::deliver::Reader;
use crate::feature::Kind;
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
mod ends;
mod lag;
mod season;
mod told;
mod trouble;
mod turns;
mod warnings;

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
    let feature = FeatureBaseline {
        name: "amount".to_owned(),
        role: spec.model.features.get("amount").and_then(|f| f.role).unwrap_or_default(),
        kind: Kind::Numeric,
        column_type: "Float64".to_owned(),
        unusable: None,
        cells: Cells::Numeric(NumericCells::new(edges, 0.0, 10.0, scale, Storage::F64)),
        bins: Bins { starts: (0..10).collect() },
        reference: Counts { cells: vec![2_000; 10], ..Counts::default() },
        singletons: 0,
        mean: Some(5.0),
        sd: Some(2.9),
        distinct: 1_000,
        design_effect: None,
        season: None,
        sample: None,
        convention: Convention::Driftd,
    };
    let mut baseline = Baseline {
        format: 1,
        digest: digest.to_owned(),
        source: "/reference.parquet".to_owned(),
        rows: 20_000,
        features: vec![feature],
        time_column: None,
        ignored: Vec::new(),
        sampled: false,
        trained: None,
        season: None,
    };
    season::add(&mut baseline, spec);
    baseline.watch_outputs(&spec.model.overrides());
    Watched::new(spec, Arc::new(baseline), active_from_ms)
}

/// Evaluation with one model, fed by one partition that only this test knows.
struct Fed {
    evaluate: Evaluate,
    watched: Watched,
    view: watch::Receiver<Arc<View>>,
    panes: i64,
    /// How many had closed before the baseline in force.
    before: i64,
    /// Records that lie in the topic behind what was read.
    unread: i64,
    /// The end of the topic is known to be reached.
    at_end: bool,
    /// Records of a pane that lack the feature.
    missing: u64,
    /// The wall clock, which goes on with every event, and by how much the other one is ahead.
    now_ms: i64,
    later: Duration,
}

impl Fed {
    /// A process that starts in a state directory; its topic ends behind `backlog` panes.
    fn start(dir: &Path, panes: i64, backlog: i64) -> Self {
        Self::start_by(spec(), dir, panes, backlog)
    }

    fn start_by(spec: Spec, dir: &Path, panes: i64, backlog: i64) -> Self {
        let mut fed = Self::boot(spec, dir, panes);
        fed.adopt("first", i64::MIN, backlog);
        fed
    }

    /// The same before there is a baseline.
    fn boot(spec: Spec, dir: &Path, panes: i64) -> Self {
        let first = watched(&spec, "first", i64::MIN);
        let store = Arc::new(Store::File(Box::new(FileStore::open(dir).unwrap())));
        let (view, views) = watch::channel(Arc::new(View::default()));
        let (events, _) = mpsc::channel(1);
        let evaluate = Evaluate::new(Parts {
            specs: Arc::new(vec![spec]),
            store: store.clone(),
            metrics: Metrics::new(),
            health: Arc::new(Health::default()),
            deliverer: Deliverer::start(Vec::new(), events, || 0),
            view,
            log: IncidentLog::open(store).unwrap(),
        });
        Self {
            evaluate,
            watched: first,
            view: views,
            panes,
            before: 0,
            unread: 0,
            at_end: false,
            missing: 0,
            now_ms: 100 * panes,
            later: Duration::ZERO,
        }
    }

    fn adopt(&mut self, digest: &str, active_from_ms: i64, backlog: i64) {
        self.watched = watched(&self.evaluate.specs[0], digest, active_from_ms);
        self.tell(Counted::Adopted { model: 0, watched: self.watched.clone() });
        let partitions = vec![(self.progress(), backlog * RECORDS.cast_signed())];
        self.tell(Counted::Assigned { model: 0, partitions, in_topic: Some(1) });
    }

    fn tell(&mut self, counted: Counted) {
        self.now_ms += 1;
        self.evaluate.apply(Event::Counted(counted), (self.now(), self.now_ms));
    }

    fn now(&self) -> Instant {
        Instant::now() + self.later
    }

    fn next_offset(&self) -> i64 {
        self.panes * RECORDS.cast_signed()
    }

    fn progress(&self) -> Progress {
        Progress {
            partition: TopicPartition::new("inferences", 0),
            next_offset: self.next_offset(),
            frontier_ms: (self.panes > 0).then(|| START + self.panes * PANE),
            first_pane_ms: (self.panes > self.before).then_some(START + self.before * PANE),
            caught_up: self.at_end,
        }
    }

    /// Panes that close one after the other.
    fn panes(&mut self, panes: i64, drifted: bool) {
        let (low, high) = if drifted { (2, 38) } else { (20, 20) };
        self.panes_of(panes, |_| (low, high));
    }

    /// Panes with so many records in each of the lower and of the upper five cells, by their start.
    fn panes_of(&mut self, panes: i64, of: impl Fn(i64) -> (u64, u64)) {
        for _ in 0..panes {
            self.pane_of(&of);
            self.progresses();
        }
    }

    fn progresses(&mut self) {
        let progress = vec![(self.progress(), self.next_offset() + self.unread)];
        let (open, quiet) = (Vec::new(), Vec::new());
        self.tell(Counted::Progress { model: 0, progress, open, quiet });
    }

    /// A pane that is counted, in a partition that has not said yet how far it is.
    fn pane_of(&mut self, of: impl Fn(i64) -> (u64, u64)) {
        let mut pane = Pane::empty(START + self.panes * PANE, &self.watched.rules.shape());
        pane.records = RECORDS;
        let (low, high) = of(pane.start_ms);
        pane.features[0].cells = [vec![low; 5], vec![high; 5]].concat();
        pane.features[0].missing = self.missing;
        if let Some(prediction) = pane.features.get_mut(1) {
            let Cells::Numeric(cells) = &self.watched.rules.cells[1] else { unreachable!() };
            let above = if high > low { RECORDS } else { RECORDS / 2 };
            prediction.cells[cells.cell(0.25)] = RECORDS - above;
            prediction.cells[cells.cell(0.75)] = above;
        }
        self.panes += 1;
        let partial = Partial {
            partition: TopicPartition::new("inferences", 0),
            rules: self.watched.rules.hash,
            applied_through: self.next_offset(),
            pane,
        };
        let record = crate::pipeline::panes::partial(&partial);
        let records = vec![(partial.partition.clone(), record)];
        self.evaluate.store.append_panes("fraud", partial.rules, records).unwrap();
        self.tell(Counted::Partials { model: 0, partials: vec![partial] });
    }

    fn tick(&mut self) -> Arc<View> {
        self.tick_at(self.now())
    }

    fn tick_at(&mut self, now: Instant) -> Arc<View> {
        self.now_ms += 1;
        self.tick_by(now, self.now_ms)
    }

    fn close(&mut self, id: &str) -> Closing {
        let (reply, mut closing) = oneshot::channel();
        let (id, by) = (id.to_owned(), "someone".to_owned());
        self.now_ms += 1;
        let request = Request::Close { id, closed_as: CloseReason::Dismissed, by, reply };
        self.evaluate.apply(Event::Asked(request), (self.now(), self.now_ms));
        closing.try_recv().unwrap()
    }

    /// What anybody was told of, in order: the kind, the verdict, and to which story it belongs.
    fn told(&self) -> Vec<(Told, String, String)> {
        let pending = self.evaluate.log.ledger().pending();
        let people = pending.iter().filter(|o| o.delivery.kind != Told::Trigger);
        people
            .map(|o| {
                let verdict = o.delivery.announcement.data.verdict.clone();
                (o.delivery.kind, verdict, o.delivery.story().unwrap().0)
            })
            .collect()
    }

    /// The verdicts of what people were told of one story.
    fn verdicts(&self, of: &str) -> Vec<String> {
        let told = self.told().into_iter();
        told.filter(|(_, _, story)| story == of).map(|(_, verdict, _)| verdict).collect()
    }

    fn tick_by(&mut self, now: Instant, now_ms: i64) -> Arc<View> {
        self.evaluate.apply(Event::Tick, (now, now_ms));
        self.view.borrow().clone()
    }

    /// State, how it was closed, and whether its trigger is due to be sent.
    fn incident(&self) -> Option<(IncidentState, Option<CloseReason>, bool)> {
        let ledger = self.evaluate.log.ledger();
        let incident = ledger.incidents().into_iter().next()?;
        let due = ledger.pending().iter().any(|o| o.delivery.id == incident.id);
        Some((incident.state, incident.closed_as, due))
    }
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
    let view = fed.tick_at(later);
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
