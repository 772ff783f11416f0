//! Numbers into cells, against counting one by one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::count_numeric::check(data));
