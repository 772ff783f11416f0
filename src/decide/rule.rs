//! Rule `window`: a level is on when its threshold was crossed in 3 of the last 5 panes, and off again
//! after 5 panes in a row under 0.8 of it.

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::compare::Statistic;
use crate::decide::policy::Level;
use crate::decide::policy::Policy;
use crate::decide::verdict::is_crossed;
use crate::decide::view::FeatureVerdict;
use crate::decide::view::VerdictScore;

/// Panes that are looked back on.
pub const PANES: u32 = 5;
/// Of these, so many must have crossed.
pub const CROSSED: u32 = 3;
/// A score under this share of the threshold counts towards clearing.
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

    /// Takes in one pane of a rule that needs no repetition: on at once, off after five clear panes.
    pub fn raise(&mut self, on: bool, clear: bool) {
        self.crossed = (self.crossed << 1 | u8::from(on)) & MASK;
        self.clear = (self.clear << 1 | u8::from(clear)) & MASK;
        self.on = on || (self.on && self.clear != MASK);
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
            let scored: Vec<(Statistic, VerdictScore, f64)> = lines
                .filter_map(|(s, _, line)| Some((*s, *verdict.scores.get(s)?, *line)))
                .collect();
            let enough = |statistic: Statistic| {
                let n = if statistic.is_rate() { records } else { verdict.live_count };
                level == Level::Notice || n >= policy.min_records
            };
            let over = |(s, score, line): &(Statistic, VerdictScore, f64)| {
                enough(*s) && is_crossed(*s, *score, *line, ALPHA)
            };
            let crossed = scored.iter().any(over);
            let clear = !scored.is_empty()
                && scored.iter().all(|(_, score, line)| score.value < CLEAR * line);
            self.level_mut(level).push(crossed, clear);
        }
    }

    /// `LevelState::raise` of one level.
    pub fn raise(&mut self, level: Level, on: bool, clear: bool) {
        self.level_mut(level).raise(on, clear);
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

#[cfg(test)]
mod tests {
    use super::*;

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
