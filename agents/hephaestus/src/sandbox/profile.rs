//! What Alma and her containment helper say to each other: one JSON text per
//! packet on a socket pair that the helper is given as its standard input.

use super::host::Shown;
use charter::tool::SandboxLevel;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Largest packet: an argument list beyond this is refused.
pub(super) const PACKET_BYTES_MAX: usize = 128 << 10;

/// Most descriptors that travel with a packet.
const PACKET_FDS_MAX: usize = 2;

/// Everything that the helper needs to contain and start a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// Pid of the process that starts the helper, as the helper sees it.
    pub(super) parent: u32,
    /// Whether Alma runs as root: some bounds do not hold then.
    pub(super) superuser: bool,
    /// The level to set up: all of it or nothing.
    pub(super) level: SandboxLevel,
    /// A private folder that holds the empty folders `root` (the new root is
    /// built on it), `tmp`, `upper` and `work`.
    pub(super) staging: PathBuf,
    /// How the workspace is shown.
    pub(super) view: View,
    /// The workspace. Absolute and free of links.
    pub(super) workspace: PathBuf,
    /// Where the program starts, absolute.
    pub(super) cwd: PathBuf,
    /// Program and arguments. Empty: only a trial of the layers.
    pub(super) argv: Vec<String>,
    /// The whole environment of the program.
    pub(super) env: BTreeMap<String, String>,
    /// What of the machine is shown, read-only.
    pub(super) shown: Vec<Shown>,
    /// Folders inside the workspace that are covered up.
    pub(super) covered: Vec<PathBuf>,
    /// Bounds.
    pub(super) bounds: Bounds,
}

/// How the workspace is shown to the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum View {
    /// Read-only under a private overlay that is kept in memory.
    Memory,
    /// Read-only under a private overlay that is kept in the staging folder.
    Disk,
    /// This copy of it.
    Copy(PathBuf),
}

/// Bounds that the kernel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bounds {
    /// Seconds of processor time of one process.
    pub(super) cpu_s: u64,
    /// Bytes of private memory of one process.
    pub(super) data_bytes: u64,
    /// Bytes of all files that the program writes, and of any single one.
    pub(super) store_bytes: u64,
    /// Processes and threads.
    pub(super) processes: u64,
    /// Open files of one process.
    pub(super) files: u64,
}

/// One means of containment, and whether it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Whether it is in force.
    pub in_force: bool,
    /// What exactly is in force, or why it is not.
    pub detail: String,
}

impl Layer {
    pub(super) fn on(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), in_force: true, detail: detail.into() }
    }

    pub(super) fn off(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), in_force: false, detail: detail.into() }
    }
}

/// What Alma tells the helper after the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Start the program.
    Go,
    /// End everything.
    Stop,
}

/// What the helper tells Alma.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub(super) enum Notice {
    /// The layers stand; the program starts on [`Order::Go`]. In
    /// [`SandboxLevel::Full`], descriptors travel along: the folder `/proc` of
    /// the new pid namespace, and the upper folder of the overlay if there is one.
    Ready {
        /// What is in force.
        layers: Vec<Layer>,
    },
    /// A layer could not be set up; nothing was started.
    Refused {
        /// The layer.
        layer: String,
        /// Why.
        cause: String,
    },
    /// The program could not be started.
    NotStarted {
        /// Number of the system's error.
        errno: i32,
    },
    /// The program ended. Everything it started is dead once the helper is.
    Ended {
        /// Its exit code.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// Microseconds of processor time of it, all it started, and the helper.
        cpu_us: u64,
        /// Largest resident size of a process, in bytes.
        peak_bytes: u64,
    },
}

/// A packet that could not be sent or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum PacketError {
    /// The other side is gone.
    #[error("the other side closed the control socket")]
    Closed,
    /// Nothing came in time.
    #[error("nothing came in time")]
    Timeout,
    /// More than [`PACKET_BYTES_MAX`] bytes.
    #[error("{0} bytes are more than the {PACKET_BYTES_MAX} of one packet")]
    TooLarge(usize),
    /// It is not what it should be.
    #[error("could not read or write the packet as JSON")]
    Json(#[from] serde_json::Error),
    /// The system refuses.
    #[error("could not use the control socket")]
    Os(#[from] Errno),
}

/// Sends a value, and descriptors along with it.
pub(super) fn send<T: Serialize>(
    socket: impl AsFd,
    value: &T,
    fds: &[BorrowedFd<'_>],
) -> Result<(), PacketError> {
    let bytes = serde_json::to_vec(value)?;
    if bytes.len() > PACKET_BYTES_MAX {
        return Err(PacketError::TooLarge(bytes.len()));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PACKET_FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(PacketError::Os(Errno::TOOBIG));
    }
    loop {
        let flags = SendFlags::NOSIGNAL;
        match rustix::net::sendmsg(socket.as_fd(), &[IoSlice::new(&bytes)], &mut control, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(PacketError::Closed),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Receives a value and the descriptors that came with it.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> Result<(T, Vec<OwnedFd>), PacketError> {
    let mut bytes = vec![0; PACKET_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PACKET_FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(socket.as_fd(), &mut parts, &mut control, flags) {
            Ok(message) => break message,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(PacketError::Timeout),
            Err(Errno::CONNRESET) => return Err(PacketError::Closed),
            Err(errno) => return Err(errno.into()),
        }
    };
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    if message.bytes == 0 {
        return Err(PacketError::Closed);
    }
    if message.flags.contains(ReturnFlags::TRUNC) {
        return Err(PacketError::TooLarge(message.bytes));
    }
    let value = serde_json::from_slice(bytes.get(..message.bytes).unwrap_or_default())?;
    Ok((value, fds))
}

/// A connected pair of sockets that keep packets apart.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_carry_values_and_descriptors() {
        let (left, right) = pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        send(&left, &Order::Go, &[file.as_fd()]).unwrap();
        let (order, fds) = receive::<Order>(&right).unwrap();
        assert_eq!((order, fds.len()), (Order::Go, 1));
    }

    #[test]
    fn a_closed_or_foreign_other_side_is_an_error() {
        let (left, right) = pair().unwrap();
        rustix::net::send(&left, b"{\"go\":", SendFlags::empty()).unwrap();
        assert!(matches!(receive::<Order>(&right), Err(PacketError::Json(_))));
        drop(left);
        assert!(matches!(receive::<Order>(&right), Err(PacketError::Closed)));
        assert!(matches!(send(&right, &Order::Stop, &[]), Err(PacketError::Closed)));
    }

    #[test]
    fn a_huge_packet_is_refused_before_it_is_sent() {
        let (left, _right) = pair().unwrap();
        let error = send(&left, &"x".repeat(PACKET_BYTES_MAX), &[]).unwrap_err();
        assert!(matches!(error, PacketError::TooLarge(_)), "{error}");
    }
}
