//! What the log tells of models, handed on to evaluation: of the partitions that a model's topic has.
//!
//! What was told of others stays in the log until retention takes it: of a topic that the model read
//! before, or of one that was made anew with fewer partitions. Nobody will ever go on with these.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;
use tracing::info;
use tracing::warn;

use crate::kafka;
use crate::offsets::TopicPartition;
use crate::pipeline::counted::Counted;
use crate::pipeline::counted::Taken;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::exchange::unread::Missing;
use crate::pipeline::panes;
use crate::pipeline::panes::Logged;
use crate::pipeline::spec::Watched;
use crate::store::Kept;
use crate::store::Loaded;
use crate::store::kafka::fold::Assembled;
use crate::store::kafka::record::{Head, Heads, Pane};
use crate::window::Progress;

/// Time between questions whether a topic has fewer partitions than it had.
const ASK: Duration = Duration::from_secs(10);

/// How far partitions have ever come.
pub(super) type Frontiers = BTreeMap<TopicPartition, i64>;

/// What is known of a model's partitions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    /// How far each has come, and where its log ended when that was told.
    heads: Vec<(Progress, i64)>,
    in_topic: Option<usize>,
}

/// The topic of a model, and how many partitions it has, where brokers say.
#[derive(Clone, Copy)]
struct Topic<'a> {
    name: &'a str,
    size: Option<usize>,
}

impl Topic<'_> {
    /// Whether it has this partition, as far as is known.
    fn has(&self, partition: &TopicPartition) -> bool {
        let number = usize::try_from(partition.partition).unwrap_or(0);
        *partition.topic == *self.name && self.size.is_none_or(|size| number < size)
    }
}

/// What was told of a model's progress, in the order of the log.
fn known(told: &[Heads], topic: Topic<'_>, frontiers: &mut Frontiers) -> Known {
    let mut heads: BTreeMap<TopicPartition, (Progress, i64)> = BTreeMap::new();
    let mut in_topic = None;
    for told in told {
        for head in told.heads.iter().filter(|head| topic.has(&head.progress.partition)) {
            in_topic = in_topic.max(told.in_topic);
            let progress = furthest(frontiers, head);
            heads.insert(progress.partition.clone(), (progress, head.high));
        }
    }
    Known { heads: heads.into_values().collect(), in_topic: topic.size.or(in_topic) }
}

/// Where a partition stands, by the furthest that anybody has said: what closed for one is closed.
pub(crate) fn furthest(frontiers: &mut Frontiers, head: &Head) -> Progress {
    let mut progress = head.progress.clone();
    let known = frontiers.get(&progress.partition).copied();
    progress.frontier_ms = progress.frontier_ms.max(known);
    if let Some(frontier) = progress.frontier_ms {
        frontiers.insert(progress.partition.clone(), frontier);
    }
    progress
}

impl Exchange {
    /// Hands a model to evaluation with all that the log holds of it; `size` is how many partitions its
    /// topic has.
    pub(super) fn hand_over(
        &mut self,
        partition: i32,
        (model, size): (usize, Option<usize>),
        (mut assembled, missing): (Assembled, Missing),
    ) {
        let Some(watched) = self.in_force[model].clone() else { return };
        let Some(held) = self.held.get_mut(&partition) else { return };
        let name = &self.desk.specs[model].model.topic;
        let frontiers = held.frontiers.entry(model).or_default();
        frontiers.clear();
        let Known { heads, in_topic } = known(&assembled.heads, Topic { name, size }, frontiers);
        held.shrunk.remove(&model);
        match size {
            Some(size) => drop(held.sizes.insert(model, size)),
            None => drop(held.sizes.remove(&model)),
        }
        let mut panes = assembled.take_panes();
        panes.retain(|record| panes::may_be_of(record, name));
        missing.mark(&mut panes, &watched.rules);
        let body = assembled.test.map(|test| (test.version, test.state));
        let test = Loaded { body, ..Loaded::default() };
        info!(
            model = self.desk.specs[model].name(),
            partition,
            records = panes.len(),
            "evaluated here from now on"
        );
        let kept = Kept { panes, rejected: missing.unknown, test };
        let taken = Box::new(Taken { watched, kept, heads, in_topic });
        self.tell(Counted::Taken { model, taken });
    }

    /// How many partitions the topics of models have; one of which the brokers say nothing is not there.
    pub(super) fn sizes(&self, models: &[usize]) -> BTreeMap<usize, usize> {
        let topic = |model: usize| &self.desk.specs[model].model.topic;
        let in_force = models.iter().copied().filter(|&model| self.in_force[model].is_some());
        let mut names: Vec<String> = in_force.clone().map(|model| topic(model).clone()).collect();
        names.sort();
        names.dedup();
        let found = kafka::topics::sizes(&self.kafka, &names).unwrap_or_else(|error| {
            debug!(%error, "the brokers do not say how many partitions the models' topics have");
            BTreeMap::new()
        });
        in_force.filter_map(|model| Some((model, found.get(topic(model))?.partitions))).collect()
    }

    /// A topic that was made anew with fewer partitions while its model is ours: nobody will tell of the
    /// others any more, so it is handed over again without them.
    pub(super) fn look_at_sizes(&mut self) {
        let now = Instant::now();
        let mut doubted = Vec::new();
        for held in self.held.values_mut() {
            if !held.shrunk.is_empty() && now.duration_since(held.asked) >= ASK {
                held.asked = now;
                let shrunk = mem::take(&mut held.shrunk).into_iter();
                doubted.extend(shrunk.filter_map(|model| Some((model, *held.sizes.get(&model)?))));
            }
        }
        if doubted.is_empty() {
            return;
        }
        let models: Vec<usize> = doubted.iter().map(|(model, _)| *model).collect();
        let found = self.sizes(&models);
        for (model, had) in doubted {
            if let Some(&has) = found.get(&model).filter(|&&has| has < had) {
                let spec = &self.desk.specs[model];
                let topic = &spec.model.topic;
                warn!(model = spec.name(), topic, had, has, "the topic has fewer partitions now");
                self.changed(model);
            }
        }
    }

    /// The model of these counts, if they are by the rules in force and it is evaluated.
    fn counted_by(&self, model: &str, rules: u64) -> Option<(usize, &Watched)> {
        let model = self.desk.specs.iter().position(|spec| spec.name() == model)?;
        if self.refused.contains(&model) {
            return None;
        }
        let watched = self.in_force[model].as_ref()?;
        (watched.rules.hash == rules).then_some((model, watched))
    }

    pub(super) fn pane(&self, pane: &Pane) {
        let Some((model, watched)) = self.counted_by(&pane.model, pane.rules) else { return };
        if !panes::may_be_of(&pane.record, &self.desk.specs[model].model.topic) {
            return;
        }
        let counted = match panes::read(&pane.record, pane.rules, &watched.rules.shape()) {
            Ok(Some(Logged::Partial(partial))) => {
                Counted::Partials { model, partials: vec![partial] }
            }
            Ok(Some(Logged::Sum(seal, sum))) => Counted::Sealed { model, seal, sum },
            Ok(Some(Logged::Seal(_)) | None) => return,
            Err(error) => {
                warn!(model = pane.model, %error, "a pane can't be read");
                self.metrics.state_rejected("panes", 1);
                return;
            }
        };
        self.tell(counted);
    }

    pub(super) fn heads(&mut self, partition: i32, told: &Heads) {
        let Some((model, _)) = self.counted_by(&told.model, told.rules) else { return };
        let Some(held) = self.held.get_mut(&partition) else { return };
        let known = held.sizes.get(&model).copied();
        if known.zip(told.in_topic).is_some_and(|(had, has)| has < had) {
            held.shrunk.insert(model);
        }
        // It may have grown since it was looked at.
        let size = known.map(|size| size.max(told.in_topic.unwrap_or(0)));
        let topic = Topic { name: &self.desk.specs[model].model.topic, size };
        let frontiers = held.frontiers.entry(model).or_default();
        let (mut progress, mut quiet) = (Vec::new(), Vec::new());
        for head in told.heads.iter().filter(|head| topic.has(&head.progress.partition)) {
            progress.push((furthest(frontiers, head), head.high));
            if head.quiet {
                quiet.push(head.progress.partition.clone());
            }
        }
        if !progress.is_empty() {
            self.tell(Counted::Heard { model, progress, quiet, in_topic: told.in_topic });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(topic: &str, in_topic: usize, offset: i64) -> Heads {
        let head = |n: i32| {
            let progress = Progress {
                partition: TopicPartition::new(topic, n),
                next_offset: offset,
                frontier_ms: Some(offset),
                first_pane_ms: Some(0),
                caught_up: true,
            };
            Head { progress, high: offset, quiet: false }
        };
        Heads {
            model: "fraud".to_owned(),
            rules: 9,
            name: "pod-1/0".to_owned(),
            in_topic: Some(in_topic),
            heads: (0..i32::try_from(in_topic).unwrap()).map(head).collect(),
        }
    }

    fn found(told: &[Heads], size: Option<usize>) -> (Vec<(i32, i64)>, Option<usize>) {
        let mut frontiers = Frontiers::new();
        let Known { heads, in_topic } = known(told, Topic { name: "v2", size }, &mut frontiers);
        assert_eq!(frontiers.len(), heads.len());
        assert!(heads.iter().all(|(progress, _)| *progress.partition.topic == *"v2"));
        let of = |(p, _): &(Progress, i64)| (p.partition.partition, p.next_offset);
        (heads.iter().map(of).collect(), in_topic)
    }

    #[test]
    fn what_was_told_of_a_topic_that_the_model_read_before_is_passed_over() {
        let (old, new) = (heads("v1", 12, 700), heads("v2", 3, 50));
        let expected = (vec![(0, 50), (1, 50), (2, 50)], Some(3));
        // The old one may be the last in the log: its process ended last.
        assert_eq!(found(&[new, old.clone()], None), expected);
        assert_eq!(found(&[old], None), (Vec::new(), None));
    }

    #[test]
    fn partitions_that_a_topic_made_anew_does_not_have_are_passed_over() {
        let (before, after) = (heads("v2", 4, 700), heads("v2", 2, 50));
        let all = [before, after];
        assert_eq!(found(&all, Some(2)), (vec![(0, 50), (1, 50)], Some(2)));
        // Where no broker says, the most that anybody has told: none must be forgotten.
        assert_eq!(found(&all, None).1, Some(4));
        // One that has grown has partitions that nobody has told of yet.
        assert_eq!(found(&all, Some(6)).1, Some(6));
    }
}
