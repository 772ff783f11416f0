//! The configuration file, looked at again: what is wrong in it now is known before the restart that takes
//! it up.

use std::env;
use std::path::PathBuf;

use crate::config;

/// Where the configuration in force came from, and what it is, secrets aside.
#[derive(Clone, Debug)]
pub(super) struct Configured {
    pub(super) file: PathBuf,
    shown: String,
}

impl Configured {
    /// None where the configuration came from no file.
    pub(super) fn of(file: Option<PathBuf>, shown: &str) -> Option<Self> {
        file.map(|file| Self { file, shown: shown.to_owned() })
    }

    /// Whether the file says the same as what is in force.
    ///
    /// # Errors
    /// Its faults: a restart would fail.
    pub(super) fn is_in_force(&self) -> Result<bool, config::Error> {
        let loaded = config::load(&self.file, &|name| env::var(name).ok())?;
        Ok(config::to_yaml(&loaded.shown()) == self.shown)
    }
}
