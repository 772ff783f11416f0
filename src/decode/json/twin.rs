//! Every way in which records can be read, side by side: each kind of CPU's kernels with keys
//! guessed, and the plain one. Tests and fuzzing ask whether all give the same.

use crate::feature::Feature;

use super::super::fields::Fields;
use super::super::simd::Level;
use super::super::{Batch, Message, Options};
use super::JsonDecoder;

/// Reads `records` twice in one batch, and once more in another, in every way that this CPU has;
/// tells the first difference from the plain way: no special instructions, every key looked up.
pub fn every_way_agrees(
    fields: &Fields,
    options: &Options,
    features: &[Feature],
    records: &[&[u8]],
) -> Result<(), String> {
    let batches = |level, guesses: bool| {
        let mut decoder = JsonDecoder::new(fields, options, "model", features);
        decoder.level = level;
        if !guesses {
            decoder.found.never_guess();
            decoder.found_in_row.never_guess();
        }
        let message = |payload| Message { offset: 0, timestamp_ms: NOON, payload: Some(payload) };
        let once = || records.iter().copied().map(message);
        [decoder.decode(once().chain(once())), decoder.decode(once())]
    };
    let plain = batches(Level::PLAIN, false);
    for level in Level::all() {
        let found = batches(level, true);
        if !found.iter().zip(&plain).all(|(found, plain)| are_same(found, plain)) {
            return Err(format!("{level:?}: {found:?}\ninstead of {plain:?}"));
        }
    }
    Ok(())
}

/// 2025-01-01T12:00:00Z.
const NOON: i64 = 1_735_732_800_000;

/// Whether two batches differ in nothing but how keys were found.
fn are_same(a: &Batch, b: &Batch) -> bool {
    let columns = |batch: &Batch| {
        let columns = batch.columns.iter();
        columns.map(|column| (column.array.to_data(), column.absent.clone())).collect::<Vec<_>>()
    };
    let rows = |batch: &Batch| {
        (batch.offsets.clone(), batch.kafka_ms.clone(), batch.event_ms.clone(), columns(batch))
    };
    let rest = |batch: &Batch| {
        (batch.rejects.clone(), batch.duplicate_keys, batch.other_models, batch.imprecise)
    };
    rows(a) == rows(b) && rest(a) == rest(b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Decoder, Format};
    use crate::feature::{Kind, Role};

    const LONG: &str = "a_name_of_more_than_thirty_two_bytes";
    const LONGER: &str = "a_name_of_more_than_sixty_four_bytes_that_no_two_windows_can_cover";
    const NAMES: [&str; 8] = ["x", "y", "amount_7d", "c", "country", LONG, LONGER, "p"];

    fn features() -> Vec<Feature> {
        let feature = |&name: &&str| Feature {
            name: name.to_owned(),
            role: if name == "p" { Role::Prediction } else { Role::Feature },
            kind: if name.starts_with('c') { Kind::Categorical } else { Kind::Numeric },
            boolean: false,
        };
        NAMES.iter().map(feature).collect()
    }

    /// Keys and values of a record, in the order in which most records of a batch have them.
    fn entries() -> impl Strategy<Value = Vec<(String, String)>> {
        let key = prop_oneof![
            20 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned),
            3 => "id|ts|unused|\\\\u0078|a[\"]b|features|prediction|é{0,20}",
        ];
        let value = prop_oneof![
            8 => "-?[0-9]{1,4}([.][0-9]{1,17})?",
            2 => "-?(0|[1-9][0-9]{0,22})([.][0-9]{0,22})?([eE][-+]?[0-9]{1,3})?",
            4 => "\"[ -!#-Z^-~éß]{0,40}\"",
            1 => "\"([a-z]|\\\\n|\\\\u00e9|\\\\ud83d\\\\ude00){0,8}\"",
            1 => "null|true|false|NaN|Infinity|[{]\"x\":1[}]|\\[1,2\\]|\\[\\]",
        ];
        prop::collection::vec((key, value), 0..9)
    }

    /// What is done to one record of a batch: nothing, most of the time.
    #[derive(Clone, Debug)]
    enum Change {
        None,
        LeaveOut(prop::sample::Index),
        Swap(prop::sample::Index, prop::sample::Index),
        Byte(prop::sample::Index, u8),
        Cut(prop::sample::Index),
    }

    fn change() -> impl Strategy<Value = Change> {
        let byte = prop::sample::select(b"{}[]\",:\\0123456789.-+eEtfnu \t\n\x00\x1f\x7f".to_vec());
        prop_oneof![
            4 => Just(Change::None),
            2 => any::<prop::sample::Index>().prop_map(Change::LeaveOut),
            1 => any::<(prop::sample::Index, prop::sample::Index)>()
                .prop_map(|(a, b)| Change::Swap(a, b)),
            4 => (any::<prop::sample::Index>(), byte).prop_map(|(at, byte)| Change::Byte(at, byte)),
            1 => any::<prop::sample::Index>().prop_map(Change::Cut),
        ]
    }

    fn write(
        mut entries: Vec<(String, String)>,
        change: &Change,
        [comma, colon]: &[String; 2],
        nested: bool,
    ) -> Vec<u8> {
        let n = entries.len();
        match change {
            Change::LeaveOut(at) if n > 0 => drop(entries.remove(at.index(n))),
            Change::Swap(a, b) if n > 0 => entries.swap(a.index(n), b.index(n)),
            _ => {}
        }
        let entries: Vec<_> =
            entries.iter().map(|(key, value)| format!("\"{key}\"{colon}{value}")).collect();
        let mut record = format!("{{{}}}", entries.join(comma));
        if nested {
            record = format!(
                "{{\"id\"{colon}7{comma}\"features\"{colon}{record}{comma}\"prediction\"{colon}0.5}}"
            );
        }
        let mut record = record.into_bytes();
        match change {
            Change::Byte(at, byte) => {
                let at = at.index(record.len());
                record[at] = *byte;
            }
            Change::Cut(at) => record.truncate(at.index(record.len())),
            Change::None | Change::LeaveOut(_) | Change::Swap(..) => {}
        }
        record
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn guessing_and_every_cpu_change_nothing(
            entries in entries(), changes in prop::collection::vec(change(), 1..8),
            space in prop::array::uniform2("[ \n\t]{0,2}"), nested in any::<bool>(),
            allow_nan in any::<bool>(),
        ) {
            let space = [format!("{},{}", space[0], space[1]), format!("{}:{}", space[1], space[0])];
            let records: Vec<_> =
                changes.iter().map(|change| write(entries.clone(), change, &space, nested)).collect();
            let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            let mut options = Options::default();
            options.json.allow_nan = allow_nan;
            let same = every_way_agrees(&Fields::default(), &options, &features(), &records);
            prop_assert!(same.is_ok(), "{}", same.unwrap_err());
            let rows = r#"{"rows":"/features","feature_names":["x","c"]}"#;
            let same =
                every_way_agrees(&serde_json::from_str(rows).unwrap(), &options, &features(), &records);
            prop_assert!(same.is_ok(), "{}", same.unwrap_err());
        }
    }

    fn decoder() -> Decoder {
        let options = Options::default();
        Decoder::new(Format::Json, &Fields::default(), &options, "model", &features())
    }

    /// How many keys of the last record were looked up, when the others came before it.
    fn looked_up(decoder: &mut Decoder, records: &[&str]) -> u64 {
        let mut last = 0;
        for record in records {
            let payload = Some(record.as_bytes());
            let message = Message { offset: 0, timestamp_ms: NOON, payload };
            let batch = decoder.decode([message].into_iter());
            assert!(batch.rejects.is_empty());
            last = batch.looked_up;
        }
        last
    }

    #[test]
    fn keys_are_looked_up_only_where_the_order_is_new() {
        let first = r#"{"id":"k","features":{"x":1,"y":2,"amount_7d":3,"c":"d","country":"e"},"prediction":1}"#;
        let mut decoder = decoder();
        assert_eq!(looked_up(&mut decoder, &[first]), 8);
        assert_eq!(looked_up(&mut decoder, &[first]), 0);
        // Other values, of other lengths and types.
        let others = r#"{"id":null,"features":{"x":-1.25,"y":[2],"amount_7d":null,"c":5,"country":"a long name of a country, with blanks"},"prediction":"1"}"#;
        assert_eq!(looked_up(&mut decoder, &[others]), 0);
        let left_out = r#"{"id":"k","features":{"x":1,"c":"d","country":"e"},"prediction":1}"#;
        assert_eq!(looked_up(&mut decoder, &[left_out, first]), 0);
        let swapped = r#"{"id":"k","features":{"y":2,"x":1,"amount_7d":3,"c":"d","country":"e"},"prediction":1}"#;
        assert_eq!(looked_up(&mut decoder, &[swapped]), 2);
        let spaced = r#"{"id": "k", "features": {"x": 1}}"#;
        // Up to the colon, the first key stands where it stood.
        assert_eq!(looked_up(&mut decoder, &[spaced]), 2);
    }

    #[test]
    fn a_brace_between_two_values_is_malformed_wherever_it_was_learned() {
        let records: [&[u8]; 3] =
            [br#"{"x":1,"y":2}"#, br#"{"y":1{"x":2}"#, br#"{"y":1{"x":2,"y":3}"#];
        let mut decoder = decoder();
        let message = |payload| Message { offset: 0, timestamp_ms: NOON, payload: Some(payload) };
        let batch = decoder.decode(records.into_iter().map(message));
        assert_eq!((batch.offsets.len(), batch.rejects.len()), (1, 2));
    }
}
