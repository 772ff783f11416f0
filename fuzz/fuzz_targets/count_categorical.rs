//! Values into categories, against counting one by one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::count_categorical::check(data));
