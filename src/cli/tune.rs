//! `driftd tune`: thresholds, window and pane for the user's data and budget, and what they will see.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli;
use crate::cli::config::Source;
use crate::cli::replay::{Unit, bar, load, measure, zone};
use crate::config;
use crate::decode::TimeUnit;
use crate::decode::fields::Zone;
use crate::fetch;
use crate::pipeline::BadInput;
use crate::pipeline::tune;
use crate::pipeline::tune::Request;
use crate::report::tune::text;
use crate::setting::Budget;
use crate::source::file::FileSource;
use crate::source::file::TimeAsked;

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
    /// Put the rows in order of time first; they must fit in memory
    #[arg(long)]
    sort: bool,
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
        time: TimeAsked {
            column: args.time_column.clone(),
            unit: args.time_unit.map(TimeUnit::from),
            zone: args.time_zone.clone(),
            rows_per_pane: None,
        },
        sort: args.sort,
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
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads only the first lines of it has what they want.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(cli::OK),
        written => Ok(written.map(|()| cli::OK)?),
    }
}
