//! Reading a baseline as the daemon would: by a model's configuration.

use std::path::PathBuf;

use crate::baseline::Overrides;
use crate::cli::config::Source;
use crate::cli::replay;
use crate::fetch;

#[derive(Debug, clap::Args)]
pub(super) struct Configured {
    /// Read it as a model of this configuration would have it: its columns, kinds, season and profile, its
    /// stores and their credentials, and, where no place is given, its reference_dataset.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The model in the configuration; not needed when it has one.
    #[arg(long, value_name = "NAME", requires = "config")]
    model: Option<String>,
}

/// What is read, and how.
pub(super) struct Reading {
    pub(super) location: String,
    pub(super) settings: fetch::Config,
    pub(super) overrides: Overrides,
}

impl Configured {
    /// By the configuration where one is given, else by `overrides`; else the exit code, the reason being
    /// printed.
    pub(super) fn reading(
        &self,
        location: Option<&str>,
        overrides: Overrides,
    ) -> Result<Reading, u8> {
        let Some(config) = self.config.clone() else {
            let location = location.unwrap_or_default().to_owned();
            return Ok(Reading { location, settings: fetch::Config::default(), overrides });
        };
        let (loaded, at) = replay::load(&Source { config }, self.model.as_deref())?;
        let model = &loaded.config.models[at];
        let location = location.unwrap_or(&model.drift_config.reference_dataset).to_owned();
        let overrides = model.overrides();
        Ok(Reading { location, settings: loaded.config.baselines, overrides })
    }
}
