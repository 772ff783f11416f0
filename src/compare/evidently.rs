//! Scores by Evidently's conventions (0.7): its bins, its fill of empty ones, natural logarithms.

use std::f64::consts::LN_2;

use crate::baseline::FeatureBaseline;
use crate::baseline::evidently::DISTINCT_MAX;
use crate::baseline::evidently::closed_left;
use crate::baseline::evidently::edge;
use crate::baseline::evidently::equal_bins;
use crate::baseline::evidently::is_integer;
use crate::baseline::evidently::sturges;
use crate::compare::BinCounts;
use crate::compare::Scores;
use crate::compare::Statistic;
use crate::compare::chi_square;
use crate::compare::chi_squared_law;
use crate::compare::hellinger;
use crate::compare::noise::Noise;
use crate::compare::noise::whole;
use crate::compare::pair::Pair;
use crate::compare::total_variation;
use crate::feature::Kind;
use crate::histogram::Bins;
use crate::histogram::Cells;
use crate::histogram::Counts;
use crate::histogram::NumericCells;

/// What an empty bin counts as ...
const FILL: f64 = 1e-4;
/// ... unless a bin's share is as small: then this part of the smallest share.
const FILL_PART: f64 = 1e6;
/// A deviation below this one counts as it.
const SD_MIN: f64 = 1e-3;
/// Euler's constant.
const GAMMA: f64 = 0.577_215_664_901_532_9;

/// Counts of both sides over Evidently's bins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binned {
    pub(crate) counts: BinCounts,
    /// One bin for each value, not for a range of values.
    pub(crate) by_value: bool,
}

impl Binned {
    /// Over equal bins, or, for categories and few distinct numbers, a bin for each value. Categories
    /// beyond those listed are one value, and so are the unseen ones, and the numbers between two that
    /// the reference has.
    pub(crate) fn new(baseline: &FeatureBaseline, live: &Counts) -> Self {
        match &baseline.cells {
            Cells::Numeric(cells) if baseline.distinct > DISTINCT_MAX => {
                let joint = Joint::new(baseline, cells, live);
                let reference = joint.counts(cells, &baseline.reference);
                let live = joint.counts(cells, live);
                Self { counts: BinCounts { reference, live }, by_value: false }
            }
            Cells::Numeric(_) | Cells::Categorical(_) => {
                let unseen = if baseline.kind == Kind::Categorical { live.unseen } else { 0 };
                let both = baseline.reference.cells.iter().zip(&live.cells);
                let both = both.map(|(&r, &c)| (r, c)).chain([(0, unseen)]);
                let (reference, live) = both.filter(|&(r, c)| r > 0 || c > 0).unzip();
                Self { counts: BinCounts { reference, live }, by_value: true }
            }
        }
    }

    /// `(reference, live)` shares of every bin; `None` when a side has no value.
    pub(crate) fn shares(&self) -> Option<Shares> {
        let side = |counts: &[u64]| -> Option<Vec<f64>> {
            let sum = counts.iter().sum::<u64>() as f64;
            (sum > 0.0).then(|| counts.iter().map(|&count| count as f64 / sum).collect())
        };
        let (reference, live) = (side(&self.counts.reference)?, side(&self.counts.live)?);
        Some(Shares { reference, live })
    }
}

/// Its bins as unions of cells: the nearest ones, where live has left the reference's range.
pub(crate) fn score_bins(baseline: &FeatureBaseline, live: &Counts) -> Bins {
    match &baseline.cells {
        Cells::Numeric(cells) if baseline.distinct > DISTINCT_MAX => {
            let Joint { range, bins } = Joint::new(baseline, cells, live);
            equal_bins(&cells.edges, range, bins, cells.storage)
        }
        Cells::Numeric(_) | Cells::Categorical(_) => baseline.bins.clone(),
    }
}

/// The bins of `numpy.histogram_bin_edges(both sides, "sturges")`.
#[derive(Clone, Copy, Debug)]
struct Joint {
    range: (f64, f64),
    bins: usize,
}

impl Joint {
    /// Exact while live is inside the reference's range; else each end is known up to a cell.
    fn new(baseline: &FeatureBaseline, cells: &NumericCells, live: &Counts) -> Self {
        let range = (lower_end(cells, live), upper_end(cells, live));
        let values = baseline.reference.in_cells() + live.in_cells();
        // pandas keeps whole numbers as such only in columns without a gap.
        let gaps = baseline.reference.absent() + live.absent();
        let integer = gaps == 0 && is_integer(&baseline.column_type);
        Self { range, bins: sturges(range.1 - range.0, values, integer) }
    }

    /// Values in each bin. An edge inside a cell parts its values evenly, to the nearest whole value;
    /// in an outer cell, which has no end, it has all of them on the side of their mean.
    fn counts(self, cells: &NumericCells, counts: &Counts) -> Vec<u64> {
        let mut below = vec![0u64];
        below.extend(counts.cells.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }));
        let up_to = |i: usize| -> u64 {
            let at = closed_left(edge(self.range, i, self.bins, cells.storage));
            let k = cells.edges.partition_point(|&edge| edge < at);
            below[k] + part(cells, counts, k, at)
        };
        let inner: Vec<u64> = (1..self.bins).map(up_to).chain([counts.in_cells()]).collect();
        let mut before = 0;
        let mut bins = Vec::with_capacity(inner.len());
        for end in inner {
            // Edges that rounding has put the wrong way round part nothing.
            let end = end.max(before);
            bins.push(end - before);
            before = end;
        }
        bins
    }
}

/// How many values of cell `k` lie at or below `at`.
fn part(cells: &NumericCells, counts: &Counts, k: usize, at: f64) -> u64 {
    let count = counts.cells[k];
    let all_from = |mean: Option<f64>| if mean.is_some_and(|mean| mean <= at) { count } else { 0 };
    let Some(&high) = cells.edges.get(k) else {
        return all_from(cells.scale.to_mean(counts.high_sum, count));
    };
    let Some(low) = k.checked_sub(1).map(|before| cells.edges[before]) else {
        return if at < high {
            all_from(cells.scale.to_mean(counts.low_sum, count))
        } else {
            count
        };
    };
    let share = (at - low) / (high - low);
    whole((share * count as f64).round()).min(count)
}

/// Where both sides together begin: not behind the reference's own begin, whatever the sums say.
fn lower_end(cells: &NumericCells, live: &Counts) -> f64 {
    let lowest = live.cells.iter().position(|&count| count > 0);
    let end = match lowest {
        _ if live.below == 0 => cells.lowest,
        Some(k @ 1..) if k < cells.edges.len() => middle(cells.edges[k - 1], cells.edges[k]),
        Some(_) | None => {
            let edge = cells.edges.first().copied().unwrap_or(cells.lowest);
            beyond(cells, edge, live.low_sum, live.cells[0])
        }
    };
    end.min(cells.lowest)
}

/// Where both sides together end.
fn upper_end(cells: &NumericCells, live: &Counts) -> f64 {
    let top = cells.edges.len();
    let highest = live.cells.iter().rposition(|&count| count > 0);
    let end = match highest {
        _ if live.above == 0 => cells.highest,
        Some(k @ 1..) if k < top => middle(cells.edges[k - 1], cells.edges[k]),
        Some(_) | None => {
            let edge = cells.edges.last().copied().unwrap_or(cells.highest);
            beyond(cells, edge, live.high_sum, live.cells[top])
        }
    };
    end.max(cells.highest)
}

fn middle(low: f64, high: f64) -> f64 {
    low + 0.5 * (high - low)
}

/// The end of a tail of `n` values with this sum beyond `edge`: `n` draws of an exponential tail reach
/// on average `1 + 1/2 + ... + 1/n` times as far as their mean, and a single one is its mean.
fn beyond(cells: &NumericCells, edge: f64, sum: i128, n: u64) -> f64 {
    let mean = cells.scale.to_mean(sum, n).unwrap_or(edge);
    let reach = if n <= 32 {
        (1..=n).map(|i| (i as f64).recip()).sum::<f64>()
    } else {
        (n as f64).ln() + GAMMA
    };
    edge + (mean - edge) * reach
}

/// Shares over Evidently's bins, empty ones 0.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    reference: Vec<f64>,
    live: Vec<f64>,
}

impl Shares {
    /// `sum (r - c) ln(r / c)`, empty bins filled, shares not made to add up to 1 again. `[0, inf)`.
    pub(crate) fn psi(&self) -> f64 {
        let (reference, live) = (filled(&self.reference), filled(&self.live));
        reference.iter().zip(&live).map(|(r, c)| (r - c) * (r / c).ln()).sum()
    }

    /// `sum r ln(r / c)` over filled shares that add up to 1 again: `scipy.stats.entropy(r, c)`.
    pub(crate) fn kl(&self) -> f64 {
        entropy(&filled(&self.reference), &filled(&self.live))
    }

    /// The other way round; Evidently does not show it.
    pub(crate) fn kl_reverse(&self) -> f64 {
        entropy(&filled(&self.live), &filled(&self.reference))
    }

    /// Jensen-Shannon divergence in nats, `[0, ln 2]`; Evidently shows its root.
    pub(crate) fn js(&self) -> f64 {
        let term = |a: f64, b: f64| if a > 0.0 { a * (2.0 * a / (a + b)).ln() } else { 0.0 };
        let both = self.reference.iter().zip(&self.live);
        let sum: f64 = both.map(|(&r, &c)| term(r, c) + term(c, r)).sum();
        (0.5 * sum).clamp(0.0, LN_2)
    }
}

fn filled(shares: &[f64]) -> Vec<f64> {
    let least = shares.iter().copied().filter(|&share| share > 0.0).fold(f64::INFINITY, f64::min);
    let fill = if least <= FILL { least / FILL_PART } else { FILL };
    shares.iter().map(|&share| if share > 0.0 { share } else { fill }).collect()
}

fn entropy(of: &[f64], from: &[f64]) -> f64 {
    let (sum_of, sum_from) = (of.iter().sum::<f64>(), from.iter().sum::<f64>());
    let both = of.iter().zip(from);
    let sum: f64 = both.map(|(a, b)| (a / sum_of) * ((a / sum_of) / (b / sum_from)).ln()).sum();
    sum.max(0.0)
}

/// Goodness of fit of live to the reference's shares, `sum (c - e)^2 / e`, `e = r n / m`, and its
/// upper tail; infinite, with a tail of 0, where live has a value that the reference has not.
/// `None` with a single value.
///
/// Two values are compared by Evidently's test of two proportions, whose square this then is.
fn fit(counts: &BinCounts) -> Option<(f64, f64)> {
    let (m, n) = (counts.reference.iter().sum::<u64>(), counts.live.iter().sum::<u64>());
    let (m, n) = (m as f64, n as f64);
    let degrees = counts.reference.len().checked_sub(1).filter(|&degrees| degrees > 0)?;
    let both = counts.reference.iter().zip(&counts.live).map(|(&r, &c)| (r as f64, c as f64));
    let statistic: f64 = if degrees == 1 {
        both.map(|(r, c)| (c / n - r / m).powi(2) * (m + n) / (r + c)).sum::<f64>()
            / (n.recip() + m.recip())
    } else {
        both.map(|(r, c)| (c / n - r / m).powi(2) * m / r).sum::<f64>() * n
    };
    Some((statistic, chi_squared_law::survival(statistic, degrees)))
}

/// Everything on bins. Floors and p-values are those of the same quantities over the bins that are
/// not empty on both sides, as `noise` and `js` have them for shares as counted.
pub(crate) fn score(scores: &mut Scores, baseline: &FeatureBaseline, live: &Counts, rule: Rule) {
    let binned = Binned::new(baseline, live);
    let BinCounts { reference, live } = &binned.counts;
    let (Some(shares), Some(pair)) = (binned.shares(), Pair::new(reference, live)) else { return };
    let noise = Noise::new(pair.m, pair.n, pair.len(), rule.design_effect, rule.alpha);
    let mut with_law = |statistic, value, law: f64| {
        let floor = noise.floor(statistic).map(|floor| floor * unit(statistic));
        scores.set(statistic, value, floor, noise.p_value(law));
    };
    let psi = shares.psi();
    with_law(Statistic::Psi, psi, psi);
    let (kl, kl_reverse) = (shares.kl(), shares.kl_reverse());
    with_law(Statistic::Kl, kl, 2.0 * kl);
    with_law(Statistic::KlReverse, kl_reverse, 2.0 * kl_reverse);
    let js = shares.js();
    with_law(Statistic::Js, js, 8.0 * js);
    with_law(Statistic::JsDistance, js.sqrt(), 8.0 * js);
    let floor = noise.floor(Statistic::Hellinger);
    scores.set(Statistic::Hellinger, hellinger::hellinger(&pair), floor, None);
    scores.set(Statistic::TotalVariation, total_variation::total_variation(&pair), None, None);
    scores.set(Statistic::LInfinity, total_variation::l_infinity(&pair), None, None);
    if binned.by_value {
        if let Some((statistic, p_value)) = fit(&binned.counts) {
            scores.set(Statistic::ChiSquare, statistic, None, Some(p_value));
        }
    } else {
        let p_value = chi_square::p_value(&pair, rule.design_effect);
        scores.set(Statistic::ChiSquare, chi_square::statistic(&pair), None, p_value);
    }
}

/// Jensen-Shannon is in nats here, not in bits.
pub(crate) fn unit(statistic: Statistic) -> f64 {
    match statistic {
        Statistic::Js => LN_2,
        Statistic::JsDistance => LN_2.sqrt(),
        Statistic::Psi
        | Statistic::Kl
        | Statistic::KlReverse
        | Statistic::Hellinger
        | Statistic::TotalVariation
        | Statistic::LInfinity
        | Statistic::Ks
        | Statistic::ChiSquare
        | Statistic::Wasserstein
        | Statistic::WassersteinRaw
        | Statistic::MeanShift
        | Statistic::Missing
        | Statistic::Unseen
        | Statistic::OutOfRange
        | Statistic::TypeError => 1.0,
    }
}

/// How noise is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) design_effect: f64,
    pub(crate) alpha: f64,
}

/// What Wasserstein is divided by.
pub(crate) fn deviation(sd: f64) -> f64 {
    sd.max(SD_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Convention;
    use crate::histogram::Scale;
    use crate::histogram::Storage;

    #[test]
    fn empty_bins_are_filled_as_evidently_fills_them() {
        let check = |reference: &[f64], live: &[f64], psi: f64, kl: f64| {
            let shares = Shares { reference: reference.to_vec(), live: live.to_vec() };
            assert!((shares.psi() - psi).abs() < 1e-12, "{}", shares.psi());
            assert!((shares.kl() - kl).abs() < 1e-12, "{}", shares.kl());
        };
        check(&[0.0, 1.0], &[1.0, 0.0], 18.418_838_675_877_97, 9.208_498_488_090_177);
        check(&[0.4, 0.4, 0.2], &[0.5, 0.0, 0.5], 3.613_992_025_770_468, 3.045_204_284_140_63);
        // A share as small as the fill makes the fill a millionth of it.
        assert_eq!(filled(&[0.0, 1e-4, 0.9999]), [1e-4 / 1e6, 1e-4, 0.9999]);
    }

    fn feature(edges: Vec<f64>, range: (f64, f64), counts: Vec<u64>) -> FeatureBaseline {
        let scale = Scale { center: 0.0, unit: 1.0 };
        let cells = NumericCells::new(edges, range.0, range.1, scale, Storage::F64);
        let bins = Bins { starts: vec![0] };
        let reference = Counts { cells: counts, ..Counts::default() };
        FeatureBaseline {
            distinct: 100,
            convention: Convention::Evidently,
            ..FeatureBaseline::of_counts("x", Cells::Numeric(cells), bins, reference)
        }
    }

    #[test]
    fn cells_of_any_other_baseline_lose_no_value_and_panic_at_nothing() {
        let max = f64::MAX;
        let cases = [
            (vec![], (0.0, 0.0)),
            (vec![], (-max, max)),
            (vec![0.0], (1.0, 2.0)),
            (vec![-max, max], (-max, max)),
            (vec![1.0, 2.0, 3.0], (1.5, 1.5)),
            (vec![1.0, 1.0f64.next_up()], (-5e-324, 5e-324)),
        ];
        for (edges, range) in cases {
            let n = edges.len() + 1;
            let baseline = feature(edges, range, vec![7; n]);
            for far in [0, 1 << 90, -(1 << 90)] {
                let counts = Counts { cells: vec![5; n], below: 1, above: 1, ..Counts::default() };
                let live = Counts { low_sum: far, high_sum: -far, ..counts };
                let binned = Binned::new(&baseline, &live).counts;
                let values = 5 * u64::try_from(n).unwrap();
                assert_eq!(binned.live.iter().sum::<u64>(), values);
                assert_eq!(binned.reference.iter().sum::<u64>(), baseline.reference.in_cells());
                assert_eq!(
                    score_bins(&baseline, &live).sum(&live.cells).iter().sum::<u64>(),
                    values
                );
            }
        }
    }

    #[test]
    fn an_edge_inside_a_cell_parts_its_values_evenly() {
        let baseline = feature(vec![0.0, 10.0], (0.0, 10.0), vec![0, 100, 0]);
        let Cells::Numeric(cells) = &baseline.cells else { panic!("numeric") };
        let counts = &baseline.reference;
        assert_eq!([0.0, 2.5, 2.54, 10.0].map(|at| part(cells, counts, 1, at)), [0, 25, 25, 100]);
        // Beyond the last edge all values lie at their mean.
        let far = Counts { cells: vec![0, 0, 4], high_sum: 80 << 20, ..Counts::default() };
        assert_eq!([19.9, 20.0].map(|at| part(cells, &far, 2, at)), [0, 4]);
    }
}
