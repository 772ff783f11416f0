//! A feature that is stuck: one value, where the reference has many.

use crate::baseline::FeatureBaseline;
use crate::baseline::season::PRIOR;
use crate::decide::fault::share::effective;
use crate::histogram::Cells;
use crate::histogram::Counts;

/// The only cell that live values are in, when they are one and the same value.
pub(super) fn only_cell(feature: &FeatureBaseline, live: &Counts) -> Option<usize> {
    let mut held = live.cells.iter().enumerate().filter(|(_, count)| **count > 0);
    let (cell, &count) = held.next()?;
    if held.next().is_some() || count < 2 || live.unseen > 0 {
        return None;
    }
    let same = match &feature.cells {
        // Integers: n times the sum of squares is the square of the sum for equal values only.
        Cells::Numeric(cells) => cells.scale.variance(live).is_some_and(|v| v <= 0.0),
        // The last cell is all the rest.
        Cells::Categorical(cells) => cell < cells.categories.len(),
    };
    same.then_some(cell)
}

/// Nats against `n` values in a row in this cell by chance: each has the reference's share of it, which
/// within a season is that of the hour. `slots` are those of the run, evenly; its `design_effect` is what they
/// leave, so what is usual at an hour must not be taken for chance.
pub(super) fn evidence(
    feature: &FeatureBaseline,
    cell: usize,
    (n, slots): (u64, &[usize]),
    design_effect: f64,
) -> f64 {
    let held = |counts: &Counts| counts.cells.get(cell).copied().unwrap_or(0) as f64;
    let reference = &feature.reference;
    let share = (held(reference) + 1.0) / (reference.in_cells() as f64 + 2.0);
    let season = feature.season.as_ref().map_or(&[][..], |season| &season.slots);
    let at = |slot: &usize| {
        let slot = season.get(*slot)?;
        let share = (held(slot) + PRIOR * share) / (slot.in_cells() as f64 + PRIOR);
        Some(-share.ln())
    };
    let of_slots: Vec<f64> = slots.iter().filter_map(at).collect();
    let nats = match of_slots.len() {
        0 => -share.ln(),
        n => of_slots.iter().sum::<f64>() / n as f64,
    };
    // More values say nothing new about the reference: 1 + n/m is about estimating a share.
    effective(n, f64::INFINITY, design_effect) * nats
}

/// The value of a numeric feature that is constant.
pub(super) fn value(feature: &FeatureBaseline, live: &Counts) -> Option<f64> {
    match &feature.cells {
        Cells::Numeric(cells) => cells.scale.mean(live),
        Cells::Categorical(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::FeatureSeason;
    use crate::histogram::Bins;
    use crate::histogram::CategoricalCells;
    use crate::setting::season::Cycle;

    /// Of three categories the last holds a tenth: half of the values at noon, nearly none at any other hour.
    fn seasonal() -> FeatureBaseline {
        let of = |cells: [u64; 3]| Counts { cells: cells.to_vec(), ..Counts::default() };
        let slot = |hour| if hour == 12 { of([300, 200, 500]) } else { of([590, 400, 10]) };
        let slots: Vec<Counts> = (0..24).map(slot).collect();
        let mut reference = of([0; 3]);
        slots.iter().for_each(|slot| reference.add(slot));
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let cells = Cells::Categorical(CategoricalCells::new(names, Vec::new(), false));
        FeatureBaseline {
            distinct: 3,
            season: Some(FeatureSeason { cycle: Cycle::Day, other: None, slots }),
            ..FeatureBaseline::of_counts(
                "category",
                cells,
                Bins { starts: vec![0, 1, 2] },
                reference,
            )
        }
    }

    #[test]
    fn what_is_usual_at_an_hour_is_no_sign_of_being_stuck_then() {
        let feature = seasonal();
        let nats = |slots: &[usize]| evidence(&feature, 2, (40, slots), 4.0);
        let whole = nats(&[]);
        assert!(nats(&[12]) < whole / 3.0, "{} {whole}", nats(&[12]));
        assert!(nats(&[3]) > whole, "{} {whole}", nats(&[3]));
        // A run that began at noon goes on to say what the hours after it make of it.
        let on = nats(&[12, 13, 14]);
        assert!(on > nats(&[12]) && on < nats(&[13]), "{on}");
    }
}
