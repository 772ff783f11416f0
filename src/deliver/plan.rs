//! A preset with its settings filled in: the requests that one trigger makes.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use crate::client::Response;
use crate::decide::Announcement;
use crate::deliver::preset::Preset;
use crate::deliver::provider::{Encoding, Provider, RunFrom};
use crate::deliver::template;
use crate::deliver::template::Template;
use crate::deliver::trigger::{Fault, Trigger};
use crate::setting::Secret;

/// What a receiver is sent and asked, but for secrets.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) preset: Preset,
    pub(crate) provider: &'static Provider,
    pub(crate) method: String,
    /// Where the API is.
    home: Url,
    with: BTreeMap<String, String>,
    derived: Vec<(&'static str, String)>,
    /// Those of the configuration; their values may be secrets.
    headers: Vec<(String, Secret)>,
    body: Template,
    /// It is asked how runs go by the configuration's own word.
    pub(crate) asks: bool,
}

impl Plan {
    /// # Errors
    /// Templates that cannot be filled in.
    pub(crate) fn new(trigger: &Trigger, home: &Url) -> Result<Self, Vec<Fault>> {
        let preset = trigger.preset_of(home);
        let provider = preset.provider(&trigger.with);
        let mut with = trigger.with.clone();
        for setting in provider.settings {
            if let Some(default) = setting.default {
                with.entry(setting.name.to_owned()).or_insert_with(|| default.to_owned());
            }
        }
        let (key, text) = match &trigger.body {
            Some(body) => ("body", body.clone()),
            None => ("parameters", body_text(provider, &with, trigger.parameters.as_ref())),
        };
        let body = Template::parse(&text).map_err(|messages| {
            messages.into_iter().map(|message| Fault::new(key, message)).collect::<Vec<_>>()
        })?;
        let headers = trigger.headers.iter();
        let plan = Self {
            preset,
            provider,
            method: trigger.method.clone().unwrap_or_else(|| "POST".to_owned()),
            home: home.clone(),
            derived: (provider.derive)(home),
            with,
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.clone())).collect(),
            body,
            asks: trigger.confirm == Some(true),
        };
        match plan.url(provider.url, &template::sample(), None) {
            Ok(_) => Ok(plan),
            Err(why) => Err(vec![Fault::new("webhook", why)]),
        }
    }

    /// The URL of the request that starts the run.
    ///
    /// # Errors
    /// It cannot be a URL.
    pub(crate) fn target(&self, announcement: &Announcement) -> Result<Url, String> {
        self.url(self.provider.url, announcement, None)
    }

    /// A URL of this receiver; one that it has told us itself is taken to be on the same server, so that
    /// no token goes elsewhere.
    ///
    /// # Errors
    /// It cannot be a URL.
    pub(crate) fn url(
        &self,
        text: &str,
        announcement: &Announcement,
        run: Option<&str>,
    ) -> Result<Url, String> {
        let filled =
            fill(text, |name| match name {
                "webhook" if text == "{{webhook}}" => Some(self.home.as_str().to_owned()),
                "webhook" => Some(self.home.as_str().trim_end_matches('/').to_owned()),
                "origin" => Some(self.home.origin().ascii_serialization()),
                "run" => run.map(|run| {
                    if run.starts_with("http") { run.to_owned() } else { encoded(run, false) }
                }),
                _ => match self.derived.iter().find(|(known, _)| with_name(name) == Some(*known)) {
                    Some((_, value)) => Some(value.clone()),
                    None => {
                        let setting = with_name(name).and_then(|name| self.provider.setting(name));
                        let value = self.value(name, announcement)?;
                        Some(encoded(&value, setting.is_some_and(|setting| setting.slashes)))
                    }
                },
            });
        let mut safe = String::with_capacity(filled.len());
        for c in filled.chars() {
            // What stands in our own texts, and servers are strict about.
            match c {
                '{' | '}' | '[' | ']' if text != "{{webhook}}" => {
                    write!(safe, "%{:02X}", u32::from(c)).expect("a String takes every write");
                }
                c => safe.push(c),
            }
        }
        let mut url = Url::parse(&safe).map_err(|why| format!("not a URL: {why}"))?;
        if url.origin() != self.home.origin() {
            let (path, query) = (url.path().to_owned(), url.query().map(str::to_owned));
            url = self.home.clone();
            url.set_path(&path);
            url.set_query(query.as_deref());
        }
        Ok(url)
    }

    /// The headers that say nothing about who asks.
    pub(crate) fn headers(&self, announcement: &Announcement) -> Vec<(String, String)> {
        let filled = |text: &str| header_value(&fill(text, |name| self.value(name, announcement)));
        let own = self.provider.headers.iter();
        let mut headers: Vec<(String, String)> =
            own.map(|(name, text)| ((*name).to_owned(), filled(text))).collect();
        if self.provider.standard_headers {
            headers.push(("webhook-id".to_owned(), announcement.id.clone()));
            headers.push(("idempotency-key".to_owned(), announcement.id.clone()));
        }
        headers
    }

    /// Those of the configuration, which win over the preset's and are never shown.
    pub(crate) fn own_headers(&self, announcement: &Announcement) -> Vec<(String, String)> {
        let filled = |text: &str| fill(text, |name| self.value(name, announcement));
        self.headers.iter().map(|(name, value)| (name.clone(), filled(value.expose()))).collect()
    }

    /// The body, where it fits with the report, else without it.
    pub(crate) fn body(&self, announcement: &Announcement) -> Bytes {
        let whole = self.encode(announcement);
        let most = self.provider.most.unwrap_or(usize::MAX);
        if whole.len() <= most || announcement.data.report.is_none() {
            return whole.into();
        }
        let mut short = announcement.clone();
        let message = format!(
            "left out: with it the body is {} bytes, and {} takes {most}; see report_url",
            whole.len(),
            self.preset.name()
        );
        short.data.report = Some(serde_json::json!({ "truncated": message }));
        self.encode(&short).into()
    }

    /// A body without what an older server has just refused in it.
    pub(crate) fn for_older(&self, response: &Response, body: &[u8]) -> Option<Bytes> {
        let (status, key) = self.provider.lately?;
        let is_refused =
            response.status == status && String::from_utf8_lossy(&response.body).contains(key);
        let mut sent: Value = serde_json::from_slice(body).ok().filter(|_| is_refused)?;
        sent.as_object_mut()?.remove(key)?;
        Some(sent.to_string().into())
    }

    fn encode(&self, announcement: &Announcement) -> String {
        let json = self.body.render(announcement);
        match self.provider.encoding {
            Encoding::Json => json,
            Encoding::Form => form(&json),
        }
    }

    /// Whether runs like ours can be looked for, and among them the one that carries our id.
    pub(crate) fn found(&self, answer: &Value, announcement: &Announcement) -> Option<String> {
        let lookup = self.provider.lookup.as_ref()?;
        let items = answer.pointer(lookup.items)?.as_array()?;
        let is_ours = |item: &&Value| match lookup.equals {
            Some((at, text)) => {
                let wanted = fill(text, |name| self.value(name, announcement));
                item.pointer(at).and_then(Value::as_str) == Some(&*wanted)
            }
            None => item.to_string().contains(&announcement.id),
        };
        word(items.iter().find(is_ours)?.pointer(lookup.run)?)
    }

    /// What the receiver calls the run that its answer is about.
    pub(crate) fn run(&self, body: &[u8], location: Option<&str>, id: &str) -> Option<String> {
        match self.provider.confirm.as_ref()?.run {
            RunFrom::Id => Some(id.to_owned()),
            RunFrom::Location => location.map(str::to_owned),
            RunFrom::Body(pointer) => {
                let answer: Value = serde_json::from_slice(body).ok()?;
                word(answer.pointer(pointer)?)
            }
        }
    }

    /// One of the preset's own settings, where it has a value.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.with.get(name).map(|value| value.trim())
    }

    fn value(&self, name: &str, announcement: &Announcement) -> Option<String> {
        match with_name(name) {
            Some(setting) => Some(self.with.get(setting).cloned().unwrap_or_default()),
            None => template::text_of(name, announcement),
        }
    }
}

/// A text or a number, as text.
pub(crate) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn with_name(placeholder: &str) -> Option<&str> {
    placeholder.strip_prefix("with.")
}

/// The preset's body as a template: its settings and parameters in their places.
fn body_text(
    provider: &Provider,
    with: &BTreeMap<String, String>,
    parameters: Option<&BTreeMap<String, String>>,
) -> String {
    let given: Map<String, Value> = match parameters {
        Some(own) => own.iter().map(|(name, text)| (name.clone(), text.clone().into())).collect(),
        None => {
            let own = provider.parameters.iter();
            own.map(|(name, text)| ((*name).to_owned(), (*text).into())).collect()
        }
    };
    let shape: Value = serde_json::from_str(provider.body).expect("a preset's body is JSON");
    let mut text = filled(&shape, with, &given).unwrap_or_default().to_string();
    for name in template::STRUCTURES {
        let quoted = format!("\"{{{{{name}}}}}\"");
        let as_it_is = match provider.texts_only {
            true => format!("\"{{{{{name}_text}}}}\""),
            false => format!("{{{{{name}}}}}"),
        };
        text = text.replace(&quoted, &as_it_is);
    }
    text
}

/// `None` for a text that is one setting which is not given.
fn filled(
    shape: &Value,
    with: &BTreeMap<String, String>,
    parameters: &Map<String, Value>,
) -> Option<Value> {
    let setting = |name: &str| with.get(name).filter(|value| !value.is_empty());
    let put_in = |text: &str| {
        fill(text, |name| match with_name(name) {
            Some(name) => Some(setting(name).cloned().unwrap_or_default()),
            None => Some(format!("{{{{{name}}}}}")),
        })
    };
    Some(match shape {
        Value::String(text) if text == "{{parameters}}" => Value::Object(parameters.clone()),
        Value::String(text) => {
            let alone = text.strip_prefix("{{with.").and_then(|rest| rest.strip_suffix("}}"));
            match alone.filter(|name| !name.contains("{{")) {
                Some(name) => match setting(name)?.as_str() {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    text => text.into(),
                },
                None => put_in(text).into(),
            }
        }
        Value::Object(map) => {
            let entries = map.iter();
            let entries = entries
                .filter_map(|(key, value)| Some((put_in(key), filled(value, with, parameters)?)));
            Value::Object(entries.collect())
        }
        Value::Array(items) => {
            Value::Array(items.iter().filter_map(|item| filled(item, with, parameters)).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => shape.clone(),
    })
}

/// Puts values in the places of `{{name}}`; a name without one leaves nothing.
fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once("}}") else {
            rest = &rest[before.len()..];
            break;
        };
        out.push_str(&value(name.trim()).unwrap_or_default());
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Percent-encoded for one segment of a path, or several where slashes stay.
fn encoded(text: &str, slashes: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if slashes => out.push('/'),
            byte => write!(out, "%{byte:02X}").expect("a String takes every write"),
        }
    }
    out
}

/// What a header can carry.
fn header_value(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// `a=1&b[c]=2`.
fn form(json: &str) -> String {
    let value: Value = serde_json::from_str(json).expect("a template is JSON when filled in");
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (key, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => {
                for (name, value) in inner {
                    form.append_pair(&format!("{key}[{name}]"), &plain(value));
                }
            }
            value => {
                form.append_pair(key, &plain(value));
            }
        }
    }
    form.finish()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
