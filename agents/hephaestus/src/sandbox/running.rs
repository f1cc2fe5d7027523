//! A helper whose layers stand: watching its program, killing it, collecting
//! what it wrote.

use super::capture::{self, Captured};
use super::error::SandboxError;
use super::helper::HELPER_ARGUMENT;
use super::profile::{self, Layer, Notice, Order, PACKET_BYTES_MAX, PacketError, Profile, View};
use super::usage::{self, Total};
use super::{Bound, End, PROCESSES_MAX, STREAM_BYTES_MAX};
use charter::tool::{Cancel, Limits, Process, SandboxLevel};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often bounds and the cancel flag are looked at.
const POLL: Duration = Duration::from_millis(25);
/// How long the layers may take to stand.
const SETUP_TIME_MAX: Duration = Duration::from_secs(20);
/// How long killed processes may take to be gone.
const DEATH_TIME_MAX: Duration = Duration::from_secs(10);

/// How a watched run went.
pub(super) struct Outcome {
    pub(super) end: End,
    pub(super) wall_ms: u64,
    pub(super) cpu_us: u64,
    pub(super) peak_bytes: u64,
    pub(super) read_bytes: u64,
}

/// A helper whose layers stand. Dropping it kills everything.
pub(super) struct Running {
    child: Child,
    socket: Option<OwnedFd>,
    level: SandboxLevel,
    pub(super) layers: Vec<Layer>,
    proc: Option<OwnedFd>,
    pub(super) upper: Option<OwnedFd>,
    readers: Option<(Reader, Reader)>,
    program: String,
    /// Where private files are kept on disk, and what was free there at first.
    disk: Option<(PathBuf, u64)>,
    store_bytes: u64,
}

type Reader = JoinHandle<std::io::Result<Captured>>;

impl Running {
    pub(super) fn start(
        helper: &Path,
        profile: &Profile,
        limits: &Limits,
    ) -> Result<Self, SandboxError> {
        let failed = |error: Errno| SandboxError::helper("connect to", error);
        let (ours, theirs) = profile::pair().map_err(failed)?;
        let mut child = Command::new(helper)
            .arg(HELPER_ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| SandboxError::helper("start", error))?;
        let most = usize::try_from(limits.output_bytes / 4).unwrap_or(usize::MAX);
        let most = most.min(STREAM_BYTES_MAX);
        let readers = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), Some(stderr)) => Some((
                std::thread::spawn(move || capture::drain(stdout, most)),
                std::thread::spawn(move || capture::drain(stderr, most)),
            )),
            _ => None,
        };
        let mut running = Self {
            child,
            socket: None,
            level: profile.level,
            layers: Vec::new(),
            proc: None,
            upper: None,
            readers,
            program: profile.argv.first().cloned().unwrap_or_default(),
            disk: match profile.view {
                View::Memory => None,
                View::Disk | View::Copy(_) => {
                    free_bytes(&profile.staging).map(|free| (profile.staging.clone(), free))
                }
            },
            store_bytes: profile.bounds.store_bytes,
        };
        match profile::send(&ours, profile, &[]) {
            Ok(()) => {}
            Err(PacketError::TooLarge(bytes)) => {
                return Err(SandboxError::Arguments(format!(
                    "{bytes} bytes of arguments and variables are more than the \
                     {PACKET_BYTES_MAX} that a program is given"
                )));
            }
            Err(error) => return Err(SandboxError::helper("instruct", error)),
        }
        set_socket_timeout(&ours, Timeout::Recv, Some(SETUP_TIME_MAX)).map_err(failed)?;
        let answer = profile::receive::<Notice>(&ours);
        set_socket_timeout(&ours, Timeout::Recv, Some(POLL)).map_err(failed)?;
        running.socket = Some(ours);
        match answer {
            Ok((Notice::Ready { layers }, fds)) => {
                let mut fds = fds.into_iter();
                running.layers = layers;
                running.proc = fds.next();
                running.upper = fds.next();
                Ok(running)
            }
            Ok((Notice::Refused { layer, cause }, _)) => {
                Err(SandboxError::Refused { layer, cause })
            }
            Ok((other, _)) => Err(SandboxError::helper("understand", format!("{other:?}"))),
            Err(PacketError::Closed) => {
                let (_, stderr) = running.streams()?;
                let said = stderr.ending(500);
                let said = if said.is_empty() { "it ended without a word" } else { said.trim() };
                Err(SandboxError::helper("start", said))
            }
            Err(error) => Err(SandboxError::helper("hear from", error)),
        }
    }

    /// The helper as the record knows it: when it dies, all of the program does.
    pub(super) fn process(&self) -> Result<Process, SandboxError> {
        crate::process::of(self.child.id())
            .ok_or_else(|| SandboxError::helper("find", "it has died"))
    }

    /// Lets the program run and watches over it until it is over.
    pub(super) fn watch(
        &mut self,
        limits: &Limits,
        cancel: &Cancel,
    ) -> Result<Outcome, SandboxError> {
        if cancel.is_cancelled() {
            self.kill()?;
            return Err(SandboxError::Cancelled);
        }
        let began = Instant::now();
        let socket = self
            .socket
            .take()
            .ok_or_else(|| SandboxError::helper("instruct", "it was instructed before"))?;
        profile::send(&socket, &Order::Go, &[])
            .map_err(|error| SandboxError::helper("instruct", error))?;
        let (mut peak, mut cpu_us, mut read_bytes) = (0, 0, 0);
        let mut next_look = began;
        let end = loop {
            match profile::receive::<Notice>(&socket) {
                Ok((Notice::Ended { code, signal, cpu_us: used, peak_bytes }, _)) => {
                    cpu_us = used.max(cpu_us);
                    read_bytes = self.read_bytes().max(read_bytes);
                    peak = peak_bytes.max(peak);
                    break match (code, signal) {
                        (Some(code), _) => End::Exited(code),
                        (None, signal) => End::Signalled(signal.unwrap_or(0)),
                    };
                }
                Ok((Notice::NotStarted { errno }, _)) => {
                    self.kill()?;
                    return Err(SandboxError::Program {
                        program: self.program.clone(),
                        source: std::io::Error::from_raw_os_error(errno),
                    });
                }
                Ok((other, _)) => {
                    self.kill()?;
                    return Err(SandboxError::helper("understand", format!("{other:?}")));
                }
                Err(PacketError::Timeout) => {}
                Err(error) => {
                    self.kill()?;
                    return Err(SandboxError::helper("hear from", error));
                }
            }
            let now = Instant::now();
            if cancel.is_cancelled() {
                break End::Cancelled;
            }
            if now.duration_since(began) >= Duration::from_millis(limits.wall_ms) {
                break End::Stopped(Bound::Wall);
            }
            if now < next_look {
                continue;
            }
            let used = self.used(limits);
            // A look at very many processes takes its time; the machine has other
            // things to do as well.
            next_look = Instant::now() + now.elapsed().saturating_mul(4);
            peak = peak.max(used.memory_bytes);
            cpu_us = cpu_us.max(used.cpu_ms.saturating_mul(1_000));
            read_bytes = self.read_bytes().max(read_bytes);
            if let Some(bound) = beyond(&used, limits) {
                break End::Stopped(bound);
            }
            if self.fills_the_disk() {
                break End::Stopped(Bound::Disk);
            }
        };
        let wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match end {
            End::Exited(_) | End::Signalled(_) => {
                drop(socket);
                self.leave()?;
            }
            End::Stopped(_) | End::Cancelled => {
                self.socket = Some(socket);
                self.kill()?;
            }
        }
        // The kernel's own bound on processor time ends a program by a signal.
        let end = match end {
            End::Signalled(_) if cpu_us / 1_000 > limits.cpu_ms => End::Stopped(Bound::Cpu),
            end => end,
        };
        Ok(Outcome { end, wall_ms, cpu_us, peak_bytes: peak, read_bytes })
    }

    /// Bytes that the helper, and with it every program that has ended, has read.
    fn read_bytes(&self) -> u64 {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let read = match &self.proc {
            // The first process of its own pid namespace.
            Some(proc) => usage::read_bytes(proc.as_fd(), 1),
            None => rustix::fs::open("/proc", flags, rustix::fs::Mode::empty())
                .and_then(|proc| usage::read_bytes(proc.as_fd(), self.child.id())),
        };
        // A kernel that does not count tells nothing.
        read.unwrap_or(0)
    }

    /// What the program and all it started use now. What cannot be read counts
    /// as nothing: it is over.
    fn used(&self, limits: &Limits) -> Total {
        let root = (self.level != SandboxLevel::Full).then_some(self.child.id());
        let look = |proc: BorrowedFd<'_>| {
            let mut used = usage::total(proc, root)?;
            if beyond(&used, limits) == Some(Bound::Memory) {
                used.memory_bytes = used.memory_bytes.min(usage::exact_memory(proc, root)?);
            }
            Ok(used)
        };
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        match &self.proc {
            Some(proc) => look(proc.as_fd()),
            None => rustix::fs::open("/proc", flags, rustix::fs::Mode::empty())
                .and_then(|proc| look(proc.as_fd())),
        }
        .unwrap_or_default()
    }

    /// Whether the disk has lost more than the program may write. Others write to
    /// it too; rather stop too early than fill it.
    fn fills_the_disk(&self) -> bool {
        self.disk.as_ref().is_some_and(|(folder, before)| {
            free_bytes(folder).is_some_and(|now| before.saturating_sub(now) > self.store_bytes)
        })
    }

    /// Ends everything.
    pub(super) fn end(mut self) -> Result<(), SandboxError> {
        self.kill()
    }

    /// Waits until the helper, and with it everything, is gone by itself.
    fn leave(&mut self) -> Result<(), SandboxError> {
        let deadline = Instant::now() + DEATH_TIME_MAX;
        loop {
            match self.child.try_wait() {
                Ok(Some(_)) => return self.gone(deadline),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(None) | Err(_) => return Err(SandboxError::Survivors),
            }
        }
    }

    /// Kills everything and waits until it is gone.
    fn kill(&mut self) -> Result<(), SandboxError> {
        if self.level != SandboxLevel::Full {
            // Only the helper itself knows what the program left behind: it ends
            // all of it when its socket closes.
            self.socket = None;
            if self.leave().is_ok() {
                return Ok(());
            }
        }
        let killed = self.child.kill();
        self.socket = None;
        match (killed, self.child.wait()) {
            (_, Ok(_)) => self.gone(Instant::now() + DEATH_TIME_MAX),
            (_, Err(error)) => Err(SandboxError::helper("end", error)),
        }
    }

    /// Waits until the pid namespace is empty: its first process is the last to
    /// die.
    fn gone(&self, deadline: Instant) -> Result<(), SandboxError> {
        let Some(proc) = &self.proc else { return Ok(()) };
        while usage::is_alive(proc.as_fd(), 1) {
            if Instant::now() >= deadline {
                return Err(SandboxError::Survivors);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// What was written, once nobody can write any more.
    pub(super) fn streams(&mut self) -> Result<(Captured, Captured), SandboxError> {
        let Some((stdout, stderr)) = self.readers.take() else {
            return Ok((Captured::default(), Captured::default()));
        };
        let read = |reader: Reader| match reader.join() {
            Ok(Ok(captured)) => Ok(captured),
            Ok(Err(error)) => Err(SandboxError::helper("read the output of", error)),
            Err(_) => Err(SandboxError::helper("read the output of", "the reader broke off")),
        };
        Ok((read(stdout)?, read(stderr)?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Err(error) = self.kill() {
            tracing::warn!(%error, "a contained program could not be ended");
        }
    }
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The first bound that is passed.
fn beyond(used: &Total, limits: &Limits) -> Option<Bound> {
    [
        (used.cpu_ms > limits.cpu_ms, Bound::Cpu),
        (used.memory_bytes > limits.memory_mb.saturating_mul(1 << 20), Bound::Memory),
        (used.tasks > PROCESSES_MAX, Bound::Processes),
    ]
    .into_iter()
    .find_map(|(over, bound)| over.then_some(bound))
}
