//! Which design effects are known of a model's features.

use std::sync::Arc;

use crate::baseline::design_effect::{DesignEffect, Effects};
use crate::baseline::{Baseline, FeatureBaseline};
use crate::decide::evidence::Columns;
use crate::decide::policy::Policy;
use crate::decide::rule::UNCALIBRATED;
use crate::window::ClosedPane;

/// Live panes tell the design effects from here on, where nothing else does.
const LEARNT_AFTER_MS: i64 = 3 * 86_400_000;

/// One per feature of the baseline: configured, else as the baseline's own order shows it, else as
/// `learnt` from live panes. `None` while those of a feature that decides are unknown: then rule
/// `window` decides, and no budget is held.
pub fn known(
    baseline: &Baseline,
    policy: &Policy,
    learnt: Option<&[Effects]>,
) -> Option<Vec<Effects>> {
    let of = |(index, feature): (usize, &FeatureBaseline)| match (
        policy.design_effect,
        feature.unusable,
        &feature.design_effect,
    ) {
        (Some(effect), _, _) => Some(Effects::all(effect)),
        (None, Some(_), _) => Some(Effects::all(1.0)),
        (None, None, Some(measured)) => Some(measured.effects),
        (None, None, None) => learnt?.get(index).copied(),
    };
    baseline.features.iter().enumerate().map(of).collect()
}

/// The design effects that closed panes show, one per feature of the baseline, once there are three days
/// of them. They are measured around the panes' own mean, so that a constant shift does not disturb them.
pub fn learn(
    baseline: &Baseline,
    panes: &[Arc<ClosedPane>],
    shape: &[usize],
    pane_ms: i64,
) -> Option<Vec<Effects>> {
    let days = i64::try_from(panes.len()).unwrap_or(i64::MAX / 2).saturating_mul(pane_ms);
    if days < LEARNT_AFTER_MS {
        return None;
    }
    let columns: Vec<Columns> = baseline.features.iter().map(Columns::new).collect();
    let mut of_features = vec![Vec::with_capacity(panes.len()); columns.len()];
    for pane in panes {
        let counts = pane.counts(shape).ok()?;
        for ((columns, counts), panes) in columns.iter().zip(&counts).zip(&mut of_features) {
            let mapped = columns.body(&columns.map(counts));
            panes.push(if pane.complete { mapped } else { vec![0.0; mapped.len()] });
        }
    }
    let measured = of_features.iter().map(|panes| DesignEffect::measure(panes, pane_ms));
    measured.map(|measured| measured.map(|measured| measured.effects)).collect()
}

/// How noisy a window of that length is: configured, else as the baseline shows it at that scale, else
/// what is assumed.
pub fn of_window(feature: &FeatureBaseline, policy: &Policy, window_ms: i64) -> f64 {
    let measured = || Some(feature.design_effect.as_ref()?.of_window(window_ms));
    policy.design_effect.or_else(measured).unwrap_or(UNCALIBRATED)
}
