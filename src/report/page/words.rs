//! Numbers, times and states as people read them.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::compare::Statistic;
use crate::decide::Kind;
use crate::decide::check::CheckState;
use crate::decide::time::{millis, rfc3339};
use crate::decide::{
    CloseReason, DriftState, FeatureVerdict, Incident, IncidentState, Quality, Suppression, Verdict,
};
use crate::report::words::short;

pub(super) use crate::report::words::count;

/// One segment of a path, percent-encoded.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // A String takes every write.
            write!(out, "%{byte:02X}").ok();
        }
    }
    out
}

/// At most four digits that matter.
pub(super) fn number(value: f64) -> String {
    if value.is_finite() { short(value) } else { "\u{2013}".to_owned() }
}

/// A share as percent: two digits that matter, none of them below a thousandth of one.
pub(super) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent.abs() {
        p if p < 0.0005 => "0 %".to_owned(),
        p if p < 0.1 => format!("{percent:.3} %"),
        p if p < 10.0 => format!("{percent:.2} %"),
        _ => format!("{percent:.1} %"),
    }
}

/// `2026-01-31 12:05`, to the minute, for people; the exact time for programs.
pub(super) fn when(ms: i64) -> Markup {
    html! { time.nowrap datetime=(rfc3339(ms)) { (minute(ms)) } }
}

/// `2026-01-31 12:05`.
pub(super) fn minute(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).ok().map(|time| time.to_zoned(TimeZone::UTC));
    time.map_or_else(
        || format!("{ms} ms"),
        |time| {
            let whole = ms.rem_euclid(60_000) == 0;
            let format = if whole { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
            time.strftime(format).to_string()
        },
    )
}

/// A time that is written as RFC 3339.
pub(super) fn written(time: &str) -> Markup {
    match millis(time) {
        Some(ms) => when(ms),
        None => html! { (time) },
    }
}

/// `2 d 3 h`, `5 min`, `12 s`.
pub(super) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (d, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let two = |a: i64, of: &str, b: i64, rest: &str| {
        if b == 0 { format!("{a} {of}") } else { format!("{a} {of} {b} {rest}") }
    };
    match (d, h, m) {
        (1.., ..) => two(d, "d", h, "h"),
        (0, 1.., _) => two(h, "h", m, "min"),
        (_, _, 1..) => two(m, "min", s, "s"),
        _ if ms < 1000 => format!("{} ms", ms.max(0)),
        _ => format!("{s} s"),
    }
}

/// One of something, or several.
pub(super) fn plural(n: usize, one: &str, more: &str) -> String {
    format!("{} {}", count(n as u64), if n == 1 { one } else { more })
}

/// What a colour says; `page.css` has them.
pub(super) fn tone(drift: DriftState) -> &'static str {
    match drift {
        DriftState::NoBaseline | DriftState::Settling => "",
        DriftState::Healthy => "good",
        DriftState::Notice => "note",
        DriftState::Warning => "warn",
        DriftState::Drifted => "bad",
    }
}

fn pill(tone: &str, text: &str) -> Markup {
    html! { span class={ "pill " (tone) } { (text) } }
}

pub(super) fn drift_pill(drift: DriftState) -> Markup {
    pill(tone(drift), &spaced(drift.as_str()))
}

/// Nothing where the feed is as it should be.
pub(super) fn quality_pill(quality: Quality) -> Markup {
    let tone = match quality {
        Quality::Ok => return html! {},
        Quality::Stale | Quality::Incomplete => "warn",
        Quality::Fault | Quality::Misconfigured => "bad",
    };
    pill(tone, &format!("feed {}", quality.as_str()))
}

pub(super) fn verdict_pill(verdict: Verdict) -> Markup {
    let (tone, text) = match verdict {
        Verdict::Stable => ("good", "stable"),
        Verdict::Notice => ("note", "notice"),
        Verdict::Warning => ("warn", "warning"),
        Verdict::Drifted => ("bad", "drifted"),
        Verdict::Fault => ("bad", "fault"),
        Verdict::AbsentInLive => ("warn", "absent"),
        Verdict::InsufficientSamples => ("", "too few records"),
        Verdict::Unusable => ("", "not watched"),
    };
    pill(tone, text)
}

pub(super) fn check_pill(state: CheckState) -> Markup {
    let tone = match state {
        CheckState::Unknown => "",
        CheckState::Passed => "good",
        CheckState::Violated => "bad",
    };
    pill(tone, state.as_str())
}

pub(super) fn incident_pill(state: IncidentState) -> Markup {
    let tone = match state {
        IncidentState::Closed => "",
        IncidentState::Triggered | IncidentState::Accepted | IncidentState::Retraining => "note",
        IncidentState::Unconfirmed => "warn",
        IncidentState::Stuck | IncidentState::DeliveryFailed => "bad",
    };
    pill(tone, &spaced(state.as_str()))
}

/// How an incident stands: the state that is open, or how it ended.
pub(super) fn outcome_pill(incident: &Incident) -> Markup {
    match incident.closed_as {
        Some(ending) => {
            let tone = if ending == CloseReason::Replaced { "good" } else { "" };
            pill(tone, ending_word(ending))
        }
        None => incident_pill(incident.state),
    }
}

/// What a message was to tell.
pub(super) fn message_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Trigger => "start the retraining",
        Kind::Warning => "it drifts",
        Kind::Triggered => "retraining triggered",
        Kind::Recovered => "drift is over",
        Kind::Progress => "how the retraining goes",
        Kind::Closed => "incident closed",
        Kind::DeliveryFailed => "the trigger needs a person",
        Kind::DataQuality => "data quality",
    }
}

pub(super) fn ending_word(ending: CloseReason) -> &'static str {
    match ending {
        CloseReason::Replaced => "replaced",
        CloseReason::Rejected => "rejected",
        CloseReason::Dismissed => "dismissed",
        CloseReason::Missed => "missed",
        CloseReason::Recovered => "recovered",
        CloseReason::Expired => "expired",
    }
}

/// What holds a trigger back, completing "Held back: ...".
pub(super) fn held_back(why: Suppression) -> &'static str {
    match why {
        Suppression::Settling => "the window is not full yet",
        Suppression::IncompleteWindow => "panes are missing from the window",
        Suppression::MinRecords => "there are too few records",
        Suppression::Rejects => "too many records were rejected in the last hour",
        Suppression::Fault => "the feed is faulty",
        Suppression::Budget => "the budget of retrainings is used up",
        Suppression::IncidentOpen => "an incident is open",
        Suppression::DryRun => "it is a dry run",
        Suppression::NoTrigger => "no retraining trigger is configured",
        Suppression::UnreadableIncidents => "an incident record cannot be read",
        Suppression::Lag => "what was read is behind the present",
    }
}

/// Names of constants as words.
pub(super) fn spaced(word: &str) -> String {
    word.replace('_', " ")
}

/// A statistic as people write it.
pub(super) fn statistic_name(statistic: Statistic) -> String {
    match statistic {
        Statistic::Psi => "PSI".to_owned(),
        Statistic::Kl => "KL".to_owned(),
        Statistic::KlReverse => "KL, reversed".to_owned(),
        Statistic::Js => "JS divergence".to_owned(),
        Statistic::JsDistance => "JS distance".to_owned(),
        Statistic::Ks => "KS".to_owned(),
        Statistic::Hellinger => "Hellinger".to_owned(),
        Statistic::Wasserstein => "Wasserstein".to_owned(),
        Statistic::WassersteinRaw => "Wasserstein, in its own unit".to_owned(),
        Statistic::LInfinity => "L\u{221e}".to_owned(),
        other => spaced(other.as_str()),
    }
}

/// The evidence of a change as a share of what the budget asks for; real from 1 on.
pub(super) fn evidence(verdict: &FeatureVerdict) -> Option<f64> {
    let onset = verdict.onset.as_ref()?;
    Some(onset.log_evidence / onset.log_needed).filter(|share| share.is_finite())
}

/// A score as it may be shown.
pub(super) fn score(verdict: &FeatureVerdict, statistic: Statistic) -> Option<f64> {
    verdict.scores.get(&statistic).map(|score| score.value).filter(|value| value.is_finite())
}

/// Features with the worst first: by verdict, then by evidence, then by the score's share of its line.
pub(super) fn ranked(verdicts: &[FeatureVerdict]) -> Vec<&FeatureVerdict> {
    let gravity = |verdict: Verdict| match verdict {
        Verdict::Drifted => 7,
        Verdict::Warning => 6,
        Verdict::Fault => 5,
        Verdict::AbsentInLive => 4,
        Verdict::Notice => 3,
        Verdict::InsufficientSamples => 2,
        Verdict::Stable => 1,
        Verdict::Unusable => 0,
    };
    let of_line = |verdict: &FeatureVerdict| {
        let shares = verdict.scores.values().filter_map(|score| {
            let line = score.threshold.filter(|line| *line > 0.0)?;
            Some(score.value / line).filter(|share| share.is_finite())
        });
        shares.fold(0.0, f64::max)
    };
    let mut out: Vec<(_, f64, f64, &FeatureVerdict)> = verdicts
        .iter()
        .map(|v| (gravity(v.verdict), evidence(v).unwrap_or(0.0), of_line(v), v))
        .collect();
    out.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)).then(b.2.total_cmp(&a.2)));
    out.into_iter().map(|(_, _, _, verdict)| verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_short() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            [percent(0.0), percent(0.00012), percent(0.051), percent(0.5)],
            ["0 %", "0.012 %", "5.10 %", "50.0 %"]
        );
        assert_eq!(
            [span(0), span(61_000), span(3_600_000), span(90_000_000)],
            ["0 ms", "1 min 1 s", "1 h", "1 d 1 h"]
        );
        assert_eq!(minute(1_767_225_600_000), "2026-01-01 00:00");
        assert_eq!(minute(i64::MAX), "9223372036854775807 ms");
        assert_eq!(number(f64::NAN), "\u{2013}");
    }

    #[test]
    fn any_name_is_one_segment() {
        assert_eq!(encode("a/b \u{e9}.."), "a%2Fb%20%C3%A9%2E%2E");
    }
}
