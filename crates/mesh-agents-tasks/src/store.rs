//! The database: one writer thread with group commit, a small pool of readers.
//!
//! Nobody outside this module sees SQL. Writes are functions over one connection that run inside a
//! transaction shared with whatever else waits at that moment; each either succeeds whole or leaves
//! nothing. A write is answered after its transaction is on disk.

mod append;
mod count;
mod open;
mod questions;
mod read;
mod rows;
mod submits;
mod write;

use std::path::PathBuf;

use rusqlite::Connection;

pub(crate) use append::{Change, append, apply, attempt_started, run_process, store_artifact};
pub(crate) use count::total;
pub(crate) use questions::{Answered, Open as OpenQuestion, answer, ask, settle};
pub(crate) use read::{
    Open, artifact, artifacts, batch, events, history, last_activity, list, open_tasks, response,
    task,
};
pub(crate) use rows::Row;
pub(crate) use submits::{Found, Key, answered, find, insert_task};

use open::open_connection;
use read::Readers;
use write::Writer;

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
    /// The database is damaged.
    #[error(
        "the task database is damaged ({0}); move it aside to start empty, or restore a backup"
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

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Sqlite;
        let hint = match error.sqlite_error_code() {
            Some(Sqlite::DiskFull) => Some("the disk is full: free some space and try again"),
            Some(Sqlite::ReadOnly | Sqlite::PermissionDenied | Sqlite::CannotOpen) => {
                Some("check that the data directory is writable, or choose another with --data-dir")
            }
            Some(Sqlite::SystemIoFailure) => Some("the disk failed or is full"),
            Some(Sqlite::NotADatabase | Sqlite::DatabaseCorrupt) => {
                return Self::Damaged(error.to_string());
            }
            _ => None,
        };
        Self::Sqlite {
            message: error.to_string(),
            hint,
        }
    }
}

/// The open database. Cheap to clone; closed when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    writer: Writer,
    readers: Readers,
}

impl Store {
    /// Opens or creates the database, migrates it, and starts the writer.
    pub(crate) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let connection = open_connection(&path)?;
        let writer = Writer::start(connection)?;
        Ok(Self {
            writer,
            readers: Readers::new(path),
        })
    }

    /// Runs `op` in a transaction and returns once that is on disk. On `Err` nothing of it is kept.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        op: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(op).await
    }

    /// Runs `op` on a reading connection, off the async threads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        op: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(op).await
    }

    /// Writes what is waiting and stops the writer; later writes fail with [`StoreError::Closed`].
    pub(crate) async fn close(&self) {
        self.writer.close().await;
    }
}
