//! The training artefact, loaded: per feature its cells, bins and reference counts.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::feature::{Feature, Kind, Role};
use crate::histogram::{Bins, Cells, Counts};
use crate::setting::season::Season;

mod bins;
mod builder;
pub mod cap;
mod category;
mod column;
pub mod design_effect;
pub mod evidently;
mod layout;
mod marks;
mod moments;
mod number;
mod order;
pub mod outputs;
mod profile;
pub mod season;
mod trained;

pub use builder::{Builder, Counter, Limits};
pub use column::live_column;
use design_effect::DesignEffect;
pub use layout::{Layout, LayoutError, NO_TIME_COLUMN, Planned, Source};
pub use profile::ProfileError;
pub use season::{FeatureSeason, SeasonError, SeasonRule};
pub use trained::{Trained, TrainedBy};

/// Version of the profile format that this program reads at most; a profile has the lowest that tells all
/// of it.
pub const FORMAT: u32 = 2;
/// The version of a profile in which no season is used.
const FORMAT_PLAIN: u32 = 1;

/// Whose conventions scores follow: bins, smoothing, base and quantity. `profile` in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Convention {
    /// Deciles of the reference, Jeffreys smoothing, base-2 Jensen-Shannon.
    #[default]
    Driftd,
    /// What Evidently computes: equal bins over both sides, its fill of zeros, natural logarithms.
    Evidently,
}

impl Convention {
    pub const ALL: [Convention; 2] = [Convention::Driftd, Convention::Evidently];

    /// The name in configuration and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Convention::Driftd => "driftd",
            Convention::Evidently => "evidently",
        }
    }

    /// The usual one needs no mention in a profile.
    fn is_driftd(&self) -> bool {
        *self == Convention::Driftd
    }
}

/// What the configuration says about columns, over what the file itself says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    pub features: BTreeMap<String, FeatureOverride>,
    /// Columns that are no features; a name that the baseline does not have is fine.
    pub ignore: BTreeSet<String>,
    /// The column that says when a row happened, or `none`; found by type and name when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_column: Option<String>,
    /// The column that holds what the model answered; `prediction` when unset.
    pub prediction: Option<String>,
    /// What the model answers is to be counted even if no column holds it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub watch_prediction: bool,
    /// How sure it was, too; a column of that name is it then, unless another is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub watch_confidence: bool,
    /// Whose numbers are wanted; what a profile was built with, else driftd's, when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convention: Option<Convention>,
    /// Which season live is compared within.
    #[serde(skip_serializing_if = "Season::is_default")]
    pub season: Season,
    /// Closed ranges of values that are to be told apart exactly, by feature; `null` is an open end.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ranges: BTreeMap<String, Vec<[Option<f64>; 2]>>,
    /// Length of a live pane, where it is above five minutes: a row's slot is that of its pane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pane_ms: Option<i64>,
}

/// What the configuration says about one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FeatureOverride {
    /// Counted by value or by category; the column's own type decides if not given.
    pub kind: Option<Kind>,
    /// What the column is to the model; `feature` if not given.
    pub role: Option<Role>,
}

/// A baseline without its rows: aggregates only, so it may travel where the data may not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Version of this profile format.
    pub format: u32,
    /// SHA-256 (hex) of the source's bytes, or of its sorted list of parts; never of the profile.
    pub digest: String,
    /// Where it was read from, without credentials.
    pub source: String,
    pub rows: u64,
    pub features: Vec<FeatureBaseline>,
    /// The column that orders the rows in time, if there is one.
    pub time_column: Option<String>,
    /// Columns that were dropped at once (pandas' index), with the reason; shown to people.
    pub ignored: Vec<Ignored>,
    /// Some feature's edges came from a sample: its column held more values than are kept at once.
    pub sampled: bool,
    /// How seasons were looked for; `None` without times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<SeasonRule>,
    /// When the model was trained, where anything tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained: Option<Trained>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    pub column: String,
    pub reason: String,
}

/// One feature's training distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureBaseline {
    pub name: String,
    pub role: Role,
    pub kind: Kind,
    /// Arrow type of the column, as people know it: `Float32`, `Dictionary(Int32, Utf8)`.
    pub column_type: String,
    /// `None` when the feature is usable, else why not.
    pub unusable: Option<Unusable>,
    pub cells: Cells,
    pub bins: Bins,
    pub reference: Counts,
    /// Values seen exactly once: singletons / rows is the expected share of unseen categories.
    pub singletons: u64,
    /// Numeric only: mean and standard deviation (ddof 0) of the finite values.
    pub mean: Option<f64>,
    pub sd: Option<f64>,
    /// How many distinct values there were (exact up to the limit that is held).
    pub distinct: u64,
    /// How much records depend on each other, where a time column shows their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design_effect: Option<DesignEffect>,
    /// What slots of a day or a week do for it, where they were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<FeatureSeason>,
    /// How many values the edges come from, where that is a sample of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u64>,
    /// Whose conventions its scores follow; its cells have the edges that these need.
    #[serde(default, skip_serializing_if = "Convention::is_driftd")]
    pub convention: Convention,
}

impl Baseline {
    /// These features and nothing else that is known; its rows are those of the first.
    pub fn of(features: Vec<FeatureBaseline>) -> Self {
        Self {
            format: Self::lowest_format(&features),
            digest: String::new(),
            source: String::new(),
            rows: features.first().map_or(0, |feature| feature.reference.records()),
            features,
            time_column: None,
            ignored: Vec::new(),
            sampled: false,
            season: None,
            trained: None,
        }
    }

    /// The lowest version of the format that tells all of it: older programs know no slots.
    pub(crate) fn lowest_format(features: &[FeatureBaseline]) -> u32 {
        let used = |feature: &FeatureBaseline| feature.season.as_ref().is_some_and(|s| s.is_used());
        if features.iter().any(used) { FORMAT } else { FORMAT_PLAIN }
    }
}

impl FeatureBaseline {
    /// A usable feature of which these counts are all that is known.
    pub fn of_counts(name: impl Into<String>, cells: Cells, bins: Bins, reference: Counts) -> Self {
        let (kind, column_type) = match cells {
            Cells::Numeric(_) => (Kind::Numeric, "Float64"),
            Cells::Categorical(_) => (Kind::Categorical, "Utf8"),
        };
        Self {
            name: name.into(),
            role: Role::Feature,
            kind,
            column_type: column_type.to_owned(),
            unusable: None,
            cells,
            bins,
            reference,
            singletons: 0,
            mean: None,
            sd: None,
            distinct: 0,
            design_effect: None,
            season: None,
            sample: None,
            convention: Convention::default(),
        }
    }

    /// The feature as decoders and counters see it.
    pub fn feature(&self) -> Feature {
        let boolean = match &self.cells {
            // Booleans of a file are counted as 1 and 0, too.
            Cells::Numeric(cells) => {
                (cells.lowest, cells.highest) == (0.0, 1.0) && self.distinct == 2
            }
            Cells::Categorical(cells) => cells.boolean,
        };
        Feature { name: self.name.clone(), role: self.role, kind: self.kind, boolean }
    }
}

impl Unusable {
    /// For people: completes "this column is not watched: ...".
    pub fn reason(self) -> &'static str {
        match self {
            Unusable::Time => "a date or time",
            Unusable::IdLike => "more than half of its values are distinct: an identifier",
            Unusable::AllNull => "no value at all",
            Unusable::TooFewRows => "fewer than 100 values",
            Unusable::TooManyCategories => "more categories than are kept",
            Unusable::UnsupportedType => "a type that has no distribution here",
            Unusable::NoReference => "not in the baseline: its first full window is the reference",
        }
    }
}

/// Why a column cannot be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unusable {
    /// A date or time stamp.
    Time,
    /// More than half of the strings are distinct: an identifier.
    IdLike,
    AllNull,
    /// Fewer than 100 values.
    TooFewRows,
    /// More categories than are kept.
    TooManyCategories,
    /// Lists, structs, binary and other types that have no distribution here.
    UnsupportedType,
    /// What the model answers, where no column holds it: counted, and compared with its own first window.
    NoReference,
}
