//! How often in a row this process has ended without a clean stop, and how far it had read: what ends it
//! each time at the same place is found at the next start, and not read again.
//!
//! The record is a small file, replaced while reading goes on and never synced: it has to outlive the
//! process, not the machine. A clean stop removes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::codec::{Reader, Truncated, Writer, read_frame, write_frame};
use crate::fetch::Container;
use crate::offsets::TopicPartition;
use crate::store;
use crate::store::Backend;

/// Ends at the same place after which that place is suspect.
const DEATHS: u32 = 3;
/// How often it is to be noted how far reading has come.
pub(super) const NOTE: Duration = Duration::from_millis(250);
/// Reading that has gone on for so long is not ended by what it begins with.
const CALM: Duration = Duration::from_secs(5 * 60);
/// What a reader of its own may take: several times what the largest batches of honest writers need.
const ROOM: u64 = 128 << 20;
/// Less would end a reader of honest batches.
const ROOM_LEAST: u64 = 32 << 20;

/// Kinds of frames are told apart over all of driftd's files.
const KIND: u8 = 13;
const VERSION: u8 = 1;
const FILE: &str = "reading";
/// More partitions than any topic has.
const MOST: usize = 1_000_000;

/// How far a partition was ever read since the last clean stop, and how often it ended there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// The offset behind the last record that was counted.
    furthest: i64,
    /// Unclean ends in a row without having come further.
    deaths: u32,
    /// How far this run has come, once it has the partition.
    reached: Option<i64>,
}

#[derive(Debug, Default)]
struct Record {
    places: BTreeMap<TopicPartition, Place>,
    /// How often places were looked at since all was well; each time a reader gets less memory.
    rounds: u32,
}

/// The record of this process and those before it.
pub(super) struct Breaker {
    /// None where no directory is this process's own.
    path: Option<PathBuf>,
    /// A driftd that reads in place of this one.
    program: PathBuf,
    /// Held by the process that the file is of, where the store has no lock for it.
    _lock: Option<File>,
    /// Deaths in a row when this process started.
    deaths: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    record: Record,
    /// Something has changed that is not written.
    is_news: bool,
    /// When the first partition was taken.
    since: Option<Instant>,
    /// The file cannot be written, which was said.
    refused: bool,
    /// Places that may be what ended the processes before, and that this one has not looked into yet.
    suspects: BTreeSet<TopicPartition>,
}

impl Breaker {
    /// Takes up the record that earlier processes have left in the state directory. With the state in
    /// Kafka there may be no such directory, or another replica's: then nothing is known.
    pub(super) fn open(config: &store::Config, program: PathBuf) -> Self {
        let lock = match config.backend {
            Backend::File => None,
            Backend::Kafka => own(&config.dir),
        };
        let is_ours = config.backend == Backend::File || lock.is_some();
        if !is_ours {
            let dir = config.dir.display();
            info!(%dir, "no directory of our own: should something in a topic end this process again and again, it will not be found");
        }
        let path = is_ours.then(|| config.dir.join(FILE));
        let bytes = path.as_ref().and_then(|path| fs::read(path).ok());
        let record = bytes.and_then(|bytes| decode(&bytes).ok());
        let is_known = record.is_some();
        let mut record = record.unwrap_or_default();
        record.fold();
        let deaths = record.places.values().map(|place| place.deaths).max().unwrap_or(0);
        if deaths > 0 {
            warn!(
                deaths,
                "the last process ended without a clean stop (killed, out of memory, or crashed)"
            );
        }
        let suspects = record.places.iter().filter(|(_, place)| place.deaths >= DEATHS);
        let suspects = suspects.map(|(name, _)| name.clone()).collect();
        let state = Mutex::new(State { record, suspects, ..State::default() });
        let breaker = Self { path, program, _lock: lock, deaths, state };
        if is_known {
            let mut state = breaker.state();
            breaker.write(&mut state);
        }
        breaker
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unclean ends in a row at the same place, when this process started.
    pub(super) fn deaths(&self) -> u32 {
        self.deaths
    }

    /// Whether an earlier process has ended uncleanly since all was well.
    pub(super) fn is_wary(&self) -> bool {
        self.deaths > 0
    }

    /// How many partitions may be what ended the processes before this one, and were not looked into yet.
    pub(super) fn suspects(&self) -> usize {
        self.state().suspects.len()
    }

    /// How far a partition was ever read that this process must not read before it is looked into.
    pub(super) fn suspect(&self, partition: &TopicPartition) -> Option<i64> {
        let state = self.state();
        let place = state.suspects.get(partition).and_then(|p| state.record.places.get(p))?;
        Some(place.furthest)
    }

    /// The memory that a reader of suspects may take. Asked once by each process that looks: the next one
    /// is stricter.
    pub(super) fn room(&self) -> u64 {
        let mut state = self.state();
        let limit = Container::around().map(|container| container.limit);
        let room = room(state.record.rounds, limit);
        state.record.rounds += 1;
        self.write(&mut state);
        room
    }

    /// The partition was looked into, and what had to be done is done.
    pub(super) fn settled(&self, partition: &TopicPartition) {
        let mut state = self.state();
        if state.suspects.remove(partition) {
            if let Some(place) = state.record.places.get_mut(partition) {
                place.deaths = 0;
            }
            self.write(&mut state);
        }
    }

    /// The partition could not be looked into: it is read as it is, and the next process tries again.
    pub(super) fn spare(&self, partition: &TopicPartition) {
        self.state().suspects.remove(partition);
    }

    /// How far partitions of ours have been counted.
    pub(super) fn note(&self, now: Instant, reached: impl Iterator<Item = (TopicPartition, i64)>) {
        let mut guard = self.state();
        let state = &mut *guard;
        for (partition, offset) in reached {
            // What was before is still to be looked into, whatever ends this process.
            if state.suspects.contains(&partition) {
                continue;
            }
            let place = state.record.places.entry(partition).or_default();
            if place.reached != Some(offset) {
                place.reached = Some(offset);
                state.is_news = true;
            }
        }
        if state.record.places.is_empty() {
            return;
        }
        let since = *state.since.get_or_insert(now);
        if now.duration_since(since) >= CALM && state.record.calm(&state.suspects) {
            state.is_news = true;
        }
        if state.is_news {
            self.write(state);
        }
    }

    /// The partition's log has begun anew.
    pub(super) fn begun_anew(&self, partition: &TopicPartition) {
        let mut state = self.state();
        state.record.places.remove(partition);
        state.is_news = true;
    }

    /// A clean stop: whatever was, it did not end this process.
    pub(super) fn ended(&self) {
        let Some(path) = &self.path else { return };
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                warn!(path = %path.display(), %error, "a clean stop can't be noted; the next start takes it for a kill");
            }
        }
    }

    fn write(&self, state: &mut State) {
        state.is_news = false;
        let Some(path) = &self.path else { return };
        match replace(path, &encode(&state.record)) {
            Ok(()) => state.refused = false,
            Err(error) if !state.refused => {
                state.refused = true;
                warn!(path = %path.display(), %error, "how far reading has come can't be written; should something in a topic end this process again and again, it will not be found");
            }
            Err(_) => {}
        }
    }
}

impl Record {
    /// The run that noted how far it came has ended without a clean stop.
    fn fold(&mut self) {
        // One that took no partition was not ended by any.
        if self.places.values().all(|place| place.reached.is_none()) {
            return;
        }
        self.places.retain(|_, place| {
            // That run did not read it: it is neither blamed for its end nor cleared of those before.
            let Some(reached) = place.reached.take() else { return place.deaths > 0 };
            if place.deaths == 0 || reached > place.furthest {
                *place = Place { furthest: reached, deaths: 1, reached: None };
            } else {
                place.deaths = place.deaths.saturating_add(1);
            }
            true
        });
    }

    /// Nothing that was before counts any more, but for what is still to be looked into; whether
    /// something did.
    fn calm(&mut self, suspects: &BTreeSet<TopicPartition>) -> bool {
        let before = std::mem::take(&mut self.rounds) > 0;
        let forget = |place: &mut Place| std::mem::take(&mut place.deaths) > 0;
        let places = self.places.iter_mut().filter(|(name, _)| !suspects.contains(name));
        places.fold(before, |any, (_, place)| forget(place) || any)
    }
}

/// What a reader may take in this round, beside this process in a container of so much.
fn room(rounds: u32, limit: Option<u64>) -> u64 {
    let most = limit.map_or(ROOM, |limit| ROOM.min(limit / 4));
    most.checked_shr(rounds).unwrap_or(0).max(ROOM_LEAST)
}

/// Takes a directory for this process alone, until it ends. One that was asked for is made; the default one
/// only serves where somebody has made it, as replicas need none.
fn own(dir: &Path) -> Option<File> {
    if *dir != store::Config::default().dir {
        fs::create_dir_all(dir).ok()?;
    }
    let lock = dir.join(FILE).with_extension("lock");
    let file = File::options().write(true).create(true).truncate(false).open(lock).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// Nobody sees half of it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("tmp");
    fs::write(&fresh, bytes)?;
    fs::rename(&fresh, path)
}

fn encode(record: &Record) -> Vec<u8> {
    let mut body = Writer::default();
    body.u64(u64::from(record.rounds));
    body.u64(record.places.len() as u64);
    for (TopicPartition { topic, partition }, place) in &record.places {
        body.str(topic);
        body.i64(i64::from(*partition));
        body.i64(place.furthest);
        body.u64(u64::from(place.deaths));
        // Offsets are not negative.
        body.i64(place.reached.unwrap_or(-1));
    }
    let mut frame = Vec::new();
    write_frame(&mut frame, KIND, VERSION, &body.into_bytes());
    frame
}

/// Whatever is not a record of this version tells nothing.
fn decode(mut bytes: &[u8]) -> Result<Record, Truncated> {
    let frame = read_frame(&mut bytes).map_err(|_| Truncated)?;
    if (frame.kind, frame.version) != (KIND, VERSION) {
        return Err(Truncated);
    }
    let small = |value: u64| u32::try_from(value).map_err(|_| Truncated);
    let mut body = Reader::new(frame.body);
    let mut record = Record { rounds: small(body.u64()?)?, ..Record::default() };
    for _ in 0..body.len_at_most(MOST)? {
        let topic = body.str()?;
        let partition = i32::try_from(body.i64()?).map_err(|_| Truncated)?;
        let (furthest, deaths, reached) = (body.i64()?, small(body.u64()?)?, body.i64()?);
        let reached = (reached >= 0).then_some(reached);
        let place = Place { furthest, deaths, reached };
        record.places.insert(TopicPartition::new(topic, partition), place);
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(n: i32) -> TopicPartition {
        TopicPartition::new("t", n)
    }

    fn opened(dir: &Path) -> Breaker {
        let config = store::Config { dir: dir.to_owned(), ..store::Config::default() };
        Breaker::open(&config, PathBuf::new())
    }

    /// A process that starts, comes so far in partitions 0, 1, ..., and is killed.
    fn killed(dir: &Path, reached: &[i64]) {
        let breaker = opened(dir);
        breaker.note(Instant::now(), (0..).map(partition).zip(reached.iter().copied()));
    }

    fn suspected(dir: &Path) -> Vec<(TopicPartition, i64)> {
        let breaker = opened(dir);
        let found = (0..9).map(partition).filter_map(|p| breaker.suspect(&p).map(|at| (p, at)));
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), breaker.suspects());
        found
    }

    #[test]
    fn three_ends_at_one_place_make_it_suspect_and_not_what_went_on() {
        let dir = tempfile::tempdir().unwrap();
        for (death, reached) in [[70, 10], [70, 20], [65, 30]].iter().enumerate() {
            assert_eq!(suspected(dir.path()), [], "before death {death}");
            killed(dir.path(), reached);
        }
        assert_eq!(suspected(dir.path()), [(partition(0), 70)]);
    }

    #[test]
    fn a_stream_that_goes_on_is_never_suspect_however_often_it_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        for death in 0..100 {
            killed(dir.path(), &[death, 3 * death]);
            assert_eq!(suspected(dir.path()), []);
        }
    }

    #[test]
    fn a_start_that_took_no_partition_counts_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        killed(dir.path(), &[5]);
        killed(dir.path(), &[5]);
        (0..10).for_each(|_| drop(opened(dir.path())));
        assert_eq!(opened(dir.path()).deaths(), 2);
        killed(dir.path(), &[5]);
        assert_eq!(suspected(dir.path()), [(partition(0), 5)]);
    }

    /// As when a process is killed while it searches, or while another replica has the partition.
    #[test]
    fn what_was_not_looked_into_stays_suspect_whatever_ends_the_process() {
        let dir = tempfile::tempdir().unwrap();
        (0..3).for_each(|_| killed(dir.path(), &[5, 5]));
        let breaker = opened(dir.path());
        assert_eq!(breaker.suspects(), 2);
        breaker.settled(&partition(1));
        // Records before the cause are handed over and counted meanwhile.
        breaker.note(Instant::now(), [(partition(0), 7), (partition(1), 7)].into_iter());
        drop(breaker);
        assert_eq!(suspected(dir.path()), [(partition(0), 5)]);
        let breaker = opened(dir.path());
        breaker.spare(&partition(0));
        assert_eq!(breaker.suspects(), 0, "read as it is by this process");
        drop(breaker);
        assert_eq!(suspected(dir.path()), [(partition(0), 5)]);
    }

    /// Two causes, and a replica that has the partition of one at a time.
    #[test]
    fn ends_add_up_although_other_partitions_are_had_in_between() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            assert_eq!(suspected(dir.path()), []);
            for n in 0..2 {
                opened(dir.path()).note(Instant::now(), [(partition(n), 5)].into_iter());
            }
        }
        assert_eq!(suspected(dir.path()), [(partition(0), 5), (partition(1), 5)]);
    }

    #[test]
    fn a_clean_stop_forgets_everything() {
        let dir = tempfile::tempdir().unwrap();
        (0..2).for_each(|_| killed(dir.path(), &[5]));
        let breaker = opened(dir.path());
        breaker.note(Instant::now(), [(partition(0), 5)].into_iter());
        breaker.ended();
        assert_eq!(opened(dir.path()).deaths(), 0);
    }

    #[test]
    fn replicas_on_one_machine_do_not_take_each_others_ends_for_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let (dir, backend) = (dir.path().join("made"), Backend::Kafka);
        let config = store::Config { dir, backend, ..store::Config::default() };
        let place = || [(partition(0), 5)].into_iter();
        let first = Breaker::open(&config, PathBuf::new());
        let second = Breaker::open(&config, PathBuf::new());
        first.note(Instant::now(), place());
        second.note(Instant::now(), place());
        second.ended();
        drop(first);
        assert_eq!(Breaker::open(&config, PathBuf::new()).deaths(), 1);
    }

    #[test]
    fn what_was_looked_at_in_vain_is_looked_at_with_less_memory_after_three_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut rooms = Vec::new();
        for _ in 0..3 {
            (0..3).for_each(|_| killed(dir.path(), &[5]));
            let breaker = opened(dir.path());
            assert_eq!(breaker.suspect(&partition(0)), Some(5));
            let room = breaker.room();
            breaker.settled(&partition(0));
            assert_eq!((breaker.suspects(), suspected(dir.path())), (0, vec![]));
            rooms.push(room);
        }
        assert!(rooms.is_sorted_by(|a, b| a >= b) && rooms[2] >= ROOM_LEAST, "{rooms:?}");
        assert_eq!([room(0, None), room(1, None), room(9, None)], [ROOM, ROOM / 2, ROOM_LEAST]);
        assert_eq!(room(0, Some(256 << 20)), 64 << 20);
    }

    #[test]
    fn calm_and_damage_are_no_news() {
        let mut record = Record { rounds: 2, ..Record::default() };
        let place = Place { furthest: 7, deaths: 4, reached: Some(9) };
        record.places.insert(partition(3), place);
        let bytes = encode(&record);
        let again = decode(&bytes).unwrap();
        assert_eq!((again.rounds, &again.places), (2, &record.places));
        assert!((0..bytes.len()).all(|cut| decode(&bytes[..cut]).is_err()));
        let (none, all) = (BTreeSet::new(), BTreeSet::from([partition(3)]));
        assert!(record.calm(&all) && !record.calm(&all));
        assert_eq!(record.places[&partition(3)].deaths, 4);
        assert!(record.calm(&none) && !record.calm(&none));
        assert_eq!(record.places[&partition(3)].deaths, 0);
    }

    #[test]
    fn five_minutes_of_reading_clear_what_was_before() {
        let deaths = |seconds| {
            let dir = tempfile::tempdir().unwrap();
            (0..2).for_each(|_| killed(dir.path(), &[5]));
            let (breaker, start) = (opened(dir.path()), Instant::now());
            for at in [0, seconds] {
                let now = start + Duration::from_secs(at);
                breaker.note(now, [(partition(0), 5)].into_iter());
            }
            opened(dir.path()).deaths()
        };
        assert_eq!((deaths(299), deaths(300)), (3, 1));
    }
}
