//! What was asked of live values, with the violated ones first.

use std::cmp::Reverse;

use maud::{Markup, html};

use crate::decide::ModelView;
use crate::decide::check::{CheckState, CheckView};
use crate::report::page::words::{check_pill, written};

pub(super) fn checks(model: &ModelView) -> Markup {
    let note = "Checks are asked of live values as they came; they hold no retraining back, and ask for none.";
    listed(model, true, note)
}

/// Those of a comparison, whose live side is one window that has no past.
pub(super) fn compared_checks(model: &ModelView) -> Markup {
    let note = "Checks are asked of all live values, which are the window; a violated one fails the comparison, \
                unless it only informs.";
    listed(model, false, note)
}

fn listed(model: &ModelView, with_since: bool, note: &str) -> Markup {
    let mut all: Vec<&CheckView> = model.checks.iter().collect();
    all.sort_by_key(|check| (check.state != CheckState::Violated, Reverse(check.severity)));
    html! {
        @if !all.is_empty() {
            h2 { "Checks" }
            div.wide tabindex="0" role="region" aria-label="Checks" {
                table.cards {
                    thead { tr {
                        th scope="col" { "check" }
                        th scope="col" { "state" }
                        th scope="col" { "severity" }
                        th scope="col" { "in the window" }
                        @if with_since { th scope="col" { "since" } }
                    } }
                    tbody {
                        @for check in all {
                            tr {
                                th scope="row" { (check.check) }
                                td { (check_pill(check.state)) }
                                td data-k="severity" { (check.severity.as_str()) }
                                td.full { (check.sentence) }
                                @if with_since {
                                    td.none[check.since.is_none()] data-k="since" { @if let Some(since) = &check.since { (written(since)) } @else { "\u{2013}" } }
                                }
                            }
                        }
                    }
                }
            }
            p.quiet.small { (note) }
        }
    }
}
