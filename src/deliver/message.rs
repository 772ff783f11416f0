//! What every message for people says, whatever it is written in: a title, facts, and features by how much.

use crate::decide::Announcement;
use crate::decide::Delivery;
use crate::decide::Kind;
use crate::decide::announcement::OVER;
use crate::decide::announcement::TopFeature;

pub(crate) fn title(delivery: &Delivery) -> String {
    let is_over = delivery.announcement.data.verdict == OVER;
    let what = match delivery.kind {
        Kind::Trigger | Kind::Triggered => "Drift, retraining triggered",
        Kind::Warning => "Drift warning",
        Kind::Recovered => "Drift warning over",
        Kind::Progress => "Retraining",
        Kind::Closed => "Incident closed",
        Kind::DeliveryFailed if delivery.is_of_missing_run() && is_over => "Retraining goes on",
        Kind::DeliveryFailed if delivery.is_of_missing_run() => "Retraining accepted, and NOT run",
        Kind::DeliveryFailed if is_over => "Retraining trigger delivered after all",
        Kind::DeliveryFailed => "Retraining trigger NOT delivered",
        Kind::DataQuality if delivery.is_of_checks() && is_over => "Checks pass again",
        Kind::DataQuality if delivery.is_of_checks() => "Check violated",
        Kind::DataQuality if is_over => "Data quality restored",
        Kind::DataQuality => "Data quality",
    };
    format!("{what}: {}", delivery.model)
}

/// Names and values, in the order in which people want them.
pub(crate) fn facts(announcement: &Announcement) -> Vec<(&'static str, String)> {
    let data = &announcement.data;
    let mut facts = Vec::new();
    if !data.verdict.is_empty() {
        facts.push(("Verdict", data.verdict.clone()));
    }
    if !data.window.end.is_empty() {
        let window = &data.window;
        let value = format!("{} to {}, {} records", window.start, window.end, window.records);
        facts.push(("Window", value));
    }
    if let Some(onset) = &data.onset {
        facts.push(("Drifting since", onset.clone()));
    }
    if !data.baseline.source.is_empty() {
        let baseline = &data.baseline;
        facts.push(("Baseline", format!("{}, {} rows", baseline.source, baseline.rows)));
    }
    if let Some(version) = &data.model_version {
        facts.push(("Model version", version.clone()));
    }
    if let Some(window) = &data.training_window {
        facts.push(("Train on", format!("{} to {}", window.from, window.to)));
    }
    facts
}

/// `psi 0.3100 > 0.2000 since onset`, with what noise is expected to show where that is taken off:
/// `psi 0.3000 - 0.1440 > 0.1000`. A level that has not cleared yet may have its score under the line.
pub(crate) fn by_how_much(feature: &TopFeature) -> String {
    let since = if feature.span == "onset" { " since onset" } else { "" };
    let bias = feature.bias.filter(|bias| *bias >= 5e-5);
    let less = bias.map(|bias| format!(" - {bias:.4}")).unwrap_or_default();
    let (statistic, compared) =
        (feature.statistic.as_str(), feature.score.abs() - feature.bias.unwrap_or(0.0));
    let sign = if compared > feature.threshold { '>' } else { '<' };
    format!("{statistic} {:.4}{less} {sign} {:.4}{since}", feature.score, feature.threshold)
}

/// One line a feature, worst first, as many as `most` characters hold; what is left out is counted.
pub(crate) fn feature_lines(announcement: &Announcement, most: usize) -> Vec<String> {
    /// Room for the line that counts the rest.
    const REST: usize = 40;
    let features = &announcement.data.top_features;
    let mut lines = Vec::new();
    let mut length = 0;
    for feature in features {
        let line = format!("{}: {}", cut(&tame(&feature.feature), 120), by_how_much(feature));
        length += line.chars().count() + 1;
        if length + REST > most {
            break;
        }
        lines.push(line);
    }
    let more = features.len() - lines.len() + announcement.data.more_features;
    if more > 0 {
        lines.push(format!("+ {more} more"));
    }
    lines
}

/// At most `most` characters, and a sign that there was more.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}

/// Feature names come from the training data: no line breaks, and nothing that ends a block.
pub(crate) fn tame(text: &str) -> String {
    let harmless = |c: char| match c {
        '`' => '\'',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Statistic;
    use crate::decide::Audience;
    use crate::decide::announcement::Data;

    #[test]
    fn a_feature_is_told_by_what_was_held_against_its_line() {
        let feature = |score, bias, threshold| TopFeature {
            feature: "amount".to_owned(),
            statistic: Statistic::Psi,
            score,
            threshold,
            span: "onset".to_owned(),
            bias,
            noise_floor: None,
        };
        let told = |score, bias, threshold| by_how_much(&feature(score, bias, threshold));
        assert_eq!(told(0.31, None, 0.2), "psi 0.3100 > 0.2000 since onset");
        assert_eq!(told(0.31, Some(1e-6), 0.2), "psi 0.3100 > 0.2000 since onset");
        assert_eq!(told(0.3, Some(0.144), 0.1), "psi 0.3000 - 0.1440 > 0.1000 since onset");
        assert_eq!(told(0.18, Some(0.01), 0.2), "psi 0.1800 - 0.0100 < 0.2000 since onset");
    }

    fn told(kind: Kind, id: &str, verdict: &str) -> Delivery {
        Delivery {
            id: id.to_owned(),
            target: "slack".to_owned(),
            channel: None,
            model: "fraud".to_owned(),
            kind,
            audience: Audience::Ml,
            announcement: Announcement {
                event_type: String::new(),
                id: id.to_owned(),
                timestamp: String::new(),
                data: Data { verdict: verdict.to_owned(), ..Data::default() },
            },
        }
    }

    #[test]
    fn a_run_that_never_came_is_told_apart_from_a_trigger_that_was_not_delivered() {
        let of = |id: &str, verdict: &str| title(&told(Kind::DeliveryFailed, id, verdict));
        let undelivered = of("i.delivery_failed", "delivery_failed");
        assert_eq!(undelivered, "Retraining trigger NOT delivered: fraud");
        assert_eq!(of("i.missing", "missing"), "Retraining accepted, and NOT run: fraud");
        assert_eq!(of("i.missing.over", OVER), "Retraining goes on: fraud");
        let delivered = of("i.delivery_failed.over", OVER);
        assert_eq!(delivered, "Retraining trigger delivered after all: fraud");
    }

    #[test]
    fn a_violated_check_is_told_apart_from_a_broken_feed() {
        let of = |id: &str, verdict: &str| told(Kind::DataQuality, id, verdict);
        assert_eq!(title(&of("a.checks", "check")), "Check violated: fraud");
        assert_eq!(title(&of("a.checks.over", OVER)), "Checks pass again: fraud");
        assert_eq!(title(&of("a.data_quality_old", "fault")), "Data quality: fraud");
        let stories = ["a.checks", "a.data_quality_old"].map(|id| of(id, "x").story().unwrap().0);
        assert_ne!(stories[0], stories[1]);
    }
}
