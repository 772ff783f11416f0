//! Decisions in words: the event that a webhook carries and that people's messages are rendered from.

use crate::baseline::Baseline;
use crate::compare::Statistic;
use crate::decide::announcement::Announcement;
use crate::decide::announcement::BaselineRef;
use crate::decide::announcement::Data;
use crate::decide::announcement::Delivery;
use crate::decide::announcement::Kind;
use crate::decide::announcement::Span;
use crate::decide::announcement::TopFeature;
use crate::decide::announcement::TrainingWindow;
use crate::decide::policy::Level;
use crate::decide::sequential::onset;
use crate::decide::time::rfc3339;
use crate::decide::view::FeatureVerdict;
use crate::decide::view::Verdict;
use crate::decide::worst::ranked_since;

const TOP: usize = 10;

/// What an announcement is made from.
pub struct Occasion<'a> {
    pub kind: Kind,
    /// The idempotency key of the message.
    pub id: String,
    pub model: &'a str,
    pub incident: Option<&'a str>,
    /// Event time of the decision: the end of its pane.
    pub event_ms: i64,
    pub baseline: &'a Baseline,
    /// `[start, end)` of the window and its records.
    pub window_ms: (i64, i64),
    pub records: u64,
    pub verdicts: &'a [FeatureVerdict],
    pub thresholds: &'a [(Statistic, Level, f64)],
    pub summary: String,
    pub verdict: String,
    pub report_url: Option<String>,
}

/// The event as it will be sent. `training_window` is what came since the onset, where that is known,
/// else the live window: the data that drifted.
pub fn announce(occasion: Occasion<'_>) -> Announcement {
    let (from, to) = (rfc3339(occasion.window_ms.0), rfc3339(occasion.window_ms.1));
    let onset = onset(occasion.verdicts).map(rfc3339);
    let training_window = matches!(occasion.kind, Kind::Trigger | Kind::Triggered)
        .then(|| TrainingWindow { from: onset.clone().unwrap_or(from.clone()), to: to.clone() });
    let (top_features, more_features) = top(occasion.verdicts, occasion.thresholds);
    Announcement {
        event_type: event_type(occasion.kind).to_owned(),
        id: occasion.id,
        timestamp: rfc3339(occasion.event_ms),
        data: Data {
            model: occasion.model.to_owned(),
            model_version: None,
            summary: occasion.summary,
            incident: occasion.incident.map(str::to_owned),
            baseline: BaselineRef {
                source: occasion.baseline.source.clone(),
                digest: occasion.baseline.digest.clone(),
                rows: occasion.baseline.rows,
            },
            window: Span { start: from, end: to, records: occasion.records },
            onset,
            verdict: occasion.verdict,
            top_features,
            more_features,
            training_window,
            report_url: occasion.report_url,
            report: None,
        },
    }
}

/// A message to whoever got `told`, about the same, when nothing else is known of its model any more.
pub fn follow_up(
    told: &Delivery,
    (kind, id): (Kind, String),
    (summary, verdict): (String, &str),
    at_ms: i64,
) -> Delivery {
    let data = Data {
        summary,
        verdict: verdict.to_owned(),
        training_window: None,
        report: None,
        ..told.announcement.data.clone()
    };
    let announcement = Announcement {
        event_type: event_type(kind).to_owned(),
        id: id.clone(),
        timestamp: rfc3339(at_ms),
        data,
    };
    Delivery { id, kind, announcement, ..told.clone() }
}

fn event_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Trigger | Kind::Triggered => "driftd.drift.detected",
        Kind::Warning => "driftd.drift.warning",
        Kind::Recovered => "driftd.drift.recovered",
        Kind::Progress => "driftd.retraining.progress",
        Kind::Closed => "driftd.incident.closed",
        Kind::DeliveryFailed => "driftd.delivery.failed",
        Kind::DataQuality => "driftd.data_quality",
    }
}

/// The features at `warning` or above, worst first, and how many more there are.
fn top(
    verdicts: &[FeatureVerdict],
    thresholds: &[(Statistic, Level, f64)],
) -> (Vec<TopFeature>, usize) {
    let over: Vec<TopFeature> = ranked_since(verdicts, thresholds)
        .into_iter()
        .filter(|w| matches!(verdicts[w.at].verdict, Verdict::Warning | Verdict::Drifted))
        .map(|w| TopFeature {
            feature: w.feature.to_owned(),
            statistic: w.statistic,
            score: w.value,
            threshold: w.threshold,
            span: if w.since_onset { "onset" } else { "window" }.to_owned(),
            bias: Some(w.bias).filter(|bias| *bias > 0.0),
            noise_floor: w.noise_floor,
        })
        .collect();
    let more = over.len().saturating_sub(TOP);
    (over.into_iter().take(TOP).collect(), more)
}

#[cfg(test)]
mod tests;
