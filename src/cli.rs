//! The command line: one file per command, and the exit codes that scripts rely on.

use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

use crate::pipeline::BadInput;

use crate::fetch;

mod baseline;
mod compare;
mod config;
mod demo;
mod init;
mod run;
mod validate;

/// Success; for `compare`, no drift.
pub const OK: u8 = 0;
/// Something failed while running.
pub const FAILURE: u8 = 1;
/// The command line itself was wrong (clap's own code).
pub const USAGE: u8 = 2;
/// `compare` found drift.
pub const DRIFT: u8 = 3;
/// Bad configuration or unreadable input (`EX_CONFIG`).
pub const BAD_INPUT: u8 = 78;

#[derive(Debug, Parser)]
#[command(name = "driftd", version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the configured models until told to stop.
    Run(run::Args),
    /// Show the whole path on an embedded Kafka: healthy, drifting, retrained, healthy again.
    Demo(demo::Args),
    /// Read 100 records and a baseline, write a finished configuration.
    Init(init::Args),
    /// Check a configuration and its baselines without starting.
    Validate(validate::Args),
    /// Print the configuration or its JSON Schema.
    #[command(subcommand)]
    Config(config::Command),
    /// Build or show a baseline profile.
    #[command(subcommand)]
    Baseline(baseline::Command),
    /// Compare two Parquet files, folders or profiles.
    Compare(compare::Args),
    /// The process that reads Parquet; driftd starts it itself.
    #[command(hide = true)]
    BaselineWorker,
}

pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Init(args) => init::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Config(command) => config::run(command),
        Command::Baseline(command) => baseline::run(command),
        Command::Compare(args) => compare::run(args),
        Command::BaselineWorker => return fetch::worker_main(),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report_error(&error);
            ExitCode::from(if error.is::<BadInput>() { BAD_INPUT } else { FAILURE })
        }
    }
}

/// One line for people: the error and its causes, each said once.
#[expect(clippy::print_stderr, reason = "a command that fails says why on standard error")]
fn report_error(error: &anyhow::Error) {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    eprintln!("driftd: {line}");
}
