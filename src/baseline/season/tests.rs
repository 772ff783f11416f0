//! Mixtures of slots, and which seasons a configuration can have of a profile.

use proptest::prelude::*;

use super::rule::PANE_MS;
use super::*;
use crate::baseline::design_effect::Effects;
use crate::baseline::{FORMAT, Trained};
use crate::histogram::{Bins, Cells, NumericCells, Scale, Storage};

const CELLS: usize = 12;

fn effect(body: f64) -> DesignEffect {
    DesignEffect { pane_ms: 300_000, curve: Vec::new(), effects: Effects::all(body) }
}

/// A feature of these slots, which are all that there is.
fn feature(slots: Vec<Counts>) -> FeatureBaseline {
    let edges = (1..CELLS).map(|edge| edge as f64).collect();
    let scale = Scale { center: 0.0, unit: 1.0 };
    let mut reference = Counts::zero(CELLS);
    slots.iter().for_each(|slot| reference.add(slot));
    let cells = NumericCells::new(edges, 0.0, 12.0, scale, Storage::F64);
    let bins = Bins { starts: (0..6).map(|bin| bin * 2).collect() };
    FeatureBaseline {
        distinct: 500,
        design_effect: Some(effect(1.5)),
        season: Some(FeatureSeason { cycle: Cycle::Day, other: Some(effect(9.0)), slots }),
        ..FeatureBaseline::of_counts("amount", Cells::Numeric(cells), bins, reference)
    }
}

fn slot(cells: Vec<u64>, null: u64) -> Counts {
    let sum = (0i128..).zip(&cells).map(|(i, &n)| i * i128::from(n) * 1000).sum();
    let low_sum = i128::from(cells[0]) * 300;
    Counts { cells, null, sum, low_sum, ..Counts::default() }
}

/// 24 slots, each with `n` records in one cell more than in the others.
fn hourly(n: u64) -> Vec<Counts> {
    let of = |hour: usize| {
        let mut cells = vec![n; CELLS];
        cells[hour / 2] *= 6;
        slot(cells, n / 10)
    };
    (0..24).map(of).collect()
}

fn baseline(feature: FeatureBaseline, period: Period) -> Baseline {
    Baseline {
        format: FORMAT,
        source: "reference.parquet".to_owned(),
        time_column: Some("ts".to_owned()),
        season: Some(SeasonRule {
            period,
            time_zone: "UTC".to_owned(),
            pane_ms: PANE_MS,
            span_ms: 7 * DAY_MS,
            days: 7,
            hours: Hours { day: 24, week: 168 },
        }),
        ..Baseline::of(vec![feature])
    }
}

fn season(json: &str) -> Overrides {
    Overrides { season: serde_json::from_str(json).unwrap(), ..Overrides::default() }
}

#[test]
fn a_window_in_one_slot_has_its_law_and_its_size() {
    let feature = feature(hourly(100));
    let mut records = vec![0; 24];
    records[7] = 555;
    let mixture = feature.mixture(&records).unwrap();
    // 1,710 of the slot and 30 of the whole.
    assert_eq!(mixture.records(), 1_740);
    let expected = 600.0 + 30.0 * 1_000.0 / 12_000.0;
    assert!((mixture.cells[3] as f64 - expected).abs() < 5.0, "{mixture:?}");
    assert!((mixture.null as f64 - 10.2).abs() < 1.0);
    let mean = |counts: &Counts| counts.sum as f64 / counts.in_cells() as f64;
    let slot = &feature.season.as_ref().unwrap().slots[7];
    let prior = (mean(&feature.reference) - mean(slot)) * 30.0 / 1_740.0;
    assert!((mean(&mixture) - mean(slot) - prior).abs() < 10.0, "of thousands");
    assert!((mixture.low_sum - i128::from(mixture.cells[0]) * 300).abs() <= 1);
}

#[test]
fn a_window_over_all_slots_alike_is_the_whole() {
    let feature = feature(hourly(100));
    let mixture = feature.mixture(&[9; 24]).unwrap();
    let all = feature.reference.records();
    assert_eq!(mixture.records(), all);
    for (found, whole) in mixture.cells.iter().zip(&feature.reference.cells) {
        assert!(found.abs_diff(*whole) <= 1, "{found} {whole}");
    }
}

#[test]
fn there_is_no_mixture_without_slots_records_or_a_law_of_ours() {
    let full = feature(hourly(100));
    assert_eq!(full.mixture(&[0; 24]), None);
    assert_eq!(full.mixture(&[1; 168]), None);
    let parity = FeatureBaseline { convention: Convention::Evidently, ..full.clone() };
    assert_eq!(parity.mixture(&[1; 24]), None);
    let unused = FeatureSeason { cycle: Cycle::Day, other: None, slots: Vec::new() };
    assert_eq!(FeatureBaseline { season: Some(unused), ..full.clone() }.mixture(&[1; 24]), None);
    // A slot that the baseline never had is like the whole.
    let mut slots = hourly(100);
    slots[3] = Counts::zero(CELLS);
    let gap = feature(slots);
    let mut records = vec![0; 24];
    records[3] = 10;
    let mixture = gap.mixture(&records).unwrap();
    assert_eq!(mixture.records(), 30);
    let largest = gap.reference.cells.iter().max().unwrap();
    let at = gap.reference.cells.iter().position(|n| n == largest).unwrap();
    assert_eq!(mixture.cells.iter().max(), Some(&mixture.cells[at]));
}

proptest! {
    /// Sums over any run of cells are within one of the exact mixture's, and all parts add up.
    #[test]
    fn a_mixture_is_whole_and_keeps_every_sum(
        cells in proptest::collection::vec(0..300u64, 24 * CELLS),
        null in 0..50u64,
        records in proptest::collection::vec(prop_oneof![Just(0u64), 1..5_000u64], 24),
    ) {
        let slots: Vec<Counts> =
            cells.chunks(CELLS).map(|cells| slot(cells.to_vec(), null)).collect();
        let feature = feature(slots.clone());
        let n: u64 = records.iter().sum();
        prop_assume!(n > 0 && feature.reference.records() > 0);
        let mixture = feature.mixture(&records).unwrap();
        let whole = &feature.reference;
        let all = whole.records() as f64;
        let (mut shares, mut variance) = (vec![0.0; CELLS], 0.0);
        for (records, slot) in records.iter().zip(&slots) {
            let w = *records as f64 / n as f64;
            let size = slot.records() as f64 + 30.0;
            variance += w * w / size;
            for ((share, count), overall) in shares.iter_mut().zip(&slot.cells).zip(&whole.cells) {
                *share += w * (*count as f64 + 30.0 * *overall as f64 / all) / size;
            }
        }
        let m = (1.0 / variance).min(all).round();
        prop_assert!((mixture.records() as f64 - m).abs() <= 2.0);
        let (mut exact, mut found) = (0.0, 0);
        for (share, count) in shares.iter().zip(&mixture.cells) {
            exact += share * m;
            found += count;
            prop_assert!((exact - found as f64).abs() <= 0.5 + 1e-6, "{exact} {found}");
        }
        prop_assert_eq!((mixture.below, mixture.above, mixture.unseen), (0, 0, 0));
    }
}

#[test]
fn a_profile_gives_the_season_that_it_has_and_no_other() {
    let built = baseline(feature(hourly(10)), Period::Auto);
    let configured = |json: &str| {
        let mut profile = built.clone();
        profile.configure_season(&season(json)).map(|()| profile)
    };
    assert_eq!(configured("\"auto\"").unwrap(), built);
    assert_eq!(built.calendars().len(), 1);
    let without = configured("\"none\"").unwrap();
    assert_eq!((without.calendars().len(), &without.features[0].season), (0, &None));
    assert_eq!(without.features[0].design_effect, Some(effect(9.0)), "that without slots");
    let error = configured("\"week\"").unwrap_err().to_string();
    assert!(error.contains("--season week --time-zone UTC"), "{error}");
    let error = configured(r#"{"time_zone": "Asia/Tokyo"}"#).unwrap_err().to_string();
    assert!(
        error.contains("has season auto in UTC, the configuration asks for auto in Asia/Tokyo")
    );
    let error = configured(r#"{"time_zone": "Nowhere"}"#).unwrap_err();
    assert_eq!(error, SeasonError::UnknownZone { time_zone: "Nowhere".to_owned() });

    let mut old = Baseline { season: None, ..built.clone() };
    old.features[0].season = None;
    assert!(old.clone().configure_season(&season("\"auto\"")).is_ok());
    let error = old.configure_season(&season("\"day\"")).unwrap_err().to_string();
    assert!(error.contains("season day in UTC needs the time of each row"), "{error}");
}

#[test]
fn a_profile_keeps_its_time_column_gives_it_up_and_takes_no_other() {
    let trained = Trained { at_ms: 1_767_225_600_000, by: TrainedBy::TimeColumn };
    let built = Baseline { trained: Some(trained), ..baseline(feature(hourly(10)), Period::Auto) };
    let configured = |name: &str| {
        let mut profile = built.clone();
        let overrides = Overrides { time_column: Some(name.to_owned()), ..Overrides::default() };
        profile.configure(&overrides).map(|()| profile)
    };
    assert_eq!(configured("ts").unwrap(), built);
    let without = configured("none").unwrap();
    assert_eq!((&without.time_column, &without.season, without.trained), (&None, &None, None));
    let feature = &without.features[0];
    assert_eq!((&feature.design_effect, &feature.season), (&None, &None));
    assert_eq!(without.rules_digest(), built.rules_digest(), "counted alike");
    let error = configured("when").unwrap_err().to_string();
    assert!(error.contains("from `ts`") && error.contains("--time-column when"), "{error}");
    // One that was stored before hours were told.
    let json = built.to_json().replacen(r#","hours":{"day":24,"week":168}"#, "", 1);
    assert_eq!(
        Baseline::from_json(json.as_bytes()).unwrap().season.unwrap().hours,
        Hours::default()
    );
}

#[test]
fn a_profile_with_slots_comes_back_and_a_damaged_one_does_not() {
    let built = baseline(feature(hourly(10)), Period::Day);
    assert_eq!(Baseline::from_json(built.to_json().as_bytes()).unwrap(), built);
    let refused = |change: &dyn Fn(&mut FeatureSeason)| {
        let mut damaged = built.clone();
        change(damaged.features[0].season.as_mut().unwrap());
        Baseline::from_json(damaged.to_json().as_bytes()).unwrap_err().to_string()
    };
    assert!(refused(&|season| season.slots.truncate(23)).contains("another number of slots"));
    assert!(refused(&|season| season.slots[0].cells[0] += 1).contains("more than the whole"));
    assert!(refused(&|season| season.slots[5] = Counts::zero(3)).contains("other cells"));
    assert!(refused(&|season| season.other = Some(effect(0.5))).contains("design effect"));
    assert_eq!(Baseline::lowest_format(&built.features), FORMAT);
    let mut plain = built;
    plain.features.iter_mut().for_each(leave_out);
    assert_eq!(Baseline::lowest_format(&plain.features), 1, "older programs read it");
}

#[test]
fn auto_says_once_why_it_finds_none() {
    let mut built = baseline(feature(hourly(10)), Period::Auto);
    assert_eq!(built.season_notice(Period::Auto), None);
    built.features[0].season = None;
    assert_eq!(built.season_notice(Period::Auto), None, "looked for, and there is none");
    built.season.as_mut().unwrap().span_ms = 2 * DAY_MS;
    let short = built.season_notice(Period::Auto).unwrap();
    assert!(short.contains("spans 2.0 days") && short.contains("4 are needed"), "{short}");
    assert_eq!(built.season_notice(Period::None), None);
    let mut hourly = |day: usize| {
        let rule = built.season.as_mut().unwrap();
        (rule.span_ms, rule.hours) = (7 * DAY_MS, Hours { day, week: 7 * day });
        built.season_notice(Period::Auto)
    };
    assert!(hourly(1).unwrap().contains("`ts` tells days only"));
    assert!(hourly(8).unwrap().contains("rows at 8 of the 24 hours"));
    assert_eq!((hourly(12), hourly(0)), (None, None), "an older profile does not tell");
    (built.season, built.time_column) = (None, None);
    assert!(built.season_notice(Period::Auto).unwrap().contains("no time column"));
}

#[test]
fn auto_tries_a_day_from_four_days_on_and_a_week_from_four_weeks_on() {
    let of_hours = |span_days: i64, days: usize, period: Period, hours: Hours| {
        let (time_zone, pane_ms) = ("UTC".to_owned(), PANE_MS);
        let span_ms = span_days * DAY_MS;
        let rule = SeasonRule { period, time_zone, pane_ms, span_ms, days, hours };
        rule.calendars().unwrap().iter().map(Calendar::cycle).collect::<Vec<_>>()
    };
    let tried = |span, days, period| of_hours(span, days, period, Hours { day: 24, week: 168 });
    assert_eq!(tried(3, 4, Period::Auto), []);
    assert_eq!(tried(4, 5, Period::Auto), [Cycle::Day]);
    assert_eq!(tried(300, 2, Period::Auto), [], "two days a year apart");
    assert_eq!(tried(28, 28, Period::Auto), [Cycle::Day, Cycle::Week]);
    assert_eq!(tried(28, 28, Period::None), []);
    assert_eq!(tried(0, 1, Period::Week), [Cycle::Week], "asked for is asked for");
    // Hours without a row would be compared with the whole.
    let auto = |day, week| of_hours(60, 60, Period::Auto, Hours { day, week });
    assert_eq!(auto(12, 84), [Cycle::Day, Cycle::Week]);
    assert_eq!(auto(12, 83), [Cycle::Day]);
    assert_eq!((auto(11, 60), auto(1, 7)), (vec![], vec![]));
    assert_eq!(of_hours(60, 60, Period::Day, Hours { day: 8, week: 40 }), [Cycle::Day]);
    let rule = SeasonRule::new(&season("\"auto\""));
    assert!(rule.takes(7.9, 10.0) && !rule.takes(8.0, 10.0));
    assert!(SeasonRule::new(&season("\"day\"")).takes(10.0, 8.0));
}
