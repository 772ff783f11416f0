//! A configuration file of any bytes: faults, or a configuration that can be shown; never a panic.

use std::path::Path;

use driftd::config::{parse, to_yaml};

const SECRET: &str = "the secret of the test";

/// Reads the input as a file, with some variables in the environment.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Only what comes from elsewhere is a secret; a file that spells it out may be quoted.
    if text.contains(SECRET) {
        return;
    }
    let variable = |name: &str| match name {
        "EMPTY" => Some(String::new()),
        "BROKERS" => Some("a:9092,b:9092".to_owned()),
        "TOKEN" => Some(SECRET.to_owned()),
        "YAML" => Some("{a: [b, *c]}\n- d: \"e".to_owned()),
        _ => None,
    };
    match parse(text, &variable) {
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                let said = fault.shown(Path::new("driftd.yaml")).to_string();
                assert!(!said.contains(SECRET), "{said}");
            }
        }
        Ok(loaded) => {
            let shown = loaded.shown();
            let yaml = to_yaml(&shown);
            if text.contains("TOKEN") {
                return assert!(!yaml.contains(SECRET), "{yaml}");
            }
            // What is shown is a configuration that shows the same; only secrets are not in it.
            if yaml.contains("***") {
                return;
            }
            let again = parse(&yaml, &|_| None).unwrap_or_else(|faults| {
                panic!("{faults:?}\n{yaml}");
            });
            assert_eq!(again.shown(), shown, "{yaml}");
        }
    }
}
