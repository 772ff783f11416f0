//! A stop in the middle of something: a request that is on its way, a start that waits.

use std::fs;
use std::net::TcpListener;

use super::harness::{Daemon, until};
use super::receiver::Receiver;
use super::world::{MINUTE, World, trigger};

#[test]
fn the_answer_to_a_webhook_that_comes_while_it_stops_is_kept() {
    let mut world = World::new();
    let webhook = Receiver::start();
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let daemon = Daemon::start(&world.write_config("state", "one", &models));
    webhook.hold(true);
    world.minutes(20, false);
    world.minutes(12, true);
    until("the request", || (!webhook.seen("/retrain").is_empty()).then_some(()));
    daemon.signal("TERM");
    // Nothing is left to evaluate, and the request is still on its way.
    daemon.says(&["ingest stopped"]);
    webhook.hold(false);
    let (status, log) = daemon.ends();
    assert!(status.success(), "{log}");

    let daemon = Daemon::start(&world.write_config("state", "two", &models));
    daemon.until("fraud", "the acceptance", |model| model["incident"] == "accepted");
    world.minutes(1, true);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert_eq!(webhook.seen("/retrain").len(), 1, "{log}");
}

/// Takes connections and says nothing.
fn silent() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Told to stop once somebody has come to `listener`.
fn stopped_while_it_starts(daemon: Daemon, listener: &TcpListener) {
    let came = until("somebody who asks", || listener.accept().ok());
    let (status, log) = daemon.terminate();
    assert!(status.success() && !log.contains("started public="), "{log}");
    drop(came);
}

#[test]
fn a_start_that_waits_for_its_baseline_or_its_brokers_can_be_stopped() {
    let world = World::new();
    let store = silent();
    let reference = format!("http://{}/reference.parquet", store.local_addr().unwrap());
    let model = world.model("fraud", "");
    let model = model.replace(&world.reference().display().to_string(), &reference);
    let config = world.write_config("state", "one", &model);
    let text = fs::read_to_string(&config).unwrap() + "baselines: {http: {allow_http: true}}\n";
    fs::write(&config, text).unwrap();
    stopped_while_it_starts(Daemon::begin(&config), &store);

    let broker = silent();
    let config = world.write_config("state", "two", &world.model("fraud", ""));
    let text = fs::read_to_string(&config).unwrap();
    let address = broker.local_addr().unwrap().to_string();
    let text = text.replace(&world.broker.bootstrap_servers(), &address);
    fs::write(&config, text.replace("state: {dir:", "state: {backend: kafka, dir:")).unwrap();
    stopped_while_it_starts(Daemon::begin(&config), &broker);
}
