//! Every step that changes the disk, one function each, so that tests can make each of them fail.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::store::Error;

/// The disk. A descriptor lives for one write only: after a failed fsync the kernel forgets what
/// it could not write, and a second fsync of the same descriptor would report success.
#[derive(Debug, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: faults::Faults,
}

impl Disk {
    /// Makes `path` hold exactly `bytes`, durably, or leaves it as it was.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let temp = path.with_extension("tmp");
        let written = self.write_new(&temp, bytes).and_then(|()| {
            self.step().and_then(|()| fs::rename(&temp, path)).map_err(Error::io("rename to", path))
        });
        if let Err(error) = written {
            // Best effort: the next start sweeps what stays, and the write's error is the news.
            drop(fs::remove_file(&temp));
            return Err(error);
        }
        self.sync_dir(parent(path))
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self
            .step()
            .and_then(|()| private().write(true).create(true).truncate(true).open(path))
            .map_err(Error::io("create", path))?;
        self.write_all(&mut file, bytes).map_err(Error::io("write", path))?;
        self.sync(&file).map_err(Error::io("fsync", path))
    }

    /// Makes `bytes` follow the first `keep` bytes of `path`, whatever stood there, durably.
    pub(super) fn append(&self, path: &Path, keep: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self
            .step()
            .and_then(|()| private().write(true).create(true).truncate(false).open(path))
            .map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("look at", path))?.len();
        if length != keep {
            self.step().and_then(|()| file.set_len(keep)).map_err(Error::io("cut", path))?;
        }
        file.seek(SeekFrom::Start(keep)).map_err(Error::io("seek in", path))?;
        self.write_all(&mut file, bytes).map_err(Error::io("write", path))?;
        self.sync(&file).map_err(Error::io("fsync", path))
    }

    /// Cuts `path` to `keep` bytes, durably.
    pub(super) fn cut(&self, path: &Path, keep: u64) -> Result<(), Error> {
        let file = private().write(true).open(path).map_err(Error::io("open", path))?;
        self.step().and_then(|()| file.set_len(keep)).map_err(Error::io("cut", path))?;
        self.sync(&file).map_err(Error::io("fsync", path))
    }

    /// Creates `dir` and what is missing above it, for this user only.
    pub(super) fn create_dir(&self, dir: &Path) -> Result<(), Error> {
        self.step()
            .and_then(|()| DirBuilder::new().recursive(true).mode(0o700).create(dir))
            .map_err(Error::io("create directory", dir))?;
        self.sync_dir(parent(dir))
    }

    pub(super) fn remove(&self, path: &Path) -> Result<(), Error> {
        self.step().and_then(|()| fs::remove_file(path)).map_err(Error::io("remove", path))
    }

    /// New, renamed and removed names survive a crash only after this.
    pub(super) fn sync_dir(&self, dir: &Path) -> Result<(), Error> {
        self.step()
            .and_then(|()| File::open(dir)?.sync_all())
            .map_err(Error::io("fsync directory", dir))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.step()?;
        file.sync_all()
    }

    #[cfg(not(test))]
    fn write_all(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// A write that fails has written a part.
    #[cfg(test)]
    fn write_all(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.step() {
            let part = self.faults.part_of(bytes.len());
            file.write_all(&bytes[..part])?;
            return Err(error);
        }
        file.write_all(bytes)
    }

    #[cfg(not(test))]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        self.faults.step()
    }
}

/// Files that only this user may read: reference counts and evidence are nobody else's business.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
pub(super) mod faults {
    use std::io;
    use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

    /// No room.
    const ENOSPC: i32 = 28;
    /// The medium fails.
    pub(crate) const EIO: i32 = 5;

    /// Lets a number of steps pass, then fails one of them, or that one and all that follow.
    #[derive(Debug)]
    pub(crate) struct Faults {
        passes: AtomicUsize,
        fails: AtomicUsize,
        part_permille: AtomicUsize,
        hits: AtomicUsize,
        code: AtomicI32,
    }

    impl Default for Faults {
        fn default() -> Self {
            Self {
                passes: AtomicUsize::new(usize::MAX),
                fails: AtomicUsize::new(0),
                part_permille: AtomicUsize::new(500),
                hits: AtomicUsize::new(0),
                code: AtomicI32::new(ENOSPC),
            }
        }
    }

    impl Faults {
        pub(crate) fn plan(&self, passes: usize, fails: usize, part_permille: usize) {
            self.passes.store(passes, Ordering::SeqCst);
            self.fails.store(fails, Ordering::SeqCst);
            self.part_permille.store(part_permille, Ordering::SeqCst);
        }

        /// What the disk says when it fails.
        pub(crate) fn say(&self, code: i32) {
            self.code.store(code, Ordering::SeqCst);
        }

        /// Whether the planned fault was reached.
        pub(crate) fn reached(&self) -> bool {
            self.hits.load(Ordering::SeqCst) > 0
        }

        pub(super) fn part_of(&self, length: usize) -> usize {
            length * self.part_permille.load(Ordering::SeqCst) / 1000
        }

        pub(super) fn step(&self) -> io::Result<()> {
            let passes = self.passes.load(Ordering::SeqCst);
            if passes > 0 {
                self.passes.store(passes - 1, Ordering::SeqCst);
                return Ok(());
            }
            let fails = self.fails.load(Ordering::SeqCst);
            if fails == 0 {
                return Ok(());
            }
            self.fails.store(fails - 1, Ordering::SeqCst);
            self.hits.fetch_add(1, Ordering::SeqCst);
            Err(io::Error::from_raw_os_error(self.code.load(Ordering::SeqCst)))
        }
    }
}
