//! The few system calls that no safe crate offers. Nothing else in this crate
//! is unsafe.
//!
//! Why they are needed: a process becomes the first one of a pid namespace only
//! by being forked into it; mounts are made read-only with everything below
//! them only by `mount_setattr`; the loopback interface is raised only by
//! `ioctl`; and `getrusage` tells what a thread, a process or its children used.

#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::path::Arg;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Who returns from [`fork`].
pub(super) enum Forked {
    /// The new process.
    Child,
    /// The old one, with the new one's pid.
    Parent(Pid),
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Forks. Only for the helper, which has one thread.
pub(super) fn fork() -> Result<Forked, Errno> {
    // SAFETY: the helper never starts a thread, and the namespaces entered just
    // before cannot be entered by a process with several; so no lock can be held
    // by a thread that does not exist in the child, and the child may allocate.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        pid => Pid::from_raw(pid).filter(|_| pid > 0).map(Forked::Parent).ok_or_else(last_errno),
    }
}

/// Leaves namespaces for new ones. Only for the helper, which has one thread.
pub(super) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: the call is unsafe only with `FILES`, which would separate the
    // descriptor tables of threads; it is never passed.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Closes every descriptor from `first` on.
pub(super) fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: called before the helper has opened anything; no owner of a
    // descriptor from `first` on exists in this process.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Takes the standard input as a descriptor of its own.
pub(super) fn take_stdin() -> OwnedFd {
    // SAFETY: the helper is given its control socket as descriptor 0, and nothing
    // in it reads the standard input; this is its only owner.
    unsafe { OwnedFd::from_raw_fd(0) }
}

/// Makes the mount at `path` read-only, with all mounts below it if `recursive`.
pub(super) fn mount_read_only(path: impl Arg, recursive: bool) -> Result<(), Errno> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    path.into_with_c_str(|path| {
        // SAFETY: `path` is a C string and `attributes` a whole struct of the size
        // passed along; both outlive the call, which writes to neither.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                libc::AT_FDCWD,
                path.as_ptr(),
                flags,
                &raw const attributes,
                mem::size_of::<libc::mount_attr>(),
            )
        };
        if result == 0 { Ok(()) } else { Err(last_errno()) }
    })
}

/// Raises the loopback interface of this network namespace. `socket` is any
/// socket of the Internet family.
pub(super) fn raise_loopback(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: `ifreq` is plain old data for which all zeroes are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).unwrap_or(libc::c_short::MAX);
    // SAFETY: the request is a valid `ifreq` with a name that ends in zeroes; the
    // kernel reads it and keeps no reference.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Whose use is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose {
    /// The calling thread's.
    Thread,
    /// This process's.
    Process,
    /// Of all children of this process that were waited for, and of theirs.
    Children,
}

/// What was used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Microseconds of processor time.
    pub(crate) cpu_us: u64,
    /// Largest resident size of one process, in bytes.
    pub(crate) peak_bytes: u64,
}

/// Asks for it.
pub(crate) fn used(whose: Whose) -> Result<Used, Errno> {
    let whose = match whose {
        Whose::Thread => libc::RUSAGE_THREAD,
        Whose::Process => libc::RUSAGE_SELF,
        Whose::Children => libc::RUSAGE_CHILDREN,
    };
    // SAFETY: `rusage` is plain old data for which all zeroes are valid, and the
    // call fills the whole of it.
    let (result, usage) = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        (libc::getrusage(whose, &raw mut usage), usage)
    };
    if result != 0 {
        return Err(last_errno());
    }
    let us = |time: libc::timeval| {
        let us = i128::from(time.tv_sec) * 1_000_000 + i128::from(time.tv_usec);
        u64::try_from(us).unwrap_or(0)
    };
    Ok(Used {
        cpu_us: us(usage.ru_utime).saturating_add(us(usage.ru_stime)),
        peak_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
    })
}

/// Bytes of a page of memory.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: asks for a constant of the system; there is nothing to pass or to keep.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4_096)
}
