//! Linux and macOS.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::settings::Environment;

/// Why no engine can run here.
pub(super) const MISSING: Option<&str> = None;

/// The variable that names the owner's home directory.
pub(crate) const HOME: &str = "HOME";

/// Leaves the terminal's session: a Ctrl-C there is not meant for the engine. It fails where somebody starts the
/// engine by hand, and then the Ctrl-C is meant for it.
pub(crate) fn leave_terminal() {
    let _by_hand = rustix::process::setsid();
}

/// What this machine calls itself.
pub(crate) fn host_name(_environment: &Environment) -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// The process that started this one.
pub(crate) fn parent() -> Option<i32> {
    Some(rustix::process::getppid()?.as_raw_nonzero().get())
}

/// A file that is made by these is its owner's alone to read and write.
pub(crate) fn owners_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Keeps others from a file. Whether they could read it until now.
pub(crate) fn keep_from_others(path: &Path) -> Result<bool> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(false);
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("others can read {}", path.display()))?;
    Ok(true)
}

/// A directory of our own user's below `temp`, made if it is not there.
///
/// # Errors
/// When something else lies there, or others can enter it.
pub(crate) fn own_temp_dir(temp: &Path) -> Result<PathBuf> {
    let us = rustix::process::getuid().as_raw();
    let dir = temp.join(format!("mesh-agents-{us}"));
    match DirBuilder::new().mode(0o700).create(&dir) {
        Ok(()) => Ok(dir),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = std::fs::symlink_metadata(&dir)?;
            let ours = metadata.is_dir() && metadata.uid() == us;
            if ours && metadata.mode() & 0o077 == 0 {
                Ok(dir)
            } else {
                bail!(
                    "{} exists and is not a private directory of yours; remove it",
                    dir.display()
                )
            }
        }
        Err(error) => Err(error).with_context(|| format!("cannot create {}", dir.display())),
    }
}

/// The signals that end a process in the foreground or by its supervisor.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Hears them from now on, instead of ending by them.
    pub(crate) fn new() -> Result<Self> {
        let hear = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
        })
    }

    /// Waits for the next.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
