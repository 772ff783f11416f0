//! The process itself, from `/proc`: CPU with fractions, memory, files, threads, start.

use std::fs;

use crate::metrics::text::{Families, Kind};

/// Ticks a second in `/proc/self/stat`: the kernel's `USER_HZ`, which is part of its interface.
const TICKS: f64 = 100.0;

/// Adds what can be read; where there is no `/proc` nothing is added.
pub(super) fn render(out: &mut Families) {
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        let boot = fs::read_to_string("/proc/stat").ok();
        times(&stat, boot.as_deref(), out);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        memory(&status, out);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // The listing holds one descriptor itself.
        let open = entries.count().saturating_sub(1);
        gauge(out, "process_open_fds", "Open file descriptors.", open as f64);
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let max = limits.lines().find_map(|line| {
        line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok()
    });
    if let Some(max) = max {
        gauge(out, "process_max_fds", "Limit of open file descriptors.", max);
    }
}

fn times(stat: &str, boot: Option<&str>, out: &mut Families) {
    // The second field is the program's name in parentheses and may hold spaces: fields are
    // counted from behind it, where `state` is the third.
    let Some((_, rest)) = stat.rsplit_once(')') else { return };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |n: usize| fields.get(n - 3).and_then(|text| text.parse::<f64>().ok());
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        let name = "process_cpu_seconds_total";
        let help = "CPU time spent, user and system, in seconds.";
        out.set((name, Kind::Counter, help), &[], (user + system) / TICKS);
    }
    let boot = boot
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("btime ")))
        .and_then(|text| text.trim().parse::<f64>().ok());
    if let (Some(start), Some(boot)) = (field(22), boot) {
        let help = "When the process started, seconds since the epoch.";
        gauge(out, "process_start_time_seconds", help, boot + start / TICKS);
    }
}

fn memory(status: &str, out: &mut Families) {
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<f64>().ok()
    };
    let families = [
        ("VmRSS", "process_resident_memory_bytes", "Resident memory, in bytes.", 1024.0),
        ("VmSize", "process_virtual_memory_bytes", "Virtual memory, in bytes.", 1024.0),
        ("Threads", "process_threads", "Threads of the process.", 1.0),
    ];
    for (key, name, help, unit) in families {
        if let Some(value) = number(key) {
            gauge(out, name, help, value * unit);
        }
    }
}

fn gauge(out: &mut Families, name: &str, help: &str, value: f64) {
    out.set((name, Kind::Gauge, help), &[], value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_keeps_its_fraction_and_a_name_with_parentheses_is_no_trap() {
        let mut stat = "7 (a) b (c)) S".to_owned();
        for field in 4..=22 {
            stat.push_str(match field {
                14 => " 150",
                15 => " 25",
                22 => " 1000",
                _ => " 0",
            });
        }
        let mut out = Families::default();
        times(&stat, Some("cpu 1 2\nbtime 1700000000\n"), &mut out);
        let text = out.render();
        assert!(text.contains("\nprocess_cpu_seconds_total 1.75\n"), "{text}");
        assert!(text.contains("\nprocess_start_time_seconds 1700000010\n"), "{text}");
    }

    #[test]
    fn this_process_has_memory_files_and_threads() {
        let mut out = Families::default();
        render(&mut out);
        if cfg!(target_os = "linux") {
            assert_eq!(out.series(), 7, "{}", out.render());
        }
    }
}
