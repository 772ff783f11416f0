//! Files, or a range of a topic, through the whole ordinary path, as fast as they can be read: decode, count, merge, decide.
//!
//! The stages are the daemon's own; what differs is that nothing is sent or stored, and that the
//! clock is event time. So the same file and policy always give the same answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use crate::baseline::Baseline;
use crate::config::Model;
use crate::decode::Batch;
use crate::kafka::range::Range;
use crate::offsets::TopicPartition;
use crate::pipeline::BadInput;
use crate::pipeline::baselines::check;
use crate::pipeline::replay::reader::RowReader;
use crate::pipeline::replay::track::Track;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::report::replay::Input;
use crate::report::replay::Replay;
use crate::source::file;
use crate::source::file::FileSource;
use crate::source::file::Kind;
use crate::source::file::RowTime;
use crate::source::file::TimeAsked;

mod judge;
mod nearest;
mod order;
mod reader;
mod shuffle;
pub(super) mod survey;
mod tape;
mod topic;
mod track;

pub use shuffle::DAYS_MIN;

/// Decoded batches that may wait to be counted.
const WAITING: usize = 16;

/// One policy to be replayed.
pub struct Policy {
    /// What people call it: the configuration file.
    pub label: String,
    pub model: Model,
    pub baseline: Baseline,
}

/// How often the days are shuffled, and by which seed.
#[derive(Clone, Copy, Debug)]
pub struct Shuffles {
    pub n: u32,
    pub seed: u64,
}

/// Where records come from.
pub enum Records {
    Files {
        source: FileSource,
        time: TimeAsked,
        /// Put the rows in order of time first; they must fit in memory.
        sort: bool,
    },
    Topic(Range),
}

/// What is replayed, and how.
pub struct Request {
    pub records: Records,
    pub policies: Vec<Policy>,
    pub after: After,
}

/// What is done with what was decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct After {
    /// Close an incident after so long, as a finished retraining would.
    pub close_after_ms: Option<i64>,
    pub shuffles: Option<Shuffles>,
}

/// A piece of the file as columns, one batch for each way of counting.
struct Parcel {
    batches: Vec<Batch>,
    /// The row behind the last one.
    next: i64,
    /// Bytes of the files read so far.
    read: u64,
}

/// Replays; `progress` is told how many bytes of the files, or offsets of the topic, have been counted.
///
/// # Errors
/// `BadInput` for files or baselines that can't be used; brokers that don't answer.
pub fn replay(request: Request, progress: &dyn Fn(u64)) -> anyhow::Result<Replay> {
    let Request { records, policies, after } = request;
    let (readers, mut tracks) = tracks(&records, &policies, after)?;
    let input = match records {
        Records::Files { source, sort, .. } => {
            let reading = Reading { source: &source, sort, progress };
            reading.each(readers, &mut |track, batch, next| tracks[track].apply(0, batch, next))?;
            tracks.iter_mut().for_each(|track| track.end(0));
            of_files(&source, sort)
        }
        Records::Topic(range) => topic::read(range, readers, &mut tracks, progress)?,
    };
    let mut runs: Vec<_> = tracks.into_iter().flat_map(|track| track.finish(after)).collect();
    runs.sort_by_key(|(at, _)| *at);
    Ok(Replay { input, runs: runs.into_iter().map(|(_, run)| run).collect() })
}

fn of_files(source: &FileSource, sorted: bool) -> Input {
    Input {
        source: source.location().to_owned(),
        files: source.files.len(),
        format: match source.kind {
            Kind::Ndjson => "ndjson",
            Kind::Parquet => "parquet",
        },
        bytes: source.bytes,
        sorted,
        partitions: Vec::new(),
    }
}

/// How files are read: from the first row to the last, or in order of time.
struct Reading<'a> {
    source: &'a FileSource,
    sort: bool,
    progress: &'a dyn Fn(u64),
}

impl Reading<'_> {
    /// Calls `apply` with the index of a reader, its next batch, and the row behind it. Decoding has a
    /// thread of its own.
    fn each(
        &self,
        mut readers: Vec<RowReader>,
        apply: &mut dyn FnMut(usize, &Batch, i64),
    ) -> anyhow::Result<()> {
        let (send, parcels) = mpsc::sync_channel(WAITING);
        let mut kept: Vec<Vec<Batch>> = readers.iter().map(|_| Vec::new()).collect();
        let source = self.source;
        thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let mut next = 0;
                source.for_each(&mut |chunk, read| {
                    let first = next;
                    next += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
                    let batches =
                        readers.iter_mut().map(|reader| reader.read(&chunk, first)).collect();
                    send.send(Parcel { batches, next, read }).is_ok()
                })
            });
            let mut end = 0;
            for Parcel { batches, next, read } in parcels {
                for (track, (batch, kept)) in batches.into_iter().zip(&mut kept).enumerate() {
                    if self.sort { kept.push(batch) } else { apply(track, &batch, next) }
                }
                end = next;
                (self.progress)(read);
            }
            for (track, batches) in kept.iter().enumerate().filter(|_| self.sort) {
                order::by_time(batches, &mut |batch| {
                    let next = batch.offsets.last().map_or(end, |last| last + 1);
                    apply(track, batch, next);
                })?;
            }
            let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            read.map_err(bad_file)
        })
    }
}

/// Policies that count alike share a track: the records are decoded and counted once for them.
fn tracks(
    records: &Records,
    policies: &[Policy],
    after: After,
) -> anyhow::Result<(Vec<RowReader>, Vec<Track>)> {
    let mut by_rules: BTreeMap<u64, usize> = BTreeMap::new();
    let (mut readers, mut tracks): (Vec<RowReader>, Vec<Track>) = (Vec::new(), Vec::new());
    for (at, policy) in policies.iter().enumerate() {
        let configured = policy.model.fields.event_time.as_ref();
        let time = match records {
            Records::Files { source, time, .. } => {
                Some(source.find_time(time, configured).map_err(bad_file)?)
            }
            Records::Topic(_) => configured.cloned().map(RowTime::Field),
        };
        let spec = match (records, &time) {
            (Records::Files { .. }, Some(time)) => spec_of(policy, time),
            (Records::Files { .. }, None) | (Records::Topic(_), _) => acting(policy.model.clone()),
        };
        check(&spec, &policy.baseline).map_err(BadInput)?;
        let watched = Watched::new(&spec, Arc::new(policy.baseline.clone()), i64::MIN);
        let track = *by_rules.entry(watched.rules.hash).or_insert_with(|| {
            let told = time.as_ref().map(RowTime::describe);
            let told = told.unwrap_or_else(|| "the records' own in Kafka".to_owned());
            readers.push(RowReader::new(&spec, &watched, time.clone()));
            tracks.push(Track::new(watched.clone(), told, &records.starts()));
            tracks.len() - 1
        });
        tracks[track].judge((at, &policy.label), spec, watched, after);
    }
    anyhow::ensure!(!tracks.is_empty(), "no policy to replay");
    Ok((readers, tracks))
}

impl Records {
    /// Every partition with the first offset that is read: a file is one.
    fn starts(&self) -> Vec<(TopicPartition, i64)> {
        match self {
            Records::Files { .. } => vec![(TopicPartition::new("replay", 0), 0)],
            Records::Topic(range) => {
                let stretches = range.stretches().iter();
                stretches.map(|stretch| (stretch.partition.clone(), stretch.from)).collect()
            }
        }
    }
}

/// The model with the file's own time.
fn spec_of(policy: &Policy, time: &RowTime) -> Spec {
    let mut model = policy.model.clone();
    model.fields.event_time = match time {
        RowTime::Field(at) => Some(at.clone()),
        RowTime::Column { .. } | RowTime::Spread { .. } => None,
    };
    acting(model)
}

/// A model whose trigger acts, whether or not one is configured.
fn acting(model: Model) -> Spec {
    let mut policy = model.policy();
    policy.has_trigger = true;
    policy.dry_run = false;
    Spec { model, policy, trigger: None, people: Vec::new(), url: None }
}

fn bad_file(error: file::Error) -> anyhow::Error {
    BadInput(anyhow::Error::new(error)).into()
}
