//! Realistic inference records of a card-fraud model, before and after its world changes.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::dice::Dice;
use crate::kafka;
use crate::kafka::mock::Producer;
use crate::setting::MINUTE_MS;

pub(super) const TOPIC: &str = "fraud.inferences";
pub(super) const PARTITIONS: i32 = 3;
/// Records in a minute of event time.
pub(super) const PER_MINUTE: i64 = 120;
/// Minutes of event time in a second of wall clock, while the story lasts.
const SPEED: i64 = 6;

/// One card payment as the model sees it, and its answer.
pub(super) struct Payment {
    pub(super) amount: f64,
    pub(super) age_days: i64,
    pub(super) risk: f32,
    pub(super) country: &'static str,
    pub(super) channel: &'static str,
    pub(super) foreign: bool,
    pub(super) prediction: f64,
}

impl Dice {
    fn one_of<'a>(&mut self, shares: &[(&'a str, f64)]) -> &'a str {
        let mut left = self.open();
        for (name, share) in shares {
            left -= share;
            if left < 0.0 {
                return name;
            }
        }
        shares[0].0
    }

    /// A payment. Where the world has `drifted`, amounts are larger; nothing else changes.
    pub(super) fn payment(&mut self, drifted: bool) -> Payment {
        let shift = if drifted { 0.9 } else { 0.0 };
        let amount = (3.2 + shift + 0.8 * self.normal()).exp();
        let amount = (amount * 100.0).round() / 100.0;
        let country =
            self.one_of(&[("DE", 0.5), ("FR", 0.2), ("NL", 0.12), ("PL", 0.1), ("US", 0.08)]);
        let foreign = country != "DE" && self.open() < 0.6;
        #[expect(clippy::cast_possible_truncation, reason = "the column is 32 bits wide")]
        let risk = (0.5 + 0.15 * self.normal()) as f32;
        let score =
            0.8 * f64::from(risk) + 0.3 * f64::from(u8::from(foreign)) + 0.1 * self.normal();
        #[expect(clippy::cast_possible_truncation, reason = "whole days under ten years")]
        let age_days = (3_600.0 * self.open().powi(2)) as i64;
        Payment {
            amount,
            age_days,
            risk,
            country,
            channel: self.one_of(&[("web", 0.55), ("app", 0.35), ("pos", 0.1)]),
            foreign,
            prediction: 1.0 / (1.0 + (-6.0 * (score - 0.6)).exp()),
        }
    }
}

/// What the story tells the producer.
#[derive(Default)]
pub(super) struct Cues {
    /// The world has changed.
    pub(super) drifted: AtomicBool,
    /// Event time runs like the wall clock from now on.
    pub(super) real_time: AtomicBool,
    pub(super) stop: AtomicBool,
    /// Event time that has been written, ms since the epoch.
    pub(super) event_ms: AtomicI64,
}

/// Writes records until told to stop: `history` minutes at once, then minute by minute.
pub(super) fn produce(
    brokers: &str,
    start_ms: i64,
    history: i64,
    cues: &Cues,
) -> Result<(), kafka::Error> {
    let producer = Producer::connect(brokers)?;
    let mut dice = Dice::new(7);
    let mut written = 0i64;
    let total = |minutes: i64| minutes * PER_MINUTE;
    let mut minutes_due = history as f64;
    while !cues.stop.load(Ordering::Relaxed) {
        #[expect(clippy::cast_possible_truncation, reason = "a few hours of minutes")]
        let due = (minutes_due * PER_MINUTE as f64) as i64;
        while written < due.max(total(history)) {
            let event_ms = start_ms + written * MINUTE_MS / PER_MINUTE;
            let drifted = cues.drifted.load(Ordering::Relaxed);
            let payload = record(&dice.payment(drifted), event_ms);
            let partition = i32::try_from(written % i64::from(PARTITIONS)).unwrap_or(0);
            producer.produce(TOPIC, partition, None, event_ms, Some(payload.as_bytes()))?;
            cues.event_ms.store(event_ms, Ordering::Relaxed);
            written += 1;
        }
        thread::sleep(Duration::from_millis(50));
        let speed = if cues.real_time.load(Ordering::Relaxed) { 1.0 / 60.0 } else { SPEED as f64 };
        minutes_due += speed * 0.05;
    }
    producer.flush(Duration::from_secs(2))
}

fn record(payment: &Payment, event_ms: i64) -> String {
    json!({
        "ts": event_ms,
        "model_version": "2026-11-01",
        "features": {
            "amount": payment.amount,
            "age_days": payment.age_days,
            "risk": payment.risk,
            "country": payment.country,
            "channel": payment.channel,
            "foreign": payment.foreign,
        },
        "prediction": payment.prediction,
    })
    .to_string()
}
