//! One picture of the terminal view: models, and their features with the worst first.

use serde_json::Value;

use crate::cli::top::Looked;
use crate::report::words::{cut, printable_text};

/// Points of a sparkline.
const POINTS: usize = 32;
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Characters of a full meter of evidence.
const METER: usize = 10;
const NAME_MAX: usize = 28;

/// All of it as lines no longer than `width` and no more than `height`; `features` of each model.
pub(super) fn frame(
    models: &[Looked],
    features: usize,
    (width, height): (usize, usize),
    colours: bool,
) -> String {
    let mut lines: Vec<Line> = Vec::new();
    if models.is_empty() {
        lines.push(Line::plain("no model is configured"));
    }
    for looked in models {
        if !lines.is_empty() {
            lines.push(Line::plain(""));
        }
        model(&mut lines, looked, features);
    }
    let most = height.saturating_sub(1).max(1);
    let lines = lines.iter().take(most).map(|line| line.shown(width, colours));
    lines.collect()
}

/// A line, and the colour of a part of it.
struct Line {
    text: String,
    /// From and to in characters, and the state that it tells.
    tone: Option<(usize, usize, &'static str)>,
    quiet: bool,
}

impl Line {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: None, quiet: false }
    }

    fn shown(&self, width: usize, colours: bool) -> String {
        let cut: Vec<char> = self.text.chars().take(width).collect();
        let of = |from: usize, to: usize| -> String { cut.iter().take(to).skip(from).collect() };
        let whole: String = cut.iter().collect();
        if !colours {
            return whole.trim_end().to_owned() + "\n";
        }
        match self.tone {
            Some((from, to, tone)) => format!(
                "{}\x1b[{}m{}\x1b[0m{}\n",
                of(0, from),
                colour(tone),
                of(from, to),
                of(to, usize::MAX)
            ),
            None if self.quiet => format!("\x1b[2m{whole}\x1b[0m\n"),
            None => whole + "\n",
        }
    }
}

fn colour(state: &str) -> &'static str {
    match state {
        "good" => "32",
        "note" => "34",
        "warn" => "33",
        "bad" => "1;31",
        _ => "2",
    }
}

fn tone(state: &str) -> &'static str {
    match state {
        "healthy" | "stable" => "good",
        "notice" => "note",
        "warning" | "absent_in_live" => "warn",
        "drifted" | "fault" => "bad",
        _ => "none",
    }
}

/// The features of a model that are watched, the worst first.
pub(super) fn worst(model: &Value) -> impl Iterator<Item = &Value> {
    let all = model["features"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rows: Vec<&Value> = all.iter().filter(|row| row["verdict"] != "unusable").collect();
    rows.sort_by(|a, b| rank(b).partial_cmp(&rank(a)).unwrap_or(std::cmp::Ordering::Equal));
    rows.into_iter()
}

fn model(lines: &mut Vec<Line>, looked: &Looked, features: usize) {
    let of = &looked.model;
    let text = |key: &str| of[key].as_str().unwrap_or("-");
    let (name, drift) = (printable_text(text("model")), text("drift"));
    // Whoever answers knows nothing else of it.
    if let Some(by) = of["evaluated_by"].as_str() {
        let by = if by.is_empty() { "another replica".to_owned() } else { printable_text(by) };
        let text = format!("{name}  evaluated by {by}");
        return lines.push(Line { text, tone: None, quiet: true });
    }
    let window = &of["window"];
    let mut head = format!("{name}  {drift}");
    let from = name.chars().count() + 2;
    let coloured = Some((from, from + drift.chars().count(), tone(drift)));
    for (key, usual) in [("quality", "ok"), ("incident", "none")] {
        if text(key) != usual {
            head += &format!("  {key} {}", text(key));
        }
    }
    head += &format!("  {} records", window["records"]);
    if let Some(end) = window["end"].as_str() {
        head += &format!(" to {end}");
    }
    lines.push(Line { text: head, tone: coloured, quiet: false });
    lines.push(Line { text: printable_text(text("explanation")), tone: None, quiet: true });
    let rows: Vec<&Value> = worst(of).collect();
    let names = rows.iter().take(features).map(|row| short(row).chars().count());
    let wide = names.max().unwrap_or(0).max(7);
    if rows.is_empty() {
        return;
    }
    let head = format!(
        "  {:wide$}  {:9}  {:>6} {:METER$}  {:>8}  {:>8}  PSI OVER TIME",
        "FEATURE", "VERDICT", "EVID.", "", "PSI", "SINCE"
    );
    lines.push(Line { text: head, tone: None, quiet: true });
    for row in rows.iter().take(features) {
        lines.push(feature(looked, row, wide));
    }
    if rows.len() > features {
        let more = format!("  and {} more", rows.len() - features);
        lines.push(Line { text: more, tone: None, quiet: true });
    }
}

fn feature(looked: &Looked, row: &Value, wide: usize) -> Line {
    let verdict = match row["verdict"].as_str().unwrap_or("-") {
        "insufficient_samples" => "few",
        "absent_in_live" => "absent",
        other => other,
    };
    let evidence = evidence(row);
    let percent =
        evidence.map_or_else(|| "-".to_owned(), |e| format!("{:.0}%", 100.0 * e.max(0.0)));
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
    let psi = row["scores"]["psi"]["value"].as_f64();
    let real = evidence.is_some_and(|e| e >= 1.0);
    let since = row["onset"]["psi"]["value"].as_f64().filter(|_| real);
    let text = format!(
        "  {:wide$}  {verdict:9}  {percent:>6} {}  {:>8}  {:>8}  {}",
        short(row),
        meter(evidence),
        number(psi),
        number(since),
        spark(looked, row["feature"].as_str().unwrap_or_default()),
    );
    let from = wide + 4;
    let state = row["verdict"].as_str().unwrap_or_default();
    Line { text, tone: Some((from, from + verdict.chars().count(), tone(state))), quiet: false }
}

fn short(row: &Value) -> String {
    cut(row["feature"].as_str().unwrap_or("-"), NAME_MAX)
}

fn evidence(row: &Value) -> Option<f64> {
    let onset = &row["onset"];
    let share = onset["log_evidence"].as_f64()? / onset["log_needed"].as_f64()?;
    share.is_finite().then_some(share)
}

/// The gravest verdict first, then the most evidence.
fn rank(row: &Value) -> (u8, f64) {
    let gravity = match row["verdict"].as_str().unwrap_or_default() {
        "drifted" => 6,
        "warning" => 5,
        "fault" => 4,
        "absent_in_live" => 3,
        "notice" => 2,
        "insufficient_samples" => 1,
        _ => 0,
    };
    (gravity, evidence(row).unwrap_or(0.0))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few characters")]
fn meter(evidence: Option<f64>) -> String {
    let full = (evidence.unwrap_or(0.0).clamp(0.0, 1.0) * METER as f64).round() as usize;
    "█".repeat(full) + &"·".repeat(METER - full)
}

/// The newest scores, window or since the onset, the higher of both; high is a line crossed.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one of eight steps")]
fn spark(looked: &Looked, feature: &str) -> String {
    let features = looked.past["features"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(of) = features.iter().find(|of| of["feature"] == feature) else {
        return String::new();
    };
    let window = of["scores"]["psi"]["value"].as_array().map(Vec::as_slice).unwrap_or_default();
    let since = of["onset_psi"].as_array().map(Vec::as_slice).unwrap_or_default();
    let both = window
        .iter()
        .zip(since)
        .map(|(a, b)| a.as_f64().into_iter().chain(b.as_f64()).reduce(f64::max));
    let scores: Vec<Option<f64>> = both.collect();
    let shown = &scores[scores.len().saturating_sub(POINTS)..];
    let lines = looked.model["thresholds"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lines = lines.iter().filter(|line| line["statistic"] == "psi" && line["level"] != "notice");
    let line = lines.filter_map(|line| line["threshold"].as_f64()).reduce(f64::max).unwrap_or(0.2);
    let top = shown.iter().flatten().copied().fold(line, f64::max).max(1e-9);
    let step = |score: f64| {
        let share = (score.max(0.0) / top).sqrt();
        STEPS[((share * 7.0).round() as usize).min(7)]
    };
    shown.iter().map(|score| score.map_or(' ', step)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn looked() -> Looked {
        let feature = |name: &str, verdict: &str, evidence: f64| {
            json!({"feature": name, "verdict": verdict, "scores": {"psi": {"value": 0.01}},
                "onset": {"log_evidence": evidence, "log_needed": 10.0, "psi": {"value": 1.5}}})
        };
        let model = json!({"model": "fraud\u{1b}[2J", "drift": "drifted", "quality": "ok",
            "incident": "accepted", "window": {"records": 7200, "end": "2026-01-01T00:00:00Z"},
            "explanation": "amount has changed",
            "thresholds": [{"statistic": "psi", "level": "retrain", "threshold": 0.2}],
            "features": [feature("calm", "stable", 2.0), feature("amount", "drifted", 30.0)]});
        let past = json!({"features": [{"feature": "amount",
            "scores": {"psi": {"value": [null, 0.0, 0.05, 0.2]}}, "onset_psi": [null, null, null, 1.5]}]});
        Looked { model, past }
    }

    #[test]
    fn the_worst_feature_comes_first_with_its_evidence_and_its_past() {
        let shown = frame(&[looked()], 12, (usize::MAX, usize::MAX), false);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines[0],
            "fraud\u{fffd}[2J  drifted  incident accepted  7200 records to 2026-01-01T00:00:00Z"
        );
        assert!(
            lines[3].trim_start().starts_with("amount") && lines[3].contains("300% ██████████"),
            "{shown}"
        );
        assert!(lines[3].ends_with(" ▁▂█") && lines[3].contains("1.5000"), "{shown}");
        assert!(lines[4].contains("20% ██········") && !lines[4].contains("1.5000"), "{shown}");
    }

    #[test]
    fn a_model_of_another_replica_has_a_line_that_says_so() {
        let mut looked = looked();
        looked.model["evaluated_by"] = "http://pod-1:9465".into();
        let shown = frame(&[looked], 12, (usize::MAX, usize::MAX), false);
        assert_eq!(shown, "fraud\u{fffd}[2J  evaluated by http://pod-1:9465\n");
    }

    #[test]
    fn it_keeps_to_the_screen() {
        let models = [looked(), looked()];
        let shown = frame(&models, 1, (20, 5), false);
        assert_eq!(shown.lines().count(), 4);
        assert!(shown.lines().all(|line| line.chars().count() <= 20), "{shown}");
        assert!(frame(&models, 1, (200, 50), false).contains("and 1 more"));
        let coloured = frame(&models, 1, (200, 50), true);
        assert!(coloured.contains("\u{1b}[1;31mdrifted\u{1b}[0m"), "{coloured}");
        assert_eq!(frame(&[], 1, (40, 5), false), "no model is configured\n");
    }
}
