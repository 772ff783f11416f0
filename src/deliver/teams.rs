//! Microsoft Teams: an adaptive card for a workflow's webhook.

use serde_json::{Value, json};

use crate::decide::Delivery;
use crate::deliver::message;
use crate::deliver::message::cut;
use crate::deliver::rules::Rules;

/// Teams takes 28 KB a message, in bytes.
const MOST: usize = 28 * 1024;
const TEXT: usize = 2000;

pub(crate) static RULES: Rules = Rules {
    stop: &[400, 404, 410, 413],
    hints: &[
        (
            400..=400,
            "",
            "the workflow does not take the card; it must begin with `When a Teams webhook \
          request is received`",
        ),
        (401..=404, "", "the workflow was switched off or deleted; make a new webhook URL"),
    ],
    ..Rules::PLAIN
};

pub(crate) fn render(delivery: &Delivery) -> Value {
    let card = card(delivery, TEXT);
    // A character may be four bytes, and six in JSON.
    if card.to_string().len() < MOST { card } else { self::card(delivery, TEXT / 10) }
}

fn card(delivery: &Delivery, most: usize) -> Value {
    let announcement = &delivery.announcement;
    let data = &announcement.data;
    let block = |text: &str| json!({"type": "TextBlock", "wrap": true, "text": text});
    let mut title = block(&escape(&cut(&message::title(delivery), most / 10)));
    title["weight"] = "Bolder".into();
    title["size"] = "Medium".into();
    let mut body = vec![title, block(&escape(&cut(&data.summary, most)))];
    let features = message::feature_lines(announcement, most);
    if !features.is_empty() {
        let lines: Vec<String> =
            features.iter().map(|line| format!("- {}", escape(line))).collect();
        body.push(block(&lines.join("\n")));
    }
    let facts: Vec<Value> = message::facts(announcement)
        .iter()
        .map(|(name, value)| json!({"title": name, "value": escape(&cut(value, most / 4))}))
        .collect();
    if !facts.is_empty() {
        body.push(json!({"type": "FactSet", "facts": facts}));
    }
    let url = data.report_url.as_ref().filter(|url| url.len() < TEXT);
    let actions: Vec<Value> = url
        .map(|url| json!({"type": "Action.OpenUrl", "title": "Open the report", "url": url}))
        .into_iter()
        .collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
                "actions": actions,
            },
        }],
    })
}

/// A card's text is Markdown: no links or emphasis out of a name.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '_' | '[' | ']' | '(' | ')' | '\\' | '`' | '<' | '>' | '#') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
