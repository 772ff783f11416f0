//! What the form of a configuration cannot say: settings that contradict each other or the world.

use std::collections::HashMap;

use crate::client::Client;
use crate::client::with_causes;
use crate::config::Config;
use crate::config::document::Node;
use crate::config::document::join;
use crate::config::fault::Fault;
use crate::config::fault::Mark;
use crate::deliver;
use crate::kafka;

mod checks;
mod model;
mod policy;
mod shared;

/// Looks at a configuration whose form is right.
pub(super) struct Checker<'a> {
    /// The file, with shorthands in their place.
    root: &'a Node,
    /// Paths as written whose values are faulty already.
    broken: &'a [String],
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(root: &'a Node, broken: &'a [String]) -> Self {
        Self { root, broken, faults: Vec::new(), warnings: Vec::new() }
    }

    /// The node at `path` (`models.0.pane`), and its place or the nearest one above it.
    pub(super) fn find(&self, path: &str) -> (Option<&'a Node>, Mark, String) {
        let (mut node, mut rest) = (self.root, path);
        while !rest.is_empty() {
            // Keys such as `sasl.password` have dots of their own.
            if let Some(whole) = node.get(rest) {
                return (Some(whole), whole.mark, whole.path.clone());
            }
            let (part, behind) = rest.split_once('.').unwrap_or((rest, ""));
            let item = part.parse().ok().and_then(|index: usize| node.items().get(index));
            match item.or(node.get(part)) {
                Some(next) => (node, rest) = (next, behind),
                None => return (None, node.mark, node.path.clone()),
            }
        }
        (Some(node), node.mark, node.path.clone())
    }

    /// Reports at the first of `paths`, unless one of them is faulty already.
    fn fault(&mut self, paths: &[&str], message: impl Into<String>) {
        if let Some(fault) = self.place(paths, message) {
            self.faults.push(fault);
        }
    }

    fn warn(&mut self, path: &str, message: impl Into<String>) {
        self.warn_at(&[path], message);
    }

    fn warn_at(&mut self, paths: &[&str], message: impl Into<String>) {
        if let Some(warning) = self.place(paths, message) {
            self.warnings.push(warning);
        }
    }

    /// Whether something that stands at `path`, or within it, is faulty already.
    fn is_broken_within(&self, path: &str) -> bool {
        let (_, _, written) = self.find(path);
        self.broken.iter().any(|broken| {
            let rest = broken.strip_prefix(&written);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    fn place(&self, paths: &[&str], message: impl Into<String>) -> Option<Fault> {
        let places: Vec<_> = paths.iter().map(|path| self.find(path)).collect();
        let is_broken = |(_, _, path): &(Option<&Node>, Mark, String), asked: &str| {
            let missing = asked.rsplit('.').next().map(|key| join(path, key));
            self.broken
                .iter()
                .any(|broken| broken == path || broken == asked || Some(broken) == missing.as_ref())
                || self.broken.iter().any(|broken| asked.starts_with(&format!("{broken}.")))
        };
        if places.iter().zip(paths).any(|(place, asked)| is_broken(place, asked)) {
            return None;
        }
        // What is not written has a default, which is never wrong by itself.
        let written = places.iter().find(|(node, _, _)| node.is_some());
        let (_, mark, path) = written.or(places.first())?;
        Some(Fault::new(*mark, path, message))
    }

    pub(super) fn config(&mut self, config: &Config) {
        // With no `models` at all the shorthand's fault is told already.
        if config.models.is_empty() && !self.broken.iter().any(|path| path == "models") {
            self.fault(&["models"], "is empty; there is nothing to watch");
        }
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (i, model) in config.models.iter().enumerate() {
            if let Some(first) = names.insert(&model.name, i) {
                let message = format!(
                    "is also the name of models[{first}]; give each model a `name` of its own (the \
                     topic's name is taken if there is none)"
                );
                self.fault(&[&format!("models.{i}.name")], message);
            }
            self.model(i, model);
        }
        self.kafka(config);
        self.dead_letter(config);
        self.slack(config);
        self.listeners(config);
        self.shared(config);
        if config.state.snapshot_interval.0.is_zero() {
            self.fault(&["state.snapshot_interval"], "must be longer than nothing");
        }
    }

    fn listeners(&mut self, config: &Config) {
        // Port 0 is a free port, and another one each time.
        let same = config.http.public == config.http.admin;
        if same && config.http.public.port() != 0 {
            let message = "is the address of `http.public` too; the two listeners need their own";
            self.fault(&["http.admin", "http.public"], message);
        }
        if let Err(error) = config.http.check() {
            let message = error.to_string();
            let message = message.strip_prefix("http.admin: ").unwrap_or(&message);
            self.fault(&["http.admin"], message);
        } else if let Some(warning) = config.http.warning() {
            self.warn("http.admin", warning);
        }
    }

    fn dead_letter(&mut self, config: &Config) {
        let Some(dead_letter) = &config.dead_letter else { return };
        let (topic, at) = (&dead_letter.topic, "dead_letter.topic");
        if !kafka::is_topic(topic) {
            let message = format!(
                "`{topic}` cannot be a topic; Kafka takes 1 to 249 letters, digits and . _ -"
            );
            self.fault(&[at], message);
        }
        if let Some(model) = config.models.iter().find(|model| model.topic == *topic) {
            let message = format!(
                "`{topic}` is what model `{}` reads: each bad record would be read, rejected and copied \
                 again for ever; give dead letters a topic of their own",
                model.name
            );
            self.fault(&[at], message);
        }
    }

    fn slack(&mut self, config: &Config) {
        for fault in config.notifiers.check() {
            self.fault(&[&format!("notifiers.{}", fault.key)], fault.message);
        }
        for (i, model) in config.models.iter().enumerate() {
            let trigger = model.drift_config.retraining_trigger.as_ref();
            let Some(text) = trigger.and_then(|trigger| trigger.notification_channel.as_deref())
            else {
                continue;
            };
            let Ok(channel) = deliver::parse_channel(text) else { continue };
            if !config.notifiers.reaches(channel) {
                let at = format!("models.{i}.drift_config.retraining_trigger.notification_channel");
                let message =
                    format!("nobody is told: {text} needs a token or webhook in `notifiers.slack`");
                self.warn(&at, message);
            }
        }
    }

    /// What librdkafka says of its options.
    fn kafka(&mut self, config: &Config) {
        for error in config.kafka.check().err().unwrap_or_default() {
            if !matches!(error, kafka::Error::SecretFile { .. }) {
                let (at, message) = kafka_fault(&error);
                self.fault(&[&at], message);
            }
        }
    }

    /// Files that the configuration names and that have to hold something, here and now.
    pub(super) fn files(&mut self, config: &Config) {
        for error in config.kafka.check().err().unwrap_or_default() {
            if matches!(error, kafka::Error::SecretFile { .. }) {
                let (at, message) = kafka_fault(&error);
                self.fault(&[&at], message);
            }
        }
        if let Err(error) = config.http.check_files() {
            let text = error.to_string();
            let (at, message) = text.split_once(": ").unwrap_or(("http", &text));
            self.fault(&[at], message);
        }
        let client = match Client::new(&config.client) {
            Ok(client) => client,
            Err(error) => return self.fault(&["client"], with_causes(&error)),
        };
        for fault in config.notifiers.check_files(&client) {
            self.fault(&[&format!("notifiers.{}", fault.key)], fault.message);
        }
        for (i, model) in config.models.iter().enumerate() {
            let trigger = model.drift_config.retraining_trigger.as_ref();
            for fault in trigger.map(|trigger| trigger.check_files(&client)).unwrap_or_default() {
                let at = format!("models.{i}.drift_config.retraining_trigger.{}", fault.key);
                self.fault(&[&at], fault.message);
            }
        }
    }

    fn twice(&mut self, at: &str, one: &str, other: &str) {
        let message = format!("give `{one}` or `{other}`, not both");
        self.fault(&[&format!("{at}.{other}"), &format!("{at}.{one}")], message);
    }
}

/// The key that an error is about, and the rest of what it says.
fn kafka_fault(error: &kafka::Error) -> (String, String) {
    let at = match error {
        kafka::Error::NoBrokers | kafka::Error::BadBroker(_) => "kafka.brokers".to_owned(),
        kafka::Error::BadConsumers(_) => "kafka.consumers".to_owned(),
        kafka::Error::NoGroup => "kafka.group".to_owned(),
        kafka::Error::NoToken => "kafka.oauth_token_file".to_owned(),
        kafka::Error::TwoTokens => "kafka.oauth".to_owned(),
        kafka::Error::OAuth { key, .. } => format!("kafka.oauth.{key}"),
        kafka::Error::Refused { name, .. }
        | kafka::Error::BadOption { name, .. }
        | kafka::Error::SecretFile { name, .. } => format!("kafka.options.{name}"),
        _ => "kafka.options".to_owned(),
    };
    let text = error.to_string();
    let message = text.strip_prefix(&at).unwrap_or(&text).trim_start_matches([':', ' ']);
    (at, message.to_owned())
}
