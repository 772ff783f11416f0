//! Delta tables: which Parquet files hold the rows of a version, by the table's own log.
//!
//! A folder of a Delta table also holds files whose rows were replaced. The log says which are in force:
//! one JSON file a version, and now and then a checkpoint (Parquet) with all that came before.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::fetch::delta::checkpoint::read_checkpoint;
use crate::fetch::error::Error;
use crate::fetch::folder::Folder;

mod checkpoint;

/// Of one part of a checkpoint, which only the worker reads.
const CHECKPOINT_MAX: u64 = 256 << 20;
/// Of one commit: more than any of a table with as few files as a baseline has.
const COMMIT_MAX: u64 = 32 << 20;
pub(super) const LOG: &str = "_delta_log";
/// What changes nothing about which rows a plain reader finds.
const FEATURES: [&str; 8] = [
    "appendOnly",
    "columnMapping",
    "deletionVectors",
    "domainMetadata",
    "timestampNtz",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "typeWidening",
];

/// One version of a table.
pub(super) struct Table {
    location: String,
    version: u64,
    /// Names of commits by version, as far as there are any.
    commits: BTreeMap<u64, String>,
    /// The parts of each complete checkpoint.
    checkpoints: BTreeMap<u64, Vec<String>>,
}

/// One line of a commit.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Action {
    pub(super) add: Option<Add>,
    pub(super) remove: Option<Remove>,
    pub(super) protocol: Option<Protocol>,
    pub(super) meta_data: Option<MetaData>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Add {
    pub(super) path: String,
    pub(super) deletion_vector: Option<Value>,
    data_change: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Remove {
    path: String,
    data_change: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Protocol {
    pub(super) min_reader_version: u64,
    pub(super) reader_features: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct MetaData {
    pub(super) configuration: BTreeMap<String, String>,
}

/// What the log adds up to: files in force, each with whether some of its rows are deleted.
#[derive(Default)]
struct State {
    files: BTreeMap<String, bool>,
    protocol: Protocol,
    configuration: BTreeMap<String, String>,
}

impl State {
    fn apply(&mut self, action: Action) {
        if let Some(Remove { path, .. }) = action.remove {
            self.files.remove(&path);
        }
        if let Some(Add { path, deletion_vector, .. }) = action.add {
            self.files.insert(path, deletion_vector.is_some_and(|vector| !vector.is_null()));
        }
        if let Some(protocol) = action.protocol {
            self.protocol = protocol;
        }
        if let Some(meta_data) = action.meta_data {
            self.configuration = meta_data.configuration;
        }
    }
}

/// The folder and the version of `table@v12`, as Delta's own readers write it.
pub(super) fn split_version(location: &str) -> (&str, Option<u64>) {
    let split = location.trim_end_matches('/').rsplit_once("@v");
    match split.and_then(|(folder, version)| Some((folder, version.parse().ok()?))) {
        Some((folder, version)) => (folder, Some(version)),
        None => (location, None),
    }
}

impl Table {
    /// The log by the names of its files, up to `version` or its newest.
    pub(super) fn open(
        location: &str,
        log: Vec<String>,
        version: Option<u64>,
    ) -> Result<Self, Error> {
        let mut commits = BTreeMap::new();
        let mut pieces: BTreeMap<u64, BTreeMap<usize, Vec<String>>> = BTreeMap::new();
        for name in log {
            let Some((number, kind)) = name.split_once('.') else { continue };
            let (20, Ok(number)) = (number.len(), number.parse::<u64>()) else { continue };
            match kind.split('.').collect::<Vec<_>>().as_slice() {
                ["json"] => {
                    commits.insert(number, name);
                }
                ["checkpoint", "parquet"] => {
                    pieces.entry(number).or_default().entry(1).or_default().push(name);
                }
                ["checkpoint", _, of, "parquet"] => {
                    let Ok(of) = of.parse() else { continue };
                    pieces.entry(number).or_default().entry(of).or_default().push(name);
                }
                _ => {}
            }
        }
        let complete = |(number, parts): (u64, BTreeMap<usize, Vec<String>>)| {
            let parts = parts.into_iter().find(|(of, names)| *of == names.len())?;
            Some((number, parts.1))
        };
        let checkpoints: BTreeMap<_, _> = pieces.into_iter().filter_map(complete).collect();
        let table = Self { location: location.to_owned(), version: 0, commits, checkpoints };
        let newest = [table.commits.keys().max(), table.checkpoints.keys().max()];
        let newest = newest.into_iter().flatten().max().copied();
        let newest = newest.ok_or_else(|| table.fault("has no version in its log".to_owned()))?;
        match version {
            Some(version) if version > newest => {
                Err(table.fault(format!("has no version {version}; its newest is {newest}")))
            }
            Some(version) => Ok(Self { version, ..table }),
            None => Ok(Self { version: newest, ..table }),
        }
    }

    /// The name and the very bytes of the commit that changed the rows last: what only rewrites them
    /// (`OPTIMIZE`), or says something of the table (`SET TBLPROPERTIES`), is no new baseline. `None` where
    /// that commit has been cleaned up: which one is the oldest by then says nothing of the rows.
    pub(super) fn last_change(&self, folder: &Folder) -> Result<Option<(String, Bytes)>, Error> {
        for (_, name) in self.commits.range(..=self.version).rev() {
            let bytes = folder.read(&format!("{LOG}/{name}"), COMMIT_MAX)?;
            let changes = self.actions(name, &bytes)?.into_iter().any(|action| {
                action.add.is_some_and(|add| add.data_change)
                    || action.remove.is_some_and(|remove| remove.data_change)
            });
            if changes {
                return Ok(Some((name.clone(), bytes)));
            }
        }
        Ok(None)
    }

    /// The paths of the files in force, below the folder and as they are there.
    pub(super) fn files(&self, folder: &Folder) -> Result<Vec<String>, Error> {
        let state = self.replay(folder)?;
        self.check_protocol(&state)?;
        let mut files = BTreeSet::new();
        for (path, has_deleted) in &state.files {
            if *has_deleted {
                return Err(self.fault(format!(
                    "has a deletion vector for {path}, which driftd does not read; rewrite such files by \
                     `REORG TABLE ... APPLY (PURGE)`"
                )));
            }
            files.insert(self.plain_path(path)?);
        }
        if files.is_empty() {
            return Err(Error::NoRows { location: self.location.clone() });
        }
        Ok(files.into_iter().collect())
    }

    fn replay(&self, folder: &Folder) -> Result<State, Error> {
        let mut state = State::default();
        let mut next = 0;
        if let Some((number, parts)) = self.checkpoints.range(..=self.version).next_back() {
            for name in parts {
                let bytes = folder.read(&format!("{LOG}/{name}"), CHECKPOINT_MAX)?;
                let actions = read_checkpoint(bytes).map_err(|cause| {
                    self.fault(format!("has a checkpoint {LOG}/{name} that can't be read: {cause}"))
                })?;
                actions.into_iter().for_each(|action| state.apply(action));
            }
            next = number + 1;
        }
        for number in next..=self.version {
            let name = self.commits.get(&number).ok_or_else(|| {
                self.fault(format!(
                    "lacks what its version {} is put together from: {LOG}/{number:020}.json is gone and no \
                     checkpoint in its place; name a newer version",
                    self.version
                ))
            })?;
            let bytes = folder.read(&format!("{LOG}/{name}"), COMMIT_MAX)?;
            // A commit has no order: one that deletes rows of a file removes it and adds it again.
            let (removes, others): (Vec<_>, Vec<_>) =
                self.actions(name, &bytes)?.into_iter().partition(|action| action.remove.is_some());
            removes.into_iter().chain(others).for_each(|action| state.apply(action));
        }
        Ok(state)
    }

    fn actions(&self, name: &str, bytes: &[u8]) -> Result<Vec<Action>, Error> {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let read = |line: &[u8]| serde_json::from_slice(line);
        lines
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|error| self.fault(format!("has {LOG}/{name}, which is no commit: {error}")))
    }

    fn check_protocol(&self, state: &State) -> Result<(), Error> {
        let mapping = state.configuration.get("delta.columnMapping.mode");
        if let Some(mode) = mapping.filter(|mode| *mode != "none") {
            return Err(self.fault(format!(
                "has other names of columns in its files (delta.columnMapping.mode = {mode}), which driftd \
                 does not read; write the version that was trained on as plain Parquet"
            )));
        }
        let features = state.protocol.reader_features.iter().flatten();
        let unknown: Vec<&str> =
            features.map(String::as_str).filter(|feature| !FEATURES.contains(feature)).collect();
        if state.protocol.min_reader_version <= 3 && unknown.is_empty() {
            return Ok(());
        }
        Err(self.fault(format!(
            "needs a reader of version {} with {}, which driftd is not; write the version that was trained \
             on as plain Parquet",
            state.protocol.min_reader_version,
            if unknown.is_empty() { "no feature".to_owned() } else { unknown.join(", ") }
        )))
    }

    /// A path in the log is escaped as in a URL, and must not lead out of the table.
    fn plain_path(&self, path: &str) -> Result<String, Error> {
        let odd = || {
            self.fault(format!(
                "has a file elsewhere ({path:?}), as in a shallow clone, which driftd does not follow; make \
                 a deep clone"
            ))
        };
        let plain = unescaped(path).ok_or_else(odd)?;
        let leads_out = plain.split('/').any(|part| matches!(part, "" | "." | ".."));
        if leads_out || path.contains(':') { Err(odd()) } else { Ok(plain) }
    }

    fn fault(&self, cause: String) -> Error {
        Error::DeltaTable { location: self.location.clone(), cause }
    }
}

/// The text with each `%41` as what it stands for.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
