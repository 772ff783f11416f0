//! Reference against live: every statistic, its noise floor and its p-value.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::baseline::Baseline;
use crate::baseline::Convention;
use crate::baseline::FeatureBaseline;
use crate::compare::evidently::Binned;
use crate::compare::noise::Noise;
use crate::compare::pair::Pair;
use crate::histogram::Bins;
use crate::histogram::Cells;
use crate::histogram::Counts;

mod chi_square;
mod chi_squared_law;
#[cfg(test)]
mod enclosure;
mod evidently;
#[cfg(test)]
mod field;
#[cfg(test)]
mod golden;
mod hellinger;
mod hypergeometric;
mod js;
mod kl;
mod ks;
mod mean_shift;
mod noise;
mod pair;
#[cfg(test)]
mod properties;
mod psi;
mod quantiles;
mod rates;
#[cfg(test)]
mod shapes;
mod total_variation;
mod wasserstein;

pub use noise::records_needed;
pub use noise::supported_threshold;
pub use noise::whole;
pub use quantiles::quantiles;

/// The floor of a score is what no drift exceeds once in a thousand looks.
pub const FLOOR_ALPHA: f64 = 1e-3;
/// The same for rule `window`, which asks nothing else before it acts and looks at every pane.
pub const WINDOW_ALPHA: f64 = 1e-5;

/// A measure of how far live is from reference.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    Psi,
    Kl,
    KlReverse,
    Js,
    JsDistance,
    Hellinger,
    TotalVariation,
    LInfinity,
    Ks,
    ChiSquare,
    Wasserstein,
    WassersteinRaw,
    MeanShift,
    /// Live share of missing values minus the reference's.
    Missing,
    /// Live share of unseen categories minus the expected one.
    Unseen,
    /// Live share outside the reference's range minus the expected one.
    OutOfRange,
    /// Live share of wrong types minus the reference's.
    TypeError,
}

/// How many statistics there are.
const COUNT: usize = Statistic::ALL.len();

impl Statistic {
    /// In the order of their declaration, which is the order that they are shown in.
    pub const ALL: [Statistic; 17] = [
        Statistic::Psi,
        Statistic::Kl,
        Statistic::KlReverse,
        Statistic::Js,
        Statistic::JsDistance,
        Statistic::Hellinger,
        Statistic::TotalVariation,
        Statistic::LInfinity,
        Statistic::Ks,
        Statistic::ChiSquare,
        Statistic::Wasserstein,
        Statistic::WassersteinRaw,
        Statistic::MeanShift,
        Statistic::Missing,
        Statistic::Unseen,
        Statistic::OutOfRange,
        Statistic::TypeError,
    ];

    /// The name in configuration, JSON and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Statistic::Psi => "psi",
            Statistic::Kl => "kl",
            Statistic::KlReverse => "kl_reverse",
            Statistic::Js => "js",
            Statistic::JsDistance => "js_distance",
            Statistic::Hellinger => "hellinger",
            Statistic::TotalVariation => "total_variation",
            Statistic::LInfinity => "l_infinity",
            Statistic::Ks => "ks",
            Statistic::ChiSquare => "chi_square",
            Statistic::Wasserstein => "wasserstein",
            Statistic::WassersteinRaw => "wasserstein_raw",
            Statistic::MeanShift => "mean_shift",
            Statistic::Missing => "missing",
            Statistic::Unseen => "unseen",
            Statistic::OutOfRange => "out_of_range",
            Statistic::TypeError => "type_error",
        }
    }

    /// Whether noise can be told from drift for it, by a noise floor or by a p-value in its place;
    /// a statistic without either is shown and can't trigger.
    pub fn has_floor(self) -> bool {
        match self {
            Statistic::Psi
            | Statistic::Kl
            | Statistic::KlReverse
            | Statistic::Js
            | Statistic::JsDistance
            | Statistic::Hellinger
            | Statistic::Ks
            | Statistic::ChiSquare => true,
            Statistic::TotalVariation
            | Statistic::LInfinity
            | Statistic::Wasserstein
            | Statistic::WassersteinRaw
            | Statistic::MeanShift => false,
            Statistic::Missing
            | Statistic::Unseen
            | Statistic::OutOfRange
            | Statistic::TypeError => self.is_rate(),
        }
    }

    /// A share of records, signed, judged by its p-value; not a distance of distributions.
    pub fn is_rate(self) -> bool {
        matches!(
            self,
            Statistic::Missing | Statistic::Unseen | Statistic::OutOfRange | Statistic::TypeError
        )
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No statistic has this name.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("unknown statistic `{given}`; one of {}", Statistic::ALL.map(Statistic::as_str).join(", "))]
pub struct UnknownStatistic {
    pub given: String,
}

impl FromStr for Statistic {
    type Err = UnknownStatistic;

    fn from_str(given: &str) -> Result<Self, UnknownStatistic> {
        let found = Statistic::ALL.into_iter().find(|statistic| statistic.as_str() == given);
        found.ok_or_else(|| UnknownStatistic { given: given.to_owned() })
    }
}

/// The value of a statistic, with what noise alone would do at this sample size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub value: f64,
    /// What no drift would exceed once in a thousand looks; absent where there is no such law.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_floor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
}

/// The scores of one feature: at most one per statistic, all of them finite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores([Option<Score>; COUNT]);

impl Scores {
    /// Absent when it cannot be computed: nothing was counted, or the kind has no such statistic.
    pub fn get(&self, statistic: Statistic) -> Option<Score> {
        self.0[statistic as usize]
    }

    /// In the order of `Statistic::ALL`.
    pub fn iter(&self) -> impl Iterator<Item = (Statistic, Score)> + '_ {
        Statistic::ALL.into_iter().zip(self.0).filter_map(|(s, score)| Some((s, score?)))
    }

    /// Keeps a value that is a number; a huge range can overflow a distance in the feature's unit.
    fn set(&mut self, statistic: Statistic, value: f64, floor: Option<f64>, p_value: Option<f64>) {
        if value.is_finite() {
            let p_value = p_value.filter(|p| p.is_finite());
            self.0[statistic as usize] = Some(Score { value, noise_floor: floor, p_value });
        }
    }
}

/// One feature's two sides, and how its noise is judged.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub baseline: &'a FeatureBaseline,
    /// Counted into the baseline's cells.
    pub live: &'a Counts,
    /// How much more the counts vary than those of independent records; below 1 counts as 1.
    pub design_effect: f64,
    /// Chance of a score above its floor without drift, per look: `FLOOR_ALPHA` or `WINDOW_ALPHA`.
    pub alpha: f64,
}

/// Counts of both sides over the feature's bins, empty ones included, in bin order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinCounts {
    pub reference: Vec<u64>,
    pub live: Vec<u64>,
}

/// What PSI, KL, JS and chi-square see of `live`: cells summed into the feature's bins.
///
/// # Panics
/// If `live` was counted into other cells.
pub fn bins(baseline: &FeatureBaseline, live: &Counts) -> BinCounts {
    bins_against(baseline, &baseline.reference, live)
}

/// The same against another `reference` in the same cells, such as the mixture of a season's slots; a parity
/// profile knows none but its own.
pub fn bins_against(baseline: &FeatureBaseline, reference: &Counts, live: &Counts) -> BinCounts {
    assert_eq!(reference.cells.len(), live.cells.len(), "counts of other cells");
    match baseline.convention {
        Convention::Driftd => BinCounts {
            reference: baseline.bins.sum(&reference.cells),
            live: baseline.bins.sum(&live.cells),
        },
        Convention::Evidently => Binned::new(baseline, live).counts,
    }
}

/// The bins of `bins`, those of categories that the reference has never seen left out. Equal bins
/// follow live's size and range.
pub fn score_bins(baseline: &FeatureBaseline, live: &Counts) -> Bins {
    match baseline.convention {
        Convention::Driftd => baseline.bins.clone(),
        Convention::Evidently => evidently::score_bins(baseline, live),
    }
}

/// What a convention's value of `statistic` is to driftd's own: its Jensen-Shannon may be in nats.
/// Divide a threshold by it to ask `records_needed`; multiply what `supported_threshold` says.
pub fn unit(convention: Convention, statistic: Statistic) -> f64 {
    match convention {
        Convention::Driftd => 1.0,
        Convention::Evidently => evidently::unit(statistic),
    }
}

/// Inner edges of the feature's bins, one fewer than bins; empty for categories.
pub fn bin_edges(baseline: &FeatureBaseline) -> Vec<f64> {
    match &baseline.cells {
        Cells::Numeric(cells) => {
            let inner = baseline.bins.starts.iter().skip(1);
            inner.filter_map(|&start| cells.edges.get(start as usize - 1).copied()).collect()
        }
        Cells::Categorical(_) => Vec::new(),
    }
}

/// The scores of every usable feature, in the baseline's order; an unusable one has none.
///
/// `live` has one entry per feature of the baseline.
pub fn evaluate(
    baseline: &Baseline,
    live: &[Counts],
    design_effect: f64,
    alpha: f64,
) -> Vec<Scores> {
    let sides = baseline.features.iter().zip(live);
    sides
        .map(|(baseline, live)| match baseline.unusable {
            Some(_) => Scores::default(),
            None => scores(&Input { baseline, live, design_effect, alpha }),
        })
        .collect()
}

/// PSI of counts over the same bins, which need not be whole, with its floor and p-value, and what it is
/// on average without drift: `f (B - 1)`. `None` when a side is empty.
pub fn psi_of_bins(
    reference: &[f64],
    live: &[f64],
    design_effect: f64,
    alpha: f64,
) -> Option<(Score, f64)> {
    let pair = Pair::of(reference.iter().copied().zip(live.iter().copied()))?;
    let noise = Noise::new(pair.m, pair.n, pair.len(), design_effect.max(1.0), alpha);
    let value = psi::psi(&pair);
    let (noise_floor, p_value) = (noise.floor(Statistic::Psi), noise.p_value(value));
    Some((Score { value, noise_floor, p_value }, noise.f * (pair.len() - 1) as f64))
}

/// Every statistic of one feature. Formulas stand at each statistic's own file.
///
/// # Panics
/// If `live` was counted into other cells than the baseline's.
pub fn scores(input: &Input<'_>) -> Scores {
    scores_against(input, &input.baseline.reference)
}

/// The same against another `reference` in the same cells, such as the mixture of a season's slots. What is out
/// of range or unseen is judged by the whole baseline: only it knows them.
pub fn scores_against(input: &Input<'_>, reference: &Counts) -> Scores {
    let mut scores = Scores::default();
    let design_effect = input.design_effect.max(1.0);
    let live = input.live;
    match input.baseline.convention {
        Convention::Driftd => {
            let bins = bins_against(input.baseline, reference, live);
            if let Some(pair) = Pair::new(&bins.reference, &bins.live) {
                let noise = Noise::new(pair.m, pair.n, pair.len(), design_effect, input.alpha);
                on_bins(&mut scores, &pair, &noise);
            }
        }
        Convention::Evidently => {
            let rule = evidently::Rule { design_effect, alpha: input.alpha };
            evidently::score(&mut scores, input.baseline, live, rule);
        }
    }
    if let Cells::Numeric(cells) = &input.baseline.cells
        && let Some(pair) = Pair::new(&reference.cells, &live.cells)
    {
        let noise = Noise::new(pair.m, pair.n, pair.len(), design_effect, input.alpha);
        let distance = ks::distance(&reference.cells, &live.cells);
        let p_value = noise.degrees().map(|_| ks::p_value(distance, noise.f));
        scores.set(Statistic::Ks, distance, noise.floor(Statistic::Ks), p_value);
        let raw = wasserstein::raw(cells, reference, live);
        scores.set(Statistic::WassersteinRaw, raw, None, None);
        let unit = input.baseline.sd.map(|sd| match input.baseline.convention {
            Convention::Driftd => sd,
            Convention::Evidently => evidently::deviation(sd),
        });
        if let Some(unit) = unit.filter(|&unit| unit > 0.0) {
            scores.set(Statistic::Wasserstein, raw / unit, None, None);
        }
        if let Some(sd) = input.baseline.sd.filter(|&sd| sd > 0.0) {
            let shift = mean_shift::shift(cells.scale, reference, live) / sd;
            let p_value = mean_shift::p_value(shift, noise.f);
            scores.set(Statistic::MeanShift, shift, None, Some(p_value));
        }
    }
    rates::score(&mut scores, input.baseline, (reference, live), design_effect);
    scores
}

fn on_bins(scores: &mut Scores, pair: &Pair, noise: &Noise) {
    let psi = psi::psi(pair);
    let mut with_law = |statistic, value, law: Option<f64>| {
        let p_value = law.and_then(|x| noise.p_value(x));
        scores.set(statistic, value, noise.floor(statistic), p_value);
    };
    with_law(Statistic::Psi, psi, Some(psi));
    let kl = kl::kl(pair);
    with_law(Statistic::Kl, kl, Some(2.0 * kl));
    let kl_reverse = kl::kl_reverse(pair);
    with_law(Statistic::KlReverse, kl_reverse, Some(2.0 * kl_reverse));
    let js = js::divergence(pair);
    let js_law = 8.0 * std::f64::consts::LN_2 * js;
    with_law(Statistic::Js, js, Some(js_law));
    with_law(Statistic::JsDistance, js.sqrt(), Some(js_law));
    with_law(Statistic::Hellinger, hellinger::hellinger(pair), None);
    with_law(Statistic::TotalVariation, total_variation::total_variation(pair), None);
    with_law(Statistic::LInfinity, total_variation::l_infinity(pair), None);
    let p_value = chi_square::p_value(pair, noise.design_effect);
    scores.set(Statistic::ChiSquare, chi_square::statistic(pair), None, p_value);
}
