//! What a disk, a file and a network do to programs: thousands of damaged files, full disks, bad receivers.

mod dice;
mod parquet;
mod state;
mod unreachable;
mod webhooks;

/// How many rounds: of the environment if it says so, else as many as an ordinary run has time for.
fn rounds(variable: &str, ordinary: usize) -> usize {
    std::env::var(variable).map_or(ordinary, |text| {
        text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not `{text}`"))
    })
}

/// A folder in memory where there is one: nothing here has to survive a crash of the machine.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}
