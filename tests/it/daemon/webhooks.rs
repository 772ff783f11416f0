//! Receivers that fail in every way, and a daemon that is killed meanwhile: each incident arrives, under
//! the one id that it has.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use driftd::decide::ledger::incident_id;

use super::harness::{Daemon, until};
use super::receiver::Receiver;
use super::world::{Dice, MINUTE, World, trigger};

const MODELS: usize = 12;

#[test]
fn no_incident_of_many_is_lost_or_renamed_while_receivers_fail_and_the_daemon_is_killed() {
    let mut dice = Dice::new(11);
    let mut world = World::new();
    let webhook = Receiver::start();
    let path = |n: usize| format!("/retrain/{n}");
    let model = |n: usize| world.model(&format!("m{n}"), &trigger(&webhook.url(&path(n)), ""));
    let models: String = (0..MODELS).map(model).collect();
    world.minutes(20, false);
    for (life, status) in [500, 401, 302, 429, 503, 404].into_iter().enumerate() {
        webhook.answer(status);
        let daemon = Daemon::start(&world.write_config("state", &format!("life-{life}"), &models));
        world.minutes(if life == 0 { 12 } else { 1 }, true);
        if life == 0 {
            // From here on every start finds something to send.
            until("a trigger", || (!webhook.seen(&path(0)).is_empty()).then_some(()));
        }
        thread::sleep(Duration::from_millis(300 + dice.next() % 900));
        daemon.kill();
    }
    webhook.answer(202);
    let daemon = Daemon::start(&world.write_config("state", "last", &models));
    world.minutes(2, true);
    let mut ids = BTreeSet::new();
    for n in 0..MODELS {
        let name = format!("m{n}");
        let model = daemon.until(&name, "the acceptance", |m| {
            m["incident"] == "accepted" && m["baseline"]["digest"].is_string()
        });
        let id = incident_id(&name, model["baseline"]["digest"].as_str().unwrap(), 1);
        assert_eq!(model["incident_id"], id.as_str());
        let seen = webhook.seen(&path(n));
        assert!(seen.iter().all(|seen| seen.id() == id), "{name} has a second id");
        assert_eq!(seen.iter().filter(|seen| seen.status < 300).count(), 1, "{name}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), MODELS);
    assert_eq!(daemon.incidents().len(), MODELS);
    let tried: usize = (0..MODELS).map(|n| webhook.seen(&path(n)).len()).sum();
    assert!(tried > 2 * MODELS, "receivers failed often enough: {tried}");
    daemon.until_end("m0", world.now_ms() - 2 * MINUTE);
}
