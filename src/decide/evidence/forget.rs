//! Panes that turn out to be no evidence after they were taken in.

use crate::decide::evidence::Detector;

impl Detector {
    /// Takes a feature's part of the last `panes` panes out again, as if it had been empty in them. Only
    /// what the starts that are kept still tell apart goes: recent panes are all there.
    pub fn forget(&mut self, track: usize, panes: u64) {
        let from = self.t.saturating_sub(panes);
        let Some(track) = self.tracks.get_mut(track).filter(|_| panes > 0) else { return };
        let Some(first) = track.at.iter().position(|(start, _)| *start >= from) else { return };
        let then = track.at[first].1.clone();
        track.now.clone_from(&then);
        for (_, sums) in &mut track.at[first..] {
            sums.clone_from(&then);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_was_never_there() {
        let pane = |n: f64| vec![Some(vec![n, 1.0]), Some(vec![2.0 * n, 0.0])];
        let (mut forgot, mut empty) = (Detector::new(&[2, 2]), Detector::new(&[2, 2]));
        for i in 0..40 {
            let at = f64::from(i);
            forgot.push(&pane(at), 9);
            let lost = i >= 38;
            empty.push(&[pane(at)[0].clone().filter(|_| !lost), pane(at)[1].clone()], 9);
        }
        assert_ne!(forgot, empty);
        forgot.forget(0, 2);
        assert_eq!(forgot, empty);
        forgot.forget(0, 0);
        assert_eq!(forgot, empty);
    }
}
