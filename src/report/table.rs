//! Verdicts as a text table for people, worst first, and a last line that says it all.

use std::cmp::Reverse;

use crate::compare::Statistic;
use crate::decide::FeatureVerdict;
use crate::decide::Level;
use crate::decide::Verdict;
use crate::decide::VerdictRule;
use crate::decide::check::CheckView;
use crate::decide::crossings;
use crate::feature::Kind;
use crate::report::compare::Comparison;
use crate::report::compare::is_violated;
use crate::report::compare::reaches;
use crate::report::words::cut;
use crate::report::words::printable_text;

/// Longer names are cut: a table that wraps can't be read.
const NAME_MAX: usize = 40;

/// One line per feature under a header, columns aligned, then those of the checks, then the summary.
///
/// `statistics` are the columns; the first has its noise floor and its lowest threshold beside it.
pub fn table(
    comparison: &Comparison,
    rule: &VerdictRule<'_>,
    statistics: &[Statistic],
    fail_on: Level,
) -> String {
    let mut features: Vec<&FeatureVerdict> = comparison.features.iter().collect();
    let score = |feature: &FeatureVerdict| {
        statistics.first().and_then(|first| feature.scores.get(first)).map_or(-1.0, |s| s.value)
    };
    features.sort_by(|a, b| {
        let by_verdict = Reverse(a.verdict).cmp(&Reverse(b.verdict));
        by_verdict.then(score(b).total_cmp(&score(a))).then(a.feature.cmp(&b.feature))
    });
    let mut rows = vec![header(statistics)];
    rows.extend(features.iter().map(|feature| row(feature, rule, statistics)));
    let mut text = align(&rows);
    text.push('\n');
    if !comparison.checks.is_empty() {
        text.push_str(&checks(comparison));
        text.push('\n');
    }
    text.push_str(&summary(comparison, rule, fail_on));
    text.push('\n');
    text
}

/// One line: the outcome, how many features crossed, the worst with its numbers, what was left out.
pub fn summary(comparison: &Comparison, rule: &VerdictRule<'_>, fail_on: Level) -> String {
    let features = &comparison.features;
    let over = |feature: &&FeatureVerdict| reaches(feature.verdict, fail_on);
    let judged = |feature: &&FeatureVerdict| {
        !matches!(feature.verdict, Verdict::Unusable | Verdict::AbsentInLive)
    };
    let (n_over, n_judged) =
        (features.iter().filter(over).count(), features.iter().filter(judged).count());
    let mut line = format!(
        "{}: {n_over} of {n_judged} features at {} or above",
        comparison.verdict.as_str(),
        fail_on.as_str()
    );
    let worst = features.iter().filter(over).flat_map(|feature| {
        crossings(feature, rule).into_iter().take(1).map(|crossing| (&feature.feature, crossing))
    });
    let excess = |score: f64, threshold: f64| score / threshold.max(f64::MIN_POSITIVE);
    let worst = worst.max_by(|(_, a), (_, b)| {
        let by_level = a.level.cmp(&b.level);
        by_level.then(excess(a.score, a.threshold).total_cmp(&excess(b.score, b.threshold)))
    });
    if let Some((name, crossing)) = worst {
        let (name, statistic) = (printable(name), crossing.statistic);
        let (score, threshold) = (number(crossing.score), number(crossing.threshold));
        line.push_str(&format!(" (worst: {name}, {statistic} {score} above {threshold})"));
    }
    let left_out = [
        (Verdict::InsufficientSamples, "with too few records to say"),
        (Verdict::AbsentInLive, "absent in live"),
        (Verdict::Unusable, "unusable"),
    ];
    for (verdict, text) in left_out {
        let n = features.iter().filter(|feature| feature.verdict == verdict).count();
        if n > 0 {
            line.push_str(&format!("; {n} {text}"));
        }
    }
    line.push_str(&printable_text(&comparison.checked()));
    line
}

/// One line per check, the violated ones first.
fn checks(comparison: &Comparison) -> String {
    let mut all: Vec<&CheckView> = comparison.checks.iter().collect();
    all.sort_by_key(|check| (!is_violated(check), Reverse(check.severity)));
    let header = ["check", "state", "severity", ""].map(str::to_owned).into();
    let row = |check: &CheckView| {
        let words = [check.state.as_str(), check.severity.as_str()].map(str::to_owned);
        let [state, severity] = words;
        vec![printable(&check.check), state, severity, printable_text(&check.sentence)]
    };
    let rows: Vec<Vec<String>> = [header].into_iter().chain(all.into_iter().map(row)).collect();
    align(&rows)
}

fn header(statistics: &[Statistic]) -> Vec<String> {
    let mut cells: Vec<String> = ["feature", "kind", "verdict"].map(str::to_owned).into();
    for (i, statistic) in statistics.iter().enumerate() {
        cells.push(statistic.as_str().to_owned());
        if i == 0 {
            cells.extend(["floor", "threshold"].map(str::to_owned));
        }
    }
    cells.extend(["n", "m", ""].map(str::to_owned));
    cells
}

fn row(feature: &FeatureVerdict, rule: &VerdictRule<'_>, statistics: &[Statistic]) -> Vec<String> {
    let mut cells =
        vec![printable(&feature.feature), kind(feature), verdict(feature.verdict).to_owned()];
    for (i, statistic) in statistics.iter().enumerate() {
        let score = feature.scores.get(statistic);
        let or_dash = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        cells.push(or_dash(score.map(|score| score.value)));
        if i == 0 {
            cells.push(or_dash(score.and_then(|score| score.noise_floor)));
            cells.push(or_dash(score.and_then(|score| score.threshold)));
        }
    }
    cells.push(feature.live_count.to_string());
    cells.push(feature.reference_count.to_string());
    cells.push(remark(feature, rule, statistics.first().copied()));
    cells
}

/// What the columns don't say: lines crossed by other statistics, or why there is no verdict.
fn remark(feature: &FeatureVerdict, rule: &VerdictRule<'_>, first: Option<Statistic>) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut told: Vec<Statistic> = first.into_iter().collect();
    for crossing in crossings(feature, rule) {
        if !told.contains(&crossing.statistic) {
            told.push(crossing.statistic);
            let (score, threshold) = (number(crossing.score), number(crossing.threshold));
            parts.push(format!("{} {score} above {threshold}", crossing.statistic));
        }
    }
    if let Some(records) = feature.records_needed {
        parts.push(format!("needs {records} records"));
    }
    parts.extend(feature.reason.as_deref().map(printable_text));
    parts.join(", ")
}

fn kind(feature: &FeatureVerdict) -> String {
    match feature.kind {
        Kind::Numeric => "numeric".to_owned(),
        Kind::Categorical => "categorical".to_owned(),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unusable => "unusable",
        Verdict::AbsentInLive => "absent_in_live",
        Verdict::InsufficientSamples => "insufficient_samples",
        Verdict::Stable => "stable",
        Verdict::Notice => "notice",
        Verdict::Warning => "warning",
        Verdict::Drifted => "drifted",
        Verdict::Fault => "fault",
    }
}

/// Four decimals, or two digits with an exponent where those would show nothing or too much.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e7 || (size > 0.0 && size < 1e-3) {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A column's name, which a file may have filled with anything, on one line and not too long.
pub(super) fn printable(name: &str) -> String {
    cut(name, NAME_MAX)
}

/// Columns as wide as their widest cell, two spaces apart; numbers to the right, words to the left.
pub(super) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |k: usize| rows.iter().map(|row| row[k].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (k, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[k] - cell.chars().count());
            let is_word = k < 3 || k + 1 == columns;
            let (before, after) = if is_word { ("", pad.as_str()) } else { (pad.as_str(), "") };
            let gap = if k == 0 { "" } else { "  " };
            line.extend([gap, before, cell, after]);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decide::default_thresholds;
    use crate::decide::view::VerdictScore;
    use crate::feature::Role;

    fn feature(name: &str, verdict: Verdict, psi: Option<f64>) -> FeatureVerdict {
        let score = |value| VerdictScore {
            value,
            noise_floor: Some(0.03),
            p_value: Some(1e-9),
            threshold: Some(0.1),
        };
        FeatureVerdict {
            feature: name.to_owned(),
            kind: Kind::Numeric,
            role: Role::Feature,
            verdict,
            reference_count: 10_000,
            live_count: 500,
            scores: psi.map(|psi| (Statistic::Psi, score(psi))).into_iter().collect(),
            reason: None,
            records_needed: None,
            onset: None,
            season: None,
        }
    }

    fn shown(features: Vec<FeatureVerdict>) -> String {
        let thresholds = default_thresholds();
        let rule = VerdictRule {
            thresholds: &thresholds,
            design_effect: 1.0,
            min_records: 200,
            alpha: 1e-3,
            tolerance: 0.01,
        };
        let comparison = Comparison::new(features, Level::Warning);
        table(&comparison, &rule, &[Statistic::Psi, Statistic::Ks], Level::Warning)
    }

    #[test]
    fn worst_comes_first_and_columns_line_up() {
        let mut nulls = feature("country", Verdict::Warning, Some(0.0004));
        let (noise_floor, p_value, threshold) = (None, Some(0.0), Some(0.01));
        let missing = VerdictScore { value: 0.25, noise_floor, p_value, threshold };
        nulls.scores.extend(BTreeMap::from([(Statistic::Missing, missing)]));
        let mut few = feature("age", Verdict::InsufficientSamples, Some(0.02));
        few.records_needed = Some(283);
        let text = shown(vec![
            feature("amount", Verdict::Stable, Some(0.0021)),
            nulls,
            feature("balance", Verdict::Drifted, Some(0.412_34)),
            few,
            feature("label", Verdict::AbsentInLive, None),
        ]);
        let expected = "\
feature  kind     verdict                  psi  floor  threshold  ks    n      m
balance  numeric  drifted               0.4123   0.03        0.1   -  500  10000
country  numeric  warning               4.0e-4   0.03        0.1   -  500  10000  missing 0.25 above 0.01
amount   numeric  stable                0.0021   0.03        0.1   -  500  10000
age      numeric  insufficient_samples    0.02   0.03        0.1   -  500  10000  needs 283 records
label    numeric  absent_in_live             -      -          -   -  500  10000

drifted: 2 of 4 features at warning or above (worst: balance, psi 0.4123 above 0.2); 1 with too few records to say; 1 absent in live
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_hostile_name_cannot_drive_the_terminal() {
        let name = format!("\u{1b}[2J\n{}", "x".repeat(80));
        let text = shown(vec![feature(&name, Verdict::Stable, Some(0.001))]);
        assert!(!text.contains('\u{1b}'));
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains('…'));
    }
}
