//! `driftd webhook test`: the exact request of a trigger or notifier, or a marked test of it.

use std::io;
use std::io::Write;

use anyhow::Context;
use anyhow::bail;
use serde_json::json;

use crate::cli;
use crate::cli::config::Source;
use crate::client::Client;
use crate::clock::now_ms;
use crate::compare::Statistic;
use crate::config::Config;
use crate::decide::announcement::{BaselineRef, Data, Span, TopFeature, TrainingWindow};
use crate::decide::time::rfc3339;
use crate::decide::{Announcement, Audience, Delivery, Kind};
use crate::deliver::{Target, dry_render, parse_channel};
use crate::pipeline::BadInput;
use crate::report::page::encode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the request that a target would be sent, or send a marked test.
    Test(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// The target, as it is called on /metrics: `retraining_trigger/MODEL`, `slack/CHANNEL`, `pagerduty/all`;
    /// the first half will do where there is only one.
    #[arg(long, value_name = "TARGET")]
    target: String,
    /// Print the exact request, its secrets as `***`, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(command: Command) -> anyhow::Result<u8> {
    let Command::Test(args) = command;
    let loaded = match args.source.load() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let places = places(&loaded.config)?;
    let place = choose(&places, &args.target)?;
    let now_ms = now_ms();
    let messages = messages(place, now_ms);
    let mut out = io::stdout().lock();
    if args.dry_run {
        for (n, message) in messages.iter().enumerate() {
            let gap = if n == 0 { "" } else { "\n" };
            write!(out, "{gap}{}", dry_render(&place.target, message))?;
        }
        return Ok(cli::OK);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    for message in &messages {
        let tried = runtime.block_on(place.target.try_once(message, now_ms));
        let verdict = if tried.taken { "taken" } else { "NOT taken" };
        let reference = tried.reference.map(|what| format!(", as {what}")).unwrap_or_default();
        let name = place.target.name();
        writeln!(out, "{name}: {verdict}{reference}: {}", tried.detail)?;
        if !tried.taken {
            return Ok(cli::FAILURE);
        }
    }
    Ok(cli::OK)
}

/// A configured target, and the model that a test speaks of.
struct Place {
    target: Target,
    model: String,
    baseline: String,
    /// The link to its page, as the daemon sends it.
    report_url: Option<String>,
}

fn places(config: &Config) -> anyhow::Result<Vec<Place>> {
    let client = Client::new(&config.client).map_err(|error| BadInput(error.into()))?;
    let mut places: Vec<Place> = Vec::new();
    for model in &config.models {
        let drift = &model.drift_config;
        let trigger = drift.retraining_trigger.as_ref();
        let channel = trigger.and_then(|trigger| trigger.notification_channel.as_deref());
        let channel = channel.and_then(|text| parse_channel(text).ok());
        let mut targets = Vec::new();
        if let Some(trigger) = trigger {
            targets.push(Target::trigger(&model.name, trigger, &client));
        }
        let readers = config.notifiers.readers(channel);
        let readers = readers.iter();
        targets.extend(readers.map(|reader| Target::reader(reader, &config.notifiers, &client)));
        for target in targets {
            let target = target.map_err(|error| BadInput(error.into()))?;
            if places.iter().all(|known| known.target.name() != target.name()) {
                let url = config.http.external_url.as_ref();
                places.push(Place {
                    target,
                    model: model.name.clone(),
                    baseline: drift.reference_dataset.clone(),
                    report_url: url.map(|url| format!("{url}/models/{}", encode(&model.name))),
                });
            }
        }
    }
    Ok(places)
}

fn choose<'a>(places: &'a [Place], wanted: &str) -> anyhow::Result<&'a Place> {
    if let Some(exact) = places.iter().find(|place| place.target.name() == wanted) {
        return Ok(exact);
    }
    let kind = |place: &&Place| place.target.name().split('/').next() == Some(wanted);
    let of_kind: Vec<&Place> = places.iter().filter(kind).collect();
    let names: Vec<&str> = places.iter().map(|place| place.target.name()).collect();
    match (&of_kind[..], names.is_empty()) {
        ([only], _) => Ok(only),
        (_, true) => bail!("the configuration has neither a retraining_trigger nor a notifier"),
        (_, false) => bail!("there is no one target {wanted}; there are: {}", names.join(", ")),
    }
}

/// A trigger is tried once; people are told of a beginning and of its end, so that nothing stays open.
fn messages(place: &Place, now_ms: i64) -> Vec<Delivery> {
    let id = format!("driftd-test-{now_ms}");
    let of = |kind: Kind, suffix: &str, summary: &str, verdict: &str| {
        let (target, channel) = place.target.name().split_once('/').unwrap_or_default();
        let is_trigger = kind == Kind::Trigger;
        Delivery {
            id: format!("{id}{suffix}"),
            target: target.to_owned(),
            channel: (!is_trigger).then(|| channel.to_owned()),
            model: place.model.clone(),
            kind,
            audience: Audience::Ml,
            announcement: announcement(place, (&id, now_ms), summary, verdict),
        }
    };
    if place.target.name().starts_with("retraining_trigger/") {
        return vec![of(Kind::Trigger, "", "TEST by driftd webhook test: no drift", "test")];
    }
    let begins = "TEST by driftd webhook test: nothing has drifted";
    vec![
        of(Kind::Triggered, ".triggered", begins, "test"),
        of(Kind::Closed, ".closed", "TEST by driftd webhook test: it is over", "test"),
    ]
}

fn announcement(
    place: &Place,
    (id, now_ms): (&str, i64),
    summary: &str,
    verdict: &str,
) -> Announcement {
    let (from, to) = (rfc3339(now_ms - 24 * 3_600_000), rfc3339(now_ms));
    Announcement {
        event_type: "driftd.test".to_owned(),
        id: id.to_owned(),
        timestamp: to.clone(),
        data: Data {
            model: place.model.clone(),
            summary: summary.to_owned(),
            incident: Some(id.to_owned()),
            baseline: BaselineRef { source: place.baseline.clone(), ..BaselineRef::default() },
            window: Span { start: from.clone(), end: to.clone(), records: 0 },
            onset: Some(from.clone()),
            verdict: verdict.to_owned(),
            top_features: vec![TopFeature {
                feature: "a_feature".to_owned(),
                statistic: Statistic::Psi,
                score: 0.25,
                threshold: 0.2,
                span: "window".to_owned(),
                bias: None,
                noise_floor: None,
            }],
            training_window: Some(TrainingWindow { from, to }),
            report_url: place.report_url.clone(),
            report: Some(json!({"test": true})),
            ..Data::default()
        },
    }
}
