//! Which CPUs a process may use.

use std::fs;
use std::mem;

/// Lets every thread of a process run on these CPUs only, and what they start from then on.
#[expect(unsafe_code, reason = "the C library has no safe way to say so")]
pub(crate) fn pin(process: u32, cpus: &[usize]) {
    // SAFETY: a set of CPUs is plain bits, and all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &cpu in cpus {
        // SAFETY: `set` is valid, and the numbers are those of CPUs that there are.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    for task in tasks.flatten() {
        let Some(task) = task.file_name().to_str().and_then(|id| id.parse().ok()) else { continue };
        // SAFETY: `set` lives for the call, which only reads it. A thread that has just ended fails,
        // and needs no CPU.
        unsafe { libc::sched_setaffinity(task, mem::size_of_val(&set), &raw const set) };
    }
}

/// How many CPUs there are.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
