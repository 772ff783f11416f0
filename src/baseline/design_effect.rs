//! How many times noisier a stream's shares are than those of independent records.
//!
//! Records depend on each other: users, visits, batches, hours. Measured on counts in panes of event time,
//! in blocks of 1, 2, 4, ... panes: the ratio of their shares' variance to the multinomial's. It grows with
//! the block until the dependence has died out.

use serde::{Deserialize, Serialize};

use crate::codec::{Reader, Truncated, Writer};
use crate::setting::DAY_MS;

/// Scales are powers of two up to this many panes a block.
const WIDEST: usize = 2048;
/// Fewer panes than this tell nothing.
const PANES_MIN: usize = 12;
/// A scale needs at least so many blocks to be measured at all ...
const BLOCKS_MIN: usize = 6;
/// ... and so many to be relied on.
const BLOCKS_GOOD: usize = 12;
/// A rare event's scales need more.
const RARE_BLOCKS_MIN: usize = 20;
/// Columns with no more than this share are too noisy to say anything.
const SHARE_MIN: f64 = 1e-3;
/// The upper quartile of a standard normal: what noise alone adds to the quartile of the cuts.
const QUARTILE: f64 = 0.674;
/// For what was not seen in the baseline.
const SAFETY: f64 = 1.2;
/// Up to here it is taken for none.
const NEARLY_NONE: f64 = 1.1;
/// The same for rare events.
const RARE_NEARLY_NONE: f64 = 1.15;
/// A scale of rare events counts when it is so many standard errors above what independent ones show.
const RARE_ERRORS: f64 = 2.5;
/// Fewer rare events than this say nothing about how they cluster.
const RARE_EVENTS_MIN: f64 = 5.0;
/// What is taken for rare events that are too few, beside a body that depends little, or more.
const RARE_UNKNOWN: (f64, f64) = (1.5, 5.0);
const BODY_DEPENDS: f64 = 1.5;
/// A rise slower than `blocks^0.2` at the widest scales is not extrapolated.
const RISING: f64 = 0.2;

/// How many times noisier each part of a feature's counts is than independent records would make it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    pub body: f64,
    pub missing: f64,
    /// The lowest body bin with what is below it, and the highest with what is above it.
    pub low: f64,
    pub high: f64,
    pub unseen: f64,
}

impl Effects {
    /// The same for everything.
    pub fn all(effect: f64) -> Self {
        Self { body: effect, missing: effect, low: effect, high: effect, unseen: effect }
    }

    pub fn encode(&self, out: &mut Writer) {
        let Self { body, missing, low, high, unseen } = *self;
        [body, missing, low, high, unseen].into_iter().for_each(|effect| out.f64(effect));
    }

    pub fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let mut effect = || input.f64();
        let (body, missing, low) = (effect()?, effect()?, effect()?);
        Ok(Self { body, missing, low, high: effect()?, unseen: effect()? })
    }
}

/// The design effect of one feature as a stream of panes shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DesignEffect {
    /// Length of the panes that it was measured in.
    pub pane_ms: i64,
    pub curve: Vec<Scale>,
    pub effects: Effects,
}

impl DesignEffect {
    /// Measures it on panes of body columns followed by three of rare events: below, above and missing
    /// of a number; nothing, unseen and missing of a category. `None` with too few panes.
    pub fn measure(panes: &[Vec<f64>], pane_ms: i64) -> Option<Self> {
        let n_body = panes.first()?.len().checked_sub(3)?;
        if panes.len() < PANES_MIN {
            return None;
        }
        let bodies: Vec<Vec<f64>> = panes.iter().map(|pane| pane[..n_body].to_vec()).collect();
        let curve = curve(&bodies);
        let horizon = usize::try_from(DAY_MS / pane_ms.max(1)).ok().filter(|&panes| panes > 0);
        let body = pick(&curve, horizon);
        let records: Vec<f64> = panes.iter().map(|pane| pane.iter().sum()).collect();
        let rare = |columns: &[usize]| {
            let events = panes.iter().map(|pane| columns.iter().map(|&column| pane[column]).sum());
            of_rare(&events.collect::<Vec<f64>>(), &records, body)
        };
        let effects = Effects {
            body,
            missing: rare(&[n_body + 2]),
            low: rare(&[0, n_body]),
            high: rare(&[n_body - 1, n_body + 1]),
            unseen: rare(&[n_body + 1]),
        };
        Some(Self { pane_ms, curve, effects })
    }

    /// What was read back can be divided by.
    pub(super) fn is_sound(&self) -> bool {
        let Effects { body, missing, low, high, unseen } = self.effects;
        let effects = [body, missing, low, high, unseen].into_iter();
        self.pane_ms > 0
            && effects.into_iter().all(|effect| effect.is_finite() && effect >= 1.0)
            && self.curve.iter().all(|scale| scale.raw.is_finite())
    }

    /// How noisy a window of that length is: the smoothed curve at its scale.
    pub fn of_window(&self, window_ms: i64) -> f64 {
        at_scale(&self.curve, usize::try_from(window_ms / self.pane_ms.max(1)).unwrap_or(0))
    }
}

/// The design effect of blocks of `panes` panes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    pub panes: usize,
    /// Blocks that held anything.
    pub blocks: usize,
    /// The larger of the mean over all directions and the upper quartile over cuts, less its bias.
    pub raw: f64,
}

/// The design effect by scale. `panes` holds one vector of columns for each pane of event time, in order,
/// empty panes included; columns with a share of at most 0.001 are left out.
///
/// For blocks of shares `q` with `n` records, reference shares `p` over `B` columns and cumulative `F`:
/// the mean of `sum n (q - p)^2 / p / (B - 1)`, and for each cut the mean of `n (F_q - F)^2 / (F (1 - F))`,
/// all times `K / (K - 1)` for `K` blocks.
pub fn curve(panes: &[Vec<f64>]) -> Vec<Scale> {
    let totals = sum(panes.iter());
    let all: f64 = totals.iter().sum();
    let kept: Vec<usize> =
        (0..totals.len()).filter(|&column| totals[column] > SHARE_MIN * all).collect();
    if kept.len() < 2 {
        return Vec::new();
    }
    let panes: Vec<Vec<f64>> =
        panes.iter().map(|pane| kept.iter().map(|&column| pane[column]).collect()).collect();
    let totals = sum(panes.iter());
    let all: f64 = totals.iter().sum();
    let shares: Vec<f64> = totals.iter().map(|total| total / all).collect();
    widths().map_while(|width| scale(&panes, &shares, width)).flatten().collect()
}

fn widths() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |width| Some(width * 2)).take_while(|&width| width <= WIDEST)
}

/// `None` when there are too few blocks; `Some(None)` when too few hold anything.
fn scale(panes: &[Vec<f64>], shares: &[f64], width: usize) -> Option<Option<Scale>> {
    let n_blocks = panes.len() / width;
    if n_blocks < BLOCKS_MIN {
        return None;
    }
    let last = &panes[panes.len() - n_blocks * width..];
    let degrees = (shares.len() - 1).max(1) as f64;
    let cumulative = running(shares);
    let (mut blocks, mut direction) = (0, 0.0);
    let mut cuts = vec![0.0; shares.len() - 1];
    for block in last.chunks(width) {
        let counts = sum(block.iter());
        let n: f64 = counts.iter().sum();
        if n <= 0.0 {
            continue;
        }
        blocks += 1;
        let live: Vec<f64> = counts.iter().map(|count| count / n).collect();
        let spread: f64 = live.iter().zip(shares).map(|(q, p)| (q - p) * (q - p) / p).sum();
        direction += n * spread / degrees;
        for ((cut, live), expected) in cuts.iter_mut().zip(running(&live)).zip(&cumulative) {
            *cut += n * (live - expected) * (live - expected) / (expected * (1.0 - expected));
        }
    }
    if blocks < 2 {
        return Some(None);
    }
    let k = blocks as f64;
    let mean = (k / (k - 1.0)) / k;
    let mut cuts: Vec<f64> = cuts.iter().map(|cut| cut * mean).collect();
    let noise = 1.0 + QUARTILE * (2.0 / k).sqrt();
    let raw = (direction * mean).max(upper_quartile(&mut cuts) / noise);
    Some(Some(Scale { panes: width, blocks, raw }))
}

fn sum<'a>(panes: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    panes.fold(Vec::new(), |mut sums, pane| {
        sums.resize(pane.len(), 0.0);
        sums.iter_mut().zip(pane).for_each(|(sum, count)| *sum += count);
        sums
    })
}

/// Cumulative shares, the last (1) left out.
fn running(shares: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    shares[..shares.len() - 1]
        .iter()
        .map(|share| {
            sum += share;
            sum
        })
        .collect()
}

/// By linear interpolation between order statistics, as NumPy's default.
fn upper_quartile(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = 0.75 * (values.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let below = at as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (at - below as f64) * (values[above] - values[below])
}

/// The one design effect to divide counts by: the curve made non-decreasing, at its widest scale; extended
/// to `horizon` panes (a day) where it is still rising there; with a safety of 1.2 where there is any.
pub fn pick(curve: &[Scale], horizon: Option<usize>) -> f64 {
    let good: Vec<Scale> = curve.iter().copied().filter(|s| s.blocks >= BLOCKS_GOOD).collect();
    let used = if good.is_empty() { &curve[..curve.len().min(1)] } else { &good };
    let (Some(widest), true) = (used.last(), !used.is_empty()) else { return 1.0 };
    let weights: Vec<f64> = used.iter().map(|scale| scale.blocks as f64).collect();
    let raw: Vec<f64> = used.iter().map(|scale| scale.raw).collect();
    let smooth = isotonic(&raw, &weights);
    let last = smooth[smooth.len() - 1];
    let mut effect = last.max(1.0);
    if let Some(horizon) = horizon.filter(|&h| used.len() >= 4 && widest.panes < h && last > 1.5) {
        let (before, back) = (smooth[smooth.len() - 4], used[used.len() - 4].panes);
        let beta = (last / before).log2() / (widest.panes as f64 / back as f64).log2();
        if beta > RISING {
            effect = effect.max(last * (horizon as f64 / widest.panes as f64).powf(beta));
        }
    }
    if effect > NEARLY_NONE { effect * SAFETY } else { effect }
}

/// The smoothed curve at a block of `panes` panes: what the noise of a window of that length is.
pub fn at_scale(curve: &[Scale], panes: usize) -> f64 {
    let weights: Vec<f64> = curve.iter().map(|scale| scale.blocks as f64).collect();
    let raw: Vec<f64> = curve.iter().map(|scale| scale.raw).collect();
    let smooth = isotonic(&raw, &weights);
    let at = curve.iter().rposition(|scale| scale.panes <= panes);
    at.map_or(1.0, |at| smooth[at].max(1.0))
}

/// The non-decreasing sequence nearest to `y` in weighted least squares: pool adjacent violators.
fn isotonic(y: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (&y, &weight) in y.iter().zip(weights) {
        pools.push((y, weight, 1));
        while let [.., (a, wa, na), (b, wb, nb)] = pools[..]
            && a >= b
        {
            pools.truncate(pools.len() - 2);
            pools.push(((a * wa + b * wb) / (wa + wb), wa + wb, na + nb));
        }
    }
    pools.iter().flat_map(|&(y, _, n)| std::iter::repeat_n(y, n)).collect()
}

/// The design effect of a rare event: `events[i]` of `records[i]` in pane `i`. Beside a body whose own is
/// `body`; it stands in where there are too few events to tell.
///
/// The largest over scales of the mean of `(k - n p)^2 / (n p (1 - p))` over `K` blocks, of those scales
/// where it is more than 2.5 standard errors above 1: the largest of a dozen noisy numbers around 1 is
/// some 1.2, and would cost a sixth of all rare events' evidence. Binomial terms have the variance
/// `2 + (1 - 6 p (1 - p)) / (n p (1 - p))`, and the standard error is the root of its mean over `K`.
pub fn of_rare(events: &[f64], records: &[f64], body: f64) -> f64 {
    let (all, n): (f64, f64) = (events.iter().sum(), records.iter().sum());
    if all < RARE_EVENTS_MIN {
        return if body > BODY_DEPENDS { RARE_UNKNOWN.1 } else { RARE_UNKNOWN.0 };
    }
    let rate = all / n;
    let of_width = |width: usize| {
        let n_blocks = events.len() / width;
        let skipped = events.len() - n_blocks * width;
        let blocks = events[skipped..].chunks(width).zip(records[skipped..].chunks(width));
        let blocks: Vec<(f64, f64)> = blocks
            .map(|(k, n)| (k.iter().sum::<f64>(), n.iter().sum::<f64>()))
            .filter(|(_, n)| *n > 0.0)
            .collect();
        if blocks.len() < RARE_BLOCKS_MIN {
            return None;
        }
        let spread = rate * (1.0 - rate);
        let mean = |term: &dyn Fn(f64, f64) -> f64| {
            blocks.iter().map(|&(k, n)| term(k, n)).sum::<f64>() / blocks.len() as f64
        };
        let effect = mean(&|k, n| (k - n * rate) * (k - n * rate) / (n * spread));
        let variance = mean(&|_, n| 2.0 + (1.0 - 6.0 * spread) / (n * spread));
        let noise = RARE_ERRORS * (variance / blocks.len() as f64).sqrt();
        Some(if effect > 1.0 + noise { effect } else { 1.0 })
    };
    let largest = widths().map_while(of_width).fold(1.0, f64::max);
    if largest > RARE_NEARLY_NONE { largest * SAFETY } else { largest }
}

#[expect(clippy::float_cmp, reason = "these are exact")]
#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn golden(section: &str) -> Value {
        let text = include_str!("../../fixtures/golden/evidence.json");
        serde_json::from_str::<Value>(text).unwrap()[section].take()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} {expected}");
    }

    /// The series that the golden vectors describe.
    fn series() -> Vec<Vec<f64>> {
        let pane = |t: u32| {
            let s = f64::from(t / 16 % 2);
            vec![14.0 - 8.0 * s + f64::from(t % 3), 10.0, 6.0 + 8.0 * s + f64::from((t + 1) % 2)]
        };
        (0..192).map(pane).collect()
    }

    #[test]
    fn the_curve_is_the_golden_one() {
        let golden = golden("design_effect");
        let found = curve(&series());
        let expected = golden["curve"].as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        for (scale, expected) in found.iter().zip(expected) {
            assert_eq!(scale.panes as u64, expected["scale"].as_u64().unwrap());
            assert_eq!(scale.blocks as u64, expected["blocks"].as_u64().unwrap());
            close(scale.raw, expected["raw"].as_f64().unwrap());
        }
        let horizons =
            [(None, "horizon_none"), (Some(64), "horizon_64"), (Some(288), "horizon_288")];
        for (horizon, name) in horizons {
            close(pick(&found, horizon), golden["pick"][name].as_f64().unwrap());
        }
        close(at_scale(&found, 9), numbers(&golden["isotonic"])[3]);
    }

    #[test]
    fn the_isotonic_fit_is_the_golden_one() {
        for case in golden("isotonic").as_array().unwrap() {
            let fit = isotonic(&numbers(&case["y"]), &numbers(&case["w"]));
            fit.iter().zip(numbers(&case["out"])).for_each(|(found, out)| close(*found, out));
        }
    }

    /// Records drawn one by one (SplitMix64); with `run`, each is repeated so often.
    fn drawn(panes: usize, a_pane: usize, run: usize) -> Vec<Vec<f64>> {
        let mut state = 1u64;
        let mut draw = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (mixed >> 61) as usize
        };
        let (mut value, mut left) = (0, 0);
        let mut next = || {
            if left == 0 {
                (value, left) = (draw(), run);
            }
            left -= 1;
            value
        };
        let pane = |_| {
            let mut counts = vec![0.0; 8];
            (0..a_pane).for_each(|_| counts[next()] += 1.0);
            counts
        };
        (0..panes).map(pane).collect()
    }

    #[test]
    fn independent_records_have_none_and_repeated_ones_their_number() {
        let independent = pick(&curve(&drawn(2000, 50, 1)), Some(288));
        assert!((1.0..1.4).contains(&independent), "{independent}");
        // Each record stands for twenty: the variance of shares is twenty times as large.
        let repeated = pick(&curve(&drawn(4000, 50, 20)), Some(288)) / SAFETY;
        assert!((15.0..25.0).contains(&repeated), "{repeated}");
    }

    #[test]
    fn what_cannot_be_measured_is_taken_for_something() {
        assert_eq!(curve(&[]), []);
        assert_eq!(curve(&vec![vec![5.0]; 100]), []);
        assert_eq!(pick(&[], Some(288)), 1.0);
        assert_eq!(curve(&vec![vec![1.0, 2.0]; 5]), []);
        assert_eq!(curve(&vec![vec![0.0, 0.0]; 50]), []);
        assert_eq!(of_rare(&[0.0; 50], &[10.0; 50], 1.0), 1.5);
        assert_eq!(of_rare(&[0.0; 50], &[10.0; 50], 3.0), 5.0);
    }

    #[test]
    fn rare_events_that_come_in_bursts_are_dependent() {
        let records = vec![100.0; 1000];
        let bursts: Vec<f64> = (0..1000).map(|t| if t % 50 == 0 { 50.0 } else { 0.0 }).collect();
        assert!(of_rare(&bursts, &records, 1.0) > 20.0);
        let even = vec![1.0; 1000];
        assert_eq!(of_rare(&even, &records, 1.0), 1.0);
    }

    #[test]
    fn independent_rare_events_have_no_effect_and_repeated_ones_their_number() {
        let events =
            |run| -> Vec<f64> { drawn(4000, 20, run).iter().map(|pane| pane[0]).collect() };
        let records = vec![20.0; 4000];
        assert_eq!(of_rare(&events(1), &records, 1.0), 1.0);
        let repeated = of_rare(&events(20), &records, 1.0) / SAFETY;
        assert!((15.0..30.0).contains(&repeated), "{repeated}");
    }
}
