//! `driftd completions` and `driftd man`: what shells and manual pages know of the commands.

use std::fs;
use std::io;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

use crate::cli::OK;

#[derive(Debug, clap::Args)]
#[command(after_help = "bash: driftd completions bash > /etc/bash_completion.d/driftd")]
pub(super) struct Args {
    /// The shell that reads it
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Write the pages of all commands into this folder [default: the first one, on standard output]
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, mut command: Command) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "driftd", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(OK)
}

pub(super) fn man(args: &Man, command: Command) -> anyhow::Result<u8> {
    match &args.output {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            io::stdout().lock().write_all(&page)?;
        }
        Some(folder) => {
            fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(command, folder))
                .with_context(|| format!("cannot write manual pages into {}", folder.display()))?;
        }
    }
    Ok(OK)
}
