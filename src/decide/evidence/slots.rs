//! A slot of the season to the common columns: so that without drift every slot has the overall law.
//!
//! The counting never changes: a slot's own reference is laid over the overall one, and what a cell counts
//! in that slot is handed to the columns that have its mass overall. Suffixes of any length, over any
//! slots, are then compared with one law.

/// Masses closer than this are the same: sums of shares carry rounding.
const SAME: f64 = 1e-12;
/// Added to each category's overall count.
const CATEGORY_PRIOR: f64 = 0.5;

/// How the counts of one slot become counts of columns.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotMap {
    /// Of a number: where each border between columns cuts the slot's cells.
    Monotone(Vec<Cut>),
    /// Of a category, per column: the share that stays, and what it gets of all that doesn't.
    Maximal { keep: Vec<f64>, get: Vec<f64> },
}

/// A border between columns: all cells before `cell` lie under it, and this share of `cell` itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    cell: usize,
    share: f64,
}

/// The shrunk law of a slot: `(count_i + prior p_i) / (total + prior)`, `p` the overall law.
fn law(slot: &[f64], overall: &[f64], prior: f64) -> Vec<f64> {
    let total = slot.iter().sum::<f64>() + prior;
    slot.iter().zip(overall).map(|(count, p)| (count + prior * p) / total).collect()
}

impl SlotMap {
    /// The monotone coupling of a slot's law over cells with the overall law over columns: lay both along
    /// `[0, 1]`; a cell is spread over the columns at the same quantiles. `of_cell` is the column of each
    /// cell, ascending; `overall` the counts of the whole.
    pub fn monotone(slot: &[f64], overall: &[f64], of_cell: &[usize], prior: f64) -> Self {
        let all = overall.iter().sum::<f64>().max(1.0);
        let overall: Vec<f64> = overall.iter().map(|count| count / all).collect();
        let slot = law(slot, &overall, prior);
        let mut cuts = Vec::new();
        // What lies under the border overall, and under cell `at` in the slot.
        let (mut border, mut under, mut at) = (0.0, 0.0, 0);
        for (cell, p) in overall.iter().enumerate() {
            if cell > 0 && of_cell[cell] != of_cell[cell - 1] {
                while at + 1 < slot.len() && under + slot[at] < border - SAME {
                    under += slot[at];
                    at += 1;
                }
                let rest = border - under;
                let whole = rest >= slot[at] - SAME;
                let share = if whole { 1.0 } else { (rest / slot[at]).max(0.0) };
                cuts.push(Cut { cell: at, share });
            }
            border += p;
        }
        SlotMap::Monotone(cuts)
    }

    /// The maximal coupling of a slot's law over categories with the overall one: of each category
    /// `min(1, p / slot's)` stays, the rest goes where the overall law has more than the slot's.
    pub fn maximal(slot: &[f64], overall: &[f64], prior: f64) -> Self {
        let all = overall.iter().map(|count| count + CATEGORY_PRIOR).sum::<f64>();
        let overall: Vec<f64> = overall.iter().map(|c| (c + CATEGORY_PRIOR) / all).collect();
        Self::maximal_of(&law(slot, &overall, prior), &overall)
    }

    fn maximal_of(slot: &[f64], overall: &[f64]) -> Self {
        let more: Vec<f64> = slot.iter().zip(overall).map(|(s, p)| (p - s).max(0.0)).collect();
        let sum: f64 = more.iter().sum();
        if sum <= SAME {
            return SlotMap::Maximal { keep: vec![1.0; slot.len()], get: vec![0.0; slot.len()] };
        }
        let keep = slot.iter().zip(overall).map(|(s, p)| (p / s).min(1.0)).collect();
        SlotMap::Maximal { keep, get: more.iter().map(|more| more / sum).collect() }
    }

    /// Counts of columns from those of a number's cells, or of a category's columns.
    pub fn apply(&self, counts: &[f64]) -> Vec<f64> {
        match self {
            SlotMap::Monotone(cuts) => {
                let (mut under, mut at, mut before) = (0.0, 0, 0.0);
                let mut columns = Vec::with_capacity(cuts.len() + 1);
                for cut in cuts {
                    under += counts[at..cut.cell].iter().sum::<f64>();
                    at = cut.cell;
                    let border = under + cut.share * counts[at];
                    columns.push(border - before);
                    before = border;
                }
                columns.push(under + counts[at..].iter().sum::<f64>() - before);
                columns
            }
            SlotMap::Maximal { keep, get } => {
                let moved: f64 = counts.iter().zip(keep).map(|(c, keep)| c * (1.0 - keep)).sum();
                let stays = counts.iter().zip(keep).map(|(count, keep)| count * keep);
                stays.zip(get).map(|(stays, get)| stays + moved * get).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::decide::evidence::golden;

    fn unit(n: usize, i: usize) -> Vec<f64> {
        (0..n).map(|k| f64::from(u8::from(k == i))).collect()
    }

    #[test]
    fn the_couplings_are_the_golden_ones() {
        for case in golden::section("coupling").as_array().unwrap() {
            let numbers = |key: &str| golden::numbers(&case[key]);
            let (slot, target) = (numbers("slot_counts"), numbers("target"));
            let prior = case["prior"].as_f64().unwrap();
            let map = match case["kind"].as_str().unwrap() {
                "numeric, monotone" => {
                    let overall: Vec<f64> =
                        numbers("cell_reference").iter().map(|p| p * 1e6).collect();
                    SlotMap::monotone(&slot, &overall, &[0, 0, 1, 1], prior)
                }
                _ => SlotMap::maximal_of(&law(&slot, &target, prior), &target),
            };
            for (i, row) in case["matrix"].as_array().unwrap().iter().enumerate() {
                let found = map.apply(&unit(slot.len(), i));
                let row: &Value = row;
                found
                    .iter()
                    .zip(golden::numbers(row))
                    .for_each(|(f, e)| golden::close(*f, e, "row"));
            }
            let mapped = map.apply(&numbers("slot_probabilities"));
            mapped.iter().zip(numbers("mapped")).for_each(|(f, e)| golden::close(*f, e, "mapped"));
        }
    }

    fn counts() -> impl Strategy<Value = Vec<(f64, f64)>> {
        let count = prop_oneof![3 => 0..400u32, 1 => Just(0u32), 1 => 3000..90_000u32];
        let pair = (count.clone(), count).prop_map(|(slot, others)| {
            // The whole holds the slot.
            (f64::from(slot), f64::from(slot) + f64::from(others))
        });
        proptest::collection::vec(pair, 1..60)
    }

    proptest! {
        /// `sum_i ps_i W_ij = pbar_j`, rows of `W` sum to 1, and no entry is below 0.
        #[test]
        fn couplings_conserve_mass(
            both in counts(),
            columns in proptest::collection::vec(any::<bool>(), 60),
            prior in prop_oneof![Just(30.0), Just(0.5)],
        ) {
            let (slot, overall): (Vec<f64>, Vec<f64>) = both.into_iter().unzip();
            prop_assume!(overall.iter().sum::<f64>() > 0.0);
            let n = slot.len();
            let mut column = 0;
            let of_cell: Vec<usize> = (0..n)
                .map(|cell| {
                    column += usize::from(cell > 0 && columns[cell]);
                    column
                })
                .collect();
            let all: f64 = overall.iter().sum();
            let shares: Vec<f64> = overall.iter().map(|count| count / all).collect();
            let mut target = vec![0.0; column + 1];
            of_cell.iter().zip(&shares).for_each(|(&column, p)| target[column] += p);
            let monotone = SlotMap::monotone(&slot, &overall, &of_cell, prior);
            let mapped = monotone.apply(&law(&slot, &shares, prior));
            for (found, expected) in mapped.iter().zip(&target) {
                prop_assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            }
            let smoothed: Vec<f64> = overall
                .iter()
                .map(|count| (count + CATEGORY_PRIOR) / (all + CATEGORY_PRIOR * n as f64))
                .collect();
            let maximal = SlotMap::maximal(&slot, &overall, prior);
            let mapped = maximal.apply(&law(&slot, &smoothed, prior));
            for (found, expected) in mapped.iter().zip(&smoothed) {
                prop_assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            }
            for i in 0..n {
                for row in [monotone.apply(&unit(n, i)), maximal.apply(&unit(n, i))] {
                    prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                    prop_assert!(row.iter().all(|w| *w >= 0.0), "{row:?}");
                }
            }
        }

        /// A slot without records of its own has the overall map: each cell to its column.
        #[test]
        fn a_slot_that_is_empty_or_like_the_whole_maps_as_the_whole(
            overall in proptest::collection::vec(1..500u32, 2..50),
            live in proptest::collection::vec(0..90u32, 50),
            like in prop_oneof![Just(0.0), Just(0.25)],
        ) {
            let overall: Vec<f64> = overall.into_iter().map(f64::from).collect();
            let live: Vec<f64> = live[..overall.len()].iter().copied().map(f64::from).collect();
            let of_cell: Vec<usize> = (0..overall.len()).map(|cell| cell / 3).collect();
            let slot: Vec<f64> = overall.iter().map(|count| count * like).collect();
            let map = SlotMap::monotone(&slot, &overall, &of_cell, 30.0);
            let mut expected = vec![0.0; of_cell[overall.len() - 1] + 1];
            of_cell.iter().zip(&live).for_each(|(&column, count)| expected[column] += count);
            for (found, expected) in map.apply(&live).iter().zip(&expected) {
                prop_assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }

    #[test]
    fn a_category_that_the_slot_has_more_of_gives_away_and_no_other() {
        let map = SlotMap::maximal(&[700.0, 200.0, 100.0], &[5000.0, 3000.0, 2000.0], 30.0);
        let found = map.apply(&[700.0, 200.0, 100.0]);
        assert!(found[0] < 520.0 && found[1] > 290.0 && found[2] > 190.0, "{found:?}");
        assert_eq!(map.apply(&[0.0, 5.0, 7.0]), [0.0, 5.0, 7.0]);
    }
}
