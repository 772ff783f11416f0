//! Seasons of a baseline: each slot's own reference, and the mixture of those that a window covers.

use serde::{Deserialize, Serialize};

use crate::baseline::design_effect::DesignEffect;
use crate::baseline::{
    Baseline, Convention, FeatureBaseline, LayoutError, NO_TIME_COLUMN, Overrides, TrainedBy,
};
use crate::histogram::Counts;
use crate::setting::DAY_MS;
use crate::setting::season::{Calendar, Cycle, Period};

mod rule;

use rule::least;
pub use rule::{Hours, SeasonError, SeasonRule};

/// A slot's law is shrunk towards the overall one by as many records of that.
pub const PRIOR: f64 = 30.0;

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
                    "`{name}` tells no times of the calendar, or the profile is from a driftd that knew no \
                     seasons"
                ),
                None => "the baseline has no time column".to_owned(),
            };
            return Some(format!(
                "season: auto finds none: {why}; live is compared with all of it"
            ));
        };
        let (span, days) = least(Cycle::Day);
        let why = if rule.span_ms < span * DAY_MS || rule.days < days {
            let (spanned, days) = (rule.spanned(), rule.days);
            format!(
                "the baseline spans {spanned:.1} days with rows on {days}, and {span} are needed"
            )
        } else if rule.is_daily() {
            let name = self.time_column.as_deref().unwrap_or_default();
            format!("`{name}` tells days only, and a season needs the hours of the rows")
        } else if (1..Cycle::Day.slots() / 2).contains(&rule.hours.day) {
            format!(
                "the baseline has rows at {} of the 24 hours of a day, and 12 are needed; `season: day` takes \
                 it as it is",
                rule.hours.day
            )
        } else {
            return None;
        };
        Some(format!("season: auto finds none: {why}"))
    }

    /// Applies the configured time column to a baseline that was built without it: what came of one can be
    /// left out, and another one can't be read without the data.
    pub(super) fn configure_time(&mut self, overrides: &Overrides) -> Result<(), LayoutError> {
        match overrides.time_column.as_deref() {
            None => {}
            Some(NO_TIME_COLUMN) => {
                (self.time_column, self.season) = (None, None);
                self.trained = self.trained.filter(|t| t.by != TrainedBy::TimeColumn);
                for feature in &mut self.features {
                    (feature.design_effect, feature.season) = (None, None);
                }
            }
            Some(wanted) if self.time_column.as_deref() == Some(wanted) => {}
            Some(wanted) => {
                let built = self.time_column.as_deref().map(|name| format!("`{name}`"));
                let built = built.unwrap_or_else(|| "no column".to_owned());
                return Err(LayoutError::OtherTime { column: wanted.to_owned(), built });
            }
        }
        Ok(())
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
