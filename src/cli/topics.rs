//! `driftd topics`: the topics that replicas share their state by.

use std::io;
use std::io::Write;

use anyhow::Context;
use tokio::runtime;
use tokio::runtime::Runtime;

use crate::cli::OK;
use crate::cli::config::Source;
use crate::config::Log;
use crate::store::kafka::create_topics;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make those that are missing, with the settings that they need
    Create(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(command: Command) -> anyhow::Result<u8> {
    let Command::Create(args) = command;
    let loaded = match args.source.load() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    super::run::log_to_standard_error(Log::default());
    let config = loaded.config;
    let topics = &config.state.topics;
    let made = runtime()?.block_on(create_topics(topics, &config.kafka, config.kept()))?;
    let mut out = io::stdout().lock();
    match made.is_empty() {
        true => writeln!(out, "all topics are there")?,
        false => made.iter().try_for_each(|name| writeln!(out, "made {name}"))?,
    }
    Ok(OK)
}

/// One thread that waits for brokers.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}
