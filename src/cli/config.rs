//! `driftd config`: what is in force, and the schema; and how every command finds its configuration.

use std::env;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli;
use crate::config;
use crate::config::Loaded;

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Source {
    /// The configuration file.
    #[arg(short, long, env = "DRIFTD_CONFIG", value_name = "FILE")]
    pub(super) config: PathBuf,
}

impl Source {
    /// The configuration, or the exit code when it cannot be used; the faults have been printed then.
    #[expect(clippy::print_stderr, reason = "faults are for people, on standard error")]
    pub(super) fn load(&self) -> Result<Loaded, u8> {
        config::load(&self.config, &|name| env::var(name).ok()).map_err(|error| {
            match &error {
                config::Error::Read { source, .. } => eprintln!("driftd: {error}: {source}"),
                config::Error::Faults(faults) => eprintln!("{faults}"),
            }
            cli::BAD_INPUT
        })
    }

    /// The file, as it was given.
    pub(super) fn path(&self) -> &Path {
        &self.config
    }

    /// Prints the warnings of a configuration that can be used.
    #[expect(clippy::print_stderr, reason = "warnings are for people, on standard error")]
    pub(super) fn warn(&self, loaded: &Loaded) {
        for warning in &loaded.warnings {
            eprintln!("warning: {}", warning.shown(&self.config));
        }
    }
}

/// How a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Yaml,
    Json,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// The JSON Schema of the configuration file.
    Schema,
    /// The configuration, checked, with secrets as `***`.
    Print(Print),
}

#[derive(Debug, clap::Args)]
pub(super) struct Print {
    #[command(flatten)]
    source: Source,
    /// With every default filled in, as it is in force.
    #[arg(long, required = true)]
    effective: bool,
    /// YAML or JSON.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(command: Command) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    match command {
        Command::Schema => {
            serde_json::to_writer_pretty(&mut out, &config::schema())?;
            writeln!(out)?;
        }
        Command::Print(Print { source, format, .. }) => {
            let loaded = match source.load() {
                Ok(loaded) => loaded,
                Err(code) => return Ok(code),
            };
            source.warn(&loaded);
            let shown = loaded.shown();
            match format {
                Format::Yaml => out.write_all(config::to_yaml(&shown).as_bytes())?,
                Format::Json => {
                    serde_json::to_writer_pretty(&mut out, &shown)?;
                    writeln!(out)?;
                }
            }
        }
    }
    Ok(cli::OK)
}
