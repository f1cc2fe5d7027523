//! What a contained program and everything it started use, read from `/proc`.

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

/// Clock ticks per second in `/proc`: fixed in the kernel's interface on every
/// processor that this runs on.
const TICKS_PER_SECOND: u64 = 100;
/// Most processes that one look takes in.
const PROCESSES_MAX: usize = 1 << 16;
/// Longest file of `/proc` that is read.
const FILE_BYTES_MAX: u64 = 8 << 10;

/// One process, as `/proc/PID/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    pub(super) parent: u32,
    /// Dead, and only waiting for its parent to notice.
    pub(super) zombie: bool,
    /// Processor time of it and of the children it has waited for, in ticks.
    pub(super) ticks: u64,
    pub(super) threads: u64,
}

/// All processes together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Total {
    /// Milliseconds of processor time.
    pub(super) cpu_ms: u64,
    /// Resident memory that no file backs.
    pub(super) memory_bytes: u64,
    /// Processes and threads.
    pub(super) tasks: u64,
}

/// Reads a line of `/proc/PID/stat`. The name of the program stands in brackets
/// and may hold anything, brackets included.
pub(super) fn parse_stat(text: &str) -> Option<Stat> {
    let (pid, rest) = text.split_once(' ')?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Field 3, the state, is the first of `fields`.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let times = (14..=17).map(number).collect::<Option<Vec<u64>>>()?;
    Some(Stat {
        pid: pid.parse().ok()?,
        parent: u32::try_from(number(4)?).ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        ticks: times.iter().sum(),
        threads: number(20)?,
    })
}

/// Resident memory without files, from `/proc/PID/status`.
fn parse_memory(status: &str) -> u64 {
    status
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix("RssAnon:").or_else(|| line.strip_prefix("RssShmem:"))?;
            rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .fold(0, |sum, kib| sum.saturating_add(kib.saturating_mul(1024)))
}

/// The same from `/proc/PID/smaps_rollup`, where memory that several processes
/// share is divided among them.
fn parse_share(rollup: &str) -> Option<u64> {
    let mut found = None;
    for line in rollup.lines() {
        let rest = line.strip_prefix("Pss_Anon:").or_else(|| line.strip_prefix("Pss_Shmem:"));
        if let Some(kib) = rest.and_then(|rest| rest.trim().strip_suffix("kB")) {
            let kib = kib.trim().parse::<u64>().ok()?;
            found = Some(found.unwrap_or(0_u64).saturating_add(kib.saturating_mul(1024)));
        }
    }
    found
}

fn read_at(proc: BorrowedFd<'_>, path: &str) -> Result<String, Errno> {
    let file = rustix::fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    File::from(file)
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Bytes that a process and its children that have ended have read.
pub(super) fn read_bytes(proc: BorrowedFd<'_>, pid: u32) -> Result<u64, Errno> {
    let io = read_at(proc, &format!("{pid}/io"))?;
    io.lines().find_map(|line| line.strip_prefix("rchar:")?.trim().parse().ok()).ok_or(Errno::NOENT)
}

/// The processes that a `/proc` shows.
pub(super) fn stats(proc: BorrowedFd<'_>) -> Result<Vec<Stat>, Errno> {
    let mut stats = Vec::new();
    for entry in Dir::read_from(proc)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if stats.len() >= PROCESSES_MAX || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // A process that died meanwhile is not one.
        if let Some(stat) =
            read_at(proc, &format!("{name}/stat")).ok().and_then(|text| parse_stat(&text))
        {
            stats.push(stat);
        }
    }
    Ok(stats)
}

/// Those that descend from `root`, itself excluded.
pub(super) fn descendants(stats: &[Stat], root: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for stat in stats {
        children.entry(stat.parent).or_default().push(stat.pid);
    }
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if *child != root && found.insert(*child) {
                open.push(*child);
            }
        }
    }
    found
}

/// What all processes of a `/proc` use; only those that descend from `root` if
/// one is given. Memory is counted once per process that maps it, which is cheap
/// and never too little.
pub(super) fn total(proc: BorrowedFd<'_>, root: Option<u32>) -> Result<Total, Errno> {
    let mut total = Total::default();
    for stat in chosen(proc, root)? {
        let status = read_at(proc, &format!("{}/status", stat.pid)).unwrap_or_default();
        total.cpu_ms =
            total.cpu_ms.saturating_add(stat.ticks.saturating_mul(1_000 / TICKS_PER_SECOND));
        total.memory_bytes = total.memory_bytes.saturating_add(parse_memory(&status));
        total.tasks = total.tasks.saturating_add(stat.threads);
    }
    Ok(total)
}

/// Their memory exactly, which takes the kernel longer: for deciding whether a
/// bound is really passed. Processes that forked share what they did not change.
pub(super) fn exact_memory(proc: BorrowedFd<'_>, root: Option<u32>) -> Result<u64, Errno> {
    let mut sum = 0_u64;
    for stat in chosen(proc, root)? {
        let share = read_at(proc, &format!("{}/smaps_rollup", stat.pid))
            .ok()
            .and_then(|rollup| parse_share(&rollup));
        // Where the kernel does not tell, the cheap count stands.
        let bytes = match share {
            Some(bytes) => bytes,
            None => {
                parse_memory(&read_at(proc, &format!("{}/status", stat.pid)).unwrap_or_default())
            }
        };
        sum = sum.saturating_add(bytes);
    }
    Ok(sum)
}

fn chosen(proc: BorrowedFd<'_>, root: Option<u32>) -> Result<Vec<Stat>, Errno> {
    let mut stats = stats(proc)?;
    if let Some(root) = root {
        let below = descendants(&stats, root);
        stats.retain(|stat| below.contains(&stat.pid));
    }
    Ok(stats)
}

/// Whether a process of a `/proc` is there and not dead.
pub(super) fn is_alive(proc: BorrowedFd<'_>, pid: u32) -> bool {
    read_at(proc, &format!("{pid}/stat"))
        .ok()
        .and_then(|text| parse_stat(&text))
        .is_some_and(|stat| !stat.zombie)
}

/// The processes that descend from this one.
pub(super) fn descendants_of_self() -> Vec<Pid> {
    let found = rustix::fs::open("/proc", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|proc| stats(proc.as_fd()))
        .map(|stats| descendants(&stats, std::process::id()))
        .unwrap_or_default();
    found.into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).collect()
}

/// Processes and threads of a user.
pub(super) fn tasks_of_user(uid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(proc) = rustix::fs::open("/proc", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    else {
        return 0;
    };
    stats(proc.as_fd())
        .unwrap_or_default()
        .iter()
        .filter(|stat| {
            std::fs::metadata(format!("/proc/{}", stat.pid)).is_ok_and(|meta| meta.uid() == uid)
        })
        .fold(0, |sum, stat| sum.saturating_add(stat.threads))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pid: u32, parent: u32, name: &str) -> String {
        format!("{pid} ({name}) S {parent} 1 1 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 3 0 777 1 2 3")
    }

    #[test]
    fn a_hostile_program_name_does_not_shift_the_fields() {
        let stat = parse_stat(&line(42, 7, "a) R 1 (b c")).unwrap();
        assert_eq!(stat, Stat { pid: 42, parent: 7, zombie: false, ticks: 100, threads: 3 });
        assert_eq!(parse_stat("42 (cut"), None);
    }

    #[test]
    fn memory_is_what_no_file_backs() {
        let status =
            "Name:\tx\nVmRSS:\t 999 kB\nRssAnon:\t 10 kB\nRssFile:\t 5 kB\nRssShmem:\t 2 kB\n";
        assert_eq!(parse_memory(status), 12 << 10);
        let rollup = "Rss: 99 kB\nPss_Anon: 10 kB\nPss_File: 5 kB\nPss_Shmem:  2 kB\n";
        assert_eq!(parse_share(rollup), Some(12 << 10));
        assert_eq!(parse_share("Rss: 99 kB\n"), None);
    }

    #[test]
    fn descendants_follow_the_whole_tree_and_survive_a_circle() {
        let stats: Vec<Stat> = [(2, 1), (3, 2), (4, 3), (9, 8), (8, 9)]
            .map(|(pid, parent)| parse_stat(&line(pid, parent, "x")).unwrap())
            .into();
        assert_eq!(descendants(&stats, 2), BTreeSet::from([3, 4]));
        assert_eq!(descendants(&stats, 9), BTreeSet::from([8]));
    }

    #[test]
    fn this_process_is_found() {
        let proc = rustix::fs::open("/proc", OFlags::RDONLY, Mode::empty()).unwrap();
        let own = std::process::id();
        assert!(stats(proc.as_fd()).unwrap().iter().any(|stat| stat.pid == own));
    }
}
