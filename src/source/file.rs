//! Records of files: NDJSON or Parquet, one file or a folder of them, read once from start to end.
//!
//! Nothing is decoded here but Parquet's own pages: NDJSON lines stay bytes, so that they go through
//! the decoder that a topic's payloads go through.

use std::fs;
use std::io;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use thiserror::Error;

use crate::decode::EventTime;

mod lines;
mod moment;
mod table;

pub use moment::RowTime;
pub use moment::TimeAsked;
pub use moment::times_of;

use lines::LineReader;
use table::TableReader;

const MAGIC_PARQUET: &[u8] = b"PAR1";
const MAGIC_GZIP: &[u8] = &[0x1f, 0x8b];
const MAGIC_ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const DEPTH_MAX: usize = 8;

/// What is wrong with a file of records.
#[derive(Debug, Error)]
pub enum Error {
    #[error("{path}")]
    Io { path: String, source: io::Error },
    #[error("{path}: {cause}")]
    Unreadable { path: String, cause: String },
    #[error("{path}: no .parquet, .ndjson, .jsonl or .json file in this folder")]
    NoParts { path: String },
    #[error("{path}: holds Parquet and JSON files; give one kind at a time")]
    Mixed { path: String },
    #[error("{path}: is compressed ({how}); unpack it first")]
    Compressed { path: String, how: &'static str },
    #[error("{path}: a line of more than {max} bytes at byte {at}; is this NDJSON?")]
    LongLine { path: String, at: u64, max: usize },
    #[error("{path}: no record")]
    Nothing { path: String },
    #[error(
        "{path}: no column tells when a row happened (it has: {columns}); name it with \
         --time-column, or let the rows be spread evenly with --rows-per-pane"
    )]
    NoTime { path: String, columns: String },
    #[error("{path}: column `{column}` can't be its time: {cause}")]
    BadTime { path: String, column: String, cause: String },
}

impl Error {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }
}

/// How the rows of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ndjson,
    Parquet,
}

/// A piece of a file, as it is written there.
#[derive(Debug)]
pub enum Chunk {
    Lines(Lines),
    Table(RecordBatch),
}

/// Whole lines without their breaks; blank ones are left out.
#[derive(Debug, Default)]
pub struct Lines {
    pub bytes: Vec<u8>,
    pub lines: Vec<Range<usize>>,
}

impl Lines {
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(|line| &self.bytes[line.clone()])
    }
}

impl Chunk {
    /// How many rows or lines it holds.
    pub fn len(&self) -> usize {
        match self {
            Chunk::Lines(lines) => lines.lines.len(),
            Chunk::Table(table) => table.num_rows(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The files of a location, in order of their names.
#[derive(Debug)]
pub struct FileSource {
    pub kind: Kind,
    pub files: Vec<PathBuf>,
    /// Bytes of all files together: what `Progress` runs up to.
    pub bytes: u64,
    location: String,
}

impl FileSource {
    /// Finds the files of a path and what kind they are; nothing but their first bytes is read.
    ///
    /// # Errors
    /// When there are none, when they are of both kinds, or one can't be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let location = path.display().to_string();
        let metadata = fs::metadata(path).map_err(|error| Error::io(path, error))?;
        let mut files = Vec::new();
        if metadata.is_dir() {
            walk(path, 0, &mut files).map_err(|error| Error::io(path, error))?;
            files.sort();
        } else {
            files.push(path.to_owned());
        }
        let mut kind = None;
        let mut bytes = 0;
        for file in &files {
            let found = kind_of(file)?;
            if kind.is_some_and(|kind| kind != found) {
                return Err(Error::Mixed { path: location });
            }
            kind = Some(found);
            bytes += fs::metadata(file).map_err(|error| Error::io(file, error))?.len();
        }
        let Some(kind) = kind else { return Err(Error::NoParts { path: location }) };
        Ok(Self { kind, files, bytes, location })
    }

    /// As it was given.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Where in a row its time is: what was asked for, else what the model's configuration says,
    /// else a column that is a time by its type or its name.
    ///
    /// # Errors
    /// When there is none, or it is nothing that could be a time.
    pub fn find_time(
        &self,
        asked: &TimeAsked,
        configured: Option<&EventTime>,
    ) -> Result<RowTime, Error> {
        let first = self.files.first().map(PathBuf::as_path).unwrap_or_else(|| Path::new(""));
        match self.kind {
            Kind::Ndjson => moment::of_lines(first, lines::first(first)?, asked, configured),
            Kind::Parquet => moment::of_table(first, &table::first(first)?, asked, configured),
        }
    }

    /// Calls `visit` with every piece, in order, and how many bytes have been read by then; it says
    /// whether to go on.
    ///
    /// # Errors
    /// When a file can't be read to its end.
    pub fn for_each(&self, visit: &mut dyn FnMut(Chunk, u64) -> bool) -> Result<(), Error> {
        let mut before = 0;
        let mut rows = 0;
        for file in &self.files {
            let size = fs::metadata(file).map_err(|error| Error::io(file, error))?.len();
            let mut pass = |chunk: Chunk, read: u64| {
                rows += chunk.len();
                visit(chunk, before + read)
            };
            let go_on = match self.kind {
                Kind::Ndjson => LineReader::open(file)?.for_each(&mut pass)?,
                Kind::Parquet => TableReader::open(file)?.for_each(size, &mut pass)?,
            };
            if !go_on {
                return Ok(());
            }
            before += size;
        }
        if rows == 0 {
            return Err(Error::Nothing { path: self.location.clone() });
        }
        Ok(())
    }
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        if name.starts_with(['_', '.']) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            if depth < DEPTH_MAX {
                walk(&entry.path(), depth + 1, files)?;
            }
        } else if [".parquet", ".parq", ".pq", ".ndjson", ".jsonl", ".json"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// By its first bytes, not by its name.
fn kind_of(file: &Path) -> Result<Kind, Error> {
    let mut head = Vec::new();
    let opened = fs::File::open(file).map_err(|error| Error::io(file, error))?;
    opened.take(4).read_to_end(&mut head).map_err(|error| Error::io(file, error))?;
    let compressed = |how| Error::Compressed { path: file.display().to_string(), how };
    if head.starts_with(MAGIC_GZIP) {
        return Err(compressed("gzip"));
    }
    if head.starts_with(MAGIC_ZSTD) {
        return Err(compressed("zstd"));
    }
    Ok(if head == MAGIC_PARQUET { Kind::Parquet } else { Kind::Ndjson })
}
