//! Drift of what comes out of the model, its answers and how sure it is of them: one plain test a window,
//! which warns and never retrains.

use serde::{Serialize, Serializer};

use crate::baseline::FeatureBaseline;
use crate::codec::{Reader, Truncated, Writer};
use crate::compare::{self, FLOOR_ALPHA, Input, Statistic};
use crate::decide::policy::Policy;
use crate::decide::time::{as_rfc3339, rfc3339};
use crate::feature::{Kind, Role};
use crate::histogram::Counts;

/// Cells that a first window has, at the most.
const CELLS_MOST: usize = 512;

/// What the last test said. Windows of the test do not overlap: each ends where the time since the epoch
/// is a whole number of windows, so no record is looked at twice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputDrift {
    /// Which of the model's outputs it is.
    #[serde(skip)]
    pub role: Role,
    pub feature: String,
    /// `ks` of a number, `chi_square` of categories.
    pub statistic: Statistic,
    pub score: f64,
    /// Of `ks`; chi-square has its p-value in place of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_floor: Option<f64>,
    /// Of `n / phi` independent records.
    pub p_value: f64,
    /// `prediction_drift_p_value`, and the like.
    pub threshold: f64,
    pub records: u64,
    /// End of the window, ms since the epoch; RFC 3339 in JSON.
    #[serde(rename = "window_end", serialize_with = "as_rfc3339::serialize")]
    pub end_ms: i64,
    pub drifted: bool,
    /// Without this output in the baseline: end of the window that it was compared with, the first.
    #[serde(rename = "reference_window_end", skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "time")]
    pub reference_end_ms: Option<i64>,
}

/// What a model remembers of one of its outputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// What the last test said.
    pub last: Option<OutputDrift>,
    /// What it is compared with, where the baseline has none.
    pub first: Option<FirstWindow>,
}

impl Output {
    pub fn encode(&self, out: &mut Writer) {
        out.u64(u64::from(self.last.is_some()));
        self.last.iter().for_each(|last| last.encode(out));
        out.u64(u64::from(self.first.is_some()));
        self.first.iter().for_each(|first| first.encode(out));
    }

    pub fn decode(role: Role, input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let has_last = input.u64()? != 0;
        let last = has_last.then(|| OutputDrift::decode(role, input)).transpose()?;
        let has_first = input.u64()? != 0;
        let first = has_first.then(|| FirstWindow::decode(input)).transpose()?;
        Ok(Self { last, first })
    }
}

#[expect(clippy::ref_option, reason = "serde hands out a reference")]
fn time<S: Serializer>(ms: &Option<i64>, out: S) -> Result<S::Ok, S::Error> {
    ms.map(rfc3339).serialize(out)
}

/// The first full window of an output that the baseline has not: what later ones are compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstWindow {
    pub end_ms: i64,
    pub counts: Vec<u64>,
}

impl FirstWindow {
    /// The feature with that window as its reference.
    pub fn referenced(&self, feature: &FeatureBaseline) -> FeatureBaseline {
        FeatureBaseline {
            unusable: None,
            reference: Counts { cells: self.counts.clone(), ..Counts::default() },
            ..feature.clone()
        }
    }

    pub fn encode(&self, out: &mut Writer) {
        out.i64(self.end_ms);
        out.u64(self.counts.len() as u64);
        self.counts.iter().for_each(|&count| out.u64(count));
    }

    pub fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let end_ms = input.i64()?;
        let n = input.len_at_most(CELLS_MOST)?;
        let counts = (0..n).map(|_| input.u64()).collect::<Result<_, _>>()?;
        Ok(Self { end_ms, counts })
    }
}

/// Whether a window for the test ends there.
pub fn is_due(policy: &Policy, end_ms: i64) -> bool {
    let panes = i64::try_from(policy.window_panes).unwrap_or(i64::MAX);
    !policy.output_p_values.is_empty()
        && end_ms.rem_euclid(panes.saturating_mul(policy.pane_ms).max(1)) == 0
}

/// Tests the values of a whole window against the reference, which within a season is the mixture of the
/// slots that the window covers: drifted is a p-value under the user's and a score above what noise
/// alone exceeds once in a thousand windows. `None` with fewer than `min_records` values, or without a
/// threshold.
///
/// # Panics
/// If one of them was counted into other cells than the feature's.
pub fn test(
    feature: &FeatureBaseline,
    (reference, live): (&Counts, &Counts),
    policy: &Policy,
    (design_effect, end_ms): (f64, i64),
) -> Option<OutputDrift> {
    let threshold = *policy.output_p_values.get(&feature.role)?;
    let records = live.in_cells();
    if feature.unusable.is_some() || records < policy.min_records {
        return None;
    }
    let statistic = match feature.kind {
        Kind::Numeric => Statistic::Ks,
        Kind::Categorical => Statistic::ChiSquare,
    };
    let input = Input { baseline: feature, live, design_effect, alpha: FLOOR_ALPHA };
    let score = compare::scores_against(&input, reference).get(statistic)?;
    let p_value = score.p_value?;
    let above_floor = score.noise_floor.map_or(p_value < FLOOR_ALPHA, |floor| score.value > floor);
    Some(OutputDrift {
        role: feature.role,
        feature: feature.name.clone(),
        statistic,
        score: score.value,
        noise_floor: score.noise_floor,
        p_value,
        threshold,
        records,
        end_ms,
        drifted: p_value < threshold && above_floor,
        reference_end_ms: None,
    })
}

impl OutputDrift {
    /// For people, with its numbers.
    pub fn sentence(&self) -> String {
        let Self { feature, statistic, score, p_value, threshold, records, .. } = self;
        let output = self.role.as_str();
        let has = if self.drifted { "has drifted" } else { "has not drifted" };
        let floor =
            self.noise_floor.map(|floor| format!(", noise floor {floor:.4}")).unwrap_or_default();
        let end = rfc3339(self.end_ms);
        let first = self.reference_end_ms.map(|end| {
            format!(
                ", compared with its first window, to {}, as the baseline has none",
                rfc3339(end)
            )
        });
        format!(
            "the {output} {feature} {has}: {statistic} {score:.4}{floor}, p {p_value:.1e} against \
             {threshold}, over {records} records of the window to {end}{}",
            first.unwrap_or_default()
        )
    }

    pub fn encode(&self, out: &mut Writer) {
        out.u64(self.statistic as u64);
        out.u64(u64::from(self.noise_floor.is_some()));
        for number in [self.score, self.noise_floor.unwrap_or(0.0), self.p_value, self.threshold] {
            out.f64(number);
        }
        out.u64(self.records);
        out.i64(self.end_ms);
        out.u64(u64::from(self.drifted));
        out.u64(u64::from(self.reference_end_ms.is_some()));
        out.i64(self.reference_end_ms.unwrap_or(0));
        out.bytes(self.feature.as_bytes());
    }

    /// What `encode` wrote of the output of that role.
    pub fn decode(role: Role, input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let statistic = usize::try_from(input.u64()?).map_err(|_| Truncated)?;
        let statistic = *Statistic::ALL.get(statistic).ok_or(Truncated)?;
        let has_floor = input.u64()? != 0;
        let mut number = || input.f64();
        let (score, floor, p_value, threshold) = (number()?, number()?, number()?, number()?);
        let (records, end_ms, drifted) = (input.u64()?, input.i64()?, input.u64()? != 0);
        let (has_first, first_ms) = (input.u64()? != 0, input.i64()?);
        Ok(Self {
            role,
            statistic,
            score,
            noise_floor: has_floor.then_some(floor),
            p_value,
            threshold,
            records,
            end_ms,
            drifted,
            reference_end_ms: has_first.then_some(first_ms),
            feature: String::from_utf8(input.bytes()?.to_vec()).map_err(|_| Truncated)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decide::policy::tests::policy;
    use crate::histogram::{Bins, CategoricalCells, Cells, NumericCells, Scale, Storage};

    fn output(role: Role, kind: Kind) -> FeatureBaseline {
        let cells = match kind {
            Kind::Numeric => {
                let scale = Scale { center: 0.5, unit: 0.5 };
                let edges = vec![0.25, 0.5, 0.75];
                Cells::Numeric(NumericCells::new(edges, 0.0, 1.0, scale, Storage::F64))
            }
            Kind::Categorical => {
                let names = ["yes", "no", "maybe"].map(str::to_owned).to_vec();
                Cells::Categorical(CategoricalCells::new(names, Vec::new(), false))
            }
        };
        let bins = Bins { starts: vec![0, 1, 2, 3] };
        let reference = Counts { cells: vec![5_000; 4], ..Counts::default() };
        FeatureBaseline {
            role,
            mean: Some(0.5),
            sd: Some(0.3),
            distinct: 500,
            ..FeatureBaseline::of_counts(role.as_str(), cells, bins, reference)
        }
    }

    fn tested(kind: Kind, live: [u64; 4], p: f64, phi: f64) -> Option<OutputDrift> {
        let policy = Policy { output_p_values: [(Role::Confidence, p)].into(), ..policy() };
        let live = Counts { cells: live.to_vec(), ..Counts::default() };
        let feature = output(Role::Confidence, kind);
        test(&feature, (&feature.reference, &live), &policy, (phi, 86_400_000))
    }

    #[test]
    fn it_drifts_under_the_users_p_value_and_above_noise() {
        for kind in [Kind::Numeric, Kind::Categorical] {
            let same = tested(kind, [250; 4], 0.05, 1.0).unwrap();
            assert!(!same.drifted && same.p_value > 0.5, "{same:?}");
            let moved = tested(kind, [330, 250, 250, 170], 0.05, 1.0).unwrap();
            assert!(moved.drifted && moved.p_value < 1e-3, "{moved:?}");
            // A stricter user; and the same counts of records that depend on each other.
            assert!(!tested(kind, [330, 250, 250, 170], 1e-12, 1.0).unwrap().drifted);
            assert!(!tested(kind, [330, 250, 250, 170], 0.05, 20.0).unwrap().drifted);
            // Under the p-value, but no more than noise does once in a thousand windows.
            let little = tested(kind, [295, 250, 250, 205], 0.05, 1.0).unwrap();
            assert!(little.p_value < 0.05 && !little.drifted, "{little:?}");
            assert_eq!(tested(kind, [40; 4], 0.05, 1.0), None);
        }
    }

    #[test]
    fn an_output_that_nobody_asked_for_is_not_tested_and_one_says_its_name() {
        let policy = Policy { output_p_values: [(Role::Confidence, 0.05)].into(), ..policy() };
        let live = Counts { cells: vec![330, 250, 250, 170], ..Counts::default() };
        let tested = |role| {
            let feature = output(role, Kind::Numeric);
            test(&feature, (&feature.reference, &live), &policy, (1.0, 86_400_000))
        };
        assert_eq!(tested(Role::Prediction), None);
        let sentence = tested(Role::Confidence).unwrap().sentence();
        assert!(sentence.starts_with("the confidence confidence has drifted: ks"), "{sentence}");
    }

    #[test]
    fn windows_do_not_overlap() {
        let policy = Policy { output_p_values: [(Role::Prediction, 0.05)].into(), ..policy() };
        let due = |hour: i64| is_due(&policy, hour * 3_600_000);
        let ends: Vec<i64> = (1..=72).filter(|&hour| due(hour)).collect();
        assert_eq!(ends, [24, 48, 72]);
        let never = Policy { output_p_values: BTreeMap::new(), ..policy };
        assert!(!is_due(&never, 86_400_000));
    }

    #[test]
    fn what_was_found_comes_back() {
        for kind in [Kind::Numeric, Kind::Categorical] {
            let found = tested(kind, [330, 250, 250, 170], 0.05, 1.0).unwrap();
            let mut out = Writer::default();
            found.encode(&mut out);
            let bytes = out.into_bytes();
            assert_eq!(OutputDrift::decode(Role::Confidence, &mut Reader::new(&bytes)), Ok(found));
            let cut =
                OutputDrift::decode(Role::Confidence, &mut Reader::new(&bytes[..bytes.len() - 1]));
            assert!(cut.is_err());
        }
    }
}
