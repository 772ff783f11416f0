//! Every kernel that this processor has against counting one by one, over columns made to break them.

use arrow::array::{Array, Float32Array, Float64Array, Int64Array};

use super::*;
use crate::dice::Dice;

/// Values that every test of a kernel must have seen.
const ODD: [f64; 14] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    f64::MIN_POSITIVE,
    f64::MAX,
    -f64::MAX,
    1e300,
    -1e9,
    4_503_599_627_370_496.5,
    -0.5,
];

impl Dice {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Normal,
    Lognormal,
    WideLognormal,
    Cauchy,
    ZeroInflated,
    Integers,
    Cents,
    Constant,
    FarFromZero,
    Denormal,
    Huge,
    AnyBits,
}

const SHAPES: [Shape; 12] = [
    Shape::Normal,
    Shape::Lognormal,
    Shape::WideLognormal,
    Shape::Cauchy,
    Shape::ZeroInflated,
    Shape::Integers,
    Shape::Cents,
    Shape::Constant,
    Shape::FarFromZero,
    Shape::Denormal,
    Shape::Huge,
    Shape::AnyBits,
];

impl Shape {
    fn draw(self, dice: &mut Dice) -> f64 {
        match self {
            Self::Normal => dice.normal(),
            Self::Lognormal => dice.normal().exp(),
            Self::WideLognormal => (3.0 * dice.normal()).exp(),
            Self::Cauchy => (std::f64::consts::PI * (dice.open() - 0.5)).tan(),
            Self::ZeroInflated if dice.open() < 0.6 => 0.0,
            Self::ZeroInflated => dice.normal().exp(),
            Self::Integers => (20.0 * dice.normal()).round(),
            Self::Cents => (5000.0 * dice.open()).round() / 100.0,
            Self::Constant => 3.25,
            Self::FarFromZero => 1e12 + dice.normal(),
            Self::Denormal => f64::from_bits(dice.draw() >> 13) * dice.normal().signum(),
            Self::Huge => f64::MAX * (2.0 * dice.open() - 1.0),
            Self::AnyBits => f64::from_bits(dice.draw()),
        }
    }
}

/// Cells of quantiles of a shape, with atoms of their own where values repeat.
fn cells(shape: Shape, dice: &mut Dice) -> NumericCells {
    let n = dice.pick(&[0, 1, 2, 9, 10, 20, 30, 62, 63, 64, 100, 239, 480, 1000, 1500]);
    let storage = match dice.below(12) {
        0 => Storage::F32,
        1 => Storage::F16,
        2 => Storage::Decimal { scale: 2 },
        _ => Storage::F64,
    };
    let reference = (0..4 * n + 100).map(|_| storage.round(shape.draw(dice)));
    let mut reference: Vec<f64> = reference.filter(|x| x.is_finite()).collect();
    reference.sort_by(f64::total_cmp);
    let quantile = |k: usize, of: usize| reference.get(k * reference.len() / of).copied();
    let mut edges: Vec<f64> = (1..=n).filter_map(|k| quantile(k, n + 1)).collect();
    let atoms: Vec<f64> = edges
        .windows(2)
        .filter(|pair| pair[0] >= pair[1])
        .map(|pair| pair[0].next_down())
        .collect();
    edges.extend(atoms);
    edges.retain(|edge| edge.is_finite());
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    let lowest = reference.first().copied().unwrap_or(0.0);
    let highest = reference.last().copied().unwrap_or(0.0);
    let spread = quantile(3, 4).unwrap_or(1.0) - quantile(1, 4).unwrap_or(0.0);
    let unit = match dice.below(8) {
        0 => dice.pick(&[0.0, 1e-9, 1e9, f64::MAX, 5e-324]),
        _ if spread > 0.0 => spread,
        _ => 1.0,
    };
    let scale = Scale { center: quantile(1, 2).unwrap_or(0.0), unit };
    NumericCells::new(edges, lowest, highest, scale, storage)
}

/// Mostly of the shape; some of another one, on edges, beside them, halfway between two steps of
/// the fixed point, or odd.
fn values(cells: &NumericCells, shape: Shape, n: usize, dice: &mut Dice) -> Vec<f64> {
    let other = dice.pick(&SHAPES);
    // Few enough that whole chunks are without, or many, or none.
    let strange = dice.pick(&[0.0, 0.0, 0.001, 0.02, 0.5]);
    let odd = dice.pick(&[0.0, 0.0, 0.001, 0.1]);
    let step = 1.0 / cells.scale.factor();
    let draw = |_| {
        if dice.open() < odd {
            return dice.pick(&ODD);
        }
        if dice.open() >= strange {
            return shape.draw(dice);
        }
        let edge = match cells.edges.len() {
            0 => cells.scale.center,
            n_edges => cells.edges[dice.below(n_edges)],
        };
        match dice.below(7) {
            0 => edge,
            1 => edge.next_up(),
            2 => edge.next_down(),
            3 => edge + step * (dice.open() - 0.5) * 3.0,
            4 => cells.scale.center + step * (dice.below(1 << 20) as f64 + 0.5),
            5 => dice.pick(&[cells.lowest, cells.highest, cells.lowest.next_down()]),
            _ => other.draw(dice),
        }
    };
    (0..n).map(draw).collect()
}

/// Counts `array` by every kernel and its values, which are `expanded`, one by one.
fn check(cells: &NumericCells, array: &dyn Array, expanded: impl Iterator<Item = f64>) {
    let mut expected = Counts::zero(cells.len());
    expanded.for_each(|value| count_one(cells, value, &mut expected));
    for level in Level::here() {
        let kernel = Kernel::new(cells, level);
        let mut counts = Counts::zero(cells.len());
        count_with(cells, &kernel, array, &mut counts);
        assert_eq!(counts, expected, "{kernel}: {cells:?}");
    }
}

/// Counts so many columns of up to `longest` values; returns how many values these were.
fn check_columns(seed: u64, columns: usize, longest: usize) -> usize {
    let mut dice = Dice::new(seed);
    let mut counted = 0;
    for column in 0..columns {
        let shape = SHAPES[column % SHAPES.len()];
        let cells = cells(shape, &mut dice);
        let n = dice.pick(&[1, 63, 64, 65, 1000, longest / 2, longest]);
        let values = values(&cells, shape, n, &mut dice);
        counted += n;
        match dice.below(6) {
            0 => {
                let mut valid = |value| (dice.open() < 0.8).then_some(value);
                let some: Vec<Option<f64>> = values.iter().map(|&value| valid(value)).collect();
                let cut = n / 3;
                let array = Float64Array::from(some.clone()).slice(cut, n - cut);
                check(&cells, &array, some[cut..].iter().flatten().copied());
            }
            1 => {
                #[expect(clippy::cast_possible_truncation, reason = "other floats are fine")]
                let floats: Vec<f32> = values.iter().map(|&value| value as f32).collect();
                let array = Float32Array::from(floats.clone());
                check(&cells, &array, floats.into_iter().map(f64::from));
            }
            2 => {
                #[expect(clippy::cast_possible_truncation, reason = "other integers are fine")]
                let integers: Vec<i64> = values.iter().map(|&value| value as i64).collect();
                let array = Int64Array::from(integers.clone());
                check(&cells, &array, integers.into_iter().map(|integer| integer as f64));
            }
            _ => check(&cells, &Float64Array::from(values.clone()), values.into_iter()),
        }
    }
    counted
}

#[test]
fn hostile_columns_are_counted_one_by_one_by_every_kernel() {
    check_columns(1, 300, 3000);
}

/// `cargo test --release --lib hundred_million -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn a_hundred_million_hostile_values_are_counted_one_by_one_by_every_kernel() {
    let (mut counted, mut seed) = (0, 1000);
    while counted < 100_000_000 {
        counted += check_columns(seed, 60, 50_000);
        seed += 1;
    }
    let levels: Vec<String> = Level::here().map(|level| level.to_string()).collect();
    println!("{counted} values, {}", levels.join(", "));
}

/// Otherwise the properties above would hold for kernels that nothing reaches.
#[test]
fn shapes_reach_the_kernels_that_are_for_them() {
    let mut dice = Dice::new(7);
    let mut kernel = |shape: Shape, n: usize, level| {
        let mut reference: Vec<f64> = (0..20_000).map(|_| shape.draw(&mut dice)).collect();
        reference.sort_by(f64::total_cmp);
        let edges: Vec<f64> = (1..=n).map(|k| reference[k * 20_000 / (n + 1)]).collect();
        let scale = Scale { center: reference[10_000], unit: reference[15_000] - reference[5000] };
        let (lowest, highest) = (reference[0], reference[19_999]);
        let cells = NumericCells::new(edges, lowest, highest, scale, Storage::F64);
        Kernel::new(&cells, level).to_string()
    };
    for level in Level::here() {
        let name = |kind: &str| format!("{level}, {kind}");
        assert_eq!(kernel(Shape::Normal, 9, level), name("few edges, in registers"));
        assert_eq!(kernel(Shape::Normal, 20, level), name("few edges"));
        assert_eq!(kernel(Shape::Normal, 239, level), name("fine grid"));
        assert_eq!(kernel(Shape::WideLognormal, 239, level), name("bent grid"));
        assert_eq!(kernel(Shape::AnyBits, 239, level), name("search"));
    }
}
