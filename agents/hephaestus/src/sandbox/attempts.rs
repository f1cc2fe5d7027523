//! Attempts to break out, as a table: each is a small program that says
//! [`BREACH`] if it got what it must not get. Tests and `alma bench sandbox` run
//! the same table.

use charter::tool::Limits;

/// What an attempt writes when it succeeds.
pub const BREACH: &str = "BREACH";
/// The variable that names a file outside the workspace that exists.
pub const OUTSIDE: &str = "ATTEMPT_OUTSIDE";
/// The variable that holds the port of a listener on this host's loopback.
pub const PORT: &str = "ATTEMPT_PORT";
/// The variable that holds the pid of a process outside.
pub const PID: &str = "ATTEMPT_PID";

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its name.
    pub name: &'static str,
    /// What is claimed of the containment.
    pub claim: &'static str,
    /// The program.
    pub argv: Vec<String>,
    /// Bounds to run it under.
    pub limits: Limits,
    /// Whether it would succeed without containment, with the user's own rights
    /// alone. Such attempts show that the table can fail.
    pub harmless: bool,
}

impl Attempt {
    /// Whether the containment held, by what the attempt wrote.
    pub fn held(&self, stdout: &str) -> bool {
        !stdout.contains(BREACH) && stdout.len() as u64 <= self.limits.output_bytes
    }
}

fn attempt(name: &'static str, claim: &'static str, argv: Vec<String>) -> Attempt {
    let limits = Limits { wall_ms: 20_000, memory_mb: 256, ..Limits::default() };
    Attempt { name, claim, argv, limits, harmless: false }
}

fn shell(name: &'static str, claim: &'static str, script: &str) -> Attempt {
    // The word is put together so that an echo of the script is no breach.
    let script = script.replace("SUCCESS", "printf 'BRE%s\\n' ACH");
    attempt(name, claim, vec!["sh".to_owned(), "-c".to_owned(), script])
}

fn python(name: &'static str, claim: &'static str, script: &str) -> Attempt {
    let script = script.replace("SUCCESS", "print('BRE' + 'ACH', flush=True)");
    attempt(name, claim, vec!["python3".to_owned(), "-c".to_owned(), script])
}

/// A system call that must be refused as not permitted.
fn call(name: &'static str, claim: &'static str, number: i64, args: &str) -> Attempt {
    python(
        name,
        claim,
        &format!(
            "import ctypes, errno\n\
             libc = ctypes.CDLL(None, use_errno=True)\n\
             result = libc.syscall({number}, {args})\n\
             if result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):\n    \
                 SUCCESS\n"
        ),
    )
}

fn harmless(attempt: Attempt) -> Attempt {
    Attempt { harmless: true, ..attempt }
}

fn with(attempt: Attempt, change: impl FnOnce(&mut Limits)) -> Attempt {
    let mut attempt = attempt;
    change(&mut attempt.limits);
    attempt
}

/// Every attempt.
pub fn attempts() -> Vec<Attempt> {
    let mut all = files();
    all.extend(network());
    all.extend(processes());
    all.extend(kernel());
    all.extend(bombs());
    all
}

fn files() -> Vec<Attempt> {
    vec![
        harmless(shell(
            "read outside",
            "a file of the user outside the workspace cannot be read",
            "cat \"$ATTEMPT_OUTSIDE\" >/dev/null 2>&1 && SUCCESS",
        )),
        harmless(shell(
            "write outside",
            "a file of the user outside the workspace cannot be written",
            "echo x >> \"$ATTEMPT_OUTSIDE\" 2>/dev/null && SUCCESS",
        )),
        harmless(shell(
            "read through a link",
            "a link in the workspace leads nowhere outside",
            "ln -s \"$ATTEMPT_OUTSIDE\" escape && cat escape >/dev/null 2>&1 && SUCCESS",
        )),
        harmless(shell(
            "climb",
            "`..` leads nowhere outside",
            "cat \"../../../../../../../../..$ATTEMPT_OUTSIDE\" >/dev/null 2>&1 && SUCCESS",
        )),
        shell(
            "write the system",
            "the system's folders cannot be written",
            "for d in / /usr /usr/bin /usr/lib /etc /proc/sys/kernel; do \
             touch \"$d/attempt\" 2>/dev/null && { rm -f \"$d/attempt\"; SUCCESS; }; done; \
             echo 1 2>/dev/null > /proc/sysrq-trigger && SUCCESS",
        ),
        shell(
            "read the shadow",
            "the machine's passwords cannot be read",
            "cat /etc/shadow >/dev/null 2>&1 && SUCCESS",
        ),
        python(
            "leave the root",
            "no descriptor leads to the old root",
            "import os\n\
             for fd in os.listdir('/proc/self/fd'):\n    \
                 try:\n        \
                     os.stat('/proc/self/fd/' + fd + '/..' + os.environ['ATTEMPT_OUTSIDE'])\n        \
                     SUCCESS\n    \
                 except OSError:\n        \
                     pass\n",
        ),
        call(
            "open by handle",
            "files cannot be opened past their folders",
            libc::SYS_open_by_handle_at,
            "-100, 0, 0",
        ),
    ]
}

fn network() -> Vec<Attempt> {
    vec![
        harmless(python(
            "connect",
            "a service on this host's loopback cannot be reached",
            "import os, socket\n\
             try:\n    \
                 socket.create_connection(('127.0.0.1', int(os.environ['ATTEMPT_PORT'])), 2)\n    \
                 SUCCESS\n\
             except OSError:\n    \
                 pass\n",
        )),
        python(
            "send a datagram",
            "no packet leaves",
            "import socket\n\
             try:\n    \
                 socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))\n    \
                 SUCCESS\n\
             except OSError:\n    \
                 pass\n",
        ),
        python(
            "raw socket",
            "no raw socket can be made",
            "import socket\n\
             for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (17, socket.SOCK_RAW),\n                     \
                  (40, socket.SOCK_STREAM), (38, socket.SOCK_SEQPACKET)):\n    \
                 try:\n        \
                     socket.socket(family, kind, 1 if family == socket.AF_INET else 0)\n        \
                     SUCCESS\n    \
                 except OSError:\n        \
                     pass\n",
        ),
        shell(
            "find a socket",
            "the sockets of services are not there",
            "for s in /run/docker.sock /var/run/docker.sock /run/dbus/system_bus_socket \
             /run/systemd/private /tmp/.X11-unix; do test -e \"$s\" && SUCCESS; done",
        ),
    ]
}

fn processes() -> Vec<Attempt> {
    vec![
        harmless(shell(
            "signal a process outside",
            "no process outside can be signalled",
            "kill -0 \"$ATTEMPT_PID\" 2>/dev/null && SUCCESS",
        )),
        python(
            "trace the first process",
            "other processes cannot be traced or read",
            "import os\n\
             for path in ('/proc/1/mem', '/proc/1/environ', '/proc/1/maps', '/proc/1/root/etc'):\n    \
                 try:\n        \
                     os.listdir(path) if path.endswith('etc') else open(path, 'rb').read(1)\n        \
                     SUCCESS\n    \
                 except OSError:\n        \
                     pass\n",
        ),
        call("ptrace", "tracing is denied", libc::SYS_ptrace, "0, 0, 0, 0"),
        call(
            "read another's memory",
            "the memory of other processes cannot be read",
            libc::SYS_process_vm_readv,
            "1, 0, 0, 0, 0, 0",
        ),
        python(
            "become root",
            "no user can be changed into",
            "import os\n\
             for change in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]),\n                  \
                  lambda: os.chroot('.')):\n    \
                 try:\n        \
                     change()\n        \
                     SUCCESS\n    \
                 except OSError:\n        \
                     pass\n",
        ),
    ]
}

fn kernel() -> Vec<Attempt> {
    vec![
        call("mount", "nothing can be mounted", libc::SYS_mount, "b'x', b'/tmp', b'tmpfs', 0, 0"),
        call("unmount", "nothing can be unmounted", libc::SYS_umount2, "b'/proc', 2"),
        call("new mount calls", "nor by the newer calls", libc::SYS_fsopen, "b'tmpfs', 0"),
        call(
            "unshare",
            "no new namespaces by unshare",
            libc::SYS_unshare,
            &libc::CLONE_NEWUSER.to_string(),
        ),
        call(
            "clone",
            "no new namespaces by clone",
            libc::SYS_clone,
            &format!("{} | 17, 0, 0, 0, 0", libc::CLONE_NEWUSER),
        ),
        call("setns", "no other namespaces", libc::SYS_setns, "0, 0"),
        call("bpf", "no programs in the kernel", libc::SYS_bpf, "5, 0, 0"),
        call("perf", "no performance events", libc::SYS_perf_event_open, "0, 0, -1, -1, 0"),
        call("keys", "the user's keys are out of reach", libc::SYS_keyctl, "0, -4, 0, 0, 0"),
        call("io_uring", "no calls past the filter", libc::SYS_io_uring_setup, "1, 0"),
        call("userfaultfd", "no handling of page faults", libc::SYS_userfaultfd, "0"),
        call("modules", "no kernel modules", libc::SYS_init_module, "0, 0, b''"),
        call("kexec", "no other kernel", libc::SYS_kexec_load, "0, 0, 0, 0"),
        call(
            "type into the terminal",
            "the terminal of whoever started it is out of reach",
            libc::SYS_ioctl,
            &format!("1, {}, b'x'", libc::TIOCSTI),
        ),
    ]
}

fn bombs() -> Vec<Attempt> {
    vec![
        with(
            python(
                "memory bomb",
                "memory is bounded",
                "held = []\n\
                 for _ in range(4096):\n    \
                     held.append(bytearray(b'x') * (1 << 20))\n\
                 SUCCESS\n",
            ),
            |limits| limits.memory_mb = 200,
        ),
        with(
            python(
                "shared memory bomb",
                "shared memory is bounded as well",
                "import mmap, time\n\
                 held = mmap.mmap(-1, 2 << 30)\n\
                 for at in range(0, 2 << 30, 4096):\n    \
                     held[at] = 1\n\
                 time.sleep(2)\n\
                 SUCCESS\n",
            ),
            |limits| limits.memory_mb = 200,
        ),
        with(
            shell(
                "disk bomb",
                "what is written is bounded",
                "for n in 1 2 3 4 5 6 7 8; do \
                 head -c 100m /dev/zero > \"big$n\" 2>/dev/null || exit 1; done; SUCCESS",
            ),
            |limits| limits.memory_mb = 128,
        ),
        with(
            python(
                "fork bomb",
                "processes are bounded",
                "import os, time\n\
                 alive = 0\n\
                 for _ in range(6000):\n    \
                     try:\n        \
                         if os.fork() == 0:\n            \
                             time.sleep(60)\n            \
                             os._exit(0)\n        \
                         alive += 1\n    \
                     except OSError:\n        \
                         break\n\
                 if alive > 4000:\n    \
                     SUCCESS\n",
            ),
            |limits| limits.memory_mb = 2_048,
        ),
        with(
            shell(
                "endless loop",
                "processor time is bounded",
                "i=0; while [ $i -lt 30000000 ]; do i=$((i+1)); done; SUCCESS",
            ),
            |limits| (limits.cpu_ms, limits.wall_ms) = (1_000, 120_000),
        ),
        with(shell("endless wait", "time is bounded", "sleep 30; SUCCESS"), |limits| {
            limits.wall_ms = 1_000
        }),
        with(
            shell("endless output", "output is bounded", "head -c 200m /dev/zero | tr '\\0' 'x'"),
            |limits| limits.output_bytes = 1 << 20,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_scripts_do_not_hold_the_word() {
        let all = attempts();
        let names: BTreeSet<_> = all.iter().map(|attempt| attempt.name).collect();
        assert_eq!(names.len(), all.len());
        for attempt in &all {
            assert!(attempt.held(&attempt.argv.join(" ")), "{}", attempt.name);
            assert!(!attempt.held(BREACH));
        }
    }
}
