//! The system call filters (seccomp): what a contained program may not even ask
//! the kernel for. A list of denials, because programs of every kind must work;
//! what it denies answers "not permitted" instead of killing.

use charter::tool::SandboxLevel;
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};
use std::collections::BTreeMap;

/// Flags of `clone` that make namespaces.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Calls that are denied whatever their arguments.
const DENIED: &[i64] = &[
    // the tree of mounts
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // namespaces
    libc::SYS_unshare,
    libc::SYS_setns,
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // files past their folders
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // large and rarely needed surfaces of the kernel
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // the machine itself
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// Why the filters could not be put in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    /// No filter can be made for this processor.
    #[error("no filter can be made for this processor")]
    Compile(#[from] seccompiler::BackendError),
    /// The kernel refuses it.
    #[error("the kernel refuses the filter")]
    Install(#[from] seccompiler::Error),
}

/// Puts the filters in force for this process and all it starts, for good.
/// Returns how many calls are filtered.
pub(super) fn enforce(level: SandboxLevel) -> Result<usize, FilterError> {
    let denied = denied(level)?;
    let calls = denied.len();
    // `clone3` hides its flags from filters. Where it does not exist, the C
    // library falls back to `clone`, whose flags can be seen.
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    for program in [foreign_calls(), compile(denied, Errno::PERM)?, compile(absent, Errno::NOSYS)?]
    {
        if !program.is_empty() {
            seccompiler::apply_filter(&program)?;
        }
    }
    Ok(calls + 1)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn compile(rules: Rules, errno: Errno) -> Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.raw_os_error().unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

/// The rules of a level. A call with an empty list is always denied.
fn denied(level: SandboxLevel) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = DENIED.iter().map(|call| (*call, Vec::new())).collect();

    let namespaces = u64::from(NAMESPACES.cast_unsigned());
    let mut clone = Vec::new();
    for bit in (0..32).map(|shift| 1_u64 << shift).filter(|bit| namespaces & bit != 0) {
        clone.push(rule([when(0, SeccompCmpOp::MaskedEq(bit), bit)?])?);
    }
    rules.insert(libc::SYS_clone, clone);

    // Typing into the terminal of whoever started Alma.
    rules.insert(
        libc::SYS_ioctl,
        vec![
            rule([when(1, SeccompCmpOp::Eq, libc::TIOCSTI)?])?,
            rule([when(1, SeccompCmpOp::Eq, libc::TIOCLINUX)?])?,
        ],
    );

    let unix = number(libc::AF_UNIX);
    rules.insert(libc::SYS_socketpair, vec![rule([when(0, SeccompCmpOp::Ne, unix)?])?]);
    let sockets = if level == SandboxLevel::Full {
        // The network namespace holds nothing but its own loopback. Families
        // that do not know network namespaces (vsock and others) are denied, and
        // of netlink all but the list of interfaces.
        let netlink = number(libc::AF_NETLINK);
        let mut other = Vec::new();
        for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
            other.push(when(0, SeccompCmpOp::Ne, number(family))?);
        }
        let route = number(libc::NETLINK_ROUTE);
        vec![
            SeccompRule::new(other)?,
            rule([when(0, SeccompCmpOp::Eq, netlink)?, when(2, SeccompCmpOp::Ne, route)?])?,
        ]
    } else {
        // Without a network namespace, any socket could reach a service of the
        // user's session.
        Vec::new()
    };
    rules.insert(libc::SYS_socket, sockets);
    Ok(rules)
}

fn number(value: i32) -> u64 {
    u64::from(value.unsigned_abs())
}

fn when(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn rule<const N: usize>(
    conditions: [SeccompCondition; N],
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.into())
}

/// On x86-64 the same calls have a second set of numbers (x32), which a filter
/// by number would miss. All of them are denied.
fn foreign_calls() -> BpfProgram {
    if !cfg!(target_arch = "x86_64") {
        return Vec::new();
    }
    let op = |code: u32, jt, jf, k| sock_filter {
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt,
        jf,
        k,
    };
    let refused = libc::SECCOMP_RET_ERRNO | Errno::NOSYS.raw_os_error().unsigned_abs();
    vec![
        // the number of the call
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, 0x4000_0000),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, refused),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_every_level_compile() {
        for level in [SandboxLevel::Restricted, SandboxLevel::Full] {
            let rules = denied(level).unwrap();
            assert!(rules.get(&libc::SYS_ptrace).is_some_and(Vec::is_empty));
            // An empty list of conditions would deny every thread and process.
            assert!(rules.get(&libc::SYS_clone).is_some_and(|rules| rules.len() == 7));
            assert!(!compile(rules, Errno::PERM).unwrap().is_empty());
        }
    }

    #[test]
    fn without_a_network_namespace_no_socket_is_made() {
        let rules = |level| denied(level).unwrap().remove(&libc::SYS_socket).unwrap();
        assert!(rules(SandboxLevel::Restricted).is_empty());
        assert_eq!(rules(SandboxLevel::Full).len(), 2);
    }
}
