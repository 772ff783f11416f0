//! Every notifier against a receiver that answers as the real one does, and Alertmanager itself.

use std::time::Duration;

use driftd::compare::Statistic;
use driftd::decide::announcement::TopFeature;
use driftd::decide::{Audience, Delivery, Kind};
use driftd::deliver::{
    ACCEPTED, Alertmanager, Notifiers, Outcome, Reader, Receiver, Slack, Taken, Target, dry_render,
};
use driftd::setting::Secret;
use serde_json::{Value, json};

use crate::deliver::{ID, Outbox, client, now_ms, results, trigger_of};
use crate::deliver_presets::{Fake, Said, body, golden};
use crate::servers;

/// A message of an incident, or of a model where it is about none.
fn message(kind: Kind, verdict: &str) -> Delivery {
    let of_incident =
        matches!(kind, Kind::Triggered | Kind::Progress | Kind::Closed | Kind::DeliveryFailed);
    let audience = match kind {
        Kind::DeliveryFailed | Kind::DataQuality => Audience::Sre,
        _ => Audience::Ml,
    };
    let mut delivery =
        Delivery { id: format!("{ID}.{verdict}"), kind, audience, ..trigger_of(ID, "fraud") };
    let data = &mut delivery.announcement.data;
    data.incident = of_incident.then(|| ID.to_owned());
    data.verdict = verdict.to_owned();
    data.onset = Some("2026-01-01T00:00:00Z".to_owned());
    data.report_url = Some("https://driftd.example/api/v1/models/fraud".to_owned());
    data.report = None;
    data.top_features = vec![TopFeature {
        feature: "amount".to_owned(),
        statistic: Statistic::Psi,
        score: 1.27,
        threshold: 0.2,
        span: "onset".to_owned(),
        bias: None,
        noise_floor: None,
    }];
    data.more_features = 3;
    delivery
}

fn reader(all: &Notifiers, kind: &str) -> Reader {
    all.readers(Some("ml")).into_iter().find(|reader| reader.target == kind).unwrap()
}

/// The messages that this notifier wants, sent to it one after the other.
struct Told {
    outbox: Outbox,
    reader: Reader,
}

impl Told {
    fn new(all: &Notifiers, kind: &str) -> Self {
        assert_eq!(all.check(), []);
        let reader = reader(all, kind);
        let target = Target::reader(&reader, all, &client()).unwrap();
        Self { outbox: Outbox::start(vec![target]), reader }
    }

    async fn tell(&mut self, delivery: Delivery) -> Option<Vec<Outcome>> {
        if !self.reader.wants(&delivery) {
            return None;
        }
        let target = self.reader.target.to_owned();
        let channel = Some(self.reader.channel.clone());
        self.outbox.send(Delivery { target, channel, ..delivery });
        Some(results(&self.outbox.until_final().await))
    }

    /// What becomes of an incident, from its beginning to its end.
    async fn whole_story(&mut self) {
        for (kind, verdict) in [
            (Kind::Triggered, "drifted"),
            (Kind::Progress, ACCEPTED),
            (Kind::Progress, "confirmed"),
            (Kind::Closed, "replaced by a new baseline"),
        ] {
            if let Some(told) = self.tell(message(kind, verdict)).await {
                assert_eq!(told, [Outcome::Accepted], "{kind:?} {verdict}");
            }
        }
    }
}

fn keyed(url: String) -> Receiver {
    Receiver {
        url: Some(Secret::new(url)),
        key: Some(Secret::new("key-123")),
        allow_http: true,
        ..Receiver::default()
    }
}

#[tokio::test]
async fn pagerduty_is_told_the_whole_story_under_one_key() {
    let pagerduty = Fake::start(|seen| {
        let event = body(seen);
        if event["routing_key"] != "key-123" {
            return Said::Json(400, json!({"status": "invalid event", "errors": ["routing_key"]}));
        }
        assert_eq!(seen.path, "/v2/enqueue");
        Said::Json(202, json!({"status": "success", "dedup_key": event["dedup_key"]}))
    })
    .await;
    let all = Notifiers { pagerduty: Some(keyed(pagerduty.url(""))), ..Notifiers::default() };
    let mut told = Told::new(&all, "pagerduty");
    told.whole_story().await;
    let events: Vec<Value> = pagerduty.seen().iter().map(body).collect();
    let actions: Vec<&str> =
        events.iter().map(|event| event["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    assert!(events.iter().all(|event| event["dedup_key"] == ID));
    let payload = &events[0]["payload"];
    assert_eq!(payload["severity"], "error");
    let features = payload["custom_details"]["Features"].as_array().unwrap();
    assert_eq!(features, &["amount: psi 1.2700 > 0.2000 since onset", "+ 3 more"]);
    assert_eq!(payload["custom_details"]["Drifting since"], "2026-01-01T00:00:00Z");
    assert_eq!(events[0]["links"][0]["href"], "https://driftd.example/api/v1/models/fraud");

    let wrong = Receiver { key: Some(Secret::new("other")), ..keyed(pagerduty.url("")) };
    let all = Notifiers { pagerduty: Some(wrong), ..Notifiers::default() };
    let stopped = Told::new(&all, "pagerduty").tell(message(Kind::Triggered, "drifted")).await;
    assert_eq!(stopped, Some(vec![Outcome::Stopped]), "an event that is wrong stays wrong");
}

#[tokio::test]
async fn a_long_alert_is_cut_where_pagerduty_cuts_and_says_so() {
    let pagerduty = Fake::start(|seen| {
        let event = body(seen);
        let summary = event["payload"]["summary"].as_str().unwrap().chars().count();
        let key = event["dedup_key"].as_str().unwrap().chars().count();
        let fits = summary <= 1024 && key <= 255 && seen.body.len() < 512 * 1024;
        Said::Json(if fits { 202 } else { 400 }, json!({}))
    })
    .await;
    let all = Notifiers { pagerduty: Some(keyed(pagerduty.url(""))), ..Notifiers::default() };
    let mut delivery = message(Kind::Triggered, "drifted");
    let feature = delivery.announcement.data.top_features[0].clone();
    delivery.announcement.data.summary = "ä".repeat(5000);
    delivery.announcement.data.top_features = (0..500)
        .map(|n| TopFeature { feature: format!("f{n}{}", "x".repeat(9000)), ..feature.clone() })
        .collect();
    let told = Told::new(&all, "pagerduty").tell(delivery).await;
    assert_eq!(told, Some(vec![Outcome::Accepted]));
    let event = body(&pagerduty.seen()[0]);
    assert!(event["payload"]["summary"].as_str().unwrap().ends_with('…'));
    let features = event["payload"]["custom_details"]["Features"].as_array().unwrap();
    let rest = features.last().unwrap().as_str().unwrap();
    assert_eq!(rest, format!("+ {} more", 500 - (features.len() - 1) + 3));
}

#[tokio::test]
async fn opsgenie_is_told_under_one_alias() {
    let opsgenie = Fake::start(|seen| {
        assert_eq!(seen.headers["authorization"], "GenieKey key-123");
        Said::Json(202, json!({"result": "Request will be processed", "requestId": "r"}))
    })
    .await;
    let all = Notifiers { opsgenie: Some(keyed(opsgenie.url("/"))), ..Notifiers::default() };
    Told::new(&all, "opsgenie").whole_story().await;
    let seen = opsgenie.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    let of_alias = |verb: &str| format!("/v2/alerts/{ID}/{verb}?identifierType=alias");
    assert_eq!(paths, ["/v2/alerts", &*of_alias("acknowledge"), &*of_alias("close")]);
    let alert = body(&seen[0]);
    assert_eq!(alert["alias"], ID);
    assert!(alert["message"].as_str().unwrap().chars().count() <= 130);
    assert!(alert["description"].as_str().unwrap().contains("amount: psi 1.2700 > 0.2000"));
}

#[tokio::test]
async fn teams_is_sent_a_card_that_it_takes() {
    let teams = Fake::start(|seen| {
        let card = &body(seen)["attachments"][0];
        let is_card = card["contentType"] == "application/vnd.microsoft.card.adaptive"
            && card["content"]["type"] == "AdaptiveCard"
            && seen.body.len() < 28 * 1024;
        Said::Text(if is_card { 202 } else { 400 }, "")
    })
    .await;
    let url = Some(Secret::new(teams.url("/workflows/SECRET/triggers/manual")));
    let receiver = Receiver { url, allow_http: true, ..Receiver::default() };
    let all = Notifiers { teams: Some(receiver), ..Notifiers::default() };
    let mut told = Told::new(&all, "teams");
    told.whole_story().await;
    assert_eq!(teams.seen().len(), 2, "the beginning and the end");
    let mut long = message(Kind::Warning, "warning");
    long.announcement.data.summary = "\u{1F4A5}\"".repeat(20_000);
    assert_eq!(told.tell(long).await, Some(vec![Outcome::Accepted]));
    let shown = teams.seen()[0].body.clone();
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("amount: psi 1.2700") && shown.contains("Open the report"), "{shown}");
}

#[tokio::test]
async fn an_answer_of_teams_that_repeats_its_path_tells_no_secret() {
    let path = "/workflows/SECRET/triggers/manual?sig=SIGNATURE";
    let teams = Fake::start(|seen| Said::Json(404, json!({"no trigger at": seen.path}))).await;
    let url = Some(Secret::new(teams.url(path)));
    let receiver = Receiver { url, allow_http: true, ..Receiver::default() };
    let all = Notifiers { teams: Some(receiver), ..Notifiers::default() };
    let mut told = Told::new(&all, "teams");
    let (target, channel) = ("teams".to_owned(), Some(told.reader.channel.clone()));
    told.outbox.send(Delivery { target, channel, ..message(Kind::Warning, "warning") });
    let detail = told.outbox.outcome().await.detail;
    assert_eq!(teams.seen()[0].path, path);
    assert!(detail.contains("no trigger at"), "{detail}");
    assert!(!detail.contains("SECRET") && !detail.contains("SIGNATURE"), "{detail}");
}

#[tokio::test]
async fn the_generic_webhook_is_told_everything_as_an_event() {
    let hook = Fake::start(|_| Said::Text(204, "")).await;
    let all = Notifiers { webhook: Some(keyed(hook.url("/driftd"))), ..Notifiers::default() };
    Told::new(&all, "webhook").whole_story().await;
    let verdicts: Vec<Value> =
        hook.seen().iter().map(|seen| body(seen)["data"]["verdict"].clone()).collect();
    assert_eq!(verdicts, ["drifted", "accepted", "confirmed", "replaced by a new baseline"]);
    assert_eq!(hook.seen()[0].headers["authorization"], "Bearer key-123");
}

fn bot(url: String) -> Slack {
    Slack { api: url, token: Some(Secret::new("xoxb-123")), allow_http: true, ..Slack::default() }
}

/// `chat.postMessage` and `chat.update`: what is wrong stands in the body of a 200.
fn slack(seen: &crate::deliver::Seen) -> Said {
    if seen.headers["authorization"] != "Bearer xoxb-123" {
        return Said::Json(200, json!({"ok": false, "error": "invalid_auth"}));
    }
    let message = body(seen);
    let ts = message["ts"].as_str().unwrap_or("1700000000.000100").to_owned();
    Said::Json(200, json!({"ok": true, "channel": "C024BE91L", "ts": ts}))
}

#[tokio::test]
async fn slack_keeps_an_incident_in_one_thread() {
    let api = Fake::start(slack).await;
    let all = Notifiers { slack: Some(bot(api.url("/api"))), ..Notifiers::default() };
    let mut told = Told::new(&all, "slack");
    told.whole_story().await;
    let seen = api.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    let post = "/api/chat.postMessage";
    assert_eq!(paths, [post, post, post, post, "/api/chat.update"]);
    let messages: Vec<Value> = seen.iter().map(body).collect();
    assert_eq!((&messages[0]["channel"], &messages[0]["thread_ts"]), (&json!("ml"), &Value::Null));
    for reply in &messages[1..4] {
        assert_eq!(reply["thread_ts"], "1700000000.000100");
    }
    assert_eq!(messages[3]["reply_broadcast"], true, "its end is news for the channel");
    assert_eq!(messages[4]["ts"], "1700000000.000100");
    let title = messages[4]["blocks"][0]["text"]["text"].as_str().unwrap();
    assert_eq!(title, "Over: Incident closed: fraud");

    // The next incident begins a message of its own.
    assert_eq!(told.tell(message(Kind::Triggered, "drifted")).await, Some(vec![Outcome::Accepted]));
    assert_eq!(body(api.seen().last().unwrap())["thread_ts"], Value::Null);
}

#[tokio::test]
async fn slack_finds_the_thread_again_after_a_restart() {
    let api = Fake::start(slack).await;
    let all = Notifiers { slack: Some(bot(api.url("/api"))), ..Notifiers::default() };
    let mut told = Told::new(&all, "slack");
    let target = told.reader.target.to_owned();
    let channel = Some(told.reader.channel.clone());
    let delivery = Delivery { target, channel, ..message(Kind::Triggered, "drifted") };
    let reference = Some("C024BE91L/1699999999.000200".to_owned());
    told.outbox.deliverer.recall(&Taken { delivery, reference, at_ms: now_ms() });
    told.tell(message(Kind::Closed, "dismissed")).await;
    assert_eq!(body(&api.seen()[0])["thread_ts"], "1699999999.000200");
}

#[tokio::test]
async fn slack_says_in_a_200_what_is_wrong() {
    let mut n = 0;
    let api = Fake::start(move |_| {
        n += 1;
        let error = ["ratelimited", "not_in_channel", "invalid_blocks"][(n - 1).min(2)];
        Said::Json(200, json!({"ok": false, "error": error}))
    })
    .await;
    let all = Notifiers { slack: Some(bot(api.url("/api"))), ..Notifiers::default() };
    let told = Told::new(&all, "slack").tell(message(Kind::Warning, "warning")).await;
    assert_eq!(told, Some(vec![Outcome::Retry, Outcome::SlowRetry, Outcome::Stopped]));
}

#[tokio::test]
async fn alertmanager_has_the_alert_until_it_is_over() {
    let Some(real) = servers::Alertmanager::start() else { return };
    let alertmanager = Alertmanager {
        urls: vec![real.url()],
        labels: [("team".to_owned(), "ml".to_owned())].into(),
        allow_http: true,
        ..Alertmanager::default()
    };
    let all = Notifiers { alertmanager: Some(alertmanager), ..Notifiers::default() };
    let mut told = Told::new(&all, "alertmanager");
    let quality = message(Kind::DataQuality, "stale");
    assert_eq!(told.tell(quality).await, Some(vec![Outcome::Accepted]));
    assert_eq!(told.tell(message(Kind::Triggered, "drifted")).await, Some(vec![Outcome::Accepted]));
    let alerts = real.alerts();
    assert_eq!(alerts.len(), 2, "{alerts:?}");
    let drift = |alerts: &[Value]| {
        alerts.iter().find(|alert| alert["labels"]["alertname"] == "DriftdRetraining").cloned()
    };
    let alert = drift(&alerts).unwrap();
    assert_eq!(
        alert["labels"],
        json!({"alertname": "DriftdRetraining", "model": "fraud", "severity": "critical",
               "audience": "ml", "team": "ml"})
    );
    assert_eq!(alert["status"]["state"], "active");
    let annotations = &alert["annotations"];
    assert!(annotations["features"].as_str().unwrap().starts_with("amount: psi 1.2700 > 0.2000"));
    assert_eq!(annotations["since"], "2026-01-01T00:00:00Z");

    assert_eq!(told.tell(message(Kind::Closed, "dismissed")).await, Some(vec![Outcome::Accepted]));
    while drift(&real.alerts()).is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(real.alerts().len(), 1, "the other one goes on");

    // Whoever comes after a crash sends again what is not over.
    let mut next = Told::new(&all, "alertmanager");
    let channel = Some(next.reader.channel.clone());
    let delivery = Delivery {
        target: "alertmanager".to_owned(),
        channel,
        ..message(Kind::Triggered, "drifted")
    };
    next.outbox.deliverer.recall(&Taken { delivery, reference: None, at_ms: 0 });
    while drift(&real.alerts()).is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(next.tell(message(Kind::Closed, "dismissed")).await, Some(vec![Outcome::Accepted]));
}

/// `POST /api/v2/alerts` refuses what ends before it begins.
#[tokio::test]
async fn alertmanager_takes_the_end_of_an_alert_that_began_by_a_clock_that_is_ahead() {
    let time = |alert: &Value, key: &str| -> jiff::Timestamp {
        alert[key].as_str().unwrap().parse().unwrap()
    };
    let fake = Fake::start(move |seen| {
        let wrong = |alert: &Value| time(alert, "endsAt") < time(alert, "startsAt");
        match body(seen).as_array().unwrap().iter().any(wrong) {
            true => Said::Text(400, "start time must be before end time"),
            false => Said::Text(200, ""),
        }
    })
    .await;
    let urls = vec![fake.url("")];
    let alertmanager = Alertmanager { urls, allow_http: true, ..Alertmanager::default() };
    let all = Notifiers { alertmanager: Some(alertmanager), ..Notifiers::default() };
    let mut told = Told::new(&all, "alertmanager");
    for (kind, verdict) in [(Kind::Triggered, "drifted"), (Kind::Closed, "dismissed")] {
        let mut delivery = message(kind, verdict);
        delivery.announcement.timestamp = "2200-01-01T00:00:00Z".to_owned();
        assert_eq!(told.tell(delivery).await, Some(vec![Outcome::Accepted]), "{kind:?}");
    }
}

#[test]
fn each_audience_is_told_its_own() {
    let of =
        |audience| Receiver { audience: Some(audience), ..keyed("https://a.example".to_owned()) };
    let all = Notifiers {
        pagerduty: Some(of(Audience::Sre)),
        teams: Some(of(Audience::Ml)),
        webhook: Some(keyed("https://a.example".to_owned())),
        ..Notifiers::default()
    };
    let told = |kind, verdict| {
        let delivery = message(kind, verdict);
        let wanting = all.readers(None).into_iter().filter(|reader| reader.wants(&delivery));
        wanting.map(|reader| reader.target).collect::<Vec<_>>()
    };
    assert_eq!(told(Kind::Triggered, "drifted"), ["teams", "webhook"]);
    assert_eq!(told(Kind::DataQuality, "stale"), ["pagerduty", "webhook"]);
    assert_eq!(told(Kind::Progress, "confirmed"), ["webhook"]);
    assert_eq!(all.readers(None)[0].name(), "pagerduty/sre");
}

#[test]
fn what_notifiers_lack_is_told() {
    let all = Notifiers {
        pagerduty: Some(Receiver::default()),
        teams: Some(Receiver::default()),
        alertmanager: Some(Alertmanager {
            labels: [("bad-name".to_owned(), "x".to_owned())].into(),
            ..Alertmanager::default()
        }),
        ..Notifiers::default()
    };
    let keys: Vec<String> = all.check().iter().map(|fault| fault.key.to_string()).collect();
    let expected =
        ["alertmanager.urls", "alertmanager.labels.bad-name", "pagerduty.key_file", "teams.url"];
    assert_eq!(keys, expected);
}

#[test]
fn messages_are_those_of_the_golden_files() {
    let all = Notifiers {
        slack: Some(bot("https://slack.com/api".to_owned())),
        pagerduty: Some(Receiver { url: None, ..keyed(String::new()) }),
        opsgenie: Some(Receiver { url: None, ..keyed(String::new()) }),
        teams: Some(keyed("https://teams.example/SECRET".to_owned())),
        alertmanager: Some(Alertmanager {
            urls: vec!["https://am.example:9093".to_owned()],
            ..Alertmanager::default()
        }),
        webhook: Some(keyed("https://hooks.example/driftd".to_owned())),
    };
    for reader in all.readers(Some("ml")) {
        let target = Target::reader(&reader, &all, &client()).unwrap();
        for (kind, verdict) in [
            (Kind::Triggered, "drifted"),
            (Kind::Warning, "warning"),
            (Kind::Closed, "replaced by a new baseline"),
            (Kind::DataQuality, "stale"),
            (Kind::DeliveryFailed, "delivery_failed"),
        ] {
            let shown = dry_render(&target, &message(kind, verdict));
            for secret in ["key-123", "xoxb", "SECRET"] {
                assert!(!shown.contains(secret), "{secret} in {shown}");
            }
            let kind = format!("{kind:?}").to_lowercase();
            golden(&format!("{}-{kind}", reader.target), &shown);
        }
    }
}
