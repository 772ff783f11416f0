//! `driftd alive`: whether the driftd that runs here turns, for health checks of images without a shell.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;
use clap::Parser;
use url::Url;

use crate::cli::Cli;
use crate::cli::Command;
use crate::cli::OK;
use crate::cli::config::Source;
use crate::client::probe;
use crate::http;

/// Less than a container engine waits for its health check.
const PATIENCE: Duration = Duration::from_secs(4);
const PROGRAM: &str = "driftd";
const PROCESSES: &str = "/proc";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Asks /livez of the public listener, over this machine and by whatever certificate it has; 0 is alive."
)]
pub(super) struct Args {
    /// The configuration of the driftd to ask [default: that of the one that runs here]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What was found to run here.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// `driftd run`, with this configuration.
    Daemon(PathBuf),
    /// Its listeners have ports that nobody knows; that it is there is all there is to see.
    Demo,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let found = match &args.config {
        Some(config) => Found::Daemon(config.clone()),
        None => running_here()?,
    };
    let mut out = io::stdout().lock();
    let Found::Daemon(config) = found else {
        writeln!(out, "a demo runs")?;
        return Ok(OK);
    };
    let settings = match (Source { config }).load() {
        Ok(loaded) => loaded.config.http,
        Err(code) => return Ok(code),
    };
    let url = livez(&settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let answer = runtime.block_on(probe(&url, PATIENCE))?;
    let said = String::from_utf8_lossy(&answer.body).trim().replace('\n', "; ");
    if answer.status != 200 {
        bail!("{url} answers {}: {said}", answer.status);
    }
    writeln!(out, "{said}")?;
    Ok(OK)
}

/// Where the public listener is for a process beside it.
fn livez(settings: &http::Config) -> anyhow::Result<Url> {
    let mut address = settings.public;
    if address.port() == 0 {
        bail!("http.public has port 0, so nobody knows where it listens; give it a port");
    }
    if address.ip().is_unspecified() {
        let loopback: IpAddr = match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    let scheme = if settings.public_tls.is_some() { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{address}/livez")).context("http.public makes no URL")
}

/// The one driftd among the processes that can be seen, which in a container are the container's.
fn running_here() -> anyhow::Result<Found> {
    let processes = fs::read_dir(PROCESSES).with_context(|| {
        format!("{PROCESSES} does not tell what runs here: name the configuration with --config")
    })?;
    // A process that is about to become another program still has its parent's words.
    let found: BTreeSet<Found> = processes
        .flatten()
        .filter_map(|process| {
            let line = fs::read(process.path().join("cmdline")).ok()?;
            let cwd = process.path().join("cwd");
            understood(&line, &fs::read_link(&cwd).unwrap_or(cwd))
        })
        .collect();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => {
            bail!("several driftd run here: name the configuration of one with --config")
        }
        (None, _) => bail!("no driftd runs here"),
    }
}

/// What the words of a process's command line, each with a zero byte behind it, start in folder `cwd`.
fn understood(line: &[u8], cwd: &Path) -> Option<Found> {
    let words: Vec<&OsStr> =
        line.strip_suffix(b"\0")?.split(|byte| *byte == 0).map(OsStr::from_bytes).collect();
    if Path::new(words.first()?).file_name()? != PROGRAM {
        return None;
    }
    match Cli::try_parse_from(words).ok()?.command {
        Command::Run(args) => Some(Found::Daemon(cwd.join(args.config()))),
        Command::Demo(_) => Some(Found::Demo),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(words: &[&str]) -> Option<Found> {
        let line: String = words.iter().map(|word| format!("{word}\0")).collect();
        super::understood(line.as_bytes(), Path::new("/home"))
    }

    #[test]
    fn a_daemon_is_known_by_its_command_line() {
        let daemon = |config: &str| Some(Found::Daemon(PathBuf::from(config)));
        let driftd = "/usr/local/bin/driftd";
        assert_eq!(understood(&[driftd, "run", "-c", "/a b/x.yaml"]), daemon("/a b/x.yaml"));
        assert_eq!(understood(&["driftd", "run", "--config=x.yaml"]), daemon("/home/x.yaml"));
        assert_eq!(understood(&[driftd, "demo", "--keep-running"]), Some(Found::Demo));
        for other in [
            &[driftd, "alive"][..],
            &[driftd, "baseline-worker"],
            &[driftd, "run", "--no-such-option"],
            &["/bin/sh", "run", "-c", "/x.yaml"],
            &[],
        ] {
            assert_eq!(understood(other), None, "{other:?}");
        }
    }

    #[test]
    fn every_address_is_reached_from_beside_it() {
        let asked = |public: &str| {
            let settings = http::Config { public: public.parse().unwrap(), ..Default::default() };
            livez(&settings).map(String::from).map_err(|error| error.to_string())
        };
        assert_eq!(asked("0.0.0.0:9464").unwrap(), "http://127.0.0.1:9464/livez");
        assert_eq!(asked("[::]:9464").unwrap(), "http://[::1]:9464/livez");
        assert_eq!(asked("10.0.0.7:80").unwrap(), "http://10.0.0.7/livez");
        assert!(asked("127.0.0.1:0").unwrap_err().contains("http.public"));
    }
}
