//! Processes as the record knows them: a pid alone may have been given to
//! another process, so its start time is part of its name.

use charter::tool::Process;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    state: char,
    group: i32,
    start: u64,
}

/// Reads `/proc/PID/stat`. The name in parentheses may hold anything, so the
/// last parenthesis counts.
fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        group: fields.get(2)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/stat")).ok()?))
}

impl Stat {
    fn is_alive(self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Stands for what the system does not tell.
const UNKNOWN: &str = "?";

/// Where pids mean what they mean here: name of the machine, its boot and its space of
/// pids. Neither two containers of a machine nor two machines of one name have the same.
pub fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let pids = std::fs::read_link("/proc/self/ns/pid");
        let digits = |link: PathBuf| -> String {
            link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
        };
        format!(
            "{}/{}/{}",
            rustix::system::uname().nodename().to_string_lossy(),
            boot.as_deref().map_or(UNKNOWN, str::trim),
            pids.map_or(UNKNOWN.to_owned(), digits)
        )
    })
}

/// Whether the pid of a process can be looked up here.
fn is_here(process: &Process) -> bool {
    process.host == host() && !host().contains(UNKNOWN)
}

/// Whether a process still runs; `None`: it cannot be told from here. `one_machine`: it
/// is known to have run on this machine, so that another boot is the end of it.
pub fn alive(process: &Process, one_machine: bool) -> Option<bool> {
    if is_here(process) {
        let runs = |stat: Stat| stat.start == process.start && stat.is_alive();
        return Some(stat(process.pid).is_some_and(runs));
    }
    (one_machine && is_another_boot(&process.host, host())).then_some(false)
}

fn is_another_boot(theirs: &str, ours: &str) -> bool {
    let boot = |host: &str| {
        let mut parts = host.rsplit('/');
        let (_, boot, rest) = (parts.next()?, parts.next()?, parts.next()?);
        (!rest.is_empty() && boot != UNKNOWN).then(|| boot.to_owned())
    };
    matches!((boot(theirs), boot(ours)), (Some(theirs), Some(ours)) if theirs != ours)
}

/// When a process started, in clock ticks since boot. `None`: there is no such
/// process.
pub fn start_time(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start)
}

/// A process of this host by its pid.
pub fn of(pid: u32) -> Option<Process> {
    Some(Process { host: host().to_owned(), pid, start: start_time(pid)? })
}

/// The process that runs this code. Its start is 0 where `/proc` is missing,
/// which no other process can claim.
pub fn me() -> Process {
    let pid = std::process::id();
    of(pid).unwrap_or_else(|| Process { host: host().to_owned(), pid, start: 0 })
}

/// Makes sure that a program of this host is dead, with its process group.
/// Returns once that is so; `false`: it cannot be told from here, or it does
/// not die.
pub fn kill(program: &Process) -> bool {
    if !is_here(program) || start_time(std::process::id()).is_none() {
        return false;
    }
    let Some(pid) = i32::try_from(program.pid).ok().and_then(Pid::from_raw) else { return false };
    if pid == rustix::process::getpid() {
        return false;
    }
    // As the kernel tells it: in a container a group from outside has no number of its
    // own, and asking for it by a call would break.
    let own = stat(std::process::id()).map(|stat| stat.group);
    // Sixty looks, fifty milliseconds apart: a killed process dies at once
    // unless the kernel holds it.
    for _ in 0..60 {
        let leader = stat(program.pid).filter(|stat| stat.start == program.start);
        let recycled = leader.is_none() && stat(program.pid).is_some();
        let own_group = leader.is_some_and(|stat| Some(stat.group) == own);
        let leads = leader.is_none_or(|stat| stat.group == pid.as_raw_pid());
        // The number of a group is not given to a new process while the group
        // has members, so a group without its leader is still the program's.
        let group_lives = !recycled && leads && !own_group && living(pid.as_raw_pid()) > 0;
        if !leader.is_some_and(Stat::is_alive) && !group_lives {
            return true;
        }
        // Errors show in the next look: what is still there is tried again.
        if group_lives {
            let _ = kill_process_group(pid, Signal::KILL);
        } else {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// How many members of a process group are no zombies.
fn living(group: i32) -> usize {
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .filter(|stat| stat.group == group && stat.is_alive())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[test]
    fn a_name_with_parentheses_is_read() {
        let text = "7 (a) R 1) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(parse(text), Some(Stat { state: 'S', group: 7, start: 4242 }));
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn we_know_ourselves() {
        assert_eq!(of(std::process::id()), Some(me()));
        assert!(me().start > 0);
        assert!(!kill(&me()), "a process does not kill itself");
    }

    #[test]
    fn what_cannot_be_told_from_here_is_not_told() {
        let check = |host: &str, one_machine, told| {
            let process = Process { host: host.to_owned(), ..me() };
            assert_eq!(alive(&process, one_machine), told, "{host}");
        };
        let own = host();
        let [name, boot, pids] = *own.split('/').collect::<Vec<_>>() else { panic!("{own}") };
        check(own, false, Some(true));
        // Another container of this machine; another machine, or this one before its
        // last boot; a name of an older version.
        check(&format!("{name}/{boot}/1{pids}"), true, None);
        check(&format!("{name}/other/{pids}"), false, None);
        check(&format!("{name}/other/{pids}"), true, Some(false));
        check(&format!("{name}/?/{pids}"), true, None);
        check(name, true, None);
        assert_eq!(alive(&Process { start: 1, ..me() }, false), Some(false));
        let mut child = Command::new("true").spawn().unwrap();
        let zombie = of(child.id()).unwrap();
        while alive(&zombie, false) == Some(true) {
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait().unwrap();
    }

    #[test]
    fn a_program_dies_with_its_group() {
        let mut child =
            Command::new("sh").args(["-c", "sleep 600 & wait"]).process_group(0).spawn().unwrap();
        let program = of(child.id()).unwrap();
        let group = i32::try_from(program.pid).unwrap();
        while living(group) < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(kill(&program));
        assert_eq!(living(group), 0);
        child.wait().unwrap();
        assert!(kill(&program), "the dead stay dead");
    }

    #[test]
    fn a_recycled_pid_is_left_alone() {
        let mut child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let program = of(child.id()).unwrap();
        assert!(kill(&Process { start: program.start + 1, ..program.clone() }));
        assert!(child.try_wait().unwrap().is_none(), "another process was killed");
        assert!(!kill(&Process { host: "elsewhere".into(), ..program.clone() }));
        assert!(child.try_wait().unwrap().is_none());
        assert!(kill(&program));
        child.wait().unwrap();
    }
}
