//! The records that are looked at, and what they are where they can't be.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
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
/// Of a file, no more than its beginning is read.
const BYTES_MAX: u64 = 16 << 20;
/// How Python writes what is no number; the longer first.
const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// What was looked at.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) records: Vec<Record>,
    /// Of the records, those with NaN or Infinity, which is no JSON: they are nulls here.
    pub(super) with_nan: usize,
    /// No JSON objects.
    pub(super) left_out: usize,
    /// What the first of these is.
    first_left_out: Option<String>,
}

impl Sample {
    fn add(&mut self, payload: Option<&[u8]>, kafka_ms: Option<i64>) {
        match payload.map_or_else(|| Err("has no value".to_owned()), object) {
            Ok((value, has_nan)) => {
                self.with_nan += usize::from(has_nan);
                self.records.push(Record { value, kafka_ms });
            }
            Err(what) => {
                self.left_out += 1;
                self.first_left_out.get_or_insert(what);
            }
        }
    }

    /// How many were left out, and why the first of them was, if any was.
    pub(super) fn remark(&self) -> Option<String> {
        let what = self.first_left_out.as_ref()?;
        let all = self.records.len() + self.left_out;
        Some(format!(
            "{} of {all} records are left out: they are no JSON objects (the first of them {what})",
            self.left_out
        ))
    }
}

/// The newest of a topic that are JSON objects.
///
/// # Errors
/// `BadInput` where there are records and none is one; brokers that do not answer; no records.
pub(super) fn from_topic(brokers: &kafka::Config, topic: &str) -> anyhow::Result<Sample> {
    let sampled = kafka::sample(brokers, topic, RECORDS, TIMEOUT)?;
    anyhow::ensure!(
        !sampled.is_empty(),
        "topic {topic} holds no records yet; start when there are some, or give some in a file by \
         --offline-sample"
    );
    let mut sample = Sample::default();
    for record in &sampled {
        sample.add(record.payload.as_deref(), Some(record.timestamp_ms));
    }
    if sample.records.is_empty() {
        let of = format!("the {} newest records of {topic}", sampled.len());
        let why = refusal(&of, sampled.iter().find_map(|record| record.payload.as_deref()));
        return Err(BadInput(anyhow!(why)).into());
    }
    Ok(sample)
}

/// The first of a file that has one JSON object a line.
///
/// # Errors
/// `BadInput` for a file that can't be read or has none.
pub(super) fn from_file(file: &Path) -> anyhow::Result<Sample> {
    let shown = file.display();
    let read = || {
        let mut bytes = Vec::new();
        File::open(file)?.take(BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = read().with_context(|| format!("cannot read {shown}")).map_err(BadInput)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let lines = || bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let mut sample = Sample::default();
    for line in lines() {
        if sample.records.len() == RECORDS {
            break;
        }
        sample.add(Some(line), None);
    }
    // Lines of one document may be objects themselves.
    let is_one_document = sample.left_out > 0
        && lines().nth(1).is_some()
        && serde_json::from_slice::<Value>(&plain(bytes).0).is_ok();
    let why = match lines().next() {
        None => format!("{shown} holds nothing; write one JSON object a line"),
        Some(_) if is_one_document => format!(
            "{shown} is one JSON document over several lines; write one object a line, such as by \
             `jq -c . FILE`, or `jq -c '.[]' FILE` where it is an array"
        ),
        first if sample.records.is_empty() => refusal(&format!("the lines of {shown}"), first),
        _ => return Ok(sample),
    };
    Err(BadInput(anyhow!(why)).into())
}

/// The object, and whether it has NaN or Infinity; else what the bytes are.
fn object(bytes: &[u8]) -> Result<(Value, bool), String> {
    let (json, has_nan) = plain(bytes);
    match serde_json::from_slice::<Value>(&json) {
        Ok(value) if value.is_object() => Ok((value, has_nan)),
        Ok(value) => Err(format!("is {}", kind(&value))),
        Err(_) => Err(format!("begins with {}", beginning(bytes))),
    }
}

/// The text with nulls in place of the words that Python writes for what is no number, and whether it has any.
fn plain(json: &[u8]) -> (Cow<'_, [u8]>, bool) {
    let mut out = Vec::new();
    let (mut at, mut kept, mut quoted) = (0, 0, false);
    while at < json.len() {
        let word = WORDS.iter().find(|word| !quoted && json[at..].starts_with(word));
        if let Some(word) = word {
            out.extend_from_slice(&json[kept..at]);
            out.extend_from_slice(b"null");
            at += word.len();
            kept = at;
            continue;
        }
        match json[at] {
            b'"' => quoted = !quoted,
            b'\\' if quoted => at += 1,
            _ => {}
        }
        at += 1;
    }
    if kept == 0 {
        return (Cow::Borrowed(json), false);
    }
    out.extend_from_slice(&json[kept..]);
    (Cow::Owned(out), true)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "an array",
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        Value::Object(_) | Value::Bool(_) | Value::Null => "a single word",
    }
}

/// The first bytes of a record, and what they remind of.
fn beginning(bytes: &[u8]) -> String {
    let begin: Vec<String> = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    // The magic byte and the schema's number, before whatever format that schema is of.
    let framed = bytes.first() == Some(&0) && bytes.len() > SHOWN;
    let hint = if framed { ", as with a schema registry" } else { "" };
    begin.join(" ") + hint
}

/// What `of` are in place of JSON objects, by the first that has a value.
fn refusal(of: &str, first: Option<&[u8]>) -> String {
    let Some(first) = first else {
        return format!("{of} have no value (they are tombstones); driftd reads JSON objects");
    };
    let json = "driftd reads JSON objects, one a record";
    match serde_json::from_slice::<Value>(&plain(first).0) {
        Ok(value) => {
            format!("{of} are JSON, but no objects (the first is {}); {json}", kind(&value))
        }
        Err(_) => format!(
            "{of} are not JSON (the first begins with {}); {json}: have the producer write it, or a \
             stream job (Kafka Connect, ksqlDB, Flink) copy the topic as JSON to one that driftd reads",
            beginning(first)
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::decode::{Decoder, Fields, Format, JsonOptions, Message, Options};
    use crate::feature::{Feature, Kind, Role};

    fn file(text: &[u8]) -> anyhow::Result<Sample> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sample.ndjson");
        fs::write(&path, text).unwrap();
        from_file(&path)
    }

    #[test]
    fn objects_are_taken_and_what_is_between_them_is_passed_over() {
        let sample = file(b"\xef\xbb\xbf{\"a\": 1}\r\n\nnonsense\n[1]\n\xff\n{\"a\": 2}").unwrap();
        let values: Vec<_> =
            sample.records.iter().map(|record| record.value["a"].as_i64()).collect();
        assert_eq!(values, [Some(1), Some(2)]);
        let remark = sample.remark().unwrap();
        let said = "3 of 5 records are left out: they are no JSON objects (the first of them begins with 6e 6f";
        assert!(remark.starts_with(said), "{remark}");
        let whole = file(&b"{}\n".repeat(2 * RECORDS)).unwrap();
        assert_eq!((whole.records.len(), whole.remark()), (RECORDS, None));
    }

    /// Of a record: whether the daemon takes it.
    fn is_taken(record: &[u8], allow_nan: bool) -> bool {
        let options = Options { json: JsonOptions { allow_nan }, ..Options::default() };
        let (name, kind, role) = ("a".to_owned(), Kind::Numeric, Role::Feature);
        let features = [Feature { name, role, kind, boolean: false }];
        let mut decoder = Decoder::new(Format::Json, &Fields::default(), &options, "m", &features);
        let message = Message { offset: 0, timestamp_ms: 1_760_000_000_000, payload: Some(record) };
        decoder.decode([message].into_iter()).rejects.is_empty()
    }

    #[test]
    fn what_python_writes_for_no_number_is_counted_where_the_daemon_needs_a_key_for_it() {
        for (record, has_nan) in [
            (&br#"{"a": 1}"#[..], false),
            (br#"{"a": NaN}"#, true),
            (br#"{"a": 1, "b": [Infinity, -Infinity,NaN]}"#, true),
            (br#"{"NaN": "Infinity", "a": 1}"#, false),
            (br#"{"a": 1, "b": "\\\"NaN\\\\"}"#, false),
            (br#"{"a": 1, "b": "\\\\", "c": NaN}"#, true),
        ] {
            let (_, found) = object(record).unwrap();
            assert_eq!(found, has_nan, "{}", record.escape_ascii());
            assert!(is_taken(record, true), "{}", record.escape_ascii());
            assert_eq!(is_taken(record, false), !has_nan, "{}", record.escape_ascii());
        }
        for record in [
            &br#"{NaN: 1}"#[..],
            br#"{"a": -NaN}"#,
            br#"{"a": nan}"#,
            br#"{"a": 1NaN}"#,
            br#"{"a": NaNInfinity}"#,
            br#"{"a": Infinity5}"#,
            br#"{"a": "NaN}"#,
            br#"{"a": Inf}"#,
        ] {
            assert!(object(record).is_err(), "{}", record.escape_ascii());
            assert!(!is_taken(record, true), "{}", record.escape_ascii());
        }
        let sample = file(b"{\"a\": NaN}\n{\"a\": 1}\n{\"b\": -Infinity}\n").unwrap();
        assert_eq!((sample.records.len(), sample.with_nan, sample.left_out), (3, 2, 0));
        assert!(sample.records[0].value["a"].is_null());
    }

    #[test]
    fn one_document_over_several_lines_is_told_from_records() {
        for text in [
            "{\n  \"a\": 1,\n  \"b\": {}\n}\n",
            "[\n{\"a\": 1},\n{\"a\": 2}\n]",
            "[{\"a\": NaN\n}]",
        ] {
            let said = file(text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains("over several lines") && said.contains("jq -c"), "{said}");
        }
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
