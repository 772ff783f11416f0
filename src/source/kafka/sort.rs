//! What came, as events: batches, cut where an error or a hole lies between messages.

use rdkafka::types::RDKafkaErrorCode;

use crate::kafka::message::RawBatch;
use crate::kafka::message::Sorter;
use crate::source::Event;
use crate::source::LossCause;
use crate::source::kafka::KafkaSource;

impl KafkaSource {
    /// Turns what came into events: batches cut where an error or a hole lies between messages.
    pub(super) fn sort(&mut self, raw: &RawBatch) {
        let mut sorter = Sorter::default();
        let mut seen: Vec<((usize, i32), Option<usize>)> = Vec::new();
        let mut next = 0;
        while next < raw.len() {
            let index = next;
            next += 1;
            let key = raw.key(index);
            let known = seen.iter().find(|(known, _)| *known == key).map(|(_, slot)| *slot);
            let slot = known.unwrap_or_else(|| {
                let found = self.slots.find(raw.topic(index), key.1);
                seen.push((key, found));
                found
            });
            if let Some((code, text)) = raw.error(index) {
                self.ready.extend(sorter.cut(raw).map(Event::Batch));
                self.stumble(slot, code, &text);
                continue;
            }
            // Not ours (any more).
            let Some(at) = slot else { continue };
            let offset = raw.offset(index);
            let slot = self.slots.at(at);
            if slot.moved {
                continue;
            }
            if slot.is_disproved(offset, || raw.leader_epoch(index)) {
                let (partition, next) = (slot.partition.clone(), slot.next);
                self.ready.extend(sorter.cut(raw).map(Event::Batch));
                self.lose(partition, next, next, LossCause::Truncated);
                continue;
            }
            // Of the time before it was restarted.
            if offset < slot.next {
                continue;
            }
            if let Some(from) = slot.behind_hole() {
                let partition = slot.partition.clone();
                self.ready.extend(sorter.cut(raw).map(Event::Batch));
                self.lose(partition, from, offset, LossCause::Undecodable);
            } else if slot.moved {
                continue;
            }
            let stretch = raw.stretch(index);
            let slot = self.slots.at(at);
            slot.advance(stretch.last_offset + 1);
            let leader_epoch = raw.leader_epoch(stretch.end - 1);
            sorter.push(stretch, (offset, leader_epoch), &slot.partition);
            next = stretch.end;
        }
        if let Some(batch) = sorter.cut(raw) {
            self.trouble = None;
            self.ready.push_back(Event::Batch(batch));
        }
    }

    /// An error in a message's place.
    fn stumble(&mut self, slot: Option<usize>, code: RDKafkaErrorCode, text: &str) {
        let Some(slot) = slot.map(|slot| self.slots.at(slot)) else {
            return self.note(format!("{code}: {text}"));
        };
        match code {
            RDKafkaErrorCode::PartitionEOF => {}
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                let Some(end) = truncated_to(text).filter(|&end| end < slot.next) else {
                    slot.astray = true;
                    return;
                };
                // From there on a later leader has written other records.
                let (partition, from) = (slot.partition.clone(), slot.next);
                (slot.next, slot.moved, slot.proof) = (end, true, None);
                self.lose(partition, from, end, LossCause::Truncated);
            }
            RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::NotImplemented => {
                slot.stuck = !slot.moved;
                self.note(format!("{code}: {text}"));
            }
            _ => self.note(format!("{code}: {text}")),
        }
    }
}

/// Where the log parts from the one that was read, if a new leader's epochs have shown that it does: only
/// librdkafka's text tells it.
fn truncated_to(text: &str) -> Option<i64> {
    let (_, found) = text.split_once("log truncation detected")?;
    let (_, end) = found.split_once("end offset is ")?;
    end.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_cut_is_read_from_the_complaint() {
        let text = "Partition log truncation detected at offset 5003 (leader epoch 0): broker end \
                    offset is 2412 (offset leader epoch 0). Reset to INVALID.: Local: Partition log \
                    truncation detected (broker 1)";
        assert_eq!(truncated_to(text), Some(2412));
        assert_eq!(truncated_to("fetch failed due to requested offset not available"), None);
    }
}
