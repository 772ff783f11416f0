//! A change of unit: everything is multiplied by one factor.

use crate::baseline::FeatureBaseline;
use crate::compare;
use crate::decide::fault::AGREE;
use crate::decide::fault::FACTOR;
use crate::decide::fault::share;
use crate::decide::fault::share::Part;
use crate::decide::fault::share::effective;
use crate::histogram::Cells;
use crate::histogram::Counts;
use crate::histogram::NumericCells;

/// Fewer values than this have no standard deviation to speak of.
const VALUES: u64 = 20;
/// Points that a cell's mass is spread over.
const POINTS: u32 = 5;
/// Noise may widen the agreement of mean and standard deviation up to a factor of two, not beyond.
const WIDEST: f64 = std::f64::consts::LN_2;
/// A standard error up to which an agreement within 5 % is a finding by itself.
const SURE: f64 = 0.1;
/// An estimate further than this from a factor of known units is not taken for it.
const NEAR: f64 = 0.25;
/// Factors that people's units differ by, and what they may be.
const NAMED: &[(f64, &str)] = &[
    (24.0, ": hours for days?"),
    (60.0, ": seconds for minutes, or minutes for hours?"),
    (100.0, ": cents for euros, or per cent for shares?"),
    (1000.0, ": thousandths for ones, such as milliseconds for seconds or grams for kilograms?"),
    (1024.0, ": bytes for kilobytes?"),
    (3600.0, ": seconds for hours?"),
    (1e4, ": basis points for ones?"),
    (86_400.0, ": seconds for days?"),
    (1e6, ": millionths for ones, such as microseconds for seconds?"),
    (1_048_576.0, ": bytes for megabytes?"),
    (1e9, ": billionths for ones, such as nanoseconds for seconds?"),
    (1.0 / 24.0, ": days for hours?"),
    (1.0 / 60.0, ": minutes for seconds, or hours for minutes?"),
    (0.01, ": euros for cents, or shares for per cent?"),
    (0.001, ": ones for thousandths, such as seconds for milliseconds or kilograms for grams?"),
    (1.0 / 1024.0, ": kilobytes for bytes?"),
    (1.0 / 3600.0, ": hours for seconds?"),
    (1e-4, ": ones for basis points?"),
    (1.0 / 86_400.0, ": days for seconds?"),
    (1e-6, ": ones for millionths, such as seconds for microseconds?"),
    (1.0 / 1_048_576.0, ": megabytes for bytes?"),
    (1e-9, ": ones for billionths, such as seconds for nanoseconds?"),
];

/// What the factor may be about, for people.
pub(super) fn hint(factor: f64) -> &'static str {
    let found = NAMED.iter().find(|(named, _)| (factor / named).ln().abs() < 1e-9);
    found.map_or("", |(_, hint)| hint)
}

/// The factor that live values are the reference's times, if there is one of at least 5 or at most 1/5.
///
/// Three things are asked, each as far as noise allows: the standard deviations have such a ratio; the
/// means have the same within 5 % (`|mean - f mean_ref| <= f (5 % + 3 se) |mean_ref|`, and 3 standard
/// errors of the mean, so that a reference around zero is no obstacle); and the live bins are at most
/// half as far from the reference's when that is multiplied as they are from the reference itself, which
/// they differ from for certain (`nats`). A factor that no units are known by needs so many values that
/// the agreement is none of chance: a season or growth can have any factor.
pub(super) fn factor(
    feature: &FeatureBaseline,
    live: &Counts,
    design_effect: f64,
    nats: f64,
) -> Option<f64> {
    let Cells::Numeric(cells) = &feature.cells else { return None };
    let (mean, sd) = (feature.mean?, feature.sd.filter(|sd| *sd > 0.0)?);
    let n = live.in_cells();
    if n < VALUES {
        return None;
    }
    let (live_mean, live_sd) = (cells.scale.mean(live)?, cells.scale.sd(live)?);
    let spread = live_sd / sd;
    // Noise may hide half of a factor, not more: most looks end here.
    let least = FACTOR / WIDEST.exp();
    if !spread.is_finite() || (spread < least && spread > least.recip()) || spread <= 0.0 {
        return None;
    }
    let n_e = effective(n, feature.reference.in_cells() as f64, design_effect);
    let points = points(cells, &feature.reference);
    let se_spread = ((kurtosis(&points) - 1.0) / (4.0 * n_e)).sqrt();
    // The mean tells the factor better wherever it is not close to zero.
    let se_mean = sd / mean.abs() / n_e.sqrt();
    let (estimate, se) =
        if se_mean < se_spread { (live_mean / mean, se_mean) } else { (spread, se_spread) };
    let named = named(estimate, se);
    let factor = named.unwrap_or(estimate);
    let slack = match named {
        Some(_) => (AGREE + 3.0 * se_spread).min(WIDEST),
        None if se_spread <= SURE => AGREE + 2.0 * se_spread,
        None => return None,
    };
    let allowed = spread * (mean.abs() * slack + 3.0 * sd / n_e.sqrt());
    if (live_mean - spread * mean).abs() > allowed {
        return None;
    }
    let is_large = factor >= FACTOR || (factor > 0.0 && factor <= FACTOR.recip());
    (is_large && is_explained(feature, cells, live, (&points, factor), (n_e, design_effect, nats)))
        .then_some(factor)
}

/// The factor of known units that an estimate with this standard error (in proportion) may be; a power
/// of ten before others, then the nearest.
fn named(estimate: f64, se: f64) -> Option<f64> {
    let near = (0.005 + 3.0 * se).min(NEAR);
    let distance = |factor: f64| (estimate / factor).ln().abs();
    let decimal = |factor: f64| (factor.log10() - factor.log10().round()).abs() < 1e-9;
    let within = NAMED.iter().map(|(factor, _)| *factor).filter(|&f| distance(f) <= near);
    within.min_by(|&a, &b| decimal(b).cmp(&decimal(a)).then(distance(a).total_cmp(&distance(b))))
}

/// Whether the bins, too, say that the values were multiplied.
fn is_explained(
    feature: &FeatureBaseline,
    cells: &NumericCells,
    live: &Counts,
    (points, factor): (&[(f64, f64)], f64),
    (n_e, design_effect, nats): (f64, f64, f64),
) -> bool {
    let bins = compare::bins(feature, live);
    let all = Part { k: live.below + live.above, n: live.in_cells() };
    // Two gaps at the ends of the reference: what lies beyond it is as rare as two of its values.
    let expected = Part { k: 2, n: feature.reference.in_cells() };
    let outside = share::evidence(all, expected, design_effect);
    let shares = |counts: &[u64]| {
        let all = counts.iter().sum::<u64>().max(1) as f64;
        counts.iter().map(|&count| count as f64 / all).collect::<Vec<f64>>()
    };
    let (reference, live) = (shares(&bins.reference), shares(&bins.live));
    let mut multiplied = vec![0.0; reference.len()];
    for (value, mass) in points {
        let cell = cells.cell(value * factor);
        let bin = feature.bins.starts.partition_point(|&start| start as usize <= cell);
        if let Some(slot) = multiplied.get_mut(bin.saturating_sub(1)) {
            *slot += mass;
        }
    }
    // Half an event in every bin: no bin is impossible.
    let m = feature.reference.in_cells() as f64;
    let all = m + 0.5 * reference.len() as f64;
    let divergence: f64 = live
        .iter()
        .zip(&reference)
        .filter(|(q, _)| **q > 0.0)
        .map(|(q, p)| q * (q / ((p * m + 0.5) / all)).ln())
        .sum();
    // By the method of types each free bin costs at most one more nat at these sizes. Where values leave
    // the reference's range, that says more.
    let certain = n_e * divergence > nats + reference.len() as f64 || outside > nats;
    let apart = |other: &[f64]| -> f64 {
        live.iter().zip(other).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
    };
    certain && apart(&multiplied) <= apart(&reference) / 2.0
}

/// The reference as values with their share: each inner cell is spread evenly, each outer one is its
/// mean.
fn points(cells: &NumericCells, reference: &Counts) -> Vec<(f64, f64)> {
    let all = reference.in_cells().max(1) as f64;
    let last = cells.len() - 1;
    let mut points = Vec::with_capacity(cells.len() * POINTS as usize);
    for (at, &count) in reference.cells.iter().enumerate().filter(|(_, count)| **count > 0) {
        let mass = count as f64 / all;
        let outer = match at {
            0 => cells.scale.to_mean(reference.low_sum, count),
            _ if at == last => cells.scale.to_mean(reference.high_sum, count),
            _ => None,
        };
        match outer {
            Some(value) => points.push((value, mass)),
            None => {
                let (low, high) = (cells.edges[at - 1], cells.edges[at]);
                points.extend((0..POINTS).map(|i| {
                    let part = (f64::from(i) + 0.5) / f64::from(POINTS);
                    (low + part * (high - low), mass / f64::from(POINTS))
                }));
            }
        }
    }
    points
}

/// Fourth moment over the squared second; at least the normal law's 3, as the cells hide the tails.
fn kurtosis(points: &[(f64, f64)]) -> f64 {
    let mean: f64 = points.iter().map(|(value, mass)| value * mass).sum();
    let moment = |power: i32| -> f64 {
        points.iter().map(|(value, mass)| mass * (value - mean).powi(power)).sum()
    };
    let kurtosis = moment(4) / moment(2).powi(2);
    if kurtosis.is_finite() { kurtosis.max(3.0) } else { 3.0 }
}
