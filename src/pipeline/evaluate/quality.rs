//! Whether what comes in can be trusted, and who is told when it can not.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;
use tracing::warn;

use crate::decide::Audience;
use crate::decide::Kind;
use crate::decide::Quality;
use crate::decide::announcement::OVER;
use crate::decide::gates::is_complete;
use crate::decide::gates::reject_ratio;
use crate::decode::strangers::Strangers;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::evaluate::trouble::News;

/// Names that are told on either side.
const NAMES: usize = 5;
/// Characters of a name that are told.
const NAME: usize = 48;

/// Panes' time for which all has to be well before people hear that it is: twice of what makes a feed silent.
const SETTLED_PANES: u32 = 6;

impl Evaluate {
    /// Tells the people of the plumbing of each kind of trouble while it lasts, and when there is none for long
    /// enough. While catching up nothing is news.
    pub(super) fn watch_quality(&mut self, model: usize, (now, now_ms): (Instant, i64)) {
        let evaluator = &mut self.models[model];
        let quality = quality(evaluator);
        if quality == Quality::Ok {
            let since = *evaluator.trusted_since.get_or_insert(now);
            let pane = Duration::from_millis(evaluator.spec.policy.pane_ms.cast_unsigned());
            if now.duration_since(since) >= SETTLED_PANES * pane {
                self.tell_restored(model, now_ms);
            }
        } else {
            evaluator.trusted_since = None;
        }
        if !self.models[model].is_caught_up() {
            return;
        }
        if quality != self.models[model].quality {
            self.models[model].quality = quality;
            self.dirty = true;
            let (name, quality) = (self.specs[model].name(), quality.as_str());
            match trouble(self.models[model].quality, &self.models[model]) {
                Some(trouble) => warn!(model = name, quality, trouble = &*trouble, "quality"),
                None => info!(model = name, quality, "quality"),
            }
        }
        if quality != Quality::Ok {
            self.tell_quality(model, quality, now_ms);
        }
    }

    /// Each kind once in a story: a feed that goes from one to another and back is no news.
    fn tell_quality(&mut self, model: usize, quality: Quality, now_ms: i64) {
        let story = self.trouble_story(model, "data_quality", Audience::Sre);
        if self.log.ledger().told(&story).is_none() {
            self.models[model].told_qualities.clear();
        }
        if self.models[model].told_qualities.contains(&quality) {
            return;
        }
        let kind = quality.as_str();
        let id = self.trouble_id(model, (kind, "data_quality"), Audience::Sre, now_ms);
        let known = match self.news(model, &id, Audience::Sre) {
            News::Waits => false,
            News::Told => true,
            News::Untold => {
                let Some(trouble) = trouble(quality, &self.models[model]) else { return };
                let told = (format!("{}: {trouble}", self.specs[model].name()), kind);
                let at = self.told_at(model, now_ms);
                self.notify_audience(model, (Kind::DataQuality, id, None), told, at, Audience::Sre)
            }
        };
        if known {
            self.models[model].told_qualities.push(quality);
        }
    }

    /// People who were told of trouble are told that it is over, also after a restart.
    fn tell_restored(&mut self, model: usize, now_ms: i64) {
        let name = self.specs[model].name().to_owned();
        for audience in [Audience::Sre, Audience::Ml] {
            let story = self.trouble_story(model, "data_quality", audience);
            let Some(began) = self.log.ledger().told(&story) else { continue };
            if !self.models[model].is_caught_up() || self.is_refused(model) {
                return;
            }
            let about = (Kind::DataQuality, format!("{began}.over"), None);
            let told = (format!("{name}: its data can be trusted again"), OVER);
            let at = self.told_at(model, now_ms);
            self.notify_audience(model, about, told, at, audience);
        }
    }
}

/// What people are told of it; `None` is nothing to be told.
fn trouble(quality: Quality, evaluator: &ModelEvaluator) -> Option<Cow<'static, str>> {
    match quality {
        Quality::Ok => None,
        Quality::Stale => Some("no record has come for three panes; scores are withdrawn".into()),
        // Faults of features are told by themselves, with their names.
        Quality::Fault if !is_rejected(evaluator) => None,
        Quality::Fault => Some("too many records are rejected; nothing is triggered".into()),
        Quality::Misconfigured => Some(nothing_matches(evaluator).into()),
        Quality::Incomplete => {
            Some("panes of the window are incomplete; its scores trigger nothing".into())
        }
    }
}

/// What the baseline's features are called, and what the records have instead.
pub(super) fn nothing_matches(evaluator: &ModelEvaluator) -> String {
    let baseline = evaluator.watched.as_ref().map(|watched| &watched.baseline);
    let features = baseline.map_or(&[][..], |baseline| &baseline.features);
    let expected = features.iter().map(|feature| feature.name.as_str());
    let mut seen = Strangers::default();
    evaluator.ring.window().for_each(|pane| seen.add(&pane.strangers));
    let seen =
        if seen.is_empty() { "no key that could be shown".to_owned() } else { named(seen.iter()) };
    let expected = named(expected);
    format!(
        "no feature of the baseline is in the records: it has {expected}, they have {seen}; check `fields`"
    )
}

/// The first few names, each bounded and with nothing in it that could be mistaken for text around it.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let shown = |name: &str| {
        let short: String = name.chars().take(NAME).flat_map(char::escape_debug).collect();
        let cut = if name.chars().nth(NAME).is_some() { "..." } else { "" };
        format!("`{short}{cut}`")
    };
    let all: Vec<String> = names.map(shown).collect();
    let more = match all.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", all[..all.len().min(NAMES)].join(", "))
}

pub(crate) fn quality(evaluator: &ModelEvaluator) -> Quality {
    let policy = &evaluator.spec.policy;
    let nothing_matches = evaluator.ring.records() >= policy.min_records
        && evaluator.ring.live().iter().all(|c| c.missing == c.records());
    // First of all: what the last records were like says nothing of the time without any.
    if evaluator.stale {
        Quality::Stale
    } else if nothing_matches {
        Quality::Misconfigured
    } else if is_rejected(evaluator) || evaluator.lag.is_some() {
        Quality::Fault
    } else if evaluator.ring.is_full() && !is_complete(&evaluator.ring, policy) {
        Quality::Incomplete
    } else if evaluator.state.faults.any() {
        Quality::Fault
    } else {
        Quality::Ok
    }
}

/// Too many rejects in the last hour.
fn is_rejected(evaluator: &ModelEvaluator) -> bool {
    let policy = &evaluator.spec.policy;
    reject_ratio(&evaluator.ring, policy.pane_ms) > policy.max_reject_ratio
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_names_are_told_and_none_can_break_out() {
        assert_eq!(named(["a", "b"].into_iter()), "`a`, `b`");
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(named(many.into_iter()), "`a`, `b`, `c`, `d`, `e` and 2 more");
        let long = "x".repeat(10_000);
        let hostile = ["new\nline", "\u{1b}[31m", long.as_str()];
        let told = named(hostile.into_iter());
        assert_eq!(told, format!("`new\\nline`, `\\u{{1b}}[31m`, `{}...`", "x".repeat(48)));
    }
}
