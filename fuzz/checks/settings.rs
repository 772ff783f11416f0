//! Single settings as people write them: what is read is shown and read again as the same.
//!
//! Input: a byte that chooses the setting, then its text.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use driftd::client::parse_url;
use driftd::config::StartFrom;
use driftd::decode::Fields;
use driftd::deliver::{Notifiers, Trigger, parse_channel};
use driftd::http::ExternalUrl;
use driftd::setting::{Budget, ByteSize, Span};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::input::Input;

/// Reads the input as one of the settings.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    match kind % 10 {
        0 => shown_alike::<Span>(text),
        1 => shown_alike::<ByteSize>(text),
        2 => shown_alike::<Budget>(text),
        3 => shown_alike::<StartFrom>(text),
        4 => fields(text),
        5 => url(text),
        6 => channel(text),
        7 => external_url(text),
        8 => trigger(text),
        _ => notifiers(text),
    }
}

fn shown_alike<T: FromStr<Err: Display> + Display + Debug + PartialEq>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            let again = shown.parse::<T>().map_err(|error| error.to_string());
            assert_eq!(again.as_ref(), Ok(&value), "{text:?} is shown as {shown:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn json_alike<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: &T) {
    let json = serde_json::to_string(value).expect("settings are plain data");
    let again: T = serde_json::from_str(&json).expect("a setting of our own");
    assert_eq!(&again, value, "{json}");
}

fn fields(text: &str) {
    let Ok(fields) = serde_json::from_str::<Fields>(text) else { return };
    json_alike(&fields);
    for pointer in fields.features.iter().chain(&fields.rows) {
        assert_eq!(pointer.steps().count(), pointer.as_str().matches('/').count());
    }
}

fn url(text: &str) {
    let Ok(url) = parse_url(text, true) else { return };
    assert!(url.has_host() && url.username().is_empty() && url.password().is_none());
    assert_eq!(parse_url(url.as_str(), true).ok().as_ref(), Some(&url));
    assert_eq!(parse_url(text, false).is_ok(), url.scheme() == "https");
}

fn channel(text: &str) {
    if let Ok(channel) = parse_channel(text) {
        assert_eq!(parse_channel(&format!("slack://{channel}")), Ok(channel));
    }
}

fn external_url(text: &str) {
    let Ok(url) = ExternalUrl::try_from(text.to_owned()) else { return };
    let shown = url.to_string();
    assert!(!shown.ends_with('/') && !shown.contains(['?', '#']), "{shown}");
    let again = ExternalUrl::try_from(shown.clone()).expect("a URL of our own");
    assert_eq!(again.to_string(), shown);
}

/// The webhook, its secrets and the template of its body.
fn trigger(text: &str) {
    if let Ok(trigger) = serde_json::from_str::<Trigger>(text) {
        for fault in trigger.check() {
            assert!(!fault.to_string().is_empty());
        }
    }
}

fn notifiers(text: &str) {
    if let Ok(notifiers) = serde_json::from_str::<Notifiers>(text) {
        for fault in notifiers.check() {
            assert!(!fault.to_string().is_empty());
        }
    }
}
