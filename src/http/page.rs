//! The index page: the models and where to read more, rendered here, without scripts.

use std::fmt::Write;

use crate::decide::view::View;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>driftd</title></head><body>\n\
<h1>driftd</h1>\n";
const FOOT: &str = "<p><a href=\"api/v1/models\">models</a> \u{b7} \
<a href=\"api/v1/incidents\">incidents</a> \u{b7} <a href=\"metrics\">metrics</a> \u{b7} \
<a href=\"readyz?verbose\">ready</a></p>\n</body></html>\n";

/// Links are relative: they hold behind a proxy with a path of its own.
pub(super) fn index(view: &View) -> String {
    let mut out = HEAD.to_owned();
    if view.models.is_empty() {
        out.push_str("<p>No model is configured.</p>\n");
    }
    out.push_str("<table>\n<tr><th>model</th><th>drift</th><th>quality</th><th>incident</th><th>window</th><th>in a sentence</th></tr>\n");
    for model in &view.models {
        let incident = model.incident.map_or("none", |state| state.as_str());
        writeln!(
            out,
            "<tr><td><a href=\"api/v1/models/{}\">{}</a></td><td>{}</td><td>{}</td><td>{incident}</td><td>{} records</td><td>{}</td></tr>",
            encode(&model.model),
            escape(&model.model),
            model.drift.as_str(),
            model.quality.as_str(),
            model.window.records,
            escape(&model.explanation),
        )
        .expect("writing to a string cannot fail");
    }
    out.push_str("</table>\n");
    out.push_str(FOOT);
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// One segment of a path, percent-encoded.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    out
}
