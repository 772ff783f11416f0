//! Everything stored as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::stored::check(data));
