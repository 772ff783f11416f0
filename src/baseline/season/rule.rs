//! Which seasons are looked for, by the configuration and by the rows' times.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::baseline::Overrides;
use crate::setting::DAY_MS;
use crate::setting::season::{Calendar, Cycle, Period, Season, UnknownZone};

/// What is taken for the live pane where the configuration tells none.
pub(super) const PANE_MS: i64 = 300_000;
/// Slots pay only where the design effect with them is below so much of that without.
const WORTH: f64 = 0.8;

/// How seasons were looked for in the rows' times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeasonRule {
    pub period: Period,
    pub time_zone: String,
    /// A row's slot is that of the live pane that it would be in.
    pub pane_ms: i64,
    /// From the first row to the last one.
    #[serde(default)]
    pub span_ms: i64,
    /// Days (UTC) with a row.
    #[serde(default)]
    pub days: usize,
    #[serde(default)]
    pub hours: Hours,
}

/// How many hours of the local day, and of the local week, have a row; 0 where a profile does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    pub day: usize,
    pub week: usize,
}

/// Why a season that was asked for can't be had.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum SeasonError {
    #[error(
        "season {period} needs the time of each row, and the baseline has none ({why}); add a column with \
         the rows' times (a time stamp, or a number or text named event_time, timestamp or ts), name it by \
         `time_column`, or write `season: auto` or `season: none`"
    )]
    NoTimes { period: String, why: String },
    #[error(
        "the profile has season {built}, the configuration asks for {wanted}; build it again from the data \
         with `driftd baseline build --season {period} --time-zone {time_zone}`"
    )]
    OtherSeason { built: String, wanted: String, period: String, time_zone: String },
    #[error("{0}", UnknownZone(.time_zone.clone()))]
    UnknownZone { time_zone: String },
}

impl From<UnknownZone> for SeasonError {
    fn from(UnknownZone(time_zone): UnknownZone) -> Self {
        SeasonError::UnknownZone { time_zone }
    }
}

impl SeasonRule {
    pub fn new(overrides: &Overrides) -> Self {
        let Season { period, time_zone, .. } = overrides.season.clone();
        let pane_ms = overrides.pane_ms.unwrap_or(PANE_MS).max(1);
        Self { period, time_zone, pane_ms, span_ms: 0, days: 0, hours: Hours::default() }
    }

    /// Takes in when rows were, over a span: the starts of the shortest panes that have any, and whether all
    /// rows are of one time of the day.
    pub fn see(&mut self, span_ms: i64, starts_ms: &[i64], is_daily: bool) {
        self.span_ms = span_ms;
        let days: BTreeSet<i64> = starts_ms.iter().map(|at| at.div_euclid(DAY_MS)).collect();
        self.days = days.len();
        let filled = |cycle: Cycle| {
            let Ok(calendar) = Calendar::new(cycle, &self.time_zone) else { return 0 };
            let slots = starts_ms.iter().map(|&at_ms| calendar.slot(self.pane_of(at_ms)));
            slots.collect::<BTreeSet<_>>().len()
        };
        let day = if is_daily { 1 } else { filled(Cycle::Day) };
        self.hours = Hours { day, week: filled(Cycle::Week) };
    }

    /// The start of the live pane at a moment.
    pub fn pane_of(&self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.pane_ms) * self.pane_ms
    }

    /// The rows tell their day, and nothing of its hours.
    pub fn is_daily(&self) -> bool {
        self.hours.day == 1 && self.span_ms > DAY_MS / 2
    }

    /// The calendars to try on rows of this span: the one that was asked for; with `auto` a day from four
    /// days of rows on, and a week from four weeks on, if at least half of its hours have a row. What has none
    /// is compared with the whole, at a design effect that knows nothing of that.
    ///
    /// # Errors
    /// When this machine does not know the zone.
    pub fn calendars(&self) -> Result<Vec<Calendar>, UnknownZone> {
        let enough = |cycle: Cycle| match self.period {
            Period::Auto => {
                let (span, days) = least(cycle);
                let hours = match cycle {
                    Cycle::Day => self.hours.day,
                    Cycle::Week => self.hours.week,
                };
                self.span_ms >= span * DAY_MS && self.days >= days && 2 * hours >= cycle.slots()
            }
            Period::None | Period::Day | Period::Week => self.period.cycle() == Some(cycle),
        };
        let wanted = Cycle::ALL.into_iter().filter(|&cycle| enough(cycle));
        wanted.map(|cycle| Calendar::new(cycle, &self.time_zone)).collect()
    }

    /// Whether slots that leave a design effect of `with` are used in place of what leaves `without`.
    pub fn takes(&self, with: f64, without: f64) -> bool {
        self.period.cycle().is_some() || with < WORTH * without
    }

    /// # Errors
    /// When the zone that is named is not known on this machine.
    pub fn check_zone(&self) -> Result<(), SeasonError> {
        Calendar::new(Cycle::Day, &self.time_zone)?;
        Ok(())
    }

    /// What a baseline without times is told that is to have this season; `column` is what its times
    /// should be in, and what that `lacks`.
    pub fn needs_times(&self, column: Option<&str>, lacks: &str) -> SeasonError {
        let why = match column {
            None => "no time column".to_owned(),
            Some(name) => format!("column `{name}` {lacks}"),
        };
        SeasonError::NoTimes { period: self.shown(), why }
    }

    /// Days from the first row to the last one.
    #[expect(clippy::cast_precision_loss, reason = "a number of days for people")]
    pub(super) fn spanned(&self) -> f64 {
        self.span_ms as f64 / DAY_MS as f64
    }

    /// `day in Europe/Berlin`
    pub(super) fn shown(&self) -> String {
        format!("{} in {}", self.period.as_str(), self.time_zone)
    }
}

impl fmt::Display for SeasonRule {
    /// `auto in UTC: 7.0 days, with rows on 8`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.1} days, with rows on {}", self.shown(), self.spanned(), self.days)
    }
}

/// With `auto`: days from the first row to the last one, and days with a row.
pub(super) fn least(cycle: Cycle) -> (i64, usize) {
    match cycle {
        Cycle::Day => (4, 4),
        Cycle::Week => (28, 20),
    }
}
