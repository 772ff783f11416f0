//! What a location stands for: files or objects, opened, with their digest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::fetch::config::Config;
use crate::fetch::delta::{self, Table};
use crate::fetch::digest::{Look, of_list, of_local, of_objects, of_profile};
use crate::fetch::dvc::{self, Content, LISTING_MAX, Tracked};
use crate::fetch::error::Error;
use crate::fetch::folder::{Files, Folder};
use crate::fetch::lakefs::{self, Pinned};
use crate::fetch::local::{self, Opened, PARTS_MAX, is_part};
use crate::fetch::mlflow::{self, Artifact, Target};
use crate::fetch::object::{Bucket, Found, Part};
use crate::fetch::parquet::Input;
use crate::fetch::shelf::{Shelf, runtime};
use crate::fetch::worker::{HEAD, PROFILE_MAX, is_profile_name, looks_like_profile, read_profile};

mod trained;

/// The location is not a path of this machine: looking at it takes a network.
pub fn is_remote(location: &str) -> bool {
    location.contains("://") || mlflow::is_model(location) || dvc::is_tracked(location)
}

/// A store is asked for a table's log only where there may be one.
fn may_be_table(location: &str) -> bool {
    let is_web = location.starts_with("http://") || location.starts_with("https://");
    let key = location.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    !is_web
        && !is_part(location)
        && !is_profile_name(location)
        && key.is_some_and(|(_, key)| !key.trim_matches('/').is_empty())
}

/// What is at a location.
pub(super) struct Origin {
    /// What a baseline says of where it is from.
    pub(super) source: String,
    /// The digest, where it is known without a look at the data.
    known: Option<String>,
    /// A version that is part of the digest: the same data under another are a new baseline.
    version: Option<String>,
    /// When the registry took the version, in milliseconds since the epoch.
    registered_ms: Option<i64>,
    /// The parts are what a folder or prefix held when it was listed: nothing says that these are all.
    is_listed: bool,
    kind: Kind,
}

enum Kind {
    Local {
        is_folder: bool,
        parts: Vec<(String, Opened)>,
    },
    Remote {
        shelf: Shelf,
        parts: Vec<Part>,
    },
    /// Parquet files by the log of a table, still to be read.
    Delta {
        folder: Folder,
        table: Table,
    },
    /// A file that comes as a whole, still to be had.
    Artifact {
        runtime: Arc<Runtime>,
        artifact: Artifact,
    },
    /// Content by its hash, still to be looked for.
    Tracked(Tracked),
}

impl Kind {
    fn of(files: Files, is_folder: bool) -> Self {
        match files {
            Files::Local(parts) => Kind::Local { is_folder, parts },
            Files::Remote(shelf, parts) => Kind::Remote { shelf, parts },
        }
    }
}

impl Origin {
    /// Finds what is at `location`, as far as its digest needs it. Waits for the network; not for use
    /// inside a runtime.
    pub(super) fn find(config: &Config, location: &str) -> Result<Self, Error> {
        if mlflow::is_model(location) {
            return Self::find_model(config, location);
        }
        if dvc::is_tracked(location) {
            let tracked = Tracked::read(config, location)?;
            let known = of_list(&[("dvc", tracked.hash.as_bytes())]);
            let source = tracked.source(location);
            return Ok(Self::new(&source, Some(known), Kind::Tracked(tracked)));
        }
        if let Some(origin) = Self::find_commit(config, location)? {
            return Ok(origin);
        }
        if let Some(origin) = Self::find_table(config, location)? {
            return Ok(origin);
        }
        if is_remote(location) {
            let shelf = Shelf::open(config, location)?;
            let Found { parts, is_listed } = shelf.runtime.block_on(shelf.bucket.parts())?;
            let found = Self::new(location, None, Kind::Remote { shelf, parts });
            return Ok(Self { is_listed, ..found });
        }
        let (path, root) = (PathBuf::from(location), config.baseline_root.as_deref());
        let parts = local::parts(&path, root)?
            .into_iter()
            .map(|(name, path)| Ok((name, local::open(&path, root)?)))
            .collect::<Result<_, Error>>()?;
        let is_folder = path.is_dir();
        let found = Self::new(location, None, Kind::Local { is_folder, parts });
        Ok(Self { is_listed: is_folder, ..found })
    }

    fn new(source: &str, known: Option<String>, kind: Kind) -> Self {
        let (source, is_listed) = (source.to_owned(), false);
        Self { source, known, version: None, registered_ms: None, is_listed, kind }
    }

    fn find_model(config: &Config, location: &str) -> Result<Self, Error> {
        let runtime = runtime(location)?;
        let resolved = runtime.block_on(mlflow::resolve(config, location))?;
        let label = format!("{}/{}", resolved.model, resolved.version);
        let (place, found) = match resolved.target {
            Target::Store(url) => {
                // Whoever may write to the registry must not choose among the files of this machine.
                if !url.contains("://") || dvc::is_tracked(&url) || mlflow::is_model(&url) {
                    return Err(Error::UnknownStore { location: url }.within(location));
                }
                let found = Self::find(config, &url).map_err(|error| error.within(location))?;
                (url, found)
            }
            Target::Artifact(artifact) => {
                let size = artifact.size.to_string();
                let known =
                    of_list(&[("mlflow", artifact.path.as_bytes()), ("size", size.as_bytes())]);
                let path = artifact.path.clone();
                (
                    path,
                    Self::new(
                        location,
                        Some(known),
                        Kind::Artifact { runtime, artifact: *artifact },
                    ),
                )
            }
        };
        let source = format!("{location} (version {}, {place})", resolved.version);
        let registered_ms = resolved.created_ms;
        // What a version names was there before it was registered.
        Ok(Self { source, version: Some(label), registered_ms, is_listed: false, ..found })
    }

    /// What a branch or tag of lakeFS stands at: a commit, in which nothing changes any more. The same data
    /// in another commit are the same baseline.
    fn find_commit(config: &Config, location: &str) -> Result<Option<Self>, Error> {
        if !lakefs::can_move(location) {
            return Ok(None);
        }
        let pinned = runtime(location)?.block_on(lakefs::pin(config, location))?;
        let Some(Pinned { location: place, commit }) = pinned else { return Ok(None) };
        let found = Self::find(config, &place).map_err(|error| error.within(location))?;
        let source = format!("{location} (commit {commit})");
        Ok(Some(Self { source, is_listed: false, ..found }))
    }

    /// A Delta table, if there is one.
    fn find_table(config: &Config, location: &str) -> Result<Option<Self>, Error> {
        let (plain, version) = delta::split_version(location);
        let folder = if is_remote(location) {
            if !may_be_table(plain) {
                return Ok(None);
            }
            Folder::Remote(Shelf::open(config, &format!("{}/", plain.trim_end_matches('/')))?)
        } else if Path::new(plain).join(delta::LOG).is_dir() {
            Folder::Local { path: PathBuf::from(plain), root: config.baseline_root.clone() }
        } else {
            return Ok(None);
        };
        let log = match folder.names(delta::LOG) {
            // Who may read an object need not be allowed to list.
            Err(Error::Denied { .. }) if is_remote(location) => return Ok(None),
            log => log?,
        };
        if log.is_empty() && is_remote(location) {
            return Ok(None);
        }
        let table = Table::open(location, log, version)?;
        let known = table
            .last_change(&folder)?
            .map(|(name, bytes)| of_list(&[("delta", name.as_bytes()), ("commit", &bytes)]));
        Ok(Some(Self::new(location, known, Kind::Delta { folder, table })))
    }

    /// With everything opened that is still to be read.
    pub(super) fn open(config: &Config, location: &str) -> Result<Self, Error> {
        let mut found = Self::find(config, location)?;
        let kind = match found.kind {
            Kind::Delta { folder, table } => {
                let files = table.files(&folder)?;
                found.known.get_or_insert_with(|| of_files(&files));
                open_files(&folder, location, files)?
            }
            Kind::Artifact { runtime, artifact } => {
                let bytes = runtime.block_on(artifact.read())?;
                let bucket = runtime.block_on(Bucket::holding(location, artifact.name(), bytes))?;
                let shelf = Shelf { runtime, bucket: Arc::new(bucket) };
                let Found { parts, .. } = shelf.runtime.block_on(shelf.bucket.parts())?;
                Kind::Remote { shelf, parts }
            }
            Kind::Tracked(tracked) => {
                let within = |error: Error| error.within(location);
                let (kind, contents) = open_tracked(config, location, &tracked).map_err(within)?;
                let found = Self { kind, ..found };
                let mut inputs = contents.iter().zip(found.inputs());
                inputs.try_for_each(|(content, input)| content.check(location, &input))?;
                return Ok(found);
            }
            opened => opened,
        };
        Ok(Self { kind, ..found })
    }

    /// The JSON, if what is there is a profile.
    pub(super) fn profile(&self) -> Result<Option<Vec<u8>>, Error> {
        match &self.kind {
            Kind::Local { is_folder: false, parts } => match parts.as_slice() {
                [(_, only)] if looks_like_profile(&only.head(HEAD)?) => {
                    read_profile(only).map(Some)
                }
                _ => Ok(None),
            },
            Kind::Remote { shelf, parts } => match parts.as_slice() {
                [only] if is_profile_name(&only.name) => {
                    let json = shelf.runtime.block_on(shelf.bucket.whole(only, PROFILE_MAX))?;
                    Ok(Some(json.to_vec()))
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// What changes when the training data do, without a look into Parquet.
    pub(super) fn digest(&self, location: &str) -> Result<String, Error> {
        if let Some(known) = &self.known {
            return Ok(self.stamped(known));
        }
        let own = match (self.profile()?, &self.kind) {
            (Some(json), _) => of_profile(location, &json)?,
            (None, Kind::Local { is_folder, parts }) => of_local(*is_folder, parts)?,
            (None, Kind::Remote { parts, .. }) => of_objects(parts),
            (None, Kind::Delta { folder, table }) => of_files(&table.files(folder)?),
            (None, Kind::Artifact { .. } | Kind::Tracked(_)) => {
                return Err(Error::confused(location));
            }
        };
        Ok(self.stamped(&own))
    }

    /// What a look finds; `None` where its digest takes a look into Parquet, which is the worker's.
    pub(super) fn look(&self, location: &str) -> Result<Option<Look>, Error> {
        if matches!(self.kind, Kind::Delta { .. }) && self.known.is_none() {
            return Ok(None);
        }
        Ok(Some(Look { digest: self.digest(location)?, is_listed: self.is_listed }))
    }

    /// Fails if a folder or prefix no longer holds what was found there: it is being written.
    pub(super) fn check_listing(&self, config: &Config, location: &str) -> Result<(), Error> {
        if !self.is_listed {
            return Ok(());
        }
        match &self.kind {
            Kind::Local { parts, .. } => {
                local::check_listing(Path::new(location), config.baseline_root.as_deref(), parts)
            }
            Kind::Remote { shelf, parts } => {
                shelf.runtime.block_on(shelf.bucket.check_listing(parts))
            }
            Kind::Delta { .. } | Kind::Artifact { .. } | Kind::Tracked(_) => Ok(()),
        }
    }

    /// The digest of a profile that says `own`.
    pub(super) fn digest_of_profile(&self, own: &str) -> String {
        self.stamped(self.known.as_deref().unwrap_or(own))
    }

    /// The source that a profile of the source `own` is from, as is known here.
    pub(super) fn source_of_profile(&self, own: String) -> String {
        if self.version.is_some() { self.source.clone() } else { own }
    }

    fn stamped(&self, own: &str) -> String {
        match &self.version {
            Some(version) => of_list(&[("version", version.as_bytes()), ("data", own.as_bytes())]),
            None => own.to_owned(),
        }
    }

    /// Every part with the location that errors name.
    pub(super) fn inputs(&self) -> Vec<(String, Input)> {
        match &self.kind {
            Kind::Local { parts, .. } => parts
                .iter()
                .map(|(_, opened)| (opened.path.clone(), Input::Local(opened.clone())))
                .collect(),
            Kind::Remote { shelf, parts } => parts.iter().map(|part| shelf.input(part)).collect(),
            Kind::Delta { .. } | Kind::Artifact { .. } | Kind::Tracked(_) => Vec::new(),
        }
    }
}

/// Of a table whose log no longer tells when its rows changed last: the files that hold them.
fn of_files(files: &[String]) -> String {
    let names: Vec<(&str, &[u8])> = files.iter().map(|name| ("file", name.as_bytes())).collect();
    of_list(&names)
}

fn open_files(place: &Folder, location: &str, files: Vec<String>) -> Result<Kind, Error> {
    if files.len() > PARTS_MAX {
        return Err(Error::TooManyParts { location: location.to_owned(), max: PARTS_MAX });
    }
    let files = files.into_iter().map(|name| (name.clone(), name)).collect();
    place.open(files).map(|files| Kind::of(files, true))
}

/// The files that DVC knows by their hash, and what each of them has to be, in the same order.
fn open_tracked(
    config: &Config,
    location: &str,
    tracked: &Tracked,
) -> Result<(Kind, Vec<Content>), Error> {
    let place = match &tracked.remote {
        dvc::Remote::Folder(path) => {
            Folder::Local { path: path.clone(), root: config.baseline_root.clone() }
        }
        dvc::Remote::Store { url, .. } => {
            Folder::Remote(Shelf::open_folder(&tracked.config(config), &format!("{url}/"))?)
        }
    };
    let contents = if tracked.is_folder() {
        let listing = place.read(&tracked.key(&tracked.hash), LISTING_MAX)?;
        tracked.parts(location, &listing)?
    } else {
        vec![tracked.file()]
    };
    let named = contents.iter().map(|content| (content.name.clone(), content.key.clone()));
    let files = place.open(named.collect())?;
    let size = match &files {
        Files::Local(parts) => parts.iter().map(|(_, part)| part.stamp.size).sum(),
        Files::Remote(_, parts) => parts.iter().map(|part| part.meta.size).sum(),
    };
    tracked.check_size(location, size)?;
    Ok((Kind::of(files, tracked.is_folder()), contents))
}
