//! Limits that a worker sets on itself before it opens anything hostile.

use std::fs;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fetch::columns::THREADS_MAX;
use crate::fetch::container::Container;
use crate::setting::ByteSize;

/// From here on: so much address space and processor time, no core file, no outliving `parent`; and where a
/// container leaves less, no more data than that.
pub(super) fn apply(
    memory: ByteSize,
    room: Option<Room>,
    time: Duration,
    parent: u32,
) -> io::Result<()> {
    die_with_parent(parent)?;
    set(libc::RLIMIT_CORE, 0)?;
    set(libc::RLIMIT_AS, memory.0)?;
    if let Some(room) = room {
        set(libc::RLIMIT_DATA, room.most.0)?;
    }
    // As long on every thread, and a second more: then it is the parent's clock that ends a worker
    // which is merely slow.
    let threads = THREADS_MAX as u64 + 1;
    set(libc::RLIMIT_CPU, time.as_secs().saturating_mul(threads).saturating_add(1))
}

/// From here on: so many bytes of data more than now, no core file, no outliving `parent`.
///
/// # Errors
/// When the system refuses a limit, or `parent` is gone.
pub fn confine(parent: u32, room: u64) -> io::Result<()> {
    die_with_parent(parent)?;
    set(libc::RLIMIT_CORE, 0)?;
    set(libc::RLIMIT_DATA, data_bytes().saturating_add(room))
}

/// What a container leaves for a reader beside the daemon: its end must be an error that names the limit, not
/// the kernel's kill, which may take the whole container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Room {
    /// The container's limit.
    pub(super) limit: ByteSize,
    /// Bytes of data that the reader may have.
    pub(super) most: ByteSize,
}

/// A reader of a small baseline needs that much; with less, nothing could be said of it.
const LEAST: u64 = 32 << 20;

impl Room {
    /// All but an eighth of what is left, in whole MiB: the daemon goes on meanwhile.
    pub(super) fn in_container(container: Container) -> Self {
        let left = container.left();
        let most = ((left - left / 8) >> 20 << 20).max(LEAST);
        Self { limit: ByteSize(container.limit), most: ByteSize(most) }
    }
}

/// What this process has mapped for data; nothing where the system does not tell.
fn data_bytes() -> u64 {
    status_bytes("VmData:")
}

/// The most memory that this process ever had; nothing where the system does not tell.
pub(super) fn peak_bytes() -> u64 {
    status_bytes("VmHWM:")
}

fn status_bytes(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

#[cfg(target_os = "linux")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_os = "linux"))]
type Resource = libc::c_int;

#[expect(unsafe_code, reason = "std has no setrlimit")]
fn set(resource: Resource, value: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call, which only writes to it.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // What the environment allows at most stays; only root could raise it.
    limit.rlim_cur = limit.rlim_max.min(value);
    limit.rlim_max = limit.rlim_cur;
    // SAFETY: `limit` is a valid rlimit that outlives the call, which only reads it.
    if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "std has no prctl")]
fn die_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes one integer and touches no memory of ours.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The parent may have died before the call; then nobody would send the signal.
    if std::os::unix::process::parent_id() == parent {
        Ok(())
    } else {
        Err(io::Error::other("the process that asked is gone"))
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: u32) -> io::Result<()> {
    Ok(())
}
