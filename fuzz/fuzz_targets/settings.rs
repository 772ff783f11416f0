//! Single settings as people write them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::settings::check(data));
