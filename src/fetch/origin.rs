//! What a location stands for: files or objects, opened, with their digest.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::fetch::config::Config;
use crate::fetch::digest::{of_local, of_objects, of_profile};
use crate::fetch::error::Error;
use crate::fetch::local::{self, Opened};
use crate::fetch::object::{Bucket, Part, Remote};
use crate::fetch::parquet::Input;
use crate::fetch::worker::{HEAD, PROFILE_MAX, is_profile_name, looks_like_profile, read_profile};

/// The location is not a path of this machine: looking at it takes a network.
pub fn is_remote(location: &str) -> bool {
    location.contains("://")
}

/// Where the bytes are, with everything opened.
pub(super) enum Origin {
    Local { is_folder: bool, parts: Vec<(String, Opened)> },
    Remote { shelf: Shelf, parts: Vec<Part> },
}

/// A store, and the runtime that its requests run on.
#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) runtime: Arc<Runtime>,
    pub(super) bucket: Arc<Bucket>,
}

impl Shelf {
    fn open(config: &Config, location: &str) -> Result<Self, Error> {
        let runtime = runtime(location)?;
        // Clients look for a reactor when they are built.
        let guard = runtime.enter();
        let bucket = Bucket::open(config, location)?;
        drop(guard);
        Ok(Self { runtime: Arc::new(runtime), bucket: Arc::new(bucket) })
    }

    fn input(&self, part: &Part) -> (String, Input) {
        let (runtime, bucket) = (Arc::clone(&self.runtime), Arc::clone(&self.bucket));
        (self.bucket.url_of(part), Input::Remote(Remote::new(runtime, bucket, part.clone())))
    }
}

pub(super) fn runtime(location: &str) -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::worker(location, &error))
}

impl Origin {
    /// Waits for the network; not for use inside a runtime.
    pub(super) fn open(config: &Config, location: &str) -> Result<Self, Error> {
        if is_remote(location) {
            let shelf = Shelf::open(config, location)?;
            let parts = shelf.runtime.block_on(shelf.bucket.parts())?;
            return Ok(Origin::Remote { shelf, parts });
        }
        let (path, root) = (PathBuf::from(location), config.baseline_root.as_deref());
        let parts = local::parts(&path, root)?
            .into_iter()
            .map(|(name, path)| Ok((name, local::open(&path, root)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Origin::Local { is_folder: path.is_dir(), parts })
    }

    /// The JSON, if what is there is a profile.
    pub(super) fn profile(&self) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Origin::Local { is_folder: false, parts } => match parts.as_slice() {
                [(_, only)] if looks_like_profile(&only.head(HEAD)?) => {
                    read_profile(only).map(Some)
                }
                _ => Ok(None),
            },
            Origin::Local { .. } => Ok(None),
            Origin::Remote { shelf, parts } => match parts.as_slice() {
                [only] if is_profile_name(&only.name) => {
                    let json = shelf.runtime.block_on(shelf.bucket.whole(only, PROFILE_MAX))?;
                    Ok(Some(json.to_vec()))
                }
                _ => Ok(None),
            },
        }
    }

    /// What changes when the training data do, without a look into Parquet.
    pub(super) fn digest(&self, location: &str) -> Result<String, Error> {
        if let Some(json) = self.profile()? {
            return of_profile(location, &json);
        }
        match self {
            Origin::Local { is_folder, parts } => of_local(*is_folder, parts),
            Origin::Remote { parts, .. } => Ok(of_objects(parts)),
        }
    }

    /// Every part with the location that errors name.
    pub(super) fn inputs(&self) -> Vec<(String, Input)> {
        match self {
            Origin::Local { parts, .. } => parts
                .iter()
                .map(|(_, opened)| (opened.path.clone(), Input::Local(opened.clone())))
                .collect(),
            Origin::Remote { shelf, parts } => parts.iter().map(|part| shelf.input(part)).collect(),
        }
    }
}
