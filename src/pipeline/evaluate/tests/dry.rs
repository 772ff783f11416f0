//! A dry run sends nothing about its model, to people neither, and says what it would have sent.

use super::*;

fn dry() -> Spec {
    spec_of(&CONFIG.replace("design_effect: 1", "design_effect: 1\n      dry_run: true"))
}

fn queued(fed: &Fed) -> usize {
    fed.evaluate.deliverer.waiting().map(|(_, n)| n).sum()
}

#[tokio::test]
async fn in_a_dry_run_nobody_is_told_anything_and_readers_see_what_was_not_sent() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(dry(), dir.path(), 0, 0);
    fed.panes(20, false);
    assert!(!fed.tick().models[0].explanation.contains("dry run"));
    fed.panes(10, true);
    let view = fed.tick();
    let explanation = &view.models[0].explanation;
    assert_eq!((view.models[0].drift, fed.incident()), (DriftState::Drifted, HELD));
    let said = ["dry run: ", " messages not sent, last to slack/ops: fraud has drifted: "];
    assert!(said.iter().all(|part| explanation.contains(part)), "{explanation}");
    // A feed that breaks is told to people of another kind, and a silent one.
    fed.rejects = RECORDS;
    fed.panes(5, true);
    let later = fed.tick_at(Instant::now() + Duration::from_secs(3600));
    assert_eq!(later.models[0].quality, Quality::Stale);
    assert!(later.models[0].explanation.contains("no record has come"));
    assert_eq!((fed.told(), queued(&fed)), (Vec::new(), 0));
    // What lasts is said once.
    let same = fed.tick_at(Instant::now() + Duration::from_secs(3601));
    assert_eq!(later.models[0].explanation, same.models[0].explanation);
}

#[tokio::test]
async fn a_warning_of_a_dry_run_is_told_by_the_process_that_sends() {
    let dir = TempDir::new().unwrap();
    let config =
        CONFIG.replace("retraining_trigger: {webhook: \"https://retrain.example/now\"}", "");
    let dry = config.replace("design_effect: 1", "rule: window\n      dry_run: true");
    let wet = config.replace("design_effect: 1", "rule: window");
    let spec = |config: &str| Spec { trigger: None, ..spec_of(config) };
    let mut fed = Fed::start_by(spec(&dry), dir.path(), 0, 0);
    fed.panes(20, false);
    // Over the line of `warning`, not over that of `retrain`.
    fed.panes_of(15, |_| (13, 27));
    let view = fed.tick();
    assert!(view.models[0].explanation.contains("1 message not sent"), "{:?}", view.models[0]);
    assert_eq!(fed.told(), Vec::new());
    drop(fed);
    let mut fed = Fed::start_by(spec(&wet), dir.path(), 35, 0);
    fed.tick();
    assert_eq!(fed.verdicts("driftd/fraud/warning"), ["warning"]);
}

#[tokio::test]
async fn what_waits_from_before_a_dry_run_waits_until_it_is_over() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    assert!(fed.incident() == SENT && queued(&fed) > 0);
    drop(fed);
    let mut fed = Fed::start_by(dry(), dir.path(), 30, 0);
    fed.tick();
    fed.evaluate.send_pending();
    assert_eq!((fed.incident(), queued(&fed)), (SENT, 0));
    drop(fed);
    let fed = Fed::start(dir.path(), 30, 0);
    assert!(fed.incident() == SENT && queued(&fed) > 0);
}
