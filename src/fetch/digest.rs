//! The digest of a baseline's source: what changes when the training data do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::fetch::error::Error;
use crate::fetch::local::{self, Opened, Stamp};
use crate::fetch::object::{Bucket, Part, is_url};
use crate::fetch::{Config, worker};

/// Digests of files that have not changed since; small, but not without end.
const CACHED_MAX: usize = 4096;
static CACHE: Mutex<BTreeMap<Stamp, String>> = Mutex::new(BTreeMap::new());

#[derive(Deserialize)]
struct OfProfile {
    digest: String,
}

/// The digest that `load` would give the baseline at `location`, without reading its columns:
/// SHA-256 of a file's bytes, of the sorted list of a folder's or prefix's parts, or what a
/// profile says of the data it was built from.
///
/// # Errors
/// As `load`, as far as it looks.
pub async fn digest(config: &Config, location: &str) -> Result<String, Error> {
    if is_url(location) {
        let bucket = Bucket::open(config.s3.as_ref(), location)?;
        let parts = bucket.parts().await?;
        return match parts.as_slice() {
            [only] if worker::is_profile_name(&only.name) => {
                of_profile(location, &bucket.whole(only, worker::PROFILE_MAX).await?)
            }
            parts => Ok(of_objects(parts)),
        };
    }
    let (path, root) = (PathBuf::from(location), config.baseline_root.clone());
    let hashed = tokio::task::spawn_blocking(move || of_path(&path, root.as_deref())).await;
    hashed.map_err(|error| Error::worker(location, &error))?
}

fn of_path(path: &Path, root: Option<&Path>) -> Result<String, Error> {
    let parts = local::parts(path, root)?;
    let mut opened = Vec::with_capacity(parts.len());
    for (name, path) in parts {
        opened.push((name, local::open(&path, root)?));
    }
    of_local(path, &opened)
}

/// Of a file or folder whose parts are open.
pub(super) fn of_local(path: &Path, parts: &[(String, Opened)]) -> Result<String, Error> {
    if let [(_, only)] = parts
        && !path.is_dir()
    {
        if worker::looks_like_profile(&only.head(worker::HEAD)?) {
            let json = worker::read_profile(only)?;
            return of_profile(&only.path, &json);
        }
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
        let version = meta.version.as_deref().or(meta.e_tag.as_deref()).unwrap_or_default();
        list.add(name, meta.size, version);
    }
    list.finish()
}

fn of_profile(location: &str, json: &[u8]) -> Result<String, Error> {
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
