//! What watching a model will take: the records each threshold needs, memory and time series.

use serde::Serialize;

use crate::baseline::{Baseline, FeatureBaseline};
use crate::compare;
use crate::compare::Statistic;
use crate::config::Model;
use crate::decide::Level;
use crate::feature::{Kind, Role};
use crate::window::ClosedPane;

const DAY_MS: i64 = 24 * 3_600_000;
/// Counts beside the cells: nine small ones and four sums.
const COUNTS_BYTES: u64 = 9 * 8 + 4 * 16;
/// Design effect that is taken while none is known.
const UNCALIBRATED: f64 = 4.0;
/// Series of a model that do not depend on its features.
const MODEL_SERIES: u64 = 48;
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
    pub(super) features: Vec<FeaturePlan>,
    /// Why no season is found where one is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) season_notice: Option<String>,
    pub(super) memory: Memory,
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
    /// Per partition of the topic: features x cells x panes that are still open.
    pub(super) open_panes_per_partition: u64,
    /// Features x cells x panes of `max_age`, as they are kept.
    pub(super) closed_panes: u64,
    /// All of it for one feature of average width, with one partition.
    pub(super) per_feature: u64,
    /// The same if only the closed panes of 24 hours were kept.
    pub(super) per_feature_day: u64,
}

/// Plans `model` on its baseline, with `exported` statistics.
pub(super) fn plan(model: &Model, baseline: &Baseline, exported: &[Statistic]) -> Plan {
    let lines = model.drift_config.lines();
    let usable: Vec<&FeatureBaseline> =
        baseline.features.iter().filter(|feature| feature.unusable.is_none()).collect();
    let lines_exported = lines.iter().filter(|line| exported.contains(&line.0)).count() as u64;
    let per_feature = FEATURE_SERIES + LEVEL_SERIES + exported.len() as u64 + lines_exported;
    let unusable = (baseline.features.len() - usable.len()) as u64;
    let features = baseline.features.iter().map(|feature| {
        let season = baseline.calendar(feature).map(|calendar| calendar.to_string());
        FeaturePlan { season, ..feature_plan(model, feature, &lines) }
    });
    Plan {
        model: model.name.clone(),
        topic: model.topic.clone(),
        baseline: baseline.source.clone(),
        digest: baseline.digest.clone(),
        rows: baseline.rows,
        features: features.collect(),
        season_notice: baseline.season_notice(model.drift_config.season.period),
        memory: memory(model, &usable),
        series: MODEL_SERIES + usable.len() as u64 * per_feature + unusable * 2,
    }
}

fn feature_plan(
    model: &Model,
    feature: &FeatureBaseline,
    lines: &[(Statistic, Level, f64)],
) -> FeaturePlan {
    let usable = feature.unusable.is_none();
    let bins = if usable { compare::bins(feature, &feature.reference).reference.len() } else { 0 };
    let applies = |statistic: Statistic| match statistic {
        Statistic::Unseen => feature.kind == Kind::Categorical,
        Statistic::OutOfRange => feature.kind == Kind::Numeric,
        _ => true,
    };
    let phi = model.drift_config.design_effect.unwrap_or(UNCALIBRATED);
    let m = feature.reference.in_cells();
    let need = |&(statistic, level, threshold): &(Statistic, Level, f64)| {
        let alpha = compare::WINDOW_ALPHA;
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
    let lines = lines.iter().filter(|line| usable && applies(line.0));
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
    let open_panes_per_partition = counts * (panes(model.lateness.as_ms()) + 2);
    let kept_ms = model.drift_config.max_age.as_ms().max(model.window().as_ms());
    let closed_panes = closed_pane * panes(kept_ms);
    let others = baseline + window + open_panes_per_partition;
    Memory {
        baseline,
        window,
        open_panes_per_partition,
        closed_panes,
        per_feature: (others + closed_panes).div_ceil(features.max(1)),
        per_feature_day: (others + closed_pane * panes(DAY_MS)).div_ceil(features.max(1)),
    }
}

impl Memory {
    /// With one partition.
    pub(super) fn total(self) -> u64 {
        self.baseline + self.window + self.open_panes_per_partition + self.closed_panes
    }
}
