//! Outputs of a model that its training data has not: counted into a grid that suits any number.

use crate::baseline::{Baseline, FeatureBaseline, Overrides, Unusable};
use crate::feature::Role;
use crate::histogram::{Bins, Cells, Counts, NumericCells, Scale, Storage};

/// Even cells between 0 and 1, where probabilities are.
const EVEN: u32 = 200;
/// Above 1 and below 0 each octave has so many cells, over so many octaves.
const AN_OCTAVE: (i32, i32) = (8, 2);
const OCTAVES: (i32, i32) = (24, 24);

impl Baseline {
    /// Adds the outputs that are asked for where no column is one.
    pub fn watch_outputs(&mut self, overrides: &Overrides) {
        for role in Role::OUTPUTS {
            let name = role.as_str();
            let has = self.features.iter().any(|f| f.role == role || f.name == name);
            if overrides.watches(role) && !has && !overrides.ignore.contains(name) {
                self.features.push(unreferenced(role));
            }
        }
    }
}

impl Overrides {
    /// Whether an output is to be counted even if no column holds it.
    pub fn watches(&self, role: Role) -> bool {
        match role {
            Role::Prediction => self.watch_prediction,
            Role::Confidence => self.watch_confidence,
            Role::Feature | Role::Label | Role::Latency => false,
        }
    }
}

/// An output without a reference.
fn unreferenced(role: Role) -> FeatureBaseline {
    let edges = edges();
    let n = edges.len() + 1;
    let scale = Scale { center: 0.0, unit: 1.0 };
    let cells = Cells::Numeric(NumericCells::new(edges, f64::MIN, f64::MAX, scale, Storage::F64));
    FeatureBaseline {
        role,
        column_type: "none".to_owned(),
        unusable: Some(Unusable::NoReference),
        ..FeatureBaseline::of_counts(
            role.as_str(),
            cells,
            Bins { starts: vec![0] },
            Counts::zero(n),
        )
    }
}

fn edges() -> Vec<f64> {
    let octaves = |(cells, octaves): (i32, i32)| {
        (0..=cells * octaves).map(move |step| (f64::from(step) / f64::from(cells)).exp2())
    };
    let below: Vec<f64> = octaves((AN_OCTAVE.1, OCTAVES.1)).map(|edge| -edge).collect();
    let within = (0..EVEN).map(|step| f64::from(step) / f64::from(EVEN));
    let above = octaves((AN_OCTAVE.0, OCTAVES.0));
    below.into_iter().rev().chain(within).chain(above).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_rises_and_is_no_wider_than_any_other() {
        let edges = edges();
        assert!(edges.windows(2).all(|pair| pair[0] < pair[1]), "{edges:?}");
        assert!(edges.len() <= 480, "{}", edges.len());
    }
}
