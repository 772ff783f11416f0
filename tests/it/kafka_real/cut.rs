//! A log that lost its end to a leader that lacked it: what was cut off in the broker's own files.

use std::io::SeekFrom;
use std::io::prelude::*;

use super::*;

const OLD: u64 = 6_000;
const NEW: u64 = 9_000;

/// Cuts a partition's log behind the batch that holds the middle of it, while its broker is away; the first
/// offset that is gone.
fn cut(file: &Path) -> i64 {
    let mut log = fs::File::options().read(true).write(true).open(file).unwrap();
    let mut batches = Vec::new();
    let (mut at, mut head) = (0, [0; 12]);
    // First offset, and how many bytes follow.
    while log.seek(SeekFrom::Start(at)).is_ok() && log.read_exact(&mut head).is_ok() {
        let (offset, length) = head.split_at(8);
        batches.push((i64::from_be_bytes(offset.try_into().unwrap()), at));
        at += 12 + u64::from(u32::from_be_bytes(length.try_into().unwrap()));
    }
    let (offset, at) = batches[batches.len() / 2];
    assert!(offset > 0, "{batches:?}");
    log.set_len(at).unwrap();
    offset
}

fn consumed(daemon: &Daemon) -> f64 {
    daemon.metric("driftd_records_consumed_total", "topic=\"cut\"")
}

fn truncated(daemon: &Daemon) -> f64 {
    daemon.metric("driftd_records_lost_total", "topic=\"cut\",cause=\"truncated\"")
}

fn read(daemon: &mut Daemon, records: u64) {
    daemon.wait("the records", |daemon| (consumed(daemon) >= records as f64).then_some(()));
    assert_eq!(consumed(daemon), records as f64);
}

#[test]
fn a_log_whose_end_was_cut_off_is_told_from_the_one_that_was_read() {
    // A broker of its own: the others' must not go away.
    let Some(world) = World::start() else { return };
    let topic = "cut";
    world.topic(topic, 1);
    let later = |n: i64| (1_760_000_000_000 + n * 240 * MINUTE_MS).to_string();
    let produce = |n: i64, records: u64| {
        let start_ms = later(n);
        let when =
            ["--clean", "--partitions", "1", "--span-minutes", "40", "--start-ms", &start_ms];
        world.produce(topic, records, &when)
    };
    let cut_while_away = || {
        world.kafka.kill9();
        let at = cut(&world.kafka.data().join("cut-0/00000000000000000000.log"));
        world.kafka.restart();
        at
    };
    // State in files, and in topics of the same broker.
    let configs = world.configs(topic);
    let start = || configs.each_ref().map(|(name, config)| world.start_daemon(name, config));
    let stop = |daemons: [Daemon; 2]| assert!(daemons.into_iter().all(Daemon::stop));
    let mut daemons = start();
    let mut end = produce(0, OLD);
    daemons.iter_mut().for_each(|daemon| read(daemon, end));

    // While it reads: where the two logs part is known, so every new record is counted, once.
    let parted = cut_while_away();
    assert!(parted < end.cast_signed());
    let wrote = produce(1, NEW);
    for daemon in &mut daemons {
        read(daemon, end + wrote);
        assert_eq!(truncated(daemon), 1.0);
        let line = &daemon.lines("records are gone from the log")[0];
        let told = (&line["from"], &line["to"]);
        assert_eq!(told, (&json!(end), &json!(parted)), "{}", daemon.log());
        assert_eq!(daemon.json("/api/v1/models/fraud")["window"]["complete"], false);
    }
    stop(daemons);
    end = parted.cast_unsigned() + wrote;

    // While nobody reads, and other records have taken the place of the last that were counted.
    let parted = cut_while_away();
    let wrote = produce(2, 2 * NEW);
    let high = parted.cast_unsigned() + wrote;
    assert!(high > end, "no offset tells it");
    let mut daemons = start();
    for daemon in &mut daemons {
        read(daemon, high - end);
        assert_eq!(truncated(daemon), 1.0, "{}", daemon.log());
    }
    stop(daemons);

    // While nobody reads, and nothing has taken their place: what comes is read from the log's end.
    let parted = cut_while_away();
    let mut daemons = start();
    for daemon in &mut daemons {
        daemon.wait("the partition", |daemon| (!daemon.taken().is_empty()).then_some(()));
        assert_eq!(daemon.taken()[0].start, parted);
    }
    let wrote = produce(3, 1_000);
    for daemon in &mut daemons {
        read(daemon, wrote);
        assert_eq!(truncated(daemon), 1.0, "{}", daemon.log());
        assert_eq!(daemon.json("/api/v1/models/fraud")["incident"], "none");
    }
}
