//! Scores from ready counts, in CPU time of the thread that computes them:
//!
//! ```text
//! cargo bench --bench compare
//! ```
//!
//! - 30 and 1,000 features against the time that they may take;
//! - a closed pane that enters a window of 288 panes against one of 12;
//! - 30 features against a straightforward twin: the same statistics written from their formulas
//!   with `Vec`s, and a quantile from statrs wherever one is needed;
//! - 30 features against one pass that only adds up the cells: what reading them costs at least.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::f64::consts::LN_2;
use std::hint::black_box;

use driftd::baseline::Baseline;
use driftd::baseline::FeatureBaseline;
use driftd::compare;
use driftd::compare::Statistic;
use driftd::feature::Kind;
use driftd::histogram::Bins;
use driftd::histogram::CategoricalCells;
use driftd::histogram::Cells;
use driftd::histogram::Counts;
use driftd::histogram::NumericCells;
use driftd::histogram::Scale;
use driftd::histogram::Storage;
use driftd::window::ClosedPane;
use driftd::window::Pane;
use driftd::window::Ring;
use statrs::distribution::ChiSquared;
use statrs::distribution::ContinuousCDF;

mod clock;
mod table;

const FEATURES: usize = 30;
const MANY_FEATURES: usize = 1_000;
/// Seconds that they may take.
const MAY_TAKE: f64 = 1e-3;
const MANY_MAY_TAKE: f64 = 50e-3;
/// An hour and a day of panes of 5 minutes.
const WINDOWS: [usize; 2] = [12, 288];
const CELLS: u32 = 240;
/// Every fifth feature is categorical with this many bins.
const CATEGORIES: u32 = 50;
const ROUNDS: usize = 41;

fn main() {
    let (features, live) = (baseline(FEATURES), live(FEATURES));
    check(&features, &live);
    let score = || {
        black_box(compare::evaluate(black_box(&features), black_box(&live), 1.0, 1e-3));
    };
    let (ours, twin) = clock::fastest(ROUNDS, score, || {
        for (feature, live) in features.features.iter().zip(&live) {
            black_box(naive(black_box(feature), black_box(live)));
        }
    });
    let (_, pass) = clock::fastest(ROUNDS, score, || {
        for (feature, live) in features.features.iter().zip(&live) {
            black_box((feature.reference.in_cells(), black_box(live).in_cells()));
        }
    });
    println!("{FEATURES} features, {CELLS} cells, all statistics: {:.1} us", ours * 1e6);
    println!("  one pass over the cells: {:.1} us, ours / pass {:.2}", pass * 1e6, ours / pass);
    row("scores of 30 features", "1 ms", MAY_TAKE / ours, 1.0);
    row("scores of 30 features", "straightforward twin", twin / ours, 1.0);
    many();
    windows();
}

fn row(what: &str, peer: &str, better: f64, reach: f64) {
    table::row("compare", what, peer, better, Some(reach));
}

fn many() {
    let (features, live) = (baseline(MANY_FEATURES), live(MANY_FEATURES));
    let score = || {
        black_box(compare::evaluate(black_box(&features), black_box(&live), 1.0, 1e-3));
    };
    let (first, again) = clock::fastest(ROUNDS, score, score);
    let ours = first.min(again);
    println!("{MANY_FEATURES} features: {:.2} ms", ours * 1e3);
    row("scores of 1,000 features", "50 ms", MANY_MAY_TAKE / ours, 1.0);
}

/// A pane enters a full window and all features are scored: what happens when a pane closes.
fn windows() {
    let features = baseline(FEATURES);
    let mut rings = WINDOWS.map(|panes| {
        let shape = live(FEATURES).iter().map(|counts| counts.cells.len()).collect();
        let mut ring = Ring::new(shape, 1, panes, panes, 1);
        (0..panes).for_each(|_| ring.push(pane()).expect("it is of this shape"));
        ring
    });
    let next = pane();
    let [short, long] = &mut rings;
    let enter = |ring: &mut Ring| {
        ring.push(next.clone()).expect("it is of this shape");
        black_box(compare::evaluate(black_box(&features), ring.live(), 1.0, 1e-3));
    };
    let (short, long) = clock::fastest(ROUNDS, || enter(short), || enter(long));
    println!(
        "a pane enters and 30 features are scored: {:.1} and {:.1} us",
        short * 1e6,
        long * 1e6
    );
    row("a pane enters a window of 288 panes", "a window of 12 panes", short / long, 0.9);
}

fn pane() -> ClosedPane {
    let features = live(FEATURES);
    ClosedPane::new(&Pane { records: 15_000, features, ..Pane::empty(0, &[]) }, true)
}

/// Both must have computed the same thing.
fn check(baseline: &Baseline, live: &[Counts]) {
    let ours = compare::evaluate(baseline, live, 1.0, 1e-3);
    for ((feature, live), ours) in baseline.features.iter().zip(live).zip(&ours) {
        let naive = naive(feature, live);
        for (statistic, value, p_value) in naive {
            let score = ours.get(statistic).expect("ours has what the twin has");
            assert!((score.value - value).abs() < 1e-12, "{statistic} {score:?} {value}");
            if let (Some(ours), Some(naive)) = (score.p_value, p_value) {
                assert!((ours - naive).abs() < 1e-9, "{statistic} {score:?} {naive}");
            }
        }
    }
}

fn baseline(features: usize) -> Baseline {
    Baseline {
        source: "bench".to_owned(),
        rows: 100_000,
        ..Baseline::of((0..features).map(feature).collect())
    }
}

fn is_categorical(i: usize) -> bool {
    i.is_multiple_of(5)
}

fn feature(i: usize) -> FeatureBaseline {
    let (cells, starts) = if is_categorical(i) {
        let categories = (1..CATEGORIES).map(|c| c.to_string()).collect();
        let cells = Cells::Categorical(CategoricalCells::new(categories, vec![1], false));
        (cells, (0..CATEGORIES).collect())
    } else {
        let edges = (1..CELLS).map(f64::from).collect();
        let scale = Scale { center: 120.0, unit: 120.0 };
        let cells = NumericCells::new(edges, 0.0, f64::from(CELLS), scale, Storage::F64);
        let tenth = usize::try_from(CELLS / 10).unwrap_or(1);
        (Cells::Numeric(cells), (0..CELLS).step_by(tenth).collect())
    };
    let reference = Counts { cells: vec![410; cells.len()], ..Counts::default() };
    FeatureBaseline {
        singletons: 3,
        mean: Some(120.0),
        sd: Some(69.0),
        distinct: 1000,
        ..FeatureBaseline::of_counts(format!("feature_{i}"), cells, Bins { starts }, reference)
    }
}

fn live(features: usize) -> Vec<Counts> {
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 40
    };
    let counts = |i: usize| {
        let n = if is_categorical(i) { CATEGORIES } else { CELLS };
        let cells: Vec<u64> = (0..n).map(|_| 40 + next() % 40).collect();
        let sum = i128::from(cells.iter().sum::<u64>()) << 10;
        Counts {
            cells,
            missing: 30,
            below: 1,
            sum,
            low_sum: -1 << 22,
            high_sum: 1 << 26,
            ..Counts::default()
        }
    };
    (0..features).map(counts).collect()
}

type Naive = Vec<(Statistic, f64, Option<f64>)>;

/// From the formulas, one after the other, nothing kept.
fn naive(feature: &FeatureBaseline, live: &Counts) -> Naive {
    let reference = feature.bins.sum(&feature.reference.cells);
    let live_bins = feature.bins.sum(&live.cells);
    let degrees = (reference.len() - 1) as f64;
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let (m, n) = (total(&reference), total(&live_bins));
    let f = 1.0 / n + 1.0 / m;
    let law = || ChiSquared::new(degrees).expect("positive degrees of freedom");
    let p_value = |x: f64| Some(law().sf(x / f));
    let floor = |factor: f64| black_box(factor * law().inverse_cdf(0.999));
    let shares = |counts: &[u64], a: f64| -> Vec<f64> {
        let total = total(counts) + a * counts.len() as f64;
        counts.iter().map(|&c| (c as f64 + a) / total).collect()
    };
    let (p, q) = (shares(&reference, 0.5), shares(&live_bins, 0.5));
    let (raw_p, raw_q) = (shares(&reference, 0.0), shares(&live_bins, 0.0));
    let sum = |p: &[f64], q: &[f64], term: fn(f64, f64) -> f64| -> f64 {
        p.iter().zip(q).map(|(&p, &q)| term(p, q)).sum()
    };
    let psi = sum(&p, &q, |p, q| (q - p) * (q / p).ln());
    let kl = sum(&p, &q, |p, q| p * (p / q).ln());
    let kl_reverse = sum(&p, &q, |p, q| q * (q / p).ln());
    let half = |p: f64, q: f64| p * (2.0 * p / (p + q)).ln() + q * (2.0 * q / (p + q)).ln();
    let js = sum(&raw_p, &raw_q, half) / (2.0 * LN_2);
    let hellinger = (0.5 * sum(&raw_p, &raw_q, |p, q| (p.sqrt() - q.sqrt()).powi(2))).sqrt();
    let variation = 0.5 * sum(&raw_p, &raw_q, |p, q| (p - q).abs());
    let chi_square: f64 = reference
        .iter()
        .zip(&live_bins)
        .map(|(&r, &c)| {
            let pool = (r + c) as f64 / (m + n);
            (c as f64 / n - r as f64 / m).powi(2) / pool / f
        })
        .sum();
    floor(f);
    floor(f / 2.0);
    floor(f / 2.0);
    floor(f / (8.0 * LN_2));
    floor(f / (8.0 * LN_2));
    floor(f / 8.0);
    let mut out = vec![
        (Statistic::Psi, psi, p_value(psi)),
        (Statistic::Kl, kl, p_value(2.0 * kl)),
        (Statistic::KlReverse, kl_reverse, p_value(2.0 * kl_reverse)),
        (Statistic::Js, js, p_value(8.0 * LN_2 * js)),
        (Statistic::JsDistance, js.sqrt(), p_value(8.0 * LN_2 * js)),
        (Statistic::Hellinger, hellinger, None),
        (Statistic::TotalVariation, variation, None),
        (Statistic::ChiSquare, chi_square, Some(law().sf(chi_square))),
    ];
    if feature.kind == Kind::Numeric {
        let (p, q) = (shares(&feature.reference.cells, 0.0), shares(&live.cells, 0.0));
        let (mut below_p, mut below_q, mut distance) = (0.0, 0.0, 0.0f64);
        for (p, q) in p.iter().zip(&q) {
            below_p += p;
            below_q += q;
            distance = distance.max(f64::abs(below_p - below_q));
        }
        out.push((Statistic::Ks, distance, None));
    }
    out
}
