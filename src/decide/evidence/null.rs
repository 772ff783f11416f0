//! What one feature is like without drift, and the evidence of counts against it.

use libm::log;

use crate::baseline::design_effect::Effects;
use crate::decide::evidence::lean::Leans;
use crate::decide::evidence::mixture::{Body, Rate, log_sum_exp};

/// What the leaning laws weigh; the other components share the rest.
const LEAN: f64 = 0.25;
/// Weights of the other components of one feature's evidence, with two tails; they sum to 1. Categories have
/// one tail, what was never seen, which has the weight of all three.
const BODY: f64 = 0.5;
const MISSING: f64 = 0.15;
const TAIL: f64 = 0.1;
const OUTSIDE: f64 = 0.15;
/// Added to each body column's reference count.
const BODY_PRIOR: f64 = 0.5;
/// Added to each of the last three: a reference count of 0 must not make the first event infinitely
/// surprising.
const RARE_PRIOR: f64 = 2.0;
/// The columns behind the body: below, above, missing for numbers; none, unseen, missing for categories.
pub const RARE: usize = 3;

/// What the columns behind the body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Numeric,
    Categorical,
}

/// The evidence of counts in natural logarithms, by component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Components {
    /// Of a change in a simple way: a number that has moved or spread as a whole, an atom or a category that
    /// takes or gives. `None` where there is no such thing.
    pub lean: Option<f64>,
    pub body: f64,
    pub missing: f64,
    /// Of the lowest and the highest bin of a number, and what lies beyond.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub outside: f64,
}

impl Components {
    /// `ln` of the weighted mean of the components' e-values.
    pub fn total(&self) -> f64 {
        match self.lean {
            Some(lean) => log_sum_exp(&[lean + log(LEAN), self.without_lean() + log(1.0 - LEAN)]),
            None => self.without_lean(),
        }
    }

    /// The same without the leaning laws.
    pub fn without_lean(&self) -> f64 {
        let tail = |tail: Option<f64>| tail.unwrap_or(self.outside) + log(TAIL);
        log_sum_exp(&[
            self.body + log(BODY),
            self.missing + log(MISSING),
            tail(self.low),
            tail(self.high),
            self.outside + log(OUTSIDE),
        ])
    }
}

/// The null of one feature: "live is within the tolerance of the reference".
#[derive(Clone, Debug)]
pub struct Null {
    shape: Shape,
    effects: Effects,
    /// Reference records, those without a value included.
    m: f64,
    body: Body,
    leans: Leans,
    missing: Rate,
    low: Rate,
    high: Rate,
    outside: Rate,
}

impl Null {
    /// `reference` holds the reference's counts: body columns, then the three of `Shape`. `singletons` is
    /// how many of its categories it has once: by Good and Turing, so many are expected unseen.
    /// `tolerance` is the PSI up to which there is no drift; near the reference it is twice the divergence.
    pub fn new(
        shape: Shape,
        reference: &[f64],
        singletons: f64,
        tolerance: f64,
        effects: Effects,
    ) -> Self {
        let delta = tolerance / 2.0;
        let n_body = reference.len() - RARE;
        let unseen = n_body + 1;
        let prior = |column: usize| match shape {
            _ if column < n_body => BODY_PRIOR,
            Shape::Categorical if column == unseen => RARE_PRIOR.max(singletons),
            Shape::Categorical | Shape::Numeric => RARE_PRIOR,
        };
        let shares: Vec<f64> =
            reference.iter().enumerate().map(|(column, count)| count + prior(column)).collect();
        let total: f64 = shares.iter().sum();
        let shares: Vec<f64> = shares.iter().map(|share| share / total).collect();
        let in_body: f64 = shares[..n_body].iter().sum();
        let rate = |expected: f64| Rate::new(expected, delta);
        let body: Vec<f64> = shares[..n_body].iter().map(|share| share / in_body).collect();
        let (below, above) = (shares[n_body], shares[n_body + 1]);
        Self {
            shape,
            effects,
            m: reference.iter().sum::<f64>().max(1.0),
            leans: match shape {
                Shape::Numeric => Leans::of_number(&body),
                Shape::Categorical => Leans::of_categories(&body),
            },
            body: Body::new(body, delta),
            missing: rate(shares[n_body + 2]),
            low: rate(shares[0] + below),
            high: rate(shares[n_body - 1] + above),
            outside: rate(match shape {
                Shape::Numeric => below + above,
                Shape::Categorical => shares[unseen],
            }),
        }
    }

    /// The evidence of the counts of one suffix; columns as in `new`.
    ///
    /// Counts are divided by the design effect and by `1 + n / m`: the reference has an error, too.
    pub fn components(&self, counts: &[f64]) -> Components {
        let n_body = counts.len() - RARE;
        let n: f64 = counts.iter().sum();
        let reference_error = 1.0 + n / self.m;
        let rate = |rate: &Rate, events: f64, effect: f64| {
            let discount = effect * reference_error;
            rate.log_e(events / discount, n / discount)
        };
        let discount = self.effects.body * reference_error;
        let body: Vec<f64> = counts[..n_body].iter().map(|count| count / discount).collect();
        let (first, second) = (counts[n_body], counts[n_body + 1]);
        let effects = self.effects;
        let (low, high, outside) = match self.shape {
            Shape::Numeric => (
                Some(rate(&self.low, counts[0] + first, effects.low)),
                Some(rate(&self.high, counts[n_body - 1] + second, effects.high)),
                rate(&self.outside, first + second, effects.low.max(effects.high)),
            ),
            Shape::Categorical => (None, None, rate(&self.outside, second, effects.unseen)),
        };
        let lean = self.leans.log_e(&body);
        let (body, lean) = self.body.log_e(&body, lean);
        Components {
            lean,
            body,
            missing: rate(&self.missing, counts[n_body + 2], effects.missing),
            low,
            high,
            outside,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;
    use crate::decide::evidence::golden;

    pub(crate) fn null_of(golden: &Value) -> Null {
        let number = |key: &str| golden[key].as_f64().unwrap();
        let tails = golden::numbers(&golden["design_effect_tails"]);
        let shape = if golden["kind"] == "numeric" { Shape::Numeric } else { Shape::Categorical };
        let effects = Effects {
            body: number("design_effect_body"),
            missing: number("design_effect_missing"),
            low: tails[0],
            high: tails[1],
            unseen: tails[1],
        };
        let reference = golden::numbers(&golden["reference_counts"]);
        Null::new(shape, &reference, 0.0, 2.0 * number("delta"), effects)
    }

    /// What a component that a feature does not have is in the golden values.
    const NONE: f64 = -50.0;

    /// The total of the golden values, which have no leaning laws and leave a category's weight of tails idle.
    pub(crate) fn golden_total(components: &Components) -> f64 {
        let tails = [components.low, components.high].map(|tail| Some(tail.unwrap_or(NONE)));
        Components { low: tails[0], high: tails[1], ..*components }.without_lean()
    }

    #[test]
    fn the_components_are_the_golden_ones() {
        for feature in golden::section("feature").as_array().unwrap() {
            let null = null_of(feature);
            for case in feature["cases"].as_array().unwrap() {
                let found = null.components(&golden::numbers(&case["counts"]));
                let parts = [
                    ("body", found.body),
                    ("missing", found.missing),
                    ("low_tail", found.low.unwrap_or(NONE)),
                    ("high_tail", found.high.unwrap_or(NONE)),
                    ("outside", found.outside),
                    ("total", golden_total(&found)),
                ];
                for (name, value) in parts {
                    let expected = case["outputs"][name].as_f64().unwrap();
                    golden::close(value, expected, &format!("{} {name}", case["name"]));
                }
            }
        }
    }

    #[test]
    fn the_documented_example_is_what_is_computed() {
        let page = include_str!("../../../docs/deciding.md");
        let example =
            page.split("```json worked-example").nth(1).unwrap().split("```").next().unwrap();
        let example: Value = serde_json::from_str(example).unwrap();
        let effects = Effects { body: 2.0, missing: 1.5, low: 1.2, high: 1.8, unseen: 1.8 };
        let reference = golden::numbers(&example["reference"]);
        let null = Null::new(Shape::Numeric, &reference, 0.0, 0.01, effects);
        let found = null.components(&golden::numbers(&example["live"]));
        let Components { lean, body, missing, low, high, outside } = found;
        let names = ["lean", "body", "missing", "low", "high", "outside", "total"];
        let [lean, low, high] = [lean, low, high].map(Option::unwrap);
        let values = [lean, body, missing, low, high, outside, found.total()];
        for (name, value) in names.into_iter().zip(values) {
            let expected = example["evidence"][name].as_f64().unwrap();
            assert!((value - expected).abs() < 5e-4, "{name}: {value}");
        }
    }

    /// One category in a hundred is new: no other component speaks, and none takes weight without a use.
    #[test]
    fn what_was_never_seen_has_the_weight_of_a_category_s_tails() {
        let reference = [40_000.0, 30_000.0, 20_000.0, 10_000.0, 0.0, 0.0, 0.0];
        let null = Null::new(Shape::Categorical, &reference, 0.0, 0.01, Effects::all(1.0));
        let found = null.components(&[396.0, 297.0, 198.0, 99.0, 0.0, 10.0, 0.0]);
        let weight = (1.0 - LEAN) * (2.0 * TAIL + OUTSIDE);
        assert!((found.total() - found.outside - log(weight)).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn a_larger_design_effect_never_makes_more_of_the_same_counts() {
        let reference = [100.0, 400.0, 400.0, 90.0, 0.0, 0.0, 10.0];
        let live = [20.0, 120.0, 200.0, 150.0, 0.0, 3.0, 7.0];
        let evidence = |effect| {
            let effects = Effects::all(effect);
            Null::new(Shape::Numeric, &reference, 0.0, 0.01, effects).components(&live).total()
        };
        assert!(evidence(1.0) > evidence(2.0) && evidence(2.0) > evidence(20.0));
    }

    /// The fifth of fifty categories is no more: what docs/deciding.md says of the laws of one category.
    #[test]
    fn a_category_that_vanishes_among_fifty_is_real_after_a_sixth_of_the_records() {
        let all: f64 = (1..=50u32).map(|rank| 1.0 / f64::from(rank)).sum();
        let shares: Vec<f64> = (1..=50u32).map(|rank| 1.0 / f64::from(rank) / all).collect();
        let counts = |n: f64, gone: Option<usize>| -> Vec<f64> {
            let left = gone.map_or(1.0, |gone| 1.0 - shares[gone]);
            let share =
                |(at, share): (usize, &f64)| if Some(at) == gone { 0.0 } else { n * share / left };
            shares.iter().enumerate().map(share).chain([0.0; RARE]).collect()
        };
        let reference = counts(100_800.0, None);
        let null = Null::new(Shape::Categorical, &reference, 0.0, 0.01, Effects::all(1.0));
        let records = |evidence: fn(&Components) -> f64| -> u32 {
            let enough =
                |n: &u32| evidence(&null.components(&counts(f64::from(*n), Some(4)))) > 16.0;
            (1..1000).map(|tens| tens * 10).find(enough).unwrap()
        };
        let (with, without) = (records(Components::total), records(Components::without_lean));
        assert!((5 * with..7 * with).contains(&without), "{with} {without}");
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn one_body_column_has_no_evidence_of_its_own() {
        let null =
            Null::new(Shape::Categorical, &[500.0, 0.0, 0.0, 0.0], 0.0, 0.01, Effects::all(1.0));
        assert_eq!(null.components(&[900.0, 0.0, 0.0, 0.0]).body, 0.0);
        assert!(null.components(&[400.0, 0.0, 500.0, 0.0]).total() > 100.0);
    }
}
