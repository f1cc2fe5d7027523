//! What there is to work with: processors, and memory of the machine or of the container
//! around this process, whichever ends first.

use std::num::NonZeroUsize;
use std::path::Path;

/// Where the kernel shows control groups of version 2.
const GROUPS: &str = "/sys/fs/cgroup";

/// Processors and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) memory_mb: u64,
}

impl Machine {
    /// Those of this process.
    pub(crate) fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let own = bounds().into_iter().map(|bound| bound.max_mb).min();
        let memory_mb = own.into_iter().chain(memory("MemTotal:")).min().unwrap_or_default();
        Self { cores, memory_mb }
    }
}

/// Memory that is free for another program, in MiB; `None`: nobody knows.
pub(crate) fn free_mb() -> Option<u64> {
    let own = bounds().into_iter().map(|bound| bound.free_mb).min();
    own.into_iter().chain(memory("MemAvailable:")).min()
}

/// A line of the kernel's figures, in MiB.
fn memory(field: &str) -> Option<u64> {
    figure(&std::fs::read_to_string("/proc/meminfo").ok()?, field)
}

fn figure(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1_024)
}

/// A limit that a control group sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    max_mb: u64,
    free_mb: u64,
}

/// The limits that hold for this process: of its own group and of those around it.
fn bounds() -> Vec<Bound> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    bounds_below(Path::new(GROUPS), Path::new(own))
}

fn bounds_below(root: &Path, own: &Path) -> Vec<Bound> {
    let read = |folder: &Path, name| std::fs::read_to_string(folder.join(name)).ok();
    let bound_of = |group: &Path| {
        let folder = root.join(group);
        let (max, used) = (read(&folder, "memory.max")?, read(&folder, "memory.current")?);
        bound(&max, &used, &read(&folder, "memory.stat").unwrap_or_default())
    };
    own.ancestors().filter_map(bound_of).collect()
}

/// `None`: the group sets no limit. What was read from files and is not in use counts as
/// free: the kernel gives it up first.
fn bound(max: &str, used: &str, stat: &str) -> Option<Bound> {
    let (max, used): (u64, u64) = (max.trim().parse().ok()?, used.trim().parse().ok()?);
    let spare = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let spare: u64 = spare.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or_default();
    let free = max.saturating_sub(used.saturating_sub(spare));
    Some(Bound { max_mb: max >> 20, free_mb: free >> 20 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        let text = "MemTotal:       24576000 kB\nMemAvailable:   2048000 kB\n";
        assert_eq!(figure(text, "MemAvailable:"), Some(2_000));
        assert_eq!(figure(text, "MemNothing:"), None);
        assert_eq!(figure("MemAvailable: much kB", "MemAvailable:"), None);
    }

    #[test]
    fn a_group_bounds_what_it_holds() {
        let check = |max, used, stat, expect: Option<(u64, u64)>| {
            let expect = expect.map(|(max_mb, free_mb)| Bound { max_mb, free_mb });
            assert_eq!(bound(max, used, stat), expect, "{max} {used} {stat}");
        };
        check("2147483648\n", "1073741824\n", "", Some((2_048, 1_024)));
        let stat = "anon 5\ninactive_file 536870912\nactive_file 9\n";
        check("2147483648", "1073741824", stat, Some((2_048, 1_536)));
        check("1048576", "9048576", "inactive_file x", Some((1, 0)));
        check("max", "1073741824", "", None);
        check("much", "1", "", None);
    }

    #[test]
    fn the_groups_around_a_process_bound_it_too() {
        let root = tempfile::tempdir().unwrap();
        let own = Path::new("system.slice/alma.service");
        std::fs::create_dir_all(root.path().join(own)).unwrap();
        let put = |group: &str, max: &str| {
            let folder = root.path().join(group);
            std::fs::write(folder.join("memory.max"), max).unwrap();
            std::fs::write(folder.join("memory.current"), "1048576").unwrap();
        };
        put("system.slice/alma.service", "max");
        put("system.slice", "4194304");
        let found = bounds_below(root.path(), own);
        assert_eq!(found, [Bound { max_mb: 4, free_mb: 3 }]);
        assert!(bounds_below(root.path(), Path::new("gone")).is_empty());
    }
}
