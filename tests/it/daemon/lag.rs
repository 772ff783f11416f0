//! A daemon that reads more slowly than it should is no danger: it says so, and acts when it is in the present.

use std::time::Duration;

use serde_json::json;

use super::harness::{Daemon, until};
use super::receiver::Receiver;
use super::world::{MINUTE, World, trigger};

/// A broker takes so long for an answer, which holds one batch.
const SLOW: Duration = Duration::from_millis(500);
const FAULT: &str = "driftd_model_fault{model=\"fraud\",kind=\"lag\"}";

#[test]
fn a_lag_is_shown_holds_the_trigger_back_and_changes_nothing_that_is_decided() {
    let mut world = World::new();
    let webhook = Receiver::start();
    let more = trigger(&webhook.url("/retrain"), "");
    let models = world.model("fraud", &format!("      max_lag: 2m\n{more}"));
    // A batch a minute.
    (0..60).for_each(|minute| world.minutes(1, minute >= 15));
    let end_ms = world.now_ms() - 2 * MINUTE;
    world.broker.delay(SLOW).unwrap();
    let slow = Daemon::start(&world.write_config("slow", "one", &models));
    let model = slow.until("fraud", "a lag", |model| model["faults"][0]["kind"] == "lag");
    assert_eq!(
        (&model["quality"], &model["faults"][0]["audience"]),
        (&json!("fault"), &json!("sre"))
    );
    assert_eq!(slow.metric(FAULT), Some(1.0));
    let held = |model: &serde_json::Value| {
        model["suppressed_by"].as_array().unwrap().contains(&json!("lag"))
    };
    slow.until("fraud", "a trigger that waits", held);
    assert_eq!(webhook.seen("/retrain").len(), 0);

    world.broker.delay(Duration::ZERO).unwrap();
    let sent = webhook.accepted("/retrain");
    let present = slow.until_end("fraud", end_ms);
    until("the end of the lag", || (slow.metric(FAULT) == Some(0.0)).then_some(()));
    assert_eq!(present["drift"], "drifted");

    let prompt = Daemon::start(&world.write_config("prompt", "two", &models));
    let same = prompt.until_end("fraud", end_ms);
    assert_eq!(slow.panes("fraud"), prompt.panes("fraud"));
    assert_eq!(present["window"], same["window"]);
    let (late, soon) = (slow.incidents(), prompt.incidents());
    assert_eq!((late.len(), soon.len()), (1, 1));
    assert_eq!((&late[0]["id"], &late[0]["id"]), (&soon[0]["id"], &json!(sent.id())));
    assert_eq!(late[0]["opened"], soon[0]["opened"]);
}
