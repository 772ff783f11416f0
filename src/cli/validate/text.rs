//! What `validate` found, for people.

use crate::cli::printable;
use crate::cli::validate::plan::{FeaturePlan, Need, Plan};
use crate::compare::Statistic;
use crate::decide::Level;
use crate::feature::Kind;
use crate::setting::ByteSize;

/// Longer names are cut: a table that wraps can't be read.
const NAME_MAX: usize = 60;

/// A model's plan for people.
pub(super) fn model_text(plan: &Plan) -> String {
    let mut out = format!(
        "model {}, topic {}\nbaseline {}: {} rows, sha256 {}\n",
        plan.model,
        plan.topic,
        printable(&plan.baseline),
        plan.rows,
        plan.digest.get(..12).unwrap_or(&plan.digest)
    );
    if let Some(rate) = &plan.rate {
        out.push_str(&format!("records: {rate}\n"));
    }
    let names: Vec<String> = plan.features.iter().map(|f| short(&f.feature)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(7);
    let [feature, kind, bins, cells, needs] =
        ["feature", "kind", "bins", "cells", "a window needs, for psi"];
    out.push_str(&format!("  {feature:width$}  {kind:11}  {bins:>4}  {cells:>5}  {needs}\n"));
    for (feature, name) in plan.features.iter().zip(&names) {
        let kind = match feature.kind {
            Kind::Numeric => "numeric",
            Kind::Categorical => "categorical",
        };
        let needs = match feature.reason {
            Some(reason) => format!("not watched: {reason}"),
            None => needs_text(feature),
        };
        let needs = match &feature.season {
            Some(season) => format!("{needs}; season: {season}"),
            None => needs,
        };
        let (bins, cells) = (feature.bins, feature.cells);
        let line = format!("  {name:width$}  {kind:11}  {bins:>4}  {cells:>5}  {needs}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if let Some(notice) = &plan.season_notice {
        out.push_str(&format!("  {notice}\n"));
    }
    let memory = plan.memory;
    out.push_str(&format!(
        "  memory: at most {} for the baseline, {} for the window's sums, {} for open panes per \
         partition, {} for closed panes, {} for scores over time: {} a feature, {} with the panes of 24 h; about {} time \
         series\n",
        size(memory.baseline),
        size(memory.window),
        size(memory.open_panes_per_partition),
        size(memory.closed_panes),
        size(memory.history),
        size(memory.per_feature),
        size(memory.per_feature_day),
        plan.series
    ));
    out
}

/// A column's name, which a file may have filled with anything.
fn short(name: &str) -> String {
    let name = printable(name);
    if name.chars().count() <= NAME_MAX {
        return name;
    }
    name.chars().take(NAME_MAX - 1).chain(['…']).collect()
}

/// `500 records for warning 0.1, 250 for retrain 0.2`.
fn needs_text(feature: &FeaturePlan) -> String {
    let mut parts: Vec<String> = Vec::new();
    let psi = |need: &&Need| need.statistic == Statistic::Psi && need.level != Level::Notice;
    for need in feature.thresholds.iter().filter(psi) {
        let (level, threshold) = (need.level.as_str(), need.threshold);
        parts.push(match (need.records, need.supported) {
            (Some(records), _) => format!("{records} records for {level} {threshold}"),
            (None, Some(least)) => {
                format!("{level} {threshold} never: this baseline supports {least:.3} and more")
            }
            (None, None) => format!("{level} {threshold} never"),
        });
    }
    parts.join(", ")
}

/// Rounded up, so that what is said is enough.
pub(super) fn size(bytes: u64) -> String {
    let kib = bytes.div_ceil(1 << 10);
    let whole = if kib >= 10 << 10 { bytes.div_ceil(1 << 20) << 20 } else { kib << 10 };
    ByteSize(whole).to_string()
}
