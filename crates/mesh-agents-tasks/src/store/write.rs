//! The one writer: a thread that owns the writing connection and commits in groups.
//!
//! A commit costs one `fsync` whatever it holds, so all writes that wait when one begins share it.
//! Each runs inside a savepoint: one that fails is undone alone and the others go on.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// Writes that may wait. Callers beyond it wait for a place, which is the back-pressure.
const QUEUE: usize = 4096;
/// Most writes in one transaction: bounds how long the first of them waits for the last.
const GROUP: usize = 512;

/// Performs a write inside the transaction of its group, or learns why there is none; what it
/// returns is to be called with the fate of the commit.
type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Ran + Send>;
type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A write that was performed.
struct Ran {
    done: Done,
    error: Option<StoreError>,
}

/// What the writer is sent.
enum Order {
    Write(Job),
    /// Close the database and say so by dropping this.
    Close(oneshot::Sender<()>),
}

/// Handle to the writer thread.
#[derive(Clone)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    path: Arc<Path>,
    closing: tokio_util::sync::CancellationToken,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread. `path` is what errors of the disk name.
    pub(super) fn start(connection: Connection, path: PathBuf) -> Result<Self, StoreError> {
        let (orders, inbox) = mpsc::channel(QUEUE);
        // The thread ends when it is told to close, or with the last handle.
        let _thread = std::thread::Builder::new()
            .name("task-store".to_owned())
            .spawn(move || run(connection, inbox))
            .map_err(|error| StoreError::Sqlite {
                message: format!("cannot start the writer thread: {error}"),
                hint: None,
            })?;
        Ok(Self {
            orders,
            path: path.into(),
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
            let result = connection.and_then(|connection| in_savepoint(connection, caught(op)));
            let error = result.as_ref().err().cloned();
            let done: Done = Box::new(move |committed| {
                // A caller that has gone away does not undo its write.
                let _gone = reply.send(result.and_then(|value| committed.map(|()| value)));
            });
            Ran { done, error }
        });
        self.orders
            .send(Order::Write(job))
            .await
            .map_err(|_closed| StoreError::Closed)?;
        let result = answer.await.map_err(|_closed| StoreError::Closed)?;
        result.map_err(|error| error.at(&self.path))
    }

    pub(super) async fn close(&self) {
        self.closing.cancel();
        // Closed after all that came before.
        let (reply, closed) = oneshot::channel::<()>();
        if self.orders.send(Order::Close(reply)).await.is_ok() {
            let _dropped = closed.await;
        }
    }
}

/// A write that panics has failed, and is undone: the thread writes for everybody, and without it an engine would go
/// on that can store nothing.
fn caught<T>(
    op: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> impl FnOnce(&Connection) -> Result<T, StoreError> {
    move |connection: &Connection| {
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| op(connection)));
        ran.unwrap_or_else(|_said_on_standard_error| {
            Err(StoreError::Sqlite {
                message: "a write panicked".to_owned(),
                hint: Some("this is a mistake of the program: report it with what engine.log says"),
            })
        })
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    op: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection
        .prepare_cached("SAVEPOINT one_write")?
        .execute([])?;
    let result = op(connection);
    // Where the disk refuses, SQLite may undo the whole transaction itself; the savepoint is gone then.
    if result.is_err() && !connection.is_autocommit() {
        connection
            .prepare_cached("ROLLBACK TO one_write")?
            .execute([])?;
    }
    if !connection.is_autocommit() {
        connection
            .prepare_cached("RELEASE one_write")?
            .execute([])?;
    }
    result
}

fn run(connection: Connection, mut inbox: mpsc::Receiver<Order>) {
    let mut closing = None;
    while closing.is_none()
        && let Some(order) = inbox.blocking_recv()
    {
        let first = match order {
            Order::Write(job) => job,
            Order::Close(reply) => {
                closing = Some(reply);
                break;
            }
        };
        let mut dones = Vec::new();
        let next = || match inbox.try_recv().ok()? {
            Order::Write(job) => Some(job),
            Order::Close(reply) => {
                closing = Some(reply);
                None
            }
        };
        let fate = group(&connection, first, next, &mut dones);
        for done in dones {
            done(fate.clone());
        }
    }
    // What the last close does to the files is done before anybody is told.
    drop(connection);
    drop(closing);
}

/// Runs the writes that wait in one transaction. Either all that succeeded are on disk after it, or
/// none is and all are told so.
fn group(
    connection: &Connection,
    first: Job,
    mut next: impl FnMut() -> Option<Job>,
    dones: &mut Vec<Done>,
) -> Result<(), StoreError> {
    let begun = connection
        .prepare_cached("BEGIN IMMEDIATE")
        .and_then(|mut sql| sql.execute([]));
    if let Err(error) = begun {
        // Outside of a transaction each write would be kept by itself, whatever it is told.
        let error = StoreError::from(error);
        dones.push(first(Err(error.clone())).done);
        return Err(error);
    }
    let mut job = Some(first);
    while let Some(one) = job {
        let ran = one(Ok(connection));
        dones.push(ran.done);
        if connection.is_autocommit() {
            // The disk refused and SQLite undid all of the group, this write and those before it.
            return Err(ran.error.unwrap_or(StoreError::Closed));
        }
        job = if dones.len() < GROUP { next() } else { None };
    }
    let fate = connection
        .prepare_cached("COMMIT")
        .and_then(|mut sql| sql.execute([]));
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
        Writer::start(connection, "here".into()).unwrap()
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
    async fn a_write_that_panics_is_undone_and_others_go_on() {
        let writer = writer();
        let wrong = writer.write::<()>(|db| {
            db.execute("INSERT INTO t VALUES (7)", [])?;
            panic!("on purpose")
        });
        let (a, wrong, b) = tokio::join!(writer.write(insert(1)), wrong, writer.write(insert(2)));
        a.unwrap();
        b.unwrap();
        let wrong = wrong.unwrap_err().to_string();
        assert!(wrong.contains("a write panicked"), "{wrong}");
        let sum: i64 = writer
            .write(|db| Ok(db.query_row("SELECT sum(x) FROM t", [], |row| row.get(0))?))
            .await
            .unwrap();
        assert_eq!(sum, 3);
    }

    #[tokio::test]
    async fn a_full_disk_keeps_just_what_it_said_it_kept() {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("t.sqlite")).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA cache_size = 10; PRAGMA max_page_count = 40; \
                 CREATE TABLE t (x INTEGER PRIMARY KEY, y)",
            )
            .unwrap();
        let writer = Writer::start(connection, "/data/here".into()).unwrap();
        let row = |x: i64, bytes: i64| {
            move |db: &Connection| {
                db.execute("INSERT INTO t VALUES (?1, zeroblob(?2))", [x, bytes])?;
                Ok(())
            }
        };
        // All in one group: the thread is held until the others wait.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = writer.write(move |db| {
            wait.recv().unwrap();
            row(1, 10)(db)
        });
        let mut first = Box::pin(first);
        assert!(futures::poll!(&mut first).is_pending());
        let mut rest: Vec<_> = [(2, 10), (3, 4_000_000), (4, 10), (5, 10)]
            .into_iter()
            .map(|(x, bytes)| Box::pin(writer.write(row(x, bytes))))
            .collect();
        for one in &mut rest {
            assert!(futures::poll!(one).is_pending());
        }
        go.send(()).unwrap();
        let mut told = vec![first.await];
        for one in rest {
            told.push(one.await);
        }
        let kept: Vec<i64> = writer
            .write(|db| {
                let mut sql = db.prepare("SELECT x FROM t ORDER BY x")?;
                let rows = sql.query_map([], |row| row.get(0))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
            .unwrap();
        let said: Vec<i64> = (1..)
            .zip(&told)
            .filter(|(_, told)| told.is_ok())
            .map(|(x, _)| x)
            .collect();
        assert_eq!(kept, said, "{told:?}");
        let refused = told[2].as_ref().unwrap_err();
        assert!(refused.is_disk(), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("the disk is full (/data/here)"), "{text}");
        // Room again, work again.
        writer
            .write(|db| Ok(db.execute_batch("PRAGMA max_page_count = 100000")?))
            .await
            .unwrap();
        writer.write(row(6, 4_000_000)).await.unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_turns_read_only_is_named() {
        let writer = writer();
        let read_only = |db: &Connection| Ok(db.pragma_update(None, "query_only", true)?);
        writer.write(insert(1)).await.unwrap();
        writer.write(read_only).await.unwrap();
        let refused = writer.write(insert(2)).await.unwrap_err();
        assert!(refused.is_disk(), "{refused}");
        assert!(
            refused.to_string().contains("cannot be written (here)"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn what_cannot_begin_is_not_kept_behind_the_callers_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sqlite");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE t (x)").unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.busy_timeout(std::time::Duration::ZERO).unwrap();
        let writer = Writer::start(connection, path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        // It lets go of the database in the middle of what was told to fail.
        let refused = writer.write(move |db| {
            other.execute_batch("COMMIT")?;
            db.execute("INSERT INTO t VALUES (1)", [])?;
            Ok(())
        });
        refused.await.unwrap_err();
        let rows: i64 = writer
            .write(|db| Ok(db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?))
            .await
            .unwrap();
        assert_eq!(rows, 0);
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
