//! `driftd state`: what is stored, out of one backend and into another.

use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use crate::cli::OK;
use crate::cli::config::Source;
use crate::config::Log;
use crate::pipeline::transfer;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write the whole state of a configuration to a file
    Export(Args),
    /// Store what was exported where a configuration says
    Import(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// The file; `-` is standard output or input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[expect(clippy::print_stderr, reason = "what was done is said beside the data")]
pub(super) fn run(command: Command) -> anyhow::Result<u8> {
    let (args, imports) = match command {
        Command::Export(args) => (args, false),
        Command::Import(args) => (args, true),
    };
    let loaded = match args.source.load() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    super::run::log_to_standard_error(Log::default());
    let runtime = super::topics::runtime()?;
    let (name, standard) = (args.file.display().to_string(), args.file.as_os_str() == "-");
    if imports {
        let mut bytes = Vec::new();
        match standard {
            true => io::stdin().lock().read_to_end(&mut bytes).map(drop),
            false => fs::read(&args.file).map(|read| bytes = read),
        }
        .with_context(|| format!("{name} can't be read"))?;
        let records = runtime.block_on(transfer::import(&loaded.config, &bytes))?;
        eprintln!("imported {records} records, {} bytes", bytes.len());
        return Ok(OK);
    }
    let records = runtime.block_on(transfer::export(&loaded.config))?;
    let bytes = records.concat();
    match standard {
        true => io::stdout().lock().write_all(&bytes),
        false => fs::write(&args.file, &bytes),
    }
    .with_context(|| format!("{name} can't be written"))?;
    eprintln!("exported {} records, {} bytes", records.len(), bytes.len());
    Ok(OK)
}
