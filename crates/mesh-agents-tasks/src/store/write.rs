//! The one writer: a thread that owns the writing connection and commits in groups.
//!
//! A commit costs one `fsync` whatever it holds, so all writes that wait when one begins share it.
//! Each runs inside a savepoint: one that fails is undone alone and the others go on.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// Writes that may wait. Callers beyond it wait for a place, which is the back-pressure.
const QUEUE: usize = 4096;
/// Most writes in one transaction: bounds how long the first of them waits for the last.
const GROUP: usize = 512;

/// Performs a write; returns what tells the caller, to be called with the fate of the commit.
type Job = Box<dyn FnOnce(&Connection) -> Done + Send>;
type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Handle to the writer thread.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    closing: tokio_util::sync::CancellationToken,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("task-store".to_owned())
            .spawn(move || run(&connection, inbox))
            .map_err(|error| StoreError::Sqlite {
                message: format!("cannot start the writer thread: {error}"),
                hint: None,
            })?;
        Ok(Self {
            jobs,
            thread: Arc::new(Mutex::new(Some(thread))),
            closing: tokio_util::sync::CancellationToken::new(),
        })
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        op: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.closing.is_cancelled() {
            return Err(StoreError::Closed);
        }
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = in_savepoint(connection, op);
            Box::new(move |committed| {
                // A caller that has gone away does not undo its write.
                let _gone = reply.send(result.and_then(|value| committed.map(|()| value)));
            })
        });
        self.jobs
            .send(job)
            .await
            .map_err(|_closed| StoreError::Closed)?;
        answer.await.map_err(|_closed| StoreError::Closed)?
    }

    pub(super) async fn close(&self) {
        self.closing.cancel();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else { return };
        // The thread ends at a job that says so, after all that came before it.
        let (reply, answer) = oneshot::channel::<()>();
        let last: Job = Box::new(move |_connection| Box::new(move |_fate| drop(reply)));
        if self.jobs.send(last).await.is_ok() {
            let _dropped = answer.await;
        }
        drop(thread);
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    op: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection
        .prepare_cached("SAVEPOINT one_write")?
        .execute([])?;
    match op(connection) {
        Ok(value) => {
            connection
                .prepare_cached("RELEASE one_write")?
                .execute([])?;
            Ok(value)
        }
        Err(error) => {
            connection
                .prepare_cached("ROLLBACK TO one_write")?
                .execute([])?;
            connection
                .prepare_cached("RELEASE one_write")?
                .execute([])?;
            Err(error)
        }
    }
}

fn run(connection: &Connection, mut inbox: mpsc::Receiver<Job>) {
    while let Some(first) = inbox.blocking_recv() {
        let mut dones = Vec::new();
        let fate = group(connection, first, &mut inbox, &mut dones);
        for done in dones {
            done(fate.clone());
        }
    }
}

fn group(
    connection: &Connection,
    first: Job,
    inbox: &mut mpsc::Receiver<Job>,
    dones: &mut Vec<Done>,
) -> Result<(), StoreError> {
    let begun = connection
        .prepare_cached("BEGIN IMMEDIATE")
        .and_then(|mut sql| sql.execute([]));
    // Without a transaction the writes still run, each to be told why it was not kept.
    dones.push(first(connection));
    while dones.len() < GROUP
        && let Ok(job) = inbox.try_recv()
    {
        dones.push(job(connection));
    }
    let fate = begun.and_then(|_| connection.prepare_cached("COMMIT")?.execute([]));
    if fate.is_err() && !connection.is_autocommit() {
        // Nothing of the group is kept; SQLite may have rolled back by itself already.
        let _rolled_back = connection.execute_batch("ROLLBACK");
    }
    fate.map(|_| ()).map_err(StoreError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (x INTEGER PRIMARY KEY)")
            .unwrap();
        Writer::start(connection).unwrap()
    }

    fn insert(x: i64) -> impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static {
        move |db| {
            db.execute("INSERT INTO t VALUES (?1)", [x])?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_write_that_fails_is_undone_alone() {
        let writer = writer();
        let half = writer.write(|db| {
            db.execute("INSERT INTO t VALUES (7)", [])?;
            Err::<(), _>(StoreError::Stale)
        });
        let (a, half, b) = tokio::join!(writer.write(insert(1)), half, writer.write(insert(2)));
        a.unwrap();
        b.unwrap();
        assert!(matches!(half, Err(StoreError::Stale)));
        let sum: i64 = writer
            .write(|db| Ok(db.query_row("SELECT sum(x) FROM t", [], |row| row.get(0))?))
            .await
            .unwrap();
        assert_eq!(sum, 3);
    }

    #[tokio::test]
    async fn after_close_what_was_written_stays_and_nothing_more_is_taken() {
        let writer = writer();
        writer.write(insert(1)).await.unwrap();
        writer.close().await;
        assert!(matches!(
            writer.write(insert(2)).await,
            Err(StoreError::Closed)
        ));
    }
}
