//! Slack: an announcement as Block Kit, within Slack's limits, sent to an incoming webhook.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::client;
use crate::client::Client;
use crate::client::Post;
use crate::decide::Announcement;
use crate::decide::Delivery;
use crate::decide::announcement::TopFeature;
use crate::deliver::answer::Answer;
use crate::deliver::credential::Credential;
use crate::deliver::message;
use crate::deliver::rules::{Overrides, Rules};

mod bot;

pub(crate) use bot::SlackBot;

/// Slack's limits in characters. Together the blocks must stay under about 13,200.
const HEADER: usize = 150;
const SECTION: usize = 3000;
const FIELD: usize = 500;
/// A wider name would break the table on a phone.
const NAME: usize = 32;

/// The same message can only fail in the same way after 400 and 413.
static RULES: Rules = Rules {
    stop: &[400, 403, 404, 410, 413],
    hints: &[
        (403..=403, "", "the webhook or its app was switched off; make a new webhook URL"),
        (404..=404, "", "the webhook or its channel does not exist; make a new webhook URL"),
        (410..=410, "", "the channel is archived"),
    ],
    ..Rules::PLAIN
};

/// One channel's incoming webhook.
#[derive(Debug)]
pub(crate) struct SlackWebhook {
    pub(crate) url: Credential,
    pub(crate) allow_http: bool,
    pub(crate) timeout: Duration,
}

impl SlackWebhook {
    pub(crate) async fn send(&self, client: &Client, body: Bytes) -> Answer {
        let url = match self.url.read().await {
            Ok(Some(url)) => url,
            Ok(None) => return Answer::misconfigured("no webhook URL is configured".to_owned()),
            Err(why) => return Answer::misconfigured(client::with_causes(&why)),
        };
        let url = match client::parse_url(url.expose(), self.allow_http) {
            Ok(url) => url,
            Err(why) => return Answer::misconfigured(format!("the webhook URL: {why}")),
        };
        let headers = vec![("content-type", "application/json".to_owned())];
        let post = Post { url: url.clone(), headers, body, timeout: self.timeout };
        let secrets: Vec<_> = client::hidden(&url).collect();
        Answer::of(client.post(post).await, &RULES, &Overrides::default(), &secrets)
    }
}

/// The channel in `slack://channel`.
///
/// # Errors
/// Any other text.
pub fn parse_channel(text: &str) -> Result<&str, String> {
    let channel = text.strip_prefix("slack://").map(|name| name.trim_start_matches('#'));
    match channel {
        Some(name) if is_channel(name) => Ok(name),
        Some(_) | None => Err(format!("`{text}` is not a channel; write `slack://channel-name`")),
    }
}

fn is_channel(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The message as it is posted; the same announcement gives the same bytes.
pub(crate) fn render(delivery: &Delivery) -> Vec<u8> {
    message(delivery).to_string().into_bytes()
}

fn message(delivery: &Delivery) -> Value {
    let announcement = &delivery.announcement;
    let title = message::title(delivery);
    let mut blocks = vec![
        json!({"type": "header", "text": plain(&title, HEADER)}),
        json!({"type": "section", "text": markdown(&escape(&announcement.data.summary, SECTION))}),
    ];
    let fields: Vec<Value> = message::facts(announcement)
        .iter()
        .map(|(name, value)| markdown(&format!("*{name}*\n{}", escape(value, FIELD))))
        .collect();
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    if !announcement.data.top_features.is_empty() {
        blocks.push(json!({"type": "section", "text": markdown(&table(announcement))}));
    }
    if let Some(link) = link(announcement) {
        blocks.push(json!({"type": "section", "text": markdown(&link)}));
    }
    let origin = format!("driftd · {} · {}", announcement.id, announcement.timestamp);
    blocks.push(json!({"type": "context", "elements": [markdown(&escape(&origin, FIELD))]}));
    // What notifications and screen readers show.
    let text = escape(&format!("{title}: {}", announcement.data.summary), SECTION);
    json!({"text": text, "blocks": blocks})
}

/// A block of monospaced lines, worst feature first; what does not fit is counted.
fn table(announcement: &Announcement) -> String {
    let features = &announcement.data.top_features;
    let wide = |feature: &TopFeature| feature.feature.chars().count().min(NAME);
    let width = features.iter().map(wide).max().unwrap_or(0);
    let mut table = String::from("```");
    let mut shown = 0;
    for feature in features {
        let line = line(feature, width);
        // Room for the closing fence and for the count of what is left out.
        if table.chars().count() + line.chars().count() + 40 > SECTION {
            break;
        }
        table.push_str(&line);
        table.push('\n');
        shown += 1;
    }
    let more = features.len() - shown + announcement.data.more_features;
    table.push_str("```");
    if more > 0 {
        table.push_str(&format!("\n+ {more} more"));
    }
    table
}

fn line(feature: &TopFeature, width: usize) -> String {
    let name: String = message::tame(&feature.feature).chars().take(NAME).collect();
    let name = escape(&format!("{name:width$}"), SECTION);
    format!("{name}  {}", escape(&message::by_how_much(feature), SECTION))
}

fn link(announcement: &Announcement) -> Option<String> {
    let url = announcement.data.report_url.as_deref()?;
    // A `|` or `>` would end the address.
    let url = url.replace('|', "%7C").replace('<', "%3C").replace('>', "%3E");
    let escaped = url.replace('&', "&amp;");
    (escaped.chars().count() < SECTION - 20).then(|| format!("<{escaped}|Open the report>"))
}

fn plain(text: &str, limit: usize) -> Value {
    json!({"type": "plain_text", "text": escape(text, limit)})
}

fn markdown(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text})
}

/// Slack's three entities; cut to at most `limit` characters, never inside an entity.
fn escape(text: &str, limit: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut length = 0;
    for c in text.chars() {
        let mut buffer = [0; 4];
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            c => &*c.encode_utf8(&mut buffer),
        };
        let size = piece.chars().count();
        if length + size >= limit {
            escaped.push('…');
            break;
        }
        escaped.push_str(piece);
        length += size;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::compare::Statistic;
    use crate::decide::Audience;
    use crate::decide::Kind;
    use crate::decide::announcement::Data;

    use super::*;

    fn feature(name: &str) -> TopFeature {
        TopFeature {
            feature: name.to_owned(),
            statistic: Statistic::Psi,
            score: 0.31,
            threshold: 0.2,
            span: "window".to_owned(),
            bias: None,
            noise_floor: None,
        }
    }

    fn delivery(data: Data) -> Delivery {
        Delivery {
            id: "i.triggered".to_owned(),
            target: "slack".to_owned(),
            channel: Some("ml".to_owned()),
            model: data.model.clone(),
            kind: Kind::Triggered,
            audience: Audience::Ml,
            announcement: Announcement {
                event_type: "driftd.incident.triggered".to_owned(),
                id: "i".to_owned(),
                timestamp: "2026-01-01T00:00:00Z".to_owned(),
                data,
            },
        }
    }

    fn rendered(data: Data) -> Value {
        serde_json::from_slice(&render(&delivery(data))).unwrap()
    }

    fn texts(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
            Value::Object(map) => map.values().for_each(|value| texts(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    #[test]
    fn a_message_shows_the_numbers_and_the_link() {
        let message = rendered(Data {
            model: "fraud".to_owned(),
            summary: "psi of amount is 0.31 > 0.2".to_owned(),
            top_features: vec![feature("amount"), feature("age")],
            more_features: 37,
            report_url: Some("https://driftd.example/r?a=1&b=2".to_owned()),
            ..Data::default()
        });
        let mut found = Vec::new();
        texts(&message, &mut found);
        let all = found.join("\n");
        assert_eq!(message["blocks"][0]["text"]["text"], "Drift, retraining triggered: fraud");
        assert!(all.contains("amount  psi 0.3100 &gt; 0.2000"), "{all}");
        assert!(all.contains("age     psi"), "{all}");
        assert!(all.contains("+ 37 more"), "{all}");
        assert!(all.contains("<https://driftd.example/r?a=1&amp;b=2|Open the report>"), "{all}");
    }

    #[test]
    fn hostile_names_cannot_mention_anyone_or_leave_the_table() {
        let message = rendered(Data {
            model: "<!channel>".to_owned(),
            summary: "<@U1> & co".to_owned(),
            top_features: vec![feature("```<!here>\nx")],
            ..Data::default()
        });
        let mut found = Vec::new();
        texts(&message, &mut found);
        let all = found.join("\n");
        assert!(!all.contains("<!") && !all.contains("<@"), "{all}");
        assert_eq!(all.matches("```").count(), 2, "{all}");
    }

    #[test]
    fn a_long_message_stays_within_slacks_limits() {
        let long = "&".repeat(10_000);
        let message = rendered(Data {
            model: long.clone(),
            summary: long.clone(),
            verdict: long.clone(),
            onset: Some(long.clone()),
            model_version: Some(long.clone()),
            top_features: vec![feature(&long); 10],
            report_url: Some(long),
            ..Data::default()
        });
        let length = |value: &Value| value.as_str().unwrap().chars().count();
        let blocks = message["blocks"].as_array().unwrap();
        assert!(length(&blocks[0]["text"]["text"]) <= HEADER);
        let mut found = Vec::new();
        texts(&message["blocks"], &mut found);
        assert!(found.iter().all(|text| text.chars().count() <= SECTION));
        assert!(found.iter().map(|text| text.chars().count()).sum::<usize>() < 13_200);
        for text in found {
            let rest = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
            assert!(!rest.contains('&'), "an entity was cut: {rest}");
        }
    }

    #[test]
    fn channels_are_written_as_urls() {
        assert_eq!(parse_channel("slack://ml-ops-alerts"), Ok("ml-ops-alerts"));
        assert_eq!(parse_channel("slack://#ml"), Ok("ml"));
        for bad in ["", "slack://", "slack://a b", "ml-ops", "#ml", "https://a", "slack://a/b"] {
            assert!(parse_channel(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn escaped_text_is_short_and_has_no_markup(text in "[a&<>é]{0,40}", limit in 1usize..60) {
            let escaped = escape(&text, limit);
            prop_assert!(escaped.chars().count() <= limit);
            prop_assert!(!escaped.contains(['<', '>']));
            let whole = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let cut = escaped.strip_suffix('…');
            prop_assert!(cut.map_or(escaped == whole, |start| whole.starts_with(start)));
        }
    }
}
