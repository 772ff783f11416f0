//! The listeners from outside: a real server, real HTTP, a View of plain structs.

#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::print_stderr,
    reason = "in a test a panic is the message, values are exact, and a skip is said loudly"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use driftd::baseline::{Baseline, FeatureBaseline, Trained, TrainedBy, Unusable};
use driftd::compare::Statistic;
use driftd::decide::Kind as Told;
use driftd::decide::check::{CheckState, CheckView, Severity};
use driftd::decide::incident::{Attempt, CloseReason, Evidence, Incident, IncidentState};
use driftd::decide::ledger::Figures;
use driftd::decide::output::OutputDrift;
use driftd::decide::policy::Level;
use driftd::decide::view::{
    DriftState, FeatureVerdict, ModelView, Quality, Suppression, Verdict, VerdictScore, View,
    WindowView,
};
use driftd::decode::Reason;
use driftd::decode::strangers::Strangers;
use driftd::feature::{Kind, Role};
use driftd::histogram::{Bins, CategoricalCells, Cells, Counts, NumericCells, Scale, Storage};
use driftd::http::{Command, Config, Error, Health, Refusal, Servers, Shared};
use driftd::metrics;
use driftd::metrics::Metrics;
use driftd::window::{ClosedPane, Pane};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

mod document;
mod large;
mod told;

const FRAUD: &str = "model=\"fraud\"";
const HOSTILE: &str = "a\"b\n</td>\\{} \u{1f980}/..";
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const MINUTE: i64 = 60_000;
/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000;

fn numeric() -> Cells {
    let scale = Scale { center: 2.0, unit: 1.0 };
    Cells::Numeric(NumericCells::new(vec![1.0, 2.5, 3.0], 0.0, 4.0, scale, Storage::F64))
}

fn categorical() -> Cells {
    let categories = vec!["de".to_owned(), "fr".to_owned(), "it".to_owned()];
    Cells::Categorical(CategoricalCells::new(categories, vec![7], false))
}

fn counts(cells: [u64; 4]) -> Counts {
    Counts { cells: cells.to_vec(), ..Counts::default() }
}

fn feature(name: &str, cells: Cells) -> FeatureBaseline {
    let reference = Counts { missing: 10, ..counts([10, 20, 30, 40]) };
    FeatureBaseline {
        distinct: 4,
        ..FeatureBaseline::of_counts(name, cells, Bins { starts: vec![0, 2] }, reference)
    }
}

fn verdict(name: &str, verdict: Verdict, psi: f64) -> FeatureVerdict {
    let score = VerdictScore {
        value: psi,
        noise_floor: Some(0.01),
        p_value: Some(f64::NAN),
        threshold: Some(0.1),
    };
    let ks =
        VerdictScore { value: f64::INFINITY, noise_floor: None, p_value: None, threshold: None };
    FeatureVerdict {
        feature: name.to_owned(),
        kind: Kind::Numeric,
        role: Role::Feature,
        verdict,
        reference_count: 100,
        live_count: 10,
        scores: BTreeMap::from([
            (Statistic::Psi, score),
            (Statistic::Ks, ks),
            (Statistic::Kl, score),
        ]),
        reason: None,
        records_needed: None,
        onset: None,
        season: None,
    }
}

/// Pane `n`, whose five features all have these counts.
fn pane(n: i64, cells: [u64; 4]) -> Arc<ClosedPane> {
    let features = (0..5).map(|_| Counts { sum: -(1 << 100), ..counts(cells) }).collect();
    let pane = Pane {
        start_ms: START + n * MINUTE,
        records: cells.iter().sum(),
        rejects: 1,
        gap: false,
        sampled: 0,
        repeated: 0,
        strangers: Strangers::default(),
        features,
    };
    Arc::new(ClosedPane::new(&pane, true))
}

const WINDOW: WindowView =
    WindowView { start_ms: START, end_ms: START + 3 * MINUTE, records: 16, complete: true };

fn predicted() -> OutputDrift {
    OutputDrift {
        role: Role::Prediction,
        feature: "zeta".to_owned(),
        statistic: Statistic::Ks,
        score: 0.31,
        noise_floor: Some(0.2),
        p_value: 1e-6,
        threshold: 0.05,
        records: 16,
        end_ms: START + 3 * MINUTE,
        drifted: true,
        reference_end_ms: None,
    }
}

/// Two incidents: one was found after ten minutes and replaced after 40, one is open.
fn figures() -> Figures {
    let found = json!({"counts": [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], "sum_ms": 4_200_000, "last": [2, 3_600_000]});
    let over = json!({"counts": [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], "sum_ms": 2_400_000, "last": [1, 2_400_000]});
    let runs = json!({"accepted": 2, "failed": 1});
    let figures = json!({"detection": found, "recovery": over, "cycle": over, "runs": runs});
    serde_json::from_value(figures).unwrap()
}

/// A check that is called like markup.
fn violated() -> CheckView {
    CheckView {
        check: HOSTILE.to_owned(),
        feature: Some(HOSTILE.to_owned()),
        condition: "mean",
        severity: Severity::Critical,
        state: CheckState::Violated,
        since: Some(driftd::decide::time::rfc3339(START)),
        value: Some(74.2),
        expected: Some([Some(10.0), None]),
        exact: true,
        sentence: format!("{HOSTILE}: mean 74.2 over the window, at least 10 expected"),
    }
}

fn baseline(features: Vec<FeatureBaseline>) -> Baseline {
    Baseline {
        digest: "d1".to_owned(),
        source: "s3://bucket/\"reference\".parquet".to_owned(),
        trained: Some(Trained { at_ms: START - MINUTE, by: TrainedBy::TimeColumn }),
        ..Baseline::of(features)
    }
}

fn fraud() -> ModelView {
    let unusable =
        FeatureBaseline { unusable: Some(Unusable::IdLike), ..feature("id", categorical()) };
    let long = "x".repeat(4096);
    let features = vec![
        feature("zeta", numeric()),
        feature(HOSTILE, numeric()),
        feature("country", categorical()),
        unusable,
        feature(&long, numeric()),
    ];
    let live = |cells| Counts { missing: 2, null: 1, type_error: 3, above: 1, ..counts(cells) };
    let baseline = baseline(features);
    ModelView {
        elsewhere: None,
        model: "fraud".to_owned(),
        topic: "fraud.inferences".to_owned(),
        drift: DriftState::Drifted,
        quality: Quality::Ok,
        incident: Some(IncidentState::Accepted),
        incident_id: Some("i-1".to_owned()),
        window: WINDOW,
        features: vec![
            verdict("zeta", Verdict::Drifted, 0.3),
            verdict(HOSTILE, Verdict::Warning, 0.15),
            verdict("country", Verdict::Stable, 0.02),
            verdict(&long, Verdict::InsufficientSamples, f64::NAN),
            FeatureVerdict { scores: BTreeMap::new(), ..verdict("id", Verdict::Unusable, 0.0) },
        ],
        faults: Vec::new(),
        checks: vec![violated()],
        suppressed_by: vec![Suppression::IncidentOpen],
        explanation: "zeta: psi 0.3 is above 0.2".to_owned(),
        outputs: vec![predicted()],
        baseline: Some(Arc::new(baseline)),
        baseline_loaded_ms: Some(START),
        history: Arc::default(),
        live: vec![
            live([1, 2, 3, 4]),
            live([4, 3, 2, 1]),
            live([1, 1, 1, 1]),
            counts([0; 4]),
            live([0; 4]),
        ],
        rest: Vec::new(),
        references: Vec::new(),
        panes: Arc::new(vec![pane(0, [1, 0, 0, 0]), pane(1, [0; 4]), pane(2, [5, 0, 300, 1])]),
        pane_ms: MINUTE,
        thresholds: vec![
            (Statistic::Psi, Level::Warning, 0.1),
            (Statistic::Psi, Level::Retrain, 0.2),
            (Statistic::Missing, Level::Warning, 0.01),
        ],
        min_records: 10,
        evaluated_ms: Some(START + 3 * MINUTE),
        triggers: 1,
        figures: figures(),
        suppressed: BTreeMap::from([(Suppression::IncidentOpen, 4)]),
    }
}

/// As it is before the first baseline has been read.
fn fresh() -> ModelView {
    ModelView {
        elsewhere: None,
        model: "ranking <b>".to_owned(),
        topic: "ranking".to_owned(),
        drift: DriftState::NoBaseline,
        incident: None,
        incident_id: None,
        window: WindowView::default(),
        features: Vec::new(),
        suppressed_by: Vec::new(),
        explanation: "no baseline yet".to_owned(),
        checks: Vec::new(),
        outputs: Vec::new(),
        baseline: None,
        baseline_loaded_ms: None,
        history: Arc::default(),
        live: Vec::new(),
        references: Vec::new(),
        panes: Arc::default(),
        evaluated_ms: None,
        triggers: 0,
        figures: Figures::default(),
        suppressed: BTreeMap::new(),
        ..fraud()
    }
}

pub(crate) fn view() -> View {
    let incident = Incident {
        id: "i-1".to_owned(),
        model: "fraud".to_owned(),
        ordinal: 0,
        state: IncidentState::Accepted,
        opened: "2026-01-01T00:03:00Z".to_owned(),
        onset: None,
        closed: None,
        closed_as: None,
        attempts: vec![Attempt {
            target: "retraining_trigger".to_owned(),
            message: Some(Told::Trigger),
            n: 1,
            at: "2026-01-01T00:03:01Z".to_owned(),
            status: Some(202),
            ok: Some(true),
            detail: None,
        }],
        run: None,
        evidence: Evidence {
            baseline_digest: "d1".to_owned(),
            window_start: "2026-01-01T00:00:00Z".to_owned(),
            window_end: "2026-01-01T00:03:00Z".to_owned(),
            records: 16,
            explanation: "zeta".to_owned(),
            features: vec![verdict("zeta", Verdict::Drifted, 0.3)],
            more_features: 0,
        },
    };
    View { models: vec![Arc::new(fraud()), Arc::new(fresh())], incidents: vec![incident] }
}

pub(crate) struct Running {
    pub(crate) servers: Servers,
    pub(crate) client: Client,
    view: watch::Sender<Arc<View>>,
    metrics: Metrics,
    health: Arc<Health>,
    pub(crate) commands: mpsc::Receiver<Command>,
    _folder: tempfile::TempDir,
}

impl Running {
    pub(crate) async fn start(configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(view(), metrics::Config::default(), configure).await
    }

    pub(crate) async fn start_with(
        view: View,
        exported: metrics::Config,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let running = Self::starting(view, exported, configure).await;
        running.health.waiting_for(Vec::new());
        running
    }

    /// As it is before the baselines are read.
    async fn starting(
        view: View,
        exported: metrics::Config,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        std::fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut config = Config {
            public: loopback,
            admin: loopback,
            token_file: Some(token_file),
            ..Config::default()
        };
        configure(&mut config);
        let (view, receiver) = watch::channel(Arc::new(view));
        let (sender, commands) = mpsc::channel(1);
        let (metrics, health) = (Metrics::new(), Arc::new(Health::default()));
        let shared = Shared {
            view: receiver,
            metrics: metrics.clone(),
            health: Arc::clone(&health),
            commands: sender,
            exported,
            configuration: "models: []\n".into(),
        };
        let servers = driftd::http::serve(&config, shared).await.unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { servers, client, view, metrics, health, commands, _folder: folder }
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.servers.admin_addr())
    }

    pub(crate) fn public(&self, path: &str) -> String {
        format!("http://{}{path}", self.servers.public_addr())
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.admin(path)).send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json", "{path}");
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    async fn status(&self, method: Method, url: String) -> StatusCode {
        let response = self.client.request(method, url).send().await.unwrap();
        let status = response.status();
        if !status.is_success() {
            let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert!(body["error"].is_string(), "{body}");
        }
        status
    }

    async fn metrics(&self) -> String {
        let response = self.client.get(self.public("/metrics")).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        response.text().await.unwrap()
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn models_are_listed_with_their_three_states() {
    let running = Running::start(|_| {}).await;
    let models = running.json("/api/v1/models").await;
    assert_eq!(
        models["models"][0],
        json!({
            "model": "fraud", "topic": "fraud.inferences",
            "drift": "drifted", "quality": "ok", "incident": "accepted", "incident_id": "i-1",
            "window": {
                "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:03:00Z",
                "records": 16, "complete": true
            }
        })
    );
    let fresh = &models["models"][1];
    assert_eq!(fresh["drift"], "no_baseline");
    assert_eq!(fresh["incident"], "none");
    assert_eq!(fresh["window"]["start"], Value::Null);
}

#[tokio::test]
async fn a_model_has_its_features_and_what_is_not_finite_is_absent() {
    let running = Running::start(|_| {}).await;
    let model = running.json("/api/v1/models/fraud").await;
    assert_eq!(model["suppressed_by"], json!(["incident_open"]));
    assert_eq!(model["explanation"], "zeta: psi 0.3 is above 0.2");
    assert_eq!(model["evaluated"], "2026-01-01T00:03:00Z");
    assert_eq!(model["baseline"]["digest"], "d1");
    assert_eq!(
        model["baseline"]["trained"],
        json!({"at": "2025-12-31T23:59:00Z", "by": "time_column"})
    );
    let operation = &model["operation"];
    // Of the four that are watched, one has drifted and one warns.
    assert_eq!(operation["drift_ratio"], 0.5);
    assert_eq!(
        operation["time_to_detect"],
        json!({"count": 2, "mean_seconds": 2100.0, "last_seconds": 3600.0})
    );
    assert_eq!(operation["retraining_cycle"]["last_seconds"], 2400.0);
    assert_eq!(operation["runs"]["failed"], 1);
    let fresh = running.json(&format!("/api/v1/models/{}", encoded("ranking <b>"))).await;
    let none = json!({"count": 0, "mean_seconds": null, "last_seconds": null});
    assert_eq!(fresh["operation"]["time_to_recover"], none);
    assert_eq!(
        model["thresholds"][1],
        json!({"statistic": "psi", "level": "retrain", "threshold": 0.2})
    );
    let zeta = &model["features"][0];
    assert_eq!(zeta["verdict"], "drifted");
    let psi = json!({"value": 0.3, "noise_floor": 0.01, "threshold": 0.1});
    assert_eq!(zeta["scores"], json!({"psi": psi, "kl": psi}));
    assert_eq!(model["features"][1]["feature"], HOSTILE);
    assert_eq!(model["features"][3]["scores"], json!({}));
}

#[tokio::test]
async fn a_feature_shows_counts_with_their_edges_or_categories() {
    let running = Running::start(|_| {}).await;
    let zeta = running.json("/api/v1/models/fraud/features/zeta").await;
    assert_eq!(zeta["feature"], "zeta");
    assert_eq!(
        zeta["cells"],
        json!({"edges": [1.0, 2.5, 3.0], "reference": [10, 20, 30, 40], "live": [1, 2, 3, 4]})
    );
    assert_eq!(
        zeta["bins"],
        json!({"edges": [2.5], "starts": [0, 2], "reference": [30, 70], "live": [3, 7]})
    );
    assert_eq!(zeta["missing"]["reference"]["count"], 10);
    assert_eq!(
        zeta["missing"]["live"],
        json!({"count": 3, "ratio": 0.1875, "key": 2, "null": 1, "nan": 0})
    );
    assert_eq!(zeta["type_error"]["live"], json!({"count": 3, "ratio": 0.1875}));
    assert_eq!(zeta["out_of_range"]["live"], json!({"count": 1, "ratio": 0.1}));
    assert_eq!(zeta["scores"]["psi"]["value"], 0.3);

    let country = running.json("/api/v1/models/fraud/features/country").await;
    assert_eq!(country["cells"]["categories"], json!(["de", "fr", "it"]));
    assert_eq!(country["bins"]["labels"], json!(["other (2 listed)", "other (1 listed)"]));
    assert_eq!(country["unseen"]["live"], json!({"count": 0, "ratio": 0.0}));

    for name in [HOSTILE, &"x".repeat(4096)] {
        let path = format!("/api/v1/models/fraud/features/{}", encoded(name));
        assert_eq!(running.json(&path).await["feature"], *name);
    }
}

#[tokio::test]
async fn panes_are_the_same_bytes_for_the_same_counts() {
    let running = Running::start(|_| {}).await;
    let text = running.get("/api/v1/models/fraud/panes?feature=zeta").await.text().await.unwrap();
    let feature = |cells: &str| {
        format!(
            "{{\"zeta\":{{\"above\":0,\"below\":0,\"cells\":[{cells}],\"high_sum\":0,\"low_sum\":0,\
             \"missing\":0,\"nan\":0,\"neg_inf\":0,\"null\":0,\"pos_inf\":0,\
             \"sum\":-1267650600228229401496703205376,\"sum_squares\":0,\"type_error\":0,\"unseen\":0}}}}"
        )
    };
    let pane = |start: i64, cells: &str, records: u64| {
        let (end, features) = (start + MINUTE, feature(cells));
        format!(
            "{{\"end\":{end},\"features\":{features},\"records\":{records},\"rejects\":1,\"start\":{start}}}"
        )
    };
    let panes = [
        pane(START, "1,0,0,0", 1),
        pane(START + MINUTE, "0,0,0,0", 0),
        pane(START + 2 * MINUTE, "5,0,300,1", 306),
    ];
    assert_eq!(text, format!("{{\"panes\":[{}]}}\n", panes.join(",")));

    let whole = running.get("/api/v1/models/fraud/panes").await.text().await.unwrap();
    let value: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(value["panes"].as_array().unwrap().len(), 3);
    assert_eq!(value["panes"][2]["features"].as_object().unwrap().len(), 5);
    assert_eq!(value["panes"][1]["features"][HOSTILE]["cells"], json!([0, 0, 0, 0]));
    let at = |name: &str| whole.find(&serde_json::to_string(name).unwrap()).unwrap();
    assert!(at(HOSTILE) < at("country") && at("country") < at("id") && at("id") < at("zeta"));

    let from = running.json(&format!("/api/v1/models/fraud/panes?from={}", START + MINUTE)).await;
    assert_eq!(from["panes"].as_array().unwrap().len(), 2);
    let to = running
        .json("/api/v1/models/fraud/panes?from=2026-01-01T00:00:00Z&to=2026-01-01T00:01:00Z")
        .await;
    assert_eq!(to["panes"].as_array().unwrap().len(), 1);
    assert_eq!(running.json("/api/v1/models/ranking%20%3Cb%3E/panes").await, json!({"panes": []}));
}

#[tokio::test]
async fn incidents_show_their_attempts_and_evidence() {
    let running = Running::start(|_| {}).await;
    let incident = &running.json("/api/v1/incidents").await["incidents"][0];
    assert_eq!((&incident["id"], &incident["state"]), (&json!("i-1"), &json!("accepted")));
    assert_eq!(incident["attempts"][0]["status"], 202);
    let scores = &incident["evidence"]["features"][0]["scores"];
    assert!(scores["psi"]["value"] == 0.3 && scores["ks"].is_null(), "{scores}");
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let running = Running::start(|_| {}).await;
    for path in [
        "/api/v1/models/nobody",
        "/api/v1/models/fraud/features/nothing",
        "/api/v1/models/fraud/panes?feature=nothing",
        "/api/v1/models/ranking%20%3Cb%3E/features/zeta",
        "/api/v2",
        "/favicon.ico",
    ] {
        assert_eq!(running.status(Method::GET, running.admin(path)).await, 404, "{path}");
    }
    let why = running.get("/api/v1/models/nobody").await.text().await.unwrap();
    assert!(why.contains("fraud, ranking <b>"), "{why}");
    for path in ["panes?from=yesterday", "panes?form=1"] {
        let url = running.admin(&format!("/api/v1/models/fraud/{path}"));
        assert_eq!(running.status(Method::GET, url).await, 400, "{path}");
    }
    assert_eq!(running.status(Method::GET, running.admin("/api/v1/models/%FF")).await, 400);
    assert_eq!(running.status(Method::POST, running.admin("/api/v1/models")).await, 405);
    assert_eq!(running.status(Method::DELETE, running.public("/metrics")).await, 405);
}

#[tokio::test]
async fn the_public_listener_has_metrics_and_probes_only() {
    let running = Running::start(|_| {}).await;
    for path in [
        "/",
        "/models/fraud",
        "/configuration",
        "/health",
        "/api/v1/models",
        "/api/v1/models/fraud/report",
        "/-/reload",
        "/api/v1/incidents",
    ] {
        assert_eq!(running.status(Method::GET, running.public(path)).await, 404, "{path}");
        assert_eq!(running.status(Method::POST, running.public(path)).await, 404, "{path}");
    }
    assert_eq!(running.status(Method::GET, running.public("/livez")).await, 200);
}

#[tokio::test]
async fn the_pages_escape_what_they_show() {
    let running = Running::start(|_| {}).await;
    let html = running.get("/").await.text().await.unwrap();
    assert!(html.contains("ranking &lt;b&gt;") && !html.contains("<b>"), "{html}");
    let link = html.split("href=\"./").find(|rest| rest.starts_with("models/ranking")).unwrap();
    let link = link.split('"').next().unwrap().to_owned();
    assert_eq!(running.json(&format!("/api/v1/{link}")).await["model"], "ranking <b>");
    let answer = running.get(&format!("/{link}")).await;
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    let html = answer.text().await.unwrap();
    assert!(html.contains("ranking &lt;b&gt;") && !html.contains("ranking <b>"), "{html}");
    for (path, status) in [("/models/%3Cb%3E", 404), ("/incidents/x", 404), ("/health", 200)] {
        let answer = running.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert!(!answer.text().await.unwrap().contains("<b>"), "{path}");
    }
}

#[tokio::test]
async fn every_link_of_a_model_leads_to_a_page_whatever_its_features_are_called() {
    let running = Running::start(|_| {}).await;
    let html = running.get("/models/fraud").await.text().await.unwrap();
    let links: BTreeSet<&str> =
        html.split("href=\"../").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let features = links.iter().filter(|link| link.contains("/features/")).count();
    assert!(features >= 3 && links.iter().any(|link| link.contains("%22")), "{links:?}");
    for link in links {
        let answer = running.get(&format!("/{link}")).await;
        assert_eq!(answer.status(), 200, "{link}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains("</td>\\{}") || !text.starts_with('<'), "{link}: {text}");
    }
    let report = running.get("/models/fraud/report").await.text().await.unwrap();
    assert!(report.contains("&quot;") && !report.contains("</td>\\{}"), "{report}");
}

#[tokio::test]
async fn a_page_from_elsewhere_cannot_read_through_a_name_of_its_own() {
    let running = Running::start(|config| {
        config.external_url = Some("https://driftd.example".to_owned().try_into().unwrap());
    })
    .await;
    let read = async |host: &str, token: Option<&str>| {
        let mut request = running.client.get(running.admin("/api/v1/models")).header("host", host);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap().status()
    };
    assert_eq!(read("evil.example:9465", None).await, 403);
    assert_eq!(read("localhost:9465", None).await, 200);
    assert_eq!(read("driftd.example", None).await, 200);
    assert_eq!(read("driftd.monitoring.svc", Some(TOKEN)).await, 200);
    assert_eq!(read("localhost", Some("wrong")).await, 401);
}

#[tokio::test]
async fn a_connection_that_a_refusal_ends_is_said_to_end() {
    let running = Running::start(|_| {}).await;
    let url = running.admin("/api/v1/models/fraud/baseline");
    let refused = running.client.patch(&url).body("{}").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()["connection"], "close");
    // Without a body there is nothing that is left unread.
    let refused = running.client.delete(&url).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(!refused.headers().contains_key("connection"));
}

#[tokio::test]
async fn commands_need_the_token() {
    let running = Running::start(|_| {}).await;
    let close = running.admin("/api/v1/incidents/i-1/close");
    let post = async |url: &str, token: Option<&str>| {
        let mut request = running.client.post(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.body(r#"{"as":"dismissed"}"#).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    let unauthorized = (StatusCode::UNAUTHORIZED, r#"{"error":"unauthorized"}"#.to_owned());
    assert_eq!(post(&close, None).await, unauthorized);
    assert_eq!(post(&close, Some("")).await, unauthorized);
    assert_eq!(post(&close, Some(&TOKEN[1..])).await, unauthorized);

    let without = Running::start(|config| config.token_file = None).await;
    for token in [None, Some(TOKEN)] {
        let (status, why) = post(&without.admin("/-/reload"), token).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(why.contains("http.token_file"), "{why}");
    }
}

#[tokio::test]
async fn commands_reach_the_pipeline_and_its_answer_comes_back() {
    let mut running = Running::start(|_| {}).await;
    let (close, accept, baseline, reload) = (
        running.admin("/api/v1/incidents/i-1/close"),
        running.admin("/api/v1/models/fraud/accept"),
        running.admin("/api/v1/models/fraud/baseline"),
        running.admin("/-/reload"),
    );
    let client = running.client.clone();
    let control = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(command) = running.commands.recv().await {
            match command {
                Command::CloseIncident { id, as_, by, reply } => {
                    seen.push(format!("close {id} {as_:?} by {by}"));
                    let closed = Refusal::Conflict("it is closed".to_owned());
                    reply
                        .send(if seen.len() == 1 { Ok("closed".to_owned()) } else { Err(closed) })
                        .unwrap();
                }
                Command::AcceptFault { model, by, reply } => {
                    seen.push(format!("accept {model} by {by}"));
                    reply.send(Ok("accepted".to_owned())).unwrap();
                }
                Command::ReplaceBaseline { model, uri, reply } => {
                    seen.push(format!("baseline {model} {uri:?}"));
                    reply.send(Ok("taken up".to_owned())).unwrap();
                }
                Command::Reload { reply } => {
                    reply.send(Err(Refusal::Invalid("line 3".to_owned()))).unwrap();
                    return (seen, running);
                }
            }
        }
        panic!("the listener went away")
    });
    let send = async |method: Method, url: &str, body: &'static str| {
        let request = client.request(method, url).bearer_auth(TOKEN).body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let closed = send(Method::POST, &close, r#"{"as":"dismissed","by":"ana"}"#).await;
    assert_eq!(closed, (200, r#"{"message":"closed"}"#.to_owned()));
    assert_eq!(send(Method::POST, &close, r#"{"as":"rejected"}"#).await.0, 409);
    for bad in ["", "{}", r#"{"as":"forgotten"}"#, r#"{"as":"dismissed","to":1}"#] {
        assert_eq!(send(Method::POST, &close, bad).await.0, 400, "{bad}");
    }
    assert_eq!(send(Method::PUT, &baseline, "").await.0, 200);
    assert_eq!(send(Method::PUT, &baseline, r#"{"uri":"s3://b/r.parquet"}"#).await.0, 200);
    assert_eq!(
        send(Method::POST, &accept, "").await,
        (200, r#"{"message":"accepted"}"#.to_owned())
    );
    assert_eq!(send(Method::POST, &accept, r#"{"by":"ana"}"#).await.0, 200);
    assert_eq!(send(Method::POST, &accept, r#"{"as":"drift"}"#).await.0, 400);
    let long: &str = "x".repeat(65 << 10).leak();
    assert_eq!(send(Method::PUT, &baseline, long).await.0, 413);
    assert_eq!(send(Method::POST, &reload, "").await, (422, r#"{"error":"line 3"}"#.to_owned()));
    let (seen, _running) = control.await.unwrap();
    let dismissed = CloseReason::Dismissed;
    assert_eq!(
        seen,
        [
            format!("close i-1 {dismissed:?} by ana"),
            "close i-1 Rejected by api, from 127.0.0.1".to_owned(),
            "baseline fraud None".to_owned(),
            "baseline fraud Some(\"s3://b/r.parquet\")".to_owned(),
            "accept fraud by api, from 127.0.0.1".to_owned(),
            "accept fraud by ana".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_full_queue_of_commands_sheds_load() {
    let running = Running::start(|_| {}).await;
    let reload = || running.client.post(running.admin("/-/reload")).bearer_auth(TOKEN).send();
    // Nobody answers the first, which fills the queue of one.
    let first = tokio::spawn(reload());
    loop {
        let response = tokio::time::timeout(Duration::from_secs(1), reload()).await;
        // The second may have come first and be the one that waits.
        if let Ok(response) = response {
            let response = response.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["retry-after"]),
                (503, &"1".parse().unwrap())
            );
            break;
        }
    }
    first.abort();
}

#[tokio::test]
async fn probes_say_whether_loops_turn_and_what_is_waited_for() {
    let running = Running::starting(view(), metrics::Config::default(), |_| {}).await;
    let probe = async |path: &str| {
        let response = running.client.get(running.public(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(probe("/livez").await.0, 200);
    running.health.ingest_turned(START);
    let (status, text) = probe("/livez").await;
    assert!(status == 503 && text.contains("[-] ingest loop turned"), "{text}");
    running.health.ingest_turned(i64::MAX);
    running.health.evaluate_turned(i64::MAX);
    let (status, text) = probe("/livez?verbose").await;
    assert!(status == 200 && text.contains("[+] evaluate loop turned 0 ms ago"), "{text}");

    assert_eq!(
        probe("/readyz").await,
        (503, "not ready\n[-] the program is starting\n".to_owned())
    );
    running.health.waiting_for(vec!["model ranking: no baseline".to_owned()]);
    assert_eq!(probe("/readyz").await.1, "not ready\n[-] model ranking: no baseline\n");
    running.health.waiting_for(Vec::new());
    assert_eq!(probe("/readyz").await, (200, "ok\n".to_owned()));
    let (_, text) = probe("/readyz?verbose").await;
    assert!(text.contains("[+] model fraud: drift drifted, quality ok"), "{text}");
}

/// Nobody is told that there is no such model, and no command waits in a queue that nobody serves.
#[tokio::test]
async fn while_it_starts_it_says_so_wherever_a_model_would_be() {
    let running = Running::starting(View::default(), metrics::Config::default(), |_| {}).await;
    running.health.waiting_for(vec!["the baselines are being read".to_owned()]);
    let why = "driftd is starting: the baselines are being read";
    for route in driftd::http::routes() {
        let path = route.path.replace(['{', '}'], "");
        let request = running.client.request(route.method.clone(), running.admin(&path));
        let answer = request.bearer_auth(TOKEN).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.text().await.unwrap();
        let says_as_ever =
            ["/livez", "/metrics", "/health", "/configuration", "/api/v1/openapi.json"];
        if says_as_ever.contains(&route.path) {
            assert_eq!(status, 200, "{path}: {body}");
        } else if route.path != "/readyz" {
            assert!(status == 503 && body.contains(why), "{path}: {status} {body}");
            assert_eq!(headers["retry-after"], "1", "{path}");
        }
    }
    // Who may not read is not told so much either.
    let reload = running.client.post(running.admin("/-/reload")).send().await.unwrap();
    assert_eq!(reload.status(), StatusCode::UNAUTHORIZED);
    running.health.waiting_for(Vec::new());
    assert_eq!(running.get("/api/v1/models").await.status(), StatusCode::OK);
}

/// Every line as the text format has it; series by name and labels.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    let (mut helped, mut typed) = (BTreeSet::new(), Vec::new());
    let mut series = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            typed.push(name.to_owned());
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite(), "{line}");
            let name = key.split('{').next().unwrap();
            assert!(name.starts_with(typed.last().unwrap().as_str()), "{line}");
            assert!(series.insert(key.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    assert!(typed.is_sorted(), "{typed:?}");
    assert_eq!(helped.into_iter().collect::<Vec<_>>(), typed);
    series
}

#[tokio::test]
async fn drift_families_come_from_the_view_and_are_absent_where_nothing_can_be_said() {
    let running = Running::start(|_| {}).await;
    let series = parsed(&running.metrics().await);
    let of =
        |family: &str, labels: &str| series.get(&format!("driftd_{family}{{{labels}}}")).copied();
    let zeta = "model=\"fraud\",feature=\"zeta\"";
    let score = |feature: &str, statistic: &str| {
        let labels = format!(
            "model=\"fraud\",feature=\"{feature}\",statistic=\"{statistic}\",span=\"window\""
        );
        of("feature_drift_score", &labels)
    };
    assert_eq!(of("model_trained_timestamp_seconds", FRAUD), Some((START - MINUTE) as f64 / 1e3));
    assert_eq!(of("model_trained_timestamp_seconds", "model=\"ranking <b>\""), None);
    let upto = |le: &str| {
        of("incident_detection_seconds_bucket", &format!("{FRAUD},le=\"{le}\"")).unwrap()
    };
    assert_eq!(["300", "900", "3600", "7200", "+Inf"].map(upto), [0.0, 1.0, 1.0, 2.0, 2.0]);
    assert_eq!(of("incident_detection_seconds_sum", FRAUD), Some(4200.0));
    assert_eq!(of("retraining_cycle_seconds_count", FRAUD), Some(1.0));
    assert_eq!(of("retraining_runs_total", &format!("{FRAUD},state=\"failed\"")), Some(1.0));
    // One that has not come yet is there, so that a first one is seen as an increase.
    assert_eq!(of("retraining_runs_total", "model=\"ranking <b>\",state=\"failed\""), Some(0.0));
    assert_eq!(score("zeta", "psi"), Some(0.3));
    assert_eq!(score("zeta", "ks"), None);
    assert_eq!(score("zeta", "kl"), None);
    assert_eq!(score("a\\\"b\\n</td>\\\\{} \u{1f980}/..", "psi"), Some(0.15));
    assert_eq!(score(&"x".repeat(4096), "psi"), None);
    let threshold = format!("{zeta},statistic=\"psi\",level=\"retrain\"");
    assert_eq!(of("feature_drift_threshold", &threshold), Some(0.2));
    for (feature, level, detected) in
        [("zeta", "retrain", Some(1.0)), ("country", "notice", Some(0.0)), ("id", "notice", None)]
    {
        let labels = format!("model=\"fraud\",feature=\"{feature}\",level=\"{level}\"");
        assert_eq!(of("feature_drift_detected", &labels), detected, "{feature}");
    }
    assert_eq!(of("feature_missing_ratio", zeta), Some(0.1875));
    assert_eq!(of("feature_out_of_range_ratio", zeta), Some(0.1));
    assert_eq!(of("feature_unseen_category_ratio", zeta), None);
    assert_eq!(of("feature_present", zeta), Some(1.0));
    let id = "model=\"fraud\",feature=\"id\"";
    assert_eq!((of("feature_present", id), of("feature_usable", id)), (Some(0.0), Some(0.0)));
    assert_eq!(of("window_observations", zeta), Some(10.0));
    assert_eq!(of("model_drift_ratio", "model=\"fraud\""), Some(0.5));
    assert_eq!(of("prediction_drift_p_value", zeta), Some(1e-6));
    assert_eq!(of("prediction_drift_detected", zeta), Some(1.0));
    assert_eq!(of("evaluation_status", "model=\"fraud\",status=\"ok\""), Some(1.0));
    assert_eq!(of("evaluation_status", "model=\"ranking <b>\",status=\"no_baseline\""), Some(1.0));
    assert_eq!(of("model_drift_ratio", "model=\"ranking <b>\""), None);
    assert_eq!(of("incident_state", "model=\"fraud\",state=\"accepted\""), Some(1.0));
    assert_eq!(of("incident_open", "model=\"ranking <b>\""), Some(0.0));
    assert_eq!(
        of("retrain_suppressed_total", "model=\"fraud\",reason=\"incident_open\""),
        Some(4.0)
    );
    assert_eq!(series["driftd_metrics_series"], series.len() as f64);
    assert_eq!(series["driftd_metrics_series_limited"], 0.0);

    let stale = Arc::new(ModelView { quality: Quality::Stale, ..fraud() });
    running.view.send_replace(Arc::new(View { models: vec![stale], incidents: Vec::new() }));
    let text = running.metrics().await;
    parsed(&text);
    assert!(
        !text.contains("driftd_feature_drift_score") && text.contains("driftd_feature_present")
    );
    assert!(text.contains("driftd_evaluation_status{model=\"fraud\",status=\"stale_input\"} 1\n"));
}

#[tokio::test]
async fn too_many_series_cost_the_last_models_their_features() {
    let second = Arc::new(ModelView { model: "second".to_owned(), ..fraud() });
    let models =
        || View { models: vec![Arc::new(fraud()), Arc::clone(&second)], incidents: Vec::new() };
    let whole = Running::start_with(models(), metrics::Config::default(), |_| {}).await;
    let all = parsed(&whole.metrics().await).len();
    let exported = metrics::Config { max_series: all - 1, ..metrics::Config::default() };
    let running = Running::start_with(models(), exported, |_| {}).await;
    let text = running.metrics().await;
    let series = parsed(&text);
    assert!(series.len() < all && series["driftd_metrics_series_limited"] == 1.0);
    assert!(text.contains("driftd_feature_present{model=\"fraud\""));
    assert!(!text.contains("driftd_feature_present{model=\"second\""));
    assert!(text.contains("driftd_model_drift_state{model=\"second\""));
}

fn record_everything(metrics: &Metrics) {
    metrics.expect_model("fraud.inferences", "fraud");
    metrics.records_consumed("fraud.inferences", 7, 700);
    metrics.records_rejected("fraud.inferences", "fraud", Reason::Malformed, 2);
    metrics.records_late("fraud.inferences", "fraud", 1);
    metrics.records_other_model("fraud.inferences", 1);
    metrics.duplicate_keys("fraud.inferences", "fraud", 1);
    metrics.records_lost("fraud.inferences", "retention", 5);
    metrics.imprecise_numbers("fraud.inferences", "fraud", 3);
    metrics.keys_looked_up("fraud.inferences", "fraud", 26);
    metrics.rebalanced();
    metrics.stall_recovered();
    metrics.assigned_partitions("fraud.inferences", 2);
    metrics.lag("fraud.inferences", 0, 12);
    metrics.lag("fraud.inferences", 1, 13);
    metrics.revoked("fraud.inferences", 1);
    metrics.event_watermark("fraud", START);
    metrics.panes_closed("fraud", 1);
    metrics.partials_published("fraud", 1);
    metrics.snapshot_written(4096, START);
    metrics.snapshot_failed();
    metrics.state_rejected("partition", 1);
    metrics.evaluated("fraud", Duration::from_millis(3), START);
    metrics.delivered("retraining_trigger", "accepted", Duration::from_millis(120));
    metrics.pending("retraining_trigger", 0, None);
    metrics.pending("sl\"ack\n", 2, Some(START));
    metrics.baseline_refreshed("fraud", START);
    metrics.baseline_refresh_failed("fraud");
    metrics.config_loaded(1, START);
    metrics.config_reload_failed();
    metrics.run_upkeep();
}

#[tokio::test]
async fn what_is_recorded_is_exposed_and_a_revoked_partition_is_not() {
    let running = Running::start(|_| {}).await;
    record_everything(&running.metrics);
    let series = parsed(&running.metrics().await);
    assert_eq!(series["driftd_records_consumed_total{topic=\"fraud.inferences\"}"], 7.0);
    let rejected = |reason: &str| {
        series[&format!(
            "driftd_records_rejected_total{{topic=\"fraud.inferences\",model=\"fraud\",reason=\"{reason}\"}}"
        )]
    };
    assert_eq!((rejected("malformed"), rejected("future")), (2.0, 0.0));
    let lag = |partition: i32| {
        series.get(&format!(
            "driftd_consumer_lag_records{{topic=\"fraud.inferences\",partition=\"{partition}\"}}"
        ))
    };
    assert_eq!((lag(0), lag(1)), (Some(&12.0), None));
    assert_eq!(series["driftd_evaluation_duration_seconds_count"], 1.0);
    assert_eq!(series["driftd_evaluation_duration_seconds_bucket{le=\"0.0025\"}"], 0.0);
    assert_eq!(series["driftd_evaluation_duration_seconds_bucket{le=\"0.005\"}"], 1.0);
    assert_eq!(series["driftd_config_last_reload_successful"], 0.0);
    let oldest = "driftd_webhook_oldest_pending_timestamp_seconds";
    assert_eq!(series[&format!("{oldest}{{target=\"sl\\\"ack\\n\"}}")], 1_767_225_600.0);
    assert!(!series.contains_key(&format!("{oldest}{{target=\"retraining_trigger\"}}")));
    assert!(series.contains_key("process_cpu_seconds_total"));
    let other = Running::start(|_| {}).await;
    let apart = parsed(&other.metrics().await);
    assert!(!apart.keys().any(|key| key.starts_with("driftd_records_consumed_total")));
}

/// A program of Prometheus' package, or `None` after saying so.
fn server(name: &str) -> Option<PathBuf> {
    let servers = std::env::var_os("DRIFTD_SERVERS")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/driftd-servers")));
    let unpacked = servers.map(|servers| servers.join("prometheus-deb/usr/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(unpacked);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var("DRIFTD_TEST_REQUIRE").is_ok_and(|require| require == "all");
        assert!(!required, "DRIFTD_TEST_REQUIRE=all, and there is no {name}");
        eprintln!("SKIPPED: no {name} in PATH or under DRIFTD_SERVERS");
    }
    found
}

#[tokio::test]
async fn promtool_finds_nothing_to_say() {
    let Some(promtool) = server("promtool") else { return };
    let running = Running::start(|_| {}).await;
    record_everything(&running.metrics);
    let text = running.metrics().await;
    let mut child = Process::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// Ends with the test, also when that fails.
struct Prometheus(std::process::Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn a_real_prometheus_scrapes_hostile_names_as_they_are() {
    let Some(program) = server("prometheus") else { return };
    let running = Running::start(|_| {}).await;
    record_everything(&running.metrics);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    let target = running.servers.public_addr();
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: driftd, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    std::fs::write(&config, text).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _prometheus = Prometheus(
        Process::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let query = encoded("driftd_feature_drift_score{span=\"window\"}");
    let url = format!("http://{free}/api/v1/query?query={query}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        assert!(tokio::time::Instant::now() < deadline, "nothing was scraped");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let Ok(response) = running.client.get(&url).send().await else { continue };
        let answer: Value =
            serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
        let Some(result) = answer["data"]["result"].as_array().filter(|all| !all.is_empty()) else {
            continue;
        };
        let scores: BTreeMap<&str, &str> = result
            .iter()
            .map(|one| {
                (one["metric"]["feature"].as_str().unwrap(), one["value"][1].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            scores,
            BTreeMap::from([("zeta", "0.3"), (HOSTILE, "0.15"), ("country", "0.02")])
        );
        break;
    }
}

#[tokio::test]
async fn beyond_loopback_reading_needs_the_token() {
    let any = |config: &mut Config| config.admin = "0.0.0.0:0".parse().unwrap();
    // An address of this machine that is not loopback; UDP sends nothing to find it.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if probe.connect("192.0.2.1:9").is_err() {
        eprintln!("SKIPPED: this machine has loopback only");
        return;
    }
    let ip = probe.local_addr().unwrap().ip();
    let with = Running::start(any).await;
    let url = |running: &Running, path: &str| {
        format!("http://{ip}:{}{path}", running.servers.admin_addr().port())
    };
    let models = url(&with, "/api/v1/models");
    assert_eq!(with.status(Method::GET, models.clone()).await, 401);
    let read = with.client.get(models).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(read.status(), 200);
    assert_eq!(with.status(Method::GET, url(&with, "/metrics")).await, 200);
    let open = Running::start(|config| {
        any(config);
        config.token_file = None;
        config.insecure_anyone_may_read = true;
    })
    .await;
    assert_eq!(open.status(Method::GET, url(&open, "/api/v1/models")).await, 200);
    assert_eq!(open.status(Method::POST, url(&open, "/-/reload")).await, 403);
}

#[tokio::test]
async fn faults_of_the_start_name_the_key() {
    let running = Running::start(|_| {}).await;
    let (_, view) = watch::channel(Arc::new(View::default()));
    let (commands, _receiver) = mpsc::channel(1);
    let shared = Shared {
        view,
        metrics: Metrics::new(),
        health: Arc::default(),
        commands,
        exported: metrics::Config::default(),
        configuration: "".into(),
    };
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let free = Config { public: loopback, admin: loopback, ..Config::default() };
    let taken = Config { public: running.servers.public_addr(), ..free.clone() };
    let error = driftd::http::serve(&taken, shared.clone()).await.unwrap_err();
    let why = error.to_string();
    assert!(matches!(error, Error::Bind { .. }) && why.starts_with("http.public: "), "{why}");
    assert!(why.contains(&running.servers.public_addr().to_string()), "{why}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "short\n").unwrap();
    let short = Config { token_file: Some(file.path().to_owned()), ..free.clone() };
    let why = driftd::http::serve(&short, shared.clone()).await.unwrap_err().to_string();
    assert!(why.contains("holds 5 bytes") && why.contains("at least 32"), "{why}");
    let exposed = Config { admin: "0.0.0.0:0".parse().unwrap(), ..free.clone() };
    let why = driftd::http::serve(&exposed, shared.clone()).await.unwrap_err().to_string();
    for part in ["http.admin", "http.token_file", "client_ca_file", "insecure_anyone_may_read"] {
        assert!(why.contains(part), "{part} in {why}");
    }
    let nowhere = Config { token_file: Some("/nonexistent/token".into()), ..free };
    let why = driftd::http::serve(&nowhere, shared).await.unwrap_err().to_string();
    assert!(why.starts_with("http.token_file: cannot read /nonexistent/token"), "{why}");
}

#[tokio::test]
async fn a_shutdown_answers_what_is_in_flight_and_cuts_off_what_hangs() {
    let mut running = Running::start(|_| {}).await;
    let request = running.client.post(running.admin("/-/reload")).bearer_auth(TOKEN).send();
    let request = tokio::spawn(request);
    let Some(Command::Reload { reply }) = running.commands.recv().await else {
        panic!("no command")
    };
    let mut idle = TcpStream::connect(running.servers.admin_addr()).await.unwrap();
    idle.write_all(b"GET / HT").await.unwrap();
    let admin = running.servers.admin_addr();
    let shutdown = tokio::spawn(running.servers.shutdown(Duration::from_secs(2)));
    while TcpStream::connect(admin).await.is_ok() {
        tokio::task::yield_now().await;
    }
    reply.send(Ok("reloaded".to_owned())).unwrap();
    assert_eq!(request.await.unwrap().unwrap().status(), 200);
    shutdown.await.unwrap();
    assert!(matches!(idle.read(&mut [0; 16]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn the_configuration_is_strict() {
    let read = |text: &str| serde_json::from_str::<Config>(text);
    let config = read(r#"{"admin":"[::1]:9","external_url":"https://d.example/"}"#).unwrap();
    assert_eq!(config.public, "0.0.0.0:9464".parse().unwrap());
    assert_eq!(config.external_url.unwrap().to_string(), "https://d.example");
    for bad in [r#"{"pubic":"0.0.0.0:1"}"#, r#"{"public":"9464"}"#, r#"{"external_url":"d"}"#] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
