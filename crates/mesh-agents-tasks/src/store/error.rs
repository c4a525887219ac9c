//! What can go wrong in the database, in words for the person who has to mend it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong in the database.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no.
    #[error("the task database refused: {message}{}", .hint.map(|h| format!("; {h}")).unwrap_or_default())]
    Sqlite {
        /// SQLite's words.
        message: String,
        /// The next step, for the causes we know.
        hint: Option<&'static str>,
    },
    /// The disk does not take or give what the store is made of. What was stored before is whole,
    /// and the same write succeeds once the disk allows it.
    #[error("{trouble}{}: {message}", .path.as_ref().map(|path| format!(" ({})", path.display())).unwrap_or_default())]
    Disk {
        /// What is wrong with it.
        trouble: Trouble,
        /// The system's words.
        message: String,
        /// The file or directory that met it, where known.
        path: Option<PathBuf>,
    },
    /// The database was written by a newer version of this program.
    #[error(
        "the task database has schema {found} and this program knows schemas up to {known}; \
         run the newer version of agents, or choose another --data-dir"
    )]
    Newer {
        /// Its schema.
        found: u32,
        /// The newest we know.
        known: u32,
    },
    /// The file is a database of something else.
    #[error(
        "the file is a database of another program (application id {0:#x}); move it away, or choose another --data-dir"
    )]
    Foreign(i32),
    /// The database is damaged.
    #[error(
        "the task database is damaged ({0}); nothing was changed in it. Restore a backup (README, \"Backups\"), \
         or move the file away together with its -wal and -shm to start empty"
    )]
    Damaged(String),
    /// A row that this program cannot read.
    #[error("the task database holds a {what} this program cannot read: {why}")]
    Unreadable {
        /// What kind of row.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// No such task.
    #[error("no such task")]
    NoTask,
    /// The change does not fit the task's state.
    #[error(transparent)]
    Illegal(#[from] mesh_agents_core::transition::Illegal),
    /// The writer of this change belongs to an attempt that is over.
    #[error("the attempt that wrote this is over")]
    Stale,
    /// The log of the task is full.
    #[error("the task's log is full")]
    LogFull,
    /// The store is closed.
    #[error("the task store is closed")]
    Closed,
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No room, or over the quota.
    Full,
    /// It cannot be written.
    ReadOnly,
    /// It failed.
    Failed,
    /// Another program has locked the database for longer than a write waits.
    Busy,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the disk is full",
            Self::ReadOnly => "the disk cannot be written",
            Self::Failed => "the disk failed, or is full",
            Self::Busy => "another program holds the task database",
        })
    }
}

impl Trouble {
    /// The next step.
    #[must_use]
    pub fn next_step(self) -> &'static str {
        match self {
            Self::Full => {
                "Free some space there; with a few MiB free, agents tasks prune --older-than 7d makes more. What \
                 runs goes on, and is stored once there is room."
            }
            Self::ReadOnly => {
                "Make it writable again (its mount, its permissions), or choose another with --data-dir. What runs \
                 goes on, and is stored then."
            }
            Self::Failed => {
                "See what the system says of the disk (dmesg), free some space, and keep a copy of what can still be \
                 read: agents backup DIR, on another disk."
            }
            Self::Busy => {
                "End that program, or wait for it: an sqlite3 with an open transaction, a VACUUM, a backup that is not \
                 agents backup. What runs goes on, and is stored then."
            }
        }
    }
}

impl StoreError {
    /// Whether only the disk is in the way, or who holds it, so that the same write may succeed later.
    pub(crate) fn is_disk(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }

    /// Names the file or directory that met the trouble, where none is named yet.
    pub(crate) fn at(mut self, place: &Path) -> Self {
        if let Self::Disk { path, .. } = &mut self {
            path.get_or_insert_with(|| place.to_owned());
        }
        self
    }

    /// What an operation on a file below the data directory met.
    pub(crate) fn of_file(error: &io::Error, path: &Path) -> Self {
        use io::ErrorKind as Kind;
        let full = [Kind::StorageFull, Kind::QuotaExceeded].contains(&error.kind())
            // The limit of the process on the size of a file; our own limits carry no number.
            || error.kind() == Kind::FileTooLarge && error.raw_os_error().is_some();
        let trouble = if full {
            Trouble::Full
        } else if [Kind::ReadOnlyFilesystem, Kind::PermissionDenied].contains(&error.kind()) {
            Trouble::ReadOnly
        } else {
            Trouble::Failed
        };
        Self::Disk {
            trouble,
            message: error.to_string(),
            path: Some(path.to_owned()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Sqlite;
        let message = error.to_string();
        let disk = |trouble| Self::Disk {
            trouble,
            message: message.clone(),
            path: None,
        };
        match error.sqlite_error_code() {
            Some(Sqlite::DiskFull) => disk(Trouble::Full),
            Some(Sqlite::ReadOnly | Sqlite::PermissionDenied | Sqlite::CannotOpen) => {
                disk(Trouble::ReadOnly)
            }
            Some(Sqlite::SystemIoFailure) => disk(Trouble::Failed),
            Some(Sqlite::NotADatabase | Sqlite::DatabaseCorrupt) => Self::Damaged(message),
            Some(Sqlite::DatabaseBusy) => disk(Trouble::Busy),
            _ => Self::Sqlite {
                message,
                hint: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_disk_says_is_told_from_what_a_file_is() {
        let trouble = |number: i32| {
            let error = io::Error::from_raw_os_error(number);
            let StoreError::Disk { trouble, path, .. } =
                StoreError::of_file(&error, Path::new("/d/x"))
            else {
                panic!("{error}");
            };
            assert_eq!(path.as_deref(), Some(Path::new("/d/x")));
            trouble
        };
        // ENOSPC, EDQUOT, EFBIG; EROFS, EACCES; EIO.
        assert_eq!([28, 122, 27].map(trouble), [Trouble::Full; 3]);
        assert_eq!([30, 13].map(trouble), [Trouble::ReadOnly; 2]);
        assert_eq!(trouble(5), Trouble::Failed);
    }
}
