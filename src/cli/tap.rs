//! `driftd tap`: the newest records of a topic, and what is made of them.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::time::Duration;

use arrow::util::display::array_value_to_string;
use clap::ValueEnum;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::baseline::Baseline;
use crate::cli;
use crate::cli::config::Source;
use crate::config::Model;
use crate::decide::time::rfc3339;
use crate::decode::Batch;
use crate::decode::Decoder;
use crate::decode::Message;
use crate::feature::Absent;
use crate::feature::Feature;
use crate::feature::Kind;
use crate::fetch;
use crate::histogram::Cells;
use crate::kafka;
use crate::kafka::Sampled;

const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(after_help = "Reads beside the daemon: no group is joined, no offset is committed. \
    What records hold is shown, so take care where it goes.")]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// The model in the configuration; not needed when it has one
    #[arg(long)]
    model: Option<String>,
    /// How many of the newest records to look at
    #[arg(short = 'n', long, default_value_t = 20, value_name = "RECORDS")]
    limit: usize,
    /// Only records that could not be used
    #[arg(long)]
    rejects: bool,
    /// A line for people or a JSON object a line
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// One value of a row, and what is to be said of it.
#[derive(Debug, PartialEq)]
struct Tapped {
    feature: String,
    value: Option<String>,
    /// The same, of a number that JSON knows.
    number: Option<f64>,
    note: Option<&'static str>,
}

/// What became of one record.
#[derive(Debug, PartialEq)]
enum Fate {
    /// One of its rows.
    Row {
        event_ms: i64,
        values: Vec<Tapped>,
    },
    Rejected {
        reason: &'static str,
        hint: Option<String>,
    },
    /// It belongs to another model, or its rows were none.
    NotOurs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let loaded = match args.source.load() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    args.source.warn(&loaded);
    let config = &loaded.config;
    let found = match &args.model {
        None => config.models.first().filter(|_| config.models.len() == 1),
        Some(name) => config.models.iter().find(|model| model.name == *name),
    };
    let Some(model) = found else {
        let names: Vec<&str> = config.models.iter().map(|model| model.name.as_str()).collect();
        cli::report_error(&anyhow::anyhow!(
            "name one of the models by --model: {}",
            names.join(", ")
        ));
        return Ok(cli::USAGE);
    };
    let location = &model.drift_config.reference_dataset;
    let baseline = match fetch::load_blocking(&config.baselines, location, &model.overrides()) {
        Ok(baseline) => baseline,
        Err(error) => {
            let code = if error.is_unreachable() { cli::FAILURE } else { cli::BAD_INPUT };
            cli::report_error(&error.into());
            return Ok(code);
        }
    };
    let records = kafka::sample(&config.kafka, &model.topic, args.limit, TIMEOUT)?;
    let mut out = io::stdout().lock();
    for (record, fate) in tap(model, &baseline, &records) {
        if args.rejects && !matches!(fate, Fate::Rejected { .. }) {
            continue;
        }
        match args.format {
            Format::Text => writeln!(out, "{}", line(&model.topic, record, &fate))?,
            Format::Json => writeln!(out, "{}", object(&model.topic, record, &fate))?,
        }
    }
    Ok(cli::OK)
}

/// Every record with what became of it; one of several rows comes as often. In the order of the log.
fn tap<'a>(model: &Model, baseline: &Baseline, records: &'a [Sampled]) -> Vec<(&'a Sampled, Fate)> {
    let features: Vec<Feature> = baseline.features.iter().map(|f| f.feature()).collect();
    let options = model.options();
    let mut decoder = Decoder::new(model.format, &model.fields, &options, &model.name, &features);
    let mut out = Vec::new();
    for partition in records.chunk_by(|a, b| a.partition == b.partition) {
        let message = |record: &'a Sampled| Message {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            payload: record.payload.as_deref(),
        };
        let batch = decoder.decode(partition.iter().map(message));
        let mut rows: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (row, offset) in batch.offsets.iter().enumerate() {
            rows.entry(*offset).or_default().push(row);
        }
        for record in partition {
            let before = out.len();
            for &row in rows.get(&record.offset).into_iter().flatten() {
                let values = values(baseline, &batch, row);
                out.push((record, Fate::Row { event_ms: batch.event_ms[row], values }));
            }
            for reject in batch.rejects.iter().filter(|reject| reject.offset == record.offset) {
                let hint = reject.hint.as_ref().map(ToString::to_string);
                out.push((record, Fate::Rejected { reason: reject.reason.as_str(), hint }));
            }
            if out.len() == before {
                out.push((record, Fate::NotOurs));
            }
        }
    }
    out
}

/// The values of one row, with what the baseline knows of them.
fn values(baseline: &Baseline, batch: &Batch, row: usize) -> Vec<Tapped> {
    let watched = baseline.features.iter().zip(&batch.columns);
    let watched = watched.filter(|(feature, _)| feature.unusable.is_none());
    watched
        .map(|(feature, column)| {
            let absent = column.absent.iter().find(|(at, _)| *at as usize == row);
            let is_null = column.array.is_null(row);
            let written = || array_value_to_string(&column.array, row).ok();
            let value = (!is_null).then(written).flatten();
            let number = match feature.kind {
                Kind::Numeric => value.as_ref().and_then(|value| value.parse::<f64>().ok()),
                Kind::Categorical => None,
            };
            let note = match (absent, &value) {
                (Some((_, Absent::Missing)), _) => Some("missing"),
                (Some((_, Absent::TypeError)), _) => Some("wrong type"),
                (None, None) => Some("null"),
                (None, Some(value)) => known(&feature.cells, value, number),
            };
            Tapped {
                feature: feature.name.clone(),
                value: number.map(|number| number.to_string()).or(value),
                number: number.filter(|number| number.is_finite()),
                note,
            }
        })
        .collect()
}

/// What the reference does not know of a value.
fn known(cells: &Cells, value: &str, number: Option<f64>) -> Option<&'static str> {
    match (cells, number) {
        (Cells::Categorical(cells), _) => cells.cell(value).is_none().then_some("unseen"),
        (Cells::Numeric(cells), Some(x)) => match x {
            x if x.is_nan() => Some("NaN"),
            x if x.is_infinite() => Some("infinite"),
            x if x < cells.lowest => Some("below training's range"),
            x if x > cells.highest => Some("above training's range"),
            _ => None,
        },
        (Cells::Numeric(_), None) => None,
    }
}

fn line(topic: &str, record: &Sampled, fate: &Fate) -> String {
    let at = format!("{topic}[{}]@{}", record.partition, record.offset);
    match fate {
        Fate::Row { event_ms, values } => {
            let shown = values.iter().map(|tapped| {
                let name = tapped.feature.escape_debug();
                let value = tapped.value.as_deref().map(str::escape_debug);
                match (value, tapped.note) {
                    (Some(value), None) => format!("{name}={value}"),
                    (Some(value), Some(note)) => format!("{name}={value} ({note})"),
                    (None, note) => format!("{name} {}", note.unwrap_or("null")),
                }
            });
            format!("{at}  {}  {}", rfc3339(*event_ms), shown.collect::<Vec<_>>().join("  "))
        }
        Fate::Rejected { reason, hint } => {
            let hint = hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default();
            format!("{at}  rejected: {reason}{hint}")
        }
        Fate::NotOurs => format!("{at}  of another model"),
    }
}

fn object(topic: &str, record: &Sampled, fate: &Fate) -> Value {
    let mut out = json!({
        "topic": topic,
        "partition": record.partition,
        "offset": record.offset,
        "kafka_time": rfc3339(record.timestamp_ms),
    });
    match fate {
        Fate::Row { event_ms, values } => {
            out["event_time"] = rfc3339(*event_ms).into();
            let features = values.iter().map(|tapped| {
                let mut of = Map::new();
                let value =
                    tapped.number.map_or_else(|| json!(tapped.value), |number| json!(number));
                of.insert("value".to_owned(), value);
                if let Some(note) = tapped.note {
                    of.insert("note".to_owned(), note.into());
                }
                (tapped.feature.clone(), Value::Object(of))
            });
            out["features"] = Value::Object(features.collect());
        }
        Fate::Rejected { reason, hint } => {
            out["rejected"] = json!({"reason": reason, "hint": hint});
        }
        Fate::NotOurs => out["other_model"] = true.into(),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_the_cursor_is_written_out() {
        let tapped = |feature: &str, value: Option<&str>| Tapped {
            feature: feature.to_owned(),
            value: value.map(str::to_owned),
            number: None,
            note: None,
        };
        let values = vec![tapped("a\u{1b}[2J", Some("b\u{1b}[2J")), tapped("c\n", None)];
        let record = Sampled { partition: 0, offset: 7, timestamp_ms: 0, payload: None };
        let shown = line("t", &record, &Fate::Row { event_ms: 0, values });
        assert!(shown.ends_with("a\\u{1b}[2J=b\\u{1b}[2J  c\\n null"), "{shown}");
    }
}
