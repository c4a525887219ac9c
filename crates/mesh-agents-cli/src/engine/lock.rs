//! One engine per data directory: the lock, and what it says about its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mesh_agents_core::layout::Layout;
use mesh_agents_plugin::local::listens;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::system;

/// Longest socket path every platform takes (`sun_path` is 104 bytes on macOS, 108 on Linux).
const SOCKET_PATH: usize = 100;

/// What the lock file says about the engine that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Its process.
    pub(crate) pid: u32,
    /// Where it listens for front-ends.
    pub(crate) socket: PathBuf,
    /// Its version.
    pub(crate) version: String,
    /// Where it listens for HTTP.
    pub(crate) base_url: Option<String>,
}

/// How long a holder that does not answer may take to go: its last answers have 2 s.
const LEAVING: Duration = Duration::from_secs(5);
/// Between two looks at it.
const POLL: Duration = Duration::from_millis(5);

/// Another engine has the lock; who, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Held(String);

/// The lock, held until dropped (or until the process dies, however it dies).
#[derive(Debug)]
pub(crate) struct EngineLock {
    file: File,
}

impl EngineLock {
    /// Takes the lock, or says who has it. A holder that does not answer on `socket` is on its way
    /// out (or in), so it is waited for: a killed engine has its files until its last thread is
    /// gone, and one that was told to stop closes its socket first.
    pub(crate) async fn take_over(layout: &Layout, socket: &Path) -> Result<Self> {
        let deadline = Instant::now() + LEAVING;
        loop {
            match Self::take(layout) {
                Err(error) if error.is::<Held>() => {
                    if Instant::now() > deadline || listens(socket) {
                        return Err(error);
                    }
                }
                taken => return taken,
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes the lock, or says who has it.
    fn take(layout: &Layout) -> Result<Self> {
        let root = layout.root();
        std::fs::create_dir_all(root).with_context(|| {
            format!("cannot create {}; check that the data directory is writable, or choose another with --data-dir", root.display())
        })?;
        let path = layout.engine_lock();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = file.with_context(|| {
            format!("cannot write {}; check that the data directory is writable, or choose another with --data-dir", path.display())
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                let who = holder(layout)
                    .map_or_else(String::new, |holder| format!(" (pid {})", holder.pid));
                Err(Held(format!(
                    "an engine{who} already runs on {}\nUse it (agents status), or stop it first: agents stop",
                    root.display()
                ))
                .into())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Writes who holds the lock.
    pub(crate) fn write(&mut self, holder: &Holder) -> Result<()> {
        let text = serde_json::to_vec(holder)?;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&text)?;
        self.file.sync_data()?;
        Ok(())
    }
}

/// Who held the lock last; that it still lives is shown by its socket only.
pub(crate) fn holder(layout: &Layout) -> Option<Holder> {
    let mut text = String::new();
    File::open(layout.engine_lock())
        .ok()?
        .read_to_string(&mut text)
        .ok()?;
    serde_json::from_str(&text).ok()
}

/// Where the engine of this data directory listens. A path too long for a socket moves to a
/// directory of our own below the system's temporary one.
///
/// # Errors
/// Where no engine can run ([`system::can_run_engine`]), and where that directory is not ours alone.
pub(crate) fn socket_path(layout: &Layout, temp: &Path) -> Result<PathBuf> {
    // Whatever needs an engine comes by here.
    system::can_run_engine()?;
    let path = layout.engine_socket();
    if path.as_os_str().len() < SOCKET_PATH {
        return Ok(path);
    }
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let name: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let dir = system::own_temp_dir(temp)?;
    Ok(dir.join(format!("{name}.sock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_engine_is_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let mut lock = EngineLock::take(&layout).unwrap();
        let socket = socket_path(&layout, dir.path()).unwrap();
        let me = Holder {
            pid: 4711,
            socket,
            version: "0.1.0".into(),
            base_url: None,
        };
        lock.write(&me).unwrap();
        assert_eq!(holder(&layout), Some(me));
        let refused = format!("{:#}", EngineLock::take(&layout).unwrap_err());
        assert!(
            refused.contains("pid 4711") && refused.contains("agents stop"),
            "{refused}"
        );
        drop(lock);
        EngineLock::take(&layout).unwrap();
    }

    #[tokio::test]
    async fn a_holder_is_waited_for_unless_it_answers() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let socket = dir.path().join("sock");
        let held = EngineLock::take(&layout).unwrap();
        let (taken, ()) = tokio::join!(EngineLock::take_over(&layout, &socket), async {
            // By now the other side has met the lock and waits.
            drop(held);
        });
        let _held = taken.unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let refused = EngineLock::take_over(&layout, &socket).await.unwrap_err();
        assert!(refused.is::<Held>(), "{refused:#}");
    }

    #[test]
    fn a_long_data_directory_still_has_a_socket() {
        let temp = tempfile::tempdir().unwrap();
        let long = temp.path().join("x".repeat(120));
        let socket = socket_path(&Layout::new(&long), temp.path()).unwrap();
        assert!(
            socket.as_os_str().len() < SOCKET_PATH,
            "{}",
            socket.display()
        );
        assert_ne!(
            socket,
            socket_path(&Layout::new(&long.join("y")), temp.path()).unwrap()
        );
    }
}
