//! `driftd baseline`: build a profile from training data, show what a baseline holds.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::baseline::{Baseline, Convention, FeatureBaseline, FeatureOverride, Overrides};
use crate::cli::{self, BAD_INPUT, OK, profiles};
use crate::decide::time::rfc3339;
use crate::feature::Kind;
use crate::fetch;
use crate::histogram::Cells;
use crate::setting::season::{Period, Season};

mod configured;
mod table;

use configured::{Configured, Reading};
use table::{one_feature, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Build a profile from Parquet: aggregates only, to use in place of the data.
    Build(BuildArgs),
    /// Show what driftd makes of Parquet data or of a profile.
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct BuildArgs {
    /// Parquet file, folder of parts, or s3://bucket/key; with --config that of the model, if not given.
    #[arg(required_unless_present = "config")]
    reference: Option<String>,
    #[command(flatten)]
    configured: Configured,
    /// Where to write the profile.
    #[arg(short, long)]
    output: PathBuf,
    /// A column that is no feature; may be repeated.
    #[arg(long, value_name = "COLUMN", conflicts_with = "config")]
    ignore: Vec<String>,
    /// A column whose values are categories, such as numeric codes; may be repeated.
    #[arg(long, value_name = "COLUMN", conflicts_with = "config")]
    categorical: Vec<String>,
    /// Whose numbers it will be compared by: its cells get the edges that these need.
    #[arg(long, value_name = "NAME", default_value = "driftd", value_parser = profiles())]
    #[arg(conflicts_with = "config")]
    profile: Convention,
    /// The column that holds what the model answered [default: prediction].
    #[arg(long, value_name = "COLUMN", conflicts_with = "config")]
    prediction: Option<String>,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    season: SeasonArgs,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct TimeArgs {
    /// The column that says when a row happened, or `none` [default: by type and name].
    #[arg(long = "time-column", value_name = "COLUMN", conflicts_with = "config")]
    column: Option<String>,
}

/// Which season live will be compared within.
#[derive(Debug, clap::Args)]
struct SeasonArgs {
    /// `auto` tries a day and a week on every feature: the configuration's `season`.
    #[arg(long = "season", value_name = "PERIOD", value_enum, default_value_t)]
    #[arg(conflicts_with = "config")]
    period: SeasonPeriod,
    /// The zone whose clock the slots follow.
    #[arg(long, value_name = "ZONE", default_value = "UTC", conflicts_with = "config")]
    time_zone: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum SeasonPeriod {
    #[default]
    Auto,
    None,
    Day,
    Week,
}

impl SeasonArgs {
    fn setting(&self) -> Season {
        let period = match self.period {
            SeasonPeriod::Auto => Period::Auto,
            SeasonPeriod::None => Period::None,
            SeasonPeriod::Day => Period::Day,
            SeasonPeriod::Week => Period::Week,
        };
        Season { period, slots: None, time_zone: self.time_zone.clone() }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Parquet file, folder of parts, s3://bucket/key, or profile; with --config that of the model, if not
    /// given.
    #[arg(required_unless_present = "config")]
    baseline: Option<String>,
    #[command(flatten)]
    configured: Configured,
    /// Only this feature, with its cells and bins.
    #[arg(long)]
    feature: Option<String>,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    season: SeasonArgs,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
}

pub(super) fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Build(args) => build(&args),
        Command::Show(args) => show(&args),
    }
}

fn build(args: &BuildArgs) -> anyhow::Result<u8> {
    let categorical = FeatureOverride { kind: Some(Kind::Categorical), role: None };
    let overrides = Overrides {
        ranges: BTreeMap::new(),
        features: args.categorical.iter().map(|name| (name.clone(), categorical)).collect(),
        ignore: args.ignore.iter().cloned().collect(),
        time_column: args.time.column.clone(),
        prediction: args.prediction.clone(),
        convention: Some(args.profile),
        season: args.season.setting(),
        pane_ms: None,
        watch_prediction: false,
        watch_confidence: false,
    };
    let reading = match args.configured.reading(args.reference.as_deref(), overrides) {
        Ok(reading) => reading,
        Err(code) => return Ok(code),
    };
    let Some(baseline) = read(&reading)? else { return Ok(BAD_INPUT) };
    write_whole(&args.output, baseline.to_json().as_bytes())
        .with_context(|| format!("can't write the profile to {}", args.output.display()))?;
    cli::print(&match args.format {
        Format::Table => table(&baseline),
        Format::Json => pretty(&summary(&baseline)),
    })?;
    Ok(OK)
}

fn show(args: &ShowArgs) -> anyhow::Result<u8> {
    let (time_column, season) = (args.time.column.clone(), args.season.setting());
    let overrides = Overrides { time_column, season, ..Overrides::default() };
    let reading = match args.configured.reading(args.baseline.as_deref(), overrides) {
        Ok(reading) => reading,
        Err(code) => return Ok(code),
    };
    let Some(baseline) = read(&reading)? else { return Ok(BAD_INPUT) };
    let text = match &args.feature {
        None => match args.format {
            Format::Table => table(&baseline),
            Format::Json => pretty(&summary(&baseline)),
        },
        Some(name) => {
            let Some(feature) = baseline.features.iter().find(|f| f.name == *name) else {
                let names: Vec<_> = baseline.features.iter().map(|f| f.name.as_str()).collect();
                let names = names.join(", ");
                complain(&format!("{}: no feature `{name}`; it has: {names}", reading.location))?;
                return Ok(BAD_INPUT);
            };
            match args.format {
                Format::Table => one_feature(feature),
                Format::Json => pretty(&with_cells(feature)),
            }
        }
    };
    cli::print(&text)?;
    Ok(OK)
}

/// The baseline, or `None` once standard error says what is wrong with it.
fn read(reading: &Reading) -> anyhow::Result<Option<Baseline>> {
    let Reading { location, settings, overrides } = reading;
    let bar = if io::stderr().is_terminal() {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})")?);
        bar.set_message(format!("reading {location}"));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    } else {
        ProgressBar::hidden()
    };
    let result = fetch::load_blocking(settings, location, overrides);
    bar.finish_and_clear();
    match result {
        Ok(baseline) => Ok(Some(baseline)),
        // The store may answer tomorrow: that is a failure, not a bad file.
        Err(error) if error.is_unreachable() => Err(error.into()),
        Err(error) => {
            complain(&error.to_string())?;
            Ok(None)
        }
    }
}

/// A profile that is there is whole: written beside its place, then moved there.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let mut file = fs::File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

fn complain(text: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "driftd: {text}")
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn summary(baseline: &Baseline) -> Value {
    json!({
        "source": baseline.source,
        "digest": baseline.digest,
        "rules_digest": baseline.rules_digest(),
        "rows": baseline.rows,
        "time_column": baseline.time_column,
        "trained": baseline.trained.map(|t| json!({"at": rfc3339(t.at_ms), "by": t.by})),
        "ignored": baseline.ignored,
        "sampled": baseline.sampled,
        "season": baseline.season,
        "features": baseline.features.iter().map(in_short).collect::<Vec<_>>(),
    })
}

fn in_short(feature: &FeatureBaseline) -> Value {
    let usable = feature.unusable.is_none();
    let mut value = json!({
        "feature": feature.name,
        "role": feature.role,
        "kind": feature.kind,
        "type": feature.column_type,
        "usable": usable,
    });
    match feature.unusable {
        Some(why) => value["unusable"] = json!({"reason": why, "text": why.reason()}),
        None => {
            value["count"] = json!(feature.reference.in_cells());
            value["missing"] = json!(feature.reference.absent());
            value["distinct"] = json!(feature.distinct);
            value["singletons"] = json!(feature.singletons);
            value["cells"] = json!(feature.cells.len());
            value["bins"] = json!(feature.bins.len());
            if let Some(sample) = feature.sample {
                value["sample"] = json!(sample);
            }
            if let Some(measured) = &feature.design_effect {
                value["design_effect"] = json!(measured.effects);
            }
            if let Some(season) = &feature.season {
                let (without, with) = feature.season_effects().unzip();
                value["season"] = json!({
                    "period": season.cycle,
                    "slots": season.cycle.slots(),
                    "used": season.is_used(),
                    "design_effect": {"without": without, "with": with},
                });
            }
            value["mean"] = json!(feature.mean);
            value["sd"] = json!(feature.sd);
            if let Cells::Numeric(cells) = &feature.cells {
                value["range"] = json!([cells.lowest, cells.highest]);
            }
        }
    }
    value
}

/// Limits of the bins and what the reference has in them, and the same of the cells.
fn with_cells(feature: &FeatureBaseline) -> Value {
    let mut value = in_short(feature);
    if feature.unusable.is_some() {
        return value;
    }
    let bins = feature.bins.sum(&feature.reference.cells);
    match &feature.cells {
        Cells::Numeric(cells) => {
            let ends = feature.bins.starts.iter().skip(1);
            let ends: Vec<f64> = ends.map(|&start| cells.edges[start as usize - 1]).collect();
            value["bins"] = json!({"edges": ends, "reference": bins});
            value["cells"] = json!({"edges": cells.edges, "reference": feature.reference.cells});
        }
        Cells::Categorical(cells) => {
            value["bins"] = json!({"starts": feature.bins.starts, "reference": bins});
            value["cells"] =
                json!({"categories": cells.categories, "reference": feature.reference.cells});
        }
    }
    value
}
