//! One current record per name, replaced as a whole: in two generations, or in a single file.
//!
//! A frame's body is `sequence varint | name | version varint | body`. The name inside tells a file
//! that was copied to another name from the real one.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::codec::{FrameError, Reader, Truncated, Writer, read_frame, write_frame};
use crate::store::file::disk::Disk;
use crate::store::file::entries;
use crate::store::{Damage, Error, Loaded, Rejected, Saved};

/// Version of the layout above; the caller's own version is inside.
const FORMAT: u8 = 1;
/// What the codec reads back at most, less room for the name.
const BODY_MAX: usize = 255 << 20;

/// The two generations alternate, so that a write never touches the newest good record.
pub(super) const GENERATIONS: &[&str] = &["0", "1"];
/// For what can be made again and must not silently be an older one.
pub(super) const SINGLE: &[&str] = &["frame"];

#[derive(Debug)]
pub(super) struct Slots {
    disk: Arc<Disk>,
    dir: PathBuf,
    kind: u8,
    endings: &'static [&'static str],
    /// Per file name the slot of the newest good record and its sequence number.
    newest: Mutex<HashMap<String, Newest>>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    slot: usize,
    sequence: u64,
}

#[derive(Debug)]
struct Record {
    sequence: u64,
    version: u8,
    body: Vec<u8>,
}

impl Slots {
    pub(super) fn new(
        disk: &Arc<Disk>,
        dir: PathBuf,
        kind: u8,
        endings: &'static [&'static str],
    ) -> Self {
        Self { disk: Arc::clone(disk), dir, kind, endings, newest: Mutex::default() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Replaces the oldest slot of `file`; when this fails, the newest good record is still there.
    pub(super) fn save(
        &self,
        file: &str,
        name: &str,
        version: u8,
        body: &[u8],
    ) -> Result<Saved, Error> {
        // Held over the write: both generations of a name share the temporary file.
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let last = match newest.get(file) {
            Some(&last) => Some(last),
            None => self.find(file, name)?.0,
        };
        let next = last.map_or(Newest { slot: 0, sequence: 1 }, |last| Newest {
            slot: (last.slot + 1) % self.endings.len(),
            sequence: last.sequence.wrapping_add(1),
        });
        let path = self.path(file, next.slot);
        if body.len() > BODY_MAX {
            return Err(Error::TooLarge { path, bytes: body.len(), limit: BODY_MAX });
        }
        let frame = encode(self.kind, next.sequence, name, version, body);
        self.disk.replace(&path, &frame)?;
        newest.insert(file.to_owned(), next);
        Ok(Saved { bytes: frame.len() as u64 })
    }

    pub(super) fn load(&self, file: &str, name: &str) -> Result<Loaded, Error> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, loaded) = self.find(file, name)?;
        if let Some(last) = last {
            newest.insert(file.to_owned(), last);
        }
        Ok(loaded)
    }

    /// The names of all good records.
    pub(super) fn names(&self) -> Result<BTreeSet<String>, Error> {
        let mut names = BTreeSet::new();
        for path in entries(&self.dir)? {
            let ending = path.extension().and_then(OsStr::to_str);
            if !ending.is_some_and(|ending| self.endings.contains(&ending)) {
                continue;
            }
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // Another generation has just taken its place.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(unreadable(&path, error)),
            };
            let frame = read_frame(&mut bytes.as_slice());
            if let Ok((_, name)) = frame.map_err(|_| Truncated).and_then(|f| decode(f.body)) {
                names.insert(name.to_owned());
            }
        }
        Ok(names)
    }

    /// The good record with the highest sequence number.
    fn find(&self, file: &str, name: &str) -> Result<(Option<Newest>, Loaded), Error> {
        let mut best: Option<(Newest, Record)> = None;
        let mut loaded = Loaded::default();
        let mut refused: Option<Error> = None;
        for slot in 0..self.endings.len() {
            let path = self.path(file, slot);
            let record = match fs::read(&path) {
                Ok(bytes) => self.check(&bytes, name, &path)?,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    refused = Some(unreadable(&path, error));
                    Err(Damage::Unreadable)
                }
            };
            match record {
                Ok(record) => {
                    if best.as_ref().is_none_or(|(last, _)| record.sequence > last.sequence) {
                        best = Some((Newest { slot, sequence: record.sequence }, record));
                    }
                }
                Err(reason) => loaded.rejected.push(Rejected { path, offset: 0, reason }),
            }
        }
        let Some((last, record)) = best else {
            // What cannot be read now may be good: it must not pass for absent.
            return refused.map_or(Ok((None, loaded)), Err);
        };
        let path = self.path(file, last.slot);
        loaded.body = Some((record.version, record.body));
        loaded.modified = fs::metadata(&path).and_then(|data| data.modified()).ok();
        loaded.path = Some(path);
        Ok((Some(last), loaded))
    }

    /// Inner result: the record, or what is wrong with it. Outer: this binary is too old for it.
    fn check(
        &self,
        bytes: &[u8],
        name: &str,
        path: &Path,
    ) -> Result<Result<Record, Damage>, Error> {
        let mut input = bytes;
        let frame = match read_frame(&mut input) {
            Ok(frame) => frame,
            Err(error) => return Ok(Err(damage(&error))),
        };
        if frame.version > FORMAT {
            let path = path.to_owned();
            return Err(Error::NewerVersion { path, found: frame.version, supported: FORMAT });
        }
        if frame.kind != self.kind {
            return Ok(Err(Damage::Misplaced));
        }
        Ok(match decode(frame.body) {
            Ok((_, other)) if other != name => Err(Damage::Misplaced),
            Ok((record, _)) if input.is_empty() => Ok(record),
            Ok(_) | Err(Truncated) => Err(Damage::Malformed),
        })
    }

    fn path(&self, file: &str, slot: usize) -> PathBuf {
        self.dir.join(format!("{file}.{}", self.endings[slot]))
    }
}

pub(super) fn damage(error: &FrameError) -> Damage {
    match error {
        FrameError::Magic => Damage::Foreign,
        FrameError::Short => Damage::Truncated,
        FrameError::Checksum => Damage::Checksum,
    }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::io("read", path)(source)
}

fn encode(kind: u8, sequence: u64, name: &str, version: u8, body: &[u8]) -> Vec<u8> {
    let mut inner = Writer::default();
    inner.u64(sequence);
    inner.str(name);
    inner.u64(u64::from(version));
    inner.bytes(body);
    let mut frame = Vec::new();
    write_frame(&mut frame, kind, FORMAT, &inner.into_bytes());
    frame
}

fn decode(bytes: &[u8]) -> Result<(Record, &str), Truncated> {
    let mut inner = Reader::new(bytes);
    let sequence = inner.u64()?;
    let name = inner.str()?;
    let version = u8::try_from(inner.u64()?).map_err(|_| Truncated)?;
    let body = inner.bytes()?.to_owned();
    if inner.is_empty() { Ok((Record { sequence, version, body }, name)) } else { Err(Truncated) }
}

#[cfg(test)]
mod tests;
