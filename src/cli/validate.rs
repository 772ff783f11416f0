//! `driftd validate`: every fault of a configuration and its baselines, before anything starts.

use std::env;
use std::io;
use std::io::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use clap::ValueEnum;
use serde_json::Value;
use serde_json::json;

use crate::cli;
use crate::cli::config::Source;
use crate::cli::printable;
use crate::config;
use crate::config::fit;
use crate::config::fit::Rate;
use crate::config::{Config, Fault, Loaded, Model};
use crate::fetch;
use crate::fetch::Measured;
use crate::kafka;

mod plan;
mod rate;
mod text;

use plan::Plan;
use text::{model_text, size};

/// How long brokers may take to answer.
const BROKER_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Reach nothing: no broker, no object store. Local baselines are read.
    #[arg(long)]
    offline: bool,
    /// Only this model.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Records an hour that come in; without it the topic is asked, else the baseline's time column
    #[arg(long, value_name = "PER_HOUR", value_parser = per_hour)]
    rate: Option<f64>,
    /// Text for people or JSON for programs.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn per_hour(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("give the number of records an hour, such as 1200".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// Everything that was found out.
#[derive(Debug, Default)]
struct Findings {
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    plans: Vec<Plan>,
    /// What could not be reached: a failure of the moment, not of the configuration.
    unreachable: Vec<String>,
    /// What `--offline` left out.
    skipped: Vec<String>,
    queue_bytes: u64,
    consumers: usize,
    /// What a process that reads baselines may take at most.
    reading_limit_bytes: u64,
    max_series: u64,
}

#[expect(clippy::needless_pass_by_value, reason = "a command is given its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let mut findings = Findings::default();
    match config::load(&args.source.config, &|name| env::var(name).ok()) {
        Ok(loaded) => {
            let models = &loaded.config.models;
            let strange = |name: &&String| !models.iter().any(|model| model.name == name.as_str());
            if let Some(name) = args.model.as_ref().filter(strange) {
                let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
                let (file, names) = (args.source.config.display(), names.join(", "));
                cli::report_error(&anyhow!("{file}: has no model `{name}`; it has {names}"));
                return Ok(cli::USAGE);
            }
            look(&args, &loaded, &mut findings)?;
        }
        Err(config::Error::Faults(found)) => findings.faults = found.faults,
        Err(error @ config::Error::Read { .. }) => {
            cli::report_error(&error.into());
            return Ok(cli::BAD_INPUT);
        }
    }
    findings.print(&args)?;
    Ok(match (findings.faults.is_empty(), findings.unreachable.is_empty()) {
        (false, _) => cli::BAD_INPUT,
        (true, false) => cli::FAILURE,
        (true, true) => cli::OK,
    })
}

fn look(args: &Args, loaded: &Loaded, findings: &mut Findings) -> anyhow::Result<()> {
    let config = &loaded.config;
    findings.warnings.clone_from(&loaded.warnings);
    findings.warnings.extend(loaded.check_folder());
    findings.faults.extend(loaded.check_files());
    findings.queue_bytes = config.kafka.memory_bytes();
    findings.consumers = config.kafka.consumers;
    findings.reading_limit_bytes = config.baselines.memory_limit.0;
    findings.max_series = config.max_series;
    let wanted = |model: &Model| args.model.as_ref().is_none_or(|name| *name == model.name);
    for (i, model) in config.models.iter().enumerate().filter(|(_, model)| wanted(model)) {
        let location = &model.drift_config.reference_dataset;
        if args.offline && fetch::is_remote(location) {
            findings.skipped.push(format!("{}: the baseline {location}", model.name));
            continue;
        }
        match load_baseline(config, model) {
            Ok(read) => {
                let rate = rate::rate(args, config, model);
                judge(loaded, i, model, (&read, rate), findings);
            }
            Err(error) if error.is_unreachable() => {
                findings.unreachable.push(format!("{}: {}", model.name, with_causes(&error)));
            }
            Err(error) => {
                let text = with_causes(&error);
                // A column that `features` names is wrong there, not in the baseline.
                let named = |name: &&String| text.contains(&format!("no column `{name}`"));
                let at = match model.features.keys().find(named) {
                    Some(name) => format!("models.{i}.features.{name}"),
                    None if model.time_column.as_ref().is_some_and(|name| named(&name)) => {
                        format!("models.{i}.time_column")
                    }
                    None if matches!(error, fetch::Error::Season { .. }) => {
                        format!("models.{i}.drift_config.season")
                    }
                    None => format!("models.{i}.drift_config.reference_dataset"),
                };
                findings.faults.push(loaded.fault_at(&at, text));
            }
        }
    }
    let series: u64 = findings.plans.iter().map(|plan| plan.series).sum();
    if series + plan::BASE_SERIES > config.max_series {
        let message = format!(
            "about {} time series would be exported, and {} is the most; watch fewer features \
             (`ignore`), export fewer statistics, or raise `max_series`",
            series + plan::BASE_SERIES,
            config.max_series
        );
        findings.faults.push(loaded.fault_at("max_series", message));
    }
    if args.offline {
        findings.skipped.push("the brokers".to_owned());
    } else {
        findings.unreachable.extend(ask_brokers(config, wanted));
    }
    Ok(())
}

fn load_baseline(config: &Config, model: &Model) -> Result<Measured, fetch::Error> {
    let location = &model.drift_config.reference_dataset;
    fetch::measure_blocking(&config.baselines, location, &model.overrides())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Plans one model and holds its settings against the columns of its baseline.
fn judge(
    loaded: &Loaded,
    i: usize,
    model: &Model,
    (read, rate): (&Measured, Option<Rate>),
    found: &mut Findings,
) {
    let baseline = &read.baseline;
    let is_column = |name: &String| {
        baseline.features.iter().any(|feature| feature.name == *name)
            || baseline.ignored.iter().any(|ignored| ignored.column == *name)
    };
    let columns = || {
        let names: Vec<&str> = baseline.features.iter().map(|f| f.name.as_str()).take(20).collect();
        names.join(", ")
    };
    for name in model.features.keys().filter(|name| !is_column(name)) {
        let message = format!("the baseline has no column `{name}`; it has: {}", columns());
        found.faults.push(loaded.fault_at(&format!("models.{i}.features.{name}"), message));
    }
    if baseline.features.iter().all(|feature| feature.unusable.is_some()) {
        let at = format!("models.{i}.drift_config.reference_dataset");
        let why = baseline.features.iter().filter_map(|feature| {
            Some(format!("{} ({})", feature.name, feature.unusable?.reason()))
        });
        let why = why.collect::<Vec<_>>().join(", ");
        found.faults.push(loaded.fault_at(&at, format!("no column can be watched: {why}")));
    }
    let rate = rate.or_else(|| fit::baseline_rate(baseline));
    for misfit in fit::misfits(model, baseline, rate) {
        let fault = loaded.fault_at(&format!("models.{i}.{}", misfit.key), misfit.message);
        if misfit.fatal { &mut found.faults } else { &mut found.warnings }.push(fault);
    }
    let plan = plan::plan(model, baseline, &loaded.config.metrics.statistics, rate);
    found.plans.push(Plan { reading_bytes: read.peak_bytes, ..plan });
}

/// One record of every topic: that brokers, security, topic and permission are right.
fn ask_brokers(config: &Config, wanted: impl Fn(&Model) -> bool) -> Vec<String> {
    let mut topics: Vec<&str> = Vec::new();
    for model in config.models.iter().filter(|model| wanted(model)) {
        if !topics.contains(&model.topic.as_str()) {
            topics.push(&model.topic);
        }
    }
    let mut failed = Vec::new();
    for topic in topics {
        if let Err(error) = kafka::sample(&config.kafka, topic, 1, BROKER_TIMEOUT) {
            failed.push(format!("{topic}: {}", with_causes(&error)));
            if matches!(error, kafka::Error::Unreachable { .. }) {
                break;
            }
        }
    }
    failed
}

impl Findings {
    #[expect(clippy::print_stderr, reason = "faults are for people, on standard error")]
    fn print(&self, args: &Args) -> io::Result<()> {
        if args.format == Format::Json {
            let mut out = io::stdout().lock();
            serde_json::to_writer_pretty(&mut out, &self.as_json())?;
            return writeln!(out);
        }
        let file = &args.source.config;
        cli::print(&self.as_text())?;
        for warning in &self.warnings {
            eprintln!("warning: {}", printable(&warning.shown(file).to_string()));
        }
        for fault in &self.faults {
            eprintln!("{}", printable(&fault.shown(file).to_string()));
        }
        for what in &self.unreachable {
            eprintln!("cannot check now: {what}");
        }
        Ok(())
    }

    fn as_json(&self) -> Value {
        let place = |fault: &Fault| {
            json!({
                "line": fault.mark.line,
                "column": fault.mark.column,
                "path": fault.path,
                "message": fault.message,
            })
        };
        json!({
            "valid": self.faults.is_empty(),
            "faults": self.faults.iter().map(place).collect::<Vec<_>>(),
            "warnings": self.warnings.iter().map(place).collect::<Vec<_>>(),
            "unreachable": self.unreachable,
            "skipped": self.skipped,
            "models": self.plans,
            "memory_bytes": self.memory(),
            "queue_bytes": self.queue_bytes,
            "reading_bytes": self.reading(),
            "reading_limit_bytes": self.reading_limit_bytes,
            "consumers": self.consumers,
            "series": self.series(),
            "max_series": self.max_series,
        })
    }

    fn memory(&self) -> u64 {
        self.queue_bytes + self.plans.iter().map(|plan| plan.memory.total()).sum::<u64>()
    }

    /// Baselines are read one after the other.
    fn reading(&self) -> u64 {
        self.plans.iter().map(|plan| plan.reading_bytes).max().unwrap_or(0)
    }

    fn series(&self) -> u64 {
        plan::BASE_SERIES + self.plans.iter().map(|plan| plan.series).sum::<u64>()
    }

    fn as_text(&self) -> String {
        let mut out = String::new();
        for plan in &self.plans {
            out.push_str(&model_text(plan));
        }
        if !self.plans.is_empty() {
            let (memory, queue) = (size(self.memory()), size(self.queue_bytes));
            out.push_str(&format!(
                "whole: at most {memory} of memory with one partition a topic (librdkafka's queue \
                 {queue}, consumers: {}), about {} of {} time series\n",
                self.consumers,
                self.series(),
                self.max_series
            ));
            let (reading, limit) = (size(self.reading()), size(self.reading_limit_bytes));
            out.push_str(&format!(
                "beside it, while a baseline is read: a process of its own, which took {reading} now; at most \
                 baselines.memory_limit {limit}, and in a container what its limit leaves\n"
            ));
        }
        for what in &self.skipped {
            out.push_str(&format!("not checked (--offline): {what}\n"));
        }
        if self.faults.is_empty() && self.unreachable.is_empty() {
            out.push_str("the configuration is good\n");
        }
        out
    }
}
