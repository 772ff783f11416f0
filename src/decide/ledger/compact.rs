//! The incident log rewritten without what nobody needs any more.

use std::collections::BTreeMap;

use crate::decide::announcement::Delivery;
use crate::decide::ledger::Ledger;
use crate::decide::record::Record;

/// Decisions of people that stay in the log; they change nothing when it is folded.
const ACCEPTED_KEPT: usize = 200;

/// The records that still tell something, in their order. Folded they give what `records` folded give:
/// open incidents and messages without an outcome whole, the newest closed ones, and for the rest how
/// many there were.
pub fn compact(records: Vec<Record>) -> Vec<Record> {
    let mut ledger = Ledger::default();
    let mut opened = Vec::with_capacity(records.len());
    for record in &records {
        let before = ledger.entries.len();
        ledger.apply(record);
        opened.push(ledger.entries.len() > before);
    }
    let mut last_baseline = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        if let Record::Baseline { model, .. } = record {
            last_baseline.insert(model.clone(), at);
        }
    }
    let accepted = records.iter().filter(|record| matches!(record, Record::Accepted { .. }));
    let mut old_accepted = accepted.count().saturating_sub(ACCEPTED_KEPT);
    let mut kept = ledger.forgotten_records();
    for (at, record) in records.into_iter().enumerate() {
        let keep = match &record {
            Record::Baseline { model, .. } => last_baseline.get(model) == Some(&at),
            Record::Opened { incident, deliveries, at_ms, .. } => {
                let known = ledger.entry(&incident.id).is_some();
                if opened[at] && !known {
                    let waiting =
                        deliveries.iter().filter(|delivery| ledger.holds(delivery, *at_ms));
                    kept.extend(waiting.map(|delivery| Record::Queued {
                        delivery: Box::new(delivery.clone()),
                        at_ms: *at_ms,
                    }));
                }
                opened[at] && known
            }
            Record::Released { incident, .. }
            | Record::Run { incident, .. }
            | Record::Marked { incident, .. }
            | Record::Closed { incident, .. } => ledger.entry(incident).is_some(),
            Record::Queued { delivery, at_ms } => ledger.holds(delivery, *at_ms),
            Record::Attempt { delivery, target, .. } | Record::Outcome { delivery, target, .. } => {
                ledger.outgoing(delivery, target).is_some()
            }
            Record::Accepted { .. } => {
                let old = old_accepted > 0;
                old_accepted = old_accepted.saturating_sub(1);
                !old
            }
            // Told anew, above.
            Record::Forgotten { .. } => false,
        };
        if keep {
            kept.push(record);
        }
    }
    kept
}

impl Ledger {
    /// What has to be known of incidents that are not in the log any more.
    fn forgotten_records(&self) -> Vec<Record> {
        let records = self.ordinals.iter().map(|((model, digest), &ordinal)| Record::Forgotten {
            model: model.clone(),
            digest: digest.clone(),
            ordinal,
            incidents: self.forgotten.get(model).map_or(0, |gone| gone.incidents),
            figures: self.forgotten.get(model).map(|gone| gone.figures.clone()).unwrap_or_default(),
        });
        records.collect()
    }

    /// Whether it is this message that waits or was sent.
    fn holds(&self, delivery: &Delivery, at_ms: i64) -> bool {
        let held = self.outgoing(&delivery.id, &delivery.target_name());
        held.is_some_and(|outgoing| outgoing.queued_at_ms == at_ms)
    }
}

#[cfg(test)]
mod tests;
