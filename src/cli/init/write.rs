//! A proposal as a finished, commented configuration.

use crate::baseline::Baseline;
use crate::baseline::FeatureBaseline;
use crate::cli::init::infer::{EventTime, Proposal};
use crate::cli::init::sample::Sample;
use crate::cli::printable;
use crate::config::quote;
use crate::decode::TimeUnit;
use crate::feature::{Kind, Role};

/// A whole-numbered column with this many values or fewer may be a code.
const CODES: u64 = 12;

/// What the person said.
pub(super) struct Given<'a> {
    pub(super) brokers: &'a str,
    pub(super) topic: &'a str,
    pub(super) baseline: &'a str,
    /// Where the records are from: the topic or a file.
    pub(super) from: &'a str,
    pub(super) sample: &'a Sample,
}

/// The text of the configuration; `driftd validate` accepts it.
pub(super) fn write(given: &Given<'_>, proposal: &Proposal, baseline: &Baseline) -> String {
    let (from, source) = (printable(given.from), printable(given.baseline));
    let mut out = format!(
        "# Written by `driftd init` from {} records of {from} and the {} rows of {source}.\n",
        proposal.records, baseline.rows
    );
    if let Some(remark) = given.sample.remark() {
        out.push_str(&format!("# {remark}.\n"));
    }
    out.push_str("# Check the comments, then: driftd validate -c FILE\n\n");
    out.push_str(&format!("kafka:\n  brokers: {}\n\n", quote(given.brokers)));
    out.push_str(&format!("topic: {}\n", quote(given.topic)));
    let fields = fields(proposal, baseline);
    if !fields.is_empty() {
        out.push_str(&format!("fields:\n{fields}"));
    }
    out.push_str(&json(given.sample));
    out.push_str(&features(proposal, baseline));
    out.push_str(&ignore(proposal, baseline));
    out.push_str(&format!(
        "\ndrift_config:\n  monitoring_window_hours: 24\n  reference_dataset: {}\n  thresholds:\n    \
         psi_alert: 0.1    # a feature is at `warning`, people are told\n    psi_retrain: 0.2  # a \
         feature is at `retrain`\n",
        quote(given.baseline)
    ));
    for (role, pointer, _) in outputs(proposal) {
        // Without a column the first window is the reference, and that is one of numbers.
        let is_column = |f: &FeatureBaseline| {
            f.role == role || pointer.rsplit('/').next() == Some(f.name.as_str())
        };
        let is_of_words = role == Role::Prediction && proposal.outputs.is_in_words;
        if is_of_words && !baseline.features.iter().any(is_column) {
            continue;
        }
        let name = role.as_str();
        out.push_str(&format!(
            "    # {name}_drift_p_value: 0.01  # people are told when the {name} has changed; it never \
             retrains\n"
        ));
    }
    out.push_str(
        "  # Without a trigger nothing is started, only shown:\n  # retraining_trigger:\n  #   \
         webhook: https://argo.example/api/v1/events/default/retrain\n  #   token_file: \
         /run/secrets/argo-token\n",
    );
    out.push_str(
        "\n# A folder that you may write to. As a service or in a container leave it out: /var/lib/driftd.\n\
         state: {dir: ./driftd-state}\n",
    );
    out
}

fn fields(proposal: &Proposal, baseline: &Baseline) -> String {
    let mut out = String::new();
    let place = &proposal.place;
    if let Some(rows) = &place.rows {
        out.push_str(&format!("  rows: {}  # each message carries several rows\n", quote(rows)));
    }
    if place.found.is_empty() {
        out.push_str(
            "  # No record carries a column of the baseline. Say where the features are:\n",
        );
        out.push_str("  # features: /features\n");
    } else {
        let usual = place.features.is_empty() || place.features == "/features";
        let note = format!("{} of {} columns found", place.found.len(), baseline.features.len());
        let hash = if usual { "# " } else { "" };
        let at = quote(&place.features);
        let default = if usual { " (the default)" } else { "" };
        out.push_str(&format!("  {hash}features: {at}  # {note}{default}\n"));
    }
    if let Some(names) = &place.names {
        out.push_str(&format!("  feature_names: {}  # names of the values\n", quote(names)));
    } else if place.unnamed {
        let names: Vec<String> = baseline.features.iter().map(|f| quote(&f.name)).collect();
        out.push_str("  # The values have no names: the baseline's order is taken. CHECK IT.\n");
        out.push_str(&format!("  feature_names: [{}]\n", names.join(", ")));
    }
    match &proposal.outputs.prediction {
        Some(pointer) => out.push_str(&format!("  prediction: {}\n", quote(pointer))),
        None => out.push_str("  # prediction: /prediction  # none found\n"),
    }
    if let Some(pointer) = &proposal.outputs.confidence {
        out.push_str(&format!("  confidence: {}  # how sure the model was\n", quote(pointer)));
    }
    match &proposal.event_time {
        Some(time) => out.push_str(&event_time(time)),
        None => out.push_str(
            "  # event_time: no time found in the records; Kafka's time stamp is taken\n",
        ),
    }
    if let Some((pointer, names)) = &proposal.model {
        let seen = names.iter().map(|name| one_line(name)).collect::<Vec<_>>().join(", ");
        match names.first().filter(|_| names.len() > 1) {
            Some(first) => out.push_str(&format!(
                "  # The topic is shared; models seen: {seen}. Take the right one:\n  where: \
                 {{pointer: {}, equals: {}}}\n",
                quote(pointer),
                quote(first)
            )),
            None => out.push_str(&format!(
                "  # {} names the model in every record: {seen}\n",
                one_line(pointer)
            )),
        }
    }
    out
}

/// What JSON has to be allowed to be.
fn json(sample: &Sample) -> String {
    let Sample { with_nan, records, .. } = sample;
    if *with_nan == 0 {
        return String::new();
    }
    format!(
        "\n# {with_nan} of the {} records have NaN or Infinity, as Python's json.dumps writes them. That is no \
         JSON:\n# without this key such a record is rejected whole. With it NaN counts as missing, and \
         Infinity by itself.\njson: {{allow_nan: true}}\n",
        records.len()
    )
}

fn event_time(time: &EventTime) -> String {
    let (unit, why) = match time.unit {
        TimeUnit::S => ("s", "seconds, by its magnitude"),
        TimeUnit::Ms => ("ms", "milliseconds, by its magnitude"),
        TimeUnit::Us => ("us", "microseconds, by its magnitude"),
        TimeUnit::Ns => ("ns", "nanoseconds, by its magnitude"),
        TimeUnit::Rfc3339 => ("rfc3339", "by its format"),
    };
    let zone =
        if time.naive { "    time_zone: UTC  # the text names none; CHECK IT\n" } else { "" };
    format!(
        "  event_time:\n    pointer: {}\n    unit: {unit}  # {why}; such as {}\n{zone}",
        quote(&time.pointer),
        one_line(&time.example)
    )
}

/// What came out of the model, as far as it was found, and what that is.
fn outputs(proposal: &Proposal) -> impl Iterator<Item = (Role, &str, &'static str)> {
    let found = &proposal.outputs;
    [
        (Role::Prediction, &found.prediction, "what the model answered"),
        (Role::Confidence, &found.confidence, "how sure it was; leave this out if it is an input"),
    ]
    .into_iter()
    .filter_map(|(role, pointer, what)| Some((role, pointer.as_deref()?, what)))
}

/// What the columns are taken for, and what of it is a question.
fn features(proposal: &Proposal, baseline: &Baseline) -> String {
    let mut settings = String::new();
    let mut told = String::new();
    for feature in &baseline.features {
        for (role, pointer, what) in outputs(proposal) {
            if pointer.rsplit('/').next() == Some(&feature.name) && feature.role != role {
                let (name, role) = (quote(&feature.name), role.as_str());
                settings.push_str(&format!("  {name}: {{role: {role}}}  # {what}\n"));
            }
        }
        let what = match feature.unusable {
            Some(unusable) => format!("not watched: {}", unusable.reason()),
            None => watched(feature),
        };
        told.push_str(&format!("# - {}: {what}\n", one_line(&feature.name)));
    }
    let mut out = String::from("\n# Columns of the baseline:\n");
    out.push_str(&told);
    for ignored in &baseline.ignored {
        let (column, reason) = (one_line(&ignored.column), one_line(&ignored.reason));
        out.push_str(&format!("# - {column}: left out: {reason}\n"));
    }
    if !proposal.unmatched_keys.is_empty() {
        let keys: Vec<String> =
            proposal.unmatched_keys.iter().take(20).map(|k| one_line(k)).collect();
        out.push_str(&format!("# Keys of the records that match no column: {}\n", keys.join(", ")));
    }
    if !settings.is_empty() {
        out.push_str(&format!("features:\n{settings}"));
    }
    out
}

fn watched(feature: &FeatureBaseline) -> String {
    let kind = match feature.kind {
        Kind::Numeric => "numeric",
        Kind::Categorical => "categorical",
    };
    let code = feature.kind == Kind::Numeric
        && feature.column_type.contains("Int")
        && feature.distinct <= CODES;
    let question = if code {
        format!(" with {} values; if they are codes, set kind: categorical", feature.distinct)
    } else {
        String::new()
    };
    format!("{kind} ({}){question}", one_line(&feature.column_type))
}

/// Columns that no record carries.
fn ignore(proposal: &Proposal, baseline: &Baseline) -> String {
    let usable =
        |name: &&String| baseline.features.iter().any(|f| f.name == **name && f.unusable.is_none());
    let names: Vec<String> =
        proposal.unseen_columns.iter().filter(usable).map(|name| quote(name)).collect();
    if names.is_empty() || proposal.place.found.is_empty() {
        return String::new();
    }
    format!(
        "# In no record: labels, ids, or features that stopped coming.\nignore: [{}]\n",
        names.join(", ")
    )
}

/// Text from records and columns must not end a comment, nor fill it.
fn one_line(text: &str) -> String {
    printable(text).chars().take(80).collect()
}
