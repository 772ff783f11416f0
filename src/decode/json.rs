//! JSON, in one pass and without a tree: bytes to columns, whatever the bytes are.

use std::borrow::Cow;

use crate::feature::Feature;

use super::columns::Columns;
use super::fields::Fields;
use super::fingerprint;
use super::names::Names;
use super::paths::Targets;
use super::scan::{Fault, Number, Scanner, Text};
use super::simd::{Level, Simd};
use super::time;
use super::{Batch, Message, Options, Reason, Reject};

mod found;
mod object;
mod order;
mod output;
mod plan;
mod strangers;
mod twin;
mod walk;

use found::Found;
use output::{Origin, Output};
use plan::Plan;
pub use twin::every_way_agrees;
use walk::{Walk, write_canonical};

/// Text of one batch beyond which records are refused, so that a text column's 32-bit offsets hold:
/// no value becomes more than seven times as long when it is written canonically.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// The decoder of one model's JSON. Buffers are kept from batch to batch.
#[derive(Debug)]
pub struct JsonDecoder {
    /// What this CPU can.
    level: Level,
    plan: Plan,
    found: Found,
    /// Of the row that is being read, where a record has several.
    found_in_row: Found,
    names: NamesInRecord,
    text: String,
    columns: Columns,
    out: Output,
}

/// The last array of names that a record carried; most records carry the same.
#[derive(Debug, Default)]
struct NamesInRecord {
    raw: String,
    features: Vec<Option<u32>>,
}

/// Why a record is not used, and what to tell a person.
type Refusal = (Reason, Option<Cow<'static, str>>);

impl JsonDecoder {
    pub(super) fn new(
        fields: &Fields,
        options: &Options,
        model: &str,
        features: &[Feature],
    ) -> Self {
        let plan = Plan::new(fields, options, model, features);
        let row_paths = plan.row_paths.as_ref().unwrap_or(&plan.paths);
        Self {
            level: Level::best(),
            found: Found::new(features.len(), &plan.paths),
            found_in_row: Found::new(features.len(), row_paths),
            names: NamesInRecord::default(),
            text: String::new(),
            columns: Columns::new(features),
            out: Output::default(),
            plan,
        }
    }

    pub(super) fn decode<'a>(&mut self, messages: impl Iterator<Item = Message<'a>>) -> Batch {
        match self.level {
            Level::Portable(simd) => self.decode_with(simd, messages),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(simd) => self.decode_with(simd, messages),
        }
    }

    fn decode_with<'a, S: Simd>(
        &mut self,
        simd: S,
        messages: impl Iterator<Item = Message<'a>>,
    ) -> Batch {
        let mut bytes = 0;
        let mut messages = messages.peekable();
        while let Some(message) = messages.next() {
            // While this record is read, the next one comes from memory.
            if let Some(next) = messages.peek().and_then(|next| next.payload) {
                simd.prefetch(next);
            }
            bytes += message.payload.map_or(0, <[u8]>::len);
            let done = if bytes <= MAX_BATCH_BYTES {
                self.record(simd, &message)
            } else {
                Err((Reason::Internal, Some("batch over 256 MiB".into())))
            };
            if let Err((reason, hint)) = done {
                self.out.rejects.push(Reject { offset: message.offset, reason, hint });
            }
        }
        let looked_up = self.found.take_looked_up() + self.found_in_row.take_looked_up();
        self.out.finish(self.columns.finish(), looked_up)
    }

    fn record<S: Simd>(&mut self, simd: S, message: &Message<'_>) -> Result<(), Refusal> {
        let text = self.plan.text(simd, message.payload)?;
        let Self { plan, found, columns, .. } = self;
        found.clear();
        let scan = Scanner::new(text, plan.allow_nan);
        let mut walk =
            Walk { simd, scan, schema: &plan.schema, paths: &plan.paths, found, columns };
        walk.value(0, 0).and_then(|()| walk.scan.end()).map_err(refusal)?;
        if !self.is_ours(text) {
            self.out.other_models += 1;
            return Ok(());
        }
        self.out.duplicate_keys += u64::from(self.found.duplicate);
        let event_ms = self.event_ms(message, text)?;
        let of = Origin {
            offset: message.offset,
            kafka_ms: message.timestamp_ms,
            event_ms,
            fingerprint: fingerprint::of_bytes(text.as_bytes()),
        };
        match self.plan.row_paths {
            Some(_) => self.rows(simd, text, of),
            None => self.row(simd, text, of),
        }
    }

    /// Whether the record is of this model.
    fn is_ours(&mut self, text: &str) -> bool {
        let Self { plan, found, text: buffer, .. } = self;
        let mut is = |target, wanted: &str| {
            buffer.clear();
            let start = found.start(target);
            start.is_some_and(|start| scalar(text, start, buffer).is_some_and(|is| is == wanted))
        };
        plan.model.as_ref().is_none_or(|model| is(Targets::MODEL, model))
            && plan.filter.as_ref().is_none_or(|f| is(Targets::FILTER, f.equals.as_str()))
    }

    fn event_ms(&mut self, message: &Message<'_>, text: &str) -> Result<i64, Refusal> {
        let bad = |hint: time::BadTime| (Reason::BadTime, hint.map(Cow::Borrowed));
        let Some(field) = &self.plan.event_time else {
            return time::checked(message.timestamp_ms).map_err(bad);
        };
        let Some(start) = self.found.start(Targets::TIME) else {
            // What is no object has no keys at all; that it lacks this one would mislead.
            return Err(if is_object(text) {
                bad(Some("no event time"))
            } else {
                (Reason::NoFeatures, Some("no object".into()))
            });
        };
        let mut scan = Scanner::new(text, true);
        scan.at = start;
        let ms = match scan.token() {
            b'-' | b'0'..=b'9' => match scan.number().map_err(refusal)? {
                Number::Decimal(decimal) => match decimal.integer() {
                    Some(integer) => time::from_integer(integer, field.unit),
                    None => time::from_float(decimal.value(), field.unit),
                },
                Number::Special(_) => Err(None),
            },
            b'"' => {
                self.text.clear();
                match scan.string(&mut self.text).map_err(refusal)? {
                    Text::Plain(start, end) => time::from_text(&text[start..end], field),
                    Text::Unescaped => time::from_text(&self.text, field),
                }
            }
            _ => Err(None),
        };
        ms.map_err(bad)
    }

    /// The record is one row.
    fn row<S: Simd>(&mut self, simd: S, text: &str, of: Origin) -> Result<(), Refusal> {
        let Self { plan, found, names, columns, out, .. } = self;
        let features = names.positional(plan, text, found)?;
        let scan = Scanner::new(text, plan.allow_nan);
        let walk = Walk { simd, scan, schema: &plan.schema, paths: &plan.paths, found, columns };
        complete(plan, walk, features, text)?;
        if strangers::are_wanted(of.fingerprint, || found.row.lacks()) {
            let at = found.start(Targets::FEATURES).unwrap_or(0);
            out.note(strangers::of_object(text, at, &plan.schema.names, found.row.is_bare()));
        }
        out.push(columns, found, text, of);
        Ok(())
    }

    /// Every element of an array of the record is a row; a bad one does not affect the others.
    fn rows<S: Simd>(&mut self, simd: S, text: &str, of: Origin) -> Result<(), Refusal> {
        let Self { plan, found, found_in_row, names, columns, out, .. } = self;
        let start = found.start(Targets::ROWS).filter(|&start| text.as_bytes()[start] == b'[');
        let (Some(start), Some(paths)) = (start, &plan.row_paths) else {
            return Err((Reason::NoFeatures, Some("no array of rows".into())));
        };
        let features = names.positional(plan, text, found)?;
        let mut scan = Scanner::new(text, plan.allow_nan);
        scan.at = start;
        let mut rows = Walk { simd, scan, schema: &plan.schema, paths, found, columns };
        let mut duplicate = false;
        rows.elements(0, |rows, index| {
            found_in_row.clear();
            let begins = rows.scan.at;
            let mut walk = Walk {
                scan: rows.scan,
                found: &mut *found_in_row,
                columns: &mut *rows.columns,
                ..*rows
            };
            let done = match (walk.scan.token(), features) {
                (b'[', Some(features)) => {
                    walk.positional(features, 1)?;
                    Ok(())
                }
                _ => {
                    walk.value(0, 1)?;
                    let start = rows.scan.at;
                    if text.as_bytes()[start] == b'{' {
                        complete(plan, walk.again(), features, text)
                    } else {
                        Err((Reason::NoFeatures, None))
                    }
                }
            };
            rows.scan.at = walk.scan.at;
            duplicate |= found_in_row.duplicate;
            match done {
                Ok(()) => {
                    let fingerprint = fingerprint::of_row(of.fingerprint, index as u64);
                    if strangers::are_wanted(fingerprint, || found_in_row.row.lacks()) {
                        let at = found_in_row.start(Targets::FEATURES).unwrap_or(begins);
                        let (names, is_bare) = (&plan.schema.names, found_in_row.row.is_bare());
                        out.note(strangers::of_object(text, at, names, is_bare));
                    }
                    out.push(rows.columns, found_in_row, text, Origin { fingerprint, ..of });
                }
                Err((reason, _)) => {
                    let hint = Some(format!("row {index}").into());
                    out.rejects.push(Reject { offset: of.offset, reason, hint });
                }
            }
            Ok(())
        })
        .map_err(refusal)?;
        self.out.duplicate_keys += u64::from(duplicate && !self.found.duplicate);
        Ok(())
    }
}

/// Fills the slots from an array of features and from the outputs, where they are; refuses
/// what has no features where the configuration says.
fn complete<S: Simd>(
    plan: &Plan,
    mut walk: Walk<'_, S>,
    features: Option<&[Option<u32>]>,
    text: &str,
) -> Result<(), Refusal> {
    let refused = |hint: &'static str| Err((Reason::NoFeatures, Some(hint.into())));
    let start = walk.found.start(Targets::FEATURES);
    match (start, start.map(|start| text.as_bytes()[start])) {
        (_, Some(b'{')) => {}
        (Some(start), Some(b'[')) => {
            let Some(features) = features else {
                return refused("an array without feature_names");
            };
            walk.scan.at = start;
            walk.positional(features, 0).map_err(refusal)?;
        }
        (None, _) if plan.features_required => return refused("nothing there"),
        (None, _) if !is_object(text) && plan.row_paths.is_none() => return refused("no object"),
        (None, _) => {}
        // A flat record may have a feature of that name.
        (Some(_), _) if !plan.features_required => {
            if plan.schema.names.get(b"features").is_none() {
                return refused("neither an object nor an array");
            }
        }
        (Some(_), _) => return refused("neither an object nor an array"),
    }
    for (feature, output) in plan.schema.outputs.into_iter().zip(walk.found.outputs) {
        if let Some(feature) = feature.filter(|_| !output.is_missing()) {
            walk.columns.set(&mut walk.found.row, feature, output);
        }
    }
    Ok(())
}

fn is_object(text: &str) -> bool {
    Scanner::new(text, false).token() == b'{'
}

impl NamesInRecord {
    /// The features of an array by position, from the configuration or from the record.
    fn positional<'a>(
        &'a mut self,
        plan: &'a Plan,
        text: &str,
        found: &Found,
    ) -> Result<Option<&'a [Option<u32>]>, Refusal> {
        if let Some(listed) = &plan.listed {
            return Ok(Some(listed));
        }
        let Some(start) = found.start(Targets::NAMES) else { return Ok(None) };
        self.read(text, start, &plan.schema.names)?;
        Ok(Some(&self.features))
    }

    fn read(&mut self, text: &str, start: usize, known: &Names) -> Result<(), Refusal> {
        let mut scan = Scanner::new(text, true);
        scan.at = start;
        scan.skip(0).map_err(refusal)?;
        let raw = &text[start..scan.at];
        if raw == self.raw {
            return Ok(());
        }
        let refused = || (Reason::NoFeatures, Some("feature_names is no array of strings".into()));
        let list: Vec<Cow<'_, str>> = serde_json::from_str(raw).map_err(|_| refused())?;
        self.features.clear();
        self.features.extend(list.iter().map(|name| known.get(name.as_bytes())));
        raw.clone_into(&mut self.raw);
        Ok(())
    }
}

/// The canonical string of the scalar that starts at `at` of a text that was checked already.
fn scalar<'a>(text: &'a str, at: usize, buffer: &'a mut String) -> Option<&'a str> {
    let mut scan = Scanner::new(text, true);
    scan.at = at;
    match scan.token() {
        b'"' => match scan.string(buffer).ok()? {
            Text::Plain(start, end) => Some(&text[start..end]),
            Text::Unescaped => Some(buffer),
        },
        b't' => Some("true"),
        b'f' => Some("false"),
        b'-' | b'0'..=b'9' => match scan.number().ok()? {
            Number::Decimal(decimal) => write_canonical(&decimal, buffer).then_some(&**buffer),
            Number::Special(_) => None,
        },
        _ => None,
    }
}

fn refusal(fault: Fault) -> Refusal {
    match fault {
        Fault::Malformed(at) => (Reason::Malformed, Some(format!("byte {at}").into())),
        Fault::NanToken(at) => {
            let hint = format!("byte {at}: NaN or Infinity, which needs allow_nan");
            (Reason::Malformed, Some(hint.into()))
        }
        Fault::TooDeep => (Reason::TooDeep, None),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float64Type;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::decode::{Decoder, Format, JsonOptions};
    use crate::feature::{Absent, Column, Kind, Role, canonical_number};

    const NOON: i64 = 1_735_732_800_000;

    fn feature(name: &str, kind: Kind) -> Feature {
        Feature { name: name.to_owned(), role: Role::Feature, kind, boolean: false }
    }

    /// Numbers `x` and `y`, category `c`, prediction `p`.
    fn features() -> Vec<Feature> {
        let mut features = vec![
            feature("x", Kind::Numeric),
            feature("y", Kind::Numeric),
            feature("c", Kind::Categorical),
            feature("p", Kind::Numeric),
        ];
        features[3].role = Role::Prediction;
        features
    }

    fn decoder(fields: &str) -> Decoder {
        let fields: Fields = serde_json::from_str(fields).unwrap();
        Decoder::new(Format::Json, &fields, &Options::default(), "fraud", &features())
    }

    fn message(offset: i64, payload: &[u8]) -> Message<'_> {
        Message { offset, timestamp_ms: NOON, payload: Some(payload) }
    }

    fn decode(fields: &str, records: &[&str]) -> Batch {
        let messages = (0..).zip(records).map(|(i, record)| message(i, record.as_bytes()));
        decoder(fields).decode(messages)
    }

    /// A row as text: numbers, quoted strings, `null`, `missing`, `type`.
    fn cell(column: &Column, row: usize) -> String {
        if column.array.is_null(row) {
            let absent = column.absent.iter().find(|(at, _)| *at as usize == row);
            return match absent {
                None => "null".to_owned(),
                Some((_, Absent::Missing)) => "missing".to_owned(),
                Some((_, Absent::TypeError)) => "type".to_owned(),
            };
        }
        match column.array.as_string_opt::<i32>() {
            Some(strings) => format!("{:?}", strings.value(row)),
            None => column.array.as_primitive::<Float64Type>().value(row).to_string(),
        }
    }

    fn rows(batch: &Batch) -> Vec<String> {
        let row = |row| {
            let cells: Vec<_> = batch.columns.iter().map(|column| cell(column, row)).collect();
            cells.join(" ")
        };
        (0..batch.offsets.len()).map(row).collect()
    }

    /// The one reject of a batch of one record.
    fn reject(fields: &str, payload: &[u8]) -> (Reason, String) {
        let batch = decoder(fields).decode([message(0, payload)].into_iter());
        assert!(batch.offsets.is_empty(), "{payload:?} became a row");
        assert_eq!(batch.rejects.len(), 1, "{payload:?}");
        let reject = &batch.rejects[0];
        (reject.reason, reject.hint.clone().unwrap_or_default().into_owned())
    }

    #[test]
    fn nested_and_flat_records_are_the_same_rows_in_any_key_order() {
        let batch = decode(
            "{}",
            &[
                r#"{"features":{"x":1.5,"y":-2,"c":"a"},"prediction":0.9}"#,
                r#"{"prediction":0.9,"other":[{"x":7}],"features":{"c":"a","y":-2.0e0,"x":15e-1}}"#,
                r#"{"y":-2,"x":1.5,"c":"a","prediction":0.9}"#,
                r#" { "c" : "a" , "x" : 1.5 , "y" : -2 , "p" : 0.9 } "#,
                r#"{"x":5,"features":{"x":1.5,"y":-2,"c":"a"},"y":5,"prediction":0.9}"#,
            ],
        );
        assert_eq!(rows(&batch), vec![r#"1.5 -2 "a" 0.9"#; 5]);
        assert_eq!(batch.offsets, [0, 1, 2, 3, 4]);
        assert_eq!((batch.event_ms[4], batch.kafka_ms[4]), (NOON, NOON));
        assert_eq!((batch.rejects.len(), batch.duplicate_keys), (0, 0));
    }

    #[test]
    fn pointers_lead_anywhere_in_one_pass() {
        let fields = r#"{"features":"/request/0/in~1put","prediction":"/response/scores/1",
            "event_time":{"pointer":"/meta/ts","unit":"s"}}"#;
        let record = r#"{"response":{"scores":[0.1,0.9,0.3]},"request":[{"in/put":{"x":1,"y":2,"c":"z"}},{"in/put":{"x":9}}],"meta":{"ts":1735732800}}"#;
        let batch = decode(fields, &[record]);
        assert_eq!(rows(&batch), [r#"1 2 "z" 0.9"#]);
        assert_eq!(batch.event_ms, [NOON]);
    }

    #[test]
    fn a_confidence_is_found_by_its_pointer_even_where_the_prediction_is() {
        let mut features = features();
        features.extend([feature("sure", Kind::Categorical)]);
        features[4].role = Role::Confidence;
        let decode = |fields: &str, record: &str| {
            let fields: Fields = serde_json::from_str(fields).unwrap();
            let options = Options::default();
            let mut decoder = Decoder::new(Format::Json, &fields, &options, "fraud", &features);
            rows(&decoder.decode([message(0, record.as_bytes())].into_iter()))
        };
        let here = r#"{"features":{"x":1,"y":2,"c":"a"},"prediction":0.5,"confidence":0.9}"#;
        assert_eq!(decode("{}", here), [r#"1 2 "a" 0.5 "0.9""#]);
        let twice = r#"{"x":1,"y":2,"c":"a","confidence":3,"confidence":null}"#;
        assert_eq!(decode("{}", twice), [r#"1 2 "a" missing null"#]);
        let fields = r#"{"prediction":"/out/0","confidence":"/out/1"}"#;
        let array = r#"{"x":1,"y":2,"c":"a","out":[0.5,[]]}"#;
        assert_eq!(decode(fields, array), [r#"1 2 "a" 0.5 type"#]);
        // One value, read as each of the two features has it.
        let fields = r#"{"prediction":"/out","confidence":"/out"}"#;
        let both = r#"{"x":1,"out":0.50,"y":2,"c":"a"}"#;
        assert_eq!(decode(fields, both), [r#"1 2 "a" 0.5 "0.5""#]);
    }

    #[test]
    fn missing_null_and_wrong_types_are_told_apart() {
        let batch = decode(
            "{}",
            &[
                r#"{"x":null,"c":null}"#,
                r#"{"x":"12","y":true,"c":{"a":1},"p":[1]}"#,
                r#"{"x":{},"c":[],"prediction":{"x":1}}"#,
                "{}",
            ],
        );
        let expected = [
            "null missing null missing",
            "type type type type",
            "type missing type type",
            "missing missing missing missing",
        ];
        assert_eq!(rows(&batch), expected);
    }

    #[test]
    fn numbers_and_booleans_for_a_category_are_canonical_strings() {
        let records = [
            "3",
            "3.0",
            r#""3""#,
            "30e-1",
            "-0",
            "true",
            "false",
            "2.50",
            "18446744073709551615",
            "9007199254740993",
            "1e999",
            r#""\u0061\ud83d\ude00\n""#,
            r#""""#,
        ];
        let records: Vec<String> = records.iter().map(|c| format!(r#"{{"c":{c}}}"#)).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let batch = decode("{}", &records);
        let categories: Vec<String> =
            (0..records.len()).map(|row| cell(&batch.columns[2], row)).collect();
        let expected = [
            r#""3""#,
            r#""3""#,
            r#""3""#,
            r#""3""#,
            r#""0""#,
            r#""true""#,
            r#""false""#,
            r#""2.5""#,
            r#""18446744073709551615""#,
            r#""9007199254740993""#,
            "type",
            r#""a😀\n""#,
            r#""""#,
        ];
        assert_eq!(categories, expected);
        assert_eq!(batch.imprecise, 0);
    }

    #[test]
    fn a_boolean_counts_as_a_number_only_where_the_reference_says_so() {
        let mut features = features();
        features[0].boolean = true;
        let mut decoder =
            Decoder::new(Format::Json, &Fields::default(), &Options::default(), "m", &features);
        let record = br#"{"x":true,"y":true}"#;
        let batch = decoder.decode([message(0, record)].into_iter());
        assert_eq!(rows(&batch), ["1 type missing missing"]);
    }

    #[test]
    fn numbers_are_the_nearest_doubles_and_lost_integers_are_counted() {
        let long = format!("1{}", "0".repeat(99));
        let numbers = [
            ("1e999", f64::INFINITY),
            ("-1e999", f64::NEG_INFINITY),
            ("-0", -0.0),
            ("5e-324", f64::from_bits(1)),
            ("1e-400", 0.0),
            ("9007199254740992", 9_007_199_254_740_992.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
            (long.as_str(), 1e99),
            ("0.1", 0.1),
            ("1E+2", 100.0),
        ];
        for (text, expected) in numbers {
            let batch = decode("{}", &[&format!(r#"{{"x":{text}}}"#)]);
            assert_eq!(cell(&batch.columns[0], 0), expected.to_string(), "{text}");
            let lost = ["9007199254740993", "18446744073709551616", &long].contains(&text);
            assert_eq!(batch.imprecise, u64::from(lost), "{text}");
        }
    }

    #[test]
    fn a_bad_record_is_rejected_with_its_reason_and_where() {
        let deep = "[".repeat(1 << 20);
        let deep_inside = format!(r#"{{"other":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        let large = format!(r#"{{"x":"{}"}}"#, "a".repeat(1 << 20));
        let bad: [(&[u8], Reason, &str); 24] = [
            (b"", Reason::Empty, ""),
            (large.as_bytes(), Reason::TooLarge, "1048584 bytes"),
            (b"not json", Reason::Malformed, "byte 0"),
            (br#"{"x":1"#, Reason::Malformed, "byte 6"),
            (br#"{"x":1}}"#, Reason::Malformed, "byte 7"),
            (br#"{"x":1} {"x":2}"#, Reason::Malformed, "byte 8"),
            (b"\xEF\xBB\xBF{}", Reason::Malformed, "byte order mark"),
            (b"{\"x\":\"\xFF\"}", Reason::Malformed, "not UTF-8 at byte 6"),
            (b"{\"unused\":\"\xC0\x80\"}", Reason::Malformed, "not UTF-8 at byte 11"),
            (br#"{"x":NaN}"#, Reason::Malformed, "byte 5: NaN or Infinity, which needs allow_nan"),
            (
                br#"{"u":[-Infinity]}"#,
                Reason::Malformed,
                "byte 7: NaN or Infinity, which needs allow_nan",
            ),
            (br#"{"x":01}"#, Reason::Malformed, "byte 6"),
            (br#"{"x":1.}"#, Reason::Malformed, "byte 7"),
            (br#"{"x":+1}"#, Reason::Malformed, "byte 5"),
            (br#"{"u":[1,]}"#, Reason::Malformed, "byte 8"),
            (br#"{"x":1,}"#, Reason::Malformed, "byte 7"),
            (br#"{"u":"\ud800"}"#, Reason::Malformed, "byte 12"),
            (b"{\"u\":\"\n\"}", Reason::Malformed, "byte 6"),
            (b"  ", Reason::Malformed, "byte 2"),
            (deep.as_bytes(), Reason::TooDeep, ""),
            (deep_inside.as_bytes(), Reason::TooDeep, ""),
            (b"[1]", Reason::NoFeatures, "no object"),
            (br#""text""#, Reason::NoFeatures, "no object"),
            (br#"{"features":3}"#, Reason::NoFeatures, "neither an object nor an array"),
        ];
        for (payload, reason, hint) in bad {
            let shown = String::from_utf8_lossy(&payload[..payload.len().min(40)]);
            assert_eq!(reject("{}", payload), (reason, hint.to_owned()), "{shown}");
        }
        let tombstone = Message { offset: 0, timestamp_ms: NOON, payload: None };
        let batch = decoder("{}").decode([tombstone].into_iter());
        assert_eq!(batch.rejects[0].reason, Reason::NullValue);
    }

    #[test]
    fn sixty_four_levels_are_read_wherever_they_are() {
        let inner = format!("{}{}", "[".repeat(63), "]".repeat(63));
        for key in ["x", "c", "other", "features"] {
            let record = format!(r#"{{"{key}":{inner}}}"#);
            let batch = decode(r#"{"feature_names":["x"]}"#, &[&record]);
            assert_eq!((batch.offsets.len(), batch.rejects.len()), (1, 0), "{key}");
            let record = format!(r#"{{"{key}":[{inner}]}}"#);
            assert_eq!(reject("{}", record.as_bytes()).0, Reason::TooDeep, "{key}");
        }
    }

    #[test]
    fn a_bad_record_does_not_affect_its_neighbours() {
        let batch = decode(
            "{}",
            &[r#"{"x":1}"#, r#"{"x":2,"y"#, r#"{"x":3,"c":"\q"}"#, r#"{"x":4,"c":"é"}"#],
        );
        assert_eq!(rows(&batch), ["1 missing missing missing", r#"4 missing "é" missing"#]);
        assert_eq!(batch.offsets, [0, 3]);
        assert_eq!(batch.rejects.iter().map(|r| r.offset).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn of_duplicate_keys_the_last_wins_and_the_record_is_counted_once() {
        let batch = decode(
            "{}",
            &[
                r#"{"x":1,"x":2,"x":3}"#,
                r#"{"features":{"x":1,"y":1},"features":{"y":2}}"#,
                r#"{"prediction":1,"prediction":null}"#,
                r#"{"a":1,"a":2,"x":1}"#,
                r#"{"\u0078":1,"x":2}"#,
            ],
        );
        let expected = [
            "3 missing missing missing",
            "missing 2 missing missing",
            "missing missing missing null",
            "1 missing missing missing",
            "2 missing missing missing",
        ];
        assert_eq!(rows(&batch), expected);
        assert_eq!(batch.duplicate_keys, 4);
        let nested = r#"{"features":"/request/features","prediction":"/request/p"}"#;
        let twice = r#"{"request":{"features":{"x":1},"p":1},"request":{"features":{"y":2}}}"#;
        let batch = decode(nested, &[twice]);
        assert_eq!(rows(&batch), ["missing 2 missing missing"]);
        let gone = r#"{"request":{"features":{"x":1}},"request":7}"#;
        assert_eq!(reject(nested, gone.as_bytes()).0, Reason::NoFeatures);
    }

    #[test]
    fn python_words_are_values_where_allowed() {
        let options = Options { json: JsonOptions { allow_nan: true }, ..Options::default() };
        let mut decoder =
            Decoder::new(Format::Json, &Fields::default(), &options, "m", &features());
        let record = br#"{"x":NaN,"y":-Infinity,"c":NaN,"p":Infinity,"u":[NaN]}"#;
        let batch = decoder.decode([message(0, record)].into_iter());
        assert_eq!(rows(&batch), ["NaN -inf null inf"]);
        for bad in ["-NaN", "Nan", "Infinit", "nan", "+Infinity"] {
            let record = format!(r#"{{"x":{bad}}}"#);
            let batch = decoder.decode([message(0, record.as_bytes())].into_iter());
            assert_eq!(batch.rejects[0].reason, Reason::Malformed, "{bad}");
        }
    }

    #[test]
    fn features_may_be_an_array_with_names() {
        let listed = r#"{"feature_names":["y","unknown","x"]}"#;
        let batch = decode(listed, &[r#"{"features":[1,2,3,4]}"#, r#"{"features":[1]}"#]);
        assert_eq!(rows(&batch), ["3 1 missing missing", "missing 1 missing missing"]);
        let named = r#"{"feature_names":"/names","features":"/values"}"#;
        let batch = decode(
            named,
            &[
                r#"{"values":[1,"a"],"names":["x","c"]}"#,
                r#"{"names":["c","\u0079"],"values":["b",2]}"#,
            ],
        );
        assert_eq!(rows(&batch), [r#"1 missing "a" missing"#, r#"missing 2 "b" missing"#]);
        let refused = [
            (r#"{"values":[1]}"#, "an array without feature_names"),
            (r#"{"values":[1],"names":[1]}"#, "feature_names is no array of strings"),
            (r#"{"names":["x"]}"#, "nothing there"),
            (r#"{"values":7}"#, "neither an object nor an array"),
        ];
        for (record, hint) in refused {
            assert_eq!(reject(named, record.as_bytes()), (Reason::NoFeatures, hint.to_owned()));
        }
    }

    #[test]
    fn a_message_may_carry_rows_and_a_bad_one_is_its_own_reject() {
        let fields = r#"{"rows":"/instances","feature_names":["x","y"],"event_time":{"pointer":"/ts","unit":"ms"}}"#;
        let batch = decode(
            fields,
            &[
                r#"{"instances":[{"x":1,"prediction":5},[2,3],7,{"features":{"c":"k"}},{"features":[4]}],"ts":1735732800000}"#,
                r#"{"ts":1735732800000,"instances":[]}"#,
                r#"{"ts":1735732800000,"instances":{}}"#,
            ],
        );
        let expected = [
            "1 missing missing 5",
            "2 3 missing missing",
            r#"missing missing "k" missing"#,
            "4 missing missing missing",
        ];
        assert_eq!(rows(&batch), expected);
        assert_eq!(batch.offsets, [0, 0, 0, 0]);
        let rejects: Vec<_> = batch
            .rejects
            .iter()
            .map(|r| (r.offset, r.reason, r.hint.as_deref().unwrap()))
            .collect();
        let expected =
            [(0, Reason::NoFeatures, "row 2"), (2, Reason::NoFeatures, "no array of rows")];
        assert_eq!(rejects, expected);
        let at_root = decode(r#"{"rows":""}"#, &[r#"[{"x":1},{"x":2}]"#]);
        assert_eq!(rows(&at_root).len(), 2);
    }

    #[test]
    fn records_of_other_models_are_neither_rows_nor_rejects() {
        let fields = r#"{"model":"/model","where":{"pointer":"/env","equals":3},"event_time":{"pointer":"/ts","unit":"ms"}}"#;
        let batch = decode(
            fields,
            &[
                r#"{"model":"fraud","env":3,"ts":1735732800000,"x":1}"#,
                r#"{"model":"fra\u0075d","env":"3","ts":1735732800000,"x":2}"#,
                r#"{"model":"fraud","env":3.0,"ts":1735732800000,"x":3}"#,
                r#"{"model":"churn","env":3}"#,
                r#"{"model":"fraud","env":4}"#,
                r#"{"env":3}"#,
                r#"{"model":null,"env":3}"#,
                r#"{"model":"fraud","env":3}"#,
            ],
        );
        assert_eq!(batch.offsets, [0, 1, 2]);
        assert_eq!(batch.other_models, 4);
        assert_eq!(batch.rejects[0].offset, 7);
        assert_eq!(batch.rejects[0].hint.as_deref(), Some("no event time"));
    }

    #[test]
    fn a_time_in_another_unit_is_rejected_with_a_hint() {
        let fields = r#"{"event_time":{"pointer":"/ts","unit":"s"}}"#;
        let hint = |ts: &str| reject(fields, format!(r#"{{"ts":{ts}}}"#).as_bytes());
        let bad = |hint: &str| (Reason::BadTime, hint.to_owned());
        assert_eq!(hint("1735732800000"), bad("looks like ms"));
        assert_eq!(hint(r#""2025-01-01T12:00:00Z""#), bad("looks like rfc3339"));
        assert_eq!(hint("null"), bad(""));
        assert_eq!(hint("1"), bad(""));
        assert_eq!(reject(fields, b"{}"), bad("no event time"));
        assert_eq!(reject(fields, b"[{\"ts\":1}]"), (Reason::NoFeatures, "no object".to_owned()));
        let no_time = Message { offset: 0, timestamp_ms: -1, payload: Some(b"{}") };
        let batch = decoder("{}").decode([no_time].into_iter());
        assert_eq!(batch.rejects[0].reason, Reason::BadTime);
    }

    #[test]
    fn the_names_of_a_million_unknown_keys_are_not_kept() {
        let mut decoder = decoder("{}");
        let before = format!("{:?}", decoder.decode([message(0, b"{}")].into_iter()).columns);
        let records: Vec<String> = (0..1000).map(|i| format!(r#"{{"k{i}":{i}}}"#)).collect();
        decoder.decode((0..).zip(&records).map(|(i, r)| message(i, r.as_bytes())));
        let Decoder::Json(json) = &decoder;
        assert!(json.found.scratch.capacity() + json.text.capacity() < 1024);
        let after = format!("{:?}", decoder.decode([message(0, b"{}")].into_iter()).columns);
        assert_eq!(before, after);
    }

    /// JSON texts that use the features' names often, written with escapes and white space.
    fn json() -> impl Strategy<Value = String> {
        let string = prop_oneof![
            Just(r#""x""#.to_owned()),
            Just(r#""c""#.to_owned()),
            Just(r#""features""#.to_owned()),
            Just(r#""prediction""#.to_owned()),
            Just(r#""\u0079""#.to_owned()),
            Just(r#""a\n\ud83d\ude00\"é""#.to_owned()),
            "[a-z ]{0,20}".prop_map(|text| format!("\"{text}\"")),
        ];
        let scalar = prop_oneof![
            any::<f64>().prop_filter("JSON", |f| f.is_finite()).prop_map(|f| format!("{f:?}")),
            any::<i64>().prop_map(|i| i.to_string()),
            (any::<u64>(), -330i32..300).prop_map(|(digits, e)| format!("{digits}e{e}")),
            (any::<u32>(), any::<u64>()).prop_map(|(whole, part)| format!("-{whole}.{part}")),
            Just("true".to_owned()),
            Just("null".to_owned()),
            string.clone(),
        ];
        let object = |value: BoxedStrategy<String>| {
            proptest::collection::vec((string.clone(), value), 0..6).prop_map(|entries| {
                let entries: Vec<_> = entries.iter().map(|(k, v)| format!("{k}: {v}")).collect();
                format!("{{{}}}", entries.join(" , "))
            })
        };
        let array = |value: BoxedStrategy<String>| {
            proptest::collection::vec(value, 0..4).prop_map(|list| format!("[{}]", list.join(",")))
        };
        let value = scalar.boxed();
        let value =
            prop_oneof![3 => value.clone(), 1 => object(value.clone()), 1 => array(value)].boxed();
        let value =
            prop_oneof![3 => value.clone(), 1 => object(value.clone()), 1 => array(value)].boxed();
        object(value)
    }

    /// The same record by serde_json: what each feature should be, or `None` for no JSON.
    fn by_serde_json(record: &[u8]) -> Option<BTreeMap<&'static str, String>> {
        let Value::Object(record) = serde_json::from_slice(record).ok()? else { return None };
        let scope = match record.get("features") {
            Some(Value::Object(features)) => features,
            Some(_) => return None,
            None => &record,
        };
        let text = |category: bool, value: Option<&Value>| match value {
            None => "missing".to_owned(),
            Some(Value::Null) => "null".to_owned(),
            Some(Value::Number(number)) if !category => number.as_f64().unwrap().to_string(),
            Some(Value::Bool(boolean)) if category => format!("\"{boolean}\""),
            Some(Value::String(text)) if category => format!("{text:?}"),
            Some(Value::Number(number)) if category => {
                let mut text = String::new();
                match (number.as_i64(), number.as_u64(), number.as_f64()) {
                    (Some(i), _, _) => text = i.to_string(),
                    (_, Some(u), _) => text = u.to_string(),
                    (_, _, Some(f)) => canonical_number(f, &mut text),
                    (None, None, None) => unreachable!("a number is one of these"),
                }
                format!("{text:?}")
            }
            Some(_) => "type".to_owned(),
        };
        let prediction = record.get("prediction").or_else(|| scope.get("p"));
        Some(BTreeMap::from([
            ("x", text(false, scope.get("x"))),
            ("y", text(false, scope.get("y"))),
            ("c", text(true, scope.get("c"))),
            ("p", text(false, prediction)),
        ]))
    }

    /// Both read the record the same way, or both refuse it.
    fn agree(record: &[u8]) -> Result<(), TestCaseError> {
        // The second and the third time, keys are guessed.
        let batch = decoder("{}").decode((0..3).map(|i| message(i, record)));
        let shown = String::from_utf8_lossy(record);
        let parsed = serde_json::from_slice::<Value>(record);
        if let Some(reject) = batch.rejects.first().filter(|r| r.reason == Reason::Malformed) {
            prop_assert!(parsed.is_err(), "we refused {shown}: {reject:?}");
            prop_assert_eq!(batch.rejects.len(), 3, "{}", shown);
            return Ok(());
        }
        // The one difference that is meant: beyond every double is infinite, not an error.
        let too_large = |error: &serde_json::Error| error.to_string().contains("out of range");
        if parsed.as_ref().is_err_and(too_large) {
            return Ok(());
        }
        prop_assert!(parsed.is_ok(), "we took {shown}");
        match by_serde_json(record) {
            Some(expected) => {
                prop_assert_eq!(&batch.offsets, &[0, 1, 2], "{}", shown);
                for row in 0..3 {
                    let names = ["x", "y", "c", "p"].into_iter().zip(&batch.columns);
                    let ours = names.map(|(name, column)| (name, cell(column, row))).collect();
                    prop_assert_eq!(&expected, &ours, "{}", shown);
                }
            }
            None => prop_assert_eq!(batch.rejects[0].reason, Reason::NoFeatures, "{}", shown),
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn every_record_is_what_serde_json_makes_of_it(record in json()) {
            agree(record.as_bytes())?;
        }

        #[test]
        fn mutated_records_are_taken_or_refused_as_by_serde_json(
            record in json(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![
                3 => prop::sample::select(b"{}[]\",:\\0123456789.-+eEtfnu \t\n\x00\x1f\x7f".to_vec()),
                1 => any::<u8>(),
            ], 0..3u8), 1..4),
        ) {
            let mut record = record.into_bytes();
            for (at, byte, how) in changes {
                let at = at.index(record.len());
                match how {
                    0 => record[at] = byte,
                    1 => record.insert(at, byte),
                    _ => { record.remove(at); }
                }
                if record.is_empty() {
                    return Ok(());
                }
            }
            agree(&record)?;
        }

        #[test]
        fn no_bytes_make_it_panic(record in proptest::collection::vec(any::<u8>(), 0..200)) {
            let batch = decoder(r#"{"rows":"/a","feature_names":"/b"}"#).decode([message(0, &record)].into_iter());
            prop_assert!(batch.rejects.len() <= 1);
        }
    }
}
