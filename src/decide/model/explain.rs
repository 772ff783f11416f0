//! A decision in words: the number that decided, and what follows from it or holds it back.

use crate::decide::model::{ModelState, Situation};
use crate::decide::policy::Level;
use crate::decide::rule::{CROSSED, PANES};
use crate::decide::sequential::{Finding, asked, less, sentence, strongest};
use crate::decide::view::{DriftState, FeatureVerdict, Suppression, Verdict};
use crate::decide::worst::{Worst, rank, ranked};

/// Faults that an explanation tells one by one.
const SHOWN: usize = 3;

/// What a decision came to.
pub(super) struct Judged<'a> {
    /// What the sequential test knows, where it decides.
    pub finding: Option<&'a Finding>,
    pub drift: DriftState,
    /// How many features must agree, and how many ask for a retraining.
    pub enough: usize,
    pub due: usize,
    pub suppressed_by: &'a [Suppression],
}

impl ModelState {
    /// One sentence: what decided, and what follows.
    pub(super) fn explain(
        &self,
        verdicts: &[FeatureVerdict],
        at: &Situation<'_>,
        judged: &Judged<'_>,
    ) -> String {
        let Some((feature, mut text)) = self.what(verdicts, at, judged.finding.is_some()) else {
            let records = at.ring.records();
            return format!("no feature has a score yet; the window holds {records} records");
        };
        let levels = self.levels.get(feature).copied().unwrap_or_default();
        let lingers = |level: &Level| levels.level(*level).is_lingering();
        let highest = levels.highest().filter(|level| *level > Level::Notice);
        if let Some(level) = highest.filter(lingers) {
            text.push_str(&format!(
                "; it stays at {} until {PANES} panes in a row are clear of its lines",
                level.as_str()
            ));
        }
        format!("{text}; {}", self.follows(feature, verdicts, at, judged))
    }

    /// The feature that the sentence is about, and its numbers.
    fn what(
        &self,
        verdicts: &[FeatureVerdict],
        at: &Situation<'_>,
        by_evidence: bool,
    ) -> Option<(usize, String)> {
        let records = at.ring.records();
        let mut all = ranked(verdicts, &at.policy.thresholds);
        // What is taken out of the decision is named only where there is nothing else.
        all.sort_by_key(|worst| at.policy.importance(worst.feature) <= 0.0);
        let window = |worst: &Worst<'_>| line(worst, &verdicts[worst.at], records);
        let worst = all.first();
        let Some((feature, onset)) = strongest(verdicts).filter(|_| by_evidence) else {
            let worst = worst?;
            if by_evidence {
                return Some((worst.at, window(worst)));
            }
            let levels = self.levels.get(worst.at).copied().unwrap_or_default();
            let crossings = levels.level(worst.level).crossings();
            let text = format!(
                "{}; a {} line of {} was crossed in {crossings} of the last {PANES} panes",
                window(worst),
                worst.level.as_str(),
                worst.feature
            );
            return Some((worst.at, text));
        };
        let of_it = all.iter().find(|worst| worst.at == feature).map(window);
        let name = &verdicts[feature].feature;
        if onset.is_real() {
            let since = sentence(name, onset, at.policy);
            let over = of_it.map(|line| format!("; over the window, {line}")).unwrap_or_default();
            return Some((feature, since + &over));
        }
        let evidence = asked(onset.log_evidence, onset.log_needed);
        if rank(verdicts[feature].verdict) > 0 {
            let line = of_it.map(|line| line + "; ").unwrap_or_default();
            return Some((feature, format!("{line}{name} has evidence {evidence}")));
        }
        let worst = worst?;
        Some((worst.at, format!("{}; {name} has the most evidence {evidence}", window(worst))))
    }

    /// What follows from it, or what holds that back.
    fn follows(
        &self,
        feature: usize,
        verdicts: &[FeatureVerdict],
        at: &Situation<'_>,
        judged: &Judged<'_>,
    ) -> String {
        let Judged { enough, due, .. } = *judged;
        if !judged.suppressed_by.is_empty() {
            let names: Vec<&str> = judged.suppressed_by.iter().map(|s| s.as_str()).collect();
            return format!("retraining is held back by {}", names.join(", "));
        }
        match judged.drift {
            DriftState::Drifted if due >= enough => "retraining is due".to_owned(),
            DriftState::Drifted if enough > 1 => format!(
                "no retraining is due: {due} of the {enough} features that must agree have the evidence \
                 for one at present"
            ),
            DriftState::Drifted => {
                "no retraining is due: there is no evidence for one at present (one \
                 that was due has used it up)"
                    .to_owned()
            }
            DriftState::Warning => self.at_warning(feature, &verdicts[feature], at, judged),
            DriftState::Notice => self.at_notice(feature, &verdicts[feature], at, judged),
            DriftState::Settling => {
                format!("settling: {} of {} panes seen", at.ring.len(), at.policy.window_panes)
            }
            DriftState::Healthy | DriftState::NoBaseline => "no drift".to_owned(),
        }
    }

    fn at_warning(
        &self,
        feature: usize,
        verdict: &FeatureVerdict,
        at: &Situation<'_>,
        judged: &Judged<'_>,
    ) -> String {
        let over = self.over(Level::Retrain);
        if over > 0 {
            let enough = judged.enough;
            return format!(
                "over warning; {over} of the {enough} features that must agree are over retrain"
            );
        }
        let retrain = self.levels.get(feature).map_or(0, |l| l.level(Level::Retrain).crossings());
        if retrain > 0 {
            return format!(
                "over warning; retrain was crossed in {retrain} of the last {PANES} panes, which takes \
                 {CROSSED}"
            );
        }
        if is_short_of_records(verdict, at, Level::Retrain) {
            let least = at.policy.min_records;
            return format!(
                "over warning; retrain is crossed by fewer than the {least} records that min_records asks"
            );
        }
        "over warning, under retrain".to_owned()
    }

    fn at_notice(
        &self,
        feature: usize,
        verdict: &FeatureVerdict,
        at: &Situation<'_>,
        judged: &Judged<'_>,
    ) -> String {
        let over = self.over(Level::Warning);
        if over > 0 {
            let enough = judged.enough;
            return format!(
                "real; {over} of the {enough} features that must agree are over warning"
            );
        }
        let real = verdict.onset.as_ref().filter(|onset| onset.is_real());
        match (real, judged.finding) {
            (Some(_), _) if self.levels.get(feature).is_some_and(|l| l.highest().is_none()) => {
                "one pane alone has brought this, so the next one decides".to_owned()
            }
            (Some(_), _) if is_short_of_records(verdict, at, Level::Warning) => format!(
                "real, and over a line by fewer than the {} records that min_records asks",
                at.policy.min_records
            ),
            (None, Some(finding)) if finding.is_real() => format!(
                "all features together are real, evidence {}, and none by itself",
                asked(finding.log_e, finding.log_allowed)
            ),
            (None, Some(_)) => {
                format!("no longer real; the notice ends after {PANES} such panes in a row")
            }
            (Some(_), _) | (None, None) => "real, but under the configured lines".to_owned(),
        }
    }
}

/// A score since the onset of what is real is over a line of that level or a higher one, and rests on too few
/// records to count.
fn is_short_of_records(verdict: &FeatureVerdict, at: &Situation<'_>, level: Level) -> bool {
    let real = verdict.onset.as_ref().filter(|onset| onset.is_real());
    let few = real.filter(|onset| onset.records < at.policy.min_records);
    let mut lines = at.policy.thresholds.iter().filter(|line| line.1 >= level);
    few.is_some_and(|onset| lines.any(|&(statistic, _, line)| onset.is_over(statistic, line, 0)))
}

/// `amount psi is 0.3000, less 0.0010 expected by noise, against retrain 0.2, noise floor 0.0050, over 2400
/// records (season: day, 24 slots, UTC)`.
fn line(worst: &Worst<'_>, verdict: &FeatureVerdict, records: u64) -> String {
    let floor = worst.noise_floor.map(|floor| format!(", noise floor {floor:.4}"));
    let season = verdict.season.as_ref().map(|season| format!(" (season: {season})"));
    format!(
        "{} {} is {:.4}{} against {} {}{}, over {records} records{}",
        worst.feature,
        worst.statistic.as_str(),
        worst.value,
        less(worst.bias),
        worst.level.as_str(),
        worst.threshold,
        floor.unwrap_or_default(),
        season.unwrap_or_default()
    )
}

/// What is said of features that a fault keeps out of the decision.
pub(super) fn left_out(verdicts: &[FeatureVerdict]) -> String {
    let faulty = verdicts.iter().filter(|v| v.verdict == Verdict::Fault);
    let reasons: Vec<&str> = faulty.filter_map(|v| v.reason.as_deref()).collect();
    let shown: String = reasons.iter().take(SHOWN).map(|reason| format!("; {reason}")).collect();
    match reasons.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; {more} more features are faulty"),
    }
}
