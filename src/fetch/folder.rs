//! A folder on disk or in a store, of which some other file says what is in it.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;

use crate::fetch::error::Error;
use crate::fetch::local::{self, Opened};
use crate::fetch::object::Part;
use crate::fetch::shelf::Shelf;

pub(super) enum Folder {
    Local { path: PathBuf, root: Option<PathBuf> },
    Remote(Shelf),
}

/// Files that are open.
pub(super) enum Files {
    Local(Vec<(String, Opened)>),
    Remote(Shelf, Vec<Part>),
}

impl Folder {
    /// The names of the files in a folder below, without folders below that; none where there is no such
    /// folder.
    pub(super) fn names(&self, below: &str) -> Result<Vec<String>, Error> {
        match self {
            Folder::Local { path, .. } => {
                let shown = path.join(below).display().to_string();
                let fault = |error| Error::io(&shown, &error);
                let mut names = Vec::new();
                for entry in fs::read_dir(path.join(below)).map_err(fault)? {
                    names.push(entry.map_err(fault)?.file_name().to_string_lossy().into_owned());
                }
                Ok(names)
            }
            Folder::Remote(shelf) => shelf.runtime.block_on(shelf.bucket.names(below)),
        }
    }

    /// A whole file of at most `max` bytes.
    pub(super) fn read(&self, name: &str, max: u64) -> Result<Bytes, Error> {
        match self {
            Folder::Local { path, root } => {
                let opened = local::open(&path.join(name), root.as_deref())?;
                if opened.stamp.size > max {
                    return Err(Error::too_large(&opened.path, opened.stamp.size, max));
                }
                let length = usize::try_from(opened.stamp.size).unwrap_or(usize::MAX);
                opened.head(length).map(Bytes::from)
            }
            Folder::Remote(shelf) => shelf.runtime.block_on(shelf.bucket.read(name, max)),
        }
    }

    /// Opens files, each with the name that it goes by and the one that it has here.
    pub(super) fn open(&self, files: Vec<(String, String)>) -> Result<Files, Error> {
        match self {
            Folder::Local { path, root } => {
                let open = |(name, key): (String, String)| {
                    Ok((name, local::open(&path.join(key), root.as_deref())?))
                };
                files.into_iter().map(open).collect::<Result<_, Error>>().map(Files::Local)
            }
            Folder::Remote(shelf) => {
                let parts = shelf.runtime.block_on(shelf.bucket.files(files))?;
                Ok(Files::Remote(shelf.clone(), parts))
            }
        }
    }
}
