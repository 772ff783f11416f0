//! The records that are looked at, and what they are where they can't be.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use anyhow::anyhow;
use serde_json::Value;

use crate::cli::init::infer::Record;
use crate::kafka;
use crate::pipeline::BadInput;

/// Records that are looked at.
const RECORDS: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a record that an error shows: what tells one format from another, and no more.
const SHOWN: usize = 5;

/// The newest of a topic that are JSON objects.
///
/// # Errors
/// `BadInput` where there are records and none is one; brokers that do not answer; no records.
pub(super) fn from_topic(brokers: &kafka::Config, topic: &str) -> anyhow::Result<Vec<Record>> {
    let sampled = kafka::sample(brokers, topic, RECORDS, TIMEOUT)?;
    anyhow::ensure!(
        !sampled.is_empty(),
        "topic {topic} holds no records yet; start when there are some, or give some in a file by \
         --offline-sample"
    );
    let payloads = sampled.iter().map(|record| (record.payload.as_deref(), record.timestamp_ms));
    let records: Vec<Record> = payloads
        .clone()
        .filter_map(|(payload, ms)| Some(Record { value: object(payload?)?, kafka_ms: Some(ms) }))
        .collect();
    if records.is_empty() {
        let of = format!("the {} newest records of {topic}", sampled.len());
        let why = refusal(&of, payloads.filter_map(|(payload, _)| payload).next());
        return Err(BadInput(anyhow!(why)).into());
    }
    Ok(records)
}

/// The first of a file that has one JSON object a line.
///
/// # Errors
/// `BadInput` for a file that can't be read or has none.
pub(super) fn from_file(file: &Path) -> anyhow::Result<Vec<Record>> {
    let shown = file.display();
    let bytes = fs::read(file).with_context(|| format!("cannot read {shown}")).map_err(BadInput)?;
    let lines = || bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let records = lines().filter_map(object).map(|value| Record { value, kafka_ms: None });
    let records: Vec<Record> = records.take(RECORDS).collect();
    if records.is_empty() {
        let why = match lines().next() {
            None => format!("{shown} holds nothing; write one JSON object a line"),
            first => refusal(&format!("the lines of {shown}"), first),
        };
        return Err(BadInput(anyhow!(why)).into());
    }
    Ok(records)
}

fn object(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok().filter(Value::is_object)
}

/// What `of` are in place of JSON objects, by the first that has a value.
fn refusal(of: &str, first: Option<&[u8]>) -> String {
    let Some(first) = first else {
        return format!("{of} have no value (they are tombstones); driftd reads JSON objects");
    };
    let json = "driftd reads JSON objects, one a record";
    match serde_json::from_slice::<Value>(first) {
        Ok(value) => {
            let kind = match value {
                Value::Array(_) => "an array",
                Value::String(_) => "a string",
                Value::Number(_) => "a number",
                Value::Object(_) | Value::Bool(_) | Value::Null => "a single word",
            };
            format!("{of} are JSON, but no objects (the first is {kind}); {json}")
        }
        Err(_) => {
            let begin: Vec<String> =
                first.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
            // The magic byte and the schema's number, before whatever format that schema is of.
            let framed = first.first() == Some(&0) && first.len() > SHOWN;
            let hint = if framed { ", as with a schema registry" } else { "" };
            format!(
                "{of} are not JSON (the first begins with {}{hint}); {json}: have the producer write it, or a \
                 stream job (Kafka Connect, ksqlDB, Flink) copy the topic as JSON to one that driftd reads",
                begin.join(" ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> anyhow::Result<Vec<Record>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sample.ndjson");
        fs::write(&path, text).unwrap();
        from_file(&path)
    }

    #[test]
    fn objects_are_taken_and_what_is_between_them_is_passed_over() {
        let records = file(b"{\"a\": 1}\n\nnonsense\n[1]\n\xff\n{\"a\": 2}").unwrap();
        let values: Vec<_> = records.iter().map(|record| record.value["a"].as_i64()).collect();
        assert_eq!(values, [Some(1), Some(2)]);
        assert_eq!(file(&b"{}\n".repeat(2 * RECORDS)).unwrap().len(), RECORDS);
    }

    #[test]
    fn what_is_no_object_is_named_by_what_it_is() {
        for (text, parts) in [
            (&b"\0\0\0\0\x05payload"[..], &["not JSON", "00 00 00 00 05,", "schema registry"][..]),
            (b"id,amount\n1,2\n", &["not JSON", "69 64 2c 61 6d)", "one a record"]),
            (b"[1, 2]\n", &["no objects (the first is an array)"]),
            (b"\"text\"\n", &["no objects (the first is a string)"]),
            (b" \n\n", &["holds nothing; write one JSON object a line"]),
        ] {
            let error = file(text).unwrap_err();
            assert!(error.is::<BadInput>());
            let said = error.to_string();
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
            assert!(said.contains("sample.ndjson"), "{said}");
        }
        let said = refusal("the 3 newest records of t", None);
        assert!(said.contains("the 3 newest records of t have no value"), "{said}");
    }
}
