//! How soon a change would be seen: the evidence of expected counts, without drawing any.

use libm::log;

use crate::baseline::FeatureBaseline;
use crate::compare::{self, Statistic};
use crate::decide::evidence::{self, RARE, weights_at};
use crate::decide::policy::{Level, Policy};
use crate::decide::sequential::{EVENTS_MIN, Sequential, Watched};
use crate::decide::shift::{Shift, unchanged};

/// Panes before the change, of no round number: what the grid of starts keeps near it is typical.
const BEFORE: u64 = 43_690;

/// How many records since a change it takes, on average, until something is known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Power {
    /// PSI of the changed law against the reference's, without noise.
    pub psi: f64,
    /// Until the feature is real; `None`: never, as far back as evidence is kept.
    pub real: Option<f64>,
    /// Until it is over a line of that level, too; `None`: never.
    pub warning: Option<f64>,
    pub retrain: Option<f64>,
}

impl Sequential {
    /// The power against one change of the feature at `index` of the baseline, of which `per_pane` records
    /// come in a pane. `None` for a feature that is not watched or that can't change so.
    pub fn power(
        &self,
        feature: &FeatureBaseline,
        index: usize,
        shift: Shift,
        (policy, per_pane): (&Policy, f64),
    ) -> Option<Power> {
        let watched = self.features.get(index)?.as_ref()?;
        let null = self.features[..index].iter().flatten().count();
        let law = shift.law(feature, &watched.columns)?;
        let before = unchanged(feature, &watched.columns)?;
        let real = self.panes_until_real((watched, null), (&before, &law), per_pane);
        let real = real.map(|panes| panes as f64 * per_pane);
        let psi = watched.psi_of(&law);
        let over = |level| {
            let lines = policy.thresholds.iter().filter(|line| line.1 == level);
            let needed = lines.filter_map(|&(statistic, _, line)| {
                watched.records_over(&law, psi, (statistic, line))
            });
            let needed = needed.reduce(f64::min)?;
            Some(real?.max(needed).max(policy.min_records as f64))
        };
        Some(Power { psi, real, warning: over(Level::Warning), retrain: over(Level::Retrain) })
    }

    /// The first pane after the change at which the evidence of expected counts is enough.
    fn panes_until_real(
        &self,
        (watched, null): (&Watched, usize),
        laws: (&[f64], &[f64]),
        per_pane: f64,
    ) -> Option<u64> {
        let enough = |panes| {
            self.expected(&watched.columns, null, laws, (per_pane, panes)) >= watched.log_needed
        };
        let most = evidence::memory(self.grid_levels);
        let mut above = 1;
        while !enough(above) {
            if above >= most {
                return None;
            }
            above = (above * 2).min(most);
        }
        let mut below = above / 2;
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            if enough(middle) { above = middle } else { below = middle }
        }
        Some(above)
    }

    /// `ln M_f` of the counts that are expected so many panes after the change.
    fn expected(
        &self,
        columns: &evidence::Columns,
        null: usize,
        (before, after): (&[f64], &[f64]),
        (per_pane, panes): (f64, u64),
    ) -> f64 {
        let t = BEFORE + panes;
        let terms = weights_at(t, self.grid_levels).into_iter().map(|(start, weight)| {
            let since = t - start;
            let changed = since.min(panes);
            let (n, m) = (changed as f64 * per_pane, (since - changed) as f64 * per_pane);
            let counts: Vec<f64> = before.iter().zip(after).map(|(b, a)| m * b + n * a).collect();
            self.nulls[null].components(&columns.body(&counts)).total() + log(weight)
        });
        evidence::log_sum_exp(&terms.collect::<Vec<_>>())
    }
}

impl Watched {
    /// PSI over the bins of scores, of so many values that neither noise nor smoothing counts.
    fn psi_of(&self, law: &[f64]) -> f64 {
        let whole = |shares: &[f64]| shares.iter().map(|share| share * 1e12).collect::<Vec<f64>>();
        let total: f64 = self.reference.iter().sum::<f64>().max(1.0);
        let reference: Vec<f64> = self.reference.iter().map(|count| count / total).collect();
        let reference = whole(&self.columns.bins(&reference));
        let live = whole(&self.columns.bins(law));
        let psi = compare::psi_of_bins(&reference, &live, 1.0, compare::FLOOR_ALPHA);
        psi.map_or(0.0, |(score, _)| score.value)
    }

    /// Records since the change with which the score since then is over the line, and above noise; `None`
    /// when the change is not as large, or the score is not kept since onset.
    fn records_over(
        &self,
        law: &[f64],
        psi: f64,
        (statistic, line): (Statistic, f64),
    ) -> Option<f64> {
        let n_body = law.len() - RARE;
        let rate =
            |share: f64, expected: f64| (share - expected > line).then(|| EVENTS_MIN / share);
        match statistic {
            Statistic::Psi => {
                let bins = self.columns.bins(&self.reference);
                let m: f64 = bins.iter().sum();
                let used = bins.iter().filter(|&&count| count > 0.0).count();
                let m = compare::whole(m);
                let needed = compare::records_needed(
                    Statistic::Psi,
                    psi,
                    used,
                    m,
                    self.design_effect,
                    compare::FLOOR_ALPHA,
                );
                needed.filter(|_| psi > line).map(|records| records as f64)
            }
            Statistic::Missing => rate(law[n_body + 2], self.expected_missing),
            other if other == self.outside => {
                rate(law[n_body] + law[n_body + 1], self.expected_outside)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
