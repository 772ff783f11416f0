//! The records of driftd's own topics. Every one names its writer, in its key too: nobody's record
//! takes the place of another's, so a late writer destroys nothing.

use crate::codec::{Reader, Truncated, Writer, read_frame, write_frame};
use crate::offsets::TopicPartition;
use crate::store::PaneRecord;
use crate::window::Progress;

/// Layout of the records; written by this binary, and the highest that it reads.
pub const FORMAT: u8 = 1;

const STATE: u8 = 1;
const PANE: u8 = 2;
const PROGRESS: u8 = 3;
const SPEC: u8 = 4;
const INCIDENT: u8 = 5;
const OWNER: u8 = 6;
const SEAL: u8 = 7;
const TEST: u8 = 12;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Drawn once a process.
    pub writer: u64,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    State(State),
    Pane(Pane),
    /// A pane that the clock has closed, with all that it was closed with.
    Seal(Pane),
    Progress(Heads),
    Spec(Spec),
    Incident(Incident),
    Owner(Owner),
    Test(Test),
}

/// The state of one model in one input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub partition: TopicPartition,
    pub model: String,
    pub rules: u64,
    /// How often the partition's log was found to have begun anew; offsets of two do not compare.
    pub epoch: u64,
    pub next_offset: i64,
    pub version: u8,
    pub state: Vec<u8>,
}

/// A record of a model's pane log; `record` is the pipeline's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pane {
    pub model: String,
    pub rules: u64,
    /// Which input partition it is of; empty for all of them.
    pub of: String,
    pub record: PaneRecord,
}

/// How far one process has come in all partitions of a model that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    pub model: String,
    pub rules: u64,
    /// Who says so, for people.
    pub name: String,
    /// How many partitions the topic has, ours or not.
    pub in_topic: Option<usize>,
    pub heads: Vec<Head>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub progress: Progress,
    /// Where the log ended when this was told.
    pub high: i64,
    /// Nothing came lately, and what its open panes hold has been written before this.
    pub quiet: bool,
}

/// What a model is counted by and compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub model: String,
    /// One more than that of the spec that it takes the place of.
    pub seq: u64,
    pub rules: u64,
    /// How many partitions the topics had: it is by their number that models are shared out.
    pub partitions: i32,
    pub version: u8,
    pub profile: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub model: String,
    /// It tells what has happened, so it counts whoever says it; all else only an owner may decide.
    pub fact: bool,
    pub version: u8,
    pub json: Vec<u8>,
}

/// From here on the writer decides about the models of this partition, until another says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub name: String,
    /// Where people reach it.
    pub address: String,
}

/// What deciding about a model has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    pub model: String,
    pub rules: u64,
    pub version: u8,
    pub state: Vec<u8>,
}

/// Why a record can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Damaged,
    /// A newer release wrote it, in this format.
    Newer(u8),
}

impl From<Truncated> for Unreadable {
    fn from(_: Truncated) -> Self {
        Unreadable::Damaged
    }
}

impl Record {
    /// What a later record takes the place of. `seq` keeps those apart whose order tells something.
    pub fn key(&self, seq: u64) -> String {
        let writer = format!("{:016x}", self.writer);
        match &self.body {
            Body::State(s) => format!("state/{}/{}/{writer}", s.partition, s.model),
            Body::Pane(p) => {
                let (rules, start) = (p.rules, p.record.pane_start_ms);
                format!("pane/{}/{rules:016x}/{}/{start}/{writer}", p.model, p.of)
            }
            Body::Seal(p) => {
                let (rules, start) = (p.rules, p.record.pane_start_ms);
                format!("seal/{}/{rules:016x}/{start}/{writer}/{seq}", p.model)
            }
            Body::Progress(p) => format!("progress/{}/{writer}/{}", p.model, p.name),
            Body::Spec(s) => format!("spec/{}/{}/{writer}", s.model, s.seq),
            Body::Incident(i) => format!("incident/{}/{writer}/{seq}", i.model),
            Body::Owner(_) => format!("owner/{writer}/{seq}"),
            Body::Test(t) => format!("test/{}/{:016x}/{writer}", t.model, t.rules),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(self.writer);
        let kind = match &self.body {
            Body::State(state) => {
                partition(&mut out, &state.partition);
                out.str(&state.model);
                out.u64(state.rules);
                out.u64(state.epoch);
                out.i64(state.next_offset);
                out.u64(state.version.into());
                out.bytes(&state.state);
                STATE
            }
            Body::Pane(pane) => {
                pane.encode(&mut out);
                PANE
            }
            Body::Seal(pane) => {
                pane.encode(&mut out);
                SEAL
            }
            Body::Progress(heads) => {
                heads.encode(&mut out);
                PROGRESS
            }
            Body::Spec(spec) => {
                out.str(&spec.model);
                out.u64(spec.seq);
                out.u64(spec.rules);
                out.i64(spec.partitions.into());
                out.u64(spec.version.into());
                out.bytes(&spec.profile);
                SPEC
            }
            Body::Incident(incident) => {
                out.str(&incident.model);
                out.u64(incident.fact.into());
                out.u64(incident.version.into());
                out.bytes(&incident.json);
                INCIDENT
            }
            Body::Owner(owner) => {
                out.str(&owner.name);
                out.str(&owner.address);
                OWNER
            }
            Body::Test(test) => {
                out.str(&test.model);
                out.u64(test.rules);
                out.u64(test.version.into());
                out.bytes(&test.state);
                TEST
            }
        };
        let mut frame = Vec::new();
        write_frame(&mut frame, kind, FORMAT, &out.into_bytes());
        frame
    }

    /// Reads what `encode` wrote; a kind that only a newer release knows is `None`.
    pub fn decode(mut bytes: &[u8]) -> Result<Option<Self>, Unreadable> {
        let frame = read_frame(&mut bytes).map_err(|_| Unreadable::Damaged)?;
        if frame.version > FORMAT {
            return Err(Unreadable::Newer(frame.version));
        }
        let mut input = Reader::new(frame.body);
        let input = &mut input;
        let writer = input.u64()?;
        let body = match frame.kind {
            STATE => Body::State(State {
                partition: read_partition(input)?,
                model: text(input)?,
                rules: input.u64()?,
                epoch: input.u64()?,
                next_offset: input.i64()?,
                version: byte(input)?,
                state: input.bytes()?.to_vec(),
            }),
            PANE => Body::Pane(Pane::decode(input)?),
            SEAL => Body::Seal(Pane::decode(input)?),
            PROGRESS => Body::Progress(Heads::decode(input)?),
            SPEC => Body::Spec(Spec {
                model: text(input)?,
                seq: input.u64()?,
                rules: input.u64()?,
                partitions: i32::try_from(input.i64()?).map_err(|_| Truncated)?,
                version: byte(input)?,
                profile: input.bytes()?.to_vec(),
            }),
            INCIDENT => Body::Incident(Incident {
                model: text(input)?,
                fact: input.u64()? != 0,
                version: byte(input)?,
                json: input.bytes()?.to_vec(),
            }),
            OWNER => Body::Owner(Owner { name: text(input)?, address: text(input)? }),
            TEST => Body::Test(Test {
                model: text(input)?,
                rules: input.u64()?,
                version: byte(input)?,
                state: input.bytes()?.to_vec(),
            }),
            _ => return Ok(None),
        };
        Ok(Some(Self { writer, body }))
    }
}

impl Pane {
    fn encode(&self, out: &mut Writer) {
        out.str(&self.model);
        out.u64(self.rules);
        out.u64(self.record.kind.into());
        out.i64(self.record.pane_start_ms);
        out.str(&self.of);
        out.bytes(&self.record.body);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let (model, rules) = (text(input)?, input.u64()?);
        let (kind, pane_start_ms, of) = (byte(input)?, input.i64()?, text(input)?);
        let record = PaneRecord { kind, pane_start_ms, body: input.bytes()?.to_vec() };
        Ok(Self { model, rules, of, record })
    }
}

impl Heads {
    fn encode(&self, out: &mut Writer) {
        out.str(&self.model);
        out.u64(self.rules);
        out.str(&self.name);
        out.u64(self.in_topic.map_or(0, |n| n as u64 + 1));
        out.u64(self.heads.len() as u64);
        for Head { progress, high, quiet } in &self.heads {
            partition(out, &progress.partition);
            out.i64(progress.next_offset);
            optional(out, progress.frontier_ms);
            optional(out, progress.first_pane_ms);
            out.u64(u64::from(progress.caught_up) | u64::from(*quiet) << 1);
            out.i64(*high);
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, Truncated> {
        let (model, rules, name) = (text(input)?, input.u64()?, text(input)?);
        let in_topic = input.u64()?.checked_sub(1).and_then(|n| usize::try_from(n).ok());
        let mut heads = Vec::new();
        for _ in 0..input.u64()? {
            let partition = read_partition(input)?;
            let next_offset = input.i64()?;
            let (frontier_ms, first_pane_ms) = (read_optional(input)?, read_optional(input)?);
            let flags = input.u64()?;
            let caught_up = flags & 1 != 0;
            let progress =
                Progress { partition, next_offset, frontier_ms, first_pane_ms, caught_up };
            heads.push(Head { progress, high: input.i64()?, quiet: flags & 2 != 0 });
        }
        Ok(Self { model, rules, name, in_topic, heads })
    }
}

fn partition(out: &mut Writer, partition: &TopicPartition) {
    out.str(&partition.topic);
    out.i64(partition.partition.into());
}

fn read_partition(input: &mut Reader<'_>) -> Result<TopicPartition, Truncated> {
    let topic = input.str()?;
    let partition = i32::try_from(input.i64()?).map_err(|_| Truncated)?;
    Ok(TopicPartition::new(topic, partition))
}

fn optional(out: &mut Writer, ms: Option<i64>) {
    out.u64(ms.is_some().into());
    out.i64(ms.unwrap_or(0));
}

fn read_optional(input: &mut Reader<'_>) -> Result<Option<i64>, Truncated> {
    let there = input.u64()? != 0;
    let ms = input.i64()?;
    Ok(there.then_some(ms))
}

fn text(input: &mut Reader<'_>) -> Result<String, Truncated> {
    input.str().map(str::to_owned)
}

fn byte(input: &mut Reader<'_>) -> Result<u8, Truncated> {
    u8::try_from(input.u64()?).map_err(|_| Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Record> {
        let partition = TopicPartition::new("inferences", 3);
        let progress = Progress {
            partition: partition.clone(),
            next_offset: 70,
            frontier_ms: Some(-5),
            first_pane_ms: None,
            caught_up: true,
        };
        let model = "fraud/eu".to_owned();
        let pane = Pane {
            model: model.clone(),
            rules: 9,
            of: "t-0".to_owned(),
            record: PaneRecord { kind: 1, pane_start_ms: 60, body: vec![1, 2] },
        };
        let bodies = [
            Body::State(State {
                partition,
                model: model.clone(),
                rules: 9,
                epoch: 1,
                next_offset: 70,
                version: 1,
                state: vec![3; 40],
            }),
            Body::Pane(pane.clone()),
            Body::Seal(pane),
            Body::Progress(Heads {
                model: model.clone(),
                rules: 9,
                name: "pod-1".to_owned(),
                in_topic: Some(12),
                heads: vec![Head { progress, high: 99, quiet: true }],
            }),
            Body::Spec(Spec {
                model: model.clone(),
                seq: 2,
                rules: 9,
                partitions: 12,
                version: 2,
                profile: b"{}".to_vec(),
            }),
            Body::Incident(Incident {
                model: model.clone(),
                fact: true,
                version: 1,
                json: b"{}".to_vec(),
            }),
            Body::Owner(Owner { name: "pod-1".to_owned(), address: "http://pod-1".to_owned() }),
            Body::Test(Test { model, rules: 9, version: 3, state: vec![7; 9] }),
        ];
        bodies.map(|body| Record { writer: u64::MAX - 1, body }).into()
    }

    #[test]
    fn every_record_comes_back_and_cut_ones_do_not() {
        for record in all() {
            let bytes = record.encode();
            assert_eq!(Record::decode(&bytes), Ok(Some(record.clone())));
            for end in 0..bytes.len() {
                assert_eq!(Record::decode(&bytes[..end]), Err(Unreadable::Damaged));
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_first_format() {
        let bytes: Vec<u8> = all().iter().flat_map(Record::encode).collect();
        let keys: String = all().iter().map(|record| record.key(4)).collect();
        let hash = xxhash_rust::xxh3::xxh3_64;
        let first = (0x5e71_5efa_b94a_175d, 0xda6a_06a0_d211_8f5a);
        assert_eq!((hash(&bytes), hash(keys.as_bytes())), first);
    }

    #[test]
    fn a_newer_format_is_refused_and_a_newer_kind_left_alone() {
        let mut frame = Vec::new();
        write_frame(&mut frame, STATE, FORMAT + 1, b"");
        assert_eq!(Record::decode(&frame), Err(Unreadable::Newer(FORMAT + 1)));
        let mut frame = Vec::new();
        write_frame(&mut frame, 99, FORMAT, &[5]);
        assert_eq!(Record::decode(&frame), Ok(None));
    }

    #[test]
    fn two_writers_never_share_a_key() {
        let other = |record: &Record| Record { writer: 1, ..record.clone() };
        assert!(all().iter().all(|record| record.key(4) != other(record).key(4)));
        // Their order says which of them counts, so none may take another's place.
        let ordered =
            |r: &&Record| matches!(r.body, Body::Seal(_) | Body::Incident(_) | Body::Owner(_));
        assert!(all().iter().filter(ordered).all(|record| record.key(4) != record.key(5)));
    }
}
