//! Pages of a model with a thousand features: what they weigh, and that everything can be found.

use std::sync::Arc;

use driftd::baseline::Baseline;
use driftd::compare::Statistic;
use driftd::decide::history::{History, Seen};
use driftd::decide::policy::Level;
use driftd::decide::view::{
    DriftState, FeatureVerdict, ModelView, Onset, Verdict, VerdictScore, View,
};

use super::{MINUTE, Running, START, feature, fraud, numeric};

const FEATURES: usize = 1_000;
const PANES: i64 = 288;

fn name(n: usize) -> String {
    format!("customer_transactions_{n:04}")
}

/// One in a hundred has drifted; scores wander, so that no line is short.
fn verdict(n: usize, pane: i64) -> FeatureVerdict {
    let wander = (n as f64 * 0.37 + pane as f64 * 0.91).sin().abs();
    let drifted = n.is_multiple_of(100);
    let value = if drifted { 0.3 + wander / 7.0 } else { wander / 31.0 };
    let score = VerdictScore {
        value,
        noise_floor: Some(value / 3.0),
        p_value: Some(wander / 11.0),
        threshold: Some(0.1),
    };
    let onset = Onset {
        since_ms: START,
        records: 7_200,
        log_evidence: 13.0 * value,
        log_needed: 3.9,
        psi: Some(VerdictScore { value: value * 1.7, ..score }),
        psi_bias: 0.001,
        window_psi_bias: 0.001,
        outside: None,
        missing: None,
    };
    let statistics = [Statistic::Psi, Statistic::Ks, Statistic::Missing, Statistic::OutOfRange];
    FeatureVerdict {
        verdict: if drifted { Verdict::Drifted } else { Verdict::Stable },
        scores: statistics.into_iter().map(|statistic| (statistic, score)).collect(),
        onset: Some(onset),
        ..super::verdict(&name(n), Verdict::Stable, value)
    }
}

/// A day of panes of a thousand features.
fn large() -> ModelView {
    let model = fraud();
    let mut history = History::new(&model.thresholds, usize::try_from(PANES).unwrap());
    history.watch((0..FEATURES).map(name).collect());
    for pane in 0..PANES {
        let start_ms = START + 5 * pane * MINUTE;
        let seen = Seen {
            start_ms,
            end_ms: start_ms + 5 * MINUTE,
            records: 1_000_000 + pane.unsigned_abs(),
            rejects: 0,
            complete: true,
            drift: Some(if pane < 200 { DriftState::Healthy } else { DriftState::Drifted }),
        };
        let verdicts: Vec<_> = (0..FEATURES).map(|n| verdict(n, pane)).collect();
        history.push(seen, false, &verdicts);
    }
    let baseline = Baseline {
        features: (0..FEATURES).map(|n| feature(&name(n), numeric())).collect(),
        ..Baseline::clone(model.baseline.as_ref().unwrap())
    };
    ModelView {
        features: (0..FEATURES).map(|n| verdict(n, PANES)).collect(),
        baseline: Some(Arc::new(baseline)),
        live: vec![model.live[0].clone(); FEATURES],
        history: Arc::new(history),
        thresholds: vec![
            (Statistic::Psi, Level::Warning, 0.1),
            (Statistic::Psi, Level::Retrain, 0.2),
        ],
        panes: Arc::default(),
        ..model
    }
}

#[tokio::test]
async fn a_thousand_features_stay_readable() {
    let view = View { models: vec![Arc::new(large())], incidents: Vec::new() };
    let running = Running::start_with(view, Default::default(), |_| {}).await;
    let read = async |path: &str| running.get(path).await.text().await.unwrap();
    let most = |text: &str, path: &str, kib: usize| {
        println!("{path}: {} KiB", text.len() / 1024);
        assert!(text.len() <= kib << 10, "{path}: {} KiB", text.len() / 1024);
    };
    for (path, kib) in [
        ("/", 64),
        ("/models/fraud", 384),
        ("/models/fraud/features/customer_transactions_0000", 192),
        ("/models/fraud?features=all", 1200),
        ("/health", 64),
        ("/models/fraud/report", 12 << 10),
        ("/api/v1/models/fraud/history?feature=customer_transactions_0007", 64),
    ] {
        most(&read(path).await, path, kib);
    }

    // Page by page every feature is listed once, the worst first.
    let rows = |text: &str| -> Vec<String> {
        let table = text.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
        let rows = table.split("data-v=\"customer_").skip(1);
        rows.map(|row| row.split('"').next().unwrap().to_owned()).collect()
    };
    let first = read("/models/fraud").await;
    assert!(first.contains("href=\"?features=101\""), "the way on");
    let mut listed = Vec::new();
    for page in 0..10 {
        let text = read(&format!("/models/fraud?features={}", 100 * page + 1)).await;
        assert_eq!(rows(&text).len(), 100);
        listed.extend(rows(&text));
    }
    assert_eq!(rows(&read("/models/fraud?features=all").await), listed);
    let drifted = listed.iter().take(10).all(|name| name.ends_with("00"));
    assert!(drifted, "{:?}", &listed[..10]);
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), FEATURES);
    // A rank that no feature has leads to the last ones.
    for wrong in ["99999", "901", "00901"] {
        assert_eq!(rows(&read(&format!("/models/fraud?features={wrong}")).await).len(), 100);
    }
    for nonsense in ["0", "-1", "x", ""] {
        let text = read(&format!("/models/fraud?features={nonsense}")).await;
        assert_eq!(rows(&text), rows(&first), "{nonsense}");
    }
}

#[tokio::test]
async fn the_past_of_chosen_features_is_theirs_alone() {
    let view = View { models: vec![Arc::new(large())], incidents: Vec::new() };
    let running = Running::start_with(view, Default::default(), |_| {}).await;
    let all = running.json("/api/v1/models/fraud/history").await;
    let path = format!("/api/v1/models/fraud/history?feature={}&feature={}", name(3), name(900));
    let some = running.json(&path).await;
    assert_eq!(some["features"].as_array().unwrap().len(), 2);
    assert_eq!(some["features"][0], all["features"][3]);
    assert_eq!(some["features"][1], all["features"][900]);
    assert_eq!(some["records"], all["records"]);
    for (query, status) in [("feature=none", 404), ("of=x", 400)] {
        let answer = running.get(&format!("/api/v1/models/fraud/history?{query}")).await;
        assert_eq!(answer.status(), status, "{query}");
    }
}
