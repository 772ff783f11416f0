//! CloudEvents 1.0 over HTTP, structured (all in the body) and binary (attributes as headers).

use crate::deliver::provider::{Provider, Setting};

const SETTINGS: &[Setting] = &[
    Setting::or("mode", "structured", "`structured` or `binary`"),
    Setting::or("source", "/driftd", "the attribute `source`: who says so"),
];

pub(super) static STRUCTURED: Provider = Provider {
    headers: &[("content-type", "application/cloudevents+json")],
    body: r#"{
        "specversion": "1.0",
        "id": "{{id}}",
        "source": "{{with.source}}",
        "type": "io.{{type}}.v1",
        "subject": "{{model}}",
        "time": "{{timestamp}}",
        "datacontenttype": "application/json",
        "data": "{{data}}"
    }"#,
    settings: SETTINGS,
    ..Provider::PLAIN
};

pub(super) static BINARY: Provider = Provider {
    headers: &[
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "{{id}}"),
        ("ce-source", "{{with.source}}"),
        ("ce-type", "io.{{type}}.v1"),
        ("ce-subject", "{{model}}"),
        ("ce-time", "{{timestamp}}"),
    ],
    body: "\"{{data}}\"",
    settings: SETTINGS,
    ..Provider::PLAIN
};
