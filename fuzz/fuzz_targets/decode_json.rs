//! JSON records to columns, against a plain model on serde_json.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::decode_json::check(data));
