//! Seasons of a baseline: each slot's own reference, and the mixture of those that a window covers.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::baseline::design_effect::DesignEffect;
use crate::baseline::{Baseline, Convention, FeatureBaseline, Overrides};
use crate::histogram::Counts;
use crate::setting::season::{Calendar, Cycle, Period, Season, UnknownZone};

/// A slot's law is shrunk towards the overall one by as many records of that.
pub const PRIOR: f64 = 30.0;
const DAY_MS: i64 = 86_400_000;
/// What is taken for the live pane where the configuration tells none.
const PANE_MS: i64 = 300_000;
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
}

/// What slots do for one feature, where they were tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureSeason {
    pub cycle: Cycle,
    /// The design effect without slots where they are used, with them where they are not.
    pub other: Option<DesignEffect>,
    /// Each slot's own reference, over the feature's cells; empty where slots are not used.
    pub slots: Vec<Counts>,
}

impl FeatureSeason {
    pub fn is_used(&self) -> bool {
        !self.slots.is_empty()
    }

    /// What was read back has a slot for each hour, within the counts of the whole.
    pub(super) fn check(&self, whole: &Counts) -> Result<(), &'static str> {
        if self.other.as_ref().is_some_and(|effect| !effect.is_sound()) {
            return Err("the design effect of its season is not finite and at least 1");
        }
        if !self.is_used() {
            return Ok(());
        }
        if self.slots.len() != self.cycle.slots() {
            return Err("its season has another number of slots");
        }
        let mut sums = vec![0u64; whole.cells.len()];
        for slot in &self.slots {
            if slot.cells.len() != sums.len() {
                return Err("a slot has other cells than the whole");
            }
            sums.iter_mut().zip(&slot.cells).for_each(|(sum, n)| *sum = sum.saturating_add(*n));
        }
        let within = sums.iter().zip(&whole.cells).all(|(sum, whole)| sum <= whole);
        within.then_some(()).ok_or("its slots hold more than the whole")
    }
}

/// Why a season that was asked for can't be had.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum SeasonError {
    #[error(
        "season {period} needs the time of each row, and the baseline has none ({why}); add a column with \
         the rows' times (a time stamp, or a number or text named event_time, timestamp or ts), or write \
         `season: auto` or `season: none`"
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
        Self { period, time_zone, pane_ms, span_ms: 0, days: 0 }
    }

    /// The calendars to try on rows of this span: the one that was asked for; with `auto` a day from four
    /// days of rows on, and a week from four weeks on.
    ///
    /// # Errors
    /// When this machine does not know the zone.
    pub fn calendars(&self) -> Result<Vec<Calendar>, UnknownZone> {
        let enough = |cycle: Cycle| match self.period {
            Period::Auto => {
                let (span, days) = least(cycle);
                self.span_ms >= span * DAY_MS && self.days >= days
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
    /// should be in.
    pub fn needs_times(&self, column: Option<&str>) -> SeasonError {
        let why = match column {
            None => "no time column".to_owned(),
            Some(name) => format!("column `{name}` tells no two different times"),
        };
        SeasonError::NoTimes { period: self.shown(), why }
    }

    /// Days from the first row to the last one.
    #[expect(clippy::cast_precision_loss, reason = "a number of days for people")]
    fn spanned(&self) -> f64 {
        self.span_ms as f64 / DAY_MS as f64
    }

    /// `day in Europe/Berlin`
    fn shown(&self) -> String {
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
fn least(cycle: Cycle) -> (i64, usize) {
    match cycle {
        Cycle::Day => (4, 4),
        Cycle::Week => (28, 20),
    }
}

impl Baseline {
    /// The calendar of a feature whose season is used.
    pub fn calendar(&self, feature: &FeatureBaseline) -> Option<Calendar> {
        let season = feature.season.as_ref().filter(|season| season.is_used())?;
        Calendar::new(season.cycle, &self.season.as_ref()?.time_zone).ok()
    }

    /// The calendars of all features, each once.
    pub fn calendars(&self) -> Vec<Calendar> {
        let mut calendars: Vec<Calendar> =
            self.features.iter().filter_map(|feature| self.calendar(feature)).collect();
        calendars.sort_by_key(Calendar::cycle);
        calendars.dedup();
        calendars
    }

    /// Where `wanted` is `auto`: why no season can be told from this baseline; for people, once.
    pub fn season_notice(&self, wanted: Period) -> Option<String> {
        if wanted != Period::Auto || !self.calendars().is_empty() {
            return None;
        }
        let Some(rule) = &self.season else {
            let why = match &self.time_column {
                Some(name) => format!(
                    "`{name}` tells no times, or the profile is from a driftd that knew no seasons"
                ),
                None => "the baseline has no time column".to_owned(),
            };
            return Some(format!(
                "season: auto finds none: {why}; live is compared with all of it"
            ));
        };
        let (span, days) = least(Cycle::Day);
        let spanned = rule.spanned();
        (rule.span_ms < span * DAY_MS || rule.days < days).then(|| {
            format!(
                "season: auto finds none: the baseline spans {spanned:.1} days with rows on {}, and {span} \
                 are needed",
                rule.days
            )
        })
    }

    /// Applies the configuration to a baseline that was built without it: slots can be left out, and can't
    /// be added without the data.
    pub fn configure_season(&mut self, overrides: &Overrides) -> Result<(), SeasonError> {
        let wanted = SeasonRule::new(overrides);
        if overrides.season.is_default() {
            return self.check_zone();
        }
        if wanted.period == Period::None {
            self.features.iter_mut().for_each(leave_out);
            return Ok(());
        }
        Calendar::new(Cycle::Day, &wanted.time_zone)?;
        let Some(built) = &self.season else {
            if wanted.period == Period::Auto {
                return Ok(());
            }
            let why = "a profile that was built without times".to_owned();
            return Err(SeasonError::NoTimes { period: wanted.shown(), why });
        };
        let same = built.time_zone == wanted.time_zone
            && (wanted.period == Period::Auto || wanted.period == built.period);
        if same {
            return Ok(());
        }
        Err(SeasonError::OtherSeason {
            built: built.shown(),
            wanted: wanted.shown(),
            period: wanted.period.cycle().map_or("auto", Cycle::as_str).to_owned(),
            time_zone: wanted.time_zone,
        })
    }

    /// The zone of the slots that are used is known on this machine.
    pub fn check_zone(&self) -> Result<(), SeasonError> {
        let used = |feature: &FeatureBaseline| feature.season.as_ref().is_some_and(|s| s.is_used());
        match &self.season {
            Some(rule) if self.features.iter().any(used) => {
                Calendar::new(Cycle::Day, &rule.time_zone)?;
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Takes a feature's slots away; its design effect is that without them.
fn leave_out(feature: &mut FeatureBaseline) {
    if let Some(season) = feature.season.take().filter(FeatureSeason::is_used) {
        feature.design_effect = season.other;
    }
}

impl FeatureBaseline {
    /// The design effects of the body without slots and with them, where both were measured.
    pub fn season_effects(&self) -> Option<(f64, f64)> {
        let season = self.season.as_ref()?;
        let (of, other) = (self.design_effect.as_ref()?, season.other.as_ref()?);
        let (of, other) = (of.effects.body, other.effects.body);
        Some(if season.is_used() { (other, of) } else { (of, other) })
    }

    /// The reference of records of which `records[s]` came in slot `s`; `None` without slots or records, and
    /// for a parity profile, whose scores are those of a tool that knows no seasons.
    ///
    /// With weights `w_s` of the records, `c_s` of slot `s` and `M` overall, over every cell and every kind of
    /// no value: `p = sum w_s (c_s + 30 c / M) / (m_s + 30)`, and as many records stand behind it as have its
    /// variance: `1 / sum w_s^2 / (m_s + 30)`, at most `M`. Counts are whole: their sums over any run of cells
    /// are within one of the exact ones.
    pub fn mixture(&self, records: &[u64]) -> Option<Counts> {
        let slots = &self.season.as_ref().filter(|season| season.is_used())?.slots;
        let all = total(&self.reference);
        let n: f64 = records.iter().map(|&records| float(records)).sum();
        let parity = self.convention != Convention::Driftd;
        if parity || n <= 0.0 || all <= 0.0 || records.len() != slots.len() {
            return None;
        }
        let shares: Vec<(f64, &Counts)> = records
            .iter()
            .zip(slots)
            .filter(|(records, _)| **records > 0)
            .map(|(&records, slot)| (float(records) / n, slot))
            .collect();
        let of_slot = |slot: &Counts| total(slot) + PRIOR;
        let behind: f64 = shares.iter().map(|(w, slot)| w * w / of_slot(slot)).sum();
        let m = behind.recip().min(all).round();
        // How many records of the mixture each record of a slot, and each of the whole, stands for.
        let weights: Vec<(f64, &Counts)> =
            shares.iter().map(|(w, slot)| (m * w / of_slot(slot), *slot)).collect();
        let of_whole = weights.iter().map(|(weight, _)| weight).sum::<f64>() * PRIOR / all;
        let parts: Vec<(f64, &Counts)> =
            weights.into_iter().chain([(of_whole, &self.reference)]).collect();
        Some(sum_of(&parts, self.reference.cells.len()))
    }
}

/// The weighted sum of counts over the same cells.
fn sum_of(parts: &[(f64, &Counts)], n_cells: usize) -> Counts {
    let mut exact = vec![0.0; n_cells];
    for (weight, counts) in parts {
        for (sum, &count) in exact.iter_mut().zip(&counts.cells) {
            *sum += weight * float(count);
        }
    }
    let of = |events: fn(&Counts) -> u64| {
        whole(parts.iter().map(|(weight, counts)| weight * float(events(counts))).sum())
    };
    let cells = rounded(&exact);
    // A mean must not move because its count was made whole.
    let fitted = |sums: fn(&Counts) -> i128, exact: f64, count: u64| {
        let sum: f64 = parts.iter().map(|(weight, counts)| weight * wide(sums(counts))).sum();
        if exact > 0.0 { narrow(sum * float(count) / exact) } else { 0 }
    };
    let (first, last) = (exact.first().copied(), exact.last().copied());
    let all: f64 = exact.iter().sum();
    let n: u64 = cells.iter().sum();
    Counts {
        missing: of(|counts| counts.missing),
        null: of(|counts| counts.null),
        nan: of(|counts| counts.nan),
        pos_inf: of(|counts| counts.pos_inf),
        neg_inf: of(|counts| counts.neg_inf),
        type_error: of(|counts| counts.type_error),
        below: 0,
        above: 0,
        unseen: 0,
        sum: fitted(|counts| counts.sum, all, n),
        sum_squares: fitted(|counts| counts.sum_squares, all, n),
        low_sum: fitted(
            |counts| counts.low_sum,
            first.unwrap_or(0.0),
            cells.first().copied().unwrap_or(0),
        ),
        high_sum: fitted(
            |counts| counts.high_sum,
            last.unwrap_or(0.0),
            cells.last().copied().unwrap_or(0),
        ),
        cells,
    }
}

/// Whole numbers whose running sums are those of `exact`, rounded.
fn rounded(exact: &[f64]) -> Vec<u64> {
    let (mut sum, mut before) = (0.0, 0);
    exact
        .iter()
        .map(|count| {
            sum += count;
            let after = whole(sum).max(before);
            after - std::mem::replace(&mut before, after)
        })
        .collect()
}

fn total(counts: &Counts) -> f64 {
    float(counts.records())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a file are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; counts fit"
)]
fn whole(count: f64) -> u64 {
    count.round() as u64
}

#[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 53 bits")]
fn wide(sum: i128) -> f64 {
    sum as f64
}

#[expect(clippy::cast_possible_truncation, reason = "saturates; sums fit")]
fn narrow(sum: f64) -> i128 {
    sum.round() as i128
}

#[cfg(test)]
mod tests;
