//! `driftd replay`: what a policy would have done about records that are already there.

use std::fs;
use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;

use crate::cli;
use crate::cli::config::Source;
use crate::config::Loaded;
use crate::config::Model;
use crate::decode::TimeUnit;
use crate::decode::fields::Zone;
use crate::fetch;
use crate::pipeline::BadInput;
use crate::pipeline::replay;
use crate::pipeline::replay::DAYS_MIN;
use crate::pipeline::replay::Policy;
use crate::pipeline::replay::Request;
use crate::pipeline::replay::Shuffles;
use crate::report::replay::Replay;
use crate::report::replay::page;
use crate::report::replay::text;
use crate::setting::Span;
use crate::source::file::FileSource;
use crate::source::file::TimeAsked;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 no trigger, 3 a retraining would have been triggered, 2 usage, 78 \
                  unreadable input."
)]
pub(super) struct Args {
    /// Records: an NDJSON or Parquet file, or a folder of them
    records: PathBuf,
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
    /// The column, key or JSON pointer that says when a row happened [default: `fields.event_time`,
    /// else found by type and name]
    #[arg(long, value_name = "NAME")]
    time_column: Option<String>,
    /// The unit of times that are numbers [default: what makes it a year between 2000 and 2100]
    #[arg(long, value_enum, value_name = "UNIT")]
    time_unit: Option<Unit>,
    /// The time zone of times without an offset [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    time_zone: Option<Zone>,
    /// The rows have no time: so many of them make a pane
    #[arg(long, value_name = "N", conflicts_with_all = ["time_column", "sort"])]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    rows_per_pane: Option<u64>,
    /// Put the rows in order of time first; they must fit in memory
    #[arg(long)]
    sort: bool,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Unit {
    S,
    Ms,
    Us,
    Ns,
}

impl From<Unit> for TimeUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::S => Self::S,
            Unit::Ms => Self::Ms,
            Unit::Us => Self::Us,
            Unit::Ns => Self::Ns,
        }
    }
}

pub(super) fn zone(name: &str) -> Result<Zone, String> {
    Zone::try_from(name.to_owned()).map_err(|error| error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments whole")]
pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let bar = bar();
    let policies = match policies(&args, &bar)? {
        Ok(policies) => policies,
        Err(code) => return Ok(code),
    };
    let source = FileSource::open(&args.records).map_err(|error| BadInput(error.into()))?;
    measure(&bar, source.bytes);
    let request = Request {
        source,
        time: TimeAsked {
            column: args.time_column.clone(),
            unit: args.time_unit.map(TimeUnit::from),
            zone: args.time_zone.clone(),
            rows_per_pane: args.rows_per_pane,
        },
        policies,
        sort: args.sort,
        close_after_ms: args.close_after.map(Span::as_ms),
        shuffles: args.shuffle_days.then_some(Shuffles { n: args.shuffles, seed: args.seed }),
    };
    let replayed = replay::replay(&request, &|read| bar.set_position(read))?;
    bar.finish_and_clear();
    print(&args, &replayed)?;
    if let Some(unusable) = text::nothing_counted(&replayed) {
        return Err(BadInput(anyhow::anyhow!("{}: {unusable}", args.records.display())).into());
    }
    Ok(if replayed.triggered() { cli::DRIFT } else { cli::OK })
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
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads only the first lines of it has what they want.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Every configuration with its model's baseline; the exit code when one can't be used.
fn policies(args: &Args, bar: &ProgressBar) -> anyhow::Result<Result<Vec<Policy>, u8>> {
    let mut policies: Vec<Policy> = Vec::new();
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
    }
    Ok(Ok(policies))
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
