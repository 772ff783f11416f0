//! CPU time of this process and of one of its threads.

use std::fs;

/// All threads, those that have ended too.
#[expect(unsafe_code, reason = "the clock is a C call")]
pub(crate) fn process_seconds() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec for the whole call, which only writes to it.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    assert_eq!(done, 0, "every Linux has this clock");
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// The running threads of this name together, those numbered behind it too.
pub(crate) fn thread_seconds(name: &str) -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux has it");
    let seconds = tasks.flatten().filter_map(|task| {
        let named = fs::read_to_string(task.path().join("comm")).ok()?;
        let number = named.trim().strip_prefix(name)?;
        if !number.chars().all(|c| c == '-' || c.is_ascii_digit()) {
            return None;
        }
        let spent = fs::read_to_string(task.path().join("schedstat")).ok()?;
        spent.split(' ').next()?.parse::<f64>().ok()
    });
    seconds.sum::<f64>() * 1e-9
}
