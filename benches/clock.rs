//! CPU time of this thread, for benches that compare two ways in one run.

/// The fastest of `runs` alternating runs of each, in seconds of this thread's CPU time.
pub(crate) fn fastest(
    runs: usize,
    mut first: impl FnMut(),
    mut second: impl FnMut(),
) -> (f64, f64) {
    let mut best = (f64::INFINITY, f64::INFINITY);
    for _ in 0..runs {
        best.0 = best.0.min(time(&mut first));
        best.1 = best.1.min(time(&mut second));
    }
    best
}

fn time(run: &mut impl FnMut()) -> f64 {
    let before = thread_seconds();
    run();
    thread_seconds() - before
}

#[expect(unsafe_code, reason = "the clock is a C call")]
fn thread_seconds() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec for the whole call, which only writes to it.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
    assert_eq!(done, 0, "every Linux has this clock");
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}
