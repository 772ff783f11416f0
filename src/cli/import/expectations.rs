//! Expectation suites of Great Expectations, 0.x and 1.x.

use serde_json::Value;

use crate::cli::import::{Imported, list, number, open, rest};
use crate::decide::check::{Check, Range, Severity};

/// What is known and has no place here, by the beginning of its name; and why.
const UNMAPPED: [(&str, &str); 19] = [
    (
        "expect_column_to_exist",
        "needs no check: a feature that goes is a fault by itself (schema_change)",
    ),
    (
        "expect_table_column",
        "needs no check: features that go, and new names, are told by themselves",
    ),
    ("expect_column_median", "quantiles have no check"),
    ("expect_column_quantile", "quantiles have no check"),
    (
        "expect_column_sum",
        "the sum over a window depends on its length; write `mean`, and `records`",
    ),
    (
        "expect_column_kl_divergence",
        "live is compared with the training data, not with a histogram of the suite; write `thresholds: {kl: ...}`",
    ),
    ("expect_column_values_to_be_unique", "nothing tells one value of a stream from all before it"),
    ("expect_compound_columns", "nothing tells one row of a stream from all before it"),
    ("expect_select_column_values_to_be_unique", "columns are counted by themselves"),
    ("expect_column_unique_value_count", "distinct values are not counted"),
    ("expect_column_proportion_of_unique", "distinct values are not counted"),
    ("expect_column_distinct_values_to_contain", "a window need not hold every value"),
    ("expect_column_distinct_values_to_equal", "a window need not hold every value; write `in`"),
    ("expect_column_most_common", "what is common is what drift is about"),
    ("expect_column_values_to_be_increasing", "partitions have no common order"),
    ("expect_column_values_to_be_decreasing", "partitions have no common order"),
    ("expect_column_value", "text is counted by what it is, not by how it is written"),
    ("expect_column_pair", "columns are counted by themselves"),
    ("expect_multicolumn", "columns are counted by themselves"),
];

/// A suite as checks.
pub(super) fn import(suite: &Value) -> Result<Imported, String> {
    let Some(all) = suite["expectations"].as_array() else {
        return Err("has no list `expectations`: it is no expectation suite".to_owned());
    };
    let name = suite["name"].as_str().or(suite["expectation_suite_name"].as_str());
    let mut out = Imported { name: name.map(str::to_owned), ..Imported::default() };
    for (at, one) in all.iter().enumerate() {
        let kind = one["type"].as_str().or(one["expectation_type"].as_str());
        match kind {
            Some(kind) => expectation(&mut out, kind, one),
            None => out.skip(&format!("expectations[{at}]"), None, "has no `type`"),
        }
    }
    Ok(out)
}

fn expectation(out: &mut Imported, kind: &str, one: &Value) {
    let kwargs = &one["kwargs"];
    let column = kwargs["column"].as_str();
    if !kwargs["row_condition"].is_null() {
        return out.skip(kind, column, "has a `row_condition`: checks are about all records");
    }
    let half = half_mapped(kind, kwargs);
    match checks(kind, kwargs) {
        Ok(found) if found.is_empty() && half.is_none() => {
            out.skip(kind, column, "both ends are open: it asks nothing");
        }
        Ok(found) => {
            for (check, note) in found {
                if let Some(note) = note {
                    out.note(kind, column, &note);
                }
                let severity = severity(one);
                out.check(kind, Check { feature: column.map(str::to_owned), severity, ..check });
            }
        }
        Err(why) => out.skip(kind, column, &why),
    }
    if let Some(end) = half {
        let why =
            format!("`{end}` is left out: no check asks that a value as far out as that comes");
        out.skip(kind, column, &why);
    }
}

/// `warning` where the suite has none, as those of 0.x.
fn severity(one: &Value) -> Severity {
    match one["severity"].as_str() {
        Some("critical") => Severity::Critical,
        Some("info") => Severity::Info,
        _ => Severity::Warning,
    }
}

/// The end of a range of a minimum or a maximum that can't be asked, where a suite asks it.
fn half_mapped(kind: &str, kwargs: &Value) -> Option<&'static str> {
    let end = match kind {
        "expect_column_min_to_be_between" => "max_value",
        "expect_column_max_to_be_between" => "min_value",
        _ => return None,
    };
    (!kwargs[end].is_null()).then_some(end)
}

type Found = Vec<(Check, Option<String>)>;

/// What an expectation is here; else why it is nothing.
fn checks(kind: &str, kwargs: &Value) -> Result<Found, String> {
    let check = Check::default();
    let mostly = match number(kwargs, "mostly")? {
        Some(share) if !(0.0..=1.0).contains(&share) => {
            return Err(format!("`mostly` is {share}, which is no share"));
        }
        share => share,
    };
    let some = mostly.filter(|share| *share < 1.0);
    let enough = mostly.unwrap_or(1.0);
    let one = |check: Check| Ok(vec![(check, None)]);
    match kind {
        "expect_column_values_to_not_be_null" => {
            one(Check { missing: Some([None, Some(rest(enough))]), ..check })
        }
        "expect_column_values_to_be_null" => {
            one(Check { missing: Some([Some(enough), None]), ..check })
        }
        "expect_column_proportion_of_non_null_values_to_be_between" => {
            let [low, high] = range(kwargs)?;
            if ["strict_min", "strict_max"].iter().any(|key| kwargs[*key] == Value::Bool(true)) {
                return Err(
                    "has a strict end; a share has none, write `missing` by hand".to_owned()
                );
            }
            one(Check { missing: Some([high.map(rest), low.map(rest)]), ..check })
        }
        "expect_column_values_to_be_between" => {
            one(Check { between: Some(range(kwargs)?), mostly: some, ..check })
        }
        "expect_column_min_to_be_between" if !kwargs["min_value"].is_null() => {
            one(Check { between: Some([range(kwargs)?[0], None]), ..check })
        }
        "expect_column_max_to_be_between" if !kwargs["max_value"].is_null() => {
            one(Check { between: Some([None, range(kwargs)?[1]]), ..check })
        }
        // What is left of them is told as the end that can't be asked.
        "expect_column_min_to_be_between" | "expect_column_max_to_be_between" => Ok(Vec::new()),
        "expect_column_mean_to_be_between" => one(Check { mean: Some(range(kwargs)?), ..check }),
        "expect_column_stdev_to_be_between" => one(Check { stddev: Some(range(kwargs)?), ..check }),
        "expect_column_values_to_be_in_set" | "expect_column_distinct_values_to_be_in_set" => {
            let values = list(&kwargs["value_set"], "value_set")?;
            one(Check { one_of: Some(values), mostly: some, ..check })
        }
        "expect_column_values_to_not_be_in_set" => {
            let values = list(&kwargs["value_set"], "value_set")?;
            one(Check { not_in: Some(values), mostly: some, ..check })
        }
        "expect_column_values_to_be_of_type" => {
            let wanted = kwargs["type_"].as_str().unwrap_or("?");
            let note = format!("the type is that of the baseline's column, whatever `{wanted}` is");
            Ok(vec![(Check { type_error: Some([None, Some(rest(enough))]), ..check }, Some(note))])
        }
        "expect_table_row_count_to_be_between" => {
            let note = "is asked of the records of a window: a batch had others".to_owned();
            Ok(vec![(Check { records: Some(range(kwargs)?), ..check }, Some(note))])
        }
        _ => {
            let known = UNMAPPED.iter().find(|(name, _)| kind.starts_with(name));
            Err(known.map_or("there is no such check", |(_, why)| why).to_owned())
        }
    }
}

/// `min_value` to `max_value`, strict ends left out.
fn range(kwargs: &Value) -> Result<Range, String> {
    let strict = |key: &str| kwargs[key] == Value::Bool(true);
    let ends = [number(kwargs, "min_value")?, number(kwargs, "max_value")?];
    open(ends, [strict("strict_min"), strict("strict_max")])
}
