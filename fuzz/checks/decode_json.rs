//! JSON records to columns, against a plain model on serde_json: same accept or reject, same columns.
//!
//! Input: three bytes that choose the configuration, then records with 0x1E between them.

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use driftd::decode::{
    Batch, Decoder, Fields, Format, JsonOptions, Message, Options, every_way_agrees,
};
use driftd::feature::{Absent, Column, Feature, Kind, Role};

use super::input::Input;
use super::json_model::{Expected, Model};
use super::json_value::Cell;

/// Noon of the first day of 2025.
const NOON: i64 = 1_735_732_800_000;
const MAX_RECORDS: usize = 32;

const FIELDS: [&str; 24] = [
    "{}",
    r#"{"feature_names":["y","unknown","x","c"]}"#,
    r#"{"feature_names":"/names","features":"/values"}"#,
    r#"{"features":"/request/0/in~1put","prediction":"/response/scores/1","event_time":{"pointer":"/meta/ts","unit":"s"}}"#,
    r#"{"rows":"/instances","feature_names":["x","y"],"event_time":{"pointer":"/ts","unit":"ms"}}"#,
    r#"{"rows":""}"#,
    r#"{"rows":"/instances","feature_names":"/names"}"#,
    r#"{"model":"/model","where":{"pointer":"/env","equals":3}}"#,
    r#"{"event_time":{"pointer":"/ts","unit":"rfc3339"}}"#,
    r#"{"event_time":{"pointer":"/ts","unit":"rfc3339","time_zone":"Europe/Paris"}}"#,
    r#"{"event_time":{"pointer":"/features/ts","unit":"us"}}"#,
    r#"{"event_time":{"pointer":"/ts","unit":"ns"}}"#,
    r#"{"features":""}"#,
    r#"{"features":"","feature_names":["x","c"]}"#,
    r#"{"prediction":"/features/p"}"#,
    r#"{"features":"/features","prediction":"/prediction/score","feature_names":"/features/names"}"#,
    r#"{"event_time":{"pointer":"/x","unit":"ms"},"prediction":"/x"}"#,
    r#"{"where":{"pointer":"/features/c","equals":true},"model":"/features/m"}"#,
    r#"{"rows":"/features","features":"/in","feature_names":["x","x"]}"#,
    r#"{"feature_names":"/feature_names"}"#,
    r#"{"prediction":"/prediction/0","feature_names":["x","y"]}"#,
    r#"{"features":"/a~1b/~01/0","rows":"/rows/0"}"#,
    r#"{"where":{"pointer":"/env","equals":"a\"b"},"event_time":{"pointer":"","unit":"ms"}}"#,
    r#"{"features":"/a/b/c","model":"/a/b/model","event_time":{"pointer":"/a/ts","unit":"ms"}}"#,
];

fn features(schema: u8) -> Vec<Feature> {
    let mut features = Vec::new();
    let mut feature = |name: &str, kind: Kind, boolean: bool| {
        let role = Role::Feature;
        features.push(Feature { name: name.to_owned(), role, kind, boolean });
    };
    match schema % 4 {
        0 => {
            feature("x", Kind::Numeric, false);
            feature("y", Kind::Numeric, false);
            feature("c", Kind::Categorical, false);
            feature("p", Kind::Numeric, false);
        }
        1 => {
            feature("x", Kind::Numeric, true);
            feature("c", Kind::Categorical, true);
            feature("prediction", Kind::Numeric, false);
            feature("m", Kind::Categorical, false);
        }
        2 => {
            feature("features", Kind::Numeric, false);
            feature("x", Kind::Categorical, false);
            feature("ts", Kind::Numeric, false);
            feature("prediction", Kind::Categorical, false);
        }
        _ => {
            for name in ["", "é", "a\"b", "back\\slash", "tab\t", "x"] {
                feature(name, Kind::Numeric, false);
            }
            for number in 0..20 {
                let kind = if number % 5 == 4 { Kind::Categorical } else { Kind::Numeric };
                feature(&format!("feature_{number:02}"), kind, false);
            }
            for length in [30, 31, 32, 33, 70] {
                feature(&"n".repeat(length), Kind::Numeric, false);
            }
        }
    }
    if schema & 4 == 0
        && let Some(last) = features.last_mut()
    {
        last.role = Role::Prediction;
    }
    features
}

/// Reads the records in every way that this CPU has, and decodes them together, three times over with
/// the same decoder, and each one alone.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let fields = FIELDS[usize::from(input.byte()) % FIELDS.len()];
    let features = features(input.byte());
    let flags = input.byte();
    let fields: Fields = serde_json::from_str(fields).expect("the table is right");
    let options = Options {
        json: JsonOptions { allow_nan: flags & 1 == 1 },
        max_record_bytes: if flags & 2 == 2 { 100 } else { 1 << 20 },
    };
    let model = Model { name: "fraud", fields: &fields, options: &options, features: &features };
    let records = input.rest().split(|&byte| byte == 0x1E).take(MAX_RECORDS);
    let messages: Vec<Message<'_>> = (0i64..)
        .zip(records)
        .map(|(i, record)| Message {
            offset: 7 * i + 1,
            timestamp_ms: if flags & 4 == 4 && i % 2 == 1 { -1 } else { NOON + i },
            payload: (flags & 8 == 0 || i > 0).then_some(record),
        })
        .collect();
    let payloads: Vec<&[u8]> = messages.iter().filter_map(|message| message.payload).collect();
    if let Err(difference) = every_way_agrees(&fields, &options, &features, &payloads) {
        panic!("{fields:?}, {options:?}: {difference}");
    }
    let expected: Option<Vec<Expected>> = messages.iter().map(|m| model.expect(m)).collect();
    let Some(expected) = expected else { return };
    let decoder = || Decoder::new(Format::Json, &fields, &options, "fraud", &features);
    let mut reused = decoder();
    for _ in 0..3 {
        let batch = reused.decode(messages.iter().copied());
        compare(&model, &messages, &expected, &batch);
    }
    for (message, expected) in messages.iter().zip(&expected) {
        let batch = decoder().decode([*message].into_iter());
        let (message, expected) = (std::slice::from_ref(message), std::slice::from_ref(expected));
        compare(&model, message, expected, &batch);
    }
}

/// Everything of the batch is what the model says of the messages, in their order.
fn compare(model: &Model<'_>, messages: &[Message<'_>], expected: &[Expected], batch: &Batch) {
    let text = |m: &Message<'_>| m.payload.map(|bytes| bytes.escape_ascii().to_string());
    let shown = || {
        let records: Vec<Option<String>> = messages.iter().map(text).collect();
        format!("{:?}, {:?}: {records:#?}\n{batch:?}", model.fields, model.options)
    };
    let rows: Vec<_> = messages
        .iter()
        .zip(expected)
        .flat_map(|(message, e)| e.rows.iter().map(move |row| (message, row)))
        .collect();
    let times: Vec<_> = rows
        .iter()
        .map(|(message, row)| (message.offset, message.timestamp_ms, row.event_ms))
        .collect();
    let got = batch.offsets.iter().zip(&batch.kafka_ms).zip(&batch.event_ms);
    let got: Vec<_> = got.map(|((offset, kafka), event)| (*offset, *kafka, *event)).collect();
    assert!(got == times, "rows: expected {times:?}, got {got:?}\n{}", shown());
    assert_eq!(batch.columns.len(), model.features.len());
    for (index, (column, feature)) in batch.columns.iter().zip(model.features).enumerate() {
        let cells: Vec<&Cell> = rows.iter().map(|(_, row)| &row.cells[index]).collect();
        let got = self::cells(column, feature.kind);
        let same = cells.len() == got.len() && cells.iter().zip(&got).all(|(a, b)| is_same(a, b));
        assert!(same, "`{}`: expected {cells:?}, got {got:?}\n{}", feature.name, shown());
    }
    let refused = messages
        .iter()
        .zip(expected)
        .flat_map(|(message, e)| e.rejects.iter().map(move |refused| (message.offset, refused)));
    let refused: Vec<_> = refused.collect();
    let same = refused.len() == batch.rejects.len()
        && refused.iter().zip(&batch.rejects).all(|((offset, refused), reject)| {
            let row = refused.row.map(|row| format!("row {row}"));
            reject.offset == *offset
                && refused.reasons.contains(&reject.reason)
                && row.is_none_or(|row| reject.hint.as_deref() == Some(row.as_str()))
        });
    assert!(same, "rejects: expected {refused:?}, got {:?}\n{}", batch.rejects, shown());
    let sum = |count: fn(&Expected) -> u64| expected.iter().map(count).sum::<u64>();
    let duplicates = sum(|e| e.duplicate.must.into())..=sum(|e| e.duplicate.may.into());
    let imprecise = sum(|e| e.imprecise.0)..=sum(|e| e.imprecise.1);
    assert_eq!(batch.other_models, sum(|e| e.other_model.into()), "other models\n{}", shown());
    assert!(duplicates.contains(&batch.duplicate_keys), "duplicates: {duplicates:?}\n{}", shown());
    assert!(imprecise.contains(&batch.imprecise), "imprecise: {imprecise:?}\n{}", shown());
}

/// A column as cells.
fn cells(column: &Column, kind: Kind) -> Vec<Cell> {
    let array = column.array.as_ref();
    let mut absent = column.absent.iter().peekable();
    let cells = (0..array.len())
        .map(|row| {
            let why = absent.next_if(|(at, _)| *at as usize == row).map(|(_, why)| why);
            assert!(why.is_none() || array.is_null(row), "an absent row that is not null");
            match (why, kind) {
                (Some(Absent::Missing), _) => Cell::Missing,
                (Some(Absent::TypeError), _) => Cell::TypeError,
                (None, _) if array.is_null(row) => Cell::Null,
                (None, Kind::Numeric) => {
                    Cell::Number(array.as_primitive::<Float64Type>().value(row))
                }
                (None, Kind::Categorical) => {
                    Cell::Text(array.as_string::<i32>().value(row).to_owned())
                }
            }
        })
        .collect();
    assert!(absent.next().is_none(), "absent rows beyond the column or out of order");
    cells
}

/// Numbers are the same by their bits, and every NaN is one.
fn is_same(a: &Cell, b: &Cell) -> bool {
    match (a, b) {
        (Cell::Number(a), Cell::Number(b)) => {
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
        }
        (a, b) => a == b,
    }
}
