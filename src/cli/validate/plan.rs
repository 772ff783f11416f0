//! What watching a model will take: the records each threshold needs, memory and time series.

use serde::Serialize;

use crate::baseline::{Baseline, FeatureBaseline};
use crate::compare;
use crate::compare::Statistic;
use crate::config::Model;
use crate::config::fit::{Rate, has_statistic};
use crate::decide::effects;
use crate::decide::history::History;
use crate::decide::{Level, Policy, Rule};
use crate::feature::{Kind, Role};
use crate::setting::DAY_MS;
use crate::window::ClosedPane;
use crate::window::partition::REPEATS_BYTES;

/// Counts beside the cells: nine small ones and four sums.
const COUNTS_BYTES: u64 = 9 * 8 + 4 * 16;
/// Series of a model that do not depend on its features.
const MODEL_SERIES: u64 = 52;
/// Presence, use, observations, missing, wrong types, and out of range or unseen.
const FEATURE_SERIES: u64 = 6;
/// One per level, whether it has been reached.
const LEVEL_SERIES: u64 = 3;
/// The process and the pipeline themselves, with room for a few dozen partitions.
pub(super) const BASE_SERIES: u64 = 400;

/// One model, as far as it can be told before it runs.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) model: String,
    pub(super) topic: String,
    pub(super) baseline: String,
    pub(super) digest: String,
    pub(super) rows: u64,
    /// What comes in, as far as it is known, and who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) records_per_hour: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<String>,
    pub(super) features: Vec<FeaturePlan>,
    /// Why no season is found where one is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) season_notice: Option<String>,
    pub(super) memory: Memory,
    /// What the process took that has read the baseline, beside the daemon's own memory; 0 where the system does
    /// not tell.
    pub(super) reading_bytes: u64,
    pub(super) series: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct FeaturePlan {
    pub(super) feature: String,
    pub(super) kind: Kind,
    pub(super) role: Role,
    pub(super) column_type: String,
    pub(super) bins: usize,
    pub(super) cells: usize,
    pub(super) usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    pub(super) thresholds: Vec<Need>,
    /// The season that it will be compared within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) season: Option<String>,
}

/// How many records a window needs before a threshold can be met at all.
#[derive(Debug, Serialize)]
pub(super) struct Need {
    pub(super) statistic: Statistic,
    pub(super) level: Level,
    pub(super) threshold: f64,
    /// Absent when no number is enough: the baseline is too small for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) records: Option<u64>,
    /// The least threshold that this baseline supports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) supported: Option<f64>,
}

/// Bytes, at most.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    /// Cells, edges and reference counts.
    pub(super) baseline: u64,
    /// The sum over the window: one that is kept up, one that readers see.
    pub(super) window: u64,
    /// Per partition of the topic: features x cells x panes that are still open, and what is remembered of
    /// records that may come again.
    pub(super) open_panes_per_partition: u64,
    /// Features x cells x panes of `max_age`, as they are kept.
    pub(super) closed_panes: u64,
    /// Scores over time, for the page.
    pub(super) history: u64,
    /// All of it for one feature of average width, with one partition.
    pub(super) per_feature: u64,
    /// The same if only the closed panes of 24 hours were kept.
    pub(super) per_feature_day: u64,
}

/// Plans `model` on its baseline, with `exported` statistics.
pub(super) fn plan(
    model: &Model,
    baseline: &Baseline,
    exported: &[Statistic],
    rate: Option<Rate>,
) -> Plan {
    let policy = model.policy();
    let lines = &policy.thresholds;
    // The floor is further out for rule `window`, which asks nothing else.
    let by_evidence =
        policy.rule == Rule::Sequential && effects::known(baseline, &policy, None).is_some();
    let alpha = if by_evidence { compare::FLOOR_ALPHA } else { compare::WINDOW_ALPHA };
    let usable: Vec<&FeatureBaseline> =
        baseline.features.iter().filter(|feature| feature.unusable.is_none()).collect();
    let lines_exported = lines.iter().filter(|line| exported.contains(&line.0)).count() as u64;
    let per_feature = FEATURE_SERIES + LEVEL_SERIES + exported.len() as u64 + lines_exported;
    let unusable = (baseline.features.len() - usable.len()) as u64;
    let features = baseline.features.iter().map(|feature| {
        let season = baseline.calendar(feature).map(|calendar| calendar.to_string());
        FeaturePlan { season, ..feature_plan(model, feature, &policy, alpha) }
    });
    Plan {
        model: model.name.clone(),
        topic: model.topic.clone(),
        baseline: baseline.source.clone(),
        digest: baseline.digest.clone(),
        rows: baseline.rows,
        records_per_hour: rate.map(|rate| rate.per_hour),
        rate: rate.map(Rate::shown),
        features: features.collect(),
        season_notice: baseline.season_notice(model.drift_config.season.period),
        memory: memory(model, &usable),
        reading_bytes: 0,
        series: MODEL_SERIES
            + model.checks.len() as u64
            + usable.len() as u64 * per_feature
            + unusable * 2,
    }
}

fn feature_plan(
    model: &Model,
    feature: &FeatureBaseline,
    policy: &Policy,
    alpha: f64,
) -> FeaturePlan {
    let lines = &policy.thresholds;
    let usable = feature.unusable.is_none();
    let bins = if usable { compare::bins(feature, &feature.reference).reference.len() } else { 0 };
    let phi = effects::of_window(feature, policy, None, model.window().as_ms());
    let m = feature.reference.in_cells();
    let need = |&(statistic, level, threshold): &(Statistic, Level, f64)| {
        let unit = compare::unit(feature.convention, statistic);
        let records = compare::records_needed(statistic, threshold / unit, bins, m, phi, alpha);
        Need {
            statistic,
            level,
            threshold,
            records: records.map(|records| records.max(model.drift_config.min_records)),
            supported: compare::supported_threshold(statistic, bins, m, phi, alpha)
                .map(|least| least * unit),
        }
    };
    let lines = lines.iter().filter(|line| usable && has_statistic(feature.kind, line.0));
    FeaturePlan {
        feature: feature.name.clone(),
        kind: feature.kind,
        role: feature.role,
        column_type: feature.column_type.clone(),
        bins,
        cells: if usable { feature.reference.cells.len() } else { 0 },
        usable,
        reason: feature.unusable.map(|unusable| unusable.reason()),
        thresholds: lines.map(need).collect(),
        season: None,
    }
}

fn memory(model: &Model, usable: &[&FeatureBaseline]) -> Memory {
    let cells: u64 = usable.iter().map(|feature| feature.reference.cells.len() as u64).sum();
    let features = usable.len() as u64;
    let counts = cells * 8 + features * COUNTS_BYTES;
    let pane_ms = model.pane.as_ms().max(1);
    let panes = |ms: i64| u64::try_from(ms / pane_ms).unwrap_or(0);
    let closed_pane: u64 =
        usable.iter().map(|f| ClosedPane::bytes_max(f.reference.cells.len() as u64)).sum();
    // Reference counts and edges or categories; with a season, the counts of each slot.
    let slots = |feature: &&FeatureBaseline| {
        let slots = feature.season.as_ref().map_or(0, |season| season.slots.len() as u64);
        slots * (feature.reference.cells.len() as u64 * 8 + COUNTS_BYTES)
    };
    let baseline = cells * 24 + features * COUNTS_BYTES + usable.iter().map(slots).sum::<u64>();
    let window = counts * 2;
    // A pane is open until lateness after its end, and the newest is open too.
    let open_panes_per_partition = counts * (panes(model.lateness.as_ms()) + 2) + REPEATS_BYTES;
    let kept_ms = model.drift_config.max_age.as_ms().max(model.window().as_ms());
    let closed_panes = closed_pane * panes(kept_ms);
    let history = features * History::bytes_per_feature(&model.policy().thresholds);
    let others = baseline + window + open_panes_per_partition + history;
    Memory {
        baseline,
        window,
        open_panes_per_partition,
        closed_panes,
        history,
        per_feature: (others + closed_panes).div_ceil(features.max(1)),
        per_feature_day: (others + closed_pane * panes(DAY_MS)).div_ceil(features.max(1)),
    }
}

impl Memory {
    /// With one partition.
    pub(super) fn total(self) -> u64 {
        self.baseline
            + self.window
            + self.open_panes_per_partition
            + self.closed_panes
            + self.history
    }
}
