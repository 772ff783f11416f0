//! `driftd tune`: thresholds, window and pane for the user's data and budget, and what they will see.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli;
use crate::cli::config::Source;
use crate::cli::replay::{bar, load, measure};
use crate::cli::row_time::RowTime;
use crate::config;
use crate::fetch;
use crate::pipeline::BadInput;
use crate::pipeline::tune;
use crate::pipeline::tune::Request;
use crate::report::tune::text;
use crate::setting::Budget;
use crate::source::file::FileSource;

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 a proposal was made, 2 usage, 78 unreadable input.")]
pub(super) struct Args {
    /// Records, best some weeks without a known drift: an NDJSON or Parquet file, or a folder of them
    records: PathBuf,
    #[command(flatten)]
    source: Source,
    /// The model in the configuration; not needed when it has one
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// False retrains that are tolerated, such as `1 per 30d` [default: `false_retrains`]
    #[arg(long, value_name = "BUDGET")]
    budget: Option<Budget>,
    /// Text for people or JSON with everything
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    time: RowTime,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments whole")]
pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let (loaded, at) = match load(&args.source, args.model.as_deref()) {
        Ok(found) => found,
        Err(code) => return Ok(code),
    };
    let model = loaded.config.models[at].clone();
    let bar = bar();
    let location = &model.drift_config.reference_dataset;
    bar.set_message(format!("reading {location}"));
    let settings = &loaded.config.baselines;
    let baseline = match fetch::load_blocking(settings, location, &model.overrides()) {
        Ok(baseline) => baseline,
        Err(error) if error.is_unreachable() => return Err(error.into()),
        Err(error) => return Err(BadInput(error.into()).into()),
    };
    let source = FileSource::open(&args.records).map_err(|error| BadInput(error.into()))?;
    measure(&bar, source.bytes);
    let request = Request {
        source,
        time: args.time.asked(None),
        sort: args.time.sort,
        model,
        baseline,
        budget: args.budget,
    };
    let tuned = tune::tune(request, &|read| bar.set_position(read))?;
    bar.finish_and_clear();
    let text = match args.format {
        Format::Text => text::text(&tuned, &config::to_yaml(&tuned.config)),
        Format::Json => serde_json::to_string(&tuned)? + "\n",
    };
    cli::print(&text)?;
    Ok(cli::OK)
}
