//! Handing file descriptors to another process over a Unix socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Most descriptors that travel at once: the sockets of a network of its own. A harness's stdin,
/// stdout and stderr are fewer.
const MOST: usize = crate::network::MOST;

/// Sends these descriptors with one byte; never blocks on a fresh socket.
pub(super) fn send(socket: impl AsFd, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if fds.len() > MOST || !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds))
    {
        return Err(io::Error::other("too many file descriptors at once"));
    }
    sendmsg(
        socket,
        &[IoSlice::new(b"\n")],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Receives exactly `N` descriptors; none of them passes on to a child.
pub(super) fn receive<const N: usize>(socket: &UnixStream) -> io::Result<[OwnedFd; N]> {
    let found = receive_all(socket)?;
    let count = found.len();
    <[OwnedFd; N]>::try_from(found)
        .map_err(|_| io::Error::other(format!("expected {N} file descriptors, got {count}")))
}

/// Receives the descriptors of one message, none at the end of the stream; none passes on to a child.
pub(super) fn receive_all(socket: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8; 1];
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::empty(),
    )?;
    let mut found = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            found.extend(fds);
        }
    }
    for fd in &found {
        fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    }
    Ok(found)
}
