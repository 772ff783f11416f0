//! Checks of a running model: shown, told once, and told to be over, crashes included.

use super::*;
use crate::decide::check::CheckState;
use crate::deliver::Notifiers;
use crate::metrics;

/// Two checks: cells 0 to 10 hold values by their upper edge, so that drifted panes break the first.
fn checked(checks: &str) -> Spec {
    let config =
        CONFIG.replace("    drift_config:", &format!("    checks:\n{checks}    drift_config:"));
    let notifiers = r#"{"opsgenie": {"key": "k", "audience": "ml"}, "pagerduty": {"key": "k", "audience": "sre"}}"#;
    let notifiers: Notifiers = serde_json::from_str(notifiers).unwrap();
    Spec { people: notifiers.readers(None), ..spec_of(&config) }
}

const CHECKS: &str = "      - {feature: amount, between: [0, 5], mostly: 0.4}\n      \
                      - {records: [1000, 1500], severity: info}\n      \
                      - {feature: amount, missing: [0, 0]}\n";

/// What the people of the model were told, in order: verdict and summary.
fn told(fed: &Fed) -> Vec<(String, String)> {
    let pending = fed.evaluate.log.ledger().pending();
    let of = pending.iter().filter(|o| o.delivery.id.contains(".checks"));
    of.map(|o| {
        assert_eq!(o.delivery.target, "opsgenie");
        assert_eq!(o.delivery.story().unwrap().0, "driftd/fraud/checks");
        let data = &o.delivery.announcement.data;
        (data.verdict.clone(), data.summary.clone())
    })
    .collect()
}

fn states(view: &View) -> Vec<CheckState> {
    view.models[0].checks.iter().map(|check| check.state).collect()
}

fn passed(view: &View) -> Vec<String> {
    let text = Metrics::new().render(view, &metrics::Config::default(), 0);
    let series = text.lines().filter(|line| line.starts_with("driftd_check_passed{"));
    series.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_violated_check_is_told_once_and_its_end_too_and_bars_nothing() {
    use CheckState::{Passed, Unknown, Violated};
    let dir = TempDir::new().unwrap();
    let spec = checked(CHECKS);
    let mut fed = Fed::start_by(spec.clone(), dir.path(), 0, 0);
    fed.panes(9, false);
    let view = fed.tick();
    assert_eq!(states(&view), [Unknown; 3]);
    assert_eq!(passed(&view), Vec::<String>::new());
    fed.panes(3, false);
    let view = fed.tick();
    // 2,000 records in the window are more than 1,500; nobody is told of what is only shown.
    assert_eq!(states(&view), [Passed, Violated, Passed]);
    assert_eq!(
        view.models[0].checks[1].sentence,
        "2000 records in the window, 1000 to 1500 expected"
    );
    assert_eq!(
        passed(&view),
        [
            r#"driftd_check_passed{model="fraud",check="amount between",severity="warning"} 1"#,
            r#"driftd_check_passed{model="fraud",check="amount missing",severity="warning"} 1"#,
            r#"driftd_check_passed{model="fraud",check="records",severity="info"} 0"#,
        ]
    );
    assert_eq!(told(&fed), []);
    // 95 % of the values of a drifted pane are over 5: the third one leaves 63.5 % over it.
    fed.panes(4, true);
    fed.tick();
    assert_eq!(told(&fed), []);
    fed.panes(1, true);
    drop(fed);

    let mut fed = Fed::start_by(spec.clone(), dir.path(), 17, 0);
    let view = fed.tick();
    assert_eq!(states(&view), [Violated, Violated, Passed]);
    let check = &view.models[0].checks[0];
    assert_eq!(check.since.as_deref(), Some("2026-01-01T00:14:00Z"));
    assert!(
        check.exact && check.sentence.starts_with("amount: 72.5 % of 2000 values outside 0 to 5")
    );
    let begun = told(&fed);
    assert_eq!(begun.len(), 1);
    let summary = "fraud: not as expected: amount: 72.5 % of 2000 values outside 0 to 5, at most 60 % \
                   expected (since 2026-01-01T00:14:00Z)";
    assert_eq!(begun[0], ("check".to_owned(), summary.to_owned()));
    fed.tick();
    drop(fed);

    // A moved mean may be the drift itself: the incident opens as ever.
    let mut fed = Fed::start_by(spec, dir.path(), 17, 0);
    fed.panes(9, true);
    assert_eq!(fed.tick().models[0].incident, Some(IncidentState::Triggered));
    assert_eq!(told(&fed).len(), 1);
    fed.panes(9, false);
    fed.tick();
    assert_eq!(told(&fed).len(), 1);
    fed.panes(6, false);
    let view = fed.tick();
    assert_eq!(states(&view), [Passed, Violated, Passed]);
    let ended = ("ok".to_owned(), "fraud: all checks pass again".to_owned());
    assert_eq!(told(&fed)[1..], [ended]);
    fed.tick();
    assert_eq!(told(&fed).len(), 2);
}

#[tokio::test]
async fn a_check_that_was_told_and_is_written_otherwise_is_over_once_the_others_pass() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(checked(CHECKS), dir.path(), 0, 0);
    fed.panes(12, false);
    fed.panes(8, true);
    fed.tick();
    assert_eq!(told(&fed).len(), 1);
    drop(fed);
    let wider = checked(&CHECKS.replace("mostly: 0.4", "mostly: 0.01"));
    let mut fed = Fed::start_by(wider, dir.path(), 20, 0);
    assert_eq!(states(&fed.tick())[0], CheckState::Unknown);
    fed.panes(1, true);
    assert_eq!(states(&fed.tick())[0], CheckState::Passed);
    let told = told(&fed);
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].0, "ok");
}

#[tokio::test]
async fn while_catching_up_a_violated_check_is_no_news() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start_by(checked(CHECKS), dir.path(), 0, 40);
    fed.panes(12, false);
    fed.panes(10, true);
    assert_eq!(states(&fed.tick())[0], CheckState::Violated);
    assert_eq!(told(&fed), []);
    fed.panes(18, false);
    assert_eq!(states(&fed.tick())[0], CheckState::Passed);
    assert_eq!(told(&fed), []);
}
