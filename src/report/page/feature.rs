//! One feature: how it is distributed, what is wrong with its values, and its scores over time.

use maud::{Markup, html};

use crate::baseline::FeatureBaseline;
use crate::compare::{Statistic, quantiles};
use crate::decide::{FeatureVerdict, Incident, ModelView, Verdict, View};
use crate::feature::{Kind, Role};
use crate::histogram::{Cells, Counts, NumericCells};
use crate::report::page::axis::marks_of;
use crate::report::page::scores::{Scored, What};
use crate::report::page::words::{
    count, evidence, number, percent, plural, score, statistic_name, verdict_pill, when,
};
use crate::report::page::{Links, Part, bins, link, shape, site};

const QUANTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// The page of one feature; `None` when the baseline has no such column.
pub fn feature(view: &View, model: &ModelView, name: &str) -> Option<String> {
    let links = Links::Site { up: 3 };
    let body = Shown::of(model, name)?;
    let incidents: Vec<&Incident> =
        view.incidents.iter().filter(|incident| incident.model == model.model).collect();
    let body = html! {
        nav.crumbs aria-label="Where this is" {
            a href=[links.to("")] { "Models" } " / " (link(links.model(&model.model), &model.model))
        }
        div.head { h1 { (name) } (body.pills()) }
        (body.sentence())
        (body.views(&incidents))
    };
    Some(site(&format!("{name} of {} \u{b7} driftd", model.model), 3, Part::Models, &body))
}

/// One feature with all that is known of it.
pub(super) struct Shown<'a> {
    model: &'a ModelView,
    of: &'a FeatureBaseline,
    reference: &'a Counts,
    /// All of the window, and what of it the scores rest on.
    live: Option<&'a Counts>,
    scored: Option<&'a Counts>,
    verdict: Option<&'a FeatureVerdict>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(model: &'a ModelView, name: &str) -> Option<Self> {
        let features = &model.baseline.as_ref()?.features;
        let at = features.iter().position(|feature| feature.name == name)?;
        let of = &features[at];
        // Of a feature with a season, what its scores are of.
        let mixture = model.references.get(at).and_then(Option::as_ref);
        Some(Self {
            model,
            of,
            reference: mixture.unwrap_or(&of.reference),
            live: model.live.get(at).filter(|live| live.cells.len() == of.cells.len()),
            scored: model.scored(at).filter(|scored| scored.cells.len() == of.cells.len()),
            verdict: model.features.iter().find(|verdict| verdict.feature == name),
        })
    }

    pub(super) fn pills(&self) -> Markup {
        let kind = match self.of.kind {
            Kind::Numeric => "number",
            Kind::Categorical => "category",
        };
        let role = Some(self.of.role).filter(|role| *role != Role::Feature).map(Role::as_str);
        html! {
            @if let Some(verdict) = self.verdict { (verdict_pill(verdict.verdict)) }
            span.pill { (kind) }
            @if let Some(role) = role { span.pill { (role) } }
        }
    }

    /// What is to be said first, with its numbers.
    pub(super) fn sentence(&self) -> Markup {
        let Some(verdict) = self.verdict else {
            let why = self
                .of
                .unusable
                .map_or("no pane has closed since this baseline is in force", |why| why.reason());
            return html! { p { "Not judged: " (why) "." } };
        };
        let tone = match verdict.verdict {
            Verdict::Stable => "good",
            Verdict::Notice => "note",
            Verdict::Warning | Verdict::AbsentInLive => "warn",
            Verdict::Drifted | Verdict::Fault => "bad",
            Verdict::InsufficientSamples | Verdict::Unusable => "",
        };
        let psi = verdict.scores.get(&Statistic::Psi).filter(|psi| psi.value.is_finite());
        html! {
            div class={ "banner " (tone) } {
                @if let Some(reason) = &verdict.reason { p { strong { (reason) } } }
                @if verdict.verdict == Verdict::AbsentInLive { p { strong { "No record of the window has this key." } } }
                @if let Some(onset) = verdict.onset.as_ref().filter(|onset| onset.is_real()) {
                    p {
                        strong { "It has changed since " (when(onset.since_ms)) "." }
                        @if let Some(psi) = onset.psi {
                            " Over the " (plural(usize::try_from(onset.records).unwrap_or(usize::MAX), "record", "records")) " since then PSI is " b { (number(psi.value)) } "."
                        }
                    }
                }
                @if let Some(psi) = psi {
                    p {
                        "Over the window PSI is " b { (number(psi.value)) }
                        @if let Some(floor) = psi.noise_floor { ", where noise alone reaches " (number(floor)) }
                        @if let Some(line) = psi.threshold { " and the first line is at " (number(line)) }
                        "; " (count(verdict.live_count)) " live values against " (count(verdict.reference_count)) " of the reference."
                    }
                }
                @if let Some(share) = evidence(verdict) {
                    p.quiet { "Evidence of a change: " (percent(share)) " of what the budget of false retrainings asks." }
                }
                @if let Some(needed) = verdict.records_needed {
                    p.quiet { "A window needs " (count(needed)) " records before its lowest line can be met." }
                }
                @if let Some(season) = &verdict.season { p.quiet { "Compared within its season: " (season) "." } }
            }
        }
    }

    pub(super) fn views(&self, incidents: &[&Incident]) -> Markup {
        let marks = marks_of(&self.model.history, incidents);
        let zero = Counts::zero(self.of.cells.len());
        let live = self.live.unwrap_or(&zero);
        let rest = self.scored.unwrap_or(&zero);
        let statistics = self.model.history.statistics().iter();
        let mut shown: Vec<What> = statistics.map(|&of| What::Score(of)).collect();
        // What decides comes after the score that it is about.
        shown.insert(shown.len().min(1), What::Evidence);
        let scored = shown.into_iter().map(|what| Scored {
            history: &self.model.history,
            name: &self.of.name,
            what,
            lines: &self.model.thresholds,
            marks: &marks,
        });
        let scored: Vec<Scored<'_>> = scored.filter(Scored::tells).collect();
        html! {
            @if self.of.unusable.is_none() {
                h2 { "Distribution" }
                (withheld(live.records().saturating_sub(rest.records())))
                @if let Cells::Numeric(cells) = &self.of.cells {
                    @if let Some(picture) = shape::shape(self.of, cells, self.reference, rest) { div.card { (picture) } }
                }
                (bins::table(self.of, self.reference, rest))
            }
            @if !scored.is_empty() {
                h2 { "Over time" }
                @for scored in scored {
                    div.card { h3 { (capital(&scored.what.name())) } (scored.picture()) }
                }
            }
            div.grid2 {
                section { h2 { "Values" } (values(self.reference, live)) }
                @if let Cells::Numeric(cells) = &self.of.cells {
                    section { h2 { "Quantiles" } (quantile_table(cells, self.of, self.reference, rest)) }
                }
            }
            @if let Some(verdict) = self.verdict.filter(|verdict| !verdict.scores.is_empty()) {
                h2 { "Every score of the window" }
                (scores(verdict))
            }
        }
    }
}

/// What is not among the counts that scores rest on.
fn withheld(records: u64) -> Markup {
    html! {
        @if records > 0 {
            p.quiet { (count(records)) " records of the window came while something was wrong with these values: no score rests on them, and they are not shown here." }
        }
    }
}

/// As a heading begins.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What came in place of a value, and values that the reference does not know.
fn values(reference: &Counts, live: &Counts) -> Markup {
    type Of = fn(&Counts) -> u64;
    let rows: [(&str, Of); 8] = [
        ("no such key", |c| c.missing),
        ("null", |c| c.null),
        ("NaN", |c| c.nan),
        ("wrong type", |c| c.type_error),
        ("infinite", |c| c.pos_inf + c.neg_inf),
        ("below training's range", |c| c.below),
        ("above training's range", |c| c.above),
        ("unseen category", |c| c.unseen),
    ];
    let share = |n: u64, of: &Counts| n as f64 / of.records().max(1) as f64;
    html! {
        div.wide {
            table {
                thead { tr { th scope="col" { "of all records" } th.n scope="col" { "reference" } th.n scope="col" { "live" } th.n scope="col" { "live records" } } }
                tbody {
                    tr { th scope="row" { "with a value" } (both(share(reference.in_cells(), reference), share(live.in_cells(), live), live.in_cells())) }
                    @for (name, of) in rows {
                        @if of(reference) + of(live) > 0 {
                            tr { th scope="row" { (name) } (both(share(of(reference), reference), share(of(live), live), of(live))) }
                        }
                    }
                }
            }
        }
    }
}

fn both(reference: f64, live: f64, n: u64) -> Markup {
    html! { td.n { (percent(reference)) } td.n { (percent(live)) } td.n { (count(n)) } }
}

fn quantile_table(
    cells: &NumericCells,
    of: &FeatureBaseline,
    reference: &Counts,
    live: &Counts,
) -> Markup {
    let sides = [reference, live].map(|side| quantiles(cells, side, &QUANTILES));
    let at = |side: &Option<Vec<f64>>, i: usize| side.as_ref().map(|values| values[i]);
    let shown = |value: Option<f64>| value.map_or_else(|| "\u{2013}".to_owned(), number);
    let mean = of.mean.or_else(|| cells.scale.mean(reference));
    let sd = of.sd.or_else(|| cells.scale.sd(reference));
    html! {
        div.wide {
            table {
                thead { tr { th scope="col" { "values up to" } th.n scope="col" { "reference" } th.n scope="col" { "live" } } }
                tbody {
                    @for (i, share) in QUANTILES.into_iter().enumerate() {
                        tr {
                            th scope="row" { @if i == 3 { "half of them: median" } @else { (format!("{:.0} % of them", 100.0 * share)) } }
                            td.n { (shown(at(&sides[0], i))) } td.n { (shown(at(&sides[1], i))) }
                        }
                    }
                    tr { th scope="row" { "mean" } td.n { (shown(mean)) } td.n { (shown(cells.scale.mean(live))) } }
                    tr { th scope="row" { "standard deviation" } td.n { (shown(sd)) } td.n { (shown(cells.scale.sd(live))) } }
                }
            }
        }
    }
}

fn scores(verdict: &FeatureVerdict) -> Markup {
    let shown = |value: Option<f64>| {
        value.filter(|v| v.is_finite()).map_or_else(|| "\u{2013}".to_owned(), number)
    };
    html! {
        div.wide tabindex="0" role="region" aria-label={ "Scores of " (verdict.feature) } {
            table.sort {
                thead { tr {
                    th scope="col" { "statistic" } th.n scope="col" { "score" } th.n scope="col" { "noise floor" }
                    th.n scope="col" { "p" } th.n scope="col" { "first line" }
                } }
                tbody {
                    @for (statistic, of) in &verdict.scores {
                        tr {
                            th scope="row" { (statistic_name(*statistic)) }
                            td.n data-v=[score(verdict, *statistic)] { (shown(Some(of.value))) }
                            td.n data-v=[of.noise_floor] { (shown(of.noise_floor)) }
                            td.n data-v=[of.p_value] { (shown(of.p_value)) }
                            td.n data-v=[of.threshold] { (shown(of.threshold)) }
                        }
                    }
                }
            }
        }
        p.quiet.small { "A score without a noise floor or a p-value is shown and never acts. " "Formulas: docs/statistics.md." }
    }
}
