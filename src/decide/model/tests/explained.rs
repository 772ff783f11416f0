//! What an explanation says: the number that decided, and what follows from it.

use super::*;

/// What is known since an onset, by evidence of which 11 is asked.
fn onset(log_evidence: f64, psi: f64) -> Onset {
    let psi = VerdictScore { value: psi, noise_floor: Some(0.02), p_value: None, threshold: None };
    Onset {
        since_ms: 0,
        records: 500,
        log_evidence,
        log_needed: 11.0,
        psi: Some(psi),
        psi_bias: 0.02,
        window_psi_bias: 0.001,
        outside: None,
        missing: None,
    }
}

/// What is said of features with these levels, windows and onsets by the rule that weighs evidence.
fn explained(policy: Policy, features: &[(Option<Level>, f64, Onset)]) -> String {
    let mut run = Run::settled(policy);
    run.state.levels = Vec::new();
    let psi: Vec<f64> = features.iter().map(|(_, psi, _)| *psi).collect();
    let mut verdicts = verdicts(&psi);
    for ((level, _, onset), verdict) in features.iter().zip(&mut verdicts) {
        let mut levels = FeatureLevels::default();
        for on in [Level::Notice, Level::Warning, Level::Retrain] {
            levels.raise(on, *level >= Some(on), false, false);
        }
        run.state.levels.push(levels);
        verdict.onset = Some(onset.clone());
    }
    let onsets: Vec<_> = verdicts.iter().map(|verdict| verdict.onset.clone()).collect();
    let log_e = features.iter().map(|(_, _, onset)| onset.log_evidence).fold(0.0, f64::max) - 0.7;
    let finding = Finding { log_e, log_allowed: 10.0, onsets };
    run.state.judge(&mut verdicts, Some(&finding), &run.situation()).explanation
}

#[test]
fn what_is_due_is_what_is_told_of() {
    let known = (Some(Level::Notice), 0.06, onset(60.0, 0.08));
    let due = (Some(Level::Retrain), 0.0301, onset(15.0, 0.3));
    assert_eq!(
        explained(policy(), &[known, due]),
        "x1 has changed since 1970-01-01T00:00:00Z: psi is 0.3000, less 0.0200 expected by noise, against \
         retrain 0.2, noise floor 0.0200 over 500 records since then, evidence 15.0 of the 11.0 that the \
         budget asks; over the window, x1 psi is 0.0301, less 0.0010 expected by noise, against warning 0.1, \
         noise floor 0.0500, over 1200 records; retraining is due"
    );
}

#[test]
fn evidence_that_is_used_up_asks_for_no_retraining_whatever_else_is_real() {
    let held = (Some(Level::Retrain), 0.3, onset(4.2, 0.3));
    let known = (Some(Level::Notice), 0.06, onset(60.0, 0.08));
    let told = explained(policy(), &[held, known]);
    assert!(told.starts_with("x0 psi is 0.3000, less 0.0010"), "{told}");
    assert!(told.contains("x0 has evidence 4.2 of the 11.0"), "{told}");
    assert!(told.contains("; no retraining is due") && !told.contains("crossed in"), "{told}");
}

#[test]
fn what_is_real_and_does_not_warn_says_why() {
    let told = |policy, features: &[_]| explained(policy, features);
    let quiet = (None, 0.01, onset(2.0, 0.01));
    let known = (Some(Level::Notice), 0.06, onset(60.0, 0.08));
    let warned = (Some(Level::Warning), 0.15, onset(40.0, 0.15));
    let known = told(policy(), &[known, quiet.clone()]);
    assert!(known.ends_with("real, but under the configured lines"), "{known}");
    let few = Onset { records: 120, ..onset(60.0, 0.3) };
    let few = told(policy(), &[(Some(Level::Notice), 0.06, few), quiet.clone()]);
    assert!(few.contains("fewer than the 200 records that min_records asks"), "{few}");
    let few = Onset { records: 120, ..onset(60.0, 0.3) };
    let few = told(policy(), &[(Some(Level::Warning), 0.15, few), quiet.clone()]);
    assert!(
        few.contains("over warning; retrain is crossed by fewer than the 200 records"),
        "{few}"
    );
    let two = Policy { min_features: 2, ..policy() };
    let one = told(two, &[warned, quiet.clone()]);
    assert!(one.ends_with("1 of the 2 features that must agree are over warning"), "{one}");
    let sudden = told(policy(), &[(None, 0.06, onset(60.0, 0.08)), quiet.clone()]);
    assert!(sudden.ends_with("so the next one decides"), "{sudden}");
    let past = told(policy(), &[(Some(Level::Notice), 0.06, onset(3.0, 0.08)), quiet.clone()]);
    assert!(
        past.ends_with("no longer real; the notice ends after 5 such panes in a row"),
        "{past}"
    );
    let together = told(policy(), &[(None, 0.06, onset(10.9, 0.08)), quiet]);
    assert!(
        together.contains("all features together are real, evidence 10.2 of the 10.0"),
        "{together}"
    );
}

#[test]
fn by_rule_window_the_feature_at_the_level_is_told_of_with_its_panes() {
    let mut run = Run::settled(policy());
    run.drifted();
    let told = run.pane(&[0.25, 0.9]).explanation;
    assert!(told.starts_with("x0 psi is 0.2500 against retrain 0.2, noise floor 0.0500"), "{told}");
    assert!(told.contains("a retrain line of x0 was crossed in 4 of the last 5 panes"), "{told}");
}

#[test]
fn a_level_that_is_held_says_what_ends_it() {
    let mut run = Run::settled(policy());
    run.drifted();
    let held = run.pane(&[0.17, 0.0]).explanation;
    assert!(held.contains("it stays at retrain until 5 panes in a row are clear"), "{held}");
    let mut run = Run::settled(policy());
    for _ in 0..4 {
        run.pane(&[0.15, 0.0]);
    }
    let nearly = run.pane(&[0.3, 0.0]).explanation;
    assert!(
        nearly.ends_with("retrain was crossed in 1 of the last 5 panes, which takes 3"),
        "{nearly}"
    );
}
