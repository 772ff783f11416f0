//! Secrets at the moment they are needed: written in the configuration, or in a file read each time.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::setting::Secret;

/// Where a secret comes from. Vault agents and projected tokens replace their files while we run,
/// so a file is read again at every use.
#[derive(Clone, Debug, Default)]
pub(crate) enum Credential {
    #[default]
    None,
    Text(Secret),
    File(PathBuf),
}

#[derive(Debug, Error)]
pub(crate) enum Unreadable {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is empty", path.display())]
    Empty { path: PathBuf },
}

impl Credential {
    /// The text wins over the file; `check` refuses both at once.
    pub(crate) fn of(text: Option<&Secret>, file: Option<&PathBuf>) -> Self {
        match (text, file) {
            (Some(text), _) => Self::Text(text.clone()),
            (None, Some(file)) => Self::File(file.clone()),
            (None, None) => Self::None,
        }
    }

    pub(crate) async fn read(&self) -> Result<Option<Secret>, Unreadable> {
        match self {
            Self::None => Ok(None),
            Self::Text(secret) => Ok(Some(Secret::new(secret.expose().trim()))),
            Self::File(path) => from_file(path, tokio::fs::read_to_string(path).await).map(Some),
        }
    }

    /// The same for the checks before anything runs.
    pub(crate) fn read_blocking(&self) -> Result<Option<Secret>, Unreadable> {
        match self {
            Self::None => Ok(None),
            Self::Text(secret) => Ok(Some(Secret::new(secret.expose().trim()))),
            Self::File(path) => from_file(path, std::fs::read_to_string(path)).map(Some),
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        match self {
            Self::None => false,
            Self::Text(_) | Self::File(_) => true,
        }
    }
}

fn from_file(path: &Path, read: io::Result<String>) -> Result<Secret, Unreadable> {
    let text = read.map_err(|source| Unreadable::Read { path: path.to_owned(), source })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Unreadable::Empty { path: path.to_owned() });
    }
    Ok(Secret::new(text))
}
