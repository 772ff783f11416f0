//! A check as readers see it, and in a sentence with its numbers.

use serde::Serialize;

use crate::decide::check::{Check, Checks, Condition, Measured, Range, Severity};
use crate::decide::time::rfc3339;

/// Values of a list that a sentence names.
const NAMED: usize = 3;

/// One check as of the last evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckView {
    /// Its name: the label of its metric.
    pub check: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// The key that the condition is written by.
    pub condition: &'static str,
    pub severity: Severity,
    pub state: CheckState,
    /// Start of the first pane of those that violated it, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The number of the present window; absent while it is not complete or too small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// From and to; `null` is an open end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Range>,
    /// False where the cells do not tell all values apart: the value is then the least that is certain.
    pub exact: bool,
    /// For people.
    pub sentence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// No complete window has been looked at yet.
    Unknown,
    Passed,
    /// Not passed in 3 of 5 panes, and not yet passed in 5 in a row since.
    Violated,
}

impl CheckState {
    pub fn as_str(self) -> &'static str {
        match self {
            CheckState::Unknown => "unknown",
            CheckState::Passed => "passed",
            CheckState::Violated => "violated",
        }
    }
}

impl CheckView {
    /// The check at position `at` of the configuration.
    pub fn new(check: &Check, at: usize, known: &Checks, measured: Option<&Measured>) -> Self {
        let violated = known.violated(at);
        let since = violated.flatten().map(rfc3339);
        let sentence = match measured {
            Some(measured) => sentence(check, measured),
            None => {
                format!("{check}: not measured: the window is not complete or holds too little")
            }
        };
        Self {
            check: check.to_string(),
            feature: check.feature.clone(),
            condition: check.condition().map_or("", Condition::key),
            severity: check.severity,
            state: match violated {
                None => CheckState::Unknown,
                Some(None) => CheckState::Passed,
                Some(Some(_)) => CheckState::Violated,
            },
            since,
            value: measured.map(|measured| measured.value).filter(|value| value.is_finite()),
            expected: measured.map(|measured| measured.expected),
            exact: measured.is_none_or(|measured| measured.exact),
            sentence,
        }
    }
}

/// `amount: mean 74.2 over the window, 10 to 60 expected`.
pub(super) fn sentence(check: &Check, measured: &Measured) -> String {
    let Measured { value, expected, of, exact, passed: _ } = *measured;
    let least = if exact { "" } else { "at least " };
    let percent = |share: f64| format!("{} %", shown(100.0 * share));
    let values = |what: String| {
        let found = percent(value);
        format!(
            "{least}{found} of {of} values {what}, {} expected",
            within(share(expected), &percent)
        )
    };
    let found = match check.condition() {
        None => return check.to_string(),
        Some(Condition::Records(_)) => {
            format!("{of} records in the window, {} expected", within(expected, &shown))
        }
        Some(Condition::Missing(_)) => format!(
            "missing, null or NaN in {} of {of} records, {} expected",
            percent(value),
            within(share(expected), &percent)
        ),
        Some(Condition::TypeError(_)) => format!(
            "the wrong type in {} of {of} records, {} expected",
            percent(value),
            within(share(expected), &percent)
        ),
        Some(condition @ (Condition::Mean(_) | Condition::Stddev(_))) => format!(
            "{} {} over the window, {} expected",
            condition.key(),
            shown(value),
            within(expected, &shown)
        ),
        Some(Condition::Between(range)) => values(beyond(range)),
        Some(Condition::In(list)) => values(format!("not in {}", named(list))),
        Some(Condition::NotIn(list)) => values(format!("in {}", named(list))),
    };
    match (&check.name, &check.feature) {
        (Some(name), Some(feature)) if name != feature => format!("{name}: {feature}: {found}"),
        (Some(name), _) => format!("{name}: {found}"),
        (None, Some(feature)) => format!("{feature}: {found}"),
        (None, None) => found,
    }
}

/// What no share is under goes without saying.
fn share([low, high]: Range) -> Range {
    [low.filter(|low| *low > 0.0), high]
}

/// `outside 0 to 10`, `under 0`, `over 10`.
fn beyond(range: Range) -> String {
    match range {
        [Some(low), None] => format!("under {}", exactly(low)),
        [None, Some(high)] => format!("over {}", exactly(high)),
        both => format!("outside {}", within(both, &exactly)),
    }
}

/// `10 to 60`, `at least 10`, `at most 60`.
fn within(range: Range, shown: &dyn Fn(f64) -> String) -> String {
    match range {
        [Some(low), Some(high)] => format!("{} to {}", shown(low), shown(high)),
        [Some(low), None] => format!("at least {}", shown(low)),
        [None, Some(high)] => format!("at most {}", shown(high)),
        [None, None] => "any".to_owned(),
    }
}

fn named(list: &[String]) -> String {
    let first: Vec<&str> = list.iter().take(NAMED).map(String::as_str).collect();
    match list.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn exactly(x: f64) -> String {
    if x != 0.0 && !(1e-4..1e9).contains(&x.abs()) { format!("{x:e}") } else { x.to_string() }
}

/// Four digits, without zeros at the end.
fn shown(x: f64) -> String {
    let digits = x.abs().log10().floor();
    if x == 0.0 || !x.is_finite() {
        return x.to_string();
    }
    if !(-4.0..9.0).contains(&digits) {
        return format!("{x:.3e}");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
    let decimals = (3.0 - digits).max(0.0) as usize;
    let text = format!("{x:.decimals$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
