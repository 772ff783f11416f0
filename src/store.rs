//! What must survive a crash: partition states, closed panes, tests, profiles and the incident log.
//!
//! Callers give and get bytes; the store frames, checks and places them. It is synchronous: each
//! call returns when what it wrote is durable, so call it from a thread that may wait for a disk.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::kafka::Error as KafkaError;
use crate::setting::Span;

mod backend;
mod file;
pub mod kafka;

use self::kafka::Unread;

pub use self::kafka::KafkaStore;
pub use backend::{ModelState, Store};
pub use file::FileStore;

/// Where the daemon keeps what must survive it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `file`: a directory of this machine, for one replica. `kafka`: topics, for any number.
    pub backend: Backend,
    /// Directory of the file backend. Only one driftd at a time may use it.
    pub dir: PathBuf,
    /// How often the state of each partition is saved; after a crash at most this much is read again.
    pub snapshot_interval: Span,
    /// The topics of the Kafka backend.
    pub topics: Topics,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: Backend::File,
            dir: PathBuf::from("/var/lib/driftd"),
            snapshot_interval: Span::from_secs(10),
            topics: Topics::default(),
        }
    }
}

/// The topics that replicas share their state by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// Their names are `<prefix>.specs`, `.state`, `.partials` and `.incidents`.
    pub prefix: String,
    /// Partitions of all but the first: the most replicas that can evaluate. It never changes.
    #[schemars(range(min = 1, max = 1000))]
    pub partitions: i32,
    /// Whether a start makes those that are missing; else `driftd topics create` does.
    pub create: bool,
}

impl Default for Topics {
    fn default() -> Self {
        Self { prefix: "driftd".to_owned(), partitions: 12, create: true }
    }
}

impl Config {
    /// Whether this user could keep the state where it is configured, here and now.
    ///
    /// # Errors
    /// A folder that cannot be made or written.
    pub fn check_dir(&self) -> Result<(), Error> {
        match self.backend {
            Backend::File => FileStore::check(&self.dir),
            Backend::Kafka => Ok(()),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    #[default]
    File,
    Kafka,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "state directory {} is in use by another driftd{}; stop that one, or give this one a \
         `state.dir` of its own",
        dir.display(),
        pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    )]
    Locked { dir: PathBuf, pid: Option<u32> },
    #[error(
        "state directory {} can't be used: {cause}{}; give it to this user, or set `state.dir` to a folder of \
         yours",
        dir.display(),
        if path == dir { String::new() } else { format!(" at {}", path.display()) }
    )]
    Directory { dir: PathBuf, path: PathBuf, cause: io::Error },
    #[error(
        "{} was written by a newer driftd (format {found}, this one reads up to {supported}); run \
         that version again, or move the file away to lose what it holds",
        path.display()
    )]
    NewerVersion { path: PathBuf, found: u8, supported: u8 },
    #[error("`{name}` is not a topic name that Kafka allows, so it cannot name a state file")]
    BadTopic { name: String },
    #[error("a model without a name cannot have state")]
    NoName,
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("driftd's topics can't be used: {}", faults.join("; "))]
    Topics { faults: Vec<String> },
    #[error(
        "{} {} not there; run `driftd topics create`, or set state.topics.create: true",
        missing.join(", "),
        if missing.len() == 1 { "is" } else { "are" }
    )]
    NoTopics { missing: Vec<String> },
    #[error(
        "{0}; run that driftd again, or take the record away, which loses what it holds: produce one with the \
         same key and without a value (a tombstone) to that partition"
    )]
    Unread(Box<Unread>),
    #[error("a record of {bytes} bytes for {} is over the limit of {limit}", path.display())]
    TooLarge { path: PathBuf, bytes: usize, limit: usize },
}

impl Error {
    /// The disk may be mounted so for the moment, because it has failed.
    pub fn is_read_only(&self) -> bool {
        let Error::Directory { cause, .. } = self else { return false };
        cause.kind() == io::ErrorKind::ReadOnlyFilesystem
    }

    /// A newer release wrote it: it is neither misread nor written over.
    pub fn is_newer(&self) -> bool {
        matches!(self, Error::NewerVersion { .. } | Error::Unread(_))
    }

    /// No broker answers at present.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::Kafka(KafkaError::Unreachable { .. }))
    }

    /// For `map_err` on a step: what was being done to which file.
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { action, path: path.to_owned(), source }
    }
}

/// What a successful write put on the disk; the caller knows what time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    pub bytes: u64,
}

/// The newest good record of a name, and every file that had to be passed over.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The caller's version and body, as given to `save`; `None` when nothing good is there.
    pub body: Option<(u8, Vec<u8>)>,
    /// The file it came from, and when that was written.
    pub path: Option<PathBuf>,
    pub modified: Option<SystemTime>,
    pub rejected: Vec<Rejected>,
    /// Of the Kafka backend, what can't be used, and the models of which there is nothing else.
    pub unread: Vec<Unread>,
    pub lost: Vec<String>,
}

impl Loaded {
    /// The version and body, or an error if a newer release wrote them: never misread, never
    /// taken for absent.
    pub fn supported(&self, supported: u8) -> Result<Option<(u8, &[u8])>, Error> {
        let Some((found, body)) = &self.body else { return Ok(None) };
        if *found > supported {
            let path = self.path.clone().unwrap_or_default();
            return Err(Error::NewerVersion { path, found: *found, supported });
        }
        Ok(Some((*found, body)))
    }
}

/// A file, or a stretch of one, that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub path: PathBuf,
    /// Where in the file it begins; 0 for whole files.
    pub offset: u64,
    pub reason: Damage,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.path.display(), self.offset, self.reason)
    }
}

/// Why a stored record could not be used. Closed: it is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// Ends early.
    Truncated,
    /// Does not begin like a record of ours.
    Foreign,
    /// Its bytes have changed since they were written.
    Checksum,
    /// A good record of another name: the file was moved or copied here.
    Misplaced,
    /// The checksum holds but the content has no sense: our own bug.
    Malformed,
    /// The disk refused to give it.
    Unreadable,
}

impl Damage {
    pub const ALL: [Damage; 6] = [
        Damage::Truncated,
        Damage::Foreign,
        Damage::Checksum,
        Damage::Misplaced,
        Damage::Malformed,
        Damage::Unreadable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Damage::Truncated => "truncated",
            Damage::Foreign => "foreign",
            Damage::Checksum => "checksum",
            Damage::Misplaced => "misplaced",
            Damage::Malformed => "malformed",
            Damage::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::Truncated => "cut short",
            Damage::Foreign => "not a driftd record",
            Damage::Checksum => "checksum mismatch",
            Damage::Misplaced => "belongs to another name",
            Damage::Malformed => "malformed although its checksum holds",
            Damage::Unreadable => "cannot be read from the disk",
        })
    }
}

/// One record about one pane; `kind` is the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaneRecord {
    pub kind: u8,
    pub pane_start_ms: i64,
    pub body: Vec<u8>,
}

/// What is stored of a model's evaluation.
#[derive(Debug, Default)]
pub struct Kept {
    pub panes: Vec<PaneRecord>,
    /// Pieces that could not be read.
    pub rejected: usize,
    pub test: Loaded,
}

/// The incident log as it was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Incidents {
    /// `(version, body)` in the order of appending.
    pub records: Vec<(u8, Vec<u8>)>,
    /// Stretches of damage between or behind the records. What they held is unknown, so while
    /// there is one nothing may be triggered that they could already have triggered.
    pub unreadable: usize,
    /// The last append never finished, so it was never acknowledged; it has been cut off.
    pub torn_tail: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_body_is_named_not_misread() {
        let loaded = Loaded {
            body: Some((3, vec![1])),
            path: Some("partitions/t-0.1".into()),
            ..Loaded::default()
        };
        assert_eq!(loaded.supported(3).unwrap(), Some((3, &[1u8][..])));
        let message = loaded.supported(2).unwrap_err().to_string();
        assert!(message.contains("partitions/t-0.1"), "{message}");
        assert!(message.contains("format 3, this one reads up to 2"), "{message}");
    }

    #[test]
    fn settings_default_and_refuse_unknown_keys() {
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
        let config: Config =
            serde_json::from_str(r#"{"backend":"file","dir":"/d","snapshot_interval":"30s"}"#)
                .unwrap();
        assert_eq!(config.snapshot_interval, Span::from_secs(30));
        assert!(serde_json::from_str::<Config>(r#"{"directory":"/d"}"#).is_err());
    }
}
