//! The whole state of a configuration as one stream of records, out of one backend and into another.
//!
//! The records are those of the Kafka backend, whatever they come from.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::config::Config;
use crate::decide::ledger::Ledger;
use crate::decide::record::Record as Decided;
use crate::offsets::TopicPartition;
use crate::pipeline::evaluate::log::VERSION as INCIDENTS_VERSION;
use crate::pipeline::evaluate::log::model_of;
use crate::pipeline::panes;
use crate::pipeline::panes::Logged;
use crate::pipeline::profile;
use crate::pipeline::shared;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::pipeline::specs;
use crate::store::FileStore;
use crate::store::KafkaStore;
use crate::store::ModelState;
use crate::store::PaneRecord;
use crate::store::Store;
use crate::store::kafka::record::{Body, Incident, Pane, Record, Spec as Agreed, State, Test};
use crate::window::Merge;
use crate::window::Partial;

/// Everything that is stored, as records one behind the other. No driftd may be running on it.
///
/// # Errors
/// A state that can't be opened or read, or that a newer release wrote.
pub async fn export(config: &Config) -> anyhow::Result<Vec<Vec<u8>>> {
    let store = shared::open(config).await?;
    let specs = specs(config);
    let bodies = match &store {
        Store::File(store) => from_files(store, &specs)?,
        Store::Kafka(store) => from_topics(store, &specs)?,
    };
    Ok(bodies.into_iter().map(|body| Record { writer: 0, body }.encode()).collect())
}

const TAKE_AWAY: &str =
    "to lose it, produce a record with the same key and without a value to that partition";

/// Stores what `export` gave; says how many records that were.
///
/// # Errors
/// Records that can't be read, a state that is not empty, or one that can't be written.
pub async fn import(config: &Config, mut bytes: &[u8]) -> anyhow::Result<usize> {
    let mut bodies = Vec::new();
    while !bytes.is_empty() {
        let at = bytes.len();
        let length = record_length(bytes).context("the export is cut short or damaged")?;
        let (record, rest) = bytes.split_at(length);
        match Record::decode(record) {
            Ok(Some(record)) => bodies.push(record.body),
            Ok(None) => bail!("the export has records that only a newer driftd knows"),
            Err(why) => bail!("a record {at} bytes before the end of the export is {why:?}"),
        }
        bytes = rest;
    }
    let n = bodies.len();
    match &shared::open(config).await? {
        Store::File(store) => into_files(store, bodies)?,
        Store::Kafka(store) => into_topics(store, &bodies)?,
    }
    Ok(n)
}

/// Bytes of the frame at the front: a header of 14, of which four say how long the rest is.
fn record_length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(bytes.get(6..10)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?.checked_add(14)?;
    (length <= bytes.len()).then_some(length)
}

fn from_files(store: &FileStore, specs: &[Spec]) -> anyhow::Result<Vec<Body>> {
    let mut bodies = Vec::new();
    for spec in specs {
        let (name, loaded) = (spec.name(), store.load_profile(spec.name())?);
        let Some((version, json)) = loaded.supported(profile::VERSION)? else { continue };
        let kept = profile::decode(json)
            .with_context(|| format!("the stored baseline of {name} makes no sense"))?;
        let watched = Watched::new(spec, Arc::new(kept.baseline), kept.active_from_ms);
        let rules = watched.rules.hash;
        bodies.push(Body::Spec(Agreed {
            model: name.to_owned(),
            seq: 1,
            rules,
            partitions: 0,
            version,
            profile: json.to_vec(),
        }));
        bodies.extend(panes_of(store, spec, &watched)?);
        if let Some((version, state)) = store.load_test(name)?.body {
            let rules = Reader::new(&state).u64().unwrap_or(rules);
            bodies.push(Body::Test(Test { model: name.to_owned(), rules, version, state }));
        }
    }
    for partition in store.partitions()? {
        let Some((version, body)) = store.load_partition(&partition)?.body else { continue };
        let states = states_of(&partition, version, &body);
        bodies.extend(states.map_err(|_| anyhow::anyhow!("the state of {partition} is damaged"))?);
    }
    bodies.extend(incidents_of(store.load_incidents()?.records)?);
    Ok(bodies)
}

/// A model's closed panes; what the clock has closed as the sum that it was closed with.
fn panes_of(store: &FileStore, spec: &Spec, watched: &Watched) -> anyhow::Result<Vec<Body>> {
    let (name, rules, shape) = (spec.name(), watched.rules.hash, watched.rules.shape());
    let (mut partials, mut seals) = (Vec::new(), Vec::new());
    store.load_panes(name, i64::MIN, |record| match panes::read(&record, rules, &shape) {
        Ok(Some(Logged::Partial(partial))) => partials.push(partial),
        Ok(Some(Logged::Seal(seal))) => seals.push(seal),
        Ok(Some(Logged::Sum(..)) | None) | Err(_) => {}
    })?;
    let merge = Merge::new(shape, spec.policy.pane_ms);
    let mut bodies = Vec::new();
    for seal in seals {
        let covered: HashMap<&TopicPartition, &Partial> = partials
            .iter()
            .filter(|p| p.pane.start_ms == seal.pane_start_ms && seal.covers(p))
            .map(|p| (&p.partition, p))
            .collect();
        let covered: Vec<Partial> = covered.into_values().cloned().collect();
        let sum = merge.sum(seal.pane_start_ms, &covered);
        let record = panes::sum(&seal, rules, &sum);
        let (model, of) = (name.to_owned(), String::new());
        bodies.push(Body::Seal(Pane { model, rules, of, record }));
    }
    for partial in partials {
        let (model, of) = (name.to_owned(), partial.partition.to_string());
        bodies.push(Body::Pane(Pane { model, rules, of, record: panes::partial(&partial) }));
    }
    Ok(bodies)
}

/// The states of a partition, model by model. A state begins with its rules and its next offset.
fn states_of(partition: &TopicPartition, version: u8, body: &[u8]) -> Result<Vec<Body>, Truncated> {
    let mut input = Reader::new(body);
    let mut states = Vec::new();
    for _ in 0..input.u64()? {
        let (model, state) = (input.str()?, input.bytes()?);
        let mut head = Reader::new(state);
        let (rules, next_offset) = (head.u64()?, head.i64()?);
        let (partition, model, state) = (partition.clone(), model.to_owned(), state.to_vec());
        let state = State { partition, model, rules, epoch: 0, next_offset, version, state };
        states.push(Body::State(state));
    }
    Ok(states)
}

fn incidents_of(records: Vec<(u8, Vec<u8>)>) -> anyhow::Result<Vec<Body>> {
    let mut ledger = Ledger::default();
    let mut bodies = Vec::new();
    for (version, json) in records {
        ensure!(version <= INCIDENTS_VERSION, "an incident record is of a newer driftd");
        let record: Decided = serde_json::from_slice(&json).context("an incident record")?;
        ledger.apply(&record);
        let Some(model) = model_of(&ledger, &record) else { continue };
        bodies.push(Body::Incident(Incident { model, fact: false, version, json }));
    }
    Ok(bodies)
}

fn from_topics(store: &KafkaStore, specs: &[Spec]) -> anyhow::Result<Vec<Body>> {
    store.read_specs()?;
    store.read_incidents()?;
    let agreed: Vec<Agreed> = specs.iter().filter_map(|spec| store.spec(spec.name())).collect();
    let mut bodies: Vec<Body> = agreed.iter().cloned().map(Body::Spec).collect();
    for partition in 0..store.partitions() {
        let here = agreed.iter().filter(|spec| store.place(&spec.model) == partition);
        let wanted: BTreeMap<String, u64> =
            here.map(|spec| (spec.model.clone(), spec.rules)).collect();
        let read = store.assemble(partition, wanted.clone())?;
        if let Some(unread) = read.unread.iter().next() {
            bail!("{unread}: the export would lack it; {TAKE_AWAY}");
        }
        for (model, mut assembled) in read.assembly.models {
            let rules = wanted.get(&model).copied().unwrap_or(0);
            let pane = |record: PaneRecord| {
                let pane = Pane { model: model.clone(), rules, of: String::new(), record };
                if panes::is_partial(&pane.record) { Body::Pane(pane) } else { Body::Seal(pane) }
            };
            bodies.extend(assembled.take_panes().into_iter().map(pane));
            bodies.extend(assembled.test.map(Body::Test));
        }
    }
    bodies.extend(store.all_states()?.into_iter().map(Body::State));
    bodies.extend(incidents_of(store.take_incidents()?.records)?);
    Ok(bodies)
}

fn into_topics(store: &KafkaStore, bodies: &[Body]) -> anyhow::Result<()> {
    store.read_specs()?;
    for body in bodies {
        if let Body::Spec(spec) = body
            && store.spec(&spec.model).is_some()
        {
            bail!(
                "the topics have a state of {} already; set another state.topics.prefix",
                spec.model
            );
        }
    }
    for partition in 0..store.partitions() {
        store.announce(partition)?;
    }
    Ok(store.import(bodies)?)
}

fn into_files(store: &FileStore, bodies: Vec<Body>) -> anyhow::Result<()> {
    ensure!(
        store.partitions()?.is_empty() && store.load_incidents()?.records.is_empty(),
        "{} has a state already; set another state.dir",
        store.dir().display()
    );
    let mut states: BTreeMap<TopicPartition, (u8, Vec<State>)> = BTreeMap::new();
    for body in bodies {
        match body {
            Body::Spec(spec) => {
                store.save_profile(&spec.model, spec.version, &spec.profile)?;
            }
            Body::Pane(pane) | Body::Seal(pane) => {
                store.append_panes(&pane.model, &[pane.record])?;
            }
            Body::Test(test) => {
                store.save_test(&test.model, test.version, &test.state)?;
            }
            Body::Incident(incident) => {
                store.append_incident(incident.version, &incident.json)?;
            }
            Body::State(state) => {
                let entry = states.entry(state.partition.clone());
                entry.or_insert_with(|| (state.version, Vec::new())).1.push(state);
            }
            Body::Owner(_) | Body::Progress(_) => {}
        }
    }
    for (partition, (version, states)) in states {
        let of = |state: State| ModelState {
            model: state.model,
            rules: state.rules,
            next_offset: state.next_offset,
            state: state.state,
        };
        let states: Vec<ModelState> = states.into_iter().map(of).collect();
        store.save_states(&partition, version, &states)?;
    }
    Ok(())
}
