//! Rule `window`: a level is on when its threshold was crossed in 3 of the last 5 panes, and off again
//! after 5 panes in a row under 0.8 of what a score has to exceed.

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::compare::Statistic;
use crate::decide::policy::Level;
use crate::decide::policy::Policy;
use crate::decide::verdict::{is_crossed, size};
use crate::decide::view::FeatureVerdict;
use crate::decide::view::VerdictScore;

/// Panes that are looked back on.
pub const PANES: u32 = 5;
/// Of these, so many must have crossed.
pub const CROSSED: u32 = 3;
/// A score under this share of what it has to exceed counts towards clearing.
pub const CLEAR: f64 = 0.8;
/// Chance, per look, that noise alone exceeds the floor: rule `window` has no budget to hold, so its
/// floor is far out (the report's floor elsewhere is 1e-3).
pub const ALPHA: f64 = 1e-5;
/// The design effect that is assumed until one is measured or configured.
pub const UNCALIBRATED: f64 = 4.0;

const MASK: u8 = (1 << PANES) - 1;

/// The history of one level of one feature, a bit a pane, the newest lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelState {
    crossed: u8,
    clear: u8,
    on: bool,
}

impl LevelState {
    /// Takes in one pane. Neither crossed nor clear (no score, or between the lines) holds the level.
    pub fn push(&mut self, crossed: bool, clear: bool) {
        self.crossed = (self.crossed << 1 | u8::from(crossed)) & MASK;
        self.clear = (self.clear << 1 | u8::from(clear)) & MASK;
        if self.crossed.count_ones() >= CROSSED {
            self.on = true;
        } else if self.clear == MASK {
            self.on = false;
        }
    }

    /// Takes in one pane of a rule that needs no repetition: on at once, off after five clear panes. What
    /// is crossed by `repeated` alone needs three of five panes here, too.
    pub fn raise(&mut self, on: bool, repeated: bool, clear: bool) {
        self.crossed = (self.crossed << 1 | u8::from(on || repeated)) & MASK;
        self.clear = (self.clear << 1 | u8::from(clear)) & MASK;
        let enough = repeated && self.crossed.count_ones() >= CROSSED;
        self.on = on || enough || (self.on && self.clear != MASK);
    }

    pub fn encode(self, out: &mut Writer) {
        out.u64(u64::from(self.crossed));
        out.u64(u64::from(self.clear));
        out.u64(u64::from(self.on));
    }

    pub fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let byte = |value: u64| u8::try_from(value).map_err(|_| Truncated);
        Ok(Self {
            crossed: byte(input.u64()?)? & MASK,
            clear: byte(input.u64()?)? & MASK,
            on: input.u64()? != 0,
        })
    }

    pub fn is_on(self) -> bool {
        self.on
    }

    /// In how many of the last five panes it was crossed.
    pub fn crossings(self) -> u32 {
        self.crossed.count_ones()
    }

    /// On, and not crossed in the last pane: it has not cleared yet.
    pub fn is_lingering(self) -> bool {
        self.on && self.crossed & 1 == 0
    }
}

/// The levels of one feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureLevels {
    notice: LevelState,
    warning: LevelState,
    retrain: LevelState,
}

impl FeatureLevels {
    /// Takes in one pane's scores; `records` is how many the window holds. Fewer than `min_records`
    /// may raise a notice, and nothing more.
    pub fn push(&mut self, verdict: &FeatureVerdict, policy: &Policy, records: u64) {
        let notice = [(Statistic::Psi, Level::Notice, policy.psi_tolerance)];
        for level in [Level::Notice, Level::Warning, Level::Retrain] {
            let lines = policy.thresholds.iter().chain(&notice).filter(|(_, l, _)| *l == level);
            let (mut crossed, mut clear, mut any) = (false, true, false);
            for &(statistic, _, line) in lines {
                let Some(&score) = verdict.scores.get(&statistic) else { continue };
                let n = if statistic.is_rate() { records } else { verdict.live_count };
                let enough = level == Level::Notice || n >= policy.min_records;
                let (over, under) = match statistic.has_floor() {
                    true => {
                        any = true;
                        let over = is_crossed(statistic, score, line, ALPHA);
                        (over, is_clear(score, line, 0.0, ALPHA))
                    }
                    false => self.beside(level, statistic, score, line),
                };
                crossed |= enough && over;
                clear &= under;
            }
            self.level_mut(level).push(crossed, any && clear);
        }
    }

    /// Whether the score of a statistic of which nothing tells the noise is over its line, and whether it
    /// is clear of it. It says how large a change is that something else has shown: it counts while the
    /// feature is at `notice` and this pane does not clear that, and towards a warning alone.
    pub fn beside(
        &self,
        level: Level,
        statistic: Statistic,
        score: VerdictScore,
        line: f64,
    ) -> (bool, bool) {
        let is_noticed = self.notice.on && self.notice.clear & 1 == 0;
        let counts = level == Level::Warning && is_noticed;
        let value = size(statistic, score.value);
        (counts && value > line, !counts || value < CLEAR * line)
    }

    /// `LevelState::raise` of one level.
    pub fn raise(&mut self, level: Level, on: bool, repeated: bool, clear: bool) {
        self.level_mut(level).raise(on, repeated, clear);
    }

    pub fn level(&self, level: Level) -> LevelState {
        match level {
            Level::Notice => self.notice,
            Level::Warning => self.warning,
            Level::Retrain => self.retrain,
        }
    }

    fn level_mut(&mut self, level: Level) -> &mut LevelState {
        match level {
            Level::Notice => &mut self.notice,
            Level::Warning => &mut self.warning,
            Level::Retrain => &mut self.retrain,
        }
    }

    /// The highest level that is on.
    pub fn highest(&self) -> Option<Level> {
        [Level::Retrain, Level::Warning, Level::Notice]
            .into_iter()
            .find(|&level| self.level(level).is_on())
    }

    pub fn encode(&self, out: &mut Writer) {
        for state in [self.notice, self.warning, self.retrain] {
            state.encode(out);
        }
    }

    pub fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let mut levels = Self::default();
        for level in [Level::Notice, Level::Warning, Level::Retrain] {
            *levels.level_mut(level) = LevelState::decode(input)?;
        }
        Ok(levels)
    }
}

/// Whether a score counts towards clearing: under 0.8 of what it has to exceed, which is its line and the
/// `bias` that is taken off it, or its floor; or no more than noise by its p-value.
pub(super) fn is_clear(score: VerdictScore, line: f64, bias: f64, alpha: f64) -> bool {
    let under = score.value < CLEAR * line + bias;
    match (score.noise_floor, score.p_value) {
        (Some(floor), _) => under || score.value < CLEAR * floor,
        (None, Some(p_value)) => under || p_value >= alpha,
        (None, None) => under,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::policy::tests::policy;
    use crate::decide::view::Verdict;
    use crate::feature::{Kind, Role};

    fn run(panes: &[(bool, bool)]) -> Vec<bool> {
        let mut state = LevelState::default();
        panes
            .iter()
            .map(|&(crossed, clear)| {
                state.push(crossed, clear);
                state.is_on()
            })
            .collect()
    }

    const CROSS: (bool, bool) = (true, false);
    const CLEARED: (bool, bool) = (false, true);
    const BETWEEN: (bool, bool) = (false, false);

    #[test]
    fn three_of_five_turn_a_level_on() {
        assert_eq!(run(&[CROSS, CROSS, CROSS]), [false, false, true]);
        assert_eq!(run(&[CROSS, CLEARED, CROSS, CLEARED, CROSS])[4..], [true]);
        assert_eq!(run(&[CROSS, CLEARED, CLEARED, CROSS, CLEARED, CROSS])[5..], [false]);
    }

    #[test]
    fn only_five_clear_panes_in_a_row_turn_it_off() {
        let mut panes = vec![CROSS; 3];
        panes.extend([CLEARED, CLEARED, CLEARED, CLEARED, BETWEEN]);
        panes.extend([CLEARED; 5]);
        let states = run(&panes);
        assert_eq!(states[2..12], [true; 10]);
        assert!(!states[12]);
    }

    #[test]
    fn what_needs_repetition_is_on_in_the_third_of_five_panes() {
        let mut state = LevelState::default();
        let mut pane = |on, repeated, clear| {
            state.raise(on, repeated, clear);
            (state.is_on(), state.is_lingering())
        };
        assert_eq!(pane(false, true, false), (false, false));
        assert_eq!(pane(false, true, false), (false, false));
        assert_eq!(pane(false, false, false), (false, false));
        assert_eq!(pane(false, true, false), (true, false));
        for _ in 0..4 {
            assert_eq!(pane(false, false, true), (true, true));
        }
        assert_eq!(pane(false, false, true), (false, false));
        assert_eq!(pane(true, false, false), (true, false), "at once");
    }

    #[test]
    fn a_score_is_clear_by_what_it_has_to_exceed() {
        let score = |value, noise_floor, p_value| VerdictScore {
            value,
            noise_floor,
            p_value,
            threshold: None,
        };
        let psi = |value, floor| is_clear(score(value, Some(floor), None), 0.1, 0.18, ALPHA);
        // 0.08 above the 0.18 that noise alone shows.
        assert!(psi(0.2599, 0.0) && !psi(0.2601, 0.0));
        // Or well under what noise shows once in a hundred thousand looks.
        assert!(psi(0.31, 0.4) && !psi(0.33, 0.4));
        let rate = |value, p_value| is_clear(score(value, None, Some(p_value)), 0.01, 0.0, ALPHA);
        assert!(rate(0.0079, 1e-9) && !rate(0.0081, 1e-9) && rate(0.02, 0.2));
    }

    /// The levels after panes of such windows: PSI and its floor, and Wasserstein, over 2,000 values.
    fn levels(panes: &[(f64, f64, f64)]) -> Vec<Option<Level>> {
        let policy = Policy {
            thresholds: vec![
                (Statistic::Psi, Level::Warning, 0.1),
                (Statistic::Psi, Level::Retrain, 0.2),
                (Statistic::Wasserstein, Level::Warning, 0.1),
            ],
            ..policy()
        };
        let mut levels = FeatureLevels::default();
        let score = |value, noise_floor| VerdictScore {
            value,
            noise_floor,
            p_value: None,
            threshold: None,
        };
        let highest = panes.iter().map(|&(psi, floor, wasserstein)| {
            let scores = [
                (Statistic::Psi, score(psi, Some(floor))),
                (Statistic::Wasserstein, score(wasserstein, None)),
            ];
            let verdict = FeatureVerdict {
                feature: "amount".to_owned(),
                kind: Kind::Numeric,
                role: Role::Feature,
                verdict: Verdict::Stable,
                reference_count: 20_000,
                live_count: 2_000,
                scores: scores.into(),
                reason: None,
                records_needed: None,
                onset: None,
                season: None,
            };
            levels.push(&verdict, &policy, 2_000);
            levels.highest()
        });
        highest.collect()
    }

    #[test]
    fn what_has_no_law_of_noise_warns_beside_psi_and_holds_nothing_alone() {
        let (notice, warning) = (Some(Level::Notice), Some(Level::Warning));
        assert_eq!(levels(&[(0.001, 0.005, 5.0); 10]), [None; 10]);
        let drifted = [(0.05, 0.005, 0.12); 6];
        let after = [(0.001, 0.005, 0.085); 5];
        let all = levels(&[&drifted[..], &after[..]].concat());
        assert_eq!(all[..6], [None, None, notice, notice, warning, warning]);
        assert_eq!(all[6..], [warning, warning, warning, warning, None]);
    }

    #[test]
    fn noise_that_is_larger_than_a_line_holds_no_level() {
        // With a design effect of 4, 300 records show a PSI of 0.12 without drift.
        let all = levels(&[&[(0.6, 0.5, 0.0); 3][..], &[(0.15, 0.5, 0.0); 5][..]].concat());
        assert_eq!((all[2], all[7]), (Some(Level::Retrain), None));
    }

    #[test]
    fn the_levels_come_back() {
        let mut levels = FeatureLevels::default();
        levels.warning.push(true, false);
        levels.retrain = LevelState { crossed: 0b10111, clear: 0, on: true };
        let mut out = Writer::default();
        levels.encode(&mut out);
        let bytes = out.into_bytes();
        assert_eq!(FeatureLevels::decode(&mut Reader::new(&bytes)), Ok(levels));
    }
}
