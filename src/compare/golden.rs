//! Golden vectors: closed forms at 60 digits (`statistics.json`) and SciPy's answers (`scipy.json`).

use std::fs;

use serde_json::Value;

use crate::baseline::FeatureBaseline;
use crate::compare::FLOOR_ALPHA;
use crate::compare::Input;
use crate::compare::Statistic;
use crate::compare::chi_squared_law;
use crate::compare::ks;
use crate::compare::mean_shift;
use crate::compare::noise::Noise;
use crate::compare::pair::Pair;
use crate::compare::quantiles;
use crate::compare::rates::Known;
use crate::compare::rates::Rate;
use crate::compare::scores;
use crate::compare::wasserstein;
use crate::compare::{chi_square, supported_threshold};
use crate::feature::Kind;
use crate::histogram::Bins;
use crate::histogram::CategoricalCells;
use crate::histogram::Cells;
use crate::histogram::Counts;
use crate::histogram::NumericCells;
use crate::histogram::Scale;
use crate::histogram::Storage;

fn golden(file: &str) -> Value {
    let path = format!("{}/fixtures/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn rows<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let rows = value[key].as_array().unwrap();
    assert!(!rows.is_empty());
    rows
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {value}"))
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|c| c.as_u64().unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|c| c.as_f64().unwrap()).collect()
}

/// 1e-9 relative, also in the far tail; absolute only where the golden value is 0.
fn assert_close(what: &str, ours: f64, golden: f64) {
    let error = if golden == 0.0 { ours.abs() } else { (ours / golden - 1.0).abs() };
    assert!(error <= 1e-9, "{what}: {ours:e}, not {golden:e} (off by {error:e})");
}

/// As `assert_close`, but absolute below 1: for statistics, which can be sums that cancel.
fn assert_near(what: &str, ours: f64, golden: f64) {
    let error = (ours - golden).abs() / golden.abs().max(1.0);
    assert!(error <= 1e-9, "{what}: {ours:e}, not {golden:e} (off by {error:e})");
}

const UNIT: Scale = Scale { center: 0.0, unit: 1.0 };

fn fixed(sum: f64) -> i128 {
    let steps = (sum * f64::from(1 << 20)).round();
    format!("{steps}").parse().unwrap()
}

/// A numeric feature whose bins are its cells, between whole numbers.
fn feature(reference: Vec<u64>) -> FeatureBaseline {
    let edges: Vec<f64> = (1..reference.len()).map(|edge| edge as f64).collect();
    let cells = NumericCells::new(edges, 0.0, 10.0, UNIT, Storage::F64);
    let bins = Bins { starts: (0..u32::try_from(reference.len()).unwrap()).collect() };
    let reference = Counts { cells: reference, ..Counts::default() };
    FeatureBaseline {
        sd: Some(1.0),
        ..FeatureBaseline::of_counts("x", Cells::Numeric(cells), bins, reference)
    }
}

#[test]
fn statistics_floors_and_p_values_equal_their_closed_forms() {
    for row in rows(&golden("statistics.json"), "statistics") {
        let name = row["name"].as_str().unwrap();
        let baseline = feature(counts(&row["reference"]));
        let live = Counts { cells: counts(&row["live"]), ..Counts::default() };
        let (design_effect, alpha) = (1.0, FLOOR_ALPHA);
        let input = Input { baseline: &baseline, live: &live, design_effect, alpha };
        let scores = scores(&input);
        let outputs = &row["outputs"];
        let mut checked = 0;
        for (statistic, score) in scores.iter() {
            let key = statistic.as_str();
            if outputs.get(key).is_some() {
                assert_near(&format!("{name} {key}"), score.value, number(outputs, key));
                checked += 1;
            }
            if let Some(floor) = outputs["floors"].get(key) {
                let floor = floor.as_f64().unwrap();
                assert_close(&format!("{name} {key} floor"), score.noise_floor.unwrap(), floor);
                checked += 1;
            }
        }
        assert_eq!(checked, 15, "{name}");
        let p_value = |statistic| scores.get(statistic).unwrap().p_value.unwrap();
        assert_close(name, p_value(Statistic::Psi), number(outputs, "psi_p_value"));
        assert_close(name, p_value(Statistic::Ks), number(outputs, "ks_p_value"));
        let merged = number(outputs, "chi_square_merged_p_value");
        assert_close(name, p_value(Statistic::ChiSquare), merged);
        let pair = Pair::new(&baseline.reference.cells, &live.cells).unwrap();
        let degrees = usize::try_from(outputs["chi_square_df"].as_u64().unwrap()).unwrap();
        let whole = chi_squared_law::survival(chi_square::statistic(&pair), degrees);
        assert_close(name, whole, number(outputs, "chi_square_p_value"));
    }
}

#[test]
fn wasserstein_equals_its_closed_form() {
    for row in rows(&golden("statistics.json"), "wasserstein_cells") {
        let edges = floats(&row["edges"]);
        let cells = NumericCells::new(edges, 0.0, 10.0, UNIT, Storage::F64);
        let side = |side: &str| {
            let sums = floats(&row[format!("{side}_outer_sums")]);
            Counts {
                cells: counts(&row[format!("{side}_counts")]),
                low_sum: fixed(sums[0]),
                high_sum: fixed(sums[1]),
                ..Counts::default()
            }
        };
        let ours = wasserstein::raw(&cells, &side("reference"), &side("live"));
        // The sums are rounded to steps of 2^-20 when they are made.
        assert!((ours - number(row, "wasserstein_raw")).abs() < 1e-7, "{ours} {row}");
    }
}

#[test]
fn mean_shift_equals_its_closed_form() {
    for row in rows(&golden("statistics.json"), "wasserstein") {
        let side = |side: &str| Counts {
            cells: counts(&row[format!("{side}_counts")]),
            sum: fixed(floats(&row[format!("{side}_sums")]).iter().sum()),
            ..Counts::default()
        };
        let shift = mean_shift::shift(UNIT, &side("reference"), &side("live"));
        let ours = shift / number(row, "reference_sd");
        assert_close("mean_shift", ours, number(&row["outputs"], "mean_shift"));
    }
}

#[test]
fn rates_equal_their_closed_forms() {
    let golden = golden("statistics.json");
    for row in rows(&golden, "rates") {
        let rate = Rate {
            k_reference: number(row, "reference_events"),
            m: number(row, "m"),
            k: number(row, "live_events"),
            n: number(row, "n"),
        };
        let design_effect = number(row, "design_effect");
        let outputs = &row["outputs"];
        assert_close("difference", rate.difference(), number(outputs, "difference"));
        assert_close("z", rate.z(design_effect), number(outputs, "z"));
        let smallest = number(outputs, "smallest_expected");
        assert_close("smallest expected", rate.smallest_expected(), smallest);
        assert_close("p", rate.normal(design_effect), number(outputs, "p_one_sided"));
        if let Some(fisher) = outputs["p_fisher_one_sided"].as_f64() {
            assert_close("Fisher", rate.fisher(), fisher);
            assert_close("taken", rate.p_value(design_effect), fisher);
        } else {
            let taken = rate.p_value(design_effect);
            assert_close("taken", taken, number(outputs, "p_one_sided"));
        }
    }
    for row in rows(&golden, "out_of_range_tail") {
        let ours = Known::range(0, number(row, "m")).p_value(number(row, "k"), number(row, "n"));
        assert_close(&row.to_string(), ours, number(row, "p"));
    }
}

#[test]
fn tails_and_floors_equal_their_closed_forms() {
    let golden = golden("statistics.json");
    for row in rows(&golden, "chi2_sf") {
        let degrees = usize::try_from(row["df"].as_u64().unwrap()).unwrap();
        let ours = chi_squared_law::survival(number(row, "x"), degrees);
        assert_close(&row.to_string(), ours, number(row, "p"));
    }
    for row in rows(&golden, "kolmogorov_sf") {
        assert_close(&row.to_string(), ks::survival(number(row, "lam")), number(row, "p"));
    }
    for row in rows(&golden, "psi_noise_floor") {
        let bins = usize::try_from(row["bins"].as_u64().unwrap()).unwrap();
        let (alpha, phi) = (number(row, "alpha"), number(row, "design_effect"));
        let quantile = chi_squared_law::quantile(alpha, bins - 1);
        assert_close(&row.to_string(), quantile, number(row, "chi2_quantile"));
        let (m, n) = (number(row, "m"), number(row, "n"));
        let floor = Noise::new(m, n, bins, phi, alpha).floor(Statistic::Psi).unwrap();
        assert_close(&row.to_string(), floor, number(row, "floor"));
        let least =
            supported_threshold(Statistic::Psi, bins, row["m"].as_u64().unwrap(), phi, alpha);
        assert_close(&row.to_string(), least.unwrap(), phi * quantile / m);
    }
}

fn scipy_side(side: &Value) -> Counts {
    let wide = |key: &str| side.get(key).map_or(0, |sum| i128::from(sum.as_i64().unwrap()));
    let small = |key: &str| side.get(key).map_or(0, |count| count.as_u64().unwrap());
    Counts {
        cells: counts(&side["cells"]),
        below: small("below"),
        above: small("above"),
        sum: wide("sum"),
        low_sum: wide("low_sum"),
        high_sum: wide("high_sum"),
        ..Counts::default()
    }
}

fn scipy_feature(case: &Value) -> FeatureBaseline {
    let reference = scipy_side(&case["reference"]);
    let mut feature = feature(reference.cells.clone());
    let starts = counts(&case["starts"]).into_iter().map(|s| u32::try_from(s).unwrap());
    feature.bins = Bins { starts: starts.collect() };
    if case["kind"] == "numeric" {
        let scale = &case["scale"];
        let scale = Scale { center: number(scale, "center"), unit: number(scale, "unit") };
        let (lowest, highest) = (number(case, "lowest"), number(case, "highest"));
        let edges = floats(&case["edges"]);
        let cells = NumericCells::new(edges, lowest, highest, scale, Storage::F64);
        feature.cells = Cells::Numeric(cells);
        feature.sd = Some(number(case, "sd"));
    } else {
        let categories = (1..reference.cells.len()).map(|i| format!("c{i}")).collect();
        feature.kind = Kind::Categorical;
        feature.cells = Cells::Categorical(CategoricalCells::new(categories, vec![1], false));
        feature.sd = None;
    }
    feature.reference = reference;
    feature
}

#[test]
fn counted_data_scores_as_scipy_says() {
    for case in rows(&golden("scipy.json"), "cases") {
        let name = case["name"].as_str().unwrap();
        let (baseline, live) = (scipy_feature(case), scipy_side(&case["live"]));
        let (design_effect, alpha) = (1.0, FLOOR_ALPHA);
        let scores = scores(&Input { baseline: &baseline, live: &live, design_effect, alpha });
        let golden = &case["on_counts"];
        let get =
            |key: &str| scores.get(key.parse().unwrap()).unwrap_or_else(|| panic!("{name} {key}"));
        for (key, value) in golden["values"].as_object().unwrap() {
            assert_near(&format!("{name} {key}"), get(key).value, value.as_f64().unwrap());
        }
        for (key, value) in golden["p_values"].as_object().unwrap() {
            // Values to 1e-15 make tails at 1e-300 good to 1e-11 or so; SciPy's own noise comes on top.
            let (ours, value) = (get(key).p_value.unwrap(), value.as_f64().unwrap());
            assert!((ours - value).abs() <= 1e-8 * value, "{name} {key}: {ours:e} {value:e}");
        }
        for (key, value) in golden["floors"].as_object().unwrap() {
            let floor = get(key).noise_floor.unwrap();
            assert_close(&format!("{name} {key} floor"), floor, value.as_f64().unwrap());
        }
    }
}

#[test]
fn raw_values_score_within_the_stated_bounds() {
    let golden = golden("scipy.json");
    let cases = rows(&golden, "cases").iter().filter(|case| case["kind"] == "numeric");
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (baseline, live) = (scipy_feature(case), scipy_side(&case["live"]));
        let (design_effect, alpha) = (1.0, FLOOR_ALPHA);
        let scores = scores(&Input { baseline: &baseline, live: &live, design_effect, alpha });
        let raw = &case["on_values"];
        let low_by = number(raw, "ks") - scores.get(Statistic::Ks).unwrap().value;
        let largest = number(raw, "ks_largest_cell");
        assert!((-1e-12..=largest + 1e-12).contains(&low_by), "{name}: {low_by} {largest}");
        assert!(largest < 2.0 / 240.0);
        if raw.get("wasserstein").is_some() {
            let ours = scores.get(Statistic::Wasserstein).unwrap().value;
            let error = (ours - number(raw, "wasserstein")).abs();
            assert!(error <= number(raw, "wasserstein_within"), "{name}: off by {error}");
            let ours = scores.get(Statistic::MeanShift).unwrap().value;
            let error = (ours - number(raw, "mean_shift")).abs();
            assert!(error <= 1e-6, "{name}: off by {error}");
        } else {
            assert_eq!(scores.get(Statistic::Wasserstein), None);
            assert!(scores.get(Statistic::WassersteinRaw).is_some());
        }
        let Cells::Numeric(cells) = &baseline.cells else { panic!("numeric") };
        for (share, value) in raw["quantiles"].as_object().unwrap() {
            let ours = quantiles(cells, &live, &[share.parse().unwrap()]).unwrap()[0];
            let error = (ours - value.as_f64().unwrap()).abs();
            assert!(
                error <= 0.05 * number(case, "sd").max(1e-9),
                "{name} q{share}: {ours} {value}"
            );
        }
    }
}
