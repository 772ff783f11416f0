//! Each kind of fault begins, is named, ends; noise and real drift are none.

use super::*;
use crate::baseline::FeatureBaseline;
use crate::dice::Dice;
use crate::histogram::Bins;
use crate::histogram::CategoricalCells;
use crate::histogram::Cells;
use crate::histogram::Counts;
use crate::histogram::NumericCells;
use crate::histogram::Scale;
use crate::histogram::Storage;

const PANE: i64 = 60_000;
const START: i64 = 1_767_225_600_000;
const RECORDS: usize = 200;
const NUMERIC: usize = 4;

impl Dice {
    /// Feature by feature: an ordinary one, one with a long tail, one of mostly zeros, one around zero.
    fn value(&mut self, feature: usize) -> f64 {
        match feature {
            0 => 50.0 + 10.0 * self.bell(),
            1 => (1.2 * self.bell()).exp(),
            2 if self.uniform() < 0.7 => 0.0,
            2 => 20.0 * (0.5 * self.bell()).exp(),
            _ => self.bell(),
        }
    }

    /// a: 60 %, b: 30 %, c: 10 %.
    fn category(&mut self) -> usize {
        match self.uniform() {
            u if u < 0.6 => 0,
            u if u < 0.9 => 1,
            _ => 2,
        }
    }
}

fn put(cells: &NumericCells, counts: &mut Counts, value: f64) {
    let (cell, fixed) = (cells.cell(value), i128::from(cells.scale.to_fixed(value)));
    counts.cells[cell] += 1;
    counts.sum += fixed;
    counts.sum_squares += fixed * fixed;
    if cell == 0 {
        counts.low_sum += fixed;
        counts.below += u64::from(value < cells.lowest);
    }
    if cell == cells.len() - 1 {
        counts.high_sum += fixed;
        counts.above += u64::from(value > cells.highest);
    }
}

fn numeric(name: &str, mut sample: Vec<f64>) -> FeatureBaseline {
    sample.sort_by(f64::total_cmp);
    let n = sample.len();
    let mut edges: Vec<f64> = (1..240).map(|k| sample[k * n / 240]).collect();
    let atom = edges.iter().zip(&edges[1..]).find(|(a, b)| a.total_cmp(b).is_eq()).map(|(a, _)| *a);
    edges.extend(atom.map(f64::next_down));
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    let unit = sample[3 * n / 4] - sample[n / 4];
    let scale = Scale { center: sample[n / 2], unit: if unit > 0.0 { unit } else { 1.0 } };
    let cells = NumericCells::new(edges, sample[0], sample[n - 1], scale, Storage::F64);
    let mut reference = Counts::zero(cells.len());
    sample.iter().for_each(|value| put(&cells, &mut reference, *value));
    let (mean, sd) = (scale.mean(&reference), scale.sd(&reference));
    let step = cells.len().div_ceil(10);
    let bins = Bins { starts: (0..).take(cells.len()).step_by(step).collect() };
    FeatureBaseline {
        mean,
        sd,
        distinct: n as u64,
        ..FeatureBaseline::of_counts(name, Cells::Numeric(cells), bins, reference)
    }
}

fn categorical() -> FeatureBaseline {
    let categories = ["a", "b", "c"].map(str::to_owned).to_vec();
    let mut reference = Counts::zero(4);
    reference.cells = vec![12_000, 6_000, 2_000, 0];
    let cells = Cells::Categorical(CategoricalCells::new(categories, Vec::new(), false));
    FeatureBaseline {
        distinct: 3,
        ..FeatureBaseline::of_counts("country", cells, Bins { starts: vec![0, 1, 2, 3] }, reference)
    }
}

fn baseline() -> Vec<FeatureBaseline> {
    let mut dice = Dice::new(1);
    let mut features: Vec<FeatureBaseline> = ["amount", "price", "spent", "score"]
        .into_iter()
        .enumerate()
        .map(|(at, name)| numeric(name, (0..20_000).map(|_| dice.value(at)).collect()))
        .collect();
    features.push(categorical());
    features
}

/// One value of a feature in a pane.
#[derive(Clone, Copy, Debug)]
enum Value {
    Number(f64),
    Category(usize),
    Unseen,
    Null,
    Missing,
    Wrong,
}

/// A model's faults, fed pane by pane.
struct Feed {
    features: Vec<FeatureBaseline>,
    faults: Faults,
    dice: Dice,
    panes: i64,
    records: usize,
    design_effect: f64,
    /// Over a day and longer, where that is more.
    settled: f64,
    window_panes: i64,
    /// Of a hundred records in each pane.
    repeated: u64,
    strangers: Strangers,
}

impl Feed {
    fn new(seed: u64) -> Self {
        Self {
            features: baseline(),
            faults: Faults::default(),
            dice: Dice::new(seed),
            panes: 0,
            records: RECORDS,
            design_effect: 1.0,
            settled: 1.0,
            window_panes: 10_000,
            repeated: 0,
            strangers: Strangers::default(),
        }
    }

    fn counts(&mut self, spoil: &impl Fn(usize, usize, Value) -> Value) -> Vec<Counts> {
        let mut all = Vec::new();
        for (at, feature) in self.features.iter().enumerate() {
            let mut counts = Counts::zero(feature.cells.len());
            for record in 0..self.records {
                let value = match at {
                    NUMERIC => Value::Category(self.dice.category()),
                    _ => Value::Number(self.dice.value(at)),
                };
                match (spoil(at, record, value), &feature.cells) {
                    (Value::Number(value), Cells::Numeric(cells)) => put(cells, &mut counts, value),
                    (Value::Category(cell), _) => counts.cells[cell] += 1,
                    (Value::Unseen, _) => counts.unseen += 1,
                    (Value::Null, _) => counts.null += 1,
                    (Value::Missing, _) => counts.missing += 1,
                    (Value::Wrong | Value::Number(_), _) => counts.type_error += 1,
                }
            }
            all.push(counts);
        }
        all
    }

    fn pane(&mut self, spoil: &impl Fn(usize, usize, Value) -> Value) -> Vec<Change> {
        let counts = self.counts(spoil);
        self.panes += 1;
        self.push(&counts)
    }

    fn push(&mut self, counts: &[Counts]) -> Vec<Change> {
        let start_ms = START + (self.panes - 1) * PANE;
        self.faults.push(&PaneCounts {
            features: &self.features,
            counts,
            sampled: 100,
            repeated: self.repeated,
            strangers: &self.strangers,
            start_ms,
            pane_ms: PANE,
            design_effect: &|_, span_ms| {
                let settled = if span_ms >= FORGOTTEN_MS { self.settled } else { 1.0 };
                self.design_effect.max(settled)
            },
            window_ms: self.window_panes * PANE,
            slots: &|_, _, _| Vec::new(),
            kept_from_ms: start_ms - 1_000 * PANE,
        })
    }

    fn clean(&mut self, panes: usize) {
        for _ in 0..panes {
            let changes = self.pane(&|_, _, value| value);
            let began = changes.iter().any(|change| matches!(change, Change::Began { .. }));
            assert!(!began, "pane {}: {changes:?} {:?}", self.panes, self.told());
        }
    }

    fn told(&self) -> Vec<String> {
        let told = self.features.iter().enumerate();
        told.filter_map(|(at, f)| Some(self.faults.fault(at, &f.name, self.now())?.sentence))
            .collect()
    }

    fn now(&self) -> i64 {
        START + self.panes * PANE
    }

    fn kinds(&self) -> Vec<(usize, FaultKind)> {
        let all = (0..self.features.len()).filter(|at| self.faults.is_faulty(*at));
        all.map(|at| (at, self.faults.fault(at, "it", 0).unwrap().kind)).collect()
    }

    fn withheld(&self, feature: usize) -> Vec<i64> {
        (0..self.panes)
            .filter(|pane| self.faults.is_withheld(feature, START + pane * PANE))
            .collect()
    }
}

fn times(of: usize, factor: f64) -> impl Fn(usize, usize, Value) -> Value {
    move |at, _, value| match value {
        Value::Number(value) if at == of => Value::Number(factor * value),
        other => other,
    }
}

fn instead(of: usize, by: Value) -> impl Fn(usize, usize, Value) -> Value {
    move |at, _, value| if at == of { by } else { value }
}

/// Clean, a pane that is half and half, faulty, a pane of both again, clean.
fn story(feature: usize, kind: FaultKind, spoil: &impl Fn(usize, usize, Value) -> Value) -> Feed {
    let mut feed = Feed::new(7);
    feed.clean(12);
    let half = |at: usize, record: usize, value: Value| {
        if record < RECORDS / 2 { value } else { spoil(at, record, value) }
    };
    let late = |at: usize, record: usize, value: Value| {
        if record < RECORDS / 2 { spoil(at, record, value) } else { value }
    };
    feed.pane(&half);
    feed.pane(spoil);
    assert_eq!(feed.kinds(), [(feature, kind)], "{:?}", feed.told());
    for _ in 0..8 {
        feed.pane(spoil);
        assert_eq!(feed.kinds(), [(feature, kind)], "{:?}", feed.told());
    }
    feed.pane(&late);
    assert_eq!(feed.kinds().len(), 1);
    feed.clean(10);
    assert_eq!(feed.kinds(), []);
    let withheld = feed.withheld(feature);
    assert!((12..=22).all(|pane| withheld.contains(&pane)), "{withheld:?}");
    assert!((10..=24).contains(&withheld[0]) && withheld[withheld.len() - 1] <= 24, "{withheld:?}");
    for other in (0..feed.features.len()).filter(|other| *other != feature) {
        assert_eq!(feed.withheld(other), [0i64; 0]);
    }
    feed
}

#[test]
fn a_surge_of_nulls_is_a_fault_as_long_as_it_lasts() {
    story(0, FaultKind::NullSurge, &instead(0, Value::Null));
    let some = |at: usize, record: usize, value: Value| {
        if at == 1 && record.is_multiple_of(3) { Value::Null } else { value }
    };
    let feed = story(1, FaultKind::NullSurge, &some);
    assert_eq!(feed.told(), [""; 0]);
}

#[test]
fn wrong_types_are_a_fault() {
    story(0, FaultKind::TypeChange, &instead(0, Value::Wrong));
}

#[test]
fn a_key_that_is_gone_is_a_change_of_schema() {
    story(0, FaultKind::SchemaChange, &instead(0, Value::Missing));
    story(NUMERIC, FaultKind::SchemaChange, &instead(NUMERIC, Value::Missing));
}

#[test]
fn most_categories_unseen_is_another_spelling() {
    story(NUMERIC, FaultKind::UnseenSurge, &instead(NUMERIC, Value::Unseen));
}

#[test]
fn one_value_in_a_row_is_a_stuck_feature() {
    story(0, FaultKind::Constant, &instead(0, Value::Number(47.5)));
    story(1, FaultKind::Constant, &instead(1, Value::Number(0.0)));
    story(2, FaultKind::Constant, &instead(2, Value::Number(0.0)));
    story(NUMERIC, FaultKind::Constant, &instead(NUMERIC, Value::Category(1)));
}

#[test]
fn another_unit_is_a_fault_with_its_factor() {
    for feature in [0, 1, 2, 3] {
        for factor in [100.0, 0.01, 1000.0, 60.0] {
            story(feature, FaultKind::UnitChange, &times(feature, factor));
        }
    }
    // Ten is a number like any other: growth and seasons can have it, and only short tails tell.
    story(0, FaultKind::UnitChange, &times(0, 10.0));
    story(3, FaultKind::UnitChange, &times(3, 0.1));
    let mut feed = Feed::new(8);
    feed.clean(12);
    feed.pane(&times(0, 100.0));
    let told = feed.told().join(" ");
    assert!(told.contains("amount is x100 of the reference"), "{told}");
    assert!(told.contains("cents for euros"), "{told}");
}

#[test]
fn real_drift_is_no_fault() {
    let shifts: [fn(f64) -> f64; 6] = [
        |x| x + 10.0,
        |x| 50.0 + 1.5 * (x - 50.0),
        |x| 50.0 + 4.0 * (x - 50.0),
        |x| 1.5 * x,
        |x| if x > 65.0 { 10.0 * x } else { x },
        |x| x - 30.0,
    ];
    for shift in shifts {
        for feature in [0, 1] {
            let mut feed = Feed::new(9);
            feed.clean(12);
            for _ in 0..50 {
                feed.pane(&|at, _, value| match value {
                    Value::Number(x) if at == feature => Value::Number(shift(x)),
                    other => other,
                });
                assert_eq!(feed.kinds(), [], "{:?}", feed.told());
            }
        }
    }
    // Zero inflation, and a new category of a third of the values.
    let mut feed = Feed::new(10);
    feed.clean(12);
    for _ in 0..50 {
        feed.pane(&|at, record, value| match at {
            0 if record % 2 == 0 => Value::Number(0.0),
            NUMERIC if record % 3 == 0 => Value::Unseen,
            _ => value,
        });
        assert_eq!(feed.kinds(), [], "{:?}", feed.told());
    }
}

#[cfg(test)]
mod phases;
