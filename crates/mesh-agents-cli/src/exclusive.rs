//! Files that several processes read, change and replace: one of them at a time.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::system;

/// Waits until nobody else changes `file`, and keeps others from it until it is dropped. The lock is on a file
/// beside it, since the file itself is replaced; it ends with its process, however that ends.
pub(crate) fn hold(file: &Path) -> Result<File> {
    let guard = file.with_extension("lock");
    system::owners_file()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&guard)
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("cannot lock {}", guard.display()))
}
