//! A network of a process's own: a namespace in which there is loopback and nothing else.
//!
//! An unprivileged process gets one only together with a user namespace, in which it keeps its ids
//! and has no others. That takes no rights over files from anybody but the superuser, who can then
//! not touch what belongs to others.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

/// Moves this process, which must have one thread, into a network of its own and listens there at
/// `addresses`. The sockets keep working, from outside too, whoever holds them.
pub(crate) fn own_network(addresses: &[SocketAddrV4]) -> Result<Vec<OwnedFd>, String> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    separate().map_err(|error| format!("no network namespace of its own: {error}{}", hint()))?;
    keep_ids(user, group).map_err(|error| format!("its ids cannot be kept: {error}{}", hint()))?;
    loopback_up().map_err(|error| format!("its loopback cannot be set up: {error}"))?;
    let listen = |address: &SocketAddrV4| {
        TcpListener::bind(address)
            .map(OwnedFd::from)
            .map_err(|error| format!("{address} cannot be granted: {error}"))
    };
    addresses.iter().map(listen).collect()
}

/// What usually stands in the way.
fn hint() -> &'static str {
    let set = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok();
    let is = |name: &str, value: &str| set(name).is_some_and(|found| found.trim() == value);
    if is("user/max_user_namespaces", "0") {
        "; user.max_user_namespaces is 0"
    } else if is("kernel/unprivileged_userns_clone", "0") {
        "; kernel.unprivileged_userns_clone is 0"
    } else if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        "; AppArmor keeps user namespaces to programs with a profile that has `userns,` (kernel.apparmor_restrict_unprivileged_userns)"
    } else {
        "; user namespaces are not allowed here, as in many containers"
    }
}

#[expect(
    deprecated,
    reason = "deprecated for what CLONE_FILES does to other threads, which is neither asked for nor are there any"
)]
fn separate() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)
}

/// Maps our own ids to themselves. Supplementary groups stay as the kernel knows them.
fn keep_ids(user: u32, group: u32) -> io::Result<()> {
    // Asked of whoever maps a group without privilege: else a group that denies could be dropped.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))
}

/// Sets the one interface up, which gives it 127.0.0.0/8 and ::1.
fn loopback_up() -> io::Result<()> {
    // NETLINK_ROUTE is protocol 0, the one of a family that is not asked for another.
    let flags = SocketFlags::CLOEXEC;
    let kernel = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    let mut kernel = File::from(kernel);
    kernel.write_all(&link_up())?;
    let mut answer = [0_u8; 1024];
    let length = kernel.read(&mut answer)?;
    match acknowledged(answer.get(..length).unwrap_or_default()) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno.saturating_neg())),
        None => Err(io::Error::other("the kernel answered something else")),
    }
}

/// `RTM_NEWLINK` for interface 1, which is loopback in every namespace: rtnetlink(7).
fn link_up() -> [u8; 32] {
    const NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const UP: u32 = 1;
    let mut message = [0_u8; 32];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in message.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    // struct nlmsghdr: length, type, flags, sequence, port.
    put(0, &32_u32.to_ne_bytes());
    put(4, &NEWLINK.to_ne_bytes());
    put(6, &REQUEST_AND_ACK.to_ne_bytes());
    put(8, &1_u32.to_ne_bytes());
    // struct ifinfomsg: family and type stay 0; index, flags, which flags change.
    put(20, &1_i32.to_ne_bytes());
    put(24, &UP.to_ne_bytes());
    put(28, &UP.to_ne_bytes());
    message
}

/// The error in an `NLMSG_ERROR`, which is 0 for done; netlink(7).
fn acknowledged(answer: &[u8]) -> Option<i32> {
    const ERROR: u16 = 2;
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == ERROR).then_some(error)
}
