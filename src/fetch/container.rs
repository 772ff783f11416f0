//! The memory limit of whatever holds this process: a container, a service, or nothing.

use std::fs;
use std::path::Path;

/// The group of processes around this one that leaves least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container {
    /// Bytes that all in it may take together.
    pub limit: u64,
    /// What they take, without the files that the kernel only keeps because there is room.
    pub taken: u64,
}

/// How a version of cgroups names things.
struct Names {
    limit: &'static str,
    taken: &'static str,
    files: [&'static str; 2],
}

const V2: Names =
    Names { limit: "memory.max", taken: "memory.current", files: ["inactive_file", "active_file"] };
const V1: Names = Names {
    limit: "memory.limit_in_bytes",
    taken: "memory.usage_in_bytes",
    files: ["total_inactive_file", "total_active_file"],
};
/// The first version writes a number near 2^63 where there is no limit.
const UNLIMITED: u64 = 1 << 60;

impl Container {
    /// As it is now; `None` without a limit, or where the system does not tell.
    pub fn around() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find(Path::new("/sys/fs/cgroup"), &groups)
    }

    /// Bytes that are left.
    pub fn left(self) -> u64 {
        self.limit.saturating_sub(self.taken)
    }

    /// In every group that holds the one of `groups`, below `root`: `/proc/self/cgroup` names it as it is seen
    /// from outside, which within a container may not be there.
    fn find(root: &Path, groups: &str) -> Option<Self> {
        let controlled = groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|controller| controller == "memory").then_some(path)
        });
        let unified = groups.lines().find_map(|line| line.strip_prefix("0::"));
        let v1 = root.join("memory");
        [(root, unified, V2), (&v1, controlled, V1)]
            .into_iter()
            .flat_map(|(base, path, names)| {
                let path = base.join(path.unwrap_or_default().trim_start_matches('/'));
                let holding = path.ancestors().take_while(|folder| folder.starts_with(base));
                holding.filter_map(|folder| Self::read(folder, &names)).collect::<Vec<_>>()
            })
            .min_by_key(|container| container.left())
    }

    fn read(folder: &Path, names: &Names) -> Option<Self> {
        let number =
            |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        let limit = number(names.limit).filter(|limit| *limit < UNLIMITED)?;
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let files = stat.lines().filter_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            names.files.contains(&name).then(|| bytes.parse::<u64>().ok())?
        });
        let taken = number(names.taken).unwrap_or(0).saturating_sub(files.sum());
        Some(Self { limit, taken })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(folder: &Path, names: &Names, limit: &str, taken: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(names.limit), format!("{limit}\n")).unwrap();
        fs::write(folder.join(names.taken), format!("{taken}\n")).unwrap();
        let stat = format!("anon 7\n{} 100\n{} 20\nfile_x 9\n", names.files[0], names.files[1]);
        fs::write(folder.join("memory.stat"), stat).unwrap();
    }

    #[test]
    fn the_limit_of_either_version_is_found_from_inside_and_from_outside() {
        for (names, below, line) in
            [(V2, "", "0::/a/b.service\n"), (V1, "memory", "3:cpu,memory:/a/b.service\n0::/\n")]
        {
            let root = tempfile::tempdir().unwrap();
            let base = root.path().join(below);
            assert_eq!(Container::find(root.path(), line), None);
            // Within a container its own group is the root.
            group(&base, &names, "1000", "520");
            let own = Container { limit: 1000, taken: 400 };
            assert_eq!(Container::find(root.path(), line), Some(own));
            assert_eq!(Container::find(root.path(), ""), Some(own));
            // From outside the tightest counts, whichever it is.
            group(&base.join("a/b.service"), &names, "max", "320");
            assert_eq!(Container::find(root.path(), line), Some(own));
            group(&base.join("a"), &names, "700", "320");
            let tightest = Container { limit: 700, taken: 200 };
            assert_eq!(Container::find(root.path(), line), Some(tightest));
            assert_eq!(tightest.left(), 500);
            group(&base.join("a"), &names, "9223372036854771712", "320");
            assert_eq!(Container::find(root.path(), line), Some(own));
        }
    }
}
