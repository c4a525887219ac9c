//! Push configurations and how far each was told (DESIGN §4: push is a reader of the log).

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::TaskId;
use mesh_agents_core::push::{PushAuthentication, PushConfig};
use mesh_agents_core::task::Task;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use super::StoreError;
use super::append::{live_row, log, save};
use super::read::event_of;
use super::rows::{Row, parsed};
use crate::api::StoredEvent;

/// What of the events is told; the same words as in the schema's index and trigger.
const TOLD: &str = "kind IN ('state', 'artifact')";
/// What is owed; the same words as in the schema's index.
const OWED: &str = "gave_up IS NULL AND sent_seq < wanted_seq";
/// The columns of a configuration, in the order [`config_row`] takes them.
const CONFIG: &str = "config_id, url, token, scheme, credentials";

/// A configuration that was checked.
#[derive(Debug, Clone)]
pub(crate) struct NewPush {
    /// As it is to be stored.
    pub(crate) config: PushConfig,
    /// Host and port of its url.
    pub(crate) receiver: String,
    /// Unique to this put.
    pub(crate) revision: String,
}

/// Which event of which configuration is being told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PushPlace {
    pub(crate) task: TaskId,
    pub(crate) config: String,
    pub(crate) revision: String,
    pub(crate) seq: u64,
}

/// An event that is owed to a receiver.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) place: PushPlace,
    pub(crate) receiver: String,
    pub(crate) config: PushConfig,
    /// Failed attempts for this event.
    pub(crate) attempts: u32,
    /// Since when attempts fail.
    pub(crate) failing_since: Option<UnixMillis>,
    pub(crate) task: Task,
    /// Or why it cannot be read.
    pub(crate) event: Result<StoredEvent, StoreError>,
}

/// What must not be picked now.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    /// `task/config` of those being told, as a JSON list.
    pub(crate) configs: String,
    /// Receivers that have their share of connections, as a JSON list.
    pub(crate) receivers: String,
    /// Whether those that fail have their share.
    pub(crate) no_retries: bool,
}

/// Stores a configuration with a task that is stored in the same transaction.
pub(crate) fn put_first(db: &Connection, task: &TaskId, new: &NewPush) -> Result<(), StoreError> {
    insert(db, task, new, 0, 0)
}

/// Whether the task takes one more configuration of this id: at most `most`, replacing is free.
pub(crate) fn has_room(
    db: &Connection,
    id: &TaskId,
    config: &str,
    most: u32,
) -> Result<bool, StoreError> {
    let others: u32 = db
        .prepare_cached("SELECT count(*) FROM push_configs WHERE task_id = ?1 AND config_id <> ?2")?
        .query_row([id.as_str(), config], |row| row.get(0))?;
    Ok(others < most)
}

/// Stores a configuration, or replaces the one of that id.
///
/// The first thing told is how the task stands: a caller that was slower than its task, or than a
/// question of it, still hears. One that replaces another goes on where that one was.
pub(crate) fn put(db: &Connection, id: &TaskId, new: &NewPush) -> Result<(), StoreError> {
    let earlier: Option<u64> = db
        .prepare_cached("SELECT sent_seq FROM push_configs WHERE task_id = ?1 AND config_id = ?2")?
        .query_row(params![id.as_str(), new.config.id], |row| row.get(0))
        .optional()?;
    let newest = |only: &str| -> Result<Option<u64>, StoreError> {
        let sql = format!(
            "SELECT seq FROM events INDEXED BY events_told WHERE task_id = ?1 AND {TOLD} AND {only} ORDER BY seq DESC LIMIT 1"
        );
        Ok(db
            .prepare_cached(&sql)?
            .query_row([id.as_str()], |row| row.get(0))
            .optional()?)
    };
    let wanted = newest("1")?.unwrap_or(0);
    let before_state = newest("kind = 'state'")?.map_or(wanted, |seq| seq - 1);
    let sent = earlier.map_or(before_state, |sent| sent.min(before_state));
    insert(db, id, new, sent, wanted)
}

fn insert(
    db: &Connection,
    task: &TaskId,
    new: &NewPush,
    sent: u64,
    wanted: u64,
) -> Result<(), StoreError> {
    let authentication = new.config.authentication.as_ref();
    db.prepare_cached(
        "INSERT OR REPLACE INTO push_configs \
         (task_id, config_id, revision, url, receiver, token, scheme, credentials, sent_seq, wanted_seq, next_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0)",
    )?
    .execute(params![
        task.as_str(),
        new.config.id,
        new.revision,
        new.config.url,
        new.receiver,
        new.config.token,
        authentication.map(|a| &a.scheme),
        authentication.and_then(|a| a.credentials.as_ref()),
        sent,
        wanted,
    ])?;
    Ok(())
}

/// The configurations of a task after the id `after`, by id.
pub(crate) fn configs(
    db: &Connection,
    id: &TaskId,
    after: &str,
    limit: u32,
) -> Result<Vec<PushConfig>, StoreError> {
    let sql = format!(
        "SELECT {CONFIG} FROM push_configs WHERE task_id = ?1 AND config_id > ?2 ORDER BY config_id LIMIT ?3"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![id.as_str(), after, limit], config_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One configuration of a task.
pub(crate) fn config(
    db: &Connection,
    id: &TaskId,
    config: &str,
) -> Result<Option<PushConfig>, StoreError> {
    let sql = format!("SELECT {CONFIG} FROM push_configs WHERE task_id = ?1 AND config_id = ?2");
    let mut statement = db.prepare_cached(&sql)?;
    let found = statement.query_row(params![id.as_str(), config], config_row);
    Ok(found.optional()?)
}

/// Removes a configuration; nothing more is sent for it.
pub(crate) fn delete(db: &Connection, id: &TaskId, config: &str) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM push_configs WHERE task_id = ?1 AND config_id = ?2")?
        .execute(params![id.as_str(), config])?;
    Ok(())
}

/// Tasks at work that somebody wants to hear of.
pub(crate) fn watched(db: &Connection) -> Result<Vec<TaskId>, StoreError> {
    let mut statement = db.prepare(
        "SELECT DISTINCT p.task_id FROM push_configs p JOIN tasks t ON t.id = p.task_id \
         WHERE p.gave_up IS NULL AND t.state IN (1, 2, 6, 8)",
    )?;
    let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
    ids.map(|id| parsed(&id?)).collect()
}

fn owed_sql() -> String {
    format!(
        "SELECT {CONFIG}, task_id, revision, receiver, sent_seq, attempts, failing_ms FROM push_configs \
         WHERE {OWED} AND next_ms <= ?1 AND (attempts = 0 OR ?4 = 0) \
           AND receiver NOT IN (SELECT value FROM json_each(?3)) \
           AND task_id || '/' || config_id NOT IN (SELECT value FROM json_each(?2)) \
         ORDER BY next_ms LIMIT 1"
    )
}

/// The event that may be sent and has waited longest, of what is not busy.
pub(crate) fn owed(
    db: &Connection,
    now: UnixMillis,
    busy: &Busy,
) -> Result<Option<Owed>, StoreError> {
    let due = db
        .prepare_cached(&owed_sql())?
        .query_row(
            params![now.0, busy.configs, busy.receivers, busy.no_retries],
            due_row,
        )
        .optional()?;
    let Some(due) = due else {
        return Ok(None);
    };
    let task = Row::load(db, &due.task)?.ok_or(StoreError::NoTask)?.task;
    let (seq, event) = next_told(db, &task.id, due.sent)?;
    Ok(Some(Owed {
        place: PushPlace {
            task: task.id.clone(),
            config: due.config.id.clone(),
            revision: due.revision,
            seq,
        },
        receiver: due.receiver,
        config: due.config,
        attempts: due.attempts,
        failing_since: due.failing_since.map(UnixMillis),
        task,
        event,
    }))
}

/// A row of [`owed_sql`].
struct Due {
    config: PushConfig,
    task: String,
    revision: String,
    receiver: String,
    sent: u64,
    attempts: u32,
    failing_since: Option<i64>,
}

fn due_row(row: &SqlRow<'_>) -> rusqlite::Result<Due> {
    Ok(Due {
        config: config_row(row)?,
        task: row.get(5)?,
        revision: row.get(6)?,
        receiver: row.get(7)?,
        sent: row.get(8)?,
        attempts: row.get(9)?,
        failing_since: row.get(10)?,
    })
}

// Left alone SQLite takes the primary key, and reads all text between two events that are told.
fn told_sql() -> String {
    format!(
        "SELECT seq, at_ms, body FROM events INDEXED BY events_told WHERE task_id = ?1 AND seq > ?2 AND {TOLD} ORDER BY seq LIMIT 1"
    )
}

/// The first event after `sent` that is told.
fn next_told(
    db: &Connection,
    id: &TaskId,
    sent: u64,
) -> Result<(u64, Result<StoredEvent, StoreError>), StoreError> {
    let found = db
        .prepare_cached(&told_sql())?
        .query_row(params![id.as_str(), sent], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    let Some((seq, at, body)) = found else {
        let why = format!("there is none after {sent}");
        let gone = StoreError::Unreadable { what: "event", why };
        return Ok((sent, Err(gone)));
    };
    let event = event_of(&body).map(|event| StoredEvent {
        seq,
        at: UnixMillis(at),
        event,
    });
    Ok((seq, event))
}

fn next_sql() -> String {
    format!(
        "SELECT next_ms FROM push_configs WHERE {OWED} AND next_ms > ?1 ORDER BY next_ms LIMIT 1"
    )
}

/// When the next of what may not be sent yet may be.
pub(crate) fn next_owed(
    db: &Connection,
    now: UnixMillis,
) -> Result<Option<UnixMillis>, StoreError> {
    let sql = next_sql();
    let next = db
        .prepare_cached(&sql)?
        .query_row([now.0], |row| row.get(0))
        .optional()?;
    Ok(next.map(UnixMillis))
}

/// Whether something is owed that has not been failing since before `fresh`.
pub(crate) fn owed_fresh(db: &Connection, fresh: UnixMillis) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT 1 FROM push_configs WHERE {OWED} AND (failing_ms IS NULL OR failing_ms > ?1) LIMIT 1"
    );
    let found = db
        .prepare_cached(&sql)?
        .query_row([fresh.0], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// Moves the cursor past an event that was told, or that is not to be. `false` when the
/// configuration was deleted or replaced meanwhile.
pub(crate) fn passed(db: &Connection, place: &PushPlace) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE push_configs SET sent_seq = ?4, attempts = 0, failing_ms = NULL, next_ms = 0 \
         WHERE task_id = ?1 AND config_id = ?2 AND revision = ?3 AND sent_seq < ?4",
        )?
        .execute(params![
            place.task.as_str(),
            place.config,
            place.revision,
            place.seq
        ])?;
    Ok(changed > 0)
}

/// Notes an attempt that failed and when the next may be made.
pub(crate) fn failed(
    db: &Connection,
    place: &PushPlace,
    since: UnixMillis,
    attempts: u32,
    next: UnixMillis,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE push_configs SET attempts = ?4, failing_ms = ?5, next_ms = ?6 \
         WHERE task_id = ?1 AND config_id = ?2 AND revision = ?3 AND sent_seq < ?7",
    )?
    .execute(params![
        place.task.as_str(),
        place.config,
        place.revision,
        attempts,
        since.0,
        next.0,
        place.seq
    ])?;
    Ok(())
}

/// Ends a configuration that nothing more is sent for. It stays, so that a caller can see and
/// replace it. `false` when it was deleted or replaced meanwhile.
pub(crate) fn gave_up(db: &Connection, place: &PushPlace, why: &str) -> Result<bool, StoreError> {
    let changed = db.prepare_cached(
        "UPDATE push_configs SET gave_up = ?4 WHERE task_id = ?1 AND config_id = ?2 AND revision = ?3",
    )?
    .execute(params![place.task.as_str(), place.config, place.revision, why])?;
    Ok(changed > 0)
}

/// Writes a note into the log of a task; nothing when the task has ended, for its log has too.
pub(crate) fn note(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    note: &TaskEvent,
) -> Result<Option<Task>, StoreError> {
    let mut row = match live_row(db, id, None) {
        Ok(row) => row,
        Err(StoreError::Illegal(_) | StoreError::NoTask) => return Ok(None),
        Err(error) => return Err(error),
    };
    log(db, now, &mut row, note)?;
    save(db, &mut row)?;
    Ok(Some(row.task))
}

fn config_row(row: &SqlRow<'_>) -> rusqlite::Result<PushConfig> {
    let scheme: Option<String> = row.get(3)?;
    let credentials = row.get(4)?;
    Ok(PushConfig {
        id: row.get(0)?,
        url: row.get(1)?,
        token: row.get(2)?,
        authentication: scheme.map(|scheme| PushAuthentication {
            scheme,
            credentials,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::open::open_connection;
    use super::*;

    fn plan(db: &Connection, sql: &str) -> String {
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let lines = statement.query_map([], |row| row.get::<_, String>(3));
        let lines: Vec<_> = lines.unwrap().map(Result::unwrap).collect();
        lines.join("; ")
    }

    #[test]
    fn what_is_owed_is_found_without_reading_what_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let db = open_connection(&dir.path().join("t.sqlite")).unwrap();
        let sql = owed_sql().replace("?2", "'[]'").replace("?3", "'[]'");
        let due = plan(&db, &sql.replace("?1", "1").replace("?4", "0"));
        assert!(due.contains("INDEX push_configs_due ("), "{due}");
        assert!(!due.contains("TEMP B-TREE"), "{due}");
        let later = plan(&db, &next_sql().replace("?1", "1"));
        assert!(later.contains("INDEX push_configs_due ("), "{later}");
        let event = plan(&db, &told_sql().replace("?1", "'t'").replace("?2", "1"));
        assert!(event.contains("INDEX events_told ("), "{event}");
    }

    #[test]
    fn configurations_and_their_secrets_go_with_their_task() {
        let dir = tempfile::tempdir().unwrap();
        let db = open_connection(&dir.path().join("t.sqlite")).unwrap();
        let new = NewPush {
            config: PushConfig {
                id: "c".into(),
                url: "https://h.example/".into(),
                token: Some("t".into()),
                authentication: None,
            },
            receiver: "h.example:443".into(),
            revision: "r".into(),
        };
        let ids = [1, 2].map(|n| TaskId::from_ulid(ulid::Ulid(n)));
        for id in &ids {
            db.execute(
                "INSERT INTO tasks VALUES (?1, 'a', 'c', 'local', 3, NULL, NULL, NULL, NULL, 0, 0, '', NULL, 1, 1, 1, 0, 1, 0, NULL, NULL, NULL)",
                [id.as_str()],
            )
            .unwrap();
            put_first(&db, id, &new).unwrap();
        }
        let taken = crate::store::take(&db, UnixMillis(100), 1).unwrap();
        assert_eq!(taken[0].task, ids[0]);
        let left = |id| configs(&db, id, "", 9).unwrap().len();
        assert_eq!(ids.each_ref().map(left), [0, 1]);
    }
}
