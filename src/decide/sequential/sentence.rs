//! What the evidence says, for people.

use crate::compare::Statistic;
use crate::decide::policy::Policy;
use crate::decide::time::rfc3339;
use crate::decide::view::Onset;
use crate::decide::worst::line_of;

/// Since when a feature has changed, and by how much: PSI, and each share that is over a line since then.
/// Numbers are those that decide: what is taken off a score before it is held against its line is named.
pub fn sentence(feature: &str, onset: &Onset, policy: &Policy) -> String {
    let scores: Vec<String> = psi(onset, policy).into_iter().chain(rates(onset, policy)).collect();
    let scores = if scores.is_empty() { String::new() } else { scores.join(", ") + " " };
    format!(
        "{feature} has changed since {}: {scores}over {} records since then, evidence {}",
        rfc3339(onset.since_ms),
        onset.records,
        asked(onset.log_evidence, onset.log_needed)
    )
}

/// `20.0 of the 11.0 that the budget asks`.
pub fn asked(log_e: f64, needed: f64) -> String {
    format!("{log_e:.1} of the {needed:.1} that the budget asks")
}

/// `, less 0.1440 expected by noise,`: nothing where it would not show.
pub fn less(bias: f64) -> String {
    if bias < 5e-5 { String::new() } else { format!(", less {bias:.4} expected by noise,") }
}

/// `psi is 0.3000, less 0.1440 expected by noise, against warning 0.1, noise floor 0.0500`.
fn psi(onset: &Onset, policy: &Policy) -> Option<String> {
    let psi = onset.psi?;
    let compared = psi.value - onset.psi_bias;
    let line = line_of(&policy.thresholds, Statistic::Psi, compared);
    let against = line.map(|(level, line)| format!(" against {} {line}", level.as_str()));
    let floor = psi.noise_floor.map(|floor| format!(", noise floor {floor:.4}"));
    let (less, against) = (less(onset.psi_bias), against.unwrap_or_default());
    Some(format!("psi is {:.4}{less}{against}{}", psi.value, floor.unwrap_or_default()))
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
    use crate::decide::policy::default_thresholds;
    use crate::decide::policy::tests::policy;
    use crate::decide::view::VerdictScore;

    fn onset() -> Onset {
        Onset {
            since_ms: 0,
            records: 500,
            log_evidence: 20.0,
            log_needed: 11.0,
            psi: None,
            psi_bias: 0.0,
            window_psi_bias: 0.0,
            outside: None,
            missing: Some(0.0),
        }
    }

    fn told(onset: &Onset) -> String {
        sentence("x", onset, &Policy { thresholds: default_thresholds(), ..policy() })
    }

    #[test]
    fn a_share_over_its_line_is_named_with_the_highest_that_it_crosses() {
        let told =
            |outside| told(&Onset { outside: Some((Statistic::OutOfRange, outside)), ..onset() });
        assert_eq!(
            told(0.15),
            "x has changed since 1970-01-01T00:00:00Z: out_of_range is 0.1500 against retrain 0.05 over \
             500 records since then, evidence 20.0 of the 11.0 that the budget asks"
        );
        assert!(told(0.03).contains("out_of_range is 0.0300 against warning 0.01 over"));
        assert!(!told(0.001).contains("out_of_range"));
    }

    #[test]
    fn a_score_is_named_with_what_is_taken_off_it_and_the_line_that_the_rest_crosses() {
        let told = |value, psi_bias| {
            let psi =
                VerdictScore { value, noise_floor: Some(0.05), p_value: None, threshold: None };
            told(&Onset { psi: Some(psi), psi_bias, ..onset() })
        };
        // 0.3 is above 0.2, and the 0.156 that decide are not.
        let noisy = told(0.3, 0.144);
        let expected = ": psi is 0.3000, less 0.1440 expected by noise, against warning 0.1, noise floor \
                        0.0500 over 500";
        assert!(noisy.contains(expected), "{noisy}");
        let plain = told(0.3, 0.000_01);
        assert!(plain.contains(": psi is 0.3000 against retrain 0.2, noise floor"), "{plain}");
        assert!(told(0.03, 0.0).contains("psi is 0.0300 against warning 0.1"));
    }
}
