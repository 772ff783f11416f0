//! Damaged files of the state directory.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::store::check(data));
