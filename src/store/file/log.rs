//! Append-only files of frames: what was acknowledged is found again, whatever happened around it.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::codec::{FrameError, read_frame};
use crate::store::file::disk::Disk;
use crate::store::file::slots::damage;
use crate::store::{Damage, Error};

/// How a frame begins, how long its header is, and where the length stands in it.
const MAGIC: &[u8] = b"DRF1";
const HEADER: usize = 14;
const LENGTH: Range<usize> = 6..10;

/// All logs of one directory tree; appends to them take turns.
#[derive(Debug)]
pub(super) struct Logs {
    disk: Arc<Disk>,
    /// Per file how many of its bytes are good, once this process has looked.
    good: Mutex<HashMap<PathBuf, u64>>,
}

/// What a log holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    bytes: Vec<u8>,
    frames: Vec<Found>,
    /// Where each damaged stretch begins, and what is wrong there.
    pub(super) damaged: Vec<(u64, Damage)>,
    /// An append that never finished was cut off.
    pub(super) torn: bool,
}

#[derive(Debug)]
struct Found {
    kind: u8,
    version: u8,
    at: usize,
    body: Range<usize>,
}

/// One good frame and where it stands.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) kind: u8,
    pub(super) version: u8,
    pub(super) at: u64,
    pub(super) body: &'a [u8],
}

impl Contents {
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.frames.iter().map(|found| Entry {
            kind: found.kind,
            version: found.version,
            at: found.at as u64,
            body: &self.bytes[found.body.clone()],
        })
    }
}

impl Logs {
    pub(super) fn new(disk: &Arc<Disk>) -> Self {
        Self { disk: Arc::clone(disk), good: Mutex::default() }
    }

    /// Appends whole frames. When this fails, nothing of them is kept: the next append overwrites.
    pub(super) fn append(&self, path: &Path, frames: &[u8]) -> Result<(), Error> {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let length = fs::metadata(path).map(|data| data.len()).unwrap_or(0);
        let known = good.get(path).copied().filter(|&known| known <= length);
        let keep = match known {
            Some(known) => known,
            None => {
                let (_, keep) = self.read_and_cut(path, None)?;
                // The name may be new, or an earlier process may have died before it was durable.
                self.disk.append(path, keep, &[])?;
                self.disk.sync_dir(path.parent().unwrap_or(Path::new(".")))?;
                good.insert(path.to_owned(), keep);
                keep
            }
        };
        self.disk.append(path, keep, frames)?;
        good.insert(path.to_owned(), keep + frames.len() as u64);
        Ok(())
    }

    /// Makes `path` hold exactly these frames, or leaves it as it was.
    pub(super) fn replace(&self, path: &Path, frames: &[u8]) -> Result<(), Error> {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        // Should it fail behind the renaming, the next append looks again.
        good.remove(path);
        self.disk.replace(path, frames)?;
        good.insert(path.to_owned(), frames.len() as u64);
        Ok(())
    }

    /// Everything good in `path`; a log that is not there is empty.
    pub(super) fn read(&self, path: &Path) -> Result<Contents, Error> {
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_and_cut(path, good.get(path).copied()).map(|(contents, _)| contents)
    }

    /// Forgets the logs for which `gone` holds; call it before removing them.
    pub(super) fn forget(&self, gone: impl Fn(&Path) -> bool) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.retain(|path, _| !gone(path));
    }

    /// Bytes behind `acknowledged` are what a failed append left; they count for nothing.
    fn read_and_cut(
        &self,
        path: &Path,
        acknowledged: Option<u64>,
    ) -> Result<(Contents, u64), Error> {
        let mut bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        if let Some(length) = acknowledged.and_then(|length| usize::try_from(length).ok()) {
            bytes.truncate(length);
        }
        let (mut contents, keep) = scan(&bytes);
        if contents.torn {
            self.disk.cut(path, keep)?;
        }
        contents.bytes = bytes;
        Ok((contents, keep))
    }
}

/// Finds every good frame, and how many bytes to keep: all, or all but a torn tail.
fn scan(bytes: &[u8]) -> (Contents, u64) {
    let mut contents = Contents::default();
    let mut at = 0;
    while at < bytes.len() {
        let mut rest = &bytes[at..];
        match read_frame(&mut rest) {
            Ok(frame) => {
                let end = bytes.len() - rest.len();
                let body = end - frame.body.len()..end;
                contents.frames.push(Found { kind: frame.kind, version: frame.version, at, body });
                at = end;
            }
            Err(error) => match next_good(bytes, at + 1) {
                Some(next) => {
                    contents.damaged.push((at as u64, damage(&error)));
                    at = next;
                }
                None if is_torn(&bytes[at..], &error) => {
                    contents.torn = true;
                    return (contents, at as u64);
                }
                None => {
                    contents.damaged.push((at as u64, damage(&error)));
                    break;
                }
            },
        }
    }
    (contents, bytes.len() as u64)
}

/// Where the next good frame begins, at `from` or later.
fn next_good(bytes: &[u8], from: usize) -> Option<usize> {
    let starts = bytes.get(from..)?.windows(MAGIC.len()).enumerate();
    starts
        .filter(|(_, window)| *window == MAGIC)
        .map(|(i, _)| from + i)
        .find(|&at| read_frame(&mut &bytes[at..]).is_ok())
}

/// An unfinished append leaves the beginning of a frame, or blocks of zeros that were reserved for
/// it. Anything else was once whole: it is kept and counted, because it may have been acknowledged.
fn is_torn(tail: &[u8], error: &FrameError) -> bool {
    let begins = tail.iter().zip(MAGIC).all(|(a, b)| a == b);
    let cut_short = begins && *error == FrameError::Short && !is_whole_but_for_length(tail);
    cut_short || tail.iter().all(|&byte| byte == 0)
}

/// A whole frame whose length alone was damaged looks cut short; with the true length its checksum
/// holds.
fn is_whole_but_for_length(tail: &[u8]) -> bool {
    let Some(length) = tail.len().checked_sub(HEADER).and_then(|len| u32::try_from(len).ok())
    else {
        return false;
    };
    let mut mended = tail.to_vec();
    mended[LENGTH].copy_from_slice(&length.to_le_bytes());
    read_frame(&mut mended.as_slice()).is_ok()
}

#[cfg(test)]
mod tests;
