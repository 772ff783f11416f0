//! A model that another replica evaluates: here nothing is known of it but where it is.

use maud::{Markup, html};

use crate::decide::ModelView;
use crate::report::page::encode;

/// Who evaluates it, with a link to the model's page there if that is an address; `None` where it is this
/// process.
pub(super) fn evaluator(model: &ModelView) -> Option<Markup> {
    let by = model.evaluated_by()?;
    let is_address = by.starts_with("http://") || by.starts_with("https://");
    let page = format!("{}/models/{}", by.trim_end_matches('/'), encode(&model.model));
    Some(html! {
        "Evaluated by " @if is_address { a href=(page) { (by) } } @else { (by) } "."
    })
}

/// The same in place of a verdict.
pub(super) fn banner(evaluator: &Markup) -> Markup {
    html! {
        div.banner {
            strong { (evaluator) }
            p { "Its window, scores and verdict are shown there." }
        }
    }
}
