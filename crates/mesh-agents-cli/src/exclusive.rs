//! Files that several processes read, change and replace: one of them at a time.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Waits until nobody else changes `file`, and keeps others from it until it is dropped. The lock is on a file
/// beside it, since the file itself is replaced; it ends with its process, however that ends.
pub(crate) fn hold(file: &Path) -> Result<File> {
    let guard = file.with_extension("lock");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&guard)
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("cannot lock {}", guard.display()))
}
