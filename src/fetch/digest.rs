//! The digest of a baseline's source: what changes when the training data do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::fetch::config::Config;
use crate::fetch::error::Error;
use crate::fetch::local::{Opened, Stamp};
use crate::fetch::object::{Part, version};
use crate::fetch::origin::Origin;

/// Digests of files that have not changed since; small, but not without end.
const CACHED_MAX: usize = 4096;
static CACHE: Mutex<BTreeMap<Stamp, String>> = Mutex::new(BTreeMap::new());

#[derive(Deserialize)]
struct OfProfile {
    digest: String,
}

/// What was found at a location, without reading its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// That which `load` would give the baseline: SHA-256 of a file's bytes, of the sorted list of a folder's
    /// or prefix's parts, of what a table's log, a `.dvc` file or a registry says, or what a profile says of
    /// the data it was built from.
    pub digest: String,
    /// The parts are what a folder or prefix held at that moment: it may still be being written.
    pub is_listed: bool,
}

/// A look from this process; `None` where only the worker can tell.
pub(super) async fn look_here(config: &Config, location: &str) -> Result<Option<Look>, Error> {
    let (config, place) = (config.clone(), location.to_owned());
    let looked =
        tokio::task::spawn_blocking(move || Origin::find(&config, &place)?.look(&place)).await;
    looked.map_err(|error| Error::worker(location, &error))?
}

/// Of Parquet files that are open.
pub(super) fn of_local(is_folder: bool, parts: &[(String, Opened)]) -> Result<String, Error> {
    if let [(_, only)] = parts
        && !is_folder
    {
        return of_file(only);
    }
    let mut list = Listing::default();
    for (name, part) in parts {
        list.add(name, part.stamp.size, &of_file(part)?);
    }
    Ok(list.finish())
}

pub(super) fn of_objects(parts: &[Part]) -> String {
    let mut list = Listing::default();
    for Part { name, meta } in parts {
        let (size, version) = version(meta);
        list.add(name, size, &version);
    }
    list.finish()
}

/// Of named values, in this order.
pub(super) fn of_list(values: &[(&str, &[u8])]) -> String {
    let mut sha = Sha256::new();
    for (name, value) in values {
        sha.update(format!("{name}:{}\n", value.len()));
        sha.update(value);
    }
    hex(sha)
}

pub(super) fn of_profile(location: &str, json: &[u8]) -> Result<String, Error> {
    let profile: OfProfile = serde_json::from_slice(json).map_err(|error| Error::Profile {
        location: location.to_owned(),
        cause: format!("not a baseline profile: {error}"),
    })?;
    Ok(profile.digest)
}

fn of_file(opened: &Opened) -> Result<String, Error> {
    if let Some(known) = cache().get(&opened.stamp) {
        return Ok(known.clone());
    }
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut position = 0;
    loop {
        match opened.file.read_at(&mut buffer, position) {
            Ok(0) => break,
            Ok(read) => {
                sha.update(&buffer[..read]);
                position += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(&opened.path, &error)),
        }
    }
    opened.check_unchanged()?;
    let digest = hex(sha);
    let mut cache = cache();
    if cache.len() >= CACHED_MAX {
        cache.clear();
    }
    cache.insert(opened.stamp, digest.clone());
    Ok(digest)
}

fn cache() -> std::sync::MutexGuard<'static, BTreeMap<Stamp, String>> {
    CACHE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A list of parts; lengths are written out, so that no two lists look the same.
#[derive(Default)]
struct Listing(Sha256);

impl Listing {
    fn add(&mut self, name: &str, size: u64, version: &str) {
        self.0.update(format!("{}:{name}\n{size}\n{}:{version}\n", name.len(), version.len()));
    }

    fn finish(self) -> String {
        hex(self.0)
    }
}

fn hex(sha: Sha256) -> String {
    sha.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}
