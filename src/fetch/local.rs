//! Local files and folders of parts: what may be read, opened once, and seen to change.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fetch::error::Error;

/// More parts than this are a mistake, and each takes a descriptor.
pub(super) const PARTS_MAX: usize = 512;
const DEPTH_MAX: usize = 8;

/// A regular file, held open.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) file: Arc<File>,
    pub(super) path: String,
    pub(super) stamp: Stamp,
}

/// What changes when the bytes of a file do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) size: u64,
    identity: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            identity: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Stamp {
    /// When the file was last written, in milliseconds since the epoch.
    pub(super) fn modified_ms(&self) -> i64 {
        self.modified.0.saturating_mul(1000) + self.modified.1 / 1_000_000
    }

    /// The same file with the same bytes; its change time moves with its names, too.
    fn is_same(&self, other: &Stamp) -> bool {
        (self.size, self.identity, self.modified) == (other.size, other.identity, other.modified)
    }
}

impl Opened {
    /// Fails if the file is not what it was when it was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        let now = self.file.metadata().map_err(|error| Error::io(&self.path, &error))?;
        // A rename over the path only moves the change time: the bytes that are open stay.
        let now = Stamp::of(&now);
        if (now.size, now.modified) == (self.stamp.size, self.stamp.modified) {
            Ok(())
        } else {
            Err(Error::Changed { location: self.path.clone() })
        }
    }

    /// Up to `length` bytes from the start.
    pub(super) fn head(&self, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut bytes[filled..], filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(&self.path, &error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// Opens a regular file; what is really open must lie in `root`, whatever links led there.
pub(super) fn open(path: &Path, root: Option<&Path>) -> Result<Opened, Error> {
    let shown = path.display().to_string();
    // Without O_NONBLOCK the open of a FIFO would wait for a writer for ever.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| Error::io(&shown, &error))?;
    let metadata = file.metadata().map_err(|error| Error::io(&shown, &error))?;
    if !metadata.is_file() {
        return Err(Error::NotAFile { location: shown, what: kind_of(&metadata).to_owned() });
    }
    if let Some(root) = root {
        check_within(&real_path(&file, path), &shown, root)?;
    }
    Ok(Opened { file: Arc::new(file), path: shown, stamp: Stamp::of(&metadata) })
}

/// Where an open file is; asking for the path again would leave room for a swap in between.
fn real_path(file: &File, path: &Path) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    if cfg!(target_os = "linux") {
        fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
    } else {
        fs::canonicalize(path)
    }
}

fn check_within(real: &io::Result<PathBuf>, shown: &str, root: &Path) -> Result<(), Error> {
    let real = real.as_ref().map_err(|error| Error::io(shown, error))?;
    let canonical = fs::canonicalize(root)
        .map_err(|error| Error::io(&format!("baseline_root {}", root.display()), &error))?;
    if real.starts_with(&canonical) {
        return Ok(());
    }
    Err(Error::OutsideRoot { location: shown.to_owned(), root: root.display().to_string() })
}

fn kind_of(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_dir() {
        "a folder"
    } else {
        "a device"
    }
}

/// The parts of a location with their names, in order of name: a file is one part.
pub(super) fn parts(path: &Path, root: Option<&Path>) -> Result<Vec<(String, PathBuf)>, Error> {
    let shown = path.display().to_string();
    let metadata = fs::metadata(path).map_err(|error| Error::io(&shown, &error))?;
    if !metadata.is_dir() {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        return Ok(vec![(name.unwrap_or_default(), path.to_owned())]);
    }
    if let Some(root) = root {
        check_within(&fs::canonicalize(path), &shown, root)?;
    }
    let mut parts = Vec::new();
    walk(path, "", 0, &mut parts).map_err(|error| Error::io(&shown, &error))?;
    if parts.is_empty() {
        return Err(Error::NoParts { location: shown });
    }
    if parts.len() > PARTS_MAX {
        return Err(Error::TooManyParts { location: shown, max: PARTS_MAX });
    }
    parts.sort();
    Ok(parts)
}

/// Fails if the folder at `path` no longer holds the parts that were `opened`, or others as well.
pub(super) fn check_listing(
    path: &Path,
    root: Option<&Path>,
    opened: &[(String, Opened)],
) -> Result<(), Error> {
    let now = match parts(path, root) {
        // Whoever writes it anew begins by emptying it.
        Err(Error::NoParts { .. } | Error::Missing { .. }) => Vec::new(),
        now => now?,
    };
    let is_same = |((name, path), (before, opened)): (&(String, PathBuf), &(String, Opened))| {
        let stamp = fs::metadata(path).map(|metadata| Stamp::of(&metadata));
        name == before && stamp.is_ok_and(|stamp| stamp.is_same(&opened.stamp))
    };
    if now.len() == opened.len() && now.iter().zip(opened).all(is_same) {
        return Ok(());
    }
    Err(Error::Changed { location: path.display().to_string() })
}

/// Folders below are followed, links to folders are not: they could turn in a circle.
fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    parts: &mut Vec<(String, PathBuf)>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let relative = format!("{prefix}{name}");
        if name.starts_with(['_', '.']) || parts.len() > PARTS_MAX {
            continue;
        }
        if entry.file_type()?.is_dir() {
            if depth < DEPTH_MAX {
                walk(&entry.path(), &format!("{relative}/"), depth + 1, parts)?;
            }
        } else if is_part(&name) {
            parts.push((relative, entry.path()));
        }
    }
    Ok(())
}

/// Whether a name in a folder or under a prefix is a part: Spark's `_SUCCESS` and the like are not.
pub(super) fn is_part(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    !file.starts_with(['_', '.'])
        && [".parquet", ".parq", ".pq"].iter().any(|end| file.to_ascii_lowercase().ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_grows_while_it_is_open_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        fs::write(&path, b"before").unwrap();
        let opened = open(&path, None).unwrap();
        opened.check_unchanged().unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"after").unwrap();
        let error = opened.check_unchanged().unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error}");
    }

    #[test]
    fn a_file_that_is_replaced_by_a_rename_is_read_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (path, next) = (folder.path().join("x.parquet"), folder.path().join("next"));
        fs::write(&path, b"before").unwrap();
        let opened = open(&path, None).unwrap();
        fs::write(&next, b"quite another").unwrap();
        fs::rename(&next, &path).unwrap();
        opened.check_unchanged().unwrap();
        assert_eq!(opened.head(100).unwrap(), b"before");
    }

    #[test]
    fn parts_are_parquet_files_in_order_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("year=2026/.hidden")).unwrap();
        for name in [
            "b.parquet",
            "a.PARQUET",
            "_SUCCESS",
            "_x.parquet",
            ".c.parquet",
            "notes.txt",
            "year=2026/d.pq",
            "year=2026/.hidden/e.parquet",
        ] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let names: Vec<_> =
            parts(folder.path(), None).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.PARQUET", "b.parquet", "year=2026/d.pq"]);
    }
}
