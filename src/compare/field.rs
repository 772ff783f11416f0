//! The golden shapes: our numbers against those of SciPy, NannyML, Alibi Detect and Evidently.
//!
//! On the same bins they are equal; on raw values they differ by no more than bins and cells cost,
//! by bounds that docs/statistics.md derives and that are computed here from the counts.

use std::fs;

use serde_json::Value;

use crate::baseline::Convention;
use crate::baseline::FeatureBaseline;
use crate::compare::FLOOR_ALPHA;
use crate::compare::Input;
use crate::compare::Scores;
use crate::compare::Statistic;
use crate::compare::enclosure::enclosure;
use crate::compare::ks;
use crate::compare::scores;
use crate::compare::shapes::Shape;
use crate::compare::shapes::shapes;
use crate::histogram::Cells;
use crate::histogram::Counts;
use crate::histogram::NumericCells;

/// A shape counted by us, and what the tools said.
struct Case {
    golden: Value,
    baseline: FeatureBaseline,
    live: Counts,
    scores: Scores,
}

impl Case {
    fn name(&self) -> &str {
        self.golden["name"].as_str().unwrap()
    }

    fn score(&self, statistic: &str) -> f64 {
        let found = self.scores.get(statistic.parse().unwrap());
        found.unwrap_or_else(|| panic!("{}: no {statistic}", self.name())).value
    }

    fn numeric(&self) -> Option<&NumericCells> {
        match &self.baseline.cells {
            Cells::Numeric(cells) => Some(cells),
            Cells::Categorical(_) => None,
        }
    }

    /// What `tool` said, by statistic.
    fn said(&self, tool: &str, of: &str) -> Vec<(String, f64)> {
        let said = self.golden[tool][of].as_object();
        let numbers =
            said.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.as_f64()?)));
        numbers.collect()
    }
}

fn golden(key: &str) -> Vec<Value> {
    let path = format!("{}/fixtures/golden/shapes.json", env!("CARGO_MANIFEST_DIR"));
    let golden: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    golden[key].as_array().unwrap().clone()
}

fn cases(convention: Convention) -> Vec<Case> {
    let golden = golden("shapes");
    let shapes = shapes();
    assert_eq!(golden.len(), shapes.len());
    let case = |(golden, shape): (Value, Shape)| {
        assert_eq!(golden["name"], shape.name);
        let (baseline, live) = shape.counted(convention);
        let (design_effect, alpha) = (1.0, FLOOR_ALPHA);
        let input = Input { baseline: &baseline, live: &live, design_effect, alpha };
        let scores = scores(&input);
        Case { golden, baseline, live, scores }
    };
    golden.into_iter().zip(shapes).map(case).collect()
}

/// Relative above 1, absolute below.
fn assert_near(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    let error = (ours - theirs).abs() / theirs.abs().max(1.0);
    assert!(error <= tolerance, "{what}: {ours:e}, not {theirs:e} (off by {error:e})");
}

#[test]
fn the_data_are_those_that_the_tools_saw() {
    for case in cases(Convention::Driftd) {
        let sides = case.golden["sums"].as_array().into_iter().flatten();
        let Some(cells) = case.numeric() else { continue };
        for (counts, sum) in [&case.baseline.reference, &case.live].into_iter().zip(sides) {
            let n = counts.in_cells();
            let mean = cells.scale.mean(counts).unwrap_or(0.0);
            // Each value is rounded to 2^-20 of the scale's unit.
            let rounding = cells.scale.unit * n as f64 / f64::from(1 << 20);
            let error = (mean * n as f64 - sum.as_f64().unwrap()).abs();
            assert!(error <= rounding.max(1e-9), "{}: {error:e}", case.name());
        }
    }
}

#[test]
fn on_the_same_bins_all_tools_say_the_same() {
    // Alibi Detect rounds to f32.
    for (tool, tolerance) in [("scipy", 1e-9), ("nannyml", 1e-9), ("alibi", 1e-6)] {
        let mut compared = 0;
        for case in cases(Convention::Driftd) {
            for (statistic, theirs) in case.said(tool, "on_bins") {
                let what = format!("{tool}: {} {statistic}", case.name());
                assert_near(&what, case.score(&statistic), theirs, tolerance);
                compared += 1;
            }
        }
        assert!(compared >= 12, "{tool}: {compared}");
    }
}

#[test]
fn of_nothing_nothing_is_said() {
    let cases = cases(Convention::Driftd);
    let case = cases.iter().find(|case| case.name() == "all missing").unwrap();
    assert!(case.golden["scipy"].is_null() && case.golden["evidently"].is_null());
    assert!(case.scores.iter().all(|(statistic, _)| statistic.is_rate()));
    let missing = case.scores.get(Statistic::Missing).unwrap();
    assert_near("missing", missing.value, 1.0, 1e-15);
}

/// The largest reference share of a cell that is no atom: no more can be between two edges.
fn ks_bound(cells: &NumericCells, reference: &Counts) -> f64 {
    let m = reference.in_cells() as f64;
    let is_atom = |k: usize| {
        k > 0 && k < cells.edges.len() && cells.edges[k].next_down() <= cells.edges[k - 1]
    };
    let counts = reference.cells.iter().enumerate().filter(|&(k, _)| !is_atom(k));
    counts.map(|(_, &count)| count as f64 / m).fold(0.0, f64::max)
}

#[test]
fn ks_on_cells_is_low_by_at_most_the_largest_cell() {
    for case in cases(Convention::Driftd) {
        let Some(cells) = case.numeric() else { continue };
        let bound = ks_bound(cells, &case.baseline.reference);
        // Two quantiles' worth where an atom leaves a cell beside it; a rank more in few rows.
        let m = case.baseline.reference.in_cells() as f64;
        assert!(bound <= 2.0 * (1.0 / 240.0 + 1.0 / m), "{}: {bound}", case.name());
        for tool in ["scipy", "alibi"] {
            for (_, theirs) in case.said(tool, "on_values").iter().filter(|(k, _)| k == "ks") {
                let low_by = theirs - case.score("ks");
                let what = format!("{tool}: {}: low by {low_by}, bound {bound}", case.name());
                assert!((-1e-7..=bound + 1e-7).contains(&low_by), "{what}");
            }
        }
    }
}

/// docs/statistics.md: from e = 16 on, at every p.
const KS_P_WITHIN: f64 = 1e-3;

#[test]
fn the_law_of_ks_is_scipys() {
    for row in golden("ks_law") {
        let number = |key: &str| row[key].as_f64().unwrap();
        let (e, theirs) = (number("e"), number("p"));
        let ours = ks::p_value(number("distance"), e.recip());
        assert!((ours - theirs).abs() <= KS_P_WITHIN, "e {e}: {ours} {theirs}");
    }
}

#[test]
fn p_values_of_ks_are_scipys() {
    for case in cases(Convention::Driftd) {
        let said = case.said("scipy", "ks_p_value");
        let Some((_, theirs)) = said.iter().find(|(law, _)| law == "ks_2samp") else { continue };
        // A constant has one cell and no p-value.
        if case.scores.get(Statistic::Ks).unwrap().p_value.is_none() {
            continue;
        }
        // SciPy rounds e to a whole number; ours does not.
        let (m, n) = (case.baseline.reference.in_cells() as f64, case.live.in_cells() as f64);
        let e = (m * n / (m + n)).round();
        let ours = ks::p_value(case.score("ks"), e.recip());
        assert!((ours - theirs).abs() <= KS_P_WITHIN, "{}: {ours} {theirs}", case.name());
    }
}

/// `sum w (p + q) / 2` over inner cells, and twice the outer cells' shares times their means'
/// distance from the edge: what linear F inside cells, and a single place for each tail, can cost.
fn wasserstein_bound(cells: &NumericCells, reference: &Counts, live: &Counts) -> f64 {
    let side = |counts: &Counts| {
        let n = counts.in_cells() as f64;
        let share = |k: usize| counts.cells[k] as f64 / n;
        let top = cells.edges.len();
        let inner = (1..top).map(|k| 0.5 * (cells.edges[k] - cells.edges[k - 1]) * share(k));
        let from = |edge: f64, sum, k: usize| {
            let mean = cells.scale.to_mean(sum, counts.cells[k]);
            2.0 * share(k) * mean.map_or(0.0, |mean| (mean - edge).abs())
        };
        let outer = from(cells.edges[0], counts.low_sum, 0)
            + from(cells.edges[top - 1], counts.high_sum, top);
        inner.sum::<f64>() + outer
    };
    // Sums are rounded to steps of 2^-20 of the unit.
    side(reference) + side(live) + cells.scale.unit / f64::from(1 << 20)
}

#[test]
fn wasserstein_is_within_its_bound_heavy_tails_too() {
    for case in cases(Convention::Driftd) {
        let Some(cells) = case.numeric() else { continue };
        for (statistic, theirs) in case.said("scipy", "on_values") {
            let bound = wasserstein_bound(cells, &case.baseline.reference, &case.live);
            let bound = match statistic.as_str() {
                "wasserstein_raw" => bound,
                "wasserstein" => bound / case.baseline.sd.unwrap(),
                _ => continue,
            };
            let error = (case.score(&statistic) - theirs).abs();
            assert!(error <= bound, "{} {statistic}: off by {error}, bound {bound}", case.name());
        }
    }
}

#[test]
fn nannyml_below_ten_thousand_values_has_scipys_distances() {
    let cases = cases(Convention::Driftd);
    let mut exact = cases.iter().filter(|case| case.golden["nannyml"]["exact"] == true).peekable();
    assert!(exact.peek().is_some());
    for case in exact {
        let cells = case.numeric().unwrap();
        let bounds = [
            ("ks", ks_bound(cells, &case.baseline.reference)),
            ("wasserstein_raw", wasserstein_bound(cells, &case.baseline.reference, &case.live)),
        ];
        let said = case.said("nannyml", "on_values");
        for (statistic, bound) in bounds {
            let theirs = said.iter().find(|(k, _)| k == statistic).unwrap().1;
            assert!((case.score(statistic) - theirs).abs() <= bound, "{} {statistic}", case.name());
        }
    }
}

/// Evidently's quantities that follow from bins.
const ON_BINS: [&str; 3] = ["psi", "kl", "js_distance"];

#[test]
fn evidentlys_numbers_are_ours_while_live_is_in_range() {
    let mut compared = 0;
    for case in cases(Convention::Evidently) {
        // Categories beyond those listed, and several new values, are one bin here.
        let lumped = case.live.unseen > 0 || case.baseline.distinct > 255;
        let inside = match case.numeric() {
            Some(_) => case.baseline.distinct <= 20 || case.live.below + case.live.above == 0,
            None => !lumped,
        };
        for (statistic, theirs) in case.said("evidently", "on_values") {
            let what = format!("{} {statistic}", case.name());
            let on_bins = ON_BINS.contains(&statistic.as_str()) || statistic == "hellinger";
            if inside && on_bins {
                assert_near(&what, case.score(&statistic), theirs, 1e-9);
                compared += 1;
            } else if statistic == "chi_square_p_value" {
                // Infinite, and so absent, where a new value has no expected count.
                let ours = case.scores.get(Statistic::ChiSquare).and_then(|score| score.p_value);
                assert_eq!(ours.is_none(), case.live.unseen > 0, "{what}");
                // Theirs is 1 less the distribution function.
                assert_near(&what, ours.unwrap_or(0.0), theirs, 1e-12);
            }
        }
    }
    assert!(compared >= 30, "{compared}");
}

#[test]
fn evidentlys_numbers_are_within_their_limits_where_live_leaves_the_range() {
    let mut left = 0;
    for case in cases(Convention::Evidently) {
        if case.numeric().is_none() || case.baseline.distinct <= 20 || case.live.in_cells() == 0 {
            continue;
        }
        let limits = enclosure(&case.baseline, &case.live);
        let outside = case.live.below + case.live.above;
        let said = case.said("evidently", "on_values");
        for (statistic, (low, high)) in ON_BINS.into_iter().zip(limits) {
            let theirs = said.iter().find(|(key, _)| key == statistic).unwrap().1;
            let ours = case.score(statistic);
            let within = low - 1e-9..=high + 1e-9;
            assert!(within.contains(&theirs), "{} {statistic}: {theirs} {limits:?}", case.name());
            assert!(within.contains(&ours), "{} {statistic}: {ours} {limits:?}", case.name());
            if outside == 0 {
                assert_near(case.name(), low, theirs, 1e-9);
                assert_near(case.name(), high, theirs, 1e-9);
            } else {
                left += 1;
            }
        }
    }
    assert!(left >= 15, "{left}");
}

#[test]
fn evidentlys_wasserstein_is_within_its_bound() {
    for case in cases(Convention::Evidently) {
        let said = case.said("evidently", "on_values");
        let Some((_, theirs)) = said.iter().find(|(key, _)| key == "wasserstein") else { continue };
        let cells = case.numeric().unwrap();
        let unit = case.baseline.sd.unwrap().max(1e-3);
        let bound = wasserstein_bound(cells, &case.baseline.reference, &case.live) / unit;
        let error = (case.score("wasserstein") - theirs).abs();
        assert!(error <= bound + 1e-9, "{}: off by {error}, bound {bound}", case.name());
    }
}

/// Values that Evidently tells apart and we do not: `I(side; value | lump) <= ln 2` of the lump's mean
/// share for Jensen-Shannon, whose lumps of new values lose nothing; `Q ln k` of PSI for `k` new
/// values, less at most one fill's term.
#[test]
fn values_in_one_bin_cost_no_more_than_their_share_allows() {
    for case in cases(Convention::Evidently) {
        let said = case.said("evidently", "on_values");
        let theirs = |key: &str| said.iter().find(|(k, _)| k == key).unwrap().1;
        let share = |counts: &Counts, k: usize| {
            counts.cells[k] as f64 / (counts.in_cells() + counts.unseen) as f64
        };
        let Cells::Categorical(cells) = &case.baseline.cells else { continue };
        let rest = cells.categories.len();
        let mean = 0.5 * (share(&case.baseline.reference, rest) + share(&case.live, rest));
        let (ours, full) = (case.score("js_distance").powi(2), theirs("js_distance").powi(2));
        assert!((-1e-12..=mean * std::f64::consts::LN_2 + 1e-12).contains(&(full - ours)));
        if mean > 0.0 {
            continue;
        }
        let unseen = case.live.unseen as f64;
        let q = unseen / (case.live.in_cells() as f64 + unseen);
        let entropy = if unseen > 0.0 { q * unseen.ln() } else { 0.0 };
        let fill = if unseen > 0.0 { 1e-4 * (q / 1e-4).ln() } else { 0.0 };
        let over = case.score("psi") - theirs("psi");
        assert!((-fill - 1e-12..=entropy + 1e-12).contains(&over), "{}: {over}", case.name());
    }
}
