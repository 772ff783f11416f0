//! Bisection without branches: for edges that no key tells apart.

use std::hint::select_unpredictable;

/// Eight values at a time are searched for, so that their loads overlap.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Padded with infinity to a power of two above the number of edges.
    edges: Vec<f64>,
}

impl Search {
    pub(super) fn new(edges: &[f64]) -> Self {
        let mut padded = edges.to_vec();
        padded.resize((edges.len() + 1).next_power_of_two(), f64::INFINITY);
        Self { edges: padded }
    }

    /// Adds each value's cell to the counters, of which there are more than edges; the values are
    /// finite. Fewer than 2^32 between two flushes.
    pub(super) fn count(&self, values: &[f64], counters: &mut Vec<u32>) {
        counters.resize(self.edges.len(), 0);
        let (groups, rest) = values.as_chunks::<8>();
        for group in groups {
            for cell in self.cells(group) {
                counters[cell] += 1;
            }
        }
        for value in rest {
            let [cell] = self.cells(&[*value]);
            counters[cell] += 1;
        }
    }

    /// Moves the counters to `cells` and leaves zeros.
    pub(super) fn flush(counters: &mut [u32], cells: &mut [u64]) {
        for (cell, counter) in cells.iter_mut().zip(counters) {
            *cell += u64::from(std::mem::take(counter));
        }
    }

    #[inline]
    fn cells<const N: usize>(&self, values: &[f64; N]) -> [usize; N] {
        let mut cells = [0; N];
        let mut half = self.edges.len() / 2;
        while half > 0 {
            for (cell, &value) in cells.iter_mut().zip(values) {
                let above = self.edges[*cell + half - 1] < value;
                *cell = select_unpredictable(above, *cell + half, *cell);
            }
            half /= 2;
        }
        cells
    }
}
