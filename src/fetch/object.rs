//! Objects of an S3-compatible store: listed, read in ranges, and seen to change.
//!
//! Ranges rather than a copy on disk: a container with a read-only root has no room for one, only
//! the columns that are wanted are transferred, and `If-Match` on every range means that all bytes
//! are of one version.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{
    ClientConfigKey, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
};
use tokio::runtime::Runtime;

use crate::fetch::S3Config;
use crate::fetch::error::Error;
use crate::fetch::local::{PARTS_MAX, is_part};

const SCHEMES: [&str; 2] = ["s3://", "s3a://"];
const BLOCK: u64 = 8 << 20;
/// Small files of many columns stay whole in the cache, large ones cost a bounded amount.
const BLOCKS_MAX: usize = 8;

/// One bucket, and what to read in it.
#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<AmazonS3>,
    location: String,
    key: String,
}

/// One object of a listing, by its name below the location.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) meta: ObjectMeta,
}

/// The location is of an object store, known or not.
pub(super) fn is_url(location: &str) -> bool {
    location.contains("://")
}

impl Bucket {
    pub(super) fn open(config: Option<&S3Config>, location: &str) -> Result<Self, Error> {
        let rest = SCHEMES.iter().find_map(|scheme| location.strip_prefix(scheme));
        let (bucket, key) = rest
            .and_then(|rest| rest.split_once('/'))
            .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
            .ok_or_else(|| Error::UnknownStore { location: location.to_owned() })?;
        if bucket.contains('@') {
            return Err(Error::Userinfo { place: "the location of a baseline".to_owned() });
        }
        let mut builder =
            AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(RetryConfig {
                max_retries: 3,
                retry_timeout: Duration::from_secs(30),
                ..RetryConfig::default()
            });
        for (key, value) in [
            (ClientConfigKey::ConnectTimeout, "5 seconds"),
            (ClientConfigKey::Timeout, "2 minutes"),
        ] {
            builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
        }
        if let Some(config) = config {
            builder = builder.with_virtual_hosted_style_request(config.virtual_hosted_style);
            if config.allow_http {
                builder = builder.with_allow_http(true);
            }
            if let Some(endpoint) = &config.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let Some(region) = &config.region {
                builder = builder.with_region(region);
            }
        }
        if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() {
            builder = builder.with_region("us-east-1");
        }
        // Errors of the store repeat it.
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        if endpoint.is_some_and(|endpoint| endpoint.contains('@')) {
            return Err(Error::Userinfo { place: "the endpoint of the object store".to_owned() });
        }
        let store = builder.build().map_err(|error| fault(location, &error))?;
        Ok(Self { store: Arc::new(store), location: location.to_owned(), key: key.to_owned() })
    }

    /// The object of that key; without one, the Parquet files under it as a prefix.
    pub(super) async fn parts(&self) -> Result<Vec<Part>, Error> {
        let path = Path::parse(self.key.trim_end_matches('/'))
            .map_err(|error| fault(&self.location, &error.into()))?;
        if !self.key.ends_with('/') {
            match self.store.head(&path).await {
                Ok(meta) => {
                    let name = path.filename().unwrap_or_default().to_owned();
                    return Ok(vec![Part { name, meta }]);
                }
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(fault(&self.location, &error)),
            }
        }
        let mut listing = self.store.list(Some(&path));
        let mut parts = Vec::new();
        let prefix = format!("{path}/");
        while let Some(meta) =
            listing.try_next().await.map_err(|error| fault(&self.location, &error))?
        {
            let key = meta.location.as_ref();
            let name = key.strip_prefix(&prefix).unwrap_or(key).to_owned();
            if name.starts_with("_delta_log/") {
                return Err(Error::DeltaTable { location: self.location.clone() });
            }
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

    /// What people call one part.
    pub(super) fn url_of(&self, part: &Part) -> String {
        let bucket = self.location.find("://").and_then(|at| {
            let key = at + 3 + self.location[at + 3..].find('/')?;
            Some(&self.location[..key])
        });
        format!("{}/{}", bucket.unwrap_or_default(), part.meta.location)
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
            if_match: part.meta.e_tag.clone(),
            ..GetOptions::default()
        };
        let fault = |error: object_store::Error| fault(&self.location, &error);
        let answer = self.store.get_opts(&part.meta.location, options).await.map_err(fault)?;
        answer.bytes().await.map_err(fault)
    }
}

fn fault(location: &str, error: &object_store::Error) -> Error {
    let location = location.to_owned();
    let cause = chain(error);
    match error {
        object_store::Error::NotFound { .. } => Error::Missing { location },
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => Error::Denied { location, cause },
        object_store::Error::Precondition { .. } => Error::Changed { location },
        object_store::Error::InvalidPath { .. } => Error::Unreadable { location, cause },
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
