//! Parquet parts as one table that is read a column at a time.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Fields};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use serde::Deserialize;

use crate::baseline::Source;

use crate::fetch::error::Error;
use crate::fetch::local::Opened;
use crate::fetch::object::{Remote, RemoteRead};

/// Rows that are decoded at once: long strings must fit, too.
const BATCH_ROWS: usize = 8192;
const MAGIC: &[u8] = b"PAR1";
const MAGIC_ENCRYPTED: &[u8] = b"PARE";
/// Magic, footer length, magic.
const SIZE_MIN: u64 = 12;

/// The bytes of one part.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Local(Opened),
    Remote(Remote),
}

impl Length for Input {
    fn len(&self) -> u64 {
        match self {
            Input::Local(opened) => opened.stamp.size,
            Input::Remote(remote) => remote.size(),
        }
    }
}

impl ChunkReader for Input {
    type T = BufReader<InputRead>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(BufReader::new(match self {
            Input::Local(opened) => InputRead::Local(opened.clone(), start),
            Input::Remote(remote) => InputRead::Remote(RemoteRead::new(remote.clone(), start)),
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        // The length comes from the file: what is not there must not be allocated either.
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} are wanted of a file of {}",
                self.len()
            )));
        }
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads a part from a position on, with no position shared between readers.
#[derive(Debug)]
pub(super) enum InputRead {
    Local(Opened, u64),
    Remote(RemoteRead),
}

impl Read for InputRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            InputRead::Local(opened, position) => {
                let read = opened.file.read_at(out, *position)?;
                *position += read as u64;
                Ok(read)
            }
            InputRead::Remote(read) => read.read(out),
        }
    }
}

/// One part with its checked footer.
struct Part {
    location: String,
    input: Input,
    metadata: ArrowReaderMetadata,
}

/// All parts of a baseline; they have the same columns.
pub(super) struct Table {
    parts: Vec<Part>,
    columns: Vec<(String, DataType)>,
    pub(super) rows: u64,
}

impl Table {
    /// Reads the footers of `parts`, each with the location that errors name.
    pub(super) fn open(location: &str, parts: Vec<(String, Input)>) -> Result<Self, Error> {
        let parts = parts
            .into_iter()
            .map(|(location, input)| Part::open(location, input))
            .collect::<Result<Vec<_>, _>>()?;
        let mut rows = 0u64;
        let mut columns: Vec<(String, DataType)> = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            rows = rows.saturating_add(part.rows()?);
            let fields = part.metadata.schema().fields();
            if i == 0 {
                columns =
                    fields.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
            } else {
                unify(&part.location, &mut columns, fields)?;
            }
        }
        if rows == 0 {
            return Err(Error::NoRows { location: location.to_owned() });
        }
        Ok(Self { parts, columns, rows })
    }

    pub(super) fn source(&self) -> Source {
        let pandas_index = self.parts.first().map(Part::pandas_index).unwrap_or_default();
        Source { columns: self.columns.clone(), pandas_index }
    }

    /// No part comes over a network.
    pub(super) fn is_local(&self) -> bool {
        self.parts.iter().all(|part| matches!(part.input, Input::Local(_)))
    }

    /// Position and type of a column.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, _)| column == name)
    }

    /// Whether more than one column has the name.
    pub(super) fn has_twice(&self, name: &str) -> bool {
        self.columns.iter().filter(|(column, _)| column == name).count() > 1
    }

    /// Calls `visit` with all rows of a column, in order, some thousand at a time.
    pub(super) fn for_each(
        &self,
        column: usize,
        visit: &mut dyn FnMut(&ArrayRef),
    ) -> Result<(), Error> {
        let (name, _) = &self.columns[column];
        let mut rows = 0;
        for part in &self.parts {
            part.read(name, &mut |array| {
                rows += array.len() as u64;
                visit(array);
            })?;
        }
        if rows == self.rows {
            return Ok(());
        }
        let cause = format!("it has {rows} rows where the footer says {}", self.rows);
        let location = self.parts.first().map(|part| part.location.clone()).unwrap_or_default();
        Err(Error::Corrupt { location, column: Some(name.clone()), cause })
    }

    /// Fails if a part changed since it was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        self.parts.iter().try_for_each(|part| match &part.input {
            Input::Local(opened) => opened.check_unchanged(),
            Input::Remote(remote) => remote.check_unchanged(),
        })
    }
}

impl Part {
    fn open(location: String, input: Input) -> Result<Self, Error> {
        check_magic(&location, &input)?;
        let options = ArrowReaderOptions::new();
        match caught(|| ArrowReaderMetadata::load(&input, options)) {
            Ok(metadata) => Ok(Self { location, input, metadata }),
            Err(cause) => Err(corrupt(&location, None, &input, cause)),
        }
    }

    fn rows(&self) -> Result<u64, Error> {
        let rows = self.metadata.metadata().file_metadata().num_rows();
        u64::try_from(rows).map_err(|_| Error::Corrupt {
            location: self.location.clone(),
            column: None,
            cause: format!("the footer says {rows} rows"),
        })
    }

    fn read(&self, column: &str, visit: &mut dyn FnMut(&ArrayRef)) -> Result<(), Error> {
        let fault = |cause| corrupt(&self.location, Some(column), &self.input, cause);
        let root = self.metadata.schema().index_of(column).map_err(|e| fault(e.to_string()))?;
        caught(|| {
            let mask = ProjectionMask::roots(self.metadata.parquet_schema(), [root]);
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(
                self.input.clone(),
                self.metadata.clone(),
            )
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()?;
            for batch in reader {
                let batch = batch.map_err(|error| ParquetError::ArrowError(error.to_string()))?;
                visit(batch.column(0));
            }
            Ok(())
        })
        .map_err(fault)
    }

    /// The columns that pandas says are its index; a range index is no column.
    fn pandas_index(&self) -> BTreeSet<String> {
        #[derive(Deserialize)]
        struct Pandas {
            index_columns: Vec<serde_json::Value>,
        }
        let metadata = self.metadata.metadata().file_metadata().key_value_metadata();
        let text = metadata.into_iter().flatten().find(|pair| pair.key == "pandas");
        let pandas: Option<Pandas> = text
            .and_then(|pair| pair.value.as_deref())
            .and_then(|text| serde_json::from_str(text).ok());
        let names = pandas.into_iter().flat_map(|pandas| pandas.index_columns);
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }
}

fn check_magic(location: &str, input: &Input) -> Result<(), Error> {
    let location = location.to_owned();
    let size = input.len();
    if size == 0 {
        return Err(Error::Empty { location });
    }
    let head = bytes_at(&location, input, 0, size.min(4))?;
    if head == MAGIC_ENCRYPTED {
        return Err(Error::Encrypted { location });
    }
    if head != MAGIC {
        return Err(Error::NotParquet {
            location,
            found: format!("{:?}", head.escape_ascii().to_string()),
        });
    }
    if size < SIZE_MIN || bytes_at(&location, input, size - 4, 4)? != MAGIC {
        return Err(Error::Truncated { location });
    }
    Ok(())
}

fn bytes_at(location: &str, input: &Input, start: u64, length: u64) -> Result<Bytes, Error> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    input.get_bytes(start, length).map_err(|e| corrupt(location, None, input, e.to_string()))
}

/// What the reader says, or the message that it panicked with.
fn caught<T>(read: impl FnOnce() -> ParquetResult<T>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("the reader gave up: {}", text.unwrap_or("without a message")))
        }
    }
}

/// The store's own failure if there was one, else the fault of the data.
fn corrupt(location: &str, column: Option<&str>, input: &Input, cause: String) -> Error {
    let failure = match input {
        Input::Local(_) => None,
        Input::Remote(remote) => remote.take_failure(),
    };
    failure.unwrap_or_else(|| Error::Corrupt {
        location: location.to_owned(),
        column: column.map(str::to_owned),
        cause,
    })
}

/// Widens `columns` so that the fields of a further part fit, too.
fn unify(location: &str, columns: &mut [(String, DataType)], fields: &Fields) -> Result<(), Error> {
    let differs = |column: &str, cause: String| Error::PartDiffers {
        location: location.to_owned(),
        column: column.to_owned(),
        cause,
    };
    for field in fields {
        if !columns.iter().any(|(name, _)| name == field.name()) {
            return Err(differs(field.name(), "is not in the first part".to_owned()));
        }
    }
    for (name, data_type) in columns {
        let Some((_, field)) = fields.find(name) else {
            return Err(differs(name, "is in the first part but not here".to_owned()));
        };
        *data_type = wider(data_type, field.data_type()).ok_or_else(|| {
            differs(name, format!("holds {} here and {data_type} before", field.data_type()))
        })?;
    }
    Ok(())
}

/// The type that holds both: a part without values may have none, one without nulls may be narrower.
fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    let plain = |t: &DataType| match t {
        DataType::Dictionary(_, values) => (**values).clone(),
        other => other.clone(),
    };
    let is_text =
        |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let is_binary_number = |t: &DataType| t.is_integer() || t.is_floating();
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (a, b) if a.is_integer() && b.is_integer() => Some(DataType::Int64),
        (a, b) if is_binary_number(a) && is_binary_number(b) => Some(DataType::Float64),
        (DataType::Timestamp(..), DataType::Timestamp(..)) => Some(a.clone()),
        (a, b) if is_text(&plain(a)) && is_text(&plain(b)) => Some(a.clone()),
        (a, b) if matches!(a, DataType::Dictionary(..)) && plain(a) == plain(b) => Some(a.clone()),
        _ => None,
    }
}
