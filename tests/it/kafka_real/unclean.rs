//! A real unclean leader election: a follower that was away while records came takes the lead once the leader
//! that had them is gone for good.

use super::*;

const OLD: u64 = 6_000;
const GONE: u64 = 3_000;
const NEW: u64 = 9_000;

fn consumed(daemon: &Daemon) -> f64 {
    daemon.metric("driftd_records_consumed_total", "topic=\"unclean\"")
}

fn lost(daemon: &Daemon) -> [f64; 2] {
    ["cause=\"truncated\"", ""].map(|cause| daemon.metric("driftd_records_lost_total", cause))
}

fn read(daemon: &mut Daemon, records: u64) {
    daemon.wait("the records", |daemon| (consumed(daemon) >= records as f64).then_some(()));
    assert_eq!(consumed(daemon), records as f64, "{}", daemon.log());
}

/// Everything that driftd and its groups keep on brokers is on the first, which stays.
fn settle(world: &World, configs: &[(String, Value)]) {
    world.topic("before", 1);
    let mut daemon = world.start_daemon("before", &world.config("before", "before"));
    daemon.wait("the partition", |daemon| (!daemon.taken().is_empty()).then_some(()));
    assert!(daemon.stop());
    for (name, config) in configs.iter().filter(|(_, c)| c["state"]["backend"] == "kafka") {
        let file = world.path(&format!("{name}.yaml"));
        fs::write(&file, config.to_string()).unwrap();
        let mut create = Command::new(env!("CARGO_BIN_EXE_driftd"));
        let made = create.args(["topics", "create", "-c"]).arg(file).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
}

#[test]
fn what_an_unclean_leader_lacked_is_told_and_everything_that_it_has_is_counted_once() {
    // Brokers of its own: the others' must not go away.
    let Some(world) = World::start() else { return };
    let topic = "unclean";
    let receivers = [Receiver::start(), Receiver::start()];
    let mut configs = world.configs(topic);
    for ((_, config), receiver) in configs.iter_mut().zip(&receivers) {
        config["models"][0]["drift_config"]["retraining_trigger"] = receiver.trigger();
    }
    settle(&world, &configs);
    let (follower, leader) = (world.kafka.join_as(2), world.kafka.join_as(3));
    let unclean = [("unclean.leader.election.enable", "true"), ("retention.ms", "-1")];
    world.kafka.create_topic_on(topic, &[&[3, 2]], &unclean);
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        for _ in 0..1_200 {
            if is_so() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("never: {what}");
    };
    let leads = |broker: i32| world.kafka.leader(topic, 0) == broker;
    let produce = |minute: i64, (records, minutes): (u64, &str), more: &[&str]| {
        let start_ms = (1_760_000_000_000 + minute * MINUTE_MS).to_string();
        let fixed = ["--clean", "--partitions", "1", "--no-close", "--span-minutes", minutes];
        world.produce(topic, records, &[&fixed[..], &["--start-ms", &start_ms], more].concat())
    };
    until("the third leads", &|| leads(3));
    let start = || configs.each_ref().map(|(name, config)| world.start_daemon(name, config));
    let mut daemons = start();
    let kept = produce(0, (OLD, "120"), &[]);
    daemons.iter_mut().for_each(|daemon| read(daemon, kept));

    follower.stop();
    let gone = produce(120, (GONE, "30"), &["--seed", "8"]);
    daemons.iter_mut().for_each(|daemon| read(daemon, kept + gone));
    leader.kill9();
    until("nobody leads", &|| leads(-1));
    follower.restart();
    until("the one that lacks records leads", &|| leads(2));

    // It has drifted since, and the window has the hole: nothing is triggered.
    let drift = ["--drift", "velocity", "--seed", "9"];
    let new = produce(150, (NEW, "40"), &drift);
    for daemon in &mut daemons {
        read(daemon, kept + gone + new);
        assert_eq!(lost(daemon), [1.0, 1.0], "{}", daemon.log());
        let lines = daemon.lines("records are gone from the log");
        let told: Vec<_> =
            lines.iter().map(|line| [&line["from"], &line["to"], &line["cause"]]).collect();
        let parted = [&json!(kept + gone), &json!(kept), &json!("truncated")];
        assert_eq!(told, [parted], "{}", daemon.log());
        let end = driftd::decide::time::rfc3339(1_760_000_000_000 + 165 * MINUTE_MS);
        let model = daemon.wait("the last panes", |daemon| {
            let model = daemon.json("/api/v1/models/fraud");
            (model["window"]["end"].as_str() >= Some(&end)).then_some(model)
        });
        assert_eq!(model["window"]["complete"], false, "{model:#}");
        assert_eq!(model["incident"], "none", "{model:#}");
    }

    assert!(receivers.iter().all(|receiver| receiver.seen().is_empty()));

    // A start finds the log that it knows. Once the window is behind the hole, the drift is what it is.
    assert!(daemons.into_iter().all(Daemon::stop));
    let mut daemons = start();
    let last = produce(190, (2 * NEW, "120"), &drift);
    for (daemon, receiver) in daemons.iter_mut().zip(&receivers) {
        read(daemon, last);
        assert_eq!(lost(daemon), [0.0, 0.0], "{}", daemon.log());
        let id = wait_accepted(daemon);
        assert!(receiver.seen().iter().all(|webhook| webhook.verified_id() == id));
        assert_eq!(daemon.json("/api/v1/models/fraud")["window"]["complete"], true);
    }
}
