//! Everything binary that is read back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::codec::check(data));
