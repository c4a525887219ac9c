//! The three files of an agent directory: their names, how large they may be, how they are read,
//! and how a change of them is noticed without reading.

use std::fs::{self, Metadata};
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::code;
use crate::problem::Action;
use crate::report::Report;

/// The public contract, A2A v1 native JSON.
pub const CARD_FILE: &str = "agent-card.json";
/// The private execution policy.
pub const RUNTIME_FILE: &str = "runtime.toml";
/// The brief, unless `instructions.file` names another file.
pub(crate) const DEFAULT_INSTRUCTIONS_FILE: &str = "instructions.md";

/// Largest `runtime.toml`, in bytes: many times what all keys of DESIGN §2.5 take.
pub const RUNTIME_BYTES: usize = 256 * 1024;
/// Largest instructions file, in bytes: more would crowd the task out of any model's context.
pub const INSTRUCTIONS_BYTES: usize = 256 * 1024;

/// Reads a whole text file of at most `limit` bytes. `None` when that is not possible, reported.
pub(crate) fn read_text(
    path: &Path,
    limit: usize,
    missing: &str,
    report: &mut Report<'_>,
) -> Option<String> {
    match try_read(path, limit) {
        Ok(text) => Some(text),
        Err(Unreadable::Missing) => {
            report.error(code::NOT_FOUND, None, "", "there is no such file", missing);
            None
        }
        Err(Unreadable::Because(code, reason, fix)) => {
            let told = report.error(code, None, "", reason, fix);
            if code == code::PERMISSIONS {
                told.action(Action::SetMode {
                    file: path.to_owned(),
                    mode: 0o644,
                });
            }
            None
        }
    }
}

enum Unreadable {
    Missing,
    Because(&'static str, String, String),
}

fn try_read(path: &Path, limit: usize) -> Result<String, Unreadable> {
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Unreadable::Missing,
        kind => Unreadable::Because(
            match kind {
                std::io::ErrorKind::PermissionDenied => code::PERMISSIONS,
                _ => code::UNREADABLE,
            },
            format!("cannot be read: {error}"),
            "check its owner and permissions".to_owned(),
        ),
    };
    // Asked before opening: opening a pipe would wait for its writer for ever.
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(Unreadable::Because(
            code::UNREADABLE,
            "is not a file".to_owned(),
            "put a text file in its place".to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    fs::File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(io)?;
    if bytes.len() > limit {
        return Err(Unreadable::Because(
            code::TOO_LARGE,
            format!("is larger than {} KiB", limit / 1024),
            "shorten it".to_owned(),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        Unreadable::Because(
            code::UNREADABLE,
            format!("is not UTF-8 (byte {})", error.utf8_error().valid_up_to()),
            "save it as UTF-8".to_owned(),
        )
    })?;
    if text.starts_with('\u{feff}') {
        return Err(Unreadable::Because(
            code::UNREADABLE,
            "starts with a byte order mark".to_owned(),
            "save it as UTF-8 without one".to_owned(),
        ));
    }
    Ok(text)
}

/// SHA-256 over the texts, each preceded by its length, in hex.
pub(crate) fn digest(texts: [&str; 3]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// What changes, as far as one can see from outside, when a file is written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    identity: Identity,
}

impl Stamp {
    /// The stamp of the file behind `path`, links followed; `None` when there is nothing to see.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            identity: identity(&metadata),
        })
    }
}

/// Which file or directory this is, whatever its name, and when its inode last changed.
pub(crate) type Identity = Option<(u64, u64, i64, i64)>;

/// Tells a replaced file from the one before even when size and times were copied.
#[cfg(unix)]
pub(crate) fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    Some((
        metadata.dev(),
        metadata.ino(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ))
}

/// Elsewhere the time of the last write has to do.
#[cfg(not(unix))]
pub(crate) fn identity(_metadata: &Metadata) -> Identity {
    None
}

/// Which directory it is, whatever its name and whatever changed inside it.
pub(crate) type Inode = Option<(u64, u64)>;

/// Which directory this is.
pub(crate) fn inode(metadata: &Metadata) -> Inode {
    identity(metadata).map(|(device, inode, ..)| (device, inode))
}
