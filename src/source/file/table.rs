//! Parquet: all columns of some thousand rows at a time.

use std::fs::File;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::source::file::Chunk;
use crate::source::file::Error;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8192;

pub(super) struct TableReader {
    reader: ParquetRecordBatchReader,
    path: PathBuf,
    rows: u64,
}

impl TableReader {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let (reader, rows) = caught(path, || {
            let builder =
                ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
            let rows = builder.metadata().file_metadata().num_rows();
            let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|e| e.to_string())?;
            Ok((reader, u64::try_from(rows).unwrap_or_default()))
        })?;
        Ok(Self { reader, path: path.to_owned(), rows })
    }

    /// `false` when `visit` wanted no more. `size` is the file's, for the progress.
    pub(super) fn for_each(
        mut self,
        size: u64,
        visit: &mut dyn FnMut(Chunk, u64) -> bool,
    ) -> Result<bool, Error> {
        let mut rows = 0;
        while let Some(batch) = self.next()? {
            rows += batch.num_rows() as u64;
            let read = u128::from(size) * u128::from(rows) / u128::from(self.rows.max(1));
            if !visit(Chunk::Table(batch), u64::try_from(read).unwrap_or(size)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let reader = &mut self.reader;
        caught(&self.path, || reader.next().transpose().map_err(|error| error.to_string()))
    }
}

/// The first rows of a file: its columns, their types and some values.
pub(super) fn first(path: &Path) -> Result<RecordBatch, Error> {
    let found = TableReader::open(path)?.next()?;
    found.ok_or_else(|| Error::Nothing { path: path.display().to_string() })
}

/// What the reader says, or the message that it panicked with: a damaged file can make it.
fn caught<T>(path: &Path, read: impl FnOnce() -> Result<T, String>) -> Result<T, Error> {
    let cause = match panic::catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(cause)) => cause,
        Err(said) => {
            let text = said.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| said.downcast_ref::<&str>().copied());
            format!("the reader gave up: {}", text.unwrap_or("without a word"))
        }
    };
    Err(Error::Unreadable { path: path.display().to_string(), cause })
}
