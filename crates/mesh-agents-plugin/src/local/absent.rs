//! A system without the local sockets this crate speaks over. The types have no values, so all that is asked of one
//! is answered by there being none; what would make one fails with [`io::ErrorKind::Unsupported`].

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use mesh_agents_core::system::NO_RUNS;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, NO_RUNS)
}

/// A connection; there is none here.
#[derive(Debug)]
pub struct UnixStream(Infallible);

impl UnixStream {
    /// Connects.
    ///
    /// # Errors
    /// Always: there is no such socket here.
    pub async fn connect(_socket: impl AsRef<Path>) -> io::Result<Self> {
        Err(missing())
    }

    pub(crate) fn into_split(self) -> (Self, Self) {
        match self.0 {}
    }

    pub(crate) fn peer_cred(&self) -> io::Result<UCred> {
        match self.0 {}
    }
}

impl AsyncRead for UnixStream {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl AsyncWrite for UnixStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

/// A socket that takes connections; there is none here.
#[derive(Debug)]
pub struct UnixListener(Infallible);

impl UnixListener {
    /// Listens.
    ///
    /// # Errors
    /// Always: there is no such socket here.
    pub fn bind(_path: impl AsRef<Path>) -> io::Result<Self> {
        Err(missing())
    }

    pub(crate) async fn accept(&self) -> io::Result<(UnixStream, Infallible)> {
        match self.0 {}
    }
}

/// Who is at the other end of a connection; there is none here.
#[derive(Debug)]
pub(crate) struct UCred(Infallible);

impl UCred {
    pub(crate) fn uid(&self) -> u32 {
        match self.0 {}
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        match self.0 {}
    }
}

/// Whether something accepts connections there: nothing can.
#[must_use]
pub fn listens(_socket: &Path) -> bool {
    false
}

/// Keeps everybody but our own user from a socket.
///
/// # Errors
/// Always: there is no such socket here.
pub fn owner_only(_socket: &Path) -> io::Result<()> {
    Err(missing())
}

/// The directory of sockets cannot be made: there are none here.
pub(crate) fn private_dir(_dir: &Path) -> io::Result<()> {
    Err(missing())
}

pub(crate) fn is_ours(peer: &UCred) -> bool {
    match peer.0 {}
}
