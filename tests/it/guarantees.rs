//! What docs/guarantees.md promises names its tests, and they are there.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// Names in backticks that read like a test's: three words or more. A variable is in capitals.
fn tests_named(line: &str) -> Vec<&str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let is_test = |name: &&str| {
        name.matches('_').count() >= 2
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    quoted.filter(is_test).collect()
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["src", "tests"].iter().for_each(|dir| sources(&root.join(dir), &mut files));
    let code: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let page = fs::read_to_string(root.join("docs/guarantees.md")).unwrap();
    let mut named = 0;
    for line in page.lines() {
        let is_promise = line.starts_with("| ") && !line.starts_with("|---");
        let last = line.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        let tests = if is_promise { tests_named(last) } else { Vec::new() };
        for test in &tests {
            assert!(code.contains(&format!("fn {test}(")), "no test `{test}`: {line}");
        }
        named += tests.len();
        let is_head = line.ends_with("| test |");
        assert!(!is_promise || is_head || !tests.is_empty(), "no test: {line}");
    }
    assert!(named > 40, "{named}");
}
