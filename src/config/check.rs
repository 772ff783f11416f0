//! What the form of a configuration cannot say: settings that contradict each other or the world.

use std::collections::HashMap;
use std::time::Duration;

use crate::client::Client;
use crate::client::with_causes;
use crate::compare::Statistic;
use crate::config::Config;
use crate::config::Model;
use crate::config::document::Node;
use crate::config::document::join;
use crate::config::fault::Fault;
use crate::config::fault::Mark;
use crate::deliver;
use crate::kafka;
use crate::setting::Span;
use crate::setting::season::Calendar;
use crate::setting::season::Cycle;

mod policy;
mod shared;

const PANES_MS: [i64; 13] = [
    1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000, 3_600_000,
];

/// Statistics without a noise floor: nothing says what is real, so they cannot start a retraining.
const WITHOUT_FLOOR: [Statistic; 5] = [
    Statistic::TotalVariation,
    Statistic::LInfinity,
    Statistic::Wasserstein,
    Statistic::WassersteinRaw,
    Statistic::MeanShift,
];

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

    fn model(&mut self, i: usize, model: &Model) {
        let at = |key: &str| format!("models.{i}.{key}");
        let name_char = |c: char| c.is_ascii_alphanumeric() || "_.:/-".contains(c);
        if !fits(&model.name, 128, name_char) {
            let message = format!(
                "`{}` cannot name a model; use 1 to 128 of the letters A-Z a-z, digits and _ . : / -",
                model.name
            );
            self.fault(&[&at("name"), &at("topic")], message);
        }
        let topic_char = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !fits(&model.topic, 249, topic_char) || matches!(model.topic.as_str(), "." | "..") {
            let message = format!(
                "`{}` cannot be a topic; Kafka takes 1 to 249 letters, digits and . _ -",
                model.topic
            );
            self.fault(&[&at("topic")], message);
        }
        for name in &model.ignore {
            if model.features.contains_key(name) {
                let message = format!("`{name}` is in `ignore` too; it cannot be both");
                self.fault(&[&at(&format!("features.{name}")), &at("ignore")], message);
            }
        }
        self.times(i, model);
        self.thresholds(i, model);
        self.season(i, model);
        self.policy(i, model);
        self.trigger(i, model);
    }

    fn season(&mut self, i: usize, model: &Model) {
        let at = |key: &str| format!("models.{i}.drift_config.season{key}");
        let season = &model.drift_config.season;
        if let Err(error) = Calendar::new(Cycle::Day, &season.time_zone) {
            self.fault(&[&at(".time_zone")], error.to_string());
        }
        let of_period = season.period.cycle().map(Cycle::slots);
        let fits = |slots: u32| match of_period {
            Some(expected) => expected == slots as usize,
            None => Cycle::ALL.into_iter().any(|cycle| cycle.slots() == slots as usize),
        };
        if let Some(slots) = season.slots.filter(|&slots| !fits(slots)) {
            let message = format!(
                "{slots} slots do not fit; a slot is an hour: 24 of `period: day`, 168 of `period: week` \
                 (`slots` can be left out)"
            );
            self.fault(&[&at(".slots")], message);
        }
    }

    fn times(&mut self, i: usize, model: &Model) {
        let at = |key: &str| format!("models.{i}.{key}");
        let drift = &model.drift_config;
        let (pane, window) = (model.pane, model.window());
        let pane_is_fine = PANES_MS.contains(&pane.as_ms());
        if !pane_is_fine {
            let message =
                format!("a pane of {pane} is not one of 1, 2, 5, 10, 15, 30 s or min, or 1h");
            self.fault(&[&at("pane")], message);
        }
        let (hours, span) = (at("drift_config.monitoring_window_hours"), at("drift_config.window"));
        if drift.window.is_some() && drift.monitoring_window_hours.is_some() {
            self.twice(&at("drift_config"), "monitoring_window_hours", "window");
        }
        if window.0.is_zero() || drift.monitoring_window_hours.is_some_and(|hours| hours <= 0.0) {
            self.fault(&[&hours, &span], "a window must be longer than nothing");
        } else if pane_is_fine && window.as_ms() % pane.as_ms() != 0 {
            let panes = (window.as_ms() / pane.as_ms()).max(1).unsigned_abs();
            let multiple =
                |n: u64| Span(Duration::from_millis(pane.as_ms().unsigned_abs().saturating_mul(n)));
            let message = format!(
                "a window of {window} is no whole multiple of a pane of {pane}; {} and {} are",
                multiple(panes),
                multiple(panes + 1)
            );
            self.fault(&[&hours, &span, &at("pane")], message);
        } else if drift.max_age < window {
            let message = format!("{} is shorter than the window of {window}", drift.max_age);
            self.fault(&[&at("drift_config.max_age"), &hours, &span], message);
        }
    }

    fn thresholds(&mut self, i: usize, model: &Model) {
        let at = |key: &str| format!("models.{i}.drift_config.thresholds.{key}");
        let lines = &model.drift_config.thresholds;
        let (alert, retrain) = (at("psi_alert"), at("psi_retrain"));
        if self.find(&at("psi")).0.is_some() {
            for key in [&alert, &retrain] {
                if self.find(key).0.is_some() {
                    self.fault(&[key, &at("psi")], "is given twice; `psi` is the same line");
                }
            }
        }
        if lines.psi_alert > lines.psi_retrain {
            let message = format!(
                "psi_alert {} is above psi_retrain {}: people would be told after the retraining",
                lines.psi_alert, lines.psi_retrain
            );
            self.fault(&[&alert, &retrain, &at("psi")], message);
        }
        if lines.psi_tolerance > lines.psi_alert {
            let message = format!(
                "{} is above psi_alert {}: what is tolerated cannot alert",
                lines.psi_tolerance, lines.psi_alert
            );
            self.fault(&[&at("psi_tolerance"), &alert, &at("psi")], message);
        }
        for (statistic, line) in &lines.others {
            let name = name_of(*statistic);
            let at = at(&name);
            let values = [line.warning(), line.retrain()];
            if values.into_iter().flatten().any(|value| value <= 0.0) {
                self.fault(&[&at], "a threshold must be above 0");
            }
            if let (Some(warning), Some(retrain)) = (line.warning(), line.retrain())
                && warning > retrain
            {
                let message = format!("warning {warning} is above retrain {retrain}");
                self.fault(&[&at], message);
            }
            if line.retrain().is_none() {
                continue;
            }
            if matches!(statistic, Statistic::Missing | Statistic::TypeError) {
                let message = format!(
                    "`{name}` is a fault of the data and never retrains; \
                                       leave `retrain` out"
                );
                self.fault(&[&at], message);
            } else if WITHOUT_FLOOR.contains(statistic) {
                let message = format!(
                    "`{name}` has no noise floor, so it can warn and never \
                                       retrain; leave `retrain` out"
                );
                self.fault(&[&at], message);
            }
        }
    }

    fn trigger(&mut self, i: usize, model: &Model) {
        let at = format!("models.{i}.drift_config.retraining_trigger");
        let Some(trigger) = &model.drift_config.retraining_trigger else { return };
        for fault in trigger.check() {
            self.fault(&[&format!("{at}.{}", fault.key)], fault.message);
        }
        if let Some(advice) = trigger.advice() {
            self.warn(&format!("{at}.{}", advice.key), advice.message);
        }
    }
}

fn fits(text: &str, most: usize, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.len() <= most && text.chars().all(allowed)
}

/// As it is written in a configuration.
fn name_of(statistic: Statistic) -> String {
    let name = serde_json::to_value(statistic).ok();
    name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
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
