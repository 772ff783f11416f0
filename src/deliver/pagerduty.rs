//! PagerDuty, Events API v2: an alert is triggered, acknowledged and resolved under one key.

use serde_json::{Map, Value, json};

use crate::decide::Act;
use crate::decide::Delivery;
use crate::decide::Kind;
use crate::deliver::message;
use crate::deliver::message::cut;
use crate::deliver::rules::Rules;

pub(crate) const HOME: &str = "https://events.pagerduty.com";
const SUMMARY: usize = 1024;
const KEY: usize = 255;
/// An event may have 512 KB; nobody reads so much of one.
const DETAIL: usize = 4096;

pub(crate) static RULES: Rules = Rules {
    stop: &[400, 410],
    hints: &[
        (
            400..=400,
            "",
            "PagerDuty does not take the event: is the routing key an Events API v2 key?",
        ),
        (403..=403, "", "the routing key is known but may not do this"),
    ],
    ..Rules::PLAIN
};

/// The event but for its routing key, which is a secret; `None` where there is nothing to say.
pub(crate) fn render(delivery: &Delivery) -> Option<Value> {
    let (story, act) = delivery.story()?;
    let action = match act {
        Act::Begins => "trigger",
        Act::Acknowledged => "acknowledge",
        Act::Ends => "resolve",
    };
    let mut event = json!({"event_action": action, "dedup_key": cut(&story, KEY)});
    if act != Act::Begins {
        return Some(event);
    }
    let announcement = &delivery.announcement;
    let data = &announcement.data;
    let title = message::title(delivery);
    event["payload"] = json!({
        "summary": cut(&format!("{title}: {}", data.summary), SUMMARY),
        "source": "driftd",
        "severity": severity(delivery.kind),
        "timestamp": announcement.timestamp,
        "component": delivery.model,
        "group": delivery.audience.as_str(),
        "class": announcement.event_type,
        "custom_details": details(delivery),
    });
    event["client"] = "driftd".into();
    if let Some(url) = &data.report_url {
        event["client_url"] = url.clone().into();
        event["links"] = json!([{"href": url, "text": "Report"}]);
    }
    Some(event)
}

fn details(delivery: &Delivery) -> Value {
    let announcement = &delivery.announcement;
    let mut details = Map::new();
    for (name, value) in message::facts(announcement) {
        details.insert(name.to_owned(), cut(&value, DETAIL).into());
    }
    let features = message::feature_lines(announcement, DETAIL);
    if !features.is_empty() {
        details.insert("Features".to_owned(), features.into());
    }
    details.into()
}

fn severity(kind: Kind) -> &'static str {
    match kind {
        Kind::DeliveryFailed => "critical",
        Kind::Trigger | Kind::Triggered | Kind::DataQuality => "error",
        Kind::Warning => "warning",
        Kind::Recovered | Kind::Progress | Kind::Closed => "info",
    }
}
