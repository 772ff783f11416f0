//! Records that end the process each time they are read: after three ends they are found, passed over and
//! counted, and everything else goes on, also while they are looked for.

use std::cell::Cell;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use driftd::kafka::Config;
use driftd::kafka::probe::{End, How, Probe, Said, Stretch};
use driftd::offsets::TopicPartition;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::harness::{DRIFTD, Daemon, until};
use super::receiver::Receiver;
use super::world::{Dice, MINUTE, RATE, START, TOPIC, World, trigger};
use crate::servers::Kafka;

/// What the daemon may take, in KiB, as a container's limit would have it: a batch of `SIZE` does not fit.
const LIMIT_KIB: u64 = 300 << 10;
const RECORDS: usize = 40;
const SIZE: usize = RECORDS * (8 << 20);

/// One batch of much that compresses to little.
pub(super) fn bomb(brokers: &str, topic: &str, partition: i32, compression: &str, records: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("compression.type", compression)
        .set("message.max.bytes", "900000000")
        .set("batch.size", "900000000")
        .set("queue.buffering.max.kbytes", "2000000")
        .set("linger.ms", "5000")
        .create()
        .unwrap();
    let zeros = vec![b' '; SIZE / RECORDS];
    for _ in 0..records {
        let record = BaseRecord::<(), _>::to(topic).partition(partition).payload(&zeros);
        producer.send(record.timestamp(START)).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

pub(super) fn limited(config: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -d {LIMIT_KIB} && exec \"$0\" run -c \"$1\"");
    command.args(["-c", &script, DRIFTD]).arg(config).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The reader that a daemon lets read at present.
fn reader_of(daemon: &Daemon) -> Option<u32> {
    let parent = format!("\nPPid:\t{}\n", daemon.pid());
    let all = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        of("status").contains(&parent) && of("cmdline").contains("topic-reader")
    })
}

fn signal(pid: u32, name: &str) -> bool {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null());
    kill.status().unwrap().success()
}

/// Lets readers stand still until something comes about while one of them does: a search that takes long.
fn while_a_reader_stands(daemon: &Daemon, mut begin: impl FnMut(), is_so: impl Fn() -> bool) {
    until("something to come about during a search", || {
        let reader = reader_of(daemon)?;
        if !signal(reader, "STOP") {
            return None;
        }
        begin();
        let came = (0..40).any(|_| {
            thread::sleep(Duration::from_millis(50));
            is_so()
        });
        let status = fs::read_to_string(format!("/proc/{reader}/status")).unwrap_or_default();
        let stood = status.contains("\nState:\tT");
        signal(reader, "CONT");
        if !(came && stood) {
            // The next one has its turn once this one's is over.
            until("the reader's end", || (reader_of(daemon) != Some(reader)).then_some(()));
        }
        (came && stood).then_some(())
    });
}

/// Runs a daemon with the limit until it ends, which it does by a signal; what it said.
fn dies(world: &World, config: &Path) -> String {
    let log = world.path("dying.log");
    let mut child = limited(config).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let status = until("the daemon's end", || child.try_wait().unwrap());
    let said = fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), None, "{status}\n{said}");
    said
}

#[test]
fn a_batch_that_ends_the_process_is_passed_over_at_the_fourth_start_and_counted() {
    let (mut world, webhook) = (World::new(), Receiver::start());
    let models = world.model("fraud", &trigger(&webhook.url("/retrain"), ""));
    let start = |world: &World, life: usize| {
        // A group of its own each time: the broker would keep a killed member's place for six seconds.
        world.write_config("state", &format!("life-{life}"), &models)
    };
    let daemon = Daemon::start_by(&mut limited(&start(&world, 0)));
    world.minutes(20, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    // Between two good minutes, and the second not yet read by anybody.
    world.minutes(1, false);
    let from = 21 * RATE;
    bomb(&world.broker.bootstrap_servers(), TOPIC, 1, "gzip", RECORDS);
    world.minutes(10, true);
    let said = daemon.dies();
    assert!(!said.contains("deadly"), "{said}");
    for life in 1..3 {
        let said = dies(&world, &start(&world, life));
        assert!(said.contains(&format!("deaths={life}")) && !said.contains("offset="), "{said}");
    }

    let daemon = Daemon::start_by(&mut limited(&start(&world, 3)));
    // The other partition is read on meanwhile: what comes to it is counted.
    let sent = Cell::new(0);
    let unusable = || {
        sent.set(sent.get() + 1);
        world.send_bytes(0, START, Some(b"{"));
        world.flush();
    };
    let rejected = format!(
        "driftd_records_rejected_total{{topic=\"{TOPIC}\",model=\"fraud\",reason=\"malformed\"}}"
    );
    let counted = || daemon.metric(&rejected) == Some(f64::from(sent.get()));
    while_a_reader_stands(&daemon, unusable, counted);
    let model = daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    let line = daemon.says(&["these records end every process that reads them"]);
    let to = from + i64::try_from(RECORDS).unwrap();
    let place = format!("partition={TOPIC}-1 from={from} to={to}");
    assert!(line.contains(&place), "{place} in {line}");
    let lost = |cause| format!("driftd_records_lost_total{{topic=\"{TOPIC}\",cause=\"{cause}\"}}");
    assert_eq!(daemon.metric(&lost("deadly_batch")), Some(RECORDS as f64));
    assert_eq!(daemon.metric(&lost("undecodable_batch")), None);
    assert_eq!(daemon.metric("driftd_unclean_ends"), Some(3.0));
    // The drift that is there does not trigger from a window with the hole.
    assert_eq!(model["window"]["complete"], false, "{model:#}");
    assert_eq!(model["quality"], "incomplete", "{model:#}");
    assert!(daemon.incidents().is_empty() && webhook.seen("/retrain").is_empty());

    // Killed again it does not come back, and nothing else was lost.
    daemon.kill();
    let daemon = Daemon::start_by(&mut limited(&start(&world, 4)));
    world.minutes(25, true);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    daemon.until("fraud", "the acceptance", |m| m["incident"] == "accepted");
    assert_eq!(daemon.metric("driftd_unclean_ends"), Some(1.0));
    assert_eq!(daemon.metric(&lost("deadly_batch")), None);
    let panes: serde_json::Value = serde_json::from_str(&daemon.panes("fraud")).unwrap();
    for pane in panes["panes"].as_array().unwrap() {
        assert_eq!(pane["records"], 2 * RATE, "{pane:#}");
    }
    // A clean stop leaves nothing to remember.
    assert!(world.path("state/reading").exists());
    assert!(daemon.terminate().0.success());
    assert!(!world.path("state/reading").exists());
}

/// Killed so soon after each start that mostly nothing is read further, with one partition that nothing
/// comes to: there is every reason to look for a cause, and none to find one.
#[test]
fn kills_from_outside_are_never_blamed_on_what_is_read() {
    let kills = std::env::var("DRIFTD_TEST_KILLS").map_or(24, |kills| kills.parse().unwrap());
    let seed = std::env::var("DRIFTD_TEST_SEED")
        .map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    println!("DRIFTD_TEST_SEED={seed}");
    let (mut world, mut dice) = (World::new(), Dice::new(seed));
    let models = world.model("fraud", "");
    let mut looked = 0;
    for life in 0..kills {
        let config = world.write_config("state", &format!("life-{life}"), &models);
        // Each thread is told of its own partitions.
        let consumers = format!("kafka:\n  consumers: {}", 1 + life % 2);
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replacen("kafka:", &consumers, 1)).unwrap();
        let daemon = Daemon::start(&config);
        if dice.next() % 4 == 0 {
            world.minute_of(0, false);
            world.minute += 1;
            world.flush();
        }
        thread::sleep(Duration::from_millis(dice.next() % 400));
        let log = daemon.log();
        looked += usize::from(log.contains("again and again without getting further"));
        assert!(!log.contains("passed over"), "{log}");
        daemon.kill();
    }
    println!("{kills} kills, {looked} times it was looked for a cause");
    let daemon = Daemon::start(&world.write_config("state", "last", &models));
    world.minutes(20, false);
    daemon.until_end("fraud", world.now_ms() - 2 * MINUTE);
    assert!(!daemon.log().contains("passed over"), "{}", daemon.log());
    let (_, families) = daemon.get_public("/metrics");
    assert!(!families.contains("driftd_records_lost_total{"), "{families}");
    let panes: serde_json::Value = serde_json::from_str(&daemon.panes("fraud")).unwrap();
    let counted = panes["panes"].as_array().unwrap();
    let records: i64 = counted.iter().map(|pane| pane["records"].as_i64().unwrap()).sum();
    let closed = world.minute - 2;
    assert_eq!(records, closed * RATE + 18 * RATE, "{} panes", counted.len());
}

/// How far a reader comes from an offset, and whether it is ended by what it reads.
fn probe(kafka: &Kafka, topic: &str, from: i64, how: How) -> (i64, bool) {
    let config = Config::new([kafka.brokers()]);
    let stretch = Stretch::new(&TopicPartition::new(topic, 0), from);
    let how = How { room: 128 << 20, most_bytes: u64::MAX, ..how };
    let mut probe = Probe::start(Path::new(DRIFTD), &config, &[stretch], how).unwrap();
    let mut next = from;
    while let Some(said) = probe.hear() {
        match said {
            Said::Records { next: to, .. } | Said::Came { next: to } => next = to,
            Said::Begun { .. } | Said::Over { .. } => {}
            Said::Undecodable | Said::Failed(_) => panic!("{said:?}"),
        }
    }
    (next, matches!(probe.end().unwrap(), End::Died(_)))
}

/// A real broker answers with many batches at once, the deadly one among them.
#[test]
fn one_batch_a_request_tells_on_apache_kafka_where_the_deadly_one_begins() {
    let Some(kafka) = Kafka::start() else { return };
    for (compression, records) in [("gzip", 32), ("lz4", 32), ("snappy", 32)] {
        let topic = format!("deadly-{compression}");
        kafka.create_topic(&topic, 1, &[("max.message.bytes", "40000000")]);
        let small: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create().unwrap();
        let send = |records| {
            for _ in 0..records {
                small.send(BaseRecord::<(), _>::to(&topic).partition(0).payload("x")).unwrap();
                small.flush(Duration::from_secs(60)).unwrap();
            }
        };
        send(30);
        bomb(kafka.brokers(), &topic, 0, compression, records);
        send(5);
        let (whole, one) = (How { whole: true, ..How::default() }, How::default());
        let one = How { one_by_one: true, ..one };
        let (next, died) = probe(&kafka, &topic, 0, whole);
        assert!(died && next <= 30, "{compression}: {next} {died}");
        let all = How { whole: true, ..one };
        assert_eq!(probe(&kafka, &topic, next, all), (30, true), "{compression}");
        assert_eq!(probe(&kafka, &topic, 30, one), (30, true), "{compression}");
        let to = 30 + i64::try_from(records).unwrap();
        assert_eq!(probe(&kafka, &topic, to - 1, one), (to - 1, true), "{compression}");
        assert_eq!(probe(&kafka, &topic, to, one), (to + 5, false), "{compression}");
        assert_eq!(probe(&kafka, &topic, to + 5, one), (to + 5, false), "{compression}");
    }
}
