//! Categories that are numbers: one by its value in the training data's type, however a producer writes it.

use arrow::array::Float32Array;

use super::*;

/// The verdict on a stream whose rates are written by `spell`, against a reference that holds them as singles.
fn verdict_of(spell: impl Fn(usize, i64) -> &'static str) -> Value {
    let world = World::new();
    let rate = |random: &mut Random| match random.next() {
        x if x < 0.5 => 0,
        x if x < 0.8 => 1,
        _ => 2,
    };
    let mut random = Random(3);
    let rates: Float32Array =
        (0..20_000).map(|_| Some([0.1, 0.25, 1.0][rate(&mut random)])).collect();
    write_columns(&world.path("reference.parquet"), vec![("rate", Arc::new(rates))]);
    let mut config = world.config("k:9092");
    config["models"][0]["features"] = json!({"rate": {"kind": "categorical"}});
    let config = world.write_config("driftd.yaml", &config);
    let line = |i: i64| {
        let (at_ms, rate) = (START + i * MINUTE / RATE, spell(rate(&mut random), i));
        format!("{{\"ts\": {at_ms}, \"rate\": {rate}}}")
    };
    let lines: Vec<String> = (0..40 * RATE).map(line).collect();
    let records = world.write_lines("records.ndjson", &lines);
    let (told, _) = replayed(&[&records, "-c", &config]);
    assert_eq!(told["records"], 40 * RATE, "{told}");
    told["features"][0]["verdict"].clone()
}

#[test]
fn a_number_is_the_category_that_the_training_column_would_store_for_it() {
    const SPELLED: [[&str; 3]; 3] = [
        ["0.1", "0.10000000149011612", "\"0.10\""],
        ["0.25", "2.5e-1", "\"0.250\""],
        ["1", "1.0", "\"1.0\""],
    ];
    let by_turns = |i: i64| usize::try_from(i % 3).unwrap();
    assert_eq!(verdict_of(|rate, i| SPELLED[rate][by_turns(i)]), "stable");
    // A category that training never saw, in half of the records.
    assert_eq!(verdict_of(|rate, _| ["0.11", "0.25", "1"][rate]), "fault");
}
