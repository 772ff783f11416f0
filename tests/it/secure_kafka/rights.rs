//! State in topics with exactly the rights that docs/security.md names, and what is said where one of them is
//! missing.

use super::*;

/// Principals that lack one right each, and what the daemon of each says.
const LACKING: [(&str, &str); 6] = [
    ("no-input", "grant Read on that topic"),
    ("no-group", "grant Read on group `rights-no-group`"),
    ("no-evaluate", "grant Read on group `rights-no-evaluate.evaluate`"),
    ("no-write", "grant Write on topic `rights-no-write."),
    ("no-read", "grant Read on topic `rights-no-read."),
    ("no-create", "grant Create on topic `rights-no-create."),
];

/// The lines of the page that give rights, for a principal, group and prefix of our own.
fn of_the_page(principal: &str, name: &str) -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once("With `state.backend: kafka`").unwrap();
    let block = block.split("```").nth(1).unwrap().replace("\\\n", " ");
    let begin = "kafka-acls --bootstrap-server kafka:9092 ";
    let line = |line: &str| -> Vec<String> {
        let words = line.split_whitespace();
        let ours = words.map(|word| match word {
            "User:driftd" => principal.to_owned(),
            "fraud.inferences" => TOPIC.to_owned(),
            word => word.replace("driftd", name),
        });
        ours.collect()
    };
    block.lines().filter_map(|text| text.strip_prefix(begin)).map(line).collect()
}

impl World {
    fn give(&self, names: &[&str], operations: &[&str], of: &[&str]) {
        let principals = names.iter().map(|name| format!("User:CN={name}"));
        let principals = principals.flat_map(|name| ["--allow-principal".to_owned(), name]);
        let operations = operations.iter().flat_map(|name| ["--operation", name]);
        let mut options = vec!["--add".to_owned()];
        options.extend(principals);
        options.extend(operations.chain(of.iter().copied()).map(str::to_owned));
        self.kafka.acl(&options.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// A daemon's configuration: who comes by TLS is its certificate.
    fn sharing(&self, kafka: &Config, dir: &Path, name: &str) -> Value {
        json!({
            "kafka": {"brokers": kafka.brokers, "group": name, "options": kafka.options},
            "models": [{"name": "fraud", "topic": TOPIC, "start": "earliest",
                "drift_config": {"reference_dataset": dir.join("reference.parquet")}}],
            "state": {"backend": "kafka", "snapshot_interval": "1s",
                "topics": {"prefix": name, "partitions": 1}},
        })
    }

    /// Has somebody who may do everything make the topics.
    fn make_topics(&self, dir: &Path, name: &str) {
        let file = dir.join(format!("{name}.json"));
        let everybody = Config::new([self.kafka.brokers()]);
        fs::write(&file, self.sharing(&everybody, dir, name).to_string()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_driftd"))
            .args(["topics", "create", "-c"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn state_in_topics_takes_the_rights_of_the_page_and_no_others() {
    let Some(world) = World::get() else { return };
    let dir = tempfile::tempdir().unwrap();
    reference(&dir.path().join("reference.parquet"));
    world.make_topics(dir.path(), "rights");
    let lines = of_the_page("User:CN=rights", "rights");
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in &lines {
        world.kafka.acl(&line.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let certificate = world.ours.sign("rights");
    let config = world.sharing(&world.tls(Some(&certificate)), dir.path(), "rights");
    for _ in 0..2 {
        // A second start reads everything again that the first has written.
        let mut daemon = Daemon::start(&dir.path().join("run"), &config);
        daemon.wait("the model", |daemon| {
            let evaluated = daemon.metric("driftd_model_evaluated", "model=\"fraud\"");
            (evaluated > 0.0 && daemon.metric("driftd_state_snapshots_total", "") > 0.0)
                .then_some(())
        });
        daemon.wait("the partitions", |daemon| (daemon.taken().len() >= 3).then_some(()));
        let log = daemon.log();
        assert!(!log.contains("grant") && !log.contains("uthorization"), "{log}");
        assert!(daemon.stop());
    }
}

#[test]
fn a_right_that_is_missing_is_named() {
    let Some(world) = World::get() else { return };
    let dir = tempfile::tempdir().unwrap();
    reference(&dir.path().join("reference.parquet"));
    let but = |lacking: &[&str]| -> Vec<&str> {
        LACKING.iter().map(|(name, _)| *name).filter(|name| !lacking.contains(name)).collect()
    };
    let prefixed = ["--resource-pattern-type", "prefixed"];
    world.give(&but(&["no-input"]), &["Read"], &["--topic", TOPIC]);
    let groups = [&["--group", "rights-"][..], &prefixed].concat();
    world.give(&but(&["no-group", "no-evaluate"]), &["Read"], &groups);
    world.give(&["no-group"], &["Read"], &["--group", "rights-no-group.evaluate"]);
    world.give(&["no-evaluate"], &["Read"], &["--group", "rights-no-evaluate"]);
    let topics = [&["--topic", "rights-"][..], &prefixed].concat();
    world.give(&but(&["no-write"]), &["Write"], &topics);
    world.give(&but(&["no-read"]), &["Read"], &topics);
    let begun: Vec<(&str, &str, Daemon)> = LACKING
        .iter()
        .map(|&(principal, told)| {
            let name = format!("rights-{principal}");
            if principal != "no-create" {
                world.make_topics(dir.path(), &name);
            }
            let certificate = world.ours.sign(principal);
            let config = world.sharing(&world.tls(Some(&certificate)), dir.path(), &name);
            (principal, told, Daemon::spawn(&dir.path().join(principal), &config))
        })
        .collect();
    for (principal, told, daemon) in begun {
        // It may end, or go on and try again.
        let said = (0..1_200).any(|_| {
            thread::sleep(Duration::from_millis(50));
            daemon.log().contains(told)
        });
        assert!(said, "{principal}: not `{told}`:\n{}", daemon.log());
        let log = daemon.log();
        assert!(log.contains("grant DescribeConfigs") || principal == "no-create", "{log}");
    }
}
