//! What the evidence says, for people.

use crate::decide::policy::Policy;
use crate::decide::time::rfc3339;
use crate::decide::view::Onset;

/// The feature of the strongest evidence, since when, and by how much: PSI, and each share that is over a
/// line since then. `window` is the line about the window's worst score, of the same feature or another.
pub fn sentence(
    feature: &str,
    onset: &Onset,
    policy: &Policy,
    (of_worst, window): (bool, &str),
) -> String {
    let evidence = format!(
        "evidence {:.1} of the {:.1} that the budget asks",
        onset.log_evidence, onset.log_needed
    );
    if !onset.is_real() {
        return format!("{window}; {feature} has the most {evidence}");
    }
    let psi = onset.psi.map(|psi| {
        let floor =
            psi.noise_floor.map(|floor| format!(", noise floor {floor:.4}")).unwrap_or_default();
        format!("psi is {:.4}{floor}", psi.value)
    });
    let scores: Vec<String> = psi.into_iter().chain(rates(onset, policy)).collect();
    let since = rfc3339(onset.since_ms);
    let rest = if of_worst { "over the window, " } else { "" };
    let scores = if scores.is_empty() { String::new() } else { scores.join(", ") + " " };
    format!(
        "{feature} has changed since {since}: {scores}over {} records since then, {evidence}; {rest}{window}",
        onset.records
    )
}

/// `out_of_range is 0.1500 against retrain 0.05`: shares by the highest line that they cross.
fn rates(onset: &Onset, policy: &Policy) -> Vec<String> {
    let lines = policy.thresholds.iter().filter(|line| line.0.is_rate());
    let mut over: Vec<_> = lines
        .filter(|line| onset.is_over(line.0, line.2, policy.min_records))
        .filter_map(|line| Some((line, onset.score(line.0)?)))
        .collect();
    over.sort_by_key(|((statistic, level, _), _)| (*statistic, std::cmp::Reverse(*level)));
    over.dedup_by_key(|((statistic, ..), _)| *statistic);
    let told = over.iter().map(|((statistic, level, line), score)| {
        format!("{} is {score:.4} against {} {line}", statistic.as_str(), level.as_str())
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Statistic;
    use crate::decide::policy::default_thresholds;
    use crate::decide::policy::tests::policy;

    #[test]
    fn a_share_over_its_line_is_named_with_the_highest_that_it_crosses() {
        let onset = |outside| Onset {
            since_ms: 0,
            records: 500,
            log_evidence: 20.0,
            log_needed: 11.0,
            psi: None,
            psi_bias: 0.0,
            window_psi_bias: 0.0,
            outside: Some((Statistic::OutOfRange, outside)),
            missing: Some(0.0),
        };
        let policy = Policy { thresholds: default_thresholds(), ..policy() };
        let told = |outside| sentence("x", &onset(outside), &policy, (false, "rest"));
        assert_eq!(
            told(0.15),
            "x has changed since 1970-01-01T00:00:00Z: out_of_range is 0.1500 against retrain 0.05 over \
             500 records since then, evidence 20.0 of the 11.0 that the budget asks; rest"
        );
        assert!(told(0.03).contains("out_of_range is 0.0300 against warning 0.01 over"));
        assert!(!told(0.001).contains("out_of_range"));
    }
}
