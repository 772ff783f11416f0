//! What is told of scores that are not real, of counts that are withheld, of labels, and of models of others.

use driftd::decide::incident::{Attempt, Incident};
use driftd::decide::view::Onset;

use super::*;

fn onset(log_evidence: f64) -> Onset {
    let psi = VerdictScore { value: 1.25, noise_floor: Some(0.4), p_value: None, threshold: None };
    Onset {
        since_ms: START + MINUTE,
        records: 500,
        log_evidence,
        log_needed: 10.0,
        psi: Some(psi),
        psi_bias: 0.0,
        window_psi_bias: 0.0,
        outside: Some((Statistic::OutOfRange, 0.06)),
        missing: Some(0.025),
    }
}

async fn running(models: Vec<ModelView>, incidents: Vec<Incident>) -> Running {
    let view = View { models: models.into_iter().map(Arc::new).collect(), incidents };
    Running::start_with(view, metrics::Config::default(), |_| {}).await
}

#[tokio::test]
async fn a_score_since_the_onset_is_there_only_while_the_change_is_real() {
    let score = "driftd_feature_drift_score{model=\"fraud\",feature=\"zeta\",statistic=\"psi\",span=\"onset\"}";
    let evidence = "driftd_feature_drift_evidence_ratio{model=\"fraud\",feature=\"zeta\"}";
    for (log_evidence, expected) in [(9.0, None), (10.0, Some(1.25))] {
        let mut model = fraud();
        model.features[0].onset = Some(onset(log_evidence));
        let series = parsed(&running(vec![model], Vec::new()).await.metrics().await);
        assert_eq!(series.get(score).copied(), expected);
        assert_eq!(series.get(evidence).copied(), Some(log_evidence / 10.0));
    }
}

#[tokio::test]
async fn a_label_that_records_do_not_carry_is_not_missed() {
    let mut model = fraud();
    let mut baseline = Baseline::clone(model.baseline.as_ref().unwrap());
    baseline.features[0].role = Role::Label;
    baseline.features[2].role = Role::Latency;
    model.baseline = Some(Arc::new(baseline));
    let series = parsed(&running(vec![model], Vec::new()).await.metrics().await);
    let has = |family: &str, feature: &str| {
        let name = format!("driftd_feature_{family}{{model=\"fraud\",feature=\"{feature}\"}}");
        series.contains_key(&name)
    };
    assert!(has("present", "id") && has("usable", "zeta") && has("usable", "country"));
    assert!(!has("present", "zeta") && !has("present", "country"));
}

/// Of the window's 16 records of `zeta` nine came while it was at fault: seven are left.
#[tokio::test]
async fn counts_are_shown_as_they_were_scored_and_what_is_withheld_is_said() {
    let mut model = fraud();
    let rest = Counts { null: 1, ..counts([0, 1, 2, 3]) };
    model.rest = vec![Some(rest), None, None, None, None];
    let running = running(vec![model], Vec::new()).await;
    let series = parsed(&running.metrics().await);
    let of = |family: &str| series[&format!("driftd_{family}{{model=\"fraud\",feature=\"zeta\"}}")];
    assert_eq!((of("window_observations"), of("feature_out_of_range_ratio")), (6.0, 0.0));
    assert_eq!((of("feature_missing_ratio"), of("feature_present")), (0.1875, 1.0));
    let zeta = running.json("/api/v1/models/fraud/features/zeta").await;
    assert_eq!(zeta["cells"]["live"], json!([0, 1, 2, 3]));
    assert_eq!(zeta["bins"]["live"], json!([1, 5]));
    assert_eq!(zeta["out_of_range"]["live"], json!({"count": 0, "ratio": 0.0}));
    assert_eq!(zeta["missing"]["live"]["count"], 3, "a fault is seen");
    let page = running.get("/models/fraud/features/zeta").await.text().await.unwrap();
    assert!(page.contains("9 records of the window came while something was wrong"), "{page}");
    assert!(page.contains("wrong type"), "all of the window is in the table of values");
    let page = running.get("/models/fraud/features/country").await.text().await.unwrap();
    assert!(!page.contains("while something was wrong"), "{page}");
}

#[tokio::test]
async fn a_model_of_another_replica_has_no_verdict_here_but_a_link_there() {
    let of = |elsewhere: &str| ModelView { elsewhere: Some(elsewhere.to_owned()), ..fresh() };
    let there = of("https://pod-1.example:9465");
    let nameless = ModelView { model: "other".to_owned(), ..of("") };
    let running = running(vec![fraud(), there, nameless], Vec::new()).await;
    let text = async |path: &str| running.get(path).await.text().await.unwrap();
    let page = text("/models/ranking%20%3Cb%3E").await;
    let link = "href=\"https://pod-1.example:9465/models/ranking%20%3Cb%3E\"";
    assert!(page.contains("Evaluated by ") && page.contains(link), "{page}");
    for wrong in
        ["no baseline", "class=\"pill", "Records in the window", "None has been judged yet"]
    {
        assert!(!page.contains(wrong), "{wrong} in {page}");
    }
    let page = text("/models/other").await;
    assert!(page.contains("Evaluated by another replica."), "{page}");
    let page = text("/").await;
    assert!(page.contains("2 evaluated by other replicas") && page.contains(link), "{page}");
    assert!(!page.contains("no baseline"), "{page}");
    assert!(text("/health").await.contains(link));
    let probe = running.client.get(running.public("/readyz?verbose")).send().await.unwrap();
    let probe = probe.text().await.unwrap();
    let said = "[+] model ranking <b>: evaluated by https://pod-1.example:9465\n";
    assert!(probe.contains(said) && !probe.contains("no_baseline"), "{probe}");
    // An address that no link may lead to is shown as a text.
    let hostile = running_at("javascript:alert(1)").await;
    let page = hostile.get("/models/ranking%20%3Cb%3E").await.text().await.unwrap();
    assert!(
        page.contains("Evaluated by javascript:alert(1).") && !page.contains("href=\"javascript"),
        "{page}"
    );
}

async fn running_at(elsewhere: &str) -> Running {
    running(vec![ModelView { elsewhere: Some(elsewhere.to_owned()), ..fresh() }], Vec::new()).await
}

#[tokio::test]
async fn an_incident_shows_the_shares_since_its_onset_and_what_each_attempt_was_about() {
    let mut incident = view().incidents.remove(0);
    incident.evidence.features[0].onset = Some(onset(20.0));
    incident.evidence.more_features = 4_800;
    let attempt = Attempt { ok: None, status: None, ..incident.attempts[0].clone() };
    incident.attempts.push(Attempt { message: Some(Told::Triggered), n: 2, ..attempt });
    let running = running(vec![fraud()], vec![incident]).await;
    let page = running.get("/incidents/i-1").await.text().await.unwrap();
    let scores =
        "PSI <b>1.25</b>, out of range <b>6.00 %</b>, missing <b>2.50 %</b> over 500 records";
    assert!(page.contains(scores), "{page}");
    assert!(page.contains("And 4\u{202f}800 features more"), "{page}");
    for said in ["start the retraining", "retraining triggered", "no answer yet"] {
        assert!(page.contains(said), "{said} in {page}");
    }
    let tile = running.get("/models/fraud").await.text().await.unwrap();
    assert!(tile.contains("Incidents opened") && !tile.contains("Retrainings triggered"), "{tile}");
}
