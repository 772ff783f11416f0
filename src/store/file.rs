//! The file backend: a directory that one daemon owns.
//!
//! `lock` · `partitions/<topic>-<p>.{0,1}` · `tests/<model>.{0,1}` · `profiles/<model>.frame` ·
//! `panes/<model>/<hour>.seg` · `incidents.log`

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::codec::{Reader, Truncated, Writer, write_frame};
use crate::offsets::TopicPartition;
use crate::setting::HOUR_MS;
use crate::store::file::disk::Disk;
use crate::store::file::log::{Entry, Logs};
use crate::store::file::slots::{GENERATIONS, SINGLE, Slots};
use crate::store::{Damage, Error, Incidents, Loaded, PaneRecord, Rejected, Saved};

mod disk;
mod folder;
mod log;
mod name;
mod rewrite;
mod slots;

const KIND_PARTITION: u8 = 1;
const KIND_PROFILE: u8 = 4;
const KIND_INCIDENT: u8 = 5;
const KIND_TEST: u8 = 12;
/// Version of a pane record's layout, `model | start varint | body`.
const PANE_FORMAT: u8 = 1;
const SEGMENT: &str = "seg";
const LOOK: Duration = Duration::from_millis(50);
/// How often a lock is looked at before it is believed: for a second.
const LOOKS: u32 = 20;
/// What the codec reads back at most, less room for the name.
const BODY_MAX: usize = 255 << 20;

/// Durable records in files. Every method blocks until the disk has answered.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
    disk: Arc<Disk>,
    partitions: Slots,
    tests: Slots,
    profiles: Slots,
    panes: Logs,
    incidents: Logs,
    /// Its lock ends with the process, however that ends.
    _lock: File,
}

impl FileStore {
    /// Takes the directory for this process alone, creating it (mode 0700) if it is not there.
    ///
    /// # Errors
    /// When another process holds it or when it cannot be written.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        let dir = dir.into();
        Self::take(dir.clone()).map_err(|error| folder::refused(&dir, error))
    }

    fn take(dir: PathBuf) -> Result<Self, Error> {
        let disk = Arc::new(Disk::default());
        if !dir.is_dir() {
            disk.create_dir(&dir)?;
        }
        let lock = take_lock(&dir)?;
        let slots = |sub: &str, kind, endings| Slots::new(&disk, dir.join(sub), kind, endings);
        let store = Self {
            partitions: slots("partitions", KIND_PARTITION, GENERATIONS),
            tests: slots("tests", KIND_TEST, GENERATIONS),
            profiles: slots("profiles", KIND_PROFILE, SINGLE),
            panes: Logs::new(&disk),
            incidents: Logs::new(&disk),
            _lock: lock,
            dir,
            disk,
        };
        for sub in [store.partitions.dir(), store.tests.dir(), store.profiles.dir()] {
            store.disk.create_dir(sub)?;
            store.sweep(sub, |name| name.ends_with(".tmp"))?;
        }
        store.disk.create_dir(&store.panes_dir())?;
        store.sweep(&store.dir, |name| name == "incidents.tmp")?;
        Ok(store)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Replaces the older of a partition's two generations.
    pub fn save_partition(
        &self,
        partition: &TopicPartition,
        version: u8,
        body: &[u8],
    ) -> Result<Saved, Error> {
        self.partitions.save(&name::partition(partition)?, &partition.to_string(), version, body)
    }

    /// The newest good generation of a partition's state.
    pub fn load_partition(&self, partition: &TopicPartition) -> Result<Loaded, Error> {
        self.partitions.load(&name::partition(partition)?, &partition.to_string())
    }

    /// The partitions that have a state.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, Error> {
        let parse = |name: String| {
            let (topic, partition) = name.rsplit_once('-')?;
            Some(TopicPartition::new(topic, partition.parse().ok()?))
        };
        Ok(self.partitions.names()?.into_iter().filter_map(parse).collect())
    }

    /// Replaces the older of the two generations of a model's evaluator state.
    pub fn save_test(&self, model: &str, version: u8, body: &[u8]) -> Result<Saved, Error> {
        self.tests.save(&name::model(model)?, model, version, body)
    }

    /// The newest good generation of a model's evaluator state.
    pub fn load_test(&self, model: &str) -> Result<Loaded, Error> {
        self.tests.load(&name::model(model)?, model)
    }

    /// Replaces a model's baseline profile (JSON).
    pub fn save_profile(&self, model: &str, version: u8, json: &[u8]) -> Result<Saved, Error> {
        self.profiles.save(&name::model(model)?, model, version, json)
    }

    /// A model's profile. It has one generation: an older profile would count into other cells.
    pub fn load_profile(&self, model: &str) -> Result<Loaded, Error> {
        self.profiles.load(&name::model(model)?, model)
    }

    /// Appends records of closed panes, each to the segment of the hour that its pane begins in.
    ///
    /// Durable on return. After an error or a crash any number of whole records may have been
    /// kept, those of an hour in order: append all of them again, readers keep the later one.
    pub fn append_panes(&self, model: &str, records: &[PaneRecord]) -> Result<Saved, Error> {
        let dir = self.model_dir(model)?;
        let mut hours: Vec<i64> = records.iter().map(|r| hour_of(r.pane_start_ms)).collect();
        hours.sort_unstable();
        hours.dedup();
        let mut saved = Saved::default();
        for hour in hours {
            let path = segment_path(&dir, hour);
            if !path.exists() {
                self.disk.create_dir(&dir)?;
            }
            let mut frames = Vec::new();
            for record in records.iter().filter(|r| hour_of(r.pane_start_ms) == hour) {
                check_size(&path, &record.body)?;
                write_frame(&mut frames, record.kind, PANE_FORMAT, &encode_pane(model, record));
            }
            self.panes.append(&path, &frames)?;
            saved.bytes += frames.len() as u64;
        }
        Ok(saved)
    }

    /// Visits the records of panes that begin at `since_ms` or later: hour by hour, and within an
    /// hour in the order of appending. Holds one segment in memory at a time.
    ///
    /// Returns what could not be used, torn tails excepted: those were never acknowledged.
    pub fn load_panes(
        &self,
        model: &str,
        since_ms: i64,
        mut visit: impl FnMut(PaneRecord),
    ) -> Result<Vec<Rejected>, Error> {
        let mut rejected = Vec::new();
        for (hour, path) in self.segments(model)? {
            if hour.saturating_add(HOUR_MS) <= since_ms {
                continue;
            }
            let contents = self.panes.read(&path)?;
            let mut reject = |offset, reason| {
                rejected.push(Rejected { path: path.clone(), offset, reason });
            };
            for &(offset, reason) in &contents.damaged {
                reject(offset, reason);
            }
            for entry in contents.entries() {
                if entry.version > PANE_FORMAT {
                    let (found, supported) = (entry.version, PANE_FORMAT);
                    return Err(Error::NewerVersion { path, found, supported });
                }
                match decode_pane(&entry, model, hour) {
                    Ok(record) if record.pane_start_ms >= since_ms => visit(record),
                    Ok(_) => {}
                    Err(reason) => reject(entry.at, reason),
                }
            }
        }
        Ok(rejected)
    }

    /// Where the newest pane of a model begins that was ever stored and is still there.
    pub fn newest_pane(&self, model: &str) -> Result<Option<i64>, Error> {
        let newest_first = self.segments(model)?.into_iter().rev();
        for (hour, _) in newest_first {
            let mut newest = None;
            self.load_panes(model, hour, |record| newest = newest.max(Some(record.pane_start_ms)))?;
            if newest.is_some() {
                return Ok(newest);
            }
        }
        Ok(None)
    }

    /// Removes the segments whose every pane begins before `before_ms`; says how many.
    pub fn expire_panes(&self, model: &str, before_ms: i64) -> Result<usize, Error> {
        let dir = self.model_dir(model)?;
        let old = |&(hour, _): &(i64, PathBuf)| hour.saturating_add(HOUR_MS) <= before_ms;
        let gone: Vec<_> = self.segments(model)?.into_iter().filter(old).collect();
        for (_, path) in &gone {
            self.panes.forget(|known| known == path);
            self.disk.remove(path)?;
        }
        if !gone.is_empty() {
            self.disk.sync_dir(&dir)?;
        }
        Ok(gone.len())
    }

    /// Appends to the incident log; durable on return, so what it announces may then be done.
    pub fn append_incident(&self, version: u8, body: &[u8]) -> Result<Saved, Error> {
        let path = self.incidents_path();
        check_size(&path, body)?;
        let mut frame = Vec::new();
        write_frame(&mut frame, KIND_INCIDENT, version, body);
        self.incidents.append(&path, &frame)?;
        Ok(Saved { bytes: frame.len() as u64 })
    }

    /// The whole incident log, oldest first.
    pub fn load_incidents(&self) -> Result<Incidents, Error> {
        let contents = self.incidents.read(&self.incidents_path())?;
        let mut incidents = Incidents {
            unreadable: contents.damaged.len(),
            torn_tail: contents.torn,
            ..Incidents::default()
        };
        for entry in contents.entries() {
            if entry.kind == KIND_INCIDENT {
                incidents.records.push((entry.version, entry.body.to_owned()));
            } else {
                incidents.unreadable += 1;
            }
        }
        Ok(incidents)
    }

    fn incidents_path(&self) -> PathBuf {
        self.dir.join("incidents.log")
    }

    fn panes_dir(&self) -> PathBuf {
        self.dir.join("panes")
    }

    fn model_dir(&self, model: &str) -> Result<PathBuf, Error> {
        Ok(self.panes_dir().join(name::model(model)?))
    }

    /// The segments of a model, oldest hour first.
    fn segments(&self, model: &str) -> Result<Vec<(i64, PathBuf)>, Error> {
        let dir = self.model_dir(model)?;
        let mut segments = Vec::new();
        for path in entries(&dir)? {
            let hour = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            if let (Some(hour), Some(SEGMENT)) = (hour, path.extension().and_then(|e| e.to_str())) {
                segments.push((hour, path));
            }
        }
        segments.sort_unstable();
        Ok(segments)
    }

    /// Removes what a crash left half done.
    fn sweep(&self, dir: &Path, left_over: impl Fn(&str) -> bool) -> Result<(), Error> {
        for path in entries(dir)? {
            if !path.file_name().and_then(|name| name.to_str()).is_some_and(&left_over) {
                continue;
            }
            if path.is_dir() {
                fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
            } else {
                self.disk.remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Locks `lock` in `dir` and writes our process id into it, for the message of the next one.
/// The lock of a process that was killed lives on for a moment if it had just forked a child that has
/// not begun its own program yet; so one look is not enough.
fn take_lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let mut file = disk::private()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io("create", &path))?;
    let mut looks = 0..LOOKS;
    let locked = loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if looks.next().is_some() => thread::sleep(LOOK),
            other => break other,
        }
    };
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.read_to_string(&mut text);
            let pid = read.ok().and_then(|_| text.trim().parse().ok());
            return Err(Error::Locked { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(Error::io("write", &path))?;
    Ok(file)
}

/// The paths in `dir`; a directory that is not there is empty.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", dir)(error)),
    };
    listing.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io("list", dir))).collect()
}

fn hour_of(ms: i64) -> i64 {
    ms.saturating_sub(ms.rem_euclid(HOUR_MS))
}

fn segment_path(dir: &Path, hour: i64) -> PathBuf {
    dir.join(format!("{hour}.{SEGMENT}"))
}

fn check_size(path: &Path, body: &[u8]) -> Result<(), Error> {
    if body.len() > BODY_MAX {
        let (path, bytes) = (path.to_owned(), body.len());
        return Err(Error::TooLarge { path, bytes, limit: BODY_MAX });
    }
    Ok(())
}

fn encode_pane(model: &str, record: &PaneRecord) -> Vec<u8> {
    let mut out = Writer::default();
    out.str(model);
    out.i64(record.pane_start_ms);
    out.bytes(&record.body);
    out.into_bytes()
}

/// A good frame that says another model or hour than its place is a file that was moved here.
fn decode_pane(entry: &Entry<'_>, model: &str, hour: i64) -> Result<PaneRecord, Damage> {
    let mut input = Reader::new(entry.body);
    let read = |input: &mut Reader<'_>| -> Result<_, Truncated> {
        Ok((input.str()? == model, input.i64()?, input.bytes()?.to_owned()))
    };
    let (ours, pane_start_ms, body) = read(&mut input).map_err(|Truncated| Damage::Malformed)?;
    if !input.is_empty() {
        return Err(Damage::Malformed);
    }
    if !ours || hour_of(pane_start_ms) != hour {
        return Err(Damage::Misplaced);
    }
    Ok(PaneRecord { kind: entry.kind, pane_start_ms, body })
}

#[cfg(test)]
mod tests;
