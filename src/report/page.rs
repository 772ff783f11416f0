//! The page: every view as HTML, of a running daemon or of one file, with pictures as inline SVG.
//!
//! Whatever is shown goes through `maud`, which escapes it. Nothing is fetched, and all is there without
//! JavaScript; the script only sorts tables, tells what is under the pointer, and fetches new numbers.

use maud::{DOCTYPE, Markup, PreEscaped, html};

mod axis;
mod bins;
mod check;
mod elsewhere;
mod feature;
mod file;
mod health;
mod incident;
mod model;
mod overview;
mod scores;
mod shape;
mod timeline;
mod words;

pub use feature::feature;
pub use file::{comparison, report};
pub use health::{Facts, Loop, Sample, health};
pub use incident::{incident, incidents};
pub use model::{Listed, model};
pub use overview::overview;
pub use words::encode;

/// The style of every page; its hash stands in the policy of what a page may load.
pub const STYLE: &str = include_str!("page/page.css");
pub const SCRIPT: &str = include_str!("page/page.js");
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 26 18'%3E\
    %3Cpath d='M1 16C7 16 6 3 10 3s3 13 8 13' fill='none' stroke='%238b95a5' stroke-width='2.4'/%3E\
    %3Cpath d='M7 16c6 0 5-13 9-13s3 13 9 13' fill='none' stroke='%23d9660a' stroke-width='2.4'/%3E%3C/svg%3E";

/// Where links lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// To pages of a site; so many folders lead up to its root. They are relative: they hold behind a proxy
    /// with a path of its own.
    Site { up: usize },
    /// To other places of the same file.
    File,
}

impl Links {
    fn to(self, path: &str) -> Option<String> {
        match self {
            // An empty link would be the page itself.
            Links::Site { up: 0 } => Some(format!("./{path}")),
            Links::Site { up } => Some("../".repeat(up) + path),
            Links::File => None,
        }
    }

    fn model(self, model: &str) -> Option<String> {
        self.to(&format!("models/{}", encode(model)))
    }

    fn feature(self, model: &str, feature: &str) -> String {
        let path = format!("models/{}/features/{}", encode(model), encode(feature));
        self.to(&path).unwrap_or_else(|| format!("#{}", anchor(feature)))
    }

    fn incident(self, id: &str) -> Option<String> {
        self.to(&format!("incidents/{}", encode(id)))
    }
}

/// The place of a feature in a file.
fn anchor(feature: &str) -> String {
    format!("feature-{}", encode(feature))
}

/// A text that leads somewhere, where there is something to lead to.
fn link(to: Option<String>, text: &str) -> Markup {
    html! {
        @if let Some(to) = to { a href=(to) { (text) } } @else { (text) }
    }
}

/// The part of the site that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Models,
    Incidents,
    Health,
    Configuration,
}

/// A whole page of the site.
fn site(title: &str, up: usize, part: Part, body: &Markup) -> String {
    let links = Links::Site { up };
    let parts = [
        (Part::Models, "", "Models"),
        (Part::Incidents, "incidents", "Incidents"),
        (Part::Health, "health", "Health"),
        (Part::Configuration, "configuration", "Configuration"),
    ];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                a.skip href="#live" { "Skip to the content" }
                header.top { div {
                    a.brand href=[links.to("")] { (mark()) "driftd" }
                    nav aria-label="Parts" {
                        @for (of, path, name) in parts {
                            a href=[links.to(path)] aria-current=[(of == part).then_some("page")] { (name) }
                        }
                    }
                    span #updates .updates {}
                } }
                main #live tabindex="-1" { (body) }
                footer {
                    "driftd " (env!("CARGO_PKG_VERSION")) " \u{b7} all times are UTC \u{b7} "
                    a href=[links.to("api/v1/models")] { "JSON" } " \u{b7} "
                    a href=[links.to("api/v1/openapi.json")] { "OpenAPI" } " \u{b7} "
                    a href=[links.to("metrics")] { "metrics" }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            link rel="icon" href=(ICON);
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// Two distributions, one beside the other.
fn mark() -> Markup {
    html! {
        svg viewBox="0 0 26 18" aria-hidden="true" {
            path.a d="M1 16C7 16 6 3 10 3s3 13 8 13" {}
            path.b d="M7 16c6 0 5-13 9-13s3 13 9 13" {}
        }
    }
}

/// The configuration in force, as it may be shown.
pub fn configuration(yaml: &str) -> String {
    let body = html! {
        h1 { "Configuration" }
        p.quiet { "What is in force, with every default; secrets are ***." }
        div.wide { pre tabindex="0" role="region" aria-label="The configuration" { (yaml) } }
    };
    site("Configuration \u{b7} driftd", 0, Part::Configuration, &body)
}

/// What cannot be shown, and why.
pub fn missing(title: &str, why: &str, up: usize) -> String {
    let body = html! {
        h1 { (title) }
        p { (why) }
        p { a href=[Links::Site { up }.to("")] { "All models" } }
    };
    site(&format!("{title} \u{b7} driftd"), up, Part::Models, &body)
}
