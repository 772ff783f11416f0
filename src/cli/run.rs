//! `driftd run`: the daemon.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;
use tracing_subscriber::EnvFilter;

use crate::cli::OK;
use crate::cli::config::Source;
use crate::config;
use crate::config::Log;
use crate::config::LogFormat;
use crate::deliver::Schedule;
use crate::fetch::WorkerCommand;
use crate::pipeline;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
}

impl Args {
    /// The configuration, as it was given.
    pub(super) fn config(&self) -> &Path {
        self.source.path()
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let loaded = match args.source.load() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    log_to_standard_error(loaded.config.log);
    for warning in &loaded.warnings {
        warn!("{}", warning.shown(args.source.path()));
    }
    let worker = WorkerCommand::current("baseline")?;
    let shown = config::to_yaml(&loaded.shown());
    let file = Some(args.source.path().to_owned());
    let schedule = Schedule::default();
    let warnings = loaded.alarming();
    let options = pipeline::Options { worker, schedule, shown, file, warnings };
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(async {
        let stop = stop_on_signal()?;
        pipeline::run(loaded.config, options, stop, |_| {}).await
    });
    // Whatever still blocks has had its deadline; its work is in the state.
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome.map(|()| OK)
}

/// Cancelled by SIGTERM or SIGINT; a second one ends the process at once.
pub(super) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if first {
                info!(signal = name, "stopping: last snapshot, then leaving the group");
                stop.cancel();
            } else {
                warn!(
                    signal = name,
                    "stopping at once; the next start goes on from the last snapshot"
                );
                std::process::exit(1);
            }
        }
    });
    Ok(stopped)
}

/// Logs go to standard error; `RUST_LOG` wins over the configured level.
pub(super) fn log_to_standard_error(log: Log) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{},librdkafka=warn", log.level.as_str())));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => lines.with_ansi(false).init(),
    }
}
