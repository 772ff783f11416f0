//! Leaders that move between two brokers while one of them is killed and comes back elsewhere.

use super::*;

const RECORDS: u64 = 8_000;
const PARTITIONS: &str = "4";

#[test]
fn counting_goes_on_while_leaders_move_and_back() {
    // Brokers of its own: the others' must not go away.
    let Some(world) = World::start() else { return };
    let topic = "moved";
    let second = world.kafka.join_as(2);
    // Partitions 0 and 2 are led by the second.
    world.kafka.create_topic_on(topic, &[&[2, 1], &[1, 2], &[2, 1], &[1, 2]], &[]);
    let led_by_second = |led: bool| {
        for _ in 0..1_200 {
            if (world.kafka.leader(topic, 0) == 2) == led {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("leaders did not move");
    };
    let mut written = 0;
    let mut produce = |seed: &str, after_minutes: i64, more: &[&str]| {
        let start_ms = (1_760_000_000_000 + after_minutes * MINUTE_MS).to_string();
        let when = ["--seed", seed, "--start-ms", &start_ms, "--span-minutes", "60"];
        let fixed = ["--prediction", "--partitions", PARTITIONS];
        written += world.produce(topic, RECORDS, &[&fixed[..], &when, more].concat());
        written
    };
    let consumed =
        |daemon: &Daemon| daemon.metric("driftd_records_consumed_total", "topic=\"moved\"");
    let read = |daemon: &mut Daemon, records: u64| {
        daemon.wait("the records", |daemon| (consumed(daemon) >= records as f64).then_some(()));
    };
    led_by_second(true);
    let first = produce("7", 0, &["--no-close"]);
    let config = world.config(topic, topic);
    let mut daemon = world.start_daemon(topic, &config);
    daemon.wait("some records", |daemon| (consumed(daemon) > 0.0).then_some(()));

    second.kill9();
    led_by_second(false);
    let away = produce("8", 60, &["--no-close"]);
    read(&mut daemon, away);

    // It leads again, at another address: its epochs are others by now, and its log is the same.
    second.restart_elsewhere();
    led_by_second(true);
    let back = produce("9", 120, &["--no-close"]);
    read(&mut daemon, back);
    assert_eq!(daemon.lines("started").len(), 1);
    assert_eq!(daemon.metric("driftd_records_lost_total", ""), 0.0, "{}", daemon.log());
    assert!(first < away && away < back && daemon.stop());

    // A start asks for the last record that was counted, of whichever leader.
    let mut daemon = world.start_daemon(topic, &config);
    let all = produce("10", 180, &[]);
    read(&mut daemon, all - back);
    let (summary, panes) = world.count(topic);
    assert_eq!(summary["records"], all);
    assert_counts(&world, &mut daemon, topic, &panes);
    assert_eq!(consumed(&daemon), (all - back) as f64);
    assert_eq!(daemon.metric("driftd_records_lost_total", ""), 0.0, "{}", daemon.log());
}
