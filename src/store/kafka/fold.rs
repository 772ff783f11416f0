//! What counts of the logs, as functions of their records in order: the same for every reader, whoever
//! wrote them, however late, twice or from two processes at once. Nothing here reads, writes or waits.

use std::collections::BTreeMap;

use crate::offsets::TopicPartition;
use crate::store::PaneRecord;
use crate::store::kafka::record::{Body, Heads, Incident, Owner, Record, Spec, State, Test};

/// Who decides in one partition of a log: the one that said so last. What others say there is late.
///
/// Before anybody has said so, which is where retention has taken that record, everybody counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(Option<(u64, Owner)>);

impl Owners {
    pub fn announce(&mut self, writer: u64, owner: Owner) {
        self.0 = Some((writer, owner));
    }

    pub fn accepts(&self, writer: u64) -> bool {
        self.0.as_ref().is_none_or(|(current, _)| *current == writer)
    }

    pub fn current(&self) -> Option<&(u64, Owner)> {
        self.0.as_ref()
    }
}

/// The incident log of all partitions.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    owners: BTreeMap<i32, Owners>,
}

impl Journal {
    /// Takes the next record of a partition; gives it back if it counts.
    pub fn apply(&mut self, partition: i32, record: Record) -> Option<Incident> {
        let owners = self.owners.entry(partition).or_default();
        match record.body {
            Body::Owner(owner) => {
                owners.announce(record.writer, owner);
                None
            }
            Body::Incident(incident) => {
                (incident.fact || owners.accepts(record.writer)).then_some(incident)
            }
            Body::State(_) | Body::Pane(_) | Body::Seal(_) | Body::Progress(_) => None,
            Body::Spec(_) | Body::Test(_) => None,
        }
    }

    pub fn owner(&self, partition: i32) -> Option<&(u64, Owner)> {
        self.owners.get(&partition)?.current()
    }
}

/// The specs in force. Of several that would follow the same one, the first in the log does.
#[derive(Clone, Debug, Default)]
pub struct Specs(BTreeMap<String, Spec>);

impl Specs {
    /// Takes the next record; true if it is in force now.
    pub fn apply(&mut self, spec: Spec) -> bool {
        let follows = self.0.get(&spec.model).is_none_or(|known| known.seq < spec.seq);
        if follows {
            self.0.insert(spec.model.clone(), spec);
        }
        follows
    }

    pub fn get(&self, model: &str) -> Option<&Spec> {
        self.0.get(model)
    }
}

/// Snapshots of input partitions, whoever wrote them: of those by the same rules the one that is
/// furthest on, since all of them are the same function of the log.
#[derive(Clone, Debug, Default)]
pub struct States(BTreeMap<(TopicPartition, String), BTreeMap<u64, State>>);

impl States {
    pub fn apply(&mut self, state: State) {
        let known = self.0.entry((state.partition.clone(), state.model.clone())).or_default();
        match known.get(&state.rules) {
            Some(best) if is_further(best, &state) => {}
            Some(_) | None => {
                known.insert(state.rules, state);
            }
        }
    }

    /// The state to go on from: by `rules` if there is one. One by other rules knows at least where
    /// the model is.
    pub fn choose(&self, partition: &TopicPartition, model: &str, rules: u64) -> Option<&State> {
        let known = self.0.get(&(partition.clone(), model.to_owned()))?;
        let furthest = || known.values().max_by_key(|s| (s.epoch, s.next_offset));
        known.get(&rules).or_else(furthest)
    }

    /// The models that have a state in a partition.
    pub fn models(&self, partition: &TopicPartition) -> impl Iterator<Item = &str> {
        let of = self.0.keys().filter(move |(known, _)| known == partition);
        of.map(|(_, model)| model.as_str())
    }

    pub fn all(&self) -> impl Iterator<Item = &State> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// How often a partition's log is known to have begun anew.
    pub fn epoch(&self, partition: &TopicPartition) -> u64 {
        let of = self.all().filter(|state| state.partition == *partition);
        of.map(|state| state.epoch).max().unwrap_or(0)
    }
}

fn is_further(one: &State, other: &State) -> bool {
    (one.epoch, one.next_offset) > (other.epoch, other.next_offset)
}

/// One partition of the partials, read from its beginning: what an evaluator needs to go on.
#[derive(Debug, Default)]
pub struct Assembly {
    /// The rules in force, by model; counts by others never mix with theirs.
    wanted: BTreeMap<String, u64>,
    pub owners: Owners,
    pub models: BTreeMap<String, Assembled>,
}

/// What the log holds of one model.
#[derive(Debug, Default)]
pub struct Assembled {
    /// As the log holds them after compaction: the last of every key.
    panes: BTreeMap<String, PaneRecord>,
    /// In the order of the log: of two for one pane the first counts.
    seals: Vec<PaneRecord>,
    /// The last one by an owner. While there is none, the last one: an owner that was late may have written
    /// it in the place of its own that counted.
    pub test: Option<Test>,
    is_late: bool,
    /// In the order of the log.
    pub heads: Vec<Heads>,
}

impl Assembled {
    /// Seals, and then partials.
    pub fn take_panes(&mut self) -> Vec<PaneRecord> {
        let mut all = std::mem::take(&mut self.seals);
        all.extend(std::mem::take(&mut self.panes).into_values());
        all
    }
}

impl Assembly {
    pub fn new(wanted: BTreeMap<String, u64>) -> Self {
        Self { wanted, ..Self::default() }
    }

    pub fn apply(&mut self, record: Record) {
        let writer = record.writer;
        let key = record.key(0);
        let wanted = |model: &str, rules: u64| self.wanted.get(model) == Some(&rules);
        match record.body {
            Body::Owner(owner) => self.owners.announce(writer, owner),
            Body::Pane(pane) if wanted(&pane.model, pane.rules) => {
                self.models.entry(pane.model).or_default().panes.insert(key, pane.record);
            }
            Body::Seal(pane) if wanted(&pane.model, pane.rules) && self.owners.accepts(writer) => {
                self.models.entry(pane.model).or_default().seals.push(pane.record);
            }
            Body::Test(test) if self.wanted.contains_key(&test.model) => {
                let is_late = !self.owners.accepts(writer);
                let known = self.models.entry(test.model.clone()).or_default();
                known.keep_test(test, is_late, &self.wanted);
            }
            Body::Progress(heads) if wanted(&heads.model, heads.rules) => {
                self.models.entry(heads.model.clone()).or_default().heads.push(heads);
            }
            Body::Pane(_) | Body::Seal(_) | Body::Test(_) | Body::Progress(_) => {}
            Body::State(_) | Body::Spec(_) | Body::Incident(_) => {}
        }
    }
}

impl Assembled {
    /// One by the rules in force is not given up for one by others.
    fn keep_test(&mut self, test: Test, is_late: bool, wanted: &BTreeMap<String, u64>) {
        if is_late && self.test.is_some() && !self.is_late {
            return;
        }
        let ours = wanted.get(&test.model).copied();
        let has_ours = self.test.as_ref().is_some_and(|known| Some(known.rules) == ours);
        if Some(test.rules) == ours || !has_ours {
            (self.test, self.is_late) = (Some(test), is_late);
        }
    }
}

#[cfg(test)]
mod tests;
