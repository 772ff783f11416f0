//! What another tool wrote, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::import::check(data));
