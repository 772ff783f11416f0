//! Topics that are deleted and made again under their name, and come to hold more than was read of the old
//! one: every record of the new one is counted once, with state in files and in topics.

use super::*;

/// Of the old topic, and of each that follows: more, so that no offset tells them apart.
const OLD: u64 = 3_000;
const NEW: u64 = 9_000;
/// Event time between the first records of one and of the next.
const LATER_MS: i64 = 240 * MINUTE_MS;

/// A topic that is made again and again, and two daemons that read it.
struct Anew {
    world: Arc<World>,
    topic: &'static str,
    /// Records of the old topic.
    old: u64,
    made: i64,
}

impl Anew {
    fn start(topic: &'static str) -> Option<Self> {
        let world = World::get()?;
        world.topic(topic, 3);
        let old = world.produce(topic, OLD, &["--clean", "--span-minutes", "120"]);
        Some(Self { world, topic, old, made: 0 })
    }

    fn daemons(&self) -> Vec<Daemon> {
        self.world
            .configs(self.topic)
            .iter()
            .map(|(name, config)| self.world.start_daemon(name, config))
            .collect()
    }

    /// The old topic goes with all that it holds; the new one has drifted records in so many partitions.
    fn make_again(&mut self, partitions: i32) -> u64 {
        let Self { world, topic, made, .. } = self;
        *made += 1;
        world.kafka.delete_topic(topic);
        world.kafka.until_gone(topic);
        world.topic(topic, partitions);
        let start_ms = (1_760_000_000_000 + *made * LATER_MS).to_string();
        let drift = ["--drift", "velocity", "--seed", "9"];
        let when = ["--clean", "--span-minutes", "40", "--start-ms", &start_ms];
        let partitions = ["--partitions", &partitions.to_string()];
        world.produce(topic, NEW, &[drift.as_slice(), &when, &partitions].concat())
    }

    fn consumed(&self, daemon: &Daemon) -> f64 {
        daemon.metric("driftd_records_consumed_total", &format!("topic=\"{}\"", self.topic))
    }

    fn wait_for(&self, daemon: &mut Daemon, records: u64) {
        daemon
            .wait("every record", |daemon| (self.consumed(daemon) >= records as f64).then_some(()));
    }

    /// Every pane of the topic as it is now has what an independent count says, and nothing was triggered.
    fn assert_counted_once(&self, daemon: &mut Daemon, consumed: u64, recreated: f64) {
        self.wait_for(daemon, consumed);
        let (_, expected) = self.world.count(self.topic);
        let served: Value = serde_json::from_str(&panes_like(daemon, &expected)).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let served: BTreeMap<i64, &Value> =
            served["panes"].as_array().unwrap().iter().map(|p| (start_of(p), p)).collect();
        let expected = expected["panes"].as_array().unwrap();
        assert!(expected.len() >= 8, "{}", expected.len());
        for pane in expected {
            let served = served.get(&start_of(pane)).copied();
            assert!(served == Some(pane), "{pane}\n{served:?}\n{}", daemon.log());
        }
        assert_eq!(self.consumed(daemon), consumed as f64);
        let cause = format!("topic=\"{}\",cause=\"recreated\"", self.topic);
        assert_eq!(daemon.metric("driftd_records_lost_total", &cause), recreated);
        assert_eq!(daemon.metric("driftd_records_lost_total", ""), recreated);
        let model = daemon.json("/api/v1/models/fraud");
        assert_eq!(model["window"]["complete"], false, "{model:#}");
        assert_eq!(model["incident"], "none", "{model:#}");
    }
}

fn start_of(pane: &Value) -> i64 {
    pane["start"].as_i64().unwrap()
}

#[test]
fn a_topic_made_anew_while_nobody_read_is_counted_from_its_start_although_it_is_longer() {
    let Some(mut anew) = Anew::start("longer") else { return };
    for mut daemon in anew.daemons() {
        anew.wait_for(&mut daemon, anew.old);
        assert!(daemon.stop());
    }
    let wrote = anew.make_again(3);
    for mut daemon in anew.daemons() {
        anew.assert_counted_once(&mut daemon, wrote, 3.0);
        let gone = daemon.lines("records are gone from the log");
        assert!(gone.iter().all(|line| line["cause"] == "recreated"), "{gone:?}");
        assert!(daemon.stop());
    }
    // What the state holds now is of the new topic.
    for (name, config) in anew.world.configs(anew.topic) {
        let mut daemon = anew.world.start_daemon(&name, &config);
        daemon.wait("the partitions", |daemon| (daemon.taken().len() == 3).then_some(()));
        assert!(daemon.taken().iter().all(|taken| taken.start > 0), "{:?}", daemon.taken());
        assert_eq!(daemon.metric("driftd_records_lost_total", ""), 0.0);
    }
}

#[test]
fn a_topic_made_anew_while_it_was_read_is_counted_from_its_start() {
    let Some(mut anew) = Anew::start("swapped") else { return };
    let mut daemons = anew.daemons();
    for daemon in &mut daemons {
        anew.wait_for(daemon, anew.old);
        daemon.signal("STOP");
    }
    let old = anew.old;
    // They have seen nothing of it, and go on at offsets that the new topic has.
    let first = anew.make_again(3);
    daemons.iter().for_each(|daemon| daemon.signal("CONT"));
    daemons.iter_mut().for_each(|d| anew.assert_counted_once(d, old + first, 3.0));
    // They may have seen that it was gone. The partition that it has no more is not waited for.
    let second = anew.make_again(2);
    daemons.iter_mut().for_each(|d| anew.assert_counted_once(d, old + first + second, 5.0));
}
