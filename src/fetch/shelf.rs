//! A store, and the runtime that its requests run on.

use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::fetch::config::Config;
use crate::fetch::error::Error;
use crate::fetch::object::{Bucket, Part, Remote};
use crate::fetch::parquet::Input;

#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) runtime: Arc<Runtime>,
    pub(super) bucket: Arc<Bucket>,
}

impl Shelf {
    pub(super) fn open(config: &Config, location: &str) -> Result<Self, Error> {
        Self::with(location, || Bucket::open(config, location))
    }

    pub(super) fn open_folder(config: &Config, location: &str) -> Result<Self, Error> {
        Self::with(location, || Bucket::open_folder(config, location))
    }

    fn with(location: &str, open: impl FnOnce() -> Result<Bucket, Error>) -> Result<Self, Error> {
        let runtime = runtime(location)?;
        // Clients look for a reactor when they are built.
        let guard = runtime.enter();
        let bucket = open()?;
        drop(guard);
        Ok(Self { runtime, bucket: Arc::new(bucket) })
    }

    /// A part with the location that errors name.
    pub(super) fn input(&self, part: &Part) -> (String, Input) {
        let (runtime, bucket) = (Arc::clone(&self.runtime), Arc::clone(&self.bucket));
        (self.bucket.url_of(part), Input::Remote(Remote::new(runtime, bucket, part.clone())))
    }
}

pub(super) fn runtime(location: &str) -> Result<Arc<Runtime>, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map(Arc::new)
        .map_err(|error| Error::worker(location, &error))
}
