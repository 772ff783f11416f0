//! Alertmanager, API v2: an alert is there for as long as it is sent again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::decide::Act;
use crate::decide::Delivery;
use crate::decide::Kind;
use crate::decide::time::{millis, rfc3339};
use crate::deliver::message;
use crate::deliver::message::cut;
use crate::deliver::rules::Rules;
use crate::feature::Role;

/// An alert that is not sent again ends after so long.
const LASTS_MS: i64 = 5 * 60_000;
const EVERY_MS: i64 = 60_000;
const ANNOTATION: usize = 4096;

pub(crate) static RULES: Rules = Rules {
    stop: &[400, 410],
    hints: &[(
        400..=400,
        "",
        "Alertmanager does not take the alert: are the names under `labels` right?",
    )],
    ..Rules::PLAIN
};

/// The alerts that are firing, by the story that they tell.
#[derive(Debug, Default)]
pub(crate) struct Firing(Mutex<Sent>);

#[derive(Debug, Default)]
struct Sent {
    alerts: BTreeMap<String, Alert>,
    at_ms: i64,
}

#[derive(Debug)]
struct Alert {
    model: String,
    body: Value,
}

impl Firing {
    /// Follows a message that was taken.
    pub(crate) fn taken(
        &self,
        delivery: &Delivery,
        labels: &BTreeMap<String, String>,
        now_ms: i64,
    ) {
        let Some((story, act)) = delivery.story() else { return };
        let mut sent = self.lock();
        if sent.alerts.is_empty() {
            sent.at_ms = now_ms;
        }
        match act {
            Act::Begins => {
                let (model, body) = (delivery.model.clone(), alert(delivery, labels));
                sent.alerts.insert(story, Alert { model, body })
            }
            Act::Acknowledged => None,
            Act::Ends => sent.alerts.remove(&story),
        };
    }

    /// When what fires has to be sent again, ms since the epoch.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        let sent = self.lock();
        (!sent.alerts.is_empty()).then_some(sent.at_ms + EVERY_MS)
    }

    /// The body that keeps everything firing for some minutes after `wall_ms`, which is Alertmanager's
    /// clock as well; it is due again some time after `now_ms`.
    pub(crate) fn again(&self, now_ms: i64, wall_ms: i64) -> Value {
        let mut sent = self.lock();
        sent.at_ms = now_ms;
        let again = |alert: &Alert| lasting(alert.body.clone(), wall_ms, wall_ms + LASTS_MS);
        sent.alerts.values().map(again).collect()
    }

    /// From its first attempt on, what is over is not sent again, whether its end is taken or not: without
    /// it the alert ends by itself.
    pub(crate) fn ending(&self, delivery: &Delivery) {
        if let Some((story, Act::Ends)) = delivery.story() {
            self.lock().alerts.remove(&story);
        }
    }

    /// Others keep the alerts of this model.
    pub(crate) fn forget_model(&self, model: &str) {
        self.lock().alerts.retain(|_, alert| alert.model != model);
    }

    /// The next time they are all sent: at once, where one comes from another process.
    pub(crate) fn due_now(&self) {
        self.lock().at_ms = 0;
    }

    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of one message: what begins lasts until it is sent again, what is over ends now. Alertmanager
/// knows an alert by its labels, so that no id, score or time is among them.
pub(crate) fn body(
    delivery: &Delivery,
    labels: &BTreeMap<String, String>,
    now_ms: i64,
) -> Option<Value> {
    let (_, act) = delivery.story()?;
    let end_ms = match act {
        Act::Begins => now_ms.saturating_add(LASTS_MS),
        Act::Acknowledged => return None,
        Act::Ends => now_ms,
    };
    Some(json!([lasting(alert(delivery, labels), now_ms, end_ms)]))
}

/// It began by event time, but not after `now_ms`: producers' clocks may be ahead, and an alert that ends
/// before it begins is refused.
fn lasting(mut alert: Value, now_ms: i64, end_ms: i64) -> Value {
    let begins_ms = alert["startsAt"].as_str().and_then(millis);
    if begins_ms.is_some_and(|begins_ms| begins_ms > now_ms) {
        alert["startsAt"] = rfc3339(now_ms).into();
    }
    alert["endsAt"] = rfc3339(end_ms).into();
    alert
}

fn alert(delivery: &Delivery, labels: &BTreeMap<String, String>) -> Value {
    let announcement = &delivery.announcement;
    let data = &announcement.data;
    let (name, severity) = name(delivery);
    let mut all: Map<String, Value> =
        labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    for (name, value) in [
        ("alertname", name),
        ("model", &delivery.model),
        ("severity", severity),
        ("audience", delivery.audience.as_str()),
    ] {
        all.insert(name.to_owned(), value.into());
    }
    let mut annotations = Map::new();
    annotations.insert("summary".to_owned(), message::title(delivery).into());
    annotations.insert("description".to_owned(), cut(&data.summary, ANNOTATION).into());
    let features = message::feature_lines(announcement, ANNOTATION).join("\n");
    for (name, value) in [
        ("features", Some(features).filter(|lines| !lines.is_empty())),
        ("since", data.onset.clone()),
        ("incident", data.incident.clone()),
        ("report_url", data.report_url.clone()),
    ] {
        if let Some(value) = value {
            annotations.insert(name.to_owned(), value.into());
        }
    }
    let mut alert = json!({
        "labels": all,
        "annotations": annotations,
        "startsAt": announcement.timestamp,
    });
    if let Some(url) = &data.report_url {
        alert["generatorURL"] = url.clone().into();
    }
    alert
}

/// The same for what begins and what ends it.
fn name(delivery: &Delivery) -> (&'static str, &'static str) {
    match delivery.kind {
        Kind::Trigger | Kind::Triggered | Kind::Progress | Kind::Closed => {
            ("DriftdRetraining", "critical")
        }
        Kind::Warning | Kind::Recovered => match delivery.output() {
            Some(Role::Prediction) => ("DriftdPredictionDrift", "warning"),
            Some(Role::Confidence) => ("DriftdConfidenceDrift", "warning"),
            Some(Role::Feature | Role::Label | Role::Latency) | None => {
                ("DriftdDriftWarning", "warning")
            }
        },
        Kind::DeliveryFailed => ("DriftdTriggerNotDelivered", "critical"),
        Kind::DataQuality if delivery.is_of_checks() => ("DriftdCheckViolated", "warning"),
        Kind::DataQuality => ("DriftdDataQuality", "warning"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, ClientConfig};
    use crate::decide::announcement::Data;
    use crate::decide::{Announcement, Audience};
    use crate::deliver::credential::Credential;
    use crate::deliver::poster::{Format, Poster};
    use crate::setting::Secret;

    /// 2026-01-01T00:00:00Z.
    const NOW: i64 = 1_767_225_600_000;

    /// A message of an incident that was decided so long after `NOW`.
    fn message(kind: Kind, ahead_ms: i64) -> Delivery {
        Delivery {
            id: "i".to_owned(),
            target: "alertmanager".to_owned(),
            channel: None,
            model: "fraud".to_owned(),
            kind,
            audience: Audience::Ml,
            announcement: Announcement {
                event_type: String::new(),
                id: "i".to_owned(),
                timestamp: rfc3339(NOW + ahead_ms),
                data: Data { incident: Some("i".to_owned()), ..Data::default() },
            },
        }
    }

    fn span(alert: &Value) -> (i64, i64) {
        let at = |key: &str| millis(alert[key].as_str().unwrap()).unwrap() - NOW;
        (at("startsAt"), at("endsAt"))
    }

    #[test]
    fn an_alert_begins_before_it_ends_whatever_the_clocks_of_producers_say() {
        let labels = BTreeMap::new();
        let of = |kind, ahead_ms| span(&body(&message(kind, ahead_ms), &labels, NOW).unwrap()[0]);
        assert_eq!(of(Kind::Triggered, -7_000), (-7_000, LASTS_MS));
        assert_eq!(of(Kind::Triggered, 2 * LASTS_MS), (0, LASTS_MS));
        assert_eq!(of(Kind::Closed, -7_000), (-7_000, 0));
        assert_eq!(of(Kind::Closed, 7_000), (0, 0));
        let firing = Firing::default();
        firing.taken(&message(Kind::Triggered, 2 * LASTS_MS), &labels, 0);
        assert_eq!(span(&firing.again(0, NOW)[0]), (0, LASTS_MS));
    }

    #[tokio::test]
    async fn an_alert_is_not_kept_once_its_end_was_tried_though_nobody_took_it() {
        let format = Format::Alertmanager { labels: BTreeMap::new(), firing: Firing::default() };
        let poster = Poster {
            format,
            // Nobody listens there.
            url: Credential::Text(Secret::new("http://127.0.0.1:1")),
            key: Credential::None,
            allow_http: true,
            timeout: std::time::Duration::from_secs(2),
        };
        poster.taken(&message(Kind::Triggered, 0), NOW);
        assert!(poster.due_ms().is_some());
        let client = Client::new(&ClientConfig::default()).unwrap();
        poster.send(&client, &message(Kind::Closed, 0), NOW).await;
        assert_eq!(poster.due_ms(), None);
    }
}
