//! `body:` templates: `{{id}}` and its kin in JSON that the operator wrote.

use serde::Serialize;

use crate::decide::Announcement;
use crate::decide::announcement::Data;
use crate::deliver::message::cut;

/// A template that was checked: its placeholders exist, and it is JSON once they are filled in.
#[derive(Clone, Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Field(Field),
}

/// A named value of an announcement.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    read: fn(&Announcement) -> Value,
}

/// What a placeholder becomes.
enum Value {
    /// Escaped for the inside of a JSON string; nothing if it is absent.
    Inside(Option<String>),
    /// A JSON value by itself.
    Json(String),
}

fn inside(text: &str) -> Value {
    Value::Inside(Some(text.to_owned()))
}

fn json<T: Serialize>(value: &T) -> Value {
    Value::Json(serde_json::to_string(value).expect("announcements are plain data"))
}

/// Characters that fit where databases have columns for short texts.
const SHORT: usize = 200;

const FIELDS: [Field; 28] = [
    Field { name: "id", read: |a| inside(&a.id) },
    Field { name: "type", read: |a| inside(&a.event_type) },
    Field { name: "timestamp", read: |a| inside(&a.timestamp) },
    Field { name: "model", read: |a| inside(&a.data.model) },
    Field { name: "model_version", read: |a| Value::Inside(a.data.model_version.clone()) },
    Field { name: "summary", read: |a| inside(&a.data.summary) },
    Field { name: "summary_short", read: |a| inside(&cut(&a.data.summary, SHORT)) },
    Field { name: "incident", read: |a| Value::Inside(a.data.incident.clone()) },
    Field { name: "verdict", read: |a| inside(&a.data.verdict) },
    Field { name: "onset", read: |a| Value::Inside(a.data.onset.clone()) },
    Field { name: "baseline.source", read: |a| inside(&a.data.baseline.source) },
    Field { name: "baseline.digest", read: |a| inside(&a.data.baseline.digest) },
    Field { name: "baseline.rows", read: |a| json(&a.data.baseline.rows) },
    Field { name: "window.start", read: |a| inside(&a.data.window.start) },
    Field { name: "window.end", read: |a| inside(&a.data.window.end) },
    Field { name: "window.records", read: |a| json(&a.data.window.records) },
    Field {
        name: "training_window.from",
        read: |a| Value::Inside(a.data.training_window.as_ref().map(|window| window.from.clone())),
    },
    Field {
        name: "training_window.to",
        read: |a| Value::Inside(a.data.training_window.as_ref().map(|window| window.to.clone())),
    },
    Field { name: "report_url", read: |a| Value::Inside(a.data.report_url.clone()) },
    Field { name: "top_features", read: |a| json(&a.data.top_features) },
    Field { name: "more_features", read: |a| json(&a.data.more_features) },
    Field { name: "report", read: |a| json(&a.data.report) },
    Field { name: "data", read: |a| json(&a.data) },
    Field { name: "announcement", read: |a| json(a) },
    // The same as text, for the inside of a string.
    Field { name: "top_features_text", read: |a| as_text(&a.data.top_features) },
    Field { name: "report_text", read: |a| as_text(&a.data.report) },
    Field { name: "data_text", read: |a| as_text(&a.data) },
    Field { name: "announcement_text", read: |a| as_text(a) },
];

/// Placeholders that stand for a structure, and so outside quotes.
pub(crate) const STRUCTURES: [&str; 4] = ["top_features", "report", "data", "announcement"];

fn as_text<T: Serialize>(value: &T) -> Value {
    Value::Inside(Some(serde_json::to_string(value).expect("announcements are plain data")))
}

/// What a placeholder stands for, as text; `None` if there is no such placeholder.
pub(crate) fn text_of(name: &str, announcement: &Announcement) -> Option<String> {
    let field = FIELDS.iter().find(|field| field.name == name)?;
    Some(match (field.read)(announcement) {
        Value::Inside(text) => text.unwrap_or_default(),
        Value::Json(json) => json,
    })
}

impl Template {
    /// # Errors
    /// Every unknown or unclosed placeholder, or else that the whole is not JSON.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut parts = Vec::new();
        let mut faults = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            parts.push(Part::Text(before.to_owned()));
            let Some((name, tail)) = after.split_once("}}") else {
                faults.push(format!("`{{{{{}` is not closed by `}}}}`", start_of(after)));
                rest = "";
                break;
            };
            match FIELDS.iter().find(|field| field.name == name.trim()) {
                Some(field) => parts.push(Part::Field(*field)),
                None => faults.push(unknown(name.trim())),
            }
            rest = tail;
        }
        parts.push(Part::Text(rest.to_owned()));
        if !faults.is_empty() {
            return Err(faults);
        }
        let template = Self(parts);
        let sample = template.render(&sample());
        match serde_json::from_str::<serde::de::IgnoredAny>(&sample) {
            Ok(_) => Ok(template),
            Err(error) => Err(vec![format!(
                "is not JSON when filled in ({error}); text placeholders belong inside quotes, \
                 {{{{data}}}}, {{{{report}}}} and {{{{top_features}}}} outside"
            )]),
        }
    }

    pub(crate) fn render(&self, announcement: &Announcement) -> String {
        let mut body = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => body.push_str(text),
                Part::Field(field) => match (field.read)(announcement) {
                    Value::Inside(None) => {}
                    Value::Inside(Some(text)) => body.push_str(&escaped(&text)),
                    Value::Json(json) => body.push_str(&json),
                },
            }
        }
        body
    }
}

fn unknown(name: &str) -> String {
    let nearest = FIELDS
        .iter()
        .map(|field| (strsim::jaro_winkler(field.name, name), field.name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, near)) if likeness > 0.8 => {
            format!("unknown placeholder `{{{{{name}}}}}`; did you mean `{{{{{near}}}}}`?")
        }
        _ => {
            let names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
            format!("unknown placeholder `{{{{{name}}}}}`; there are: {}", names.join(", "))
        }
    }
}

fn start_of(text: &str) -> String {
    text.chars().take(20).collect()
}

/// As JSON writes it, without the quotes.
fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("any text can be JSON");
    quoted[1..quoted.len() - 1].to_owned()
}

/// Its texts hold what breaks careless quoting.
pub(crate) fn sample() -> Announcement {
    let hostile = || "\"\\\n".to_owned();
    let data = Data { model: hostile(), summary: hostile(), ..Data::default() };
    Announcement { event_type: hostile(), id: hostile(), timestamp: hostile(), data }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_are_escaped_for_the_string_they_stand_in() {
        let template =
            Template::parse(r#"{"ref": "{{id}}", "m": "{{ model }}", "n": {{window.records}}}"#);
        let mut announcement = sample();
        announcement.data.model = "a\"b\\c\nd".to_owned();
        let body = template.unwrap().render(&announcement);
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(read, json!({"ref": "\"\\\n", "m": "a\"b\\c\nd", "n": 0}));
    }

    #[test]
    fn structures_are_put_in_whole_and_absent_text_is_empty() {
        let template =
            Template::parse(r#"{"o": "{{onset}}", "f": {{top_features}}, "r": {{report}}}"#);
        let body = template.unwrap().render(&sample());
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(read, json!({"o": "", "f": [], "r": null}));
    }

    #[test]
    fn every_fault_of_a_template_is_told_at_once() {
        let faults = Template::parse(r#"{"a": "{{ident}}", "b": "{{modell}}", "c": "{{id"#);
        let faults = faults.unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[1].contains("did you mean `{{model}}`"), "{faults:?}");
        assert!(faults[2].contains("not closed"), "{faults:?}");
    }

    #[test]
    fn a_template_that_is_not_json_is_a_fault() {
        assert!(Template::parse("id={{id}}").unwrap_err()[0].contains("not JSON"));
        assert!(Template::parse(r#"{"id": {{id}}}"#).unwrap_err()[0].contains("not JSON"));
    }

    proptest! {
        /// No text of an announcement can leave the string that it was put into.
        #[test]
        fn any_text_comes_back_as_it_was(model: String, summary: String) {
            let template = Template::parse(r#"["{{model}}", "{{summary}}", {{data}}]"#).unwrap();
            let data = Data { model: model.clone(), summary: summary.clone(), ..Data::default() };
            let body = template.render(&Announcement { data, ..sample() });
            let read: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(&read[0], &json!(model));
            prop_assert_eq!(&read[1], &json!(summary));
            prop_assert_eq!(&read[2]["model"], &json!(model));
        }
    }
}
