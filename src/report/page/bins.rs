//! What PSI sees: shares of both sides in each bin, and what the bin adds to it.

use maud::{Markup, html};

use crate::baseline::{Convention, FeatureBaseline};
use crate::compare;
use crate::histogram::{Cells, Counts};
use crate::report::page::axis::percent as width;
use crate::report::page::words::{count, number, percent};
use crate::report::replay::bin_labels;

/// More bins than this are told of together.
const SHOWN: usize = 16;
/// Jeffreys' prior: half a value in each bin.
const SMOOTHING: f64 = 0.5;

struct Bin {
    label: String,
    reference: u64,
    live: u64,
    /// What it adds to PSI.
    part: f64,
}

fn bins(of: &FeatureBaseline, reference: &Counts, live: &Counts) -> Vec<Bin> {
    let counts = compare::bins_against(of, reference, live);
    let labels = bin_labels(of);
    let used = counts.reference.iter().zip(&counts.live).filter(|(r, l)| **r + **l > 0).count();
    let prior = SMOOTHING * used as f64;
    let (m, n) = (total(&counts.reference) as f64 + prior, total(&counts.live) as f64 + prior);
    let sides = counts.reference.into_iter().zip(counts.live).enumerate();
    let bin = |(i, (reference, live)): (usize, (u64, u64))| {
        let p = (reference as f64 + SMOOTHING) / m;
        let q = (live as f64 + SMOOTHING) / n;
        let label = labels.get(i).cloned().unwrap_or_else(|| format!("bin {}", i + 1));
        let empty = reference + live == 0;
        Bin { label, reference, live, part: if empty { 0.0 } else { (q - p) * (q / p).ln() } }
    };
    sides.map(bin).collect()
}

fn total(counts: &[u64]) -> u64 {
    counts.iter().sum()
}

/// The table of bins; of many categories those with the most values, the rest together.
pub(super) fn table(of: &FeatureBaseline, reference: &Counts, live: &Counts) -> Markup {
    let mut bins = bins(of, reference, live);
    let (m, n) = (reference.in_cells().max(1) as f64, live.in_cells().max(1) as f64);
    let weight = |bin: &Bin| (bin.reference as f64 / m).max(bin.live as f64 / n);
    if bins.len() > SHOWN {
        bins.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        let rest = bins.split_off(SHOWN - 1);
        bins.push(Bin {
            label: format!("{} others", rest.len()),
            reference: rest.iter().map(|bin| bin.reference).sum(),
            live: rest.iter().map(|bin| bin.live).sum(),
            part: rest.iter().map(|bin| bin.part).sum(),
        });
    }
    let most = bins.iter().map(weight).fold(1e-12, f64::max);
    let has_part = of.convention == Convention::Driftd && live.in_cells() > 0;
    html! {
        div.wide tabindex="0" role="region" aria-label={ "Bins of " (of.name) } {
            table.sort {
                thead { tr {
                    th scope="col" { @match of.cells { Cells::Numeric(_) => "values", Cells::Categorical(_) => "category" } }
                    th.n scope="col" { "reference" }
                    th.n scope="col" { "live" }
                    td { span.legend { span { i.k-reference {} "reference" } span { i.k-live {} "live" } } }
                    @if has_part { th.n scope="col" { "adds to PSI" } }
                } }
                tbody {
                    @for (i, bin) in bins.iter().enumerate() {
                        @let (p, q) = (bin.reference as f64 / m, bin.live as f64 / n);
                        tr {
                            th scope="row" data-v=(i) { (bin.label) }
                            td.n data-v=(p) title=(count(bin.reference)) { (percent(p)) }
                            td.n data-v=(q) title=(count(bin.live)) { (percent(q)) }
                            td.bars { (bars(p / most, q / most)) }
                            @if has_part { td.n data-v=(bin.part) { (number(bin.part)) } }
                        }
                    }
                }
            }
        }
    }
}

fn bars(reference: f64, live: f64) -> Markup {
    html! {
        svg width="100%" height="16" aria-hidden="true" {
            rect.reference x="0" y="1" height="6" rx="1" width=(width(100.0 * reference)) {}
            rect.live x="0" y="9" height="6" rx="1" width=(width(100.0 * live)) {}
        }
    }
}
