//! Unix sockets, as tokio has them.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use tokio::net::unix::UCred;
pub use tokio::net::{UnixListener, UnixStream};

/// Whether something accepts connections there. Blocks, for a moment.
#[must_use]
pub fn listens(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

/// Keeps everybody but our own user from a socket.
///
/// # Errors
/// When the permissions of the file cannot be changed.
pub fn owner_only(socket: &Path) -> io::Result<()> {
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))
}

/// Makes a directory only our own user can enter, or makes an existing one such.
pub(crate) fn private_dir(dir: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::set_permissions(dir, fs::Permissions::from_mode(0o700)),
    }
}

/// Whether the process at the other end is our own user's.
pub(crate) fn is_ours(peer: &UCred) -> bool {
    peer.uid() == rustix::process::geteuid().as_raw()
}
