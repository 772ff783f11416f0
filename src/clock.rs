//! The wall clock, read in one place; everything else takes `now` as an argument.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "the clock is read here and nowhere else")]
pub fn now_ms() -> i64 {
    since_epoch_ms(SystemTime::now())
}

/// A file's time as milliseconds since the epoch.
pub fn since_epoch_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
