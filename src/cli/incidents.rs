//! `driftd incidents`: what a running driftd has decided, and what a person says to it.

use std::fs;
use std::io;
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;
use bytes::Bytes;
use clap::ValueEnum;
use serde_json::Value;
use serde_json::json;
use url::Url;

use crate::cli;
use crate::cli::config::Source;
use crate::client::Client;
use crate::client::ClientConfig;
use crate::client::Post;
use crate::client::Response;
use crate::client::parse_url;
use crate::http;

/// A command waits for the disk.
const PATIENCE: Duration = Duration::from_secs(30);
/// Every incident that is kept, with its evidence, is far smaller.
const MOST: usize = 256 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    reach: Reach,
}

/// How a running driftd is reached.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// The configuration of the running driftd: where its admin listener is, and its token
    #[arg(short, long, env = "DRIFTD_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where the admin listener is [default: what the configuration says, else http://127.0.0.1:9465]
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
    /// File with the bearer token [default: the configuration's http.token_file]
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Open and recently closed incidents, newest first (the default)
    List {
        /// A table for people or JSON for scripts
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Close an incident
    Close {
        /// Its id
        id: String,
        /// How it ended
        #[arg(long = "as", value_enum, value_name = "HOW")]
        closed_as: ClosedAs,
        /// Who says so, for the audit trail [default: the address that the command came from]
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
    /// Take the present faults of a model for drift: they decide again
    Accept {
        /// The model's name
        model: String,
        /// Who says so, for the audit trail [default: the address that the command came from]
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
}

/// What a person can say of an incident; the other endings are the daemon's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ClosedAs {
    /// The run failed, or its quality gate refused
    Rejected,
    /// Nothing needs to be done
    Dismissed,
    /// The model was retrained and driftd has not seen it
    Replaced,
}

impl ClosedAs {
    fn as_str(self) -> &'static str {
        match self {
            ClosedAs::Rejected => "rejected",
            ClosedAs::Dismissed => "dismissed",
            ClosedAs::Replaced => "replaced",
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let (url, token, reached) = match place(&args.reach)? {
        Ok(place) => place,
        Err(code) => return Ok(code),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let command = args.command.unwrap_or(Command::List { format: Format::default() });
    runtime.block_on(carry_out(command, &url, token, &reached))?;
    Ok(cli::OK)
}

/// Where the admin listener is, the token, and how it is reached.
pub(super) type Place = (Url, Option<String>, ClientConfig);

/// The place; or the exit code of a configuration that is unusable.
pub(super) fn place(args: &Reach) -> anyhow::Result<Result<Place, u8>> {
    let mut settings = http::Config::default();
    let mut reached = ClientConfig::default();
    if let Some(config) = &args.config {
        match (Source { config: config.clone() }).load() {
            Ok(loaded) => (settings, reached) = (loaded.config.http, loaded.config.client),
            Err(code) => return Ok(Err(code)),
        }
    }
    let mut admin = settings.admin;
    if admin.ip().is_unspecified() {
        admin.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let text = args.url.clone().unwrap_or_else(|| {
        let scheme = if settings.admin_tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{admin}")
    });
    // The admin listener is near, whatever stands between us and the targets.
    reached.proxy = None;
    let url = parse_url(&text, true).with_context(|| format!("--url {text} can't be used"))?;
    let token = match args.token_file.as_ref().or(settings.token_file.as_ref()) {
        None => None,
        Some(path) => {
            let token = fs::read_to_string(path)
                .with_context(|| format!("the token file {} can't be read", path.display()))?;
            Some(token.trim().to_owned())
        }
    };
    Ok(Ok((url, token, reached)))
}

async fn carry_out(
    command: Command,
    url: &Url,
    token: Option<String>,
    reached: &ClientConfig,
) -> anyhow::Result<()> {
    let client = Client::new(reached)?;
    let bearer = token.map(|token| ("authorization", format!("Bearer {token}")));
    let mut out = io::stdout().lock();
    match command {
        Command::List { format } => {
            let url = at(url, &["api", "v1", "incidents"])?;
            let headers = bearer.into_iter().collect();
            let response = client.get_with(&url, headers, PATIENCE, MOST).await?;
            let answer = understood(&response)?;
            match format {
                Format::Json => {
                    serde_json::to_writer_pretty(&mut out, &answer)?;
                    writeln!(out)?;
                }
                Format::Table => out.write_all(table(&answer).as_bytes())?,
            }
        }
        Command::Close { id, closed_as, by } => {
            let body = json!({"as": closed_as.as_str(), "by": by});
            let url = at(url, &["api", "v1", "incidents", &id, "close"])?;
            writeln!(out, "{}", tell(&client, url, bearer, &body).await?)?;
        }
        Command::Accept { model, by } => {
            let body = json!({"by": by});
            let url = at(url, &["api", "v1", "models", &model, "accept"])?;
            writeln!(out, "{}", tell(&client, url, bearer, &body).await?)?;
        }
    }
    Ok(())
}

/// A path below the listener's own; names are escaped.
pub(super) fn at(url: &Url, path: &[&str]) -> anyhow::Result<Url> {
    let mut url = url.clone();
    let Ok(mut segments) = url.path_segments_mut() else {
        bail!("the URL of the admin listener can't have a path");
    };
    segments.pop_if_empty().extend(path);
    drop(segments);
    Ok(url)
}

async fn tell(
    client: &Client,
    url: Url,
    bearer: Option<(&'static str, String)>,
    body: &Value,
) -> anyhow::Result<String> {
    let json = ("content-type", "application/json".to_owned());
    let headers = [json].into_iter().chain(bearer).collect();
    let body = Bytes::from(body.to_string());
    let response = client.post(Post { url, headers, body, timeout: PATIENCE }).await?;
    let answer = understood(&response)?;
    Ok(answer["message"].as_str().unwrap_or("done").to_owned())
}

/// The answer's JSON, or the reason that it gives.
pub(super) fn understood(response: &Response) -> anyhow::Result<Value> {
    let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if (200..300).contains(&response.status) && !answer.is_null() {
        return Ok(answer);
    }
    let why = answer["error"].as_str().unwrap_or("it is not driftd's admin listener");
    bail!("status {}: {why}", response.status)
}

fn table(answer: &Value) -> String {
    let incidents = answer["incidents"].as_array().map(Vec::as_slice).unwrap_or_default();
    if incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let rows = incidents.iter().map(|incident| {
        let text = |key: &str| incident[key].as_str().unwrap_or("-").to_owned();
        let state = match incident["as"].as_str() {
            Some(ending) => format!("{}: {ending}", text("state")),
            None => text("state"),
        };
        [text("id"), text("model"), state, text("opened"), text("closed")]
    });
    let head = ["ID", "MODEL", "STATE", "OPENED", "CLOSED"].map(str::to_owned);
    let rows: Vec<[String; 5]> = [head].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_the_path_whatever_is_in_it() {
        let url = Url::parse("http://127.0.0.1:9465/").unwrap();
        let url = at(&url, &["api", "v1", "models", "a/b c", "accept"]).unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:9465/api/v1/models/a%2Fb%20c/accept");
    }

    #[test]
    fn incidents_are_lines_under_a_head() {
        let answer = json!({"incidents": [
            {"id": "i-1", "model": "fraud", "state": "accepted", "opened": "2026-01-01T00:00:00Z"},
            {"id": "i-0", "model": "fraud", "state": "closed", "as": "dismissed",
             "opened": "2026-01-01T00:00:00Z", "closed": "2026-01-01T01:00:00Z"},
        ]});
        let shown = table(&answer);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("ID   MODEL") && lines[1].ends_with('-'), "{shown}");
        assert!(lines[2].contains("closed: dismissed"), "{shown}");
        assert_eq!(table(&json!({"incidents": []})), "no incidents\n");
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let answer = |status, body: &'static str| {
            let body = Bytes::from_static(body.as_bytes());
            understood(&Response { status, body, ..Response::default() })
        };
        assert!(answer(200, r#"{"message":"done"}"#).is_ok());
        let refused = answer(409, r#"{"error":"fraud has no fault"}"#).unwrap_err().to_string();
        assert!(refused.contains("409") && refused.contains("no fault"), "{refused}");
        assert!(answer(200, "<html>").is_err());
    }
}
