//! The command line: one file per command, and the exit codes that scripts rely on.

use std::fs;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;

use crate::baseline::Convention;
use crate::fetch;
use crate::kafka::probe;
use crate::pipeline::BadInput;

mod alive;
mod baseline;
mod compare;
mod completions;
mod config;
mod demo;
mod import;
mod incidents;
mod init;
mod replay;
mod row_time;
mod run;
mod state;
mod tap;
mod top;
mod topics;
mod tune;
mod validate;
mod webhook;

pub use import::{Imported, Tool};

/// Success; for `compare`, no drift; for `replay`, no trigger.
pub const OK: u8 = 0;
/// Something failed while running.
pub const FAILURE: u8 = 1;
/// The command line itself was wrong (clap's own code).
pub const USAGE: u8 = 2;
/// `compare` found drift, `replay` a trigger.
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
    /// Watch the models of a running driftd in the terminal.
    Top(top::Args),
    /// Ask whether the driftd that runs here is alive: for health checks of containers.
    Alive(alive::Args),
    /// Make checks and thresholds of what other tools were told.
    #[command(subcommand)]
    Import(import::Command),
    /// Show the newest records of a model's topic, and what is made of them.
    Tap(tap::Args),
    /// List incidents of a running driftd, close one, or accept a model's faults as drift.
    Incidents(incidents::Args),
    /// Try a trigger or a notifier.
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Put recorded data through the whole path: when it would have warned and triggered, and why.
    Replay(replay::Args),
    /// Propose thresholds, window and pane for recorded data and a budget, and say what they will see.
    Tune(tune::Args),
    /// Make the topics of state.backend kafka.
    #[command(subcommand)]
    Topics(topics::Command),
    /// Move what is stored from one backend to another.
    #[command(subcommand)]
    State(state::Command),
    /// Print what a shell needs to complete commands and options.
    Completions(completions::Args),
    /// Print the manual page, or write those of all commands.
    Man(completions::Man),
    /// The process that reads Parquet; driftd starts it itself.
    #[command(hide = true)]
    BaselineWorker,
    /// The process that reads what may end a process; driftd starts it itself.
    #[command(hide = true)]
    TopicReader,
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
        Command::Top(args) => top::run(&args),
        Command::Alive(args) => alive::run(&args),
        Command::Import(command) => import::run(&command),
        Command::Tap(args) => tap::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => completions::man(&args, Cli::command()),
        Command::Incidents(args) => incidents::run(args),
        Command::Webhook(command) => webhook::run(command),
        Command::Replay(args) => replay::run(args),
        Command::Tune(args) => tune::run(args),
        Command::Topics(command) => topics::run(command),
        Command::State(command) => state::run(command),
        Command::BaselineWorker => return fetch::worker_main(),
        Command::TopicReader => return probe::reader_main(fetch::confine),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.downcast_ref().is_some_and(is_closed) => ExitCode::from(OK),
        Err(error) => {
            report_error(&error);
            ExitCode::from(if error.is::<BadInput>() { BAD_INPUT } else { FAILURE })
        }
    }
}

/// Prints a result. Whoever reads only its first lines (`| head`, `| grep -q`) has what they want, and the
/// exit code stays what the result says.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if is_closed(&error) => Ok(()),
        written => written,
    }
}

/// Text from files and records on one line, and without what could drive a terminal or end a comment.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Refuses to write the page over one of the `inputs`; they may be places that are no files.
#[expect(clippy::print_stderr, reason = "errors are for people, on standard error")]
fn spares<'a>(page: Option<&Path>, inputs: impl IntoIterator<Item = &'a Path>) -> Result<(), u8> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let Some(page) = page.filter(|page| real(page).is_some()) else { return Ok(()) };
    if inputs.into_iter().any(|input| real(input) == real(page)) {
        eprintln!("driftd: --html {}: is read by this command; name another file", page.display());
        return Err(USAGE);
    }
    Ok(())
}

fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// The values of `--profile`.
fn profiles() -> impl TypedValueParser<Value = Convention> {
    PossibleValuesParser::new(Convention::ALL.map(Convention::as_str)).map(|given| {
        let found = Convention::ALL.into_iter().find(|convention| convention.as_str() == given);
        found.unwrap_or_default()
    })
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
