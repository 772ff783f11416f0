//! A replay for people at a terminal.

use crate::decide::Verdict;
use crate::decide::time::rfc3339;
use crate::decode::Reason;
use crate::report::replay::Event;
use crate::report::replay::Input;
use crate::report::replay::Kind;
use crate::report::replay::Null;
use crate::report::replay::Replay;
use crate::report::replay::Run;
use crate::report::replay::Settings;
use crate::report::table::align;
use crate::report::table::printable;
use crate::report::words::printable_text;
use crate::report::words::short;
use crate::setting::Span;

/// Features that the table shows.
const SHOWN: usize = 12;
/// Longer stories are cut in the middle: JSON has them whole.
const EVENTS_MAX: usize = 200;

/// The whole replay: where the records came from, each policy's story, and what it came to.
pub fn text(replay: &Replay) -> String {
    let mut out = heading(&replay.input, &replay.runs);
    for run in &replay.runs {
        out.push('\n');
        story(&mut out, run, replay.runs.len() > 1);
    }
    if replay.runs.len() > 1 {
        out.push('\n');
        out.push_str(&side_by_side(&replay.runs));
    }
    out
}

fn heading(input: &Input, runs: &[Run]) -> String {
    let mut out = format!("{}: {}\n", printable_text(&input.source), input.describe());
    let Some(run) = runs.first() else { return out };
    out.push_str(&format!("time      {}", printable_text(&run.time)));
    if let (Some(start), Some(end)) = (&run.start, &run.end) {
        out.push_str(&format!(", {start} to {end}"));
    }
    out.push('\n');
    out
}

fn story(out: &mut String, run: &Run, several: bool) {
    let name = if several { format!("{}: ", run.policy) } else { String::new() };
    out.push_str(&format!("{name}model {}\n", printable_text(&run.model)));
    let baseline = &run.baseline;
    let digest = baseline.digest.get(..12).unwrap_or(&baseline.digest);
    out.push_str(&format!(
        "baseline  {}, {} rows, {digest}\n",
        printable_text(&baseline.source),
        baseline.rows
    ));
    out.push_str(&format!("policy    {}\n", policy(&run.settings)));
    out.push('\n');
    if run.events.is_empty() {
        out.push_str("nothing to tell: ");
        out.push_str(if run.panes == 0 {
            "no pane has closed\n"
        } else {
            "the window never filled, or nothing changed\n"
        });
    }
    let skipped = run.events.len().saturating_sub(EVENTS_MAX);
    for (i, event) in run.events.iter().enumerate() {
        if skipped > 0 && i == EVENTS_MAX / 2 {
            out.push_str(&format!("... {skipped} more changes; --format json has them all ...\n"));
        }
        if skipped == 0 || i < EVENTS_MAX / 2 || i >= EVENTS_MAX / 2 + skipped {
            line(out, event);
        }
    }
    out.push('\n');
    out.push_str(&features(run));
    out.push('\n');
    out.push_str(&totals(run));
    if let Some(null) = &run.null {
        out.push_str(&shuffled(null));
    }
}

/// What decides, in one line.
pub(super) fn policy(settings: &Settings) -> String {
    let Settings { window_ms, pane_ms, design_effect, min_records, .. } = settings;
    let lines: Vec<String> = settings
        .thresholds
        .iter()
        .map(|line| format!("{} {} {}", line.statistic, line.level.as_str(), line.threshold))
        .collect();
    let closed = settings.close_after_ms.map(|ms| format!(", incidents closed after {}", span(ms)));
    format!(
        "window {}, panes {}, design effect {design_effect}, at least {min_records} records, \
         retrains at most {}{}; {}",
        span(*window_ms),
        span(*pane_ms),
        settings.max_retrains,
        closed.unwrap_or_default(),
        lines.join(", ")
    )
}

fn span(ms: i64) -> Span {
    Span(std::time::Duration::from_millis(ms.max(0).cast_unsigned()))
}

fn line(out: &mut String, event: &Event) {
    let kind = match event.kind {
        Kind::Trigger => "TRIGGER",
        _ if event.told => "WARNING",
        other => other.as_str(),
    };
    out.push_str(&format!("{}  {kind:<8} {}", event.time, printable_text(&event.explanation)));
    if let Some(incident) = &event.incident {
        out.push_str(&format!(" [incident {incident}]"));
    }
    if let Some(onset) = &event.onset {
        out.push_str(&format!(" [since {onset}]"));
    }
    out.push('\n');
}

/// The features that came nearest to a line, or went furthest over it.
fn features(run: &Run) -> String {
    let header = [
        "feature",
        "at its worst",
        "statistic",
        "score",
        "floor",
        "threshold",
        "level",
        "panes over",
        "at the end",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let worst = run.features.iter().filter_map(|f| Some((&f.last, f.worst.as_ref()?)));
    for (last, worst) in worst.clone().take(SHOWN) {
        rows.push(vec![
            printable(&last.feature),
            worst.time.clone(),
            worst.statistic.as_str().to_owned(),
            short(worst.score),
            worst.noise_floor.map_or_else(|| "-".to_owned(), short),
            short(worst.threshold),
            worst.level.as_str().to_owned(),
            worst.panes_over.to_string(),
            verdict(last.verdict).to_owned(),
        ]);
    }
    let mut out = align(&rows);
    let more = worst.count().saturating_sub(SHOWN);
    if more > 0 {
        out.push_str(&format!("... and {more} more\n"));
    }
    out
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unusable => "unusable",
        Verdict::AbsentInLive => "absent in live",
        Verdict::InsufficientSamples => "too few records",
        Verdict::Stable => "stable",
        Verdict::Notice => "notice",
        Verdict::Warning => "warning",
        Verdict::Drifted => "drifted",
        Verdict::Fault => "fault",
    }
}

/// Why no policy had anything to decide about, if no record at all could be counted, or no pane closed.
pub fn nothing_decided(replay: &Replay) -> Option<String> {
    let is_idle = |run: &&Run| run.records == 0 || run.panes == 0;
    let run = replay.runs.first().filter(|_| replay.runs.iter().all(|run| is_idle(&run)))?;
    let mut why = rejects(run);
    if run.rejects.contains_key(Reason::BadTime.as_str()) {
        why.push_str("; a time must be readable in its unit and not before 2000");
    }
    if run.other_models > 0 {
        why.push_str(&format!("; {} are of other models", run.other_models));
    }
    if run.records == 0 {
        return Some(format!("no record could be used{why}"));
    }
    let Run { records, rejected, .. } = run;
    let pane = span(run.settings.pane_ms);
    Some(format!(
        "no pane was decided: {records} records were counted and {rejected} rejected{why}, and none lies beyond a \
         pane of {pane}; give more records, or shorter panes"
    ))
}

/// In brackets, by reason, with what they may be about.
fn rejects(run: &Run) -> String {
    let reject = |(reason, n): (&&str, &u64)| match run.reject_hints.get(*reason) {
        Some(hint) => format!("{reason} {n} ({})", printable_text(hint)),
        None => format!("{reason} {n}"),
    };
    let rejects: Vec<String> = run.rejects.iter().map(reject).collect();
    if rejects.is_empty() { String::new() } else { format!(" ({})", rejects.join(", ")) }
}

fn totals(run: &Run) -> String {
    let rejects = rejects(run);
    let mut out = format!(
        "{} records counted, {} rejected{rejects}, {} late, {} panes\n",
        run.records, run.rejected, run.late, run.panes
    );
    if run.other_models > 0 {
        out.push_str(&format!("{} records were of other models\n", run.other_models));
    }
    if run.late > 0 {
        out.push_str(&late(run));
    }
    let told = run.totals;
    let faults = if told.faults > 0 {
        format!(", {} changes of quality", told.faults)
    } else {
        String::new()
    };
    out.push_str(&format!(
        "{} notices, {} warnings, {} triggers{faults}\n",
        told.notices, told.warnings, told.triggers
    ));
    if !run.suppressed.is_empty() {
        let held: Vec<String> =
            run.suppressed.iter().map(|(why, n)| format!("{} {n}", why.as_str())).collect();
        out.push_str(&format!("panes in which a due trigger was held back: {}\n", held.join(", ")));
    }
    out
}

fn late(run: &Run) -> String {
    let share = 100.0 * run.late as f64 / (run.late + run.records).max(1) as f64;
    format!(
        "{share:.1} % of the records came after their pane had closed and were left out, as the \
         daemon would do; if the file is only not in order of time, --sort puts it in order\n"
    )
}

/// What the data does without drift.
fn shuffled(null: &Null) -> String {
    let Null { shuffles, seed, days, reference_days, stream_days, policy, psi_above_0_2 } = null;
    format!(
        "\nthe same days in another order ({shuffles} shuffles of {days} days, seed {seed}; the \
         first {reference_days} of each are the reference), so without drift over {stream_days} days:\n  \
         this policy           {:>6.2} false retrains per 30 days ({})\n  \
         PSI above 0.2 alone   {:>6.2} false retrains per 30 days ({})\n",
        policy.per_30_days, policy.count, psi_above_0_2.per_30_days, psi_above_0_2.count
    )
}

/// The policies' answers beside each other.
fn side_by_side(runs: &[Run]) -> String {
    let header =
        ["policy", "model", "first trigger", "triggers", "warnings", "notices", "worst feature"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for run in runs {
        let first = run.events.iter().find(|event| event.kind == Kind::Trigger);
        let worst = run.features.first().filter(|feature| feature.worst.is_some());
        rows.push(vec![
            run.policy.clone(),
            run.model.clone(),
            first.map_or_else(|| "none".to_owned(), |event| rfc3339(event.at_ms)),
            run.totals.triggers.to_string(),
            run.totals.warnings.to_string(),
            run.totals.notices.to_string(),
            worst.map_or_else(|| "-".to_owned(), |feature| printable(&feature.last.feature)),
        ]);
    }
    align(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::DriftState;
    use crate::report::replay::BaselineUsed;
    use crate::report::replay::Totals;
    use crate::report::replay::page::page;
    use crate::report::replay::series::Series;

    fn event(i: usize, kind: Kind, told: bool) -> Event {
        Event {
            time: rfc3339(1_767_225_600_000 + i as i64 * 60_000),
            at_ms: 0,
            kind,
            drift: DriftState::Warning,
            feature: None,
            statistic: None,
            score: None,
            threshold: None,
            onset: None,
            incident: None,
            told,
            suppressed_by: Vec::new(),
            faults: Vec::new(),
            explanation: format!("reason {i} \u{1b}[2J<b>"),
        }
    }

    fn replay(events: Vec<Event>) -> Replay {
        let settings = Settings {
            window_ms: 86_400_000,
            pane_ms: 300_000,
            lateness_ms: 0,
            min_records: 200,
            design_effect: 4.0,
            thresholds: Vec::new(),
            max_retrains: "2 per 7d".to_owned(),
            close_after_ms: None,
        };
        let (source, digest) = ("<ref>".to_owned(), "abc".to_owned());
        let run = Run {
            policy: "a.yaml".to_owned(),
            model: "m".to_owned(),
            baseline: BaselineUsed { source, digest, rows: 5 },
            settings,
            time: "`/ts` (ms)".to_owned(),
            start: None,
            end: None,
            panes: 3,
            records: 0,
            late: 0,
            other_models: 4,
            rejected: 2,
            rejects: [("bad_time", 2)].into_iter().collect(),
            reject_hints: [("bad_time", "looks like s".to_owned())].into_iter().collect(),
            totals: Totals::default(),
            suppressed: std::collections::BTreeMap::new(),
            events,
            incidents: Vec::new(),
            features: Vec::new(),
            series: Series::default(),
            null: None,
        };
        let (source, format) = ("a.ndjson".to_owned(), "ndjson");
        let partitions = Vec::new();
        let input = Input { source, files: 1, format, bytes: 9, sorted: false, partitions };
        Replay { input, runs: vec![run] }
    }

    #[test]
    fn a_long_story_is_cut_in_its_middle_and_says_so() {
        let kind = |i| if i % 2 == 0 { Kind::Warning } else { Kind::Notice };
        let events = (0..EVENTS_MAX + 51).map(|i| event(i, kind(i), i == 0)).collect();
        let text = text(&replay(events));
        assert!(text.contains("... 51 more changes; --format json has them all ..."), "{text}");
        let lines = |word: &str| text.lines().filter(|line| line.contains(word)).count();
        assert_eq!(lines(" reason "), EVENTS_MAX);
        assert_eq!((lines("  WARNING  "), lines("  warning  ")), (1, 99));
        assert!(text.contains("reason 250 ") && !text.contains("reason 130 "));
    }

    #[test]
    fn what_a_file_holds_can_drive_neither_a_terminal_nor_a_page() {
        let replay = replay(vec![event(0, Kind::Notice, false)]);
        assert!(!text(&replay).contains('\u{1b}'));
        let page = page(&replay);
        assert!(
            !page.contains('\u{1b}') && page.contains("reason 0 \u{fffd}[2J&lt;b&gt;"),
            "{page}"
        );
        assert!(page.contains("baseline &lt;ref&gt;"));
    }

    #[test]
    fn nothing_decided_is_no_answer() {
        let said = nothing_decided(&replay(Vec::new())).unwrap();
        assert_eq!(
            said,
            "no record could be used (bad_time 2 (looks like s)); a time must be readable in its unit \
             and not before 2000; 4 are of other models"
        );
    }
}
