//! What can be wrong with a baseline, each with the place and what to do.

use std::io;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::baseline::cap::CapError;
use crate::baseline::{LayoutError, SeasonError};
use crate::setting::Span;

use crate::setting::ByteSize;

/// Why a baseline could not be read. It crosses from the worker process, so causes are text.
#[derive(Debug, Error, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum Error {
    #[error("{location}: no such file, folder or object; check the path")]
    Missing { location: String },
    #[error("{location}: access denied ({cause}); check permissions and credentials")]
    Denied { location: String, cause: String },
    #[error("{location}: can't be read: {cause}")]
    Unreadable { location: String, cause: String },
    #[error("{location}: the store can't be reached: {cause}")]
    Unreachable { location: String, cause: String },
    #[error("{location}: refused: {cause}")]
    Refused { location: String, cause: String },
    #[error("{location}: lies outside baseline_root {root}; move it there or change the setting")]
    OutsideRoot { location: String, root: String },
    #[error("{location}: is {what}, not a regular file; a baseline is a file or a folder of parts")]
    NotAFile { location: String, what: String },
    #[error(
        "{location}: no store of this kind; use a path, s3://bucket/key, gs://bucket/key, az://container/key or https://host/file"
    )]
    UnknownStore { location: String },
    #[error(
        "{place} must not hold a user name or password; credentials of a store come from its usual environment"
    )]
    Userinfo { place: String },
    #[error("{location}: a folder without .parquet files")]
    NoParts { location: String },
    #[error("{location}: a folder of more than {max} files; write it as fewer, larger parts")]
    TooManyParts { location: String, max: usize },
    #[error("{location}: the Delta table {cause}")]
    DeltaTable { location: String, cause: String },
    #[error("{location}: the file is empty; write the baseline again")]
    Empty { location: String },
    #[error("{location}: has no rows; there is nothing to learn from it, or to compare with")]
    NoRows { location: String },
    #[error("{location}: not a Parquet file and not a profile (it begins with {found})")]
    NotParquet { location: String, found: String },
    #[error("{location}: the Parquet file is encrypted; write it without encryption")]
    Encrypted { location: String },
    #[error("{location}: the Parquet file is truncated (no footer); copy or write it again")]
    Truncated { location: String },
    #[error(
        "{location}{}: the Parquet data are corrupt: {cause}; write the file again", at(.column)
    )]
    Corrupt { location: String, column: Option<String>, cause: String },
    #[error("{location}: column `{column}` {cause}; all parts of a baseline need the same columns")]
    PartDiffers { location: String, column: String, cause: String },
    #[error("{location}: {fault}")]
    Columns { location: String, fault: LayoutError },
    #[error("{location}: {fault}")]
    Cap { location: String, fault: CapError },
    #[error("{location}: {fault}")]
    Season { location: String, fault: SeasonError },
    #[error("{location}: {cause}")]
    Profile { location: String, cause: String },
    #[error(
        "{location}: a profile has counts for its own cells only; \
         name the Parquet data, or compare profiles that were built with the same cells"
    )]
    OtherCells { location: String },
    #[error("{location}: changed while it was read; write it under another name and move it")]
    Changed { location: String },
    #[error(
        "{location}: reading it takes more than the memory_limit of {limit}; \
         raise the limit or write smaller row groups"
    )]
    MemoryLimit { location: String, limit: ByteSize },
    #[error(
        "{location}: reading it takes more than {most}, which is what the container's memory limit of {limit} leaves \
         beside driftd; raise that limit, or build a profile elsewhere with `driftd baseline build` and name that"
    )]
    NoRoom { location: String, most: ByteSize, limit: ByteSize },
    #[error(
        "{location}: reading it takes longer than the time_limit of {limit}; \
         raise the limit or build a profile with `driftd baseline build`"
    )]
    TimeLimit { location: String, limit: Span },
    #[error("{location}: the process that reads it failed: {cause}")]
    Worker { location: String, cause: String },
}

fn at(column: &Option<String>) -> String {
    column.as_ref().map(|column| format!(": column `{column}`")).unwrap_or_default()
}

impl Error {
    /// The store did not answer: trying again may help, and nothing is known to be wrong.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::Unreachable { .. })
    }

    /// The same of a place that `outer` led to.
    pub(super) fn within(self, outer: &str) -> Self {
        match self {
            Error::Missing { location } => {
                let cause = format!("{location} is not there; check what names it");
                Error::Unreadable { location: outer.to_owned(), cause }
            }
            Error::Denied { location, cause } => {
                Error::Denied { location: format!("{outer}: {location}"), cause }
            }
            Error::Unreachable { location, cause } => {
                Error::Unreachable { location: format!("{outer}: {location}"), cause }
            }
            Error::UnknownStore { location } => {
                Error::UnknownStore { location: format!("{outer}: {location}") }
            }
            other => other,
        }
    }

    pub(super) fn too_large(location: &str, size: u64, max: u64) -> Self {
        let cause = format!("it has {size} bytes, and {max} is the most");
        Error::Unreadable { location: location.to_owned(), cause }
    }

    pub(super) fn io(location: &str, error: &io::Error) -> Self {
        let location = location.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Missing { location },
            io::ErrorKind::PermissionDenied => Error::Denied { location, cause: error.to_string() },
            _ => Error::Unreadable { location, cause: error.to_string() },
        }
    }

    pub(super) fn worker(location: &str, cause: &dyn std::fmt::Display) -> Self {
        Error::Worker { location: location.to_owned(), cause: cause.to_string() }
    }

    pub(super) fn confused(location: &str) -> Self {
        Self::worker(location, &"it answered something that was not asked; is it the same driftd?")
    }
}
