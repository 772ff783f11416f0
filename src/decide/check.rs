//! Checks: what a person says that live values have to be, asked of what the window's panes counted.
//!
//! A check is a sentence about the feed, not about drift: it holds nothing back and triggers nothing.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod measure;
mod track;
mod view;

pub use measure::{Measured, is_exact, measure};
pub use track::{Checks, Untold};
pub use view::{CheckState, CheckView};

/// Checks that a model may have: each has a time series.
pub const CHECKS_MAX: usize = 200;
/// Values that a list may have; of a feature that is counted as numbers, where each is a cell.
pub const VALUES_MAX: usize = 1_000;
pub const NUMBERS_MAX: usize = 100;
/// Letters of a name.
const NAME_MAX: usize = 128;

/// From and to, both included; `None` is an open end.
pub type Range = [Option<f64>; 2];

/// One thing that the window's values have to be. It has exactly one condition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Check {
    /// What messages and metrics call it; feature and condition if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The feature that it is about; none for `records`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// What it is to people: `critical` and `warning` are told, `info` is only shown.
    pub severity: Severity,
    /// Records in the window: `[least, most]`; here and below `null` is an open end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Range>,
    /// Share of the records without a value, with null or NaN: `[least, most]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Range>,
    /// Share of the records whose value is not of the feature's type: `[least, most]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_error: Option<Range>,
    /// Mean of a number: `[least, most]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Range>,
    /// Standard deviation (ddof 0) of a number: `[least, most]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stddev: Option<Range>,
    /// Every value of a number lies in `[least, most]`; with `mostly` that share of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<Range>,
    /// Every value is one of these; with `mostly` that share of them.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<String>>,
    /// No value is one of these; with `mostly` that share of them is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_in: Option<Vec<String>>,
    /// Of `between`, `in` and `not_in`: the share of the values that is enough; 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mostly: Option<f64>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    #[default]
    Warning,
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }

    /// Whether people hear of it.
    pub fn is_told(self) -> bool {
        self > Severity::Info
    }
}

/// What a check asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition<'a> {
    Records(Range),
    Missing(Range),
    TypeError(Range),
    Mean(Range),
    Stddev(Range),
    Between(Range),
    In(&'a [String]),
    NotIn(&'a [String]),
}

impl Condition<'_> {
    /// The key that it is written by.
    pub fn key(self) -> &'static str {
        match self {
            Condition::Records(_) => "records",
            Condition::Missing(_) => "missing",
            Condition::TypeError(_) => "type_error",
            Condition::Mean(_) => "mean",
            Condition::Stddev(_) => "stddev",
            Condition::Between(_) => "between",
            Condition::In(_) => "in",
            Condition::NotIn(_) => "not_in",
        }
    }

    /// Whether it is about a number.
    pub fn needs_number(self) -> bool {
        matches!(self, Condition::Mean(_) | Condition::Stddev(_) | Condition::Between(_))
    }

    fn range(self) -> Option<Range> {
        match self {
            Condition::Records(range)
            | Condition::Missing(range)
            | Condition::TypeError(range)
            | Condition::Mean(range)
            | Condition::Stddev(range)
            | Condition::Between(range) => Some(range),
            Condition::In(_) | Condition::NotIn(_) => None,
        }
    }

    fn values(self) -> Option<usize> {
        match self {
            Condition::In(values) | Condition::NotIn(values) => Some(values.len()),
            _ => None,
        }
    }
}

impl fmt::Display for Check {
    /// Its name; without one its feature and condition.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            return f.write_str(name);
        }
        if let Some(feature) = &self.feature {
            write!(f, "{feature} ")?;
        }
        f.write_str(self.condition().map_or("", Condition::key))
    }
}

impl Check {
    /// Every condition that is written; a check that is right has one.
    fn conditions(&self) -> impl Iterator<Item = Condition<'_>> {
        [
            self.records.map(Condition::Records),
            self.missing.map(Condition::Missing),
            self.type_error.map(Condition::TypeError),
            self.mean.map(Condition::Mean),
            self.stddev.map(Condition::Stddev),
            self.between.map(Condition::Between),
            self.one_of.as_deref().map(Condition::In),
            self.not_in.as_deref().map(Condition::NotIn),
        ]
        .into_iter()
        .flatten()
    }

    pub fn condition(&self) -> Option<Condition<'_>> {
        self.conditions().next()
    }

    /// The share of the values that has to be as it says.
    pub fn enough(&self) -> f64 {
        self.mostly.unwrap_or(1.0)
    }

    /// Ranges of values that have to be told apart from all others, if the feature is a number.
    pub fn ranges(&self) -> Vec<Range> {
        match self.condition() {
            Some(Condition::Between(range)) => vec![range],
            Some(Condition::In(values) | Condition::NotIn(values)) => {
                let numbers = numbers(values).unwrap_or_default();
                numbers.into_iter().map(|number| [Some(number); 2]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What is wrong with it by itself: the key, and why.
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let keys: Vec<&str> = self.conditions().map(Condition::key).collect();
        let Some(condition) = self.condition().filter(|_| keys.len() == 1) else {
            return Some(match keys.as_slice() {
                [] => (
                    "",
                    "has no condition; write one of records, missing, type_error, mean, stddev, \
                     between, in, not_in"
                        .to_owned(),
                ),
                [first, second, ..] => (
                    second,
                    format!(
                        "a check has one condition, and `{first}` is one; write a check for each"
                    ),
                ),
                [_] => return None,
            });
        };
        let (key, of_table) = (condition.key(), matches!(condition, Condition::Records(_)));
        if self.name.as_ref().is_some_and(|name| name.is_empty() || name.len() > NAME_MAX) {
            return Some(("name", format!("has to have 1 to {NAME_MAX} letters")));
        }
        if of_table && self.feature.is_some() {
            return Some((
                "feature",
                "`records` is about the whole window; leave it out".to_owned(),
            ));
        }
        if !of_table && self.feature.as_ref().is_none_or(String::is_empty) {
            return Some(("feature", format!("`{key}` is about a feature; name it")));
        }
        let of_values =
            matches!(condition, Condition::Between(_) | Condition::In(_) | Condition::NotIn(_));
        match self.mostly {
            Some(_) if !of_values => {
                let message = format!(
                    "goes with between, in and not_in; `{key}` has a range of its own, such as [0, 0.01]"
                );
                return Some(("mostly", message));
            }
            Some(share) if !(share > 0.0 && share <= 1.0) => {
                return Some(("mostly", format!("{share} is no share; write one such as 0.99")));
            }
            _ => {}
        }
        if let Some(n) = condition.values().filter(|n| !(1..=VALUES_MAX).contains(n)) {
            return Some((key, format!("{n} values; a list has 1 to {VALUES_MAX}")));
        }
        condition.range().and_then(|range| fault_of(condition, range)).map(|why| (key, why))
    }
}

fn fault_of(condition: Condition<'_>, range: Range) -> Option<String> {
    let is_share = matches!(condition, Condition::Missing(_) | Condition::TypeError(_));
    match range {
        [None, None] => Some("both ends are open: it asks nothing".to_owned()),
        [Some(low), Some(high)] if low > high => {
            Some(format!("{low} to {high} is empty: the first number is the least"))
        }
        [low, high] if is_share => {
            let bad = |end: &f64| !(0.0..=1.0).contains(end);
            let end = [low, high].into_iter().flatten().find(bad)?;
            Some(format!("{end} is no share of records; write 0 to 1, such as [0, 0.01]"))
        }
        _ => None,
    }
}

/// The values as numbers, if all of them are.
pub fn numbers(values: &[String]) -> Option<Vec<f64>> {
    let number = |text: &String| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    values.iter().map(number).collect()
}

#[cfg(test)]
mod tests;
