//! Counts of both sides over the same bins, as shares: what every statistic on bins starts from.

/// Pseudo-count per bin and side (Jeffreys), for PSI and KL only: the others are finite without.
const SMOOTHING: f64 = 0.5;

/// Counts over the same bins, those empty on both sides dropped; `m` and `n` are their sums.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    bins: Vec<(f64, f64)>,
    pub(crate) m: f64,
    pub(crate) n: f64,
}

impl Pair {
    /// `None` when a side has nothing in any bin: there is no share to compare.
    pub(crate) fn new(reference: &[u64], live: &[u64]) -> Option<Self> {
        Self::of(reference.iter().zip(live).map(|(&r, &c)| (r as f64, c as f64)))
    }

    /// The same of counts that need not be whole.
    pub(crate) fn of(both: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let bins: Vec<_> = both.filter(|&(r, c)| r > 0.0 || c > 0.0).collect();
        let m: f64 = bins.iter().map(|bin| bin.0).sum();
        let n: f64 = bins.iter().map(|bin| bin.1).sum();
        (m > 0.0 && n > 0.0).then_some(Self { bins, m, n })
    }

    /// B: bins that are not empty on both sides.
    pub(crate) fn len(&self) -> usize {
        self.bins.len()
    }

    /// `(reference, live)` counts.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.bins.iter().copied()
    }

    /// `(P, Q)`: shares as counted.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.bins.iter().map(|&(r, c)| (r / self.m, c / self.n))
    }

    /// `(p, q)`: Jeffreys-smoothed shares, `(c + 0.5) / (n + B/2)`, never 0.
    pub(crate) fn smoothed(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let extra = SMOOTHING * self.len() as f64;
        let (m, n) = (self.m + extra, self.n + extra);
        self.bins.iter().map(move |&(r, c)| ((r + SMOOTHING) / m, (c + SMOOTHING) / n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_that_are_empty_on_both_sides_are_dropped() {
        let pair = Pair::new(&[3, 0, 0, 1], &[0, 0, 2, 2]).unwrap();
        assert_eq!(pair.counts().collect::<Vec<_>>(), [(3.0, 0.0), (0.0, 2.0), (1.0, 2.0)]);
        assert_eq!((pair.m, pair.n), (4.0, 4.0));
    }

    #[test]
    fn a_side_without_values_makes_no_pair() {
        assert!(Pair::new(&[1, 2], &[0, 0]).is_none());
        assert!(Pair::new(&[0, 0], &[1, 2]).is_none());
        assert!(Pair::new(&[], &[]).is_none());
    }
}
