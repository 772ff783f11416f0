//! What another tool wrote, of any bytes: why it is nothing, or a part of a configuration without faults.
//!
//! Input: the file; it is read as that of each tool.

use driftd::cli::{Imported, Tool};
use driftd::config::parse;
use serde_json::Value;

/// The least that a model needs beside what is imported.
const BESIDE: &str = "kafka: {brokers: 'k:9092'}\ntopic: t\nreference_dataset: r\n";

pub fn check(data: &[u8]) {
    for tool in [Tool::GreatExpectations, Tool::Evidently] {
        match Imported::of(tool, data) {
            Err(why) => assert!(!why.is_empty()),
            Ok(imported) => holds(tool, &imported, data),
        }
    }
}

/// What is printed is a configuration that asks just that, is safe to print, and leaves nothing out unsaid.
fn holds(tool: Tool, imported: &Imported, data: &[u8]) {
    let remarks: Vec<String> = imported.remarks().collect();
    let yaml = imported.yaml("suite.json");
    let text = format!("{BESIDE}{yaml}");
    let loaded = parse(&text, &|_| None).unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"));
    assert_eq!(loaded.config.models[0].checks, imported.checks(), "{text}");
    for line in yaml.lines().chain(remarks.iter().map(String::as_str)) {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let again = Imported::of(tool, data).expect("it was read once");
    assert_eq!(again.yaml("suite.json"), yaml);
    if tool == Tool::GreatExpectations {
        let suite: Value =
            serde_json::from_slice(data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data))
                .expect("it was read once");
        let asked = suite["expectations"].as_array().map_or(0, Vec::len);
        assert!(asked <= imported.checks().len() + remarks.len(), "{remarks:#?}\n{yaml}");
    }
}
