//! Raw data of the golden shapes, bit for bit that of `fixtures/golden/shapes.py`.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::Float32Array;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::StringArray;

use crate::baseline::Builder;
use crate::baseline::Convention;
use crate::baseline::FeatureBaseline;
use crate::baseline::Limits;
use crate::baseline::Planned;
use crate::baseline::live_column;
use crate::feature::Kind;
use crate::feature::Role;
use crate::histogram;
use crate::histogram::Counts;

/// One column of a reference and what came live.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) reference: ArrayRef,
    pub(crate) live: ArrayRef,
}

impl Shape {
    /// Built and counted as a Parquet file would be.
    pub(crate) fn counted(&self, convention: Convention) -> (FeatureBaseline, Counts) {
        let array = &self.reference;
        let kind = if array.data_type().is_numeric() { Kind::Numeric } else { Kind::Categorical };
        let planned = Planned {
            index: 0,
            name: self.name.to_owned(),
            role: Role::Feature,
            kind,
            data_type: array.data_type().clone(),
            declared: false,
            unusable: None,
            convention,
            ranges: Vec::new(),
        };
        let mut builder = Builder::new(planned, array.len() as u64, Limits::default());
        builder.push(array);
        let mut counter = builder.into_counter();
        counter.push(array);
        let baseline = counter.finish();
        assert_eq!(baseline.unusable, None, "{}", self.name);
        let mut live = Counts::zero(baseline.cells.len());
        histogram::count(&baseline.cells, &live_column(&self.live, kind), &mut live);
        (baseline, live)
    }
}

/// `n` doubles in [0, 1), by SplitMix64.
fn uniform(seed: u64, n: usize) -> Vec<f64> {
    let draw = |i: u64| {
        let z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / 2f64.powi(53)
    };
    (1..=n as u64).map(draw).collect()
}

fn normal(seed: u64, n: usize) -> Vec<f64> {
    uniform(seed, 12 * n).chunks(12).map(|twelve| twelve.iter().sum::<f64>() - 6.0).collect()
}

fn pareto(seed: u64, n: usize) -> Vec<f64> {
    uniform(seed, n).into_iter().map(|u| 1.0 / (1.0 - u).sqrt()).collect()
}

fn dice(seed: u64, n: usize, number: usize, faces: f64) -> Vec<f64> {
    let draws = uniform(seed, number * n);
    draws.chunks(number).map(|few| few.iter().map(|u| (u * faces).floor()).sum()).collect()
}

fn zeros(seed: u64, n: usize, share: f64) -> Vec<f64> {
    let both = uniform(seed, n).into_iter().zip(uniform(seed + 1, n));
    both.map(|(u, v)| if u < share { 0.0 } else { 10.0 * v }).collect()
}

fn floats(values: Vec<f64>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

fn with(mut values: Vec<f64>, change: impl Fn(f64) -> f64) -> Vec<f64> {
    values.iter_mut().for_each(|value| *value = change(*value));
    values
}

#[expect(clippy::cast_possible_truncation, reason = "whole numbers as such")]
fn whole(values: Vec<f64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.into_iter().map(|value| value as i64)))
}

#[expect(clippy::cast_possible_truncation, reason = "a column of the narrower type")]
fn narrow(values: Vec<f64>) -> ArrayRef {
    Arc::new(Float32Array::from_iter_values(values.into_iter().map(|value| value as f32)))
}

fn gaps(seed: u64, values: Vec<f64>, share: f64) -> ArrayRef {
    let both = uniform(seed, values.len()).into_iter().zip(values);
    Arc::new(both.map(|(u, value)| (u >= share).then_some(value)).collect::<Float64Array>())
}

fn labels(seed: u64, n: usize, limits: &[f64], unseen: f64) -> ArrayRef {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let both = uniform(seed, n).into_iter().zip(uniform(seed + 1, n));
    let label = |(u, v): (f64, f64)| match v {
        v if v < unseen / 2.0 => "x",
        v if v < unseen => "y",
        _ => NAMES[limits.partition_point(|&limit| limit <= u)],
    };
    Arc::new(StringArray::from_iter_values(both.map(label)))
}

fn numbered(seed: u64, n: usize, power: usize) -> ArrayRef {
    let mut values = uniform(seed, n);
    for _ in 1..power {
        let more = uniform(seed + 1, n);
        values.iter_mut().zip(more).for_each(|(value, u)| *value *= u);
    }
    let names = values.into_iter().map(|u| format!("c{:.0}", (400.0 * u).floor()));
    Arc::new(StringArray::from_iter_values(names))
}

pub(crate) fn shapes() -> Vec<Shape> {
    let (m, n) = (20_000, 5_000);
    let reference = normal(1, m);
    let plain = || floats(reference.clone());
    let constant = with(uniform(20, n), |u| if u < 0.1 { 4.5 } else { 3.5 });
    let singles = |n| Arc::new(StringArray::from(vec!["a"; n])) as ArrayRef;
    let shape = |name, reference, live| Shape { name, reference, live };
    vec![
        shape("normal", plain(), floats(normal(2, n))),
        shape("shifted by half a deviation", plain(), floats(with(normal(3, n), |x| x + 0.5))),
        shape("half as wide again", plain(), floats(with(normal(4, n), |x| x * 1.5))),
        shape(
            "inside the range",
            floats(with(uniform(5, m), |u| 10.0 * u)),
            floats(with(uniform(6, n), |u| 2.0 + 7.0 * u)),
        ),
        shape("heavy tail", floats(pareto(7, m)), floats(with(pareto(8, n), |x| 1.2 * x))),
        shape("zero-inflated", floats(zeros(9, m, 0.6)), floats(zeros(11, n, 0.75))),
        shape("integers with ties", whole(dice(13, m, 3, 10.0)), whole(dice(14, n, 3, 11.0))),
        shape(
            "integers inside the range",
            whole(dice(15, m, 3, 12.0)),
            whole(dice(16, n, 2, 16.0)),
        ),
        shape("few integers, a new one", whole(dice(17, m, 1, 6.0)), whole(dice(18, n, 1, 7.0))),
        shape("float32", narrow(reference.clone()), narrow(with(normal(19, n), |x| x * 0.75))),
        shape("constant", floats(vec![3.5; m]), floats(constant)),
        shape(
            "missing values",
            gaps(21, reference.clone(), 0.1),
            gaps(22, with(normal(23, n), |x| x + 0.2), 0.2),
        ),
        shape("all missing", plain(), gaps(0, vec![0.0; n], 1.0)),
        shape("few rows", floats(normal(24, 150)), floats(with(normal(25, 40), |x| x + 0.3))),
        shape(
            "very many rows",
            floats(normal(26, 300_000)),
            floats(with(normal(27, 200_000), |x| x + 0.05)),
        ),
        shape(
            "disjoint supports",
            floats(uniform(28, m)),
            floats(with(uniform(29, n), |u| 100.0 + u)),
        ),
        shape(
            "categories with unseen",
            labels(30, m, &[0.5, 0.8, 0.95], 0.0),
            labels(32, n, &[0.4, 0.8, 0.9], 0.04),
        ),
        shape("single category", singles(m), singles(n)),
        shape("two categories", labels(34, m, &[0.7], 0.0), labels(36, n, &[0.66], 0.0)),
        shape(
            "three categories",
            labels(42, m, &[0.5, 0.8], 0.0),
            labels(44, n, &[0.47, 0.8], 0.0),
        ),
        shape("many categories", numbered(38, m, 1), numbered(40, n, 2)),
    ]
}
