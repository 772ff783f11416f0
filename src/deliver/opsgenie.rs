//! Opsgenie: an alert by its alias, acknowledged and closed under the same.

use serde_json::{Value, json};
use url::form_urlencoded;

use crate::decide::Act;
use crate::decide::Delivery;
use crate::decide::Kind;
use crate::deliver::message;
use crate::deliver::message::cut;
use crate::deliver::rules::Rules;

pub(crate) const HOME: &str = "https://api.opsgenie.com";
const MESSAGE: usize = 130;
const DESCRIPTION: usize = 15_000;
const NOTE: usize = 25_000;

pub(crate) static RULES: Rules = Rules {
    stop: &[400, 410, 422],
    hints: &[
        (401..=403, "", "the API key was not accepted, or its integration may not create alerts"),
        (422..=422, "", "Opsgenie does not take the alert"),
    ],
    ..Rules::PLAIN
};

/// The path behind the API's address, and the body.
pub(crate) fn render(delivery: &Delivery) -> Option<(String, Value)> {
    let (alias, act) = delivery.story()?;
    let data = &delivery.announcement.data;
    let of_alias = |verb: &str| {
        let alias: String = form_urlencoded::byte_serialize(alias.as_bytes()).collect();
        format!("/v2/alerts/{alias}/{verb}?identifierType=alias")
    };
    let note = || json!({"source": "driftd", "note": cut(&data.summary, NOTE)});
    Some(match act {
        Act::Begins => ("/v2/alerts".to_owned(), alert(delivery, &alias)),
        Act::Acknowledged => (of_alias("acknowledge"), note()),
        Act::Ends => (of_alias("close"), note()),
    })
}

fn alert(delivery: &Delivery, alias: &str) -> Value {
    let announcement = &delivery.announcement;
    let data = &announcement.data;
    let mut lines = vec![data.summary.clone()];
    lines.extend(message::feature_lines(announcement, 8_000));
    lines.extend(
        message::facts(announcement).iter().map(|(name, value)| format!("{name}: {value}")),
    );
    lines.extend(data.report_url.clone());
    json!({
        "message": cut(&message::title(delivery), MESSAGE),
        "alias": alias,
        "description": cut(&lines.join("\n"), DESCRIPTION),
        "entity": delivery.model,
        "source": "driftd",
        "tags": ["driftd", delivery.audience.as_str()],
        "priority": priority(delivery.kind),
    })
}

fn priority(kind: Kind) -> &'static str {
    match kind {
        Kind::DeliveryFailed => "P2",
        Kind::Trigger | Kind::Triggered | Kind::DataQuality => "P3",
        Kind::Warning => "P4",
        Kind::Recovered | Kind::Progress | Kind::Closed => "P5",
    }
}
