//! The topics that driftd keeps its state in: how they must be, and what is wrong with those that are
//! there.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kafka::producer::RECORD_MAX;
use crate::kafka::topics::{Found, Wanted};
use crate::store::Topics;

const CLEANUP: &str = "cleanup.policy";
const RETENTION: &str = "retention.ms";
const LARGEST: &str = "max.message.bytes";
/// Shorter is never asked for: a few days in which nobody looks after it must not cost the state.
const KEPT_LEAST: Duration = Duration::from_secs(7 * 86_400);

/// The names of the topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub specs: String,
    pub state: String,
    pub partials: String,
    pub incidents: String,
}

impl Names {
    pub fn new(prefix: &str) -> Self {
        let name = |what: &str| format!("{prefix}.{what}");
        Self {
            specs: name("specs"),
            state: name("state"),
            partials: name("partials"),
            incidents: name("incidents"),
        }
    }

    pub fn all(&self) -> Vec<String> {
        [&self.specs, &self.state, &self.partials, &self.incidents].map(Clone::clone).into()
    }
}

/// The topics as they are wanted. `kept` is how long a record must be there without being renewed.
pub fn wanted(topics: &Topics, kept: Duration) -> Vec<Wanted> {
    let names = Names::new(&topics.prefix);
    let retention = kept.max(KEPT_LEAST).as_millis().to_string();
    let settings = |cleanup: &str, retention: Option<&str>| {
        let mut settings = vec![
            (CLEANUP, cleanup.to_owned()),
            (LARGEST, RECORD_MAX.to_string()),
            // Records of ours are acted on in the order of the log; brokers must not wait for a day.
            ("max.compaction.lag.ms", "3600000".to_owned()),
        ];
        settings.extend(retention.map(|ms| (RETENTION, ms.to_owned())));
        settings
    };
    let topic = |name: String, partitions: i32, settings| Wanted { name, partitions, settings };
    vec![
        topic(names.specs, 1, settings("compact", None)),
        topic(names.state, topics.partitions, settings("compact,delete", Some(&retention))),
        topic(names.partials, topics.partitions, settings("compact,delete", Some(&retention))),
        topic(names.incidents, topics.partitions, settings("compact", None)),
    ]
}

/// Everything that is wrong with the topics that are there, one sentence each with what to do.
pub fn faults(wanted: &[Wanted], found: &BTreeMap<String, Found>) -> Vec<String> {
    let mut faults = Vec::new();
    for want in wanted {
        let Some(have) = found.get(&want.name) else { continue };
        let name = &want.name;
        if usize::try_from(want.partitions) != Ok(have.partitions) {
            faults.push(format!(
                "topic `{name}` has {} partitions, and state.topics.partitions is {}: models and their \
                 state are shared out by that number, so set it to what the topics were made with",
                have.partitions, want.partitions
            ));
        }
        let Some(settings) = &have.settings else { continue };
        let of = |key: &str| settings.get(key).map_or("", String::as_str);
        let policy = of(CLEANUP);
        let expected = value(want, CLEANUP);
        let does = |what: &str| policy.split(',').any(|part| part.trim() == what);
        let may_delete = expected.contains("delete");
        if !does("compact") || (does("delete") && !may_delete) {
            let why = if may_delete {
                "without `compact` it grows with every snapshot"
            } else {
                "with `delete` what was decided is forgotten, and would be done again"
            };
            faults.push(format!(
                "topic `{name}` has {CLEANUP}={policy}, and needs {expected}: {why}; run \
                 `kafka-configs.sh --alter --topic {name} --add-config {CLEANUP}=[{expected}]`, or set \
                 state.topics.prefix to a name that is free"
            ));
        }
        let kept: Option<i64> = of(RETENTION).parse().ok();
        let needed: Option<i64> = value(want, RETENTION).parse().ok();
        if let (true, Some(kept), Some(needed)) = (does("delete") && may_delete, kept, needed)
            && kept >= 0
            && kept < needed
        {
            faults.push(format!(
                "topic `{name}` has {RETENTION}={kept}, and the models need {needed}: panes would be gone \
                 before the window is over; run `kafka-configs.sh --alter --topic {name} --add-config \
                 {RETENTION}={needed}`"
            ));
        }
    }
    faults
}

fn value<'a>(wanted: &'a Wanted, key: &str) -> &'a str {
    let found = wanted.settings.iter().find(|(name, _)| *name == key);
    found.map_or("", |(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(wanted: &[Wanted]) -> BTreeMap<String, Found> {
        let found = |want: &Wanted| Found {
            partitions: usize::try_from(want.partitions).unwrap(),
            settings: Some(
                want.settings.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            ),
        };
        wanted.iter().map(|want| (want.name.clone(), found(want))).collect()
    }

    #[test]
    fn what_is_created_is_what_is_asked_for() {
        let wanted = wanted(&Topics::default(), Duration::from_secs(86_400));
        assert_eq!(faults(&wanted, &there(&wanted)), Vec::<String>::new());
        assert_eq!(faults(&wanted, &BTreeMap::new()), Vec::<String>::new());
        assert_eq!(value(&wanted[2], RETENTION), (7 * 86_400_000).to_string());
    }

    #[test]
    fn a_topic_that_would_lose_something_is_named_with_what_to_do() {
        let wanted = wanted(&Topics::default(), Duration::from_secs(30 * 86_400));
        for (name, key, given, told) in [
            ("driftd.incidents", CLEANUP, "delete", "--add-config cleanup.policy=[compact]"),
            ("driftd.incidents", CLEANUP, "compact,delete", "would be done again"),
            ("driftd.state", CLEANUP, "delete", "grows with every snapshot"),
            ("driftd.partials", RETENTION, "604800000", "retention.ms=2592000000"),
        ] {
            let mut found = there(&wanted);
            let settings = found.get_mut(name).unwrap().settings.as_mut().unwrap();
            settings.insert(key.to_owned(), given.to_owned());
            let faults = faults(&wanted, &found);
            assert!(faults.len() == 1 && faults[0].contains(name), "{faults:?}");
            assert!(faults[0].contains(told), "{faults:?}");
        }
        let mut found = there(&wanted);
        found.get_mut("driftd.state").unwrap().partitions = 24;
        let faults = faults(&wanted, &found);
        assert!(faults.len() == 1 && faults[0].contains("`driftd.state` has 24"), "{faults:?}");
    }
}
