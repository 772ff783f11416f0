//! Counting against `slice::partition_point` on the same values and edges, in one run.
//!
//! Ours keeps sums, squares, tails and range counts beside the cells; the peer only counts cells.

#![expect(clippy::print_stdout, reason = "a bench prints its ratios")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::Float64Array;
use driftd::feature::Column;
use driftd::histogram::{self, Cells, Counts, NumericCells, Scale, Storage};

mod clock;

const IN_CACHE: usize = 16_384;
const FROM_MEMORY: usize = 4 << 20;

fn main() {
    let mut random = Random(1);
    println!("data           edges  values   partition_point  driftd   ratio");
    for (name, draw) in [
        ("normal", Random::normal as fn(&mut Random) -> f64),
        ("lognormal", |r| r.normal().exp()),
        ("wide lognormal", |r| (3.0 * r.normal()).exp()),
        ("zero-inflated", |r| if r.uniform() < 0.6 { 0.0 } else { r.normal().exp() }),
    ] {
        for edges in [10, 240, 480] {
            let reference: Vec<f64> = (0..100_000).map(|_| draw(&mut random)).collect();
            let edges = quantiles(reference, edges);
            for n in [IN_CACHE, FROM_MEMORY] {
                let values: Vec<f64> = (0..n).map(|_| draw(&mut random)).collect();
                compare(name, &edges, &values);
            }
        }
    }
}

fn compare(name: &str, edges: &[f64], values: &[f64]) {
    let scale = Scale { center: 0.0, unit: 1.35 };
    let (lowest, highest) = (edges[0], edges[edges.len() - 1]);
    let numeric = NumericCells::new(edges.to_vec(), lowest, highest, scale, Storage::F64);
    let cells = Cells::Numeric(numeric);
    let n = values.len();
    let column =
        Column { array: Arc::new(Float64Array::from(values.to_vec())), absent: Vec::new() };
    let mut ours = Counts::zero(cells.len());
    let mut theirs = vec![0u64; cells.len()];
    let passes = (FROM_MEMORY / n).min(64);
    let (peer, driftd) = clock::fastest(
        7,
        || {
            for _ in 0..passes {
                for &value in black_box(values) {
                    theirs[edges.partition_point(|&edge| edge < value)] += 1;
                }
            }
        },
        || {
            for _ in 0..passes {
                histogram::count(&cells, black_box(&column), &mut ours);
            }
        },
    );
    assert_eq!(ours.cells, theirs, "the counts differ");
    let per_value = |seconds: f64| seconds * 1e9 / (passes * n) as f64;
    println!(
        "{name:14} {:5}  {:8} {:12.2} ns {:8.2} ns {:6.2}x",
        edges.len(),
        if n == IN_CACHE { "cached" } else { "memory" },
        per_value(peer),
        per_value(driftd),
        peer / driftd,
    );
}

/// Order statistics of equal ranks, with an atom's own cell where values repeat.
fn quantiles(mut values: Vec<f64>, n: usize) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..=n).map(|k| values[k * values.len() / (n + 1)]).collect();
    let ties: Vec<f64> = edges.windows(2).filter(|pair| pair[0] >= pair[1]).map(|p| p[0]).collect();
    edges.extend(ties.into_iter().map(f64::next_down));
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    edges
}

/// SplitMix64: the same data in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// In (0, 1).
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
