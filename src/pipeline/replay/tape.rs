//! What is told of a replay, recorded while its panes go by.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::baseline::FeatureBaseline;
use crate::compare;
use crate::compare::Statistic;
use crate::decide::CloseReason;
use crate::decide::DriftState;
use crate::decide::FeatureVerdict;
use crate::decide::Level;
use crate::decide::Quality;
use crate::decide::Verdict;
use crate::decide::check::CheckState;
use crate::decide::fault::Fault;
use crate::decide::fault::FaultKind;
use crate::decide::rule;
use crate::decide::sequential::strongest_real;
use crate::decide::time::rfc3339;
use crate::histogram::Counts;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::evaluate::quality::quality;
use crate::pipeline::replay::judge::Bench;
use crate::pipeline::replay::judge::Outcome;
use crate::pipeline::replay::nearest;
use crate::pipeline::replay::nearest::Nearest;
use crate::pipeline::replay::nearest::by_rank;
use crate::pipeline::replay::track::Seen;
use crate::pipeline::replay::track::rejects;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::report::replay::BaselineUsed;
use crate::report::replay::Bin;
use crate::report::replay::Event;
use crate::report::replay::FeatureRun;
use crate::report::replay::Kind;
use crate::report::replay::Line;
use crate::report::replay::Null;
use crate::report::replay::Run;
use crate::report::replay::Settings;
use crate::report::replay::Totals as Told;
use crate::report::replay::Worst;
use crate::report::replay::bin_labels;
use crate::report::replay::series::Series;
use crate::window::partition::Totals;

/// A feature's worst moment so far.
#[derive(Clone)]
struct Moment {
    nearest: Nearest,
    /// The window was full.
    full: bool,
    end_ms: i64,
    live: Counts,
    /// What it was compared with, where that is not all of the reference.
    reference: Option<Counts>,
}

pub(super) struct Tape {
    run: Run,
    /// Lines that decide: a notice has none of its own.
    lines: Vec<(Statistic, Level, f64)>,
    worst: Vec<Option<Moment>>,
    /// Panes in which a line of the feature was crossed.
    panes_over: Vec<u64>,
    drift: Option<DriftState>,
    quality: Quality,
    /// What was wrong at the last pane, and with which feature; `None` is the whole feed.
    faults: Vec<(FaultKind, Option<String>)>,
    min_records: u64,
    /// The checks that were violated at the last pane, by their position.
    violated: Vec<bool>,
}

impl Tape {
    pub(super) fn new(
        label: &str,
        spec: &Spec,
        watched: &Watched,
        close_after_ms: Option<i64>,
    ) -> Self {
        let policy = &spec.policy;
        let lines: Vec<_> = policy.thresholds.clone();
        let mut statistics = vec![Statistic::Psi];
        statistics.extend(lines.iter().map(|line| line.0));
        statistics.sort_unstable();
        statistics.dedup();
        let baseline = &watched.baseline;
        let names = baseline.features.iter().map(|feature| feature.name.as_str());
        let run = Run {
            policy: label.to_owned(),
            model: spec.name().to_owned(),
            baseline: BaselineUsed {
                source: baseline.source.clone(),
                digest: baseline.digest.clone(),
                rows: baseline.rows,
            },
            settings: Settings {
                window_ms: i64::try_from(policy.window_panes).unwrap_or(i64::MAX) * policy.pane_ms,
                pane_ms: policy.pane_ms,
                lateness_ms: watched.rules.lateness_ms,
                min_records: policy.min_records,
                design_effect: policy.design_effect.unwrap_or(rule::UNCALIBRATED),
                thresholds: lines
                    .iter()
                    .map(|&(statistic, level, threshold)| Line { statistic, level, threshold })
                    .collect(),
                max_retrains: spec.model.drift_config.max_retrains.to_string(),
                close_after_ms,
            },
            time: String::new(),
            start: None,
            end: None,
            panes: 0,
            records: 0,
            late: 0,
            other_models: 0,
            rejected: 0,
            rejects: BTreeMap::new(),
            reject_hints: BTreeMap::new(),
            totals: Told::default(),
            suppressed: BTreeMap::new(),
            events: Vec::new(),
            incidents: Vec::new(),
            features: Vec::new(),
            series: Series::new(names, &statistics),
            null: None,
        };
        let n = baseline.features.len();
        let (worst, panes_over) = (vec![None; n], vec![0; n]);
        let (quality, faults, min_records) = (Quality::Ok, Vec::new(), policy.min_records);
        let (drift, violated) = (None, vec![false; spec.model.checks.len()]);
        Self { run, lines, worst, panes_over, drift, quality, faults, min_records, violated }
    }

    /// Notes what a pane came to.
    pub(super) fn record(&mut self, bench: &Bench, outcome: &Outcome, records: u64) {
        let evaluator = &bench.evaluator;
        let Some(end_ms) = evaluator.state.decided_end_ms else { return };
        let Outcome { decision, warned, opened, closed } = outcome;
        self.run.panes += 1;
        self.run.series.push(end_ms, records, decision.drift, &evaluator.verdicts);
        self.note_worst(end_ms, evaluator);
        let kind = match (opened, self.drift.replace(decision.drift)) {
            (Some(_), _) => Some(Kind::Trigger),
            (None, before) if before == Some(decision.drift) && !warned => None,
            (None, before) => kind_of(before, decision.drift),
        };
        if let Some(kind) = kind {
            let mut event = self.event(end_ms, kind, decision.drift, &evaluator.verdicts);
            event.explanation.clone_from(&decision.explanation);
            event.incident.clone_from(opened);
            event.told = *warned || opened.is_some();
            let incident = opened.as_deref().and_then(|id| bench.ledger.entry(id));
            if let Some(entry) = incident {
                event.onset.clone_from(&entry.incident.onset);
            }
            event.suppressed_by.clone_from(&decision.suppressed_by);
            self.tell(event);
        }
        for (role, why) in &decision.outputs {
            let output = evaluator.state.outputs.get(role);
            let Some(last) = output.and_then(|output| output.last.as_ref()) else { continue };
            let mut event = self.event(end_ms, Kind::Warning, decision.drift, &[]);
            event.feature = Some(last.feature.clone());
            event.statistic = Some(last.statistic);
            event.score = Some(last.score);
            event.explanation.clone_from(why);
            // While an incident is open people have been told already.
            event.told = bench.ledger.open(evaluator.spec.name()).is_none();
            self.tell(event);
        }
        if let Some((id, closed_as)) = closed {
            let mut event = self.event(end_ms, Kind::Closed, decision.drift, &[]);
            event.incident = Some(id.clone());
            let how = match closed_as {
                CloseReason::Expired => "expired: nothing had closed it",
                _ => "closed, as a finished retraining would have done",
            };
            event.explanation = format!("the incident {how}");
            self.tell(event);
        }
        let (quality, faults) = (quality(evaluator), evaluator.faults());
        let kinds: Vec<_> = faults.iter().map(|f| (f.kind, f.feature.clone())).collect();
        if quality != self.quality || kinds != self.faults {
            let mut event = self.event(end_ms, Kind::Fault, decision.drift, &[]);
            event.explanation = explain(self.quality, quality, &faults);
            event.faults = faults;
            (self.quality, self.faults) = (quality, kinds);
            self.tell(event);
        }
        self.note_checks(end_ms, decision.drift, evaluator);
    }

    /// Checks that are violated since this pane, or pass again.
    fn note_checks(&mut self, end_ms: i64, drift: DriftState, evaluator: &ModelEvaluator) {
        for (at, check) in evaluator.checks().into_iter().enumerate() {
            let violated = check.state == CheckState::Violated;
            if std::mem::replace(&mut self.violated[at], violated) == violated {
                continue;
            }
            let mut event = self.event(end_ms, Kind::Check, drift, &[]);
            let what = if violated { "violated" } else { "passes again" };
            event.explanation = format!("{what}: {}", check.sentence);
            event.feature = check.feature;
            event.onset = check.since;
            event.told = violated && check.severity.is_told();
            self.tell(event);
        }
    }

    fn tell(&mut self, event: Event) {
        let totals = &mut self.run.totals;
        totals.warnings += u64::from(event.told && event.kind != Kind::Trigger);
        match event.kind {
            Kind::Notice => totals.notices += 1,
            Kind::Trigger => totals.triggers += 1,
            Kind::Fault => totals.faults += 1,
            Kind::Healthy
            | Kind::Warning
            | Kind::Drifted
            | Kind::Clear
            | Kind::Closed
            | Kind::Check => {}
        }
        self.run.events.push(event);
    }

    fn event(
        &self,
        end_ms: i64,
        kind: Kind,
        drift: DriftState,
        verdicts: &[FeatureVerdict],
    ) -> Event {
        // What is real is what is told of, whatever noise is nearest to a line over the window.
        let real = strongest_real(verdicts);
        let told = verdicts.iter().enumerate();
        let told = told.filter(|(at, _)| real.is_none_or(|(real, _)| real == *at)).map(|(_, v)| v);
        let near =
            told.filter_map(|v| Some((v, nearest::of_all(v, &self.lines, self.min_records)?)));
        let worst = near.max_by(|(_, a), (_, b)| by_rank(a.rank, b.rank));
        let (feature, worst) = worst.unzip();
        Event {
            time: rfc3339(end_ms),
            at_ms: end_ms,
            kind,
            drift,
            feature: feature.map(|verdict| verdict.feature.clone()),
            statistic: worst.map(|w| w.statistic),
            score: worst.map(|w| w.score),
            threshold: worst.map(|w| w.threshold),
            onset: real.map(|(_, onset)| rfc3339(onset.since_ms)),
            told: false,
            incident: None,
            suppressed_by: Vec::new(),
            faults: Vec::new(),
            explanation: String::new(),
        }
    }

    fn note_worst(&mut self, end_ms: i64, evaluator: &ModelEvaluator) {
        let ring = &evaluator.ring;
        for (at, verdict) in evaluator.verdicts.iter().enumerate() {
            self.panes_over[at] += u64::from(over(verdict.verdict));
            let Some(now) = nearest::over_window(verdict, &self.lines) else { continue };
            let full = ring.is_full();
            let slot = &mut self.worst[at];
            // The first panes hold little but noise: a full window is always worth more.
            let more = |worst: &Moment| match full.cmp(&worst.full) {
                Ordering::Equal => by_rank(now.rank, worst.nearest.rank).is_gt(),
                other => other.is_gt(),
            };
            if slot.as_ref().is_none_or(more) {
                let reference = evaluator.references.get(at).cloned().flatten();
                let live = ring.live()[at].clone();
                *slot = Some(Moment { nearest: now, full, end_ms, live, reference });
            }
        }
    }

    /// The run as a whole.
    pub(super) fn finish(
        self,
        bench: &Bench,
        totals: &Totals,
        seen: &Seen,
        null: Option<Null>,
    ) -> Run {
        let Self { mut run, worst, panes_over, .. } = self;
        run.time.clone_from(&seen.time);
        run.records = totals.records;
        run.late = totals.late;
        run.other_models = seen.other_models;
        run.rejected = totals.rejects.iter().sum();
        run.rejects = rejects(&totals.rejects);
        run.reject_hints.clone_from(&seen.hints);
        run.suppressed.clone_from(&bench.evaluator.suppressed);
        run.incidents = bench.ledger.incidents();
        run.null = null;
        let pane_ms = run.settings.pane_ms;
        let panes = i64::try_from(run.panes).unwrap_or(i64::MAX);
        let end_ms = bench.evaluator.state.decided_end_ms;
        run.end = end_ms.map(rfc3339);
        run.start = end_ms.map(|end| rfc3339(end - panes.saturating_mul(pane_ms)));
        let Some(watched) = &bench.evaluator.watched else { return run };
        let rank = |moment: &Option<Moment>| moment.as_ref().map_or((0, -1.0), |m| m.nearest.rank);
        let mut features: Vec<_> = watched
            .baseline
            .features
            .iter()
            .zip(&bench.evaluator.verdicts)
            .zip(worst.into_iter().zip(panes_over))
            .map(|((feature, last), (moment, panes_over))| {
                let rank = rank(&moment);
                let worst = moment.map(|moment| worst_of(feature, &moment, panes_over));
                (rank, FeatureRun { last: last.clone(), worst })
            })
            .collect();
        features.sort_by(|(a, _), (b, _)| by_rank(*b, *a));
        run.features = features.into_iter().map(|(_, feature)| feature).collect();
        run
    }
}

/// How the quality changed, and what is wrong now.
fn explain(before: Quality, now: Quality, faults: &[Fault]) -> String {
    let mut text = match before == now {
        true => format!("quality: still {}", now.as_str()),
        false => format!("quality: {} after {}", now.as_str(), before.as_str()),
    };
    for fault in faults {
        text.push_str("; ");
        text.push_str(&fault.sentence);
    }
    text
}

fn over(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Warning | Verdict::Drifted => true,
        Verdict::Unusable
        | Verdict::AbsentInLive
        | Verdict::InsufficientSamples
        | Verdict::Stable
        | Verdict::Notice
        | Verdict::Fault => false,
    }
}

/// What a change of state is called; nothing is told while the first window fills.
fn kind_of(before: Option<DriftState>, now: DriftState) -> Option<Kind> {
    let drifted = before.is_some_and(|before| before > DriftState::Healthy);
    match now {
        DriftState::NoBaseline | DriftState::Settling => None,
        DriftState::Healthy if drifted => Some(Kind::Clear),
        DriftState::Healthy => Some(Kind::Healthy),
        DriftState::Notice => Some(Kind::Notice),
        DriftState::Warning => Some(Kind::Warning),
        DriftState::Drifted => Some(Kind::Drifted),
    }
}

fn worst_of(feature: &FeatureBaseline, moment: &Moment, panes_over: u64) -> Worst {
    let reference = moment.reference.as_ref().unwrap_or(&feature.reference);
    let (near, counts) = (moment.nearest, compare::bins_against(feature, reference, &moment.live));
    let share = |counts: &[u64], i: usize| {
        let all: u64 = counts.iter().sum();
        if all == 0 { 0.0 } else { counts[i] as f64 / all as f64 }
    };
    let bin = |(i, label)| Bin {
        label,
        reference: share(&counts.reference, i),
        live: share(&counts.live, i),
    };
    Worst {
        time: rfc3339(moment.end_ms),
        statistic: near.statistic,
        score: near.score,
        threshold: near.threshold,
        level: near.level,
        noise_floor: near.noise_floor,
        crossed: near.rank.0 > 0,
        panes_over,
        bins: bin_labels(feature).into_iter().enumerate().map(bin).collect(),
    }
}
