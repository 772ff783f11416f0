//! Reports of Evidently 0.7 as they are saved: each metric with its settings and its tests.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::baseline::Convention;
use crate::cli::import::{Imported, kind, list, number, open, rest, shown};
use crate::compare::{Statistic, unit};
use crate::decide::DEFAULT_PSI_TOLERANCE;
use crate::decide::check::{Check, Range, Severity};

const METRIC: &str = "evidently:metric_v2:";
const TEST: &str = "evidently:test_v2:";
/// The line of PSI that retrains unless another is written.
const PSI_RETRAIN: f64 = 0.2;

/// The lines of each method, with the columns that they were asked of.
type Lines = BTreeMap<Statistic, Vec<(f64, String)>>;

/// A report as checks and thresholds.
pub(super) fn import(report: &Value) -> Result<Imported, String> {
    let Some(all) = report["metrics"].as_array() else {
        return Err(
            "has no list `metrics`: it is no report of Evidently 0.7, saved as JSON".to_owned()
        );
    };
    let (mut out, mut lines) = (Imported::default(), Lines::new());
    let mut min_share = None;
    for (at, one) in all.iter().enumerate() {
        let config = &one["config"];
        let metric = config["type"].as_str().and_then(|name| name.strip_prefix(METRIC));
        let Some(metric) = metric else {
            out.skip(
                &format!("metrics[{at}]"),
                None,
                "has no `config` of a metric of Evidently 0.7",
            );
            continue;
        };
        match metric {
            "ValueDrift" => drift(&mut out, &mut lines, config),
            "DriftedColumnsCount" => {
                match number(config, "drift_share") {
                    Ok(Some(share)) if (0.0..=1.0).contains(&share) => {
                        min_share = min_share.into_iter().chain([share]).reduce(f64::min);
                    }
                    Ok(None) => {}
                    Ok(Some(_)) | Err(_) => {
                        out.skip(metric, None, "its `drift_share` is no share of columns");
                    }
                }
                tests(&mut out, metric, config, "tests", None);
            }
            metric => tested(&mut out, metric, config),
        }
    }
    out.drift_config.extend(min_share.map(|share| format!("min_share: {}", shown(share))));
    thresholds(&mut out, lines);
    Ok(out)
}

fn statistic(method: &str) -> Option<Statistic> {
    Some(match method {
        "psi" | "PSI" => Statistic::Psi,
        "jensenshannon" | "Jensen-Shannon distance" => Statistic::JsDistance,
        "kl_div" | "Kullback-Leibler divergence" => Statistic::Kl,
        "wasserstein" | "Wasserstein distance (normed)" => Statistic::Wasserstein,
        "hellinger" | "Hellinger distance" => Statistic::Hellinger,
        _ => return None,
    })
}

fn drift(out: &mut Imported, lines: &mut Lines, config: &Value) {
    let column = config["column"].as_str();
    let method = config["method"].as_str().unwrap_or("?");
    match (statistic(method), number(config, "threshold")) {
        (Some(statistic), Ok(Some(line))) if !is_reachable(statistic, line) => {
            let why = format!("{statistic} is never above its line of {}", shown(line));
            out.skip("ValueDrift", column, &why);
        }
        (Some(statistic), Ok(Some(line))) if line > 0.0 => {
            lines.entry(statistic).or_default().push((line, column.unwrap_or("?").to_owned()));
        }
        (Some(_), _) => out.skip("ValueDrift", column, "has no threshold above 0"),
        (None, _) => {
            let why = format!(
                "`{method}` is no size: with enough records every p-value is small; set a line such as psi"
            );
            out.skip("ValueDrift", column, &why);
        }
    }
    tests(out, "ValueDrift", config, "tests", None);
}

/// Whether a value of it can lie above the line.
fn is_reachable(statistic: Statistic, line: f64) -> bool {
    let bounded = matches!(statistic, Statistic::JsDistance | Statistic::Hellinger);
    !bounded || line < unit(Convention::Evidently, statistic)
}

/// One line a statistic, for all features.
fn thresholds(out: &mut Imported, lines: Lines) {
    if lines.is_empty() {
        return;
    }
    out.drift_config.push("profile: evidently".to_owned());
    let mut written = Vec::new();
    for (statistic, mut of) in lines {
        of.sort_by(|a, b| a.0.total_cmp(&b.0));
        let line = of[0].0;
        for (other, column) in of.iter().filter(|(other, _)| *other > line) {
            let why = format!(
                "{statistic} {} is not kept: a statistic has one line for all features, here {}",
                shown(*other),
                shown(line)
            );
            out.skip("ValueDrift", Some(column), &why);
        }
        match statistic {
            Statistic::Psi => {
                written.push(format!("psi_alert: {}", shown(line)));
                if line < DEFAULT_PSI_TOLERANCE {
                    written.push(format!("psi_tolerance: {}", shown(line)));
                }
                if line > PSI_RETRAIN {
                    written.push(format!("psi_retrain: {}", shown(line)));
                }
            }
            other => written.push(format!("{other}: {}", shown(line))),
        }
    }
    out.drift_config.push(format!("thresholds: {{{}}}", written.join(", ")));
    let note = "a line is for all features, whichever column it was asked of, and warns";
    out.note("ValueDrift", None, note);
}

/// A metric that is a check where tests are asked of it.
fn tested(out: &mut Imported, metric: &str, config: &Value) {
    let check = Check { feature: config["column"].as_str().map(str::to_owned), ..Check::default() };
    let inside = |range: Range| match range {
        [Some(low), None] => Some(low),
        _ => None,
    };
    let outside = |range: Range| match range {
        // A share is never under 0.
        [None | Some(0.0), Some(high)] => Some(rest(high)),
        _ => None,
    };
    let ends = || match (number(config, "left"), number(config, "right")) {
        (Ok(left), Ok(right)) => Some([left, right]),
        _ => None,
    };
    let values = || list(&config["values"], "values").ok();
    let some = |share: f64| Some(share).filter(|share| *share < 1.0);
    let make: &dyn Fn(Range) -> Option<Check> = match metric {
        "RowCount" => &|range| Some(Check { records: Some(range), ..Check::default() }),
        "MeanValue" => &|range| Some(Check { mean: Some(range), ..check.clone() }),
        "StdValue" => &|range| Some(Check { stddev: Some(range), ..check.clone() }),
        "MinValue" => &|range| {
            let low = inside(range)?;
            Some(Check { between: Some([Some(low), None]), ..check.clone() })
        },
        "MaxValue" => &|range| match range {
            [None, high] => Some(Check { between: Some([None, high]), ..check.clone() }),
            _ => None,
        },
        "MissingValueCount" => &|range| Some(Check { missing: Some(range), ..check.clone() }),
        "InRangeValueCount" => &|range| {
            let mostly = some(inside(range)?);
            Some(Check { between: Some(ends()?), mostly, ..check.clone() })
        },
        "OutRangeValueCount" => &|range| {
            let mostly = some(outside(range)?);
            Some(Check { between: Some(ends()?), mostly, ..check.clone() })
        },
        "InListValueCount" => &|range| {
            let mostly = some(inside(range)?);
            Some(Check { one_of: Some(values()?), mostly, ..check.clone() })
        },
        "OutListValueCount" => &|range| {
            let mostly = some(outside(range)?);
            Some(Check { one_of: Some(values()?), mostly, ..check.clone() })
        },
        _ => {
            tests(out, metric, config, "tests", None);
            return tests(out, metric, config, "share_tests", None);
        }
    };
    let counts = metric.ends_with("ValueCount");
    tests(out, metric, config, "tests", Some(make).filter(|_| !counts));
    tests(out, metric, config, "share_tests", Some(make).filter(|_| counts));
}

/// The tests of one metric as one check where they are one range, else one each.
fn tests(
    out: &mut Imported,
    metric: &str,
    config: &Value,
    key: &str,
    make: Option<&dyn Fn(Range) -> Option<Check>>,
) {
    let column = config["column"].as_str();
    let all = config[key].as_array().into_iter().flatten();
    let (mut whole, mut severity): (Range, Severity) = ([None, None], Severity::Warning);
    for test in all {
        let name = test["type"].as_str().and_then(|name| name.strip_prefix(TEST)).unwrap_or("?");
        let Some(_) = make else {
            let why = match key {
                "tests" if metric.ends_with("ValueCount") => {
                    "a count depends on the batch; test its share"
                }
                _ => "there is no such check",
            };
            out.skip(&format!("{metric}.{name}"), column, why);
            continue;
        };
        match range(name, test) {
            Ok([low, high]) => {
                let tighter = |a: Option<f64>, b: Option<f64>, of: fn(f64, f64) -> f64| match (a, b)
                {
                    (Some(a), Some(b)) => Some(of(a, b)),
                    (a, b) => a.or(b),
                };
                whole = [tighter(whole[0], low, f64::max), tighter(whole[1], high, f64::min)];
                if test["is_critical"] != Value::Bool(false) {
                    severity = Severity::Critical;
                }
            }
            Err(why) => out.skip(&format!("{metric}.{name}"), column, &why),
        }
    }
    if whole == [None, None] {
        return;
    }
    match make.and_then(|make| make(whole)) {
        Some(check) => {
            if metric == "RowCount" {
                out.note(metric, None, "is asked of the records of a window: a batch had others");
            }
            out.check(metric, Check { severity, ..check });
        }
        None => out.skip(metric, column, "this end of it can't be asked of a stream"),
    }
}

/// What a test lets pass.
fn range(name: &str, test: &Value) -> Result<Range, String> {
    let key = if name == "EqualMetricTest" { "expected" } else { "threshold" };
    if test[key].is_object() {
        return Err("is relative to the reference: write the number that is meant".to_owned());
    }
    let end = number(test, key)?.ok_or_else(|| format!("`{key}` is {}", kind(&test[key])))?;
    match name {
        "LessOrEqualMetricTest" => Ok([None, Some(end)]),
        "LessThanMetricTest" => open([None, Some(end)], [false, true]),
        "GreaterOrEqualMetricTest" => Ok([Some(end), None]),
        "GreaterThanMetricTest" => open([Some(end), None], [true, false]),
        "EqualMetricTest" => Ok([Some(end), Some(end)]),
        _ => Err("there is no such check".to_owned()),
    }
}
