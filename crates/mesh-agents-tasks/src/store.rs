//! The database: one writer thread with group commit, a small pool of readers.
//!
//! Nobody outside this module sees SQL. Writes are functions over one connection that run inside a
//! transaction shared with whatever else waits at that moment; each either succeeds whole or leaves
//! nothing. A write is answered after its transaction is on disk.

mod append;
mod attempts;
mod backup;
mod count;
mod error;
mod facts;
#[cfg(test)]
mod model;
mod open;
#[cfg(test)]
mod past;
pub(crate) mod push;
mod questions;
mod read;
mod retention;
mod rows;
mod submits;
mod write;

use std::path::PathBuf;

use rusqlite::Connection;

pub(crate) use append::{Change, append, apply, reach, store_artifact};
pub(crate) use attempts::{Terms, attempt, run_gone, run_process, session_opened, start_attempt};
pub(crate) use backup::{Looked, copy, look_at_all};
pub(crate) use count::total;
pub use error::{StoreError, Trouble};
pub(crate) use facts::{facts, keep_fact};
pub(crate) use questions::{Answered, Open as OpenQuestion, answer, ask, open_questions, settle};
pub(crate) use read::{
    artifact, artifacts, asked, batch, events, has_tasks, heard, history, last_activity, list,
    open_tasks, response, root, said_at, task,
};
pub(crate) use retention::{
    Content, Leaving, clear, forecast, forget, forget_keys, is_named, kept, left_over, take,
};
pub(crate) use rows::Row;
pub(crate) use submits::{
    Found, Key, answered, find, give_up, insert_task, undelivered, waiting_for_node,
};

use open::open_connection;
use read::Readers;
use write::Writer;

/// Looks at everything in a database that nobody has open; `None` when there is none.
pub(crate) fn look_at_closed(
    path: &std::path::Path,
    blobs: &std::path::Path,
) -> Result<Option<Looked>, StoreError> {
    let Some(db) = open::open_to_look(path)? else {
        return Ok(None);
    };
    look_at_all(&db, blobs).map(Some)
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
        let writer = Writer::start(connection, path.clone())?;
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

    /// Writes what is waiting and closes the database; later reads and writes fail with
    /// [`StoreError::Closed`]. The last connection to go is the writer's: it moves what is in the
    /// write-ahead log to its place, so that the next open finds a clean end.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
