//! Every input of the fuzz targets' corpus, as it is and a little changed, without a fuzzer.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/checks/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets reach them from another crate")]
mod checks;

/// Changes tried on one input.
const CHANGES: usize = 16;

/// The inputs of one target, in a fixed order.
fn inputs(target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Every input as it is, cut at and with a bit turned at places spread over it.
fn replay(target: &str, check: fn(&[u8])) {
    let inputs = inputs(target);
    assert!(inputs.len() >= 8, "{target} has only {} inputs", inputs.len());
    for path in inputs {
        let bytes = fs::read(&path).unwrap();
        let run = |bytes: &[u8], what: &str| {
            if catch_unwind(|| check(bytes)).is_err() {
                panic!("{}, {what}: {}", path.display(), bytes.escape_ascii());
            }
        };
        run(&bytes, "as it is");
        let step = bytes.len().div_ceil(CHANGES).max(1);
        for at in (0..bytes.len()).step_by(step) {
            run(&bytes[..at], &format!("cut at {at}"));
            let mut turned = bytes.clone();
            turned[at] ^= 1 << (at % 8);
            run(&turned, &format!("a bit turned at {at}"));
        }
    }
}

#[test]
fn records_of_the_corpus_decode_as_by_the_model() {
    replay("decode_json", checks::decode_json::check);
}

#[test]
fn numbers_of_the_corpus_are_counted_as_one_by_one() {
    replay("count_numeric", checks::count_numeric::check);
}

#[test]
fn categories_of_the_corpus_are_counted_as_one_by_one() {
    replay("count_categorical", checks::count_categorical::check);
}

#[test]
fn binary_records_of_the_corpus_come_back() {
    replay("codec", checks::codec::check);
}

#[test]
fn stored_json_of_the_corpus_comes_back() {
    replay("stored", checks::stored::check);
}

#[test]
fn damaged_files_of_the_corpus_lose_only_what_was_damaged() {
    replay("store", checks::store::check);
}

#[test]
fn configurations_of_the_corpus_are_faulted_or_shown() {
    replay("config", checks::config::check);
}

#[test]
fn settings_of_the_corpus_are_shown_as_they_are_read() {
    replay("settings", checks::settings::check);
}

#[test]
fn files_of_other_tools_of_the_corpus_become_configurations() {
    replay("import", checks::import::check);
}
