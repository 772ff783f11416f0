//! Every trigger preset against a server that answers as the real one does.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use driftd::deliver::{AlreadyThere, Outcome, Preset, SigningSecret, Target, Trigger, dry_render};
use driftd::setting::Secret;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::deliver::{
    ID, KEY as SIGNING_KEY, Outbox, Seen, Told, allowing_http, client, quick, read_request,
    results, trigger_of, verify,
};

/// What a server says to one request.
pub(crate) enum Said {
    Json(u16, Value),
    Text(u16, &'static str),
    With(u16, &'static str, String),
    /// At a time by its own clock, in seconds since the epoch.
    At(i64, u16, Value),
    /// It does what it was asked, and its answer is lost.
    Lost,
}

/// A server whose every answer is a function of the request; it remembers what it was asked.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    pub(crate) async fn start(answer: impl FnMut(&Seen) -> Said + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let answer = Arc::new(Mutex::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read_request(&mut stream).await else { continue };
                let said = (answer.lock().unwrap())(&request);
                log.lock().unwrap().push(request);
                let (status, header, body) = match said {
                    Said::Json(status, body) => (status, String::new(), body.to_string()),
                    Said::Text(status, body) => (status, String::new(), body.to_owned()),
                    Said::With(status, name, value) => {
                        (status, format!("{name}: {value}\r\n"), String::new())
                    }
                    Said::At(now_s, status, body) => {
                        let now = Timestamp::from_second(now_s).unwrap();
                        let printer = rfc2822::DateTimePrinter::new();
                        let date = printer.timestamp_to_rfc9110_string(&now).unwrap();
                        (status, format!("date: {date}\r\n"), body.to_string())
                    }
                    Said::Lost => {
                        stream.set_zero_linger().unwrap();
                        continue;
                    }
                };
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{header}\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await.ok();
                stream.shutdown().await.ok();
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests of one method.
    pub(crate) fn asked(&self, method: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.method == method).collect()
    }
}

pub(crate) fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn preset(preset: Preset, url: String, with: &[(&str, &str)]) -> Trigger {
    Trigger {
        preset: Some(preset),
        with: settings(with),
        token: Some(Secret::new("tok-123")),
        ..allowing_http(url)
    }
}

async fn sent(trigger: &Trigger) -> Vec<Told> {
    let mut outbox = Outbox::for_trigger(trigger);
    outbox.send(trigger_of(ID, "fraud"));
    outbox.until_final().await
}

fn form(seen: &Seen) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&seen.body).into_owned().collect()
}

/// Dispatch as in Argo's event server: a binding that names its workflow after the event's id.
#[tokio::test]
async fn argo_workflows_starts_one_workflow_however_often_it_is_asked() {
    let mut made = Vec::new();
    let argo = Fake::start(move |seen| {
        if !seen.headers.contains_key("authorization") {
            let message = "failed to process webhook request: secrets \"argo-workflows-webhook-clients\" not found";
            return Said::Json(403, json!({"code": 7, "message": message}));
        }
        let id = seen.headers["x-driftd-event-id"].clone();
        if made.contains(&id) {
            let message = format!(
                "failed to dispatch event: [workflows.argoproj.io \"retrain-{id}\" already exists]"
            );
            return Said::Json(500, json!({"code": 13, "message": message}));
        }
        made.push(id);
        // The workflow is there, and nobody hears of it.
        Said::Lost
    })
    .await;
    let url = argo.url("/api/v1/events/ml/mlops-retrain");
    let told =
        sent(&Trigger { token: Some(Secret::new("sa")), ..allowing_http(url.clone()) }).await;
    assert_eq!(results(&told), [Outcome::Retry, Outcome::AlreadyThere]);

    let mut outbox = Outbox::for_trigger(&allowing_http(url));
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.outcome().await;
    assert_eq!(told.result, Outcome::SlowRetry);
    assert!(told.detail.contains("Argo saw no bearer token"), "{}", told.detail);
}

#[tokio::test]
async fn argo_events_is_tried_again_while_its_route_is_not_active() {
    let mut n = 0;
    let events = Fake::start(move |_| {
        n += 1;
        match n {
            1 => Said::Text(400, "the endpoint is inactive"),
            2 => Said::Text(500, "failed to record event"),
            _ => Said::Text(200, "success"),
        }
    })
    .await;
    let told = sent(&preset(Preset::ArgoEvents, events.url("/driftd"), &[])).await;
    assert_eq!(results(&told), [Outcome::Retry, Outcome::Retry, Outcome::Accepted]);
    let seen = &events.seen()[0];
    assert_eq!(seen.headers["ce-id"], ID);
    assert_eq!(seen.headers["ce-type"], "io.driftd.drift.detected.v1");
    assert_eq!(seen.headers["authorization"], "Bearer tok-123");
    assert_eq!(body(seen)["data"]["model"], "fraud");
}

/// `POST /api/v2/dags/{dag_id}/dagRuns` of Airflow 3: a run id is taken once, `logical_date` is asked for.
fn airflow(version: u8, mut lost: bool) -> impl FnMut(&Seen) -> Said {
    let mut runs: Vec<String> = Vec::new();
    move |seen| {
        let known = format!("/api/v{version}/dags/retrain/dagRuns");
        if seen.path != known {
            return Said::Json(404, json!({"detail": "DAG with dag_id: 'x' not found"}));
        }
        let run = body(seen);
        if version == 2 && run.get("logical_date") != Some(&Value::Null) {
            return Said::Json(422, json!({"detail": [{"loc": ["body", "logical_date"]}]}));
        }
        let id = run["dag_run_id"].as_str().unwrap().to_owned();
        if runs.contains(&id) {
            return Said::Json(409, json!({"detail": {"reason": "Unique constraint violation"}}));
        }
        runs.push(id.clone());
        if std::mem::take(&mut lost) {
            return Said::Lost;
        }
        Said::Json(200, json!({"dag_run_id": id, "state": "queued", "conf": run["conf"]}))
    }
}

#[tokio::test]
async fn airflow_3_takes_our_id_once() {
    let server = Fake::start(airflow(2, true)).await;
    let trigger = preset(Preset::Airflow3, server.url("/"), &[("dag_id", "retrain")]);
    let told = sent(&trigger).await;
    assert_eq!(results(&told), [Outcome::Retry, Outcome::AlreadyThere]);
    assert_eq!(told[1].reference.as_deref(), Some(ID), "what is asked after");
    let seen = server.seen();
    assert_eq!(seen[0].body, seen[1].body);
    let sent = body(&seen[0]);
    assert_eq!(sent["dag_run_id"], ID);
    assert_eq!(sent["conf"]["event_id"], ID);
    assert_eq!(sent["conf"]["train_from"], "2026-01-01T00:00:00Z");
    assert_eq!(sent["conf"]["driftd"]["model"], "fraud", "a structure, not a text");
    assert_eq!(seen[0].headers["authorization"], "Bearer tok-123");
}

#[tokio::test]
async fn airflow_2_is_asked_with_a_password() {
    let server = Fake::start(airflow(1, false)).await;
    let trigger = Trigger {
        user: Some("driftd".to_owned()),
        ..preset(Preset::Airflow2, server.url("/"), &[("dag_id", "retrain")])
    };
    assert_eq!(results(&sent(&trigger).await), [Outcome::Accepted]);
    assert_eq!(server.seen()[0].headers["authorization"], "Basic ZHJpZnRkOnRvay0xMjM=");
}

#[tokio::test]
async fn airflow_3_logs_in_and_again_when_its_token_has_expired() {
    let mut logins = 0;
    let mut valid = String::new();
    let mut runs = 0;
    let server = Fake::start(move |seen| {
        if seen.path == "/auth/token" {
            let asked = body(seen);
            if asked["password"] != "tok-123" {
                return Said::Json(401, json!({"detail": "Invalid credentials"}));
            }
            logins += 1;
            valid = format!("Bearer jwt-{logins}");
            return Said::Json(201, json!({"access_token": format!("jwt-{logins}")}));
        }
        if seen.headers["authorization"] != valid {
            return Said::Json(403, json!({"detail": "Invalid JWT token"}));
        }
        runs += 1;
        // After the first run its token has expired.
        valid = if runs == 1 { "none".to_owned() } else { valid.clone() };
        Said::Json(200, json!({"state": "queued"}))
    })
    .await;
    let trigger = Trigger {
        user: Some("driftd".to_owned()),
        confirm: Some(false),
        ..preset(Preset::Airflow3, server.url("/"), &[("dag_id", "retrain")])
    };
    let mut outbox = Outbox::for_trigger(&trigger);
    outbox.send(trigger_of("first", "fraud"));
    assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted]);
    outbox.send(trigger_of("second", "fraud"));
    assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted], "no attempt was spent");
    let paths: Vec<_> = server.seen().iter().map(|seen| seen.path.clone()).collect();
    let run = "/api/v2/dags/retrain/dagRuns";
    assert_eq!(paths, ["/auth/token", run, run, "/auth/token", run]);

    let wrong = Trigger { token: Some(Secret::new("wrong")), ..trigger };
    let mut outbox = Outbox::for_trigger(&wrong);
    outbox.send(trigger_of("third", "fraud"));
    let told = outbox.outcome().await;
    assert_eq!(told.result, Outcome::SlowRetry);
    assert!(told.detail.starts_with("logging in: 401"), "{}", told.detail);
}

const WORKFLOW: [(&str, &str); 2] = [("repository", "acme/fraud"), ("workflow", "retrain.yml")];

#[tokio::test]
async fn github_finds_the_run_whose_answer_was_lost() {
    let mut runs: Vec<Value> = Vec::new();
    let github = Fake::start(move |seen| {
        if seen.method == "GET" {
            assert!(seen.path.starts_with("/repos/acme/fraud/actions/workflows/retrain.yml/runs?"));
            return Said::Json(200, json!({"total_count": runs.len(), "workflow_runs": runs}));
        }
        let id = body(seen)["inputs"]["event_id"].as_str().unwrap().to_owned();
        runs.push(json!({
            "id": 7, "display_title": format!("retrain {id}"),
            "url": "https://api.github.com/repos/acme/fraud/actions/runs/7",
        }));
        Said::Lost
    })
    .await;
    let trigger = preset(Preset::GithubWorkflowDispatch, github.url(""), &WORKFLOW);
    let told = sent(&Trigger { confirm: Some(false), ..trigger }).await;
    assert_eq!(results(&told), [Outcome::Retry, Outcome::AlreadyThere]);
    let run = "https://api.github.com/repos/acme/fraud/actions/runs/7";
    assert_eq!(told[1].reference.as_deref(), Some(run));
    assert_eq!(github.asked("POST").len(), 1);
    let sent = body(&github.asked("POST")[0]);
    assert_eq!(sent["ref"], "main");
    assert_eq!(sent["return_run_details"], true);
    assert_eq!(sent["inputs"]["report_url"], "", "inputs are texts");
}

#[tokio::test]
async fn github_says_when_its_limit_ends_and_what_it_does_not_know() {
    let limited = Fake::start(|_| Said::With(403, "retry-after", "7200".to_owned())).await;
    let trigger = preset(Preset::GithubWorkflowDispatch, limited.url(""), &WORKFLOW);
    let mut outbox = Outbox::for_trigger(&trigger);
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.outcome().await;
    assert_eq!((told.result, told.status), (Outcome::Retry, Some(403)));

    let refused = Fake::start(|_| {
        Said::Json(422, json!({"message": "Unexpected inputs provided: [\"train_from\"]"}))
    })
    .await;
    let trigger = preset(Preset::GithubWorkflowDispatch, refused.url(""), &WORKFLOW);
    let mut outbox = Outbox::for_trigger(&trigger);
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.outcome().await;
    assert_eq!(told.result, Outcome::SlowRetry);
    assert!(told.detail.contains("list them under `parameters`"), "{}", told.detail);
}

#[tokio::test]
async fn a_repository_dispatch_is_repeated_only_where_no_run_has_its_id() {
    for may_read in [true, false] {
        let mut n = 0;
        let github = Fake::start(move |seen| match &*seen.method {
            "GET" if may_read => {
                let run = json!({"display_title": format!("retrain {ID}"), "url": "u"});
                Said::Json(200, json!({"workflow_runs": [run]}))
            }
            "GET" => Said::Json(403, json!({"message": "Resource not accessible"})),
            _ => {
                n += 1;
                if n == 1 { Said::Lost } else { Said::Text(204, "") }
            }
        })
        .await;
        let with = &WORKFLOW[..1];
        let told = sent(&preset(Preset::GithubRepositoryDispatch, github.url(""), with)).await;
        let last = if may_read { Outcome::AlreadyThere } else { Outcome::Accepted };
        assert_eq!(results(&told), [Outcome::Retry, last]);
        assert_eq!(github.asked("POST").len(), if may_read { 1 } else { 2 });
    }
}

/// A key that it does not know is refused by name, as GitHub's API does with all of them.
#[tokio::test]
async fn github_is_asked_again_without_what_an_older_server_does_not_know() {
    let github = Fake::start(|seen| match body(seen).get("return_run_details") {
        Some(_) => {
            let message = "Invalid request.\n\n\"return_run_details\" is not a permitted key.";
            Said::Json(422, json!({"message": message}))
        }
        None => Said::Text(204, ""),
    })
    .await;
    let trigger = Trigger {
        secret: Some(SigningSecret::One(Secret::new(SIGNING_KEY))),
        ..preset(Preset::GithubWorkflowDispatch, github.url(""), &WORKFLOW)
    };
    let told = sent(&trigger).await;
    assert_eq!(results(&told), [Outcome::Accepted]);
    assert_eq!(told[0].reference, None, "it does not tell the run");
    let seen = github.seen();
    assert_eq!(seen.len(), 2);
    let mut first = body(&seen[0]);
    first.as_object_mut().unwrap().remove("return_run_details");
    assert_eq!(body(&seen[1]), first);
    verify(SIGNING_KEY, &seen[1]);
}

#[test]
fn github_takes_so_many_parameters_and_no_more() {
    for (of, most) in [(Preset::GithubWorkflowDispatch, 25), (Preset::GithubRepositoryDispatch, 10)]
    {
        let with: &[_] = if most == 25 { &WORKFLOW } else { &WORKFLOW[..1] };
        let check = |n: usize| {
            let parameters = (0..n).map(|n| (format!("p{n}"), "{{id}}".to_owned())).collect();
            let trigger = preset(of, "https://github.example/api/v3".to_owned(), with);
            Trigger { parameters: Some(parameters), ..trigger }.check()
        };
        assert_eq!(check(most), []);
        let faults = check(most + 1);
        let expected = format!("takes at most {most}, and these are {}", most + 1);
        assert!(faults[0].to_string().contains(&expected), "{faults:?}");
    }
}

#[tokio::test]
async fn githubs_payload_stays_within_its_limits() {
    let github = Fake::start(|seen| {
        let payload = &body(seen)["client_payload"];
        let fits = payload.as_object().unwrap().len() <= 10 && seen.body.len() < 64 * 1024;
        if fits { Said::Text(204, "") } else { Said::Json(422, json!({"message": "Invalid"})) }
    })
    .await;
    let trigger = Trigger {
        include_drift_report: true,
        ..preset(
            Preset::GithubRepositoryDispatch,
            github.url(""),
            &[("repository", "acme/fraud"), ("event_type", "retrain")],
        )
    };
    let mut outbox = Outbox::for_trigger(&trigger);
    let mut delivery = trigger_of(ID, "fraud");
    delivery.announcement.data.report = Some(json!({"features": "x".repeat(70_000)}));
    outbox.send(delivery);
    assert_eq!(results(&outbox.until_final().await), [Outcome::Accepted]);
    let sent = body(&github.seen()[0]);
    assert_eq!(sent["event_type"], "retrain");
    let said = sent["client_payload"]["driftd"]["report"]["truncated"].as_str().unwrap();
    assert!(said.contains("left out"), "{said}");
}

#[tokio::test]
async fn gitlab_is_given_its_token_in_the_form_and_never_tells_it() {
    let gitlab = Fake::start(|seen| {
        assert_eq!(seen.path, "/api/v4/projects/ml%2Ffraud/trigger/pipeline");
        match form(seen)["token"].as_str() {
            "tok-123" => Said::Json(
                201,
                json!({"id": 42, "status": "created", "web_url": "https://gitlab/ml/fraud/-/pipelines/42"}),
            ),
            _ => Said::Json(404, json!({"message": "404 Not Found"})),
        }
    })
    .await;
    let with = [("project", "ml/fraud"), ("ref", "release")];
    let trigger = preset(Preset::Gitlab, gitlab.url(""), &with);
    let told = sent(&trigger).await;
    assert_eq!(results(&told), [Outcome::Accepted]);
    assert_eq!(told[0].reference.as_deref(), Some("42"));
    let fields = form(&gitlab.seen()[0]);
    assert_eq!(fields["ref"], "release");
    assert_eq!(fields["variables[DRIFTD_MODEL]"], "fraud");
    assert_eq!(fields["variables[DRIFTD_EVENT_ID]"], ID);

    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    fs::write(&token_file, "old").unwrap();
    let expired = Trigger { token: None, token_file: Some(token_file.clone()), ..trigger };
    let mut outbox = Outbox::for_trigger(&expired);
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.outcome().await;
    assert_eq!(told.result, Outcome::SlowRetry);
    assert!(told.detail.contains("trigger token"), "{}", told.detail);
    fs::write(&token_file, "tok-123").unwrap();
    assert_eq!(results(&outbox.until_final().await).last(), Some(&Outcome::Accepted));
}

#[tokio::test]
async fn jenkins_says_where_the_build_waits_and_wants_an_api_token() {
    let jenkins = Fake::start(|seen| {
        if seen.headers["authorization"] != "Basic ZHJpZnRkOnRvay0xMjM=" {
            return Said::With(303, "location", "/login?from=x".to_owned());
        }
        assert_eq!(seen.path, "/job/ml/job/retrain/buildWithParameters");
        Said::With(201, "location", "http://jenkins.internal/queue/item/5/".to_owned())
    })
    .await;
    let trigger = Trigger {
        user: Some("driftd".to_owned()),
        confirm: Some(false),
        ..preset(Preset::Jenkins, jenkins.url("/job/ml/job/retrain/"), &[])
    };
    let told = sent(&trigger).await;
    assert_eq!(results(&told), [Outcome::Accepted]);
    assert_eq!(told[0].reference.as_deref(), Some("http://jenkins.internal/queue/item/5/"));
    assert_eq!(form(&jenkins.seen()[0])["DRIFTD_EVENT_ID"], ID);

    let wrong = Trigger { token: Some(Secret::new("password")), ..trigger };
    let mut outbox = Outbox::for_trigger(&wrong);
    outbox.send(trigger_of(ID, "fraud"));
    let told = outbox.outcome().await;
    assert_eq!(told.result, Outcome::SlowRetry);
    assert!(told.detail.contains("API token"), "{}", told.detail);
}

#[tokio::test]
async fn kubeflow_is_asked_for_the_run_before_one_is_made() {
    let mut runs: Vec<Value> = Vec::new();
    let kubeflow = Fake::start(move |seen| {
        if seen.method == "GET" {
            let url = url::Url::parse(&format!("http://k{}", seen.path)).unwrap();
            let pairs: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
            let filter: Value = serde_json::from_str(&pairs["filter"]).unwrap();
            let predicate = &filter["predicates"][0];
            assert_eq!(
                (&predicate["operation"], &predicate["key"]),
                (&json!("EQUALS"), &json!("display_name"))
            );
            let name = &predicate["string_value"];
            let found: Vec<_> = runs.iter().filter(|run| run["display_name"] == *name).collect();
            return Said::Json(
                200,
                if found.is_empty() { json!({}) } else { json!({"runs": found}) },
            );
        }
        let mut run = body(seen);
        run["run_id"] = json!("r-1");
        runs.push(run);
        Said::Lost
    })
    .await;
    let with = [("pipeline_id", "p-1"), ("experiment_id", "e-1")];
    let trigger = preset(Preset::Kubeflow, kubeflow.url(""), &with);
    let told = sent(&Trigger { confirm: Some(false), ..trigger }).await;
    assert_eq!(results(&told), [Outcome::Retry, Outcome::AlreadyThere]);
    assert_eq!(told[1].reference.as_deref(), Some("r-1"));
    assert_eq!(kubeflow.asked("POST").len(), 1);
    let run = body(&kubeflow.asked("POST")[0]);
    assert_eq!(
        run["pipeline_version_reference"],
        json!({"pipeline_id": "p-1"}),
        "the latest version"
    );
    assert_eq!(run["runtime_config"]["parameters"]["model"], "fraud");
    assert!(run.get("service_account").is_none(), "{run}");
}

/// As the API server does it: the workflow first, then its row, whose columns take 255 characters.
#[tokio::test]
async fn kubeflow_takes_the_longest_summary_and_starts_one_workflow() {
    let mut workflows = 0;
    let kubeflow = Fake::start(move |seen| {
        if seen.method == "GET" {
            return Said::Json(200, json!({}));
        }
        workflows += 1;
        let run = body(seen);
        let fits = |key: &str| run[key].as_str().unwrap().chars().count() <= 255;
        if fits("display_name") && fits("description") {
            Said::Json(200, json!({"run_id": format!("r-{workflows}"), "state": "PENDING"}))
        } else {
            let message = "Error 1406: Data too long for column 'Description' at row 1";
            Said::Json(500, json!({"code": 13, "message": message}))
        }
    })
    .await;
    let trigger = preset(Preset::Kubeflow, kubeflow.url(""), &[("pipeline_id", "p-1")]);
    let mut outbox = Outbox::for_trigger(&Trigger { confirm: Some(false), ..trigger });
    let mut delivery = trigger_of(ID, "fraud");
    delivery.announcement.data.summary = "fraud has drifted: für ".repeat(20);
    outbox.send(delivery);
    let told = outbox.until_final().await;
    assert_eq!(results(&told), [Outcome::Accepted]);
    assert_eq!(told[0].reference.as_deref(), Some("r-1"));
    let said = body(&kubeflow.asked("POST")[0])["description"].as_str().unwrap().to_owned();
    assert!(said.starts_with("fraud has drifted: ") && said.ends_with('…'), "{said}");
}

#[tokio::test]
async fn cloudevents_are_structured_or_binary() {
    let sink = Fake::start(|_| Said::Text(202, "")).await;
    let trigger = preset(Preset::CloudEvents, sink.url("/"), &[]);
    assert_eq!(results(&sent(&trigger).await), [Outcome::Accepted]);
    let binary =
        preset(Preset::CloudEvents, sink.url("/"), &[("mode", "binary"), ("source", "/x")]);
    assert_eq!(results(&sent(&binary).await), [Outcome::Accepted]);
    let [structured, binary] = &sink.seen()[..] else { panic!("two events") };
    assert_eq!(structured.headers["content-type"], "application/cloudevents+json");
    let event = body(structured);
    for (key, value) in [
        ("specversion", "1.0"),
        ("id", ID),
        ("type", "io.driftd.drift.detected.v1"),
        ("source", "/driftd"),
        ("subject", "fraud"),
        ("time", "2026-01-01T00:05:00Z"),
    ] {
        assert_eq!(event[key], value, "{key}");
    }
    assert_eq!(event["data"]["model"], "fraud");
    assert_eq!((&*binary.headers["ce-source"], &*binary.headers["ce-id"]), ("/x", ID));
    assert_eq!(body(binary)["model"], "fraud");
}

#[tokio::test]
async fn a_custom_receiver_is_described_and_understood() {
    let mut n = 0;
    let receiver = Fake::start(move |_| {
        n += 1;
        match n {
            1 => Said::Text(500, "later, k-fraud"),
            2 => Said::Text(500, "run exists"),
            _ => Said::Text(422, ""),
        }
    })
    .await;
    let trigger = Trigger {
        preset: Some(Preset::Custom),
        method: Some("PUT".to_owned()),
        headers: [("X-Api-Key".to_owned(), Secret::new("k-{{model}}"))].into(),
        body: Some(r#"{"run": "{{id}}"}"#.to_owned()),
        permanent_statuses: vec![422],
        already_there: vec![AlreadyThere { status: 500, contains: "exists".to_owned() }],
        ..allowing_http(receiver.url("/runs"))
    };
    let told = sent(&trigger).await;
    assert_eq!(results(&told), [Outcome::Retry, Outcome::AlreadyThere]);
    assert_eq!(told[0].detail, "500 `later, ***`", "the header's value may be a secret");
    assert_eq!(results(&sent(&trigger).await), [Outcome::Stopped]);
    let seen = &receiver.seen()[0];
    assert_eq!((&*seen.method, &*seen.headers["x-api-key"]), ("PUT", "k-fraud"));
    assert_eq!(body(seen), json!({"run": ID}));
}

#[test]
fn every_preset_says_what_it_lacks() {
    let faults = |preset: Preset| {
        let trigger = Trigger { preset: Some(preset), ..Trigger::new("https://a.example") };
        let found = trigger.check();
        found.iter().map(|fault| fault.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(faults(Preset::Airflow3), ["with.dag_id", "token_file"]);
    assert_eq!(faults(Preset::Airflow2), ["with.dag_id", "token_file"]);
    let github = ["with.repository", "with.workflow", "token_file"];
    assert_eq!(faults(Preset::GithubWorkflowDispatch), github);
    assert_eq!(faults(Preset::GithubRepositoryDispatch), ["with.repository", "token_file"]);
    assert_eq!(faults(Preset::Gitlab), ["with.project", "token_file"]);
    assert_eq!(faults(Preset::Jenkins), ["token_file", "user"]);
    assert_eq!(faults(Preset::Kubeflow), ["with.pipeline_id"]);
    for preset in [Preset::ArgoEvents, Preset::CloudEvents, Preset::StandardWebhook] {
        assert!(faults(preset).is_empty());
    }
    let odd = Trigger {
        with: settings(&[("dagid", "x")]),
        method: Some("PUT".to_owned()),
        confirm: Some(true),
        ..Trigger::new("https://a.example")
    };
    let told: Vec<_> = odd.check().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    let nowhere = Trigger { preset: Some(Preset::Airflow3), ..Trigger::new("") };
    assert!(nowhere.check()[0].message.contains("is missing"));
}

/// What is sent by each preset, byte for byte: `fixtures/deliver/<preset>.txt`. With `DRIFTD_BLESS=1` the
/// files are written anew.
#[test]
fn requests_are_those_of_the_golden_files() {
    for (name, trigger) in examples() {
        let target = Target::trigger("fraud", &trigger, &client()).unwrap().with_schedule(quick());
        let shown = dry_render(&target, &trigger_of(ID, "fraud"));
        assert!(!shown.contains("tok-123"), "{shown}");
        golden(&format!("trigger-{name}"), &shown);
    }
}

fn examples() -> Vec<(&'static str, Trigger)> {
    let of = |preset, url: &str, with: &[(&str, &str)]| Trigger {
        preset: Some(preset),
        with: settings(with),
        token: Some(Secret::new("tok-123")),
        ..Trigger::new(url)
    };
    let user = Some("driftd".to_owned());
    vec![
        ("standard-webhook", of(Preset::StandardWebhook, "https://a.example/x", &[])),
        ("cloudevents", of(Preset::CloudEvents, "https://a.example/x", &[])),
        (
            "argo-workflows",
            of(Preset::ArgoWorkflows, "https://argo.example/api/v1/events/ml/retrain", &[]),
        ),
        ("argo-events", of(Preset::ArgoEvents, "https://events.example:12000/driftd", &[])),
        (
            "kubeflow",
            of(Preset::Kubeflow, "https://kfp.example/pipeline", &[("pipeline_id", "p-1")]),
        ),
        ("airflow3", of(Preset::Airflow3, "https://airflow.example", &[("dag_id", "retrain")])),
        (
            "airflow2",
            Trigger {
                user: user.clone(),
                ..of(Preset::Airflow2, "https://airflow.example", &[("dag_id", "retrain")])
            },
        ),
        ("github-workflow-dispatch", of(Preset::GithubWorkflowDispatch, "", &WORKFLOW)),
        (
            "github-repository-dispatch",
            of(Preset::GithubRepositoryDispatch, "", &[("repository", "acme/fraud")]),
        ),
        ("gitlab", of(Preset::Gitlab, "", &[("project", "ml/fraud")])),
        (
            "jenkins",
            Trigger {
                user,
                ..of(Preset::Jenkins, "https://jenkins.example/job/ml/job/retrain", &[])
            },
        ),
    ]
}

/// Holds a text against its golden file.
pub(crate) fn golden(name: &str, text: &str) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/deliver");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("DRIFTD_BLESS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name}: DRIFTD_BLESS=1 writes it anew, to be looked at");
}
