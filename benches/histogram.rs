//! Counting a column, as `run` does it for each batch, beside numpy, pandas and polars.
//!
//! Ours keeps exact sums, squares, tails and range counts beside the cells; the peers only count
//! cells. Counts are compared before anything is timed.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    reason = "a bench prints its ratios, and stops where something is wrong"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array};
use driftd::dice::Dice;
use driftd::feature::Column;
use driftd::histogram::{self, Cells, Counts, NumericCells, Scale, Storage};
use tempfile::TempDir;

use crate::peer::Peer;
use crate::table::row;

mod clock;
mod peer;
mod table;

const BATCH: usize = 512;
const IN_CACHE: usize = 16_384;
const FROM_MEMORY: usize = 4 << 20;
/// Values that a turn counts at least.
const TURN: usize = 1 << 20;
const ROUNDS: usize = 15;
/// Of peers that take some hundred times as long.
const SLOW_ROUNDS: usize = 3;

fn main() {
    let folder = TempDir::new().expect("there is room for arrays");
    let mut peer = Peer::start("histogram.py", "fast", &[]);
    let mut dice = Dice::new(1);
    for (n_cells, n, reach) in [
        (10, IN_CACHE, Some(10.0)),
        (10, FROM_MEMORY, Some(5.0)),
        (240, BATCH, None),
        (240, IN_CACHE, Some(4.0)),
        (240, FROM_MEMORY, None),
        (1024, IN_CACHE, Some(4.0)),
        (1024, FROM_MEMORY, None),
    ] {
        let case = Case::new("", Dice::normal, n_cells, n, &mut dice);
        case.beside_numpy(peer.as_mut(), folder.path(), reach);
        case.beside_partition_point();
        if n == FROM_MEMORY && n_cells <= 240 {
            case.beside_frames(peer.as_mut());
        }
        if n == FROM_MEMORY {
            case.beside(peer.as_mut(), "sum", "numpy.sum (memory's limit)", ROUNDS, None);
        }
        if (n_cells, n) == (240, IN_CACHE) {
            case.beside_a_copy();
        }
    }
    for (name, draw) in [
        (", lognormal", (|r| r.normal().exp()) as fn(&mut Dice) -> f64),
        (", wide lognormal", |r| (3.0 * r.normal()).exp()),
    ] {
        for n_cells in [10, 240] {
            let case = Case::new(name, draw, n_cells, IN_CACHE, &mut dice);
            case.beside_numpy(peer.as_mut(), folder.path(), None);
            case.beside_partition_point();
        }
    }
    let zeros = |r: &mut Dice| if r.open() < 0.6 { 0.0 } else { r.normal().exp() };
    for n_cells in [10, 240] {
        // Cells of numpy are closed on the other side, which shows where values are on edges.
        let case = Case::new(", zero-inflated", zeros, n_cells, IN_CACHE, &mut dice);
        case.beside_partition_point();
    }
}

/// A feature and a column of it.
struct Case {
    what: String,
    cells: Cells,
    edges: Vec<f64>,
    values: Vec<f64>,
    passes: usize,
}

impl Case {
    fn new(
        shape: &str,
        draw: impl Fn(&mut Dice) -> f64,
        n_cells: usize,
        n: usize,
        dice: &mut Dice,
    ) -> Self {
        let mut reference: Vec<f64> = (0..200_000).map(|_| draw(dice)).collect();
        reference.sort_by(f64::total_cmp);
        let at = |quarter: usize| reference[quarter * reference.len() / 4];
        let scale = Scale { center: at(2), unit: at(3) - at(1) };
        let (lowest, highest) = (reference[0], reference[reference.len() - 1]);
        let edges = quantiles(&reference, n_cells);
        let numeric = NumericCells::new(edges.clone(), lowest, highest, scale, Storage::F64);
        let place = match n {
            BATCH => "a batch of 512",
            IN_CACHE => "in cache",
            _ => "from memory",
        };
        let what = format!("{n_cells} cells, {place}{shape}");
        println!("{what}: {}", numeric.kernel());
        let values = (0..n).map(|_| draw(dice)).collect();
        let cells = Cells::Numeric(numeric);
        Self { what, cells, edges, values, passes: TURN.div_ceil(n) }
    }

    fn count(&self, array: &ArrayRef, passes: usize) -> Counts {
        let column = Column { array: array.clone(), absent: Vec::new() };
        let mut counts = Counts::zero(self.cells.len());
        for _ in 0..passes {
            histogram::count(&self.cells, black_box(&column), &mut counts);
        }
        counts
    }

    fn doubles(&self) -> ArrayRef {
        Arc::new(Float64Array::from(self.values.clone()))
    }

    fn beside_numpy(&self, peer: Option<&mut Peer>, folder: &Path, reach: Option<f64>) {
        let Some(peer) = peer else { return };
        // Numpy has no open cells: its outer edges are beyond all values.
        let least = self.values.iter().copied().fold(self.edges[0], f64::min).next_down();
        let most = self.values.iter().copied().fold(self.edges[0], f64::max).next_up();
        let edges: Vec<f64> = [least].into_iter().chain(self.edges.clone()).chain([most]).collect();
        let write = |name: &str, numbers: &[f64]| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            let file = folder.join(name);
            fs::write(&file, bytes).expect("it can be written");
            file.display().to_string()
        };
        let request = format!("load {} {}", write("values", &self.values), write("edges", &edges));
        peer.turn(&request);
        self.beside(Some(peer), "histogram", "numpy.histogram", ROUNDS, reach);
    }

    /// What a user of data frames would write.
    fn beside_frames(&self, mut peer: Option<&mut Peer>) {
        for (request, name) in [
            ("cut", "pandas.cut, value_counts"),
            ("polars-cut", "polars cut, value_counts"),
            ("polars-hist", "polars hist"),
        ] {
            self.beside(peer.as_deref_mut(), request, name, SLOW_ROUNDS, None);
        }
    }

    /// Takes turns with the peer over the array that it has loaded; the best turn of each counts.
    fn beside(
        &self,
        peer: Option<&mut Peer>,
        request: &str,
        name: &str,
        rounds: usize,
        reach: Option<f64>,
    ) {
        let Some(peer) = peer else { return };
        let array = self.doubles();
        let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
        let expected = self.count(&array, 1).cells;
        for _ in 0..rounds {
            let now = clock::fastest(1, || drop(self.count(&array, self.passes)), || ()).0;
            ours = ours.min(now);
            let request = format!("{request} {}", self.passes);
            if request.starts_with("sum") {
                theirs = theirs.min(peer.seconds(&request));
                continue;
            }
            let answer = peer.turn(&request);
            let counts = answer["counts"].as_array().expect("it counts");
            let counts: Vec<u64> = counts.iter().filter_map(serde_json::Value::as_u64).collect();
            assert_eq!(counts, expected, "{request}");
            theirs = theirs.min(answer["cpu_seconds"].as_f64().expect("it is timed"));
        }
        self.report(name, ours, theirs, reach);
    }

    fn beside_partition_point(&self) {
        let array = self.doubles();
        let mut theirs = vec![0u64; self.cells.len()];
        let mut search = |passes: usize| {
            for _ in 0..passes {
                for &value in black_box(&self.values) {
                    theirs[self.edges.partition_point(|&edge| edge < value)] += 1;
                }
            }
        };
        search(1);
        let (ours, peer) = clock::fastest(
            ROUNDS,
            || drop(self.count(&array, self.passes)),
            || search(self.passes),
        );
        theirs.iter_mut().for_each(|count| *count /= 1 + (ROUNDS * self.passes) as u64);
        assert_eq!(self.count(&array, 1).cells, theirs, "the counts differ");
        self.report("partition_point", ours, peer, None);
    }

    /// Columns of other types, against bringing them to doubles first.
    fn beside_a_copy(&self) {
        #[expect(clippy::cast_possible_truncation, reason = "rounded is as good")]
        let floats = Float32Array::from_iter_values(self.values.iter().map(|&v| v as f32));
        #[expect(clippy::cast_possible_truncation, reason = "rounded is as good")]
        let integers = Int64Array::from_iter_values(self.values.iter().map(|&v| (v * 1e6) as i64));
        let floats_copied =
            || Float64Array::from_iter_values(floats.values().iter().map(|&v| v.into()));
        let integers_copied =
            || Float64Array::from_iter_values(integers.values().iter().map(|&v| v as f64));
        let some = |(at, &value): (usize, &f64)| (at % 7 != 0).then_some(value);
        let nulls: Float64Array = self.values.iter().enumerate().map(some).collect();
        let packed = || Float64Array::from_iter_values(nulls.iter().flatten());
        let copies: [(&str, ArrayRef, &dyn Fn() -> Float64Array); 3] = [
            ("f32", Arc::new(floats.clone()), &floats_copied),
            ("i64", Arc::new(integers.clone()), &integers_copied),
            ("a null in 7", Arc::new(nulls.clone()), &packed),
        ];
        for (what, array, copied) in copies {
            let copied = || -> ArrayRef { Arc::new(copied()) };
            let expected = self.count(&copied(), 1);
            let ours = self.count(&array, 1);
            assert_eq!((ours.cells, ours.sum), (expected.cells, expected.sum), "{what}");
            let (ours, peer) = clock::fastest(
                ROUNDS,
                || drop(self.count(&array, self.passes)),
                || (0..self.passes).for_each(|_| drop(self.count(&copied(), 1))),
            );
            row(
                "histogram",
                &format!("{}, {what}", self.what),
                "copied to f64 first",
                peer / ours,
                None,
            );
        }
    }

    fn report(&self, peer: &str, ours: f64, theirs: f64, reach: Option<f64>) {
        let per_value = 1e9 / (self.passes * self.values.len()) as f64;
        println!(
            "  {peer}: {:.2} ns, driftd {:.2} ns a value",
            theirs * per_value,
            ours * per_value
        );
        row("histogram", &self.what, peer, theirs / ours, reach);
    }
}

/// The order statistics that divide sorted values into so many cells, with an atom's own cell where
/// values repeat.
fn quantiles(values: &[f64], cells: usize) -> Vec<f64> {
    let mut edges: Vec<f64> = (1..cells).map(|k| values[k * values.len() / cells]).collect();
    let ties: Vec<f64> = edges.windows(2).filter(|pair| pair[0] >= pair[1]).map(|p| p[0]).collect();
    edges.extend(ties.into_iter().map(f64::next_down));
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    edges
}
