//! Runs that are asked after until they have ended, by servers that answer as the real ones do.

use std::time::Duration;

use driftd::decide::RunState;
use driftd::deliver::{Event, Preset, Taken, Trigger};
use driftd::setting::Secret;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::deliver::{ID, Outbox, allowing_http, now_ms, trigger_of};
use crate::deliver_presets::{Fake, Said};

fn preset(preset: Preset, url: String, with: &[(&str, &str)]) -> Trigger {
    let with = with.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Trigger {
        preset: Some(preset),
        with: with.collect(),
        token: Some(Secret::new("tok-123")),
        ..allowing_http(url)
    }
}

/// What is told of the run until it has ended: state, the receiver's word, its page.
async fn followed(outbox: &mut Outbox) -> Vec<(RunState, String, Option<String>)> {
    let mut told = Vec::new();
    loop {
        let event = tokio::time::timeout(Duration::from_secs(30), outbox.events.recv());
        match event.await.expect("news in time").expect("the deliverer runs") {
            Event::Attempting { ack, .. } => ack.send(Some(Instant::now())).unwrap(),
            Event::Outcome { result, detail, .. } => assert!(result.is_final(), "{detail}"),
            Event::Run { id, state, word, page, .. } => {
                assert_eq!(id, ID);
                told.push((state, word, page));
                if state.is_final() {
                    return told;
                }
            }
        }
    }
}

async fn run_of(trigger: &Trigger) -> Vec<(RunState, String, Option<String>)> {
    let mut outbox = Outbox::for_trigger(trigger);
    outbox.send(trigger_of(ID, "fraud"));
    followed(&mut outbox).await
}

fn told(state: RunState, word: &str, page: Option<&str>) -> (RunState, String, Option<String>) {
    (state, word.to_owned(), page.map(str::to_owned))
}

/// The n-th of some answers, then the last one for ever.
fn nth<T: Clone>(n: &mut usize, all: &[T]) -> T {
    *n += 1;
    all[(*n - 1).min(all.len() - 1)].clone()
}

#[tokio::test]
async fn an_airflow_run_is_followed_until_it_fails() {
    let mut n = 0;
    let airflow = Fake::start(move |seen| match &*seen.method {
        "POST" => Said::Json(200, json!({"state": "queued"})),
        _ => {
            assert_eq!(seen.path, format!("/api/v2/dags/retrain/dagRuns/{ID}"));
            assert_eq!(seen.headers["authorization"], "Bearer tok-123");
            let state = nth(&mut n, &["queued", "running", "running", "failed"]);
            Said::Json(200, json!({"dag_run_id": ID, "state": state}))
        }
    })
    .await;
    let told_of =
        run_of(&preset(Preset::Airflow3, airflow.url(""), &[("dag_id", "retrain")])).await;
    let expected =
        [told(RunState::Running, "queued", None), told(RunState::Failed, "failed", None)];
    assert_eq!(told_of, expected);
}

#[tokio::test]
async fn a_github_run_is_asked_after_where_github_is_configured_and_nowhere_else() {
    let mut n = 0;
    let github = Fake::start(move |seen| match &*seen.method {
        // Whatever the answer says, the token goes to no other server.
        "POST" => Said::Json(
            200,
            json!({
                "workflow_run_id": 7,
                "run_url": "https://evil.example/repos/acme/fraud/actions/runs/7",
            }),
        ),
        _ => {
            assert_eq!(seen.path, "/repos/acme/fraud/actions/runs/7");
            let (status, conclusion) =
                nth(&mut n, &[("queued", Value::Null), ("completed", json!("success"))]);
            let page = "https://github.com/acme/fraud/actions/runs/7";
            Said::Json(200, json!({"status": status, "conclusion": conclusion, "html_url": page}))
        }
    })
    .await;
    let with = [("repository", "acme/fraud"), ("workflow", "retrain.yml")];
    let page = Some("https://github.com/acme/fraud/actions/runs/7");
    let told_of = run_of(&preset(Preset::GithubWorkflowDispatch, github.url(""), &with)).await;
    let expected =
        [told(RunState::Running, "queued", page), told(RunState::Succeeded, "success", page)];
    assert_eq!(told_of, expected);
}

#[tokio::test]
async fn a_gitlab_pipeline_is_asked_after_with_a_token_that_may_read() {
    let mut n = 0;
    let gitlab = Fake::start(move |seen| match &*seen.method {
        "POST" => Said::Json(201, json!({"id": 42, "status": "created"})),
        _ => {
            assert_eq!(seen.path, "/api/v4/projects/ml%2Ffraud/pipelines/42");
            assert_eq!(seen.headers["private-token"], "reader");
            let status = nth(&mut n, &["pending", "success"]);
            Said::Json(200, json!({"id": 42, "status": status, "web_url": "https://gitlab/42"}))
        }
    })
    .await;
    let trigger = Trigger {
        confirm_token: Some(Secret::new("reader")),
        ..preset(Preset::Gitlab, gitlab.url(""), &[("project", "ml/fraud")])
    };
    let page = Some("https://gitlab/42");
    let expected =
        [told(RunState::Running, "pending", page), told(RunState::Succeeded, "success", page)];
    assert_eq!(run_of(&trigger).await, expected);
}

#[tokio::test]
async fn a_jenkins_build_is_followed_from_the_queue_on() {
    let (mut queued, mut built) = (0, 0);
    let jenkins = Fake::start(move |seen| match (&*seen.method, &*seen.path) {
        ("POST", _) => Said::With(201, "location", "https://jenkins.internal/queue/item/5/".to_owned()),
        (_, "/queue/item/5/api/json") => {
            let build = json!({"executable": {"number": 9, "url": "https://jenkins.internal/job/retrain/9/"}});
            // Relative, and gone some minutes after the build has begun.
            let place = json!({"why": "In the quiet period", "url": "queue/item/5/", "cancelled": false});
            Said::Json(200, nth(&mut queued, &[place.clone(), place, build]))
        }
        (_, "/job/retrain/9/api/json") => {
            let result = nth(&mut built, &[Value::Null, json!("UNSTABLE")]);
            Said::Json(200, json!({"result": result, "url": "https://jenkins.internal/job/retrain/9/"}))
        }
        (_, path) => panic!("{path}"),
    })
    .await;
    let trigger = Trigger {
        user: Some("driftd".to_owned()),
        ..preset(Preset::Jenkins, jenkins.url("/job/retrain"), &[])
    };
    let told_of = run_of(&trigger).await;
    let page = Some("https://jenkins.internal/job/retrain/9/");
    let expected = [told(RunState::Running, "", page), told(RunState::Failed, "UNSTABLE", page)];
    assert_eq!(told_of, expected, "a place in the queue is no run, and has no page");
}

#[tokio::test]
async fn a_jenkins_build_that_is_taken_out_of_the_queue_has_failed() {
    let jenkins = Fake::start(|seen| match &*seen.method {
        "POST" => Said::With(201, "location", "https://jenkins.internal/queue/item/5/".to_owned()),
        _ => Said::Json(200, json!({"url": "queue/item/5/", "cancelled": true})),
    })
    .await;
    let trigger = Trigger {
        user: Some("driftd".to_owned()),
        ..preset(Preset::Jenkins, jenkins.url("/job/retrain"), &[])
    };
    assert_eq!(run_of(&trigger).await, [told(RunState::Failed, "", None)]);
}

#[tokio::test]
async fn a_kubeflow_run_is_followed() {
    let mut n = 0;
    let kubeflow = Fake::start(move |seen| match (&*seen.method, &*seen.path) {
        ("POST", _) => Said::Json(200, json!({"run_id": "r-1", "state": "PENDING"})),
        (_, "/apis/v2beta1/runs/r-1") => Said::Json(
            200,
            json!({"run_id": "r-1", "state": nth(&mut n, &["RUNNING", "SUCCEEDED"])}),
        ),
        _ => Said::Json(200, json!({})),
    })
    .await;
    let trigger = preset(Preset::Kubeflow, kubeflow.url(""), &[("pipeline_id", "p-1")]);
    let expected =
        [told(RunState::Running, "RUNNING", None), told(RunState::Succeeded, "SUCCEEDED", None)];
    assert_eq!(run_of(&trigger).await, expected);
}

/// Argo's 200 says nothing of a binding; the workflow's label does.
#[tokio::test]
async fn an_argo_workflow_that_never_comes_is_missed() {
    let mut n = 0;
    let argo = Fake::start(move |seen| match &*seen.method {
        "POST" => Said::Json(200, json!({})),
        _ => {
            assert!(seen.path.starts_with("/argo/api/v1/workflows/ml?listOptions.labelSelector="));
            assert!(seen.path.contains(&format!("driftd.io/event-id={ID}")), "{}", seen.path);
            n += 1;
            let item = json!({"metadata": {"name": "w"}, "status": {"phase": "Error"}});
            Said::Json(200, json!({"items": if n < 60 { Value::Null } else { json!([item]) }}))
        }
    })
    .await;
    let url = argo.url("/argo/api/v1/events/ml/retrain");
    let trigger = Trigger { confirm: Some(true), ..preset(Preset::ArgoWorkflows, url, &[]) };
    let told_of = run_of(&trigger).await;
    let expected = [told(RunState::Missing, "", None), told(RunState::Failed, "Error", None)];
    assert_eq!(told_of, expected);
}

/// A 204 names no run: those of the event are asked for one whose `run-name` holds our id.
#[tokio::test]
async fn a_run_that_listens_to_a_repository_dispatch_is_known_by_its_name() {
    let mut n = 0;
    let github = Fake::start(move |seen| {
        if seen.method == "POST" {
            return Said::Text(204, "");
        }
        let path = "/repos/acme/fraud/actions/runs?event=repository_dispatch&per_page=100";
        assert_eq!(seen.path, path);
        n += 1;
        let run = |title: String, conclusion: Option<&str>| {
            json!({"display_title": title, "status": "x", "conclusion": conclusion, "html_url": "page"})
        };
        let other = run("retrain of another id".to_owned(), Some("failure"));
        let ours = |conclusion| run(format!("retrain {ID}"), conclusion);
        let runs = match n {
            1 => json!([other]),
            2 => json!([other, ours(None)]),
            _ => json!([other, ours(Some("success"))]),
        };
        Said::Json(200, json!({"total_count": 2, "workflow_runs": runs}))
    })
    .await;
    let with = [("repository", "acme/fraud")];
    let of = preset(Preset::GithubRepositoryDispatch, github.url(""), &with);
    let mut told_of = run_of(&Trigger { confirm: Some(true), ..of }).await;
    // Whether it was missed at first is a matter of how busy the machine is.
    told_of.retain(|(state, ..)| *state != RunState::Missing);
    let page = Some("page");
    let expected = [told(RunState::Running, "x", page), told(RunState::Succeeded, "success", page)];
    assert_eq!(told_of, expected);
}

#[tokio::test]
async fn a_run_is_followed_on_after_a_restart_and_not_once_its_incident_is_closed() {
    let airflow = Fake::start(|seen| {
        assert_eq!(seen.method, "GET", "it is not started again");
        Said::Json(200, json!({"state": "running"}))
    })
    .await;
    let trigger = preset(Preset::Airflow3, airflow.url(""), &[("dag_id", "retrain")]);
    let mut outbox = Outbox::for_trigger(&trigger);
    let reference = Some(ID.to_owned());
    let taken = Taken { delivery: trigger_of(ID, "fraud"), reference, at_ms: now_ms() };
    outbox.deliverer.recall(&taken);
    let event = tokio::time::timeout(Duration::from_secs(30), outbox.events.recv());
    let Some(Event::Run { state, .. }) = event.await.unwrap() else { panic!("news of the run") };
    assert_eq!(state, RunState::Running);
    outbox.deliverer.cancel(ID);
    // Every question that was on its way has been answered by the time the deliverer has ended.
    let asked = airflow.seen().len();
    outbox.deliverer.shutdown(Instant::now() + Duration::from_secs(20)).await;
    assert!(airflow.seen().len() <= asked + 1, "it is not asked after any more");
}

#[test]
fn what_cannot_be_asked_says_so() {
    let faults = |trigger: &Trigger| {
        let found = trigger.check();
        found.iter().map(|fault| fault.key.to_string()).collect::<Vec<_>>()
    };
    let gitlab = Trigger {
        confirm: Some(true),
        ..preset(Preset::Gitlab, String::new(), &[("project", "ml/fraud")])
    };
    assert_eq!(faults(&gitlab), ["confirm_token_file"]);
    let plain = Trigger { confirm: Some(true), ..Trigger::new("https://a.example/") };
    assert_eq!(faults(&plain), ["confirm"]);
}
