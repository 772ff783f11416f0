//! `driftd compare`: training data against what came since, as a gate for people and for CI.

use std::fs;
use std::io;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use indicatif::ProgressBar;

use crate::baseline::Baseline;
use crate::baseline::Convention;
use crate::baseline::Overrides;
use crate::cli;
use crate::cli::config::Source;
use crate::cli::printable;
use crate::cli::profiles;
use crate::cli::replay::load;
use crate::clock::now_ms;
use crate::compare::FLOOR_ALPHA;
use crate::compare::Statistic;
use crate::config::Config;
use crate::config::Loaded;
use crate::config::Model;
use crate::config::fit;
use crate::decide::DEFAULT_MIN_RECORDS;
use crate::decide::DEFAULT_PSI_TOLERANCE;
use crate::decide::Level;
use crate::decide::Verdict;
use crate::decide::VerdictRule;
use crate::decide::check::Check;
use crate::decide::default_thresholds;
use crate::decide::verdict;
use crate::decide::with_lines_of;
use crate::fetch;
use crate::histogram::Counts;
use crate::report::compare::Comparison;
use crate::report::compare::Outcome;
use crate::report::compare::judged;
use crate::report::page;
use crate::report::table;
use crate::setting::season::{Period, Season};

/// Columns of the table unless others are named.
const SHOWN: [Statistic; 3] = [Statistic::Psi, Statistic::Ks, Statistic::Js];

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 no drift and no violated check, 3 drift or a violated check of severity \
                  warning or critical, 2 usage, 78 unreadable input."
)]
pub(super) struct Args {
    /// What the model was trained on: a Parquet file, a folder of parts, s3://bucket/key, or a
    /// profile
    reference: String,
    /// What to compare with it: the same, or a profile with the reference's cells
    live: String,
    /// A table for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write a page with every feature's picture, one file that fetches nothing
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The level from which on a feature fails the comparison
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    fail_on: FailOn,
    /// The line of a statistic at the level that fails, such as psi=0.1; may be repeated. Replaces
    /// the statistic's other lines
    #[arg(long = "threshold", value_name = "STATISTIC=VALUE", value_parser = threshold)]
    thresholds: Vec<(Statistic, f64)>,
    /// A statistic to show; may be repeated [default: psi, ks, js in the table, all in JSON]
    #[arg(long = "statistic", value_name = "STATISTIC")]
    statistics: Vec<Statistic>,
    /// Whose numbers: driftd's own or Evidently's [default: the model's, else driftd]
    #[arg(long, value_name = "NAME", value_parser = profiles())]
    profile: Option<Convention>,
    /// Judge by a model's policy in this configuration: its columns, thresholds, design effect, least
    /// records, and its checks
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The model in the configuration; not needed when it has one
    #[arg(long, requires = "config")]
    model: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FailOn {
    #[default]
    Warning,
    Retrain,
}

impl FailOn {
    fn level(self) -> Level {
        match self {
            FailOn::Warning => Level::Warning,
            FailOn::Retrain => Level::Retrain,
        }
    }
}

/// `psi=0.1`
fn threshold(given: &str) -> Result<(Statistic, f64), String> {
    let (name, value) = given.split_once('=').ok_or("write it as STATISTIC=VALUE")?;
    let statistic: Statistic = name.trim().parse().map_err(|error| format!("{error}"))?;
    if !statistic.has_floor() {
        return Err(format!(
            "{statistic} can't decide, because noise can't be told from drift for it"
        ));
    }
    match value.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok((statistic, value)),
        _ => Err(format!("`{value}` is not a number of at least 0")),
    }
}

/// What the two are read and judged by.
#[derive(Debug)]
struct Settings {
    fetch: fetch::Config,
    overrides: Overrides,
    thresholds: Vec<(Statistic, Level, f64)>,
    design_effect: f64,
    min_records: u64,
    tolerance: f64,
    asked: Option<Asked>,
}

/// The model whose checks are asked.
#[derive(Debug)]
struct Asked {
    file: PathBuf,
    loaded: Loaded,
    /// Which of its models.
    at: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fetch: fetch::Config::default(),
            overrides: Overrides::default(),
            thresholds: default_thresholds(),
            // Rows of a file are taken as independent unless a configuration knows better.
            design_effect: 1.0,
            min_records: DEFAULT_MIN_RECORDS,
            tolerance: DEFAULT_PSI_TOLERANCE,
            asked: None,
        }
    }
}

impl Settings {
    /// Those of a model; its counts are taken as independent where its design effect is not given.
    fn of(config: &Config, model: &Model) -> Self {
        let policy = model.policy();
        Self {
            fetch: config.baselines.clone(),
            overrides: model.overrides(),
            thresholds: policy.thresholds,
            design_effect: policy.design_effect.unwrap_or(1.0),
            min_records: policy.min_records,
            tolerance: model.drift_config.thresholds.psi_tolerance,
            asked: None,
        }
    }
}

impl Asked {
    /// The checks, each of which can be asked of this reference; else the exit code, the reason being printed.
    #[expect(clippy::print_stderr, reason = "faults are for people, on standard error")]
    fn checks(&self, reference: &Baseline) -> Result<&[Check], u8> {
        let model = &self.loaded.config.models[self.at];
        let found = fit::misfits(model, reference, None);
        let mut fits = true;
        for misfit in found.into_iter().filter(|misfit| misfit.key.starts_with("checks.")) {
            let at = format!("models.{}.{}", self.at, misfit.key);
            let fault = self.loaded.fault_at(&at, misfit.message);
            let kind = if misfit.fatal { "" } else { "warning: " };
            eprintln!("{kind}{}", printable(&fault.shown(&self.file).to_string()));
            fits &= !misfit.fatal;
        }
        fits.then_some(model.checks.as_slice()).ok_or(cli::BAD_INPUT)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments whole")]
pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let inputs = [Path::new(&args.reference), Path::new(&args.live)];
    if let Err(code) =
        cli::spares(args.html.as_deref(), inputs.into_iter().chain(args.config.as_deref()))
    {
        return Ok(code);
    }
    let mut settings = match settings(&args) {
        Ok(settings) => settings,
        Err(code) => return Ok(code),
    };
    if let Some(convention) = args.profile {
        settings.overrides.convention = Some(convention);
        settings.thresholds = with_lines_of(convention, settings.thresholds);
    }
    replace(&mut settings.thresholds, &args.thresholds, args.fail_on.level());
    let (reference, live) = match read(&args, &settings) {
        Ok(both) => both,
        Err(error) => return Ok(refuse(&error)),
    };
    let rule = VerdictRule {
        thresholds: &settings.thresholds,
        design_effect: settings.design_effect,
        min_records: settings.min_records,
        alpha: FLOOR_ALPHA,
        tolerance: settings.tolerance,
    };
    let sides = reference.features.iter().zip(&live);
    let features = sides.map(|(feature, live)| verdict(feature, live, &rule)).collect();
    let comparison = Comparison::new(features, args.fail_on.level());
    if nothing_in_common(&comparison) {
        return Ok(refuse_strangers(&args, &reference));
    }
    let checks = match settings.asked.as_ref().map(|asked| asked.checks(&reference)) {
        Some(Err(code)) => return Ok(code),
        Some(Ok(checks)) => judged(checks, &reference, &live),
        None => Vec::new(),
    };
    let mut comparison = comparison.with_checks(checks);
    if let Some(file) = &args.html {
        let view = comparison.as_view(reference, live, &settings.thresholds, &args.live);
        let page = page::comparison(&view, now_ms());
        fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let shown: &[Statistic] = if args.statistics.is_empty() { &SHOWN } else { &args.statistics };
    let text = match args.format {
        Format::Table => table::table(&comparison, &rule, shown, args.fail_on.level()),
        Format::Json => {
            if !args.statistics.is_empty() {
                comparison.keep(&args.statistics);
            }
            comparison.to_json()
        }
    };
    cli::print(&text)?;
    Ok(match comparison.verdict {
        Outcome::Stable => cli::OK,
        Outcome::Violated | Outcome::Drifted => cli::DRIFT,
    })
}

/// The defaults, or those of the model that is named; else the exit code, the reason being printed.
fn settings(args: &Args) -> Result<Settings, u8> {
    let Some(config) = args.config.clone() else { return Ok(Settings::default()) };
    let source = Source { config };
    let (loaded, at) = load(&source, args.model.as_deref())?;
    let settings = Settings::of(&loaded.config, &loaded.config.models[at]);
    Ok(Settings { asked: Some(Asked { file: source.config, loaded, at }), ..settings })
}

/// Puts each given line at `level`, in place of all lines of its statistic; the last one counts.
fn replace(lines: &mut Vec<(Statistic, Level, f64)>, given: &[(Statistic, f64)], level: Level) {
    for &(statistic, value) in given {
        lines.retain(|line| line.0 != statistic);
        lines.push((statistic, level, value));
    }
}

fn read(args: &Args, settings: &Settings) -> Result<(Baseline, Vec<Counts>), fetch::Error> {
    // Whole against whole: there is no window that covers some slots only.
    let season = Season { period: Period::None, ..Season::default() };
    let overrides = &Overrides { season, ..settings.overrides.clone() };
    let progress = progress();
    progress.set_message(format!("reading {}", args.reference));
    let reference = fetch::load_once_blocking(&settings.fetch, &args.reference, overrides)?;
    progress.set_message(format!("counting {}", args.live));
    let live = fetch::count_live_blocking(&settings.fetch, &args.live, &reference)?;
    progress.finish_and_clear();
    Ok((reference, live))
}

/// On standard error, so that the result can go into a pipe; nothing where nobody looks.
fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(100));
    progress
}

/// No feature that could be compared came live at all: these are not the same model's data.
fn nothing_in_common(comparison: &Comparison) -> bool {
    let mut usable = comparison.features.iter().filter(|f| f.verdict != Verdict::Unusable);
    usable.all(|feature| feature.verdict == Verdict::AbsentInLive)
}

#[expect(clippy::print_stderr, reason = "errors are for people, on standard error")]
fn refuse(error: &fetch::Error) -> u8 {
    eprintln!("driftd: {error}");
    if error.is_unreachable() { cli::FAILURE } else { cli::BAD_INPUT }
}

#[expect(clippy::print_stderr, reason = "errors are for people, on standard error")]
fn refuse_strangers(args: &Args, reference: &Baseline) -> u8 {
    let usable = reference.features.iter().filter(|feature| feature.unusable.is_none());
    let names: Vec<_> = usable.map(|feature| format!("`{}`", feature.name)).take(5).collect();
    let (reference, live) = (&args.reference, &args.live);
    if names.is_empty() {
        eprintln!(
            "driftd: {reference}: no column can be compared; `driftd baseline show` says why"
        );
    } else {
        let names = printable(&names.join(", "));
        eprintln!("driftd: {live}: has none of the columns of {reference} ({names}, ...)");
    }
    cli::BAD_INPUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_line_replaces_all_lines_of_its_statistic() {
        let mut lines = default_thresholds();
        let given = [(Statistic::Psi, 0.3), (Statistic::Psi, 0.4), (Statistic::Ks, 0.05)];
        replace(&mut lines, &given, Level::Warning);
        let psi: Vec<_> = lines.iter().filter(|line| line.0 == Statistic::Psi).collect();
        assert_eq!(psi, [&(Statistic::Psi, Level::Warning, 0.4)]);
        assert!(lines.contains(&(Statistic::Ks, Level::Warning, 0.05)));
        assert!(lines.contains(&(Statistic::Unseen, Level::Retrain, 0.05)));
    }

    #[test]
    fn a_line_that_cannot_decide_is_refused() {
        assert_eq!(threshold("psi=0.1"), Ok((Statistic::Psi, 0.1)));
        assert!(threshold("psi").unwrap_err().contains("STATISTIC=VALUE"));
        assert!(threshold("psl=0.1").unwrap_err().contains("unknown statistic `psl`"));
        assert!(threshold("wasserstein=0.1").unwrap_err().contains("can't decide"));
        for bad in ["psi=-1", "psi=nan", "psi=inf", "psi=", "psi=a"] {
            assert!(threshold(bad).unwrap_err().contains("not a number"), "{bad}");
        }
    }
}
