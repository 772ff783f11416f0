//! A suite of Great Expectations, imported and replayed on a stream that breaks one of its expectations.

use super::*;

fn import(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftd")).arg("import").args(args).output().unwrap()
}

#[test]
fn an_imported_suite_names_the_expectation_that_a_stream_breaks() {
    let world = World::new();
    let suite = json!({
        "name": "payments",
        "expectations": [
            {"type": "expect_column_values_to_be_between", "severity": "critical",
             "kwargs": {"column": "amount", "min_value": 0, "max_value": 70.5, "mostly": 0.9}},
            {"type": "expect_column_mean_to_be_between",
             "kwargs": {"column": "amount", "min_value": 40, "max_value": 100}},
            {"type": "expect_column_values_to_be_in_set",
             "kwargs": {"column": "country", "value_set": ["DE", "FR", "NL"]}},
        ],
    });
    let file = world.write_config("suite.json", &suite);
    let imported = import(&["gx", &file, "--strict"]);
    assert_eq!(imported.status.code(), Some(0), "{}", String::from_utf8_lossy(&imported.stderr));
    let mut policy = String::from_utf8(imported.stdout).unwrap();
    let model = world.config("k:9092");
    let drift_config = model["models"][0]["drift_config"].to_string();
    policy.push_str(&format!(
        "kafka: {}\nname: fraud\ntopic: {TOPIC}\npane: 1m\nlateness: 1m\nfields: {}\ndrift_config: {drift_config}\n",
        model["kafka"], model["models"][0]["fields"],
    ));
    let path = world.path("policy.yaml");
    fs::write(&path, policy).unwrap();
    let path = path.to_str().unwrap();
    let valid = Command::new(env!("CARGO_BIN_EXE_driftd"))
        .args(["validate", "--offline", "-c", path])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&valid.stderr);
    assert!(valid.status.success() && !said.contains("checks"), "{said}");

    let mut random = Random(7);
    let mut stream = rows(&mut random, 0, 25, 0.0);
    stream.extend(rows(&mut random, 25, 20, 2.0));
    let lines: Vec<String> = stream.iter().map(Row::json).collect();
    let records = world.write_lines("records.ndjson", &lines);
    let (told, _) = replayed(&[&records, "-c", path]);
    let events: Vec<&Value> = told["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["kind"] == "check")
        .collect();
    assert_eq!(events.len(), 1, "{events:#?}");
    let event = events[0];
    assert_eq!((&event["feature"], &event["told"]), (&json!("amount"), &json!(true)));
    let why = event["explanation"].as_str().unwrap();

    // The last window at the moment of the event has exactly so many outside.
    let end: i64 = {
        let time: jiff::Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        time.as_millisecond()
    };
    let window: Vec<&Row> =
        stream.iter().filter(|row| (end - 10 * MINUTE..end).contains(&row.at_ms)).collect();
    let outside = window.iter().filter(|row| !(0.0..=70.5).contains(&row.amount)).count();
    let share = 100.0 * outside as f64 / window.len() as f64;
    let n = window.len();
    let found: f64 = why
        .strip_prefix("violated: amount: ")
        .and_then(|rest| {
            rest.strip_suffix(&format!(" % of {n} values outside 0 to 70.5, at most 10 % expected"))
        })
        .unwrap_or_else(|| panic!("{why}"))
        .parse()
        .unwrap();
    assert!((found - share).abs() < 5e-3 && found > 10.0, "{why}: {share}");

    let text = replay(&[&records, "-c", path]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("WARNING  violated: amount: "), "{text}");
}

#[test]
fn what_can_not_be_imported_is_listed_and_fails_only_a_strict_import() {
    let world = World::new();
    let one = json!({"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}});
    let file = world.write_config("suite.json", &json!({"expectations": [one]}));
    for (args, code) in [(vec!["great-expectations", &file], 0), (vec!["gx", &file, "--strict"], 1)]
    {
        let output = import(&args);
        assert_eq!(output.status.code(), Some(code));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("not imported: expect_column_values_to_be_unique of id: "), "{said}");
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("checks: []\n"));
    }
    let no_json = world.write_lines("no.json", &["{\"expectations\": [NaN".to_owned()]);
    for file in [no_json.as_str(), "/does/not/exist.json"] {
        for tool in ["gx", "evidently"] {
            let output = import(&[tool, file]);
            assert_eq!(output.status.code(), Some(78), "{tool} {file}");
            assert!(output.stdout.is_empty() && !output.stderr.is_empty());
        }
    }
}
