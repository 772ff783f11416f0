//! Objects of a store: listed, read in ranges, and seen to change.
//!
//! Ranges rather than a copy on disk: a container with a read-only root has no room for one, only
//! the columns that are wanted are transferred, and `If-Match` on every range means that all bytes
//! are of one version.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::fetch::config::Config;
use crate::fetch::error::Error;
use crate::fetch::local::{PARTS_MAX, is_part};
use crate::fetch::provider::Provider;

const HEADS_AT_ONCE: usize = 16;
const BLOCK: u64 = 8 << 20;
/// Small files of many columns stay whole in the cache, large ones cost a bounded amount.
const BLOCKS_MAX: usize = 8;

/// A store, and what to read in it.
#[derive(Debug)]
pub(super) struct Bucket {
    provider: Provider,
    location: String,
}

/// One object of a listing, by its name below the location.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) meta: ObjectMeta,
}

/// What a location names.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) parts: Vec<Part>,
    /// They are what a prefix held when it was listed: nothing says that these are all.
    pub(super) is_listed: bool,
}

impl Bucket {
    pub(super) fn open(config: &Config, location: &str) -> Result<Self, Error> {
        let provider = Provider::open(config, location)?;
        Ok(Self { provider, location: location.to_owned() })
    }

    /// A place of which something else says what is in it.
    pub(super) fn open_folder(config: &Config, location: &str) -> Result<Self, Error> {
        let provider = Provider::open_folder(config, location)?;
        Ok(Self { provider, location: location.to_owned() })
    }

    /// The object of that key; without one, the Parquet files under it as a prefix.
    pub(super) async fn parts(&self) -> Result<Found, Error> {
        let Provider { store, key, is_prefix, lists, .. } = &self.provider;
        if !is_prefix {
            match store.head(key).await {
                Ok(meta) => {
                    let name = key.filename().unwrap_or_default().to_owned();
                    let parts = vec![self.checked(Part { name, meta })?];
                    return Ok(Found { parts, is_listed: false });
                }
                Err(object_store::Error::NotFound { .. }) if *lists => {}
                Err(error) => return Err(self.fault(&error)),
            }
        }
        Ok(Found { parts: self.list().await?, is_listed: true })
    }

    /// The Parquet files under the key as a prefix.
    async fn list(&self) -> Result<Vec<Part>, Error> {
        let Provider { store, key, .. } = &self.provider;
        let mut listing = store.list(Some(key));
        let mut parts = Vec::new();
        let prefix = format!("{key}/");
        while let Some(meta) = listing.try_next().await.map_err(|error| self.fault(&error))? {
            let found = meta.location.as_ref();
            let name = found.strip_prefix(&prefix).unwrap_or(found).to_owned();
            let hidden = name.split('/').any(|part| part.starts_with(['_', '.']));
            if !hidden && is_part(&name) {
                parts.push(Part { name, meta });
            }
            if parts.len() > PARTS_MAX {
                let location = self.location.clone();
                return Err(Error::TooManyParts { location, max: PARTS_MAX });
            }
        }
        if parts.is_empty() {
            return Err(Error::Missing { location: self.location.clone() });
        }
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(parts)
    }

    /// Fails if the prefix no longer holds the parts that were listed before, or others as well.
    pub(super) async fn check_listing(&self, before: &[Part]) -> Result<(), Error> {
        let now = match self.list().await {
            // Whoever writes it anew begins by emptying it.
            Err(Error::Missing { .. }) => Vec::new(),
            now => now?,
        };
        let what = |part: &Part| (part.name.clone(), version(&part.meta));
        if now.iter().map(what).eq(before.iter().map(what)) {
            return Ok(());
        }
        Err(Error::Changed { location: self.location.clone() })
    }

    /// The objects of these keys below the location, each with the name that it goes by.
    pub(super) async fn files(&self, files: Vec<(String, String)>) -> Result<Vec<Part>, Error> {
        let look =
            |(name, key): (String, String)| async move {
                let path = self.below(&key)?;
                let meta =
                    self.provider.store.head(&path).await.map_err(|error| {
                        fault(&format!("{}/{path}", self.provider.root), &error)
                    })?;
                self.checked(Part { name, meta })
            };
        futures_util::stream::iter(files.into_iter().map(look))
            .buffered(HEADS_AT_ONCE)
            .try_collect()
            .await
    }

    /// The names of the objects in a folder below the location.
    pub(super) async fn names(&self, folder: &str) -> Result<Vec<String>, Error> {
        let folder = self.below(folder)?;
        let listed = self.provider.store.list_with_delimiter(Some(&folder)).await;
        let objects = listed.map_err(|error| self.fault(&error))?.objects;
        Ok(objects.iter().filter_map(|meta| meta.location.filename().map(str::to_owned)).collect())
    }

    /// A whole object below the location.
    pub(super) async fn read(&self, key: &str, max: u64) -> Result<Bytes, Error> {
        let path = self.below(key)?;
        let place = format!("{}/{path}", self.provider.root);
        let answer = self.provider.store.get(&path).await.map_err(|error| fault(&place, &error))?;
        if answer.meta.size > max {
            return Err(Error::too_large(&place, answer.meta.size, max));
        }
        answer.bytes().await.map_err(|error| fault(&place, &error))
    }

    fn below(&self, key: &str) -> Result<Path, Error> {
        Path::parse(format!("{}/{key}", self.provider.key))
            .map_err(|error| self.fault(&error.into()))
    }

    /// One object of these bytes, at a location of another kind.
    pub(super) async fn holding(location: &str, name: &str, bytes: Bytes) -> Result<Self, Error> {
        let provider = Provider::holding(location, name, bytes).await;
        let provider = provider.map_err(|error| fault(location, &error))?;
        Ok(Self { provider, location: location.to_owned() })
    }

    /// Without any sign of its version, two reads of an object could be of two.
    fn checked(&self, part: Part) -> Result<Part, Error> {
        if part.meta.e_tag.is_some() || part.meta.last_modified.timestamp() != 0 {
            return Ok(part);
        }
        let cause = "its server sends neither ETag nor Last-Modified, so that a change could not \
                     be seen; serve it from one that does";
        Err(Error::Unreadable { location: self.location.clone(), cause: cause.to_owned() })
    }

    fn fault(&self, error: &object_store::Error) -> Error {
        fault(&self.location, error)
    }

    /// Fails if an object is not what it was when it was listed; where every range was asked for by its
    /// version, it is.
    pub(super) async fn check_unchanged(&self, part: &Part) -> Result<(), Error> {
        if strong(&part.meta).is_some() {
            return Ok(());
        }
        let now = self.provider.store.head(&part.meta.location).await;
        let now = now.map_err(|error| self.fault(&error))?;
        if version(&now) == version(&part.meta) {
            return Ok(());
        }
        Err(Error::Changed { location: self.url_of(part) })
    }

    /// What people call one part.
    pub(super) fn url_of(&self, part: &Part) -> String {
        format!("{}/{}", self.provider.root, part.meta.location)
    }

    /// A whole object of at most `max` bytes.
    pub(super) async fn whole(&self, part: &Part, max: u64) -> Result<Bytes, Error> {
        if part.meta.size > max {
            let cause = format!("{} bytes are too many for a profile", part.meta.size);
            return Err(Error::Profile { location: self.location.clone(), cause });
        }
        self.range(part, 0, part.meta.size).await
    }

    async fn range(&self, part: &Part, start: u64, end: u64) -> Result<Bytes, Error> {
        let options = GetOptions {
            range: Some((start..end).into()),
            if_match: strong(&part.meta).map(str::to_owned),
            ..GetOptions::default()
        };
        let fault = |error: object_store::Error| self.fault(&error);
        let answer =
            self.provider.store.get_opts(&part.meta.location, options).await.map_err(fault)?;
        answer.bytes().await.map_err(fault)
    }
}

/// An ETag that stands for the very bytes; a weak one never matches in `If-Match`.
fn strong(meta: &ObjectMeta) -> Option<&str> {
    meta.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"))
}

/// What tells two versions of an object apart.
pub(super) fn version(meta: &ObjectMeta) -> (u64, String) {
    let stamp = || meta.last_modified.to_rfc3339();
    (meta.size, meta.version.clone().or_else(|| meta.e_tag.clone()).unwrap_or_else(stamp))
}

pub(super) fn fault(location: &str, error: &object_store::Error) -> Error {
    let location = location.to_owned();
    let cause = chain(error);
    match error {
        object_store::Error::NotFound { .. } => Error::Missing { location },
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => Error::Denied { location, cause },
        object_store::Error::Precondition { .. } => Error::Changed { location },
        object_store::Error::InvalidPath { .. } => Error::Unreadable { location, cause },
        object_store::Error::NotSupported { .. } => Error::Unreadable {
            location,
            cause: "its server does not answer ranges; serve it from one that does".to_owned(),
        },
        _ => Error::Unreachable { location, cause },
    }
}

/// The error with its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// One object as a file that is read in blocks.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    runtime: Arc<Runtime>,
    bucket: Arc<Bucket>,
    part: Part,
    blocks: Mutex<VecDeque<(u64, Bytes)>>,
    /// Why the last range could not be had: readers in between only pass text on.
    failure: Mutex<Option<Error>>,
}

impl Remote {
    pub(super) fn new(runtime: Arc<Runtime>, bucket: Arc<Bucket>, part: Part) -> Self {
        let (blocks, failure) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { runtime, bucket, part, blocks, failure }) }
    }

    pub(super) fn size(&self) -> u64 {
        self.inner.part.meta.size
    }

    /// Fails if the object has changed since it was listed.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        let Inner { runtime, bucket, part, .. } = self.inner.as_ref();
        runtime.block_on(bucket.check_unchanged(part))
    }

    /// The store's own error behind a failed read, once.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.inner.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The bytes from `start` on, as far as the block that holds them goes; none at the end.
    pub(super) fn block_from(&self, start: u64) -> io::Result<Bytes> {
        if start >= self.size() {
            return Ok(Bytes::new());
        }
        let first = start / BLOCK * BLOCK;
        let block = self.block(first)?;
        let within = usize::try_from(start - first).map_err(io::Error::other)?;
        Ok(block.slice(within.min(block.len())..))
    }

    fn block(&self, first: u64) -> io::Result<Bytes> {
        let Inner { runtime, bucket, part, blocks, failure } = self.inner.as_ref();
        let mut blocks = blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, block)) = blocks.iter().find(|(start, _)| *start == first) {
            return Ok(block.clone());
        }
        let end = (first + BLOCK).min(part.meta.size);
        match runtime.block_on(bucket.range(part, first, end)) {
            Ok(block) if block.len() as u64 == end - first => {
                if blocks.len() >= BLOCKS_MAX {
                    blocks.pop_front();
                }
                blocks.push_back((first, block.clone()));
                Ok(block)
            }
            Ok(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Err(error) => {
                let text = error.to_string();
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(io::Error::other(text))
            }
        }
    }
}

/// Reads an object from a position on.
#[derive(Debug)]
pub(super) struct RemoteRead {
    remote: Remote,
    position: u64,
}

impl RemoteRead {
    pub(super) fn new(remote: Remote, position: u64) -> Self {
        Self { remote, position }
    }
}

impl Read for RemoteRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let block = self.remote.block_from(self.position)?;
        let length = block.len().min(out.len());
        out[..length].copy_from_slice(&block[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_prefix_that_changes_while_it_is_read_is_known_by_its_listing() {
        let store = Arc::new(InMemory::new());
        let put = async |key: &str| {
            store.put(&Path::from(key), Bytes::from_static(b"PAR1").into()).await.unwrap();
        };
        put("v2/part-0.parquet").await;
        let provider = Provider {
            store: store.clone(),
            root: "s3://ml-data".to_owned(),
            key: Path::from("v2"),
            is_prefix: false,
            lists: true,
        };
        let bucket = Bucket { provider, location: "s3://ml-data/v2".to_owned() };
        // One part is no proof that it is the only one.
        let found = bucket.parts().await.unwrap();
        assert!(found.is_listed && found.parts.len() == 1);
        bucket.check_listing(&found.parts).await.unwrap();
        put("v2/_SUCCESS").await;
        bucket.check_listing(&found.parts).await.unwrap();
        put("v2/part-1.parquet").await;
        let error = bucket.check_listing(&found.parts).await.unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error}");

        let found = bucket.parts().await.unwrap();
        bucket.check_listing(&found.parts).await.unwrap();
        put("v2/part-1.parquet").await;
        assert!(bucket.check_listing(&found.parts).await.is_err(), "written again");
        for key in ["v2/part-0.parquet", "v2/part-1.parquet"] {
            store.delete(&Path::from(key)).await.unwrap();
        }
        let error = bucket.check_listing(&found.parts).await.unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error}");

        put("one.parquet").await;
        let provider = Provider { key: Path::from("one.parquet"), ..bucket.provider };
        let bucket = Bucket { provider, location: String::new() };
        assert!(!bucket.parts().await.unwrap().is_listed, "an object is whole");
    }
}
