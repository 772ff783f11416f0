//! How incidents end that nobody closes: of a dry run, while nobody looked, of a model that has gone.

use super::*;

/// A day longer than incidents stay open.
const LATE: i64 = 15 * 24 * 3_600_000;

fn dry() -> Spec {
    spec_of(&CONFIG.replace("design_effect: 1", "design_effect: 1\n      dry_run: true"))
}

/// A process that has sent a trigger; the incident.
fn drifted(spec: Spec, dir: &Path) -> String {
    let mut fed = Fed::start_by(spec, dir, 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    fed.tick();
    fed.evaluate.log.ledger().open("fraud").unwrap().incident.id.clone()
}

#[tokio::test]
async fn a_dry_run_bars_nothing_once_it_is_over() {
    let dir = TempDir::new().unwrap();
    let dry_run = drifted(dry(), dir.path());
    // As long as it goes on its incident stays.
    let mut fed = Fed::start_by(dry(), dir.path(), 30, 0);
    assert_eq!(fed.tick().models[0].incident_id.as_ref(), Some(&dry_run));
    assert_eq!((fed.incident(), fed.told()), (HELD, Vec::new()));
    drop(fed);

    let mut fed = Fed::start(dir.path(), 30, 0);
    fed.tick();
    assert_eq!(fed.incident(), closed(CloseReason::Dismissed));
    fed.panes(5, true);
    fed.tick();
    assert_eq!(fed.incident(), SENT);
    let opened = fed.evaluate.log.ledger().open("fraud").unwrap();
    assert!(opened.incident.ordinal == 2 && !opened.silent);
    assert!(fed.verdicts(&dry_run).is_empty(), "nobody has heard of it");
}

#[tokio::test]
async fn in_a_dry_run_the_next_trigger_waits_as_it_would() {
    let dir = TempDir::new().unwrap();
    let id = drifted(dry(), dir.path());
    let mut fed = Fed::start_by(dry(), dir.path(), 30, 0);
    assert_eq!(fed.close(&id), Closing::Done);
    let ledger = fed.evaluate.log.ledger();
    assert_eq!(ledger.last_closed_event_ms("fraud", true), Some(START + 30 * PANE));
    assert_eq!(ledger.last_closed_event_ms("fraud", false), None);
}

#[tokio::test]
async fn an_incident_that_expired_while_nobody_looked_is_told_and_closed_where_the_model_stands() {
    let dir = TempDir::new().unwrap();
    let id = drifted(spec(), dir.path());
    let mut fed = Fed::boot(spec(), dir.path(), 30);
    fed.now_ms = LATE;
    fed.tick();
    assert_eq!(fed.incident(), SENT);
    fed.adopt("first", i64::MIN, 0);
    fed.tick();
    assert_eq!(fed.incident(), closed(CloseReason::Expired));
    assert_eq!(fed.verdicts(&id), ["drifted", "expired"]);
    let ledger = fed.evaluate.log.ledger();
    assert_eq!(ledger.last_closed_event_ms("fraud", false), Some(START + 30 * PANE));
    // The next one waits for a window, as after any.
    fed.panes(5, true);
    assert_eq!(fed.evaluate.log.ledger().incidents().len(), 1);
}

#[tokio::test]
async fn an_incident_that_ends_before_there_is_a_baseline_is_told_when_there_is() {
    for other_baseline in [false, true] {
        let dir = TempDir::new().unwrap();
        let id = drifted(spec(), dir.path());
        let mut fed = Fed::boot(spec(), dir.path(), 30);
        let (digest, ending) = if other_baseline {
            fed.before = 30;
            ("second", "replaced by a new baseline")
        } else {
            assert_eq!(fed.close(&id), Closing::Done);
            fed.tick();
            ("first", "dismissed")
        };
        assert_eq!(fed.verdicts(&id), ["drifted"]);
        let from_ms = if other_baseline { START + 30 * PANE } else { i64::MIN };
        fed.adopt(digest, from_ms, 0);
        fed.tick();
        fed.tick();
        assert_eq!(fed.verdicts(&id), ["drifted", ending]);
        let entry = fed.evaluate.log.ledger().entry(&id).unwrap();
        assert!(entry.closed_event_ms.unwrap() >= entry.opened_event_ms);
    }
}

#[tokio::test]
async fn what_was_begun_of_a_model_that_has_gone_is_ended_where_it_was_told() {
    let dir = TempDir::new().unwrap();
    let id = drifted(spec(), dir.path());
    let lines = "design_effect: 1\n      thresholds: {psi_retrain: 40}";
    let warns = spec_of(&CONFIG.replace("design_effect: 1", lines));
    // Of two channels the model has told one.
    let people = ["ops", "others"].map(Reader::of_slack).to_vec();
    let churn = spec_of(&CONFIG.replace("name: fraud", "name: churn"));
    let churn = Spec { people, ..churn };
    let mut fed = Fed::start_by(churn.clone(), dir.path(), 0, 0);
    fed.now_ms = 10_000;
    fed.tick();
    fed.tick();
    assert_eq!(fed.incident(), closed(CloseReason::Dismissed));
    assert_eq!(fed.verdicts(&id), ["drifted", "dismissed"]);
    let ledger = fed.evaluate.log.ledger();
    assert_eq!(ledger.begun().count(), 0, "nothing is recalled at the next start");
    let last = ledger.pending().into_iter().find(|o| o.delivery.kind == Told::Closed).unwrap();
    assert_eq!(
        (last.delivery.target_name().as_str(), last.delivery.model.as_str()),
        ("slack/ops", "fraud")
    );
    let summary = &last.delivery.announcement.data.summary;
    assert!(summary.contains("left the configuration"), "{summary}");
    assert!(fed.evaluate.owns("fraud"), "so it is sent");

    // The same for what is no incident, and for one that a person closes.
    let other = TempDir::new().unwrap();
    let mut fed = Fed::start_by(warns, other.path(), 0, 0);
    fed.panes(20, false);
    fed.panes(10, true);
    drop(fed);
    let mut fed = Fed::start_by(churn.clone(), other.path(), 0, 0);
    fed.now_ms = 10_000;
    fed.tick();
    assert_eq!(fed.verdicts("driftd/fraud/warning"), ["warning", "healthy"]);
    let third = TempDir::new().unwrap();
    let id = drifted(spec(), third.path());
    let mut fed = Fed::start_by(churn, third.path(), 0, 0);
    fed.now_ms = 10_000;
    assert_eq!(fed.close(&id), Closing::Done);
    fed.tick();
    assert_eq!(fed.verdicts(&id), ["drifted", "dismissed"]);
    let pending = fed.evaluate.log.ledger().pending();
    assert!(pending.iter().all(|o| o.delivery.channel.as_deref() != Some("others")));
}
