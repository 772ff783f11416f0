//! A range of a topic, partition by partition as the daemon counts it.

use std::collections::BTreeMap;

use crate::kafka::range::Piece;
use crate::kafka::range::Range;
use crate::pipeline::replay::reader::RowReader;
use crate::pipeline::replay::track::Track;
use crate::report::replay::Input;
use crate::report::replay::PartitionRead;

/// Reads all of it into the tracks, one for each reader; `progress` is told how many offsets it has got past.
///
/// # Errors
/// Brokers that don't answer any more, records that went away.
pub(super) fn read(
    range: Range,
    mut readers: Vec<RowReader>,
    tracks: &mut [Track],
    progress: &dyn Fn(u64),
) -> anyhow::Result<Input> {
    let partitions: Vec<PartitionRead> = range
        .stretches()
        .iter()
        .map(|stretch| PartitionRead {
            partition: stretch.partition.partition,
            from: stretch.from,
            to: stretch.to,
        })
        .collect();
    let source = format!("topic {} of {}", range.topic(), range.brokers());
    let mut bytes = 0;
    let mut passed: BTreeMap<usize, u64> = BTreeMap::new();
    range.read(&mut |at, piece| {
        let PartitionRead { from: first, to: last, .. } = partitions[at];
        let next = match piece {
            Piece::Records(records) => {
                let next = records.next_offset();
                for (reader, track) in readers.iter_mut().zip(tracks.iter_mut()) {
                    track.apply(at, &reader.messages(records.clone()), next);
                }
                bytes += records.bytes();
                next
            }
            Piece::Lost { from, to } => {
                tracks.iter_mut().for_each(|track| track.lose(at, to, to.abs_diff(from)));
                to
            }
            Piece::End => {
                tracks.iter_mut().for_each(|track| track.end(at));
                last
            }
        };
        passed.insert(at, next.abs_diff(first));
        progress(passed.values().sum());
    })?;
    Ok(Input { source, files: 0, format: "kafka", bytes, sorted: false, partitions })
}
