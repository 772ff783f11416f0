//! What records that can't be used would have told of a model: panes that lack something are marked, and
//! what a newer release wrote bars the model.

use tracing::error;

use crate::offsets::TopicPartition;
use crate::pipeline::counted::Counted;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::panes;
use crate::pipeline::panes::Logged;
use crate::store::PaneRecord;
use crate::store::kafka::{Unread, Unreads};
use crate::window::Pane;
use crate::window::Partial;
use crate::window::Rules;

/// What keys of the partials begin with.
const KINDS: [&str; 5] = ["pane/", "seal/", "test/", "progress/", "owner/"];

/// What is missing of a model.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Partitions that had something in a pane that begins then.
    panes: Vec<(TopicPartition, i64)>,
    /// Records of which nobody knows what they would have told.
    pub(super) unknown: usize,
}

/// What can't be used of the log of a model that is counted by `rules`.
///
/// # Errors
/// The record of a newer release.
fn missing(
    unread: &Unreads,
    (name, topic): (&str, &str),
    rules: u64,
) -> Result<Missing, Box<Unread>> {
    let ours = ["pane", "seal", "test"].map(|kind| format!("{kind}/{name}/{rules:016x}/"));
    let [pane, seal, _] = &ours;
    let whole = [format!("progress/{name}/"), "owner/".to_owned()];
    let mut missing = Missing::default();
    for record in unread.iter() {
        let begins = |prefix: &String| record.key.starts_with(prefix);
        if record.is_newer() && ours.iter().chain(&whole).any(begins) {
            return Err(Box::new(record.clone()));
        }
        if let Some(rest) = record.key.strip_prefix(pane) {
            missing.panes.extend(pane_of(rest));
        } else if let Some(rest) = record.key.strip_prefix(seal) {
            // It is of all partitions.
            let start_ms = rest.split('/').next().and_then(|text| text.parse().ok());
            missing.panes.extend(start_ms.map(|ms| (TopicPartition::new(topic, 0), ms)));
        } else if !KINDS.iter().any(|kind| record.key.starts_with(kind)) {
            missing.unknown += 1;
        }
    }
    Ok(missing)
}

/// From `<topic>-<partition>/<start>/<writer>`.
fn pane_of(rest: &str) -> Option<(TopicPartition, i64)> {
    let mut parts = rest.split('/');
    let (topic, number) = parts.next()?.rsplit_once('-')?;
    let start_ms = parts.next()?.parse().ok()?;
    Some((TopicPartition::new(topic, number.parse().ok()?), start_ms))
}

impl Missing {
    /// Has the panes say that something is missing in them; of what another process has written of them too,
    /// what is furthest on stays.
    pub(super) fn mark(&self, records: &mut Vec<PaneRecord>, rules: &Rules) {
        let shape = rules.shape();
        for (partition, start_ms) in &self.panes {
            let read = |record: &PaneRecord| match panes::read(record, rules.hash, &shape) {
                Ok(Some(Logged::Partial(partial))) => Some(partial),
                Ok(_) | Err(_) => None,
            };
            let there = records.iter().enumerate().filter(|(_, r)| r.pane_start_ms == *start_ms);
            let there = there.filter_map(|(at, record)| Some((at, read(record)?)));
            let there = there.filter(|(_, partial)| partial.partition == *partition);
            match there.max_by_key(|(_, partial)| partial.applied_through) {
                Some((at, mut partial)) => {
                    partial.pane.gap = true;
                    records[at] = panes::partial(&partial);
                }
                None => {
                    let pane = Pane { gap: true, ..Pane::empty(*start_ms, &shape) };
                    let (partition, rules) = (partition.clone(), rules.hash);
                    let partial = Partial { partition, rules, applied_through: 0, pane };
                    records.push(panes::partial(&partial));
                }
            }
        }
    }
}

impl Exchange {
    /// What can't be used of a model's log.
    ///
    /// # Errors
    /// The record of a newer release.
    pub(super) fn missing(&self, model: usize, unread: &Unreads) -> Result<Missing, Box<Unread>> {
        let Some(watched) = &self.in_force[model] else { return Ok(Missing::default()) };
        let spec = &self.desk.specs[model];
        missing(unread, (spec.name(), &spec.model.topic), watched.rules.hash)
    }

    /// A newer release has written of this model: that is neither misread nor passed over.
    pub(super) fn refuse(&mut self, model: usize, newer: &Unread) {
        let (name, error) = (self.desk.specs[model].name(), newer.refusal());
        error!(model = name, %error, "the model is not evaluated");
        self.refused.insert(model);
        self.tell(Counted::Released { models: vec![model] });
    }
}

#[cfg(test)]
mod tests {
    use crate::store::kafka::record::Unreadable;

    use super::*;

    const RULES: u64 = 0xab;

    fn unread(keys: &[&str], why: Unreadable) -> Unreads {
        let of = |key: &&str| Unread {
            topic: "driftd.partials".to_owned(),
            partition: 3,
            offset: 70,
            key: (*key).to_owned(),
            why,
        };
        keys.iter().map(of).collect()
    }

    fn found(keys: &[&str], why: Unreadable) -> Result<Missing, Box<Unread>> {
        missing(&unread(keys, why), ("fraud/eu", "in-v1"), RULES)
    }

    #[test]
    fn what_is_damaged_is_missing_where_its_key_says() {
        let keys = [
            "pane/fraud/eu/00000000000000ab/in-v1-2/60000/0000000000000007",
            "pane/fraud/eu/00000000000000ac/in-v1-2/120000/0000000000000007",
            "pane/fraud/00000000000000ab/in-v1-2/180000/0000000000000007",
            "seal/fraud/eu/00000000000000ab/240000/0000000000000007/5",
            "test/fraud/eu/00000000000000ab/0000000000000007",
            "progress/fraud/eu/0000000000000007/pod-1",
            "something else",
        ];
        let missing = found(&keys, Unreadable::Damaged).unwrap();
        let at = |n, ms| (TopicPartition::new("in-v1", n), ms);
        assert_eq!(missing, Missing { panes: vec![at(2, 60_000), at(0, 240_000)], unknown: 1 });
    }

    #[test]
    fn what_a_newer_release_wrote_of_a_model_bars_it_and_no_other() {
        for kind in ["pane", "seal", "test"] {
            let key = format!("{kind}/fraud/eu/00000000000000ab/in-v1-2/0/1");
            let newer = found(&[&key], Unreadable::Newer(9)).unwrap_err();
            let said = newer.refusal().to_string();
            for part in ["offset 70 of driftd.partials partition 3", &key, "version 9", "tombstone"]
            {
                assert!(said.contains(part), "{part} in {said}");
            }
        }
        for key in ["progress/fraud/eu/0000000000000007/pod-1", "owner/0000000000000007/1"] {
            assert!(found(&[key], Unreadable::Newer(9)).is_err(), "{key}");
        }
        let others =
            ["pane/fraud/eu/00000000000000ac/in-v1-2/0/1", "test/fraud/00000000000000ab/1"];
        assert_eq!(found(&others, Unreadable::Newer(9)), Ok(Missing::default()));
    }

    #[test]
    fn a_pane_of_which_a_record_is_missing_says_so_with_what_is_left_of_it() {
        let (pane_ms, lateness_ms, active_from_ms) = (60_000, 0, 0);
        let rules = Rules { hash: RULES, pane_ms, lateness_ms, active_from_ms, cells: Vec::new() };
        let partial = |n, applied_through, records| Partial {
            partition: TopicPartition::new("t", n),
            rules: RULES,
            applied_through,
            pane: Pane { records, ..Pane::empty(0, &[]) },
        };
        let all = [partial(0, 10, 1), partial(1, 10, 2), partial(1, 20, 3)];
        let mut records: Vec<PaneRecord> = all.iter().map(panes::partial).collect();
        let at = |n, ms| (TopicPartition::new("t", n), ms);
        let missing = Missing { panes: vec![at(1, 0), at(0, 5)], unknown: 0 };
        missing.mark(&mut records, &rules);
        let read = |record: &PaneRecord| match panes::read(record, RULES, &[]) {
            Ok(Some(Logged::Partial(p))) => (p.applied_through, p.pane.records, p.pane.gap),
            other => panic!("{other:?}"),
        };
        let read: Vec<_> = records.iter().map(read).collect();
        assert_eq!(read, [(10, 1, false), (10, 2, false), (20, 3, true), (0, 0, true)]);
        assert_eq!(records[3].pane_start_ms, 5);
    }
}
