//! Whatever the API returns is in its document: every key, and every word of a closed set.

use driftd::decide::fault::{Fault, FaultKind};
use driftd::decide::history::{History, Seen};
use driftd::decide::view::Onset;
use driftd::decide::{Audience, Run, RunState};
use serde::de::DeserializeOwned;

use super::*;

fn document() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap()
}

/// The words of an enum as JSON has them: what serde says that it expected instead.
fn words<T: DeserializeOwned>() -> BTreeSet<String> {
    let Err(error) = serde_json::from_str::<T>("\"no such word\"") else {
        panic!("there is no such word")
    };
    let error = error.to_string();
    let (_, expected) = error.split_once("expected").unwrap();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_word_of_a_closed_set_is_in_the_document() {
    let document = document();
    let listed = |path: &str| {
        let schema = document.pointer(&format!("/components/schemas/{path}/enum"));
        let words = schema.unwrap_or_else(|| panic!("{path}")).as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let mut states = words::<IncidentState>();
    assert_eq!(listed("Incident/properties/state"), states);
    assert!(states.contains(IncidentState::Retraining.as_str()));
    states.insert("none".to_owned());
    assert_eq!(listed("ModelSummary/properties/incident"), states);
    assert_eq!(listed("Incident/properties/as"), words::<CloseReason>());
    assert_eq!(listed("Run/properties/state"), words::<RunState>());
    assert_eq!(listed("Attempt/properties/message"), words::<Told>());
    assert_eq!(listed("DriftState"), words::<DriftState>());
    assert_eq!(listed("ModelSummary/properties/quality"), words::<Quality>());
    assert_eq!(listed("Suppression"), words::<Suppression>());
    assert_eq!(listed("Statistic"), words::<Statistic>());
    assert_eq!(listed("Level"), words::<Level>());
    assert_eq!(listed("FeatureVerdict/properties/verdict"), words::<Verdict>());
    assert_eq!(listed("FeatureVerdict/properties/kind"), words::<Kind>());
    assert_eq!(listed("FeatureVerdict/properties/role"), words::<Role>());
    assert_eq!(listed("Fault/properties/kind"), words::<FaultKind>());
    assert_eq!(listed("Fault/properties/audience"), words::<Audience>());
}

/// What a schema says is to be there together: itself, what it refers to, and its parts.
fn parts<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut all = vec![schema];
    if let Some(at) = schema["$ref"].as_str() {
        all.extend(parts(document, document.pointer(at.trim_start_matches('#')).unwrap()));
    }
    for of in ["allOf", "anyOf", "oneOf"] {
        let inner = schema[of].as_array().into_iter().flatten();
        all.extend(inner.flat_map(|schema| parts(document, schema)));
    }
    all
}

/// Adds every key below `value` that its schema does not describe.
fn undescribed(
    document: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
    out: &mut BTreeSet<String>,
) {
    let parts = parts(document, schema);
    let first = |of: &dyn Fn(&&Value) -> bool| parts.iter().copied().find(|part| of(part));
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                let named = first(&|part| part["properties"].get(key).is_some());
                let any = first(&|part| part["additionalProperties"].is_object());
                let schema = named.map(|part| &part["properties"][key]);
                match schema.or(any.map(|part| &part["additionalProperties"])) {
                    Some(schema) => {
                        undescribed(document, schema, value, &format!("{at}.{key}"), out);
                    }
                    None => {
                        out.insert(format!("{at}.{key}"));
                    }
                }
            }
        }
        Value::Array(items) => {
            if let Some(part) = first(&|part| part["items"].is_object()) {
                for value in items {
                    undescribed(document, &part["items"], value, at, out);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A view in which everything is there that can be.
fn whole() -> View {
    let mut view = view();
    let mut model = fraud();
    let psi = model.features[0].scores[&Statistic::Psi];
    model.features[0] = FeatureVerdict {
        reason: Some("because".to_owned()),
        records_needed: Some(7),
        season: Some("day".to_owned()),
        onset: Some(Onset {
            since_ms: START,
            records: 500,
            log_evidence: 12.0,
            log_needed: 10.0,
            psi: Some(psi),
            psi_bias: 0.01,
            window_psi_bias: 0.01,
            outside: Some((Statistic::OutOfRange, 0.1)),
            missing: Some(0.1),
        }),
        ..model.features[0].clone()
    };
    model.faults = vec![Fault {
        feature: Some("zeta".to_owned()),
        new_names: vec!["zetta".to_owned()],
        ..Fault::of_rejects(0.1, 0.05, START)
    }];
    model.outputs.push(OutputDrift {
        role: Role::Confidence,
        reference_end_ms: Some(START),
        ..predicted()
    });
    let mut history = History::new(&model.thresholds, 10);
    history.watch(model.features.iter().map(|of| of.feature.clone()).collect());
    let seen = Seen {
        start_ms: START,
        end_ms: START + MINUTE,
        records: 10,
        rejects: 1,
        complete: true,
        drift: Some(DriftState::Drifted),
    };
    history.push(seen, false, &model.features);
    model.history = Arc::new(history);
    let elsewhere = ModelView { elsewhere: Some("pod-1".to_owned()), ..fresh() };
    view.models = vec![Arc::new(model), Arc::new(elsewhere)];
    let incident = &mut view.incidents[0];
    let at = || Some("2026-01-01T01:00:00Z".to_owned());
    (incident.onset, incident.closed, incident.closed_as) =
        (at(), at(), Some(CloseReason::Expired));
    incident.attempts[0].detail = Some("so it was".to_owned());
    incident.run = Some(Run {
        state: RunState::Running,
        word: "queued".to_owned(),
        url: Some("https://pipeline.example/1".to_owned()),
        reference: Some("1".to_owned()),
        at: "2026-01-01T00:04:00Z".to_owned(),
    });
    incident.evidence.more_features = 2;
    incident.evidence.features = view.models[0].features.clone();
    view
}

#[tokio::test]
async fn every_key_that_is_returned_is_in_the_document() {
    let document = document();
    let running = Running::start_with(whole(), metrics::Config::default(), |_| {}).await;
    let mut missing = BTreeSet::new();
    for (path, asked) in [
        ("/api/v1/models", "/api/v1/models"),
        ("/api/v1/models/{model}", "/api/v1/models/fraud"),
        ("/api/v1/models/{model}/features/{feature}", "/api/v1/models/fraud/features/zeta"),
        ("/api/v1/models/{model}/features/{feature}", "/api/v1/models/fraud/features/country"),
        ("/api/v1/models/{model}/features/{feature}", "/api/v1/models/fraud/features/id"),
        ("/api/v1/models/{model}/history", "/api/v1/models/fraud/history"),
        ("/api/v1/models/{model}/panes", "/api/v1/models/fraud/panes"),
        ("/api/v1/models/{model}/report", "/api/v1/models/fraud/report"),
        ("/api/v1/incidents", "/api/v1/incidents"),
    ] {
        let answer = running.json(asked).await;
        let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
            ["schema"];
        undescribed(&document, schema, &answer, path, &mut missing);
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What the guards before every route answer, and what bounds its time.
#[test]
fn every_route_says_that_it_may_refuse_or_take_too_long() {
    let document = document();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            for status in ["401", "403", "429", "503"] {
                assert!(route["responses"][status].is_object(), "{method} {path}: {status}");
            }
        }
    }
}
