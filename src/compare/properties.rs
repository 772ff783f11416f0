//! What holds for any counts: no score is negative, none is NaN, a side scores 0 against itself.

use proptest::prelude::*;

use crate::baseline::Convention;
use crate::baseline::FeatureBaseline;
use crate::compare::FLOOR_ALPHA;
use crate::compare::Input;
use crate::compare::Scores;
use crate::compare::Statistic;
use crate::compare::WINDOW_ALPHA;
use crate::compare::scores;
use crate::feature::Kind;
use crate::histogram::Bins;
use crate::histogram::CategoricalCells;
use crate::histogram::Cells;
use crate::histogram::Counts;
use crate::histogram::NumericCells;
use crate::histogram::Scale;
use crate::histogram::Storage;

const CELLS: usize = 12;

/// Small, empty and huge cells; all of them together fit a `u64`.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0u64), 3 => 0..20u64, 3 => 0..100_000u64, 1 => 0..1u64 << 56]
}

fn counts() -> impl Strategy<Value = Counts> {
    let cells = proptest::collection::vec(count(), CELLS);
    (cells, proptest::collection::vec(count(), 7), proptest::collection::vec(-1e9..1e9f64, 4))
        .prop_map(|(cells, small, means)| {
            let wide = |mean: f64, n: u64| {
                let steps: i64 = format!("{:.0}", mean * 1e6).parse().unwrap();
                i128::from(steps) * i128::from(n)
            };
            let n: u64 = cells.iter().sum();
            Counts {
                missing: small[0],
                null: small[1],
                nan: small[2],
                type_error: small[3],
                pos_inf: small[4],
                unseen: small[5],
                below: small[6].min(cells[0]),
                above: small[6].min(cells[CELLS - 1]),
                sum: wide(means[0], n),
                low_sum: wide(means[1], cells[0]),
                high_sum: wide(means[2], cells[CELLS - 1]),
                sum_squares: 0,
                neg_inf: 0,
                cells,
            }
        })
}

/// Bins of any division of the cells.
fn bins() -> impl Strategy<Value = Bins> {
    proptest::collection::vec(any::<bool>(), CELLS).prop_map(|cuts| {
        let starts = cuts.iter().zip(0u32..).filter(|&(&cut, k)| cut || k == 0);
        Bins { starts: starts.map(|(_, k)| k).collect() }
    })
}

fn feature(reference: Counts, bins: Bins, kind: Kind) -> FeatureBaseline {
    let cells = match kind {
        Kind::Numeric => {
            let edges = (1..CELLS).map(|edge| edge as f64 * 1e3).collect();
            let scale = Scale { center: 6e3, unit: 1e3 };
            Cells::Numeric(NumericCells::new(edges, 0.0, 12e3, scale, Storage::F64))
        }
        Kind::Categorical => {
            let categories = (1..CELLS).map(|i| format!("c{i}")).collect();
            Cells::Categorical(CategoricalCells::new(categories, vec![7], false))
        }
    };
    FeatureBaseline {
        singletons: reference.cells[CELLS - 1].min(9),
        sd: Some(700.0),
        ..FeatureBaseline::of_counts("x", cells, bins, reference)
    }
}

fn score(feature: &FeatureBaseline, live: &Counts, design_effect: f64) -> Scores {
    scores(&Input { baseline: feature, live, design_effect, alpha: FLOOR_ALPHA })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Numeric), Just(Kind::Categorical)]
}

/// A convention, and so many distinct values that it takes equal bins or a bin for each.
fn convention() -> impl Strategy<Value = (Convention, u64)> {
    let evidently = |distinct| Just((Convention::Evidently, distinct));
    prop_oneof![Just((Convention::Driftd, 0)), evidently(5), evidently(100)]
}

/// The reference has no unseen category and nothing out of its own range.
fn reference() -> impl Strategy<Value = Counts> {
    counts().prop_map(|counts| Counts { unseen: 0, below: 0, above: 0, ..counts })
}

const NEVER_NEGATIVE: [Statistic; 12] = [
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
];

const SYMMETRIC: [Statistic; 9] = [
    Statistic::Psi,
    Statistic::Js,
    Statistic::JsDistance,
    Statistic::Hellinger,
    Statistic::TotalVariation,
    Statistic::LInfinity,
    Statistic::Ks,
    Statistic::ChiSquare,
    Statistic::WassersteinRaw,
];

/// Those of raw shares: more of the same is the same.
const SCALE_FREE: [Statistic; 8] = [
    Statistic::Js,
    Statistic::JsDistance,
    Statistic::Hellinger,
    Statistic::TotalVariation,
    Statistic::LInfinity,
    Statistic::Ks,
    Statistic::WassersteinRaw,
    Statistic::MeanShift,
];

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

/// A root of nearly nothing magnifies what rounding left of it, so it is squared again.
fn same(statistic: Statistic, a: f64, b: f64) -> bool {
    if statistic == Statistic::JsDistance { near(a * a, b * b) } else { near(a, b) }
}

proptest! {
    #[test]
    fn scores_are_numbers_in_their_range(
        reference in reference(), live in counts(), bins in bins(), kind in kind(),
        (convention, distinct) in convention(),
        design_effect in prop_oneof![Just(1.0), 0.0..1e6f64, Just(f64::NAN)],
        alpha in prop_oneof![Just(FLOOR_ALPHA), Just(WINDOW_ALPHA)],
    ) {
        let feature =
            FeatureBaseline { convention, distinct, ..feature(reference, bins, kind) };
        let scores = scores(&Input { baseline: &feature, live: &live, design_effect, alpha });
        for (statistic, score) in scores.iter() {
            prop_assert!(score.value.is_finite(), "{statistic} {score:?}");
            let p_value = score.p_value.unwrap_or(0.5);
            prop_assert!((0.0..=1.0).contains(&p_value), "{statistic} {score:?}");
            let floor = score.noise_floor.unwrap_or(0.0);
            prop_assert!(floor.is_finite() && floor >= 0.0, "{statistic} {score:?}");
            if NEVER_NEGATIVE.contains(&statistic) {
                prop_assert!(score.value >= 0.0, "{statistic} {score:?}");
            }
            if statistic.is_rate() {
                prop_assert!((-1.0..=1.0).contains(&score.value), "{statistic} {score:?}");
            }
        }
        let counted = live.in_cells() > 0 && feature.reference.in_cells() > 0;
        // What nobody has seen is a bin of its own there.
        let unseen = convention == Convention::Evidently
            && (kind, feature.reference.in_cells() > 0) == (Kind::Categorical, true)
            && live.unseen > 0;
        prop_assert_eq!(scores.get(Statistic::Psi).is_some(), counted || unseen);
        prop_assert_eq!(scores.get(Statistic::Ks).is_some(), counted && kind == Kind::Numeric);
    }

    #[test]
    fn a_side_against_itself_is_exactly_zero(
        counts in reference(), bins in bins(), kind in kind(),
        (convention, distinct) in convention(),
    ) {
        let feature =
            FeatureBaseline { convention, distinct, ..feature(counts.clone(), bins, kind) };
        for (statistic, score) in score(&feature, &counts, 1.0).iter() {
            match statistic {
                // Less what a finite reference lets one expect beyond it.
                Statistic::Unseen | Statistic::OutOfRange => prop_assert!(score.value <= 1e-15),
                _ => prop_assert_eq!(score.value.abs().to_bits(), 0, "{}", statistic),
            }
        }
    }

    #[test]
    fn symmetric_scores_are_symmetric(
        one in reference(), other in reference(), bins in bins(), kind in kind(),
    ) {
        let forth = score(&feature(one.clone(), bins.clone(), kind), &other, 1.0);
        let back = score(&feature(other, bins, kind), &one, 1.0);
        for statistic in SYMMETRIC {
            let (forth, back) = (forth.get(statistic), back.get(statistic));
            prop_assert_eq!(forth.is_some(), back.is_some());
            if let (Some(forth), Some(back)) = (forth, back) {
                prop_assert!(same(statistic, forth.value, back.value), "{statistic} {forth:?} {back:?}");
            }
        }
        let pair = |scores: &Scores, s| scores.get(s).map(|score| score.value);
        if let (Some(kl), Some(reverse)) = (pair(&forth, Statistic::Kl), pair(&back, Statistic::KlReverse)) {
            prop_assert!(near(kl, reverse));
            let both = kl + pair(&forth, Statistic::KlReverse).unwrap();
            prop_assert!(near(both, pair(&forth, Statistic::Psi).unwrap()));
        }
    }

    #[test]
    fn the_order_of_merging_does_not_matter(
        reference in reference(), panes in proptest::collection::vec(counts(), 1..5), bins in bins(), kind in kind(),
    ) {
        let feature = feature(reference, bins, kind);
        let sum = |panes: &mut dyn Iterator<Item = &Counts>| {
            let mut sum = Counts::zero(CELLS);
            panes.for_each(|pane| sum.add(pane));
            sum
        };
        let forth = score(&feature, &sum(&mut panes.iter()), 1.0);
        let back = score(&feature, &sum(&mut panes.iter().rev()), 1.0);
        prop_assert_eq!(forth, back);
    }

    #[test]
    fn more_of_the_same_scores_the_same(
        reference in reference(), live in counts(), bins in bins(), kind in kind(), times in 2..9u64,
    ) {
        let feature = feature(reference, bins, kind);
        let mut more = live.clone();
        (1..times).for_each(|_| more.add(&live));
        let (once, often) = (score(&feature, &live, 1.0), score(&feature, &more, 1.0));
        for statistic in SCALE_FREE {
            let (once, often) = (once.get(statistic), often.get(statistic));
            prop_assert_eq!(once.is_some(), often.is_some());
            if let (Some(once), Some(often)) = (once, often) {
                prop_assert!(same(statistic, once.value, often.value), "{statistic} {once:?} {often:?}");
            }
        }
    }

    #[test]
    fn more_noise_never_makes_a_score_more_certain(
        reference in reference(), live in counts(), bins in bins(), kind in kind(), phi in 1.0..50.0f64,
    ) {
        let feature = feature(reference, bins, kind);
        let (quiet, noisy) = (score(&feature, &live, 1.0), score(&feature, &live, phi));
        for (statistic, quiet) in quiet.iter().filter(|(statistic, _)| !statistic.is_rate()) {
            let noisy = noisy.get(statistic).unwrap();
            prop_assert_eq!(quiet.value.to_bits(), noisy.value.to_bits());
            prop_assert!(noisy.noise_floor >= quiet.noise_floor);
            if let (Some(quiet), Some(noisy)) = (quiet.p_value, noisy.p_value) {
                prop_assert!(noisy >= quiet * (1.0 - 1e-9), "{statistic} {quiet} {noisy}");
            }
        }
    }
}

#[test]
fn nothing_live_has_no_score() {
    let reference = Counts { cells: vec![9; CELLS], ..Counts::default() };
    for kind in [Kind::Numeric, Kind::Categorical] {
        let feature = feature(reference.clone(), Bins { starts: vec![0, 6] }, kind);
        assert_eq!(score(&feature, &Counts::zero(CELLS), 1.0), Scores::default());
    }
}

#[test]
fn all_missing_leaves_only_the_rates() {
    let reference = Counts { cells: vec![9; CELLS], ..Counts::default() };
    let feature = feature(reference, Bins { starts: vec![0, 6] }, Kind::Numeric);
    let live = Counts { null: 500, ..Counts::zero(CELLS) };
    let scores = score(&feature, &live, 1.0);
    assert_eq!(
        scores.iter().map(|(s, _)| s).collect::<Vec<_>>(),
        [Statistic::Missing, Statistic::TypeError]
    );
    let missing = scores.get(Statistic::Missing).unwrap();
    assert!((missing.value - 1.0).abs() < 1e-15 && missing.p_value.unwrap() < 1e-80);
}

#[test]
fn a_constant_has_no_p_value_and_anything_else_is_out_of_range() {
    let mut reference = Counts::zero(CELLS);
    reference.cells[5] = 10_000;
    let mut feature = feature(reference, Bins { starts: vec![0] }, Kind::Numeric);
    feature.sd = Some(0.0);
    let mut live = Counts::zero(CELLS);
    live.cells[5] = 450;
    live.cells[CELLS - 1] = 50;
    live.above = 50;
    let scores = score(&feature, &live, 1.0);
    let psi = scores.get(Statistic::Psi).unwrap();
    assert!(psi.value.abs() < f64::EPSILON && psi.p_value.is_none());
    assert!(scores.get(Statistic::Wasserstein).is_none());
    let outside = scores.get(Statistic::OutOfRange).unwrap();
    assert!((outside.value - 0.1).abs() < 1e-3 && outside.p_value.unwrap() < 1e-50);
}

#[test]
fn names_are_read_back() {
    for statistic in Statistic::ALL {
        assert_eq!(statistic.as_str().parse(), Ok(statistic));
        assert_eq!(serde_json::to_value(statistic).unwrap(), statistic.as_str());
        assert_eq!(Statistic::ALL[statistic as usize], statistic);
    }
    let error = "psl".parse::<Statistic>().unwrap_err().to_string();
    assert!(error.starts_with("unknown statistic `psl`; one of psi, kl, "), "{error}");
}
