//! A filter of system calls: which sockets a run can make at all (seccomp).
//!
//! The filter sees numbers, never what a pointer points to. So it decides by family and type of a
//! socket, and where a run has a network of its own ([`super::network`]) it has no need of more.

use std::collections::BTreeMap;
use std::fs;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

use crate::network::Reach;

/// The system calls ruled, with what rules them; no rule means always refused.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Refused whatever they are asked: an io_uring makes sockets without the system call that is
/// ruled here, and the keys of the session are its owner's.
const NEVER: [i64; 6] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];

/// Why no filter can be set here; `None` when it can.
pub(crate) fn missing() -> Option<String> {
    if arch().is_err() {
        let arch = std::env::consts::ARCH;
        return Some(format!("there is no filter of system calls for {arch} yet"));
    }
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    let able = actions.is_ok_and(|words| words.contains("kill_process") && words.contains("errno"));
    (!able).then(|| "this kernel has no seccomp filters".to_owned())
}

/// Sets the filter for this process and all it will start. There is no way back.
pub(super) fn set(reach: &Reach) -> Result<(), String> {
    let sockets = match reach {
        Reach::All => return Ok(()),
        Reach::Only(_) => within_its_network(),
        Reach::Nothing => Ok(Vec::new()),
    };
    let program = sockets.and_then(filter).map_err(|e| e.to_string())?;
    for program in [program, foreign_numbers()] {
        apply_filter(&program).map_err(|error| format!("the filter cannot be set: {error}"))?;
    }
    Ok(())
}

fn arch() -> Result<TargetArch, seccompiler::BackendError> {
    std::env::consts::ARCH.try_into()
}

/// Everything is allowed but what is ruled. Programs of another architecture, such as 32-bit ones,
/// have other numbers for the same calls and are killed at their first.
fn filter(sockets: Vec<SeccompRule>) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: Rules = NEVER.into_iter().map(|call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_socket, sockets);
    let pairs = SeccompRule::new(vec![family(SeccompCmpOp::Ne, libc::AF_UNIX)?])?;
    rules.insert(libc::SYS_socketpair, vec![pairs]);
    let refused = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refused, arch()?)?.try_into()
}

/// What [`Reach::Only`] refuses: everything but TCP and UDP, and the netlink socket with which
/// programs ask for their interfaces. Other families are not held by a network namespace (a
/// machine's host is one vsock away), or reach what the file system rules do not (named sockets).
fn within_its_network() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    /// The part of a socket's type beside its flags.
    const KIND: u64 = 0xf;
    let mut rules = vec![SeccompRule::new(vec![
        family(Ne, libc::AF_INET)?,
        family(Ne, libc::AF_INET6)?,
        family(Ne, libc::AF_NETLINK)?,
    ])?];
    let usual = [libc::SOCK_STREAM, libc::SOCK_DGRAM].map(i32::unsigned_abs);
    for kind in (0..=0xf_u32).filter(|kind| !usual.contains(kind)) {
        rules.push(SeccompRule::new(vec![
            family(Ne, libc::AF_NETLINK)?,
            argument(1, MaskedEq(KIND), kind)?,
        ])?);
    }
    let route = libc::NETLINK_ROUTE.unsigned_abs();
    rules.push(SeccompRule::new(vec![
        family(Eq, libc::AF_NETLINK)?,
        argument(2, Ne, route)?,
    ])?);
    Ok(rules)
}

fn family(op: SeccompCmpOp, family: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    argument(0, op, family.unsigned_abs())
}

/// A condition on an argument that the kernel takes as a C `int`.
fn argument(
    index: u8,
    op: SeccompCmpOp,
    value: u32,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value.into())
}

/// Has nothing behind the numbers of x32, the third set of system calls of an x86-64 kernel, which
/// runs under the same architecture. Elsewhere no number is that large.
fn foreign_numbers() -> BpfProgram {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32: u32 = 0x4000_0000;
    let none = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        // The number is the first word of what a filter is given.
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_IF_AT_LEAST, 0, 1, X32),
        step(RETURN, 0, 0, none),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}
