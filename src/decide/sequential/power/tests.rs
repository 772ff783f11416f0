//! What is expected, beside streams that are drawn.

use super::*;
use crate::baseline::Baseline;
use crate::baseline::design_effect::Effects;
use crate::decide::policy::tests::policy;
use crate::decide::shift::tests::feature;
use crate::feature::Kind;
use crate::histogram::{Cells, Counts};

const PER_PANE: usize = 40;

fn rule(feature: &FeatureBaseline, effect: f64) -> Sequential {
    Sequential::new(&Baseline::of(vec![feature.clone()]), &policy(), &[Effects::all(effect)])
        .unwrap()
}

fn power(feature: &FeatureBaseline, shift: Shift, effect: f64, per_pane: f64) -> Power {
    rule(feature, effect).power(feature, 0, shift, (&policy(), per_pane)).unwrap()
}

struct Random(u64);

impl Random {
    /// SplitMix64, above 0 and below 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 + 1e-17
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A pane of drawn records, after the change if there is one.
    fn pane(&mut self, feature: &FeatureBaseline, shift: Option<Shift>) -> Counts {
        let mut counts = Counts::zero(feature.cells.len());
        for _ in 0..PER_PANE {
            match (&feature.cells, shift) {
                (_, Some(Shift::Missing(share))) if self.uniform() < share => counts.null += 1,
                (_, Some(Shift::NewCategory(share))) if self.uniform() < share => {
                    counts.unseen += 1;
                }
                (Cells::Numeric(cells), shift) => {
                    let value = match shift {
                        Some(Shift::Mean(by)) => self.normal() + by,
                        Some(Shift::Spread(factor)) => self.normal() * factor,
                        _ => self.normal(),
                    };
                    counts.cells[cells.cell(value)] += 1;
                    counts.below += u64::from(value < cells.lowest);
                    counts.above += u64::from(value > cells.highest);
                }
                (Cells::Categorical(_), _) => {
                    let total: u64 = feature.reference.cells.iter().sum();
                    let mut at = compare::whole(self.uniform() * total as f64);
                    let cell = feature.reference.cells.iter().position(|&count| {
                        let here = at < count;
                        at = at.saturating_sub(count);
                        here
                    });
                    counts.cells[cell.unwrap()] += 1;
                }
            }
        }
        counts
    }
}

/// Records since the change after which a drawn stream was found to be real.
fn drawn(feature: &FeatureBaseline, shift: Shift, seed: u64) -> f64 {
    let (rule, mut random) = (rule(feature, 1.0), Random(seed));
    let mut state = rule.start();
    for _ in 0..150 {
        rule.push(&mut state, &[Some(&random.pane(feature, None))], 0);
    }
    for pane in 1..2_000 {
        rule.push(&mut state, &[Some(&random.pane(feature, Some(shift)))], 0);
        let found = rule.find(&state, &[(0, 0)], &policy(), 0);
        if found.onsets[0].as_ref().is_some_and(|onset| onset.is_real()) {
            return (pane * PER_PANE) as f64;
        }
    }
    panic!("{shift:?} is never found");
}

#[test]
fn what_is_expected_is_what_drawn_streams_take() {
    let (number, category) = (feature(Kind::Numeric, 48_000), feature(Kind::Categorical, 55_000));
    let cases = [
        (&number, Shift::Mean(0.3)),
        (&number, Shift::Mean(1.0)),
        (&number, Shift::Spread(1.5)),
        (&number, Shift::Missing(0.02)),
        (&category, Shift::NewCategory(0.01)),
    ];
    for (feature, shift) in cases {
        let expected = power(feature, shift, 1.0, PER_PANE as f64).real.unwrap();
        let mut taken: Vec<f64> = (1..=9).map(|seed| drawn(feature, shift, seed)).collect();
        taken.sort_by(f64::total_cmp);
        let ratio = expected / taken[4];
        assert!((0.5..2.0).contains(&ratio), "{shift:?}: {expected} and {taken:?}");
    }
}

#[test]
fn what_is_tolerated_is_never_real_and_what_depends_takes_longer() {
    let number = feature(Kind::Numeric, 48_000);
    assert_eq!(power(&number, Shift::Mean(0.05), 1.0, 50.0).real, None);
    let of = |effect, per_pane| power(&number, Shift::Mean(0.5), effect, per_pane).real.unwrap();
    let (one, four) = (of(1.0, 50.0), of(4.0, 50.0));
    assert!((2.0..8.0).contains(&(four / one)), "{one} {four}");
    // Records are what counts, not panes.
    let dense = of(1.0, 10.0);
    assert!((0.5..2.0).contains(&(dense / one)), "{one} {dense}");
}

#[test]
fn large_is_asked_beside_real() {
    let number = feature(Kind::Numeric, 48_000);
    let of = |shift| power(&number, shift, 1.0, 50.0);
    // PSI of a shift by d of a normal is about d^2.
    let little = of(Shift::Mean(0.3));
    assert!((little.psi - 0.09).abs() < 0.01, "{little:?}");
    assert!(little.real.is_some() && little.warning.is_none() && little.retrain.is_none());
    let much = of(Shift::Mean(1.0));
    assert!(much.psi > 0.8 && much.retrain.unwrap() >= 200.0, "{much:?}");
    assert!(much.retrain.unwrap() >= much.real.unwrap());
    let missing = of(Shift::Missing(0.02));
    assert!(missing.warning.is_some() && missing.retrain.is_none(), "{missing:?}");
}
