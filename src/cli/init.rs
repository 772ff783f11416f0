//! `driftd init`: looks at records and a baseline, writes a finished configuration.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;

use crate::baseline::Baseline;
use crate::baseline::Overrides;
use crate::cli;
use crate::cli::printable;
use crate::config::quote;
use crate::fetch;
use crate::kafka;

mod infer;
mod outputs;
mod sample;
mod write;

use infer::Proposal;
use sample::Sample;
use write::Given;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `host:port` of some brokers, with commas.
    #[arg(long, value_name = "HOST:PORT", value_parser = NonEmptyStringValueParser::new())]
    brokers: String,
    /// The topic of the inference records.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    topic: String,
    /// The training data: a Parquet file or folder, a profile, or s3://bucket/key.
    #[arg(long, value_name = "LOCATION")]
    baseline: String,
    /// librdkafka's options for reaching the brokers; may be repeated.
    #[arg(long = "kafka-option", value_name = "NAME=VALUE", value_parser = option)]
    options: Vec<(String, String)>,
    /// Read the records from a file, one JSON object a line, in place of the topic.
    #[arg(long, value_name = "FILE")]
    offline_sample: Option<PathBuf>,
    /// Where to write the configuration; standard output if not given. Never overwrites.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// `security.protocol=SSL`
fn option(given: &str) -> Result<(String, String), String> {
    let found = given.split_once('=').filter(|(name, _)| !name.trim().is_empty());
    let (name, value) = found.ok_or("write NAME=VALUE, as in security.protocol=SSL")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

#[expect(clippy::needless_pass_by_value, reason = "a command is given its arguments")]
pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let mut brokers = kafka::Config::new(args.brokers.split(',').map(str::trim));
    brokers.options.extend(args.options.iter().cloned());
    let baseline = match fetch::load_blocking(
        &fetch::Config::default(),
        &args.baseline,
        &Overrides::default(),
    ) {
        Ok(baseline) => baseline,
        Err(error) => {
            let code = if error.is_unreachable() { cli::FAILURE } else { cli::BAD_INPUT };
            cli::report_error(&error.into());
            return Ok(code);
        }
    };
    let (sample, from) = match &args.offline_sample {
        Some(file) => (sample::from_file(file)?, file.display().to_string()),
        None => (sample::from_topic(&brokers, &args.topic)?, args.topic.clone()),
    };
    let proposal = infer::infer(&sample.records, &baseline);
    tell(&sample, &proposal, &baseline);
    let given = Given {
        brokers: &args.brokers,
        topic: &args.topic,
        baseline: &args.baseline,
        from: &from,
        sample: &sample,
    };
    let mut text = write::write(&given, &proposal, &baseline);
    if !args.options.is_empty() {
        let shown: Vec<String> =
            args.options.iter().map(|(name, value)| option_line(name, value)).collect();
        let at = text.find("\ntopic:").unwrap_or(text.len());
        let at = text[..at].trim_end().len();
        text.insert_str(at, &format!("\n  options:\n{}", shown.concat().trim_end()));
    }
    match &args.output {
        None => cli::print(&text)?,
        Some(file) => OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(file)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {} (never over a file)", file.display()))?,
    }
    Ok(cli::OK)
}

/// The file says it too; but a file that is written and accepted looks like one that is right.
#[expect(clippy::print_stderr, reason = "a warning is for people, on standard error")]
fn tell(sample: &Sample, proposal: &Proposal, baseline: &Baseline) {
    if let Some(remark) = sample.remark() {
        eprintln!("warning: {remark}");
    }
    if baseline.features.iter().all(|feature| feature.unusable.is_some()) {
        let source = &baseline.source;
        eprintln!("warning: no column of {source} can be watched; the file says why of each");
    }
    if !proposal.place.found.is_empty() {
        return;
    }
    let few = |names: &[String]| printable(&names[..names.len().min(8)].join(", "));
    eprintln!(
        "warning: none of the {} records carries a column of the baseline ({}); they have: {}. Say under \
         `fields.features` where the features are",
        proposal.records,
        few(&proposal.unseen_columns),
        few(&proposal.unmatched_keys)
    );
}

/// A secret of the command line does not go into a file that lives in Git.
fn option_line(name: &str, value: &str) -> String {
    if name.contains("password") || name.contains("secret") {
        let variable = name.to_uppercase().replace(['.', '-'], "_");
        return format!("    {name}: ${{{variable}}}\n");
    }
    format!("    {name}: {}\n", quote(value))
}
