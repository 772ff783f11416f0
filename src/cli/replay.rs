//! `driftd replay`: what a policy would have done about records that are already there.

use std::fs;
use std::fs::File;
use std::io;
use std::io::IsTerminal;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::cli;
use crate::cli::config::Source;
use crate::cli::row_time::RowTime;
use crate::config::Loaded;
use crate::config::Model;
use crate::fetch;
use crate::kafka;
use crate::kafka::range::Asked;
use crate::kafka::range::Range;
use crate::pipeline::BadInput;
use crate::pipeline::replay;
use crate::pipeline::replay::After;
use crate::pipeline::replay::DAYS_MIN;
use crate::pipeline::replay::Policy;
use crate::pipeline::replay::Records;
use crate::pipeline::replay::Request;
use crate::pipeline::replay::Shuffles;
use crate::report::replay::Replay;
use crate::report::replay::page;
use crate::report::replay::text;
use crate::setting::Span;
use crate::source::file::FileSource;

/// How long brokers may take to say where the topic's records lie.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What of a file is looked at for how it begins.
const HEAD: u64 = 4096;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("input").required(true))]
#[command(
    after_help = "Exit codes: 0 no trigger, 3 a retraining would have been triggered, 2 usage, 78 \
                  unreadable input, or too little of it for any decision."
)]
pub(super) struct Args {
    /// Records: an NDJSON or Parquet file, or a folder of them
    #[arg(group = "input")]
    records: Option<PathBuf>,
    /// Read the model's topic in place of files, from the oldest record to the newest at present, by the
    /// first configuration's `kafka`; no group is joined and nothing is committed
    #[arg(long, group = "input")]
    #[arg(conflicts_with_all = ["time_column", "time_unit", "time_zone", "sort"])]
    kafka: bool,
    /// Leave out records with an earlier Kafka time stamp: RFC 3339, or a date (UTC)
    #[arg(long, value_name = "TIME", conflicts_with = "records", value_parser = moment)]
    from: Option<i64>,
    /// Leave out records with this Kafka time stamp and later
    #[arg(long, value_name = "TIME", conflicts_with = "records", value_parser = moment)]
    to: Option<i64>,
    /// The configuration with the policy to judge by
    #[arg(short, long, env = "DRIFTD_CONFIG", value_name = "FILE")]
    #[arg(required_unless_present = "policies")]
    config: Option<PathBuf>,
    /// The model in the configuration; not needed when it has one
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Another configuration to judge by, side by side; may be repeated
    #[arg(long = "policy", value_name = "FILE")]
    policies: Vec<PathBuf>,
    /// Text for people or JSON with everything
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write a page with pictures, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    time: RowTime,
    /// The rows have no time: so many of them make a pane
    #[arg(long, value_name = "N", conflicts_with_all = ["time_column", "sort", "kafka"])]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    rows_per_pane: Option<u64>,
    /// Close an incident after so long, as a finished retraining would, so that the next can be seen
    #[arg(long, value_name = "SPAN")]
    close_after: Option<Span>,
    /// Replay the same days in another order, too: without drift, every trigger is a false one
    #[arg(long)]
    shuffle_days: bool,
    /// How many orders
    #[arg(long, value_name = "N", default_value_t = 20, requires = "shuffle_days")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shuffles: u32,
    /// The same seed gives the same orders
    #[arg(long, default_value_t = 1, requires = "shuffle_days")]
    seed: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// ms since the epoch.
fn moment(text: &str) -> Result<i64, String> {
    let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    let time = text.parse::<Timestamp>().ok().or_else(|| Some(day()?.timestamp()));
    let time = time.map(Timestamp::as_millisecond);
    time.ok_or_else(|| "neither a time such as 2026-01-31T08:00:00Z nor a date".to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments whole")]
pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let configs = args.config.iter().chain(&args.policies).map(PathBuf::as_path);
    if let Err(code) = cli::spares(args.html.as_deref(), configs.chain(args.records.as_deref())) {
        return Ok(code);
    }
    let bar = bar();
    let (policies, kafka) = match policies(&args, &bar)? {
        Ok(found) => found,
        Err(code) => return Ok(code),
    };
    let (records, told) = match &args.records {
        Some(path) => {
            let source = FileSource::open(path).map_err(|error| BadInput(error.into()))?;
            measure(&bar, source.bytes);
            let time = args.time.asked(args.rows_per_pane);
            (Records::Files { source, time, sort: args.time.sort }, path.display().to_string())
        }
        None => from_topic(&args, &kafka, &policies[0].model.topic, &bar)?,
    };
    let after = After {
        close_after_ms: args.close_after.map(Span::as_ms),
        shuffles: args.shuffle_days.then_some(Shuffles { n: args.shuffles, seed: args.seed }),
    };
    let request = Request { records, policies, after };
    let replayed = replay::replay(request, &|read| bar.set_position(read))?;
    bar.finish_and_clear();
    print(&args, &replayed)?;
    if let Some(unusable) = text::nothing_decided(&replayed) {
        let hint = if args.records.as_deref().is_some_and(is_one_document) {
            "; it begins like one JSON document and not like records: write one record a line, as `jq -c . FILE` \
             does, or `jq -c '.[]' FILE` of an array"
        } else {
            ""
        };
        return Err(BadInput(anyhow::anyhow!("{told}: {unusable}{hint}")).into());
    }
    Ok(if replayed.triggered() { cli::DRIFT } else { cli::OK })
}

/// A file that begins with an array, or with a brace that stands alone. What is no file can't be read twice.
fn is_one_document(records: &Path) -> bool {
    if !records.is_file() {
        return false;
    }
    let mut head = Vec::new();
    let read = File::open(records).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    read.is_ok() && (first == b"{" || first.starts_with(b"["))
}

#[expect(
    clippy::print_stderr,
    reason = "what could not be answered is for people, on standard error"
)]
fn print(args: &Args, replayed: &Replay) -> anyhow::Result<()> {
    if args.shuffle_days && replayed.runs.iter().any(|run| run.null.is_none()) {
        eprintln!(
            "warning: the days are not shuffled: it takes {DAYS_MIN} whole days (UTC) with records"
        );
    }
    if let Some(file) = &args.html {
        fs::write(file, page::page(replayed)).map_err(|error| {
            let context = format!("{} can't be written", file.display());
            anyhow::Error::new(error).context(context)
        })?;
    }
    let text = match args.format {
        Format::Text => text::text(replayed),
        Format::Json => replayed.to_json(),
    };
    Ok(cli::print(&text)?)
}

/// The range that was asked for of `topic`, and what it is called.
fn from_topic(
    args: &Args,
    kafka: &kafka::Config,
    topic: &str,
    bar: &ProgressBar,
) -> anyhow::Result<(Records, String)> {
    let asked = Asked { from_ms: args.from, to_ms: args.to };
    bar.set_message(format!("asking {} for the offsets of {topic}", kafka.brokers.join(",")));
    let range = Range::open(kafka, topic, asked, TIMEOUT).map_err(|error| match error {
        kafka::Error::Unreachable { .. } | kafka::Error::Request { .. } => error.into(),
        bad => anyhow::Error::from(BadInput(bad.into())),
    })?;
    let told = format!("topic `{topic}` of {}", range.brokers());
    if range.stretches().is_empty() {
        let of = if args.from.or(args.to).is_some() { " in that time" } else { "" };
        return Err(BadInput(anyhow::anyhow!("{told} has no record{of}")).into());
    }
    bar.set_length(range.offsets());
    let template = "{bar:30} {percent:>3} %  {human_pos} of {human_len} offsets, {eta} to go";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    Ok((Records::Topic(range), told))
}

/// Every configuration with its model's baseline, and how the first reaches Kafka; the exit code when one
/// can't be used.
fn policies(
    args: &Args,
    bar: &ProgressBar,
) -> anyhow::Result<Result<(Vec<Policy>, kafka::Config), u8>> {
    let mut policies: Vec<Policy> = Vec::new();
    let mut first: Option<kafka::Config> = None;
    for file in args.config.iter().chain(&args.policies) {
        let source = Source { config: file.clone() };
        let (loaded, at) = match load(&source, args.model.as_deref()) {
            Ok(found) => found,
            Err(code) => return Ok(Err(code)),
        };
        let model: Model = loaded.config.models[at].clone();
        let location = &model.drift_config.reference_dataset;
        let same = |policy: &&Policy| {
            policy.model.drift_config.reference_dataset == *location
                && policy.model.overrides() == model.overrides()
        };
        let baseline = match policies.iter().find(same) {
            Some(known) => known.baseline.clone(),
            None => {
                bar.set_message(format!("reading {location}"));
                let settings = &loaded.config.baselines;
                match fetch::load_blocking(settings, location, &model.overrides()) {
                    Ok(baseline) => baseline,
                    Err(error) if error.is_unreachable() => return Err(error.into()),
                    Err(error) => return Err(BadInput(error.into()).into()),
                }
            }
        };
        let label = source.config.display().to_string();
        policies.push(Policy { label, model, baseline });
        first.get_or_insert(loaded.config.kafka);
    }
    Ok(Ok((policies, first.context("no configuration to replay by")?)))
}

/// A configuration and which of its models is meant; else the exit code, the reason being printed.
#[expect(clippy::print_stderr, reason = "errors are for people, on standard error")]
pub(super) fn load(source: &Source, model: Option<&str>) -> Result<(Loaded, usize), u8> {
    let loaded = source.load()?;
    source.warn(&loaded);
    let models = &loaded.config.models;
    let found = match model {
        None => (models.len() == 1).then_some(0),
        Some(name) => models.iter().position(|model| model.name == name),
    };
    if let Some(at) = found {
        return Ok((loaded, at));
    }
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let (file, names) = (source.config.display(), names.join(", "));
    match model {
        Some(name) => eprintln!("driftd: {file}: has no model `{name}`; it has {names}"),
        None => eprintln!("driftd: {file}: has several models; name one by --model: {names}"),
    }
    Err(cli::USAGE)
}

/// On standard error, so that the result can go into a pipe; nothing where nobody looks.
pub(super) fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// From a baseline, whose size nobody knows, to records, whose bytes are counted.
pub(super) fn measure(bar: &ProgressBar, bytes: u64) {
    bar.set_length(bytes.max(1));
    let template = "{bar:30} {percent:>3} %  {bytes} of {total_bytes}, {eta} to go";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}
