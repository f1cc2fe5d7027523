//! The containment helper: this very program, started again by Alma to contain
//! itself and then start another program.
//!
//! It is a process of its own because a large process with threads cannot safely
//! change its namespaces between `fork` and `exec`. In the level *full* it forks
//! once more: the first process of the new pid namespace builds the root, gives
//! up every right, starts the program and reaps; when it dies, the kernel kills
//! everything in the namespace. Parent death signals chain Alma, helper and
//! first process, so that killing Alma kills all.

use super::profile::{self, Layer, Notice, Order, PacketError, Profile};
use super::root::{self, Built, Context, Refusal, USER_ID};
use super::sys::{self, Forked};
use super::usage;
use super::{filter, ruleset};
use charter::tool::SandboxLevel;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getppid,
    set_child_subreaper, set_dumpable_behavior, set_parent_process_death_signal, setrlimit, wait,
    waitpid,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::time::Duration;

/// The first argument of the helper.
pub const HELPER_ARGUMENT: &str = "sandbox-helper";

/// How often a helper without namespaces looks for orders.
const POLL: Duration = Duration::from_millis(20);
/// Most rounds of killing what keeps forking.
const KILL_ROUNDS_MAX: u32 = 2_000;

/// Becomes the containment helper if this process was started as one, and then
/// never returns. Call it first in `main`, before any thread exists. Started by
/// anybody but Alma, the helper refuses: it does nothing without a profile from
/// its parent on the socket that is its standard input.
pub fn run_if_helper() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == HELPER_ARGUMENT) && args.next().is_none() {
        exit(helper());
    }
}

fn helper() -> i32 {
    if let Err(errno) = sys::close_from(3) {
        eprintln!("the containment helper could not close what it was not meant to have: {errno}");
        return 2;
    }
    let socket = sys::take_stdin();
    let profile = match socket_peercred(&socket) {
        Ok(peer) if Some(peer.pid) == getppid() => profile::receive::<Profile>(&socket),
        _ => {
            eprintln!("the containment helper is started by Alma only");
            return 2;
        }
    };
    let profile = match profile {
        Ok((profile, _)) => profile,
        Err(PacketError::Closed) => return 0,
        Err(error) => {
            eprintln!("the containment helper was given an unusable profile: {error}");
            return 2;
        }
    };
    let result = match profile.level {
        SandboxLevel::Full => in_namespaces(&profile, &socket),
        SandboxLevel::Restricted | SandboxLevel::None => without_namespaces(&profile, &socket),
    };
    match result {
        Ok(()) => 0,
        Err(Refusal { layer, cause }) => {
            let notice = Notice::Refused { layer: layer.to_owned(), cause };
            // Nobody is left to tell if Alma is gone.
            let _ = profile::send(&socket, &notice, &[]);
            1
        }
    }
}

/// The level *full*.
fn in_namespaces(profile: &Profile, socket: &OwnedFd) -> Result<(), Refusal> {
    const LAYER: &str = "user namespace";
    prefer_for_oom_kill();
    rustix::process::setsid().refused(LAYER, "start a session")?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let spaces = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    sys::unshare(spaces).refused(LAYER, "enter new namespaces")?;
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{USER_ID} {uid} 1")),
        ("/proc/self/gid_map", format!("{USER_ID} {gid} 1")),
    ] {
        fs::write(file, text).refused(LAYER, &format!("write {file}"))?;
    }
    die_with_parent().refused(LAYER, "be tied to Alma's life")?;
    if getppid().map(|parent| parent.as_raw_nonzero().get().unsigned_abs()) != Some(profile.parent)
    {
        return Ok(());
    }
    // The start of this process is part of what the program costs.
    let start = sys::used(sys::Whose::Process).refused(LAYER, "measure itself")?;
    match sys::fork().refused("pid namespace", "fork")? {
        Forked::Child => exit(match first_process(profile, socket, start.cpu_us) {
            Ok(()) => 0,
            Err(Refusal { layer, cause }) => {
                let notice = Notice::Refused { layer: layer.to_owned(), cause };
                // Nobody is left to tell if Alma is gone.
                let _ = profile::send(socket, &notice, &[]);
                1
            }
        }),
        Forked::Parent(child) => loop {
            match waitpid(Some(child), WaitOptions::empty()) {
                Err(Errno::INTR) | Ok(None) => {}
                Ok(Some(_)) | Err(_) => return Ok(()),
            }
        },
    }
}

/// Pid 1 of the new namespace. What came before it used so much processor time.
fn first_process(profile: &Profile, socket: &OwnedFd, before_us: u64) -> Result<(), Refusal> {
    die_with_parent().refused("pid namespace", "be tied to the helper's life")?;
    rustix::process::setsid().refused("pid namespace", "start a session")?;
    rustix::system::sethostname(b"sandbox").refused("host name", "set it")?;
    let mut layers = vec![Layer::on(
        "namespaces",
        "user, mount, pid, network, ipc, host name and cgroup are its own",
    )];
    layers.push(loopback());
    let Built { layers: more, proc, upper } = root::enter(profile)?;
    layers.extend(more);
    let mut writable: Vec<PathBuf> =
        [profile.workspace.as_path(), Path::new("/tmp"), Path::new("/var/tmp")]
            .map(Path::to_owned)
            .into();
    writable.extend(["/dev/shm", "/dev/pts"].map(PathBuf::from));
    writable.extend(root::DEVICES.map(|name| Path::new("/dev").join(name)));
    limit(profile, &mut layers)?;
    drop_rights(&mut layers)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .refused("pid namespace", "shield its first process")?;
    // Giving up rights may have cleared it.
    die_with_parent().refused("pid namespace", "be tied to the helper's life")?;
    let enforced =
        ruleset::enforce(&[PathBuf::from("/")], &writable, true).refused("landlock", "enforce")?;
    layers.push(match enforced.abi {
        0 => Layer::off("landlock", enforced.detail),
        _ => Layer::on("landlock", enforced.detail),
    });
    filter_calls(profile.level, &mut layers)?;

    let mut fds = vec![proc.as_fd()];
    fds.extend(upper.as_ref().map(AsFd::as_fd));
    if !ready(profile, socket, layers, &fds)? {
        return Ok(());
    }
    drop((proc, upper));
    let child = match start(profile) {
        Ok(child) => child,
        Err(errno) => return not_started(socket, errno),
    };
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => return ended(socket, status, before_us),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).refused("pid namespace", "wait for the program"),
        }
    }
}

/// The levels *restricted* and *none*. Without a pid namespace, this process
/// adopts whatever its program leaves behind, and kills it in the end.
fn without_namespaces(profile: &Profile, socket: &OwnedFd) -> Result<(), Refusal> {
    const LAYER: &str = "process tree";
    prefer_for_oom_kill();
    rustix::process::setsid().refused(LAYER, "start a session")?;
    set_child_subreaper(Some(rustix::process::getpid())).refused(LAYER, "adopt what it leaves")?;
    let mut layers =
        vec![Layer::off("namespaces", "not available"), Layer::on("workspace", "a private copy")];
    limit(profile, &mut layers)?;
    drop_rights(&mut layers)?;
    if profile.level == SandboxLevel::Restricted {
        let enforced = restrict_files(profile)?;
        if enforced.abi < ruleset::ABI_FLOOR {
            return Err(Refusal {
                layer: "landlock",
                cause: format!("needs version {}: {}", ruleset::ABI_FLOOR, enforced.detail),
            });
        }
        layers.push(Layer::on("landlock", enforced.detail));
        filter_calls(profile.level, &mut layers)?;
    }
    if !ready(profile, socket, layers, &[])? {
        return Ok(());
    }
    set_socket_timeout(socket, Timeout::Recv, Some(POLL)).refused(LAYER, "poll for orders")?;
    let child = match start(profile) {
        Ok(child) => child,
        Err(errno) => return not_started(socket, errno),
    };
    let status = loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == child => break Some(status),
            Ok(Some(_)) => continue,
            Ok(None) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).refused(LAYER, "wait for the program"),
        }
        match profile::receive::<Order>(socket) {
            Err(PacketError::Timeout) => {}
            // An order to stop, or Alma is gone.
            Ok(_) | Err(_) => break None,
        }
    };
    kill_descendants();
    status.map_or(Ok(()), |status| ended(socket, status, 0))
}

fn restrict_files(profile: &Profile) -> Result<ruleset::Enforced, Refusal> {
    let mut readable: Vec<PathBuf> = profile
        .shown
        .iter()
        .filter_map(|one| match one {
            super::host::Shown::Same { from, .. } => Some(from.clone()),
            super::host::Shown::Link { .. } => None,
        })
        .collect();
    for path in ["/proc", "/etc/passwd", "/etc/group", "/etc/hosts"] {
        readable.push(PathBuf::from(path));
    }
    readable.retain(|path| path.exists());
    let mut writable = vec![profile.workspace.clone(), profile.staging.join("tmp")];
    writable.extend(root::DEVICES.map(|name| Path::new("/dev").join(name)));
    ruleset::enforce(&readable, &writable, false).refused("landlock", "enforce the file rules")
}

fn filter_calls(level: SandboxLevel, layers: &mut Vec<Layer>) -> Result<(), Refusal> {
    let calls = filter::enforce(level).refused("seccomp", "filter system calls")?;
    layers.push(Layer::on("seccomp", format!("{calls} system calls filtered")));
    Ok(())
}

/// Reports the layers and waits for the order. Whether to go on.
fn ready(
    profile: &Profile,
    socket: &OwnedFd,
    layers: Vec<Layer>,
    fds: &[std::os::fd::BorrowedFd<'_>],
) -> Result<bool, Refusal> {
    profile::send(socket, &Notice::Ready { layers }, fds).refused("helper", "report to Alma")?;
    match profile::receive::<Order>(socket) {
        Ok((Order::Go, _)) => Ok(!profile.argv.is_empty()),
        Ok((Order::Stop, _)) | Err(PacketError::Closed) => Ok(false),
        Err(error) => Err(error).refused("helper", "read its orders"),
    }
}

fn start(profile: &Profile) -> Result<Pid, Errno> {
    let (program, args) = profile.argv.split_first().ok_or(Errno::INVAL)?;
    Command::new(program)
        .args(args)
        .env_clear()
        .envs(&profile.env)
        .current_dir(&profile.cwd)
        .stdin(Stdio::null())
        // A group of its own: a program that signals its group must not hit this
        // process.
        .process_group(0)
        .spawn()
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
        .and_then(|child| i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH))
}

fn not_started(socket: &OwnedFd, errno: Errno) -> Result<(), Refusal> {
    let notice = Notice::NotStarted { errno: errno.raw_os_error() };
    profile::send(socket, &notice, &[]).refused("helper", "report to Alma")
}

fn ended(socket: &OwnedFd, status: WaitStatus, before_us: u64) -> Result<(), Refusal> {
    let measure = |whose| sys::used(whose).refused("helper", "measure the program");
    let (program, own) = (measure(sys::Whose::Children)?, measure(sys::Whose::Process)?);
    let notice = Notice::Ended {
        code: status.exit_status(),
        signal: status.terminating_signal(),
        cpu_us: program.cpu_us.saturating_add(own.cpu_us).saturating_add(before_us),
        peak_bytes: program.peak_bytes,
    };
    profile::send(socket, &notice, &[]).refused("helper", "report to Alma")
}

fn die_with_parent() -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))
}

/// When the machine runs out of memory, this goes first.
fn prefer_for_oom_kill() {
    // Where the file cannot be written, the bounds on memory still stand.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}

/// Raises the loopback interface, so that test suites can talk to themselves.
fn loopback() -> Layer {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    const LAYER: &str = "network";
    let raised = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .and_then(|socket| sys::raise_loopback(socket.as_fd()));
    match raised {
        Ok(()) => Layer::on(LAYER, "none but a loopback of its own"),
        Err(errno) => Layer::on(LAYER, format!("none, not even a loopback: {errno}")),
    }
}

/// Puts the kernel's bounds in force.
fn limit(profile: &Profile, layers: &mut Vec<Layer>) -> Result<(), Refusal> {
    let bounds = profile.bounds;
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Cpu, bounds.cpu_s),
        (Resource::Data, bounds.data_bytes),
        (Resource::Fsize, bounds.store_bytes),
        (Resource::Nofile, bounds.files),
        (Resource::Nproc, processes_max(profile)),
    ] {
        // Never more than this process has itself.
        let own = rustix::process::getrlimit(resource).maximum;
        let most = own.map_or(most, |own| own.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
            .refused("limits", &format!("bound {resource:?}"))?;
    }
    layers.push(Layer::on(
        "limits",
        format!(
            "per process: {} s of processor time, {} MiB of private memory, {} open files; \
             {} MiB of files",
            bounds.cpu_s,
            bounds.data_bytes >> 20,
            bounds.files,
            bounds.store_bytes >> 20
        ),
    ));
    Ok(())
}

/// In a user namespace of its own the count starts anew; elsewhere the user's
/// other processes are in it.
fn processes_max(profile: &Profile) -> u64 {
    let others = match profile.level {
        SandboxLevel::Full => 0,
        SandboxLevel::Restricted | SandboxLevel::None => {
            usage::tasks_of_user(rustix::process::getuid().as_raw())
        }
    };
    profile.bounds.processes.saturating_add(others)
}

/// Gives up all capabilities, and every way to gain rights.
fn drop_rights(layers: &mut Vec<Layer>) -> Result<(), Refusal> {
    const LAYER: &str = "rights";
    set_no_new_privs(true).refused(LAYER, "rule out new privileges")?;
    clear_ambient_capability_set().refused(LAYER, "clear ambient capabilities")?;
    let held = rustix::thread::capabilities(None).refused(LAYER, "read capabilities")?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for capability in (0..63).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
            match remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // Beyond the last one that this kernel knows.
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno).refused(LAYER, "drop a capability"),
            }
        }
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).refused(LAYER, "drop capabilities")?;
    layers.push(Layer::on(LAYER, "no capabilities, no new privileges"));
    Ok(())
}

/// Kills everything that descends from this process, until nothing does.
fn kill_descendants() {
    for _ in 0..KILL_ROUNDS_MAX {
        let descendants = usage::descendants_of_self();
        for pid in &descendants {
            // It may have died meanwhile.
            let _ = rustix::process::kill_process(*pid, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        if descendants.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
