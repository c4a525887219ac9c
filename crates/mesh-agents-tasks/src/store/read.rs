//! Reading: a small pool of connections, and the queries.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{AgentId, ArtifactId, TaskId};
use mesh_agents_core::limits::TASK_DEPTH;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::task::{ArtifactInfo, Message, Task};
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use tokio::sync::Semaphore;

use super::StoreError;
use super::open::open_reader;
use super::rows::{COLUMNS, Row, parsed, state_number, state_of, unreadable};
use crate::api::{ListTasks, StoredEvent};

/// Reading connections: enough to keep two cores busy while one waits for the disk.
const READERS: usize = 4;

/// The pool.
#[derive(Clone)]
pub(super) struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    free: Mutex<Vec<Connection>>,
    places: Semaphore,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        let shared = Shared {
            path,
            free: Mutex::default(),
            places: Semaphore::new(READERS),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        op: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _place = self
            .shared
            .places
            .acquire()
            .await
            .map_err(|_closed| StoreError::Closed)?;
        let shared = Arc::clone(&self.shared);
        let work = tokio::task::spawn_blocking(move || {
            let free = shared
                .free
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let connection = match free {
                Some(connection) => connection,
                None => open_reader(&shared.path)?,
            };
            let result = op(&connection);
            shared
                .free
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            result.map_err(|error| error.at(&shared.path))
        });
        work.await.map_err(|_panicked| StoreError::Closed)?
    }

    /// Waits for the reads under way and closes the connections.
    pub(super) async fn close(&self) {
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        if let Ok(_places) = self.shared.places.acquire_many(all).await {
            self.shared.places.close();
            let mut free = self
                .shared
                .free
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            free.clear();
        }
    }
}

/// A task, if `principal` may see it.
pub(crate) fn task(db: &Connection, id: &TaskId, principal: &Principal) -> Result<Row, StoreError> {
    let row = Row::load(db, id.as_str())?.ok_or(StoreError::NoTask)?;
    if principal.sees(&row.task.principal) {
        Ok(row)
    } else {
        Err(StoreError::NoTask)
    }
}

/// Whether a principal has a task of an agent.
pub(crate) fn has_tasks(
    db: &Connection,
    principal: &str,
    agent: &AgentId,
) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE principal = ?1 AND agent_id = ?2)",
    )?;
    Ok(statement.query_row([principal, agent.as_str()], |row| row.get(0))?)
}

/// Who sent the first task of the chain `task` stands in. A task, if that one is no longer kept.
pub(crate) fn root(db: &Connection, task: &Task) -> Result<Principal, StoreError> {
    let mut root = task.principal.clone();
    // One step more than a chain has tasks; the last one finds whoever began it.
    for _ in 0..=TASK_DEPTH {
        let Principal::Task(parent) = &root else {
            break;
        };
        match Row::load(db, parent.as_str())? {
            Some(row) => root = row.task.principal,
            None => break,
        }
    }
    Ok(root)
}

/// All messages of a task, oldest first.
pub(crate) fn history(db: &Connection, id: &TaskId) -> Result<Vec<Message>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT body FROM events WHERE task_id = ?1 AND kind = 'message' ORDER BY seq",
    )?;
    let bodies = statement.query_map([id.as_str()], |row| row.get::<_, String>(0))?;
    let mut messages = Vec::new();
    for body in bodies {
        if let TaskEvent::Message { message } = event_of(&body?)? {
            messages.push(message);
        }
    }
    Ok(messages)
}

/// Whether the agent did anything since the work began that the newest attempt goes on with.
pub(crate) fn heard(db: &Connection, id: &TaskId) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM events WHERE task_id = ?1 AND kind IN ('text', 'tool_call', 'plan', 'usage', 'question') \
         AND seq > coalesce((SELECT base_seq FROM attempts WHERE task_id = ?1 ORDER BY attempt DESC LIMIT 1), 0))",
    )?;
    Ok(statement.query_row([id.as_str()], |row| row.get(0))?)
}

/// Questions, answers and notes since the work began that the newest attempt goes on with.
pub(crate) fn asked(db: &Connection, id: &TaskId) -> Result<Vec<TaskEvent>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT body FROM events WHERE task_id = ?1 AND kind IN ('question', 'question_gone', 'message', 'note') \
         AND seq > coalesce((SELECT base_seq FROM attempts WHERE task_id = ?1 ORDER BY attempt DESC LIMIT 1), 0) \
         ORDER BY seq",
    )?;
    let bodies = statement.query_map([id.as_str()], |row| row.get::<_, String>(0))?;
    bodies.map(|body| event_of(&body?)).collect()
}

/// The text streamed so far, at most `limit` bytes of it: that of the newest attempt and of those it
/// goes on from.
pub(crate) fn response(db: &Connection, id: &TaskId, limit: usize) -> Result<String, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT body FROM events WHERE task_id = ?1 AND kind = 'text' AND seq > coalesce( \
         (SELECT base_seq FROM attempts WHERE task_id = ?1 ORDER BY attempt DESC LIMIT 1), 0) ORDER BY seq",
    )?;
    let bodies = statement.query_map([id.as_str()], |row| row.get::<_, String>(0))?;
    let mut all = String::new();
    for body in bodies {
        if all.len() >= limit {
            break;
        }
        if let TaskEvent::Text { text } = event_of(&body?)? {
            all.push_str(&text);
        }
    }
    all.truncate(all.floor_char_boundary(limit));
    Ok(all)
}

/// The text that had been streamed at event `seq` of a log, at most `limit` bytes of it: that of the attempt
/// then newest and of those it went on from.
pub(crate) fn said_at(
    db: &Connection,
    id: &TaskId,
    seq: u64,
    limit: usize,
) -> Result<String, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT body FROM events WHERE task_id = ?1 AND kind IN ('text', 'attempt') AND seq <= ?2 ORDER BY seq",
    )?;
    let bodies = statement.query_map(params![id.as_str(), seq], |row| row.get::<_, String>(0))?;
    let mut said = String::new();
    for body in bodies {
        match event_of(&body?)? {
            TaskEvent::Attempt { resumed: false, .. } => said.clear(),
            TaskEvent::Text { text } if said.len() < limit => said.push_str(&text),
            _ => {}
        }
    }
    said.truncate(said.floor_char_boundary(limit));
    Ok(said)
}

/// When something last happened in a task.
pub(crate) fn last_activity(
    db: &Connection,
    id: &TaskId,
) -> Result<Option<UnixMillis>, StoreError> {
    let at = db
        .prepare_cached("SELECT at_ms FROM events WHERE task_id = ?1 ORDER BY seq DESC LIMIT 1")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?;
    Ok(at.map(UnixMillis))
}

/// Events after `after`, at most `limit`.
pub(crate) fn events(
    db: &Connection,
    id: &TaskId,
    after: u64,
    limit: u32,
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT seq, at_ms, body FROM events WHERE task_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let rows = statement.query_map(params![id.as_str(), after, limit], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
    })?;
    let mut events = Vec::new();
    for row in rows {
        let (seq, at, body) = row?;
        events.push(StoredEvent {
            seq,
            at: UnixMillis(at),
            event: event_of(&body)?,
        });
    }
    Ok(events)
}

/// What a reader of a log gets at a time.
pub(crate) struct Batch {
    /// Events, oldest first.
    pub(crate) events: Vec<StoredEvent>,
    /// Whether the batch ended before the log did.
    pub(crate) more: bool,
    /// Whether the task has ended: after the log's last event nothing follows.
    pub(crate) ended: bool,
}

/// Events after `after`: at most `limit` of them, and none after the one that passes `bytes`.
pub(crate) fn batch(
    db: &Connection,
    id: &TaskId,
    after: u64,
    limit: u32,
    bytes: usize,
) -> Result<Batch, StoreError> {
    // The state before the events: a task that had ended then has no event that is not read now.
    let state = db
        .prepare_cached("SELECT state FROM tasks WHERE id = ?1")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::NoTask)?;
    let mut statement = db.prepare_cached(
        "SELECT seq, at_ms, body FROM events WHERE task_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let mut rows = statement.query(params![id.as_str(), after, limit])?;
    let (mut events, mut spent, mut more) = (Vec::new(), 0, false);
    while let Some(row) = rows.next()? {
        let body: String = row.get(2)?;
        spent += body.len();
        events.push(StoredEvent {
            seq: row.get(0)?,
            at: UnixMillis(row.get(1)?),
            event: event_of(&body)?,
        });
        if spent > bytes {
            more = true;
            break;
        }
    }
    Ok(Batch {
        more: more || events.len() == limit as usize,
        ended: state_of(state)?.is_terminal(),
        events,
    })
}

/// The artifacts of a task, by id.
pub(crate) fn artifacts(db: &Connection, id: &TaskId) -> Result<Vec<ArtifactInfo>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT artifact_id, media_type, bytes, sha256, partial, remote FROM artifacts WHERE task_id = ?1 ORDER BY artifact_id",
    )?;
    let rows = statement.query_map([id.as_str()], |row| Ok(artifact_row(row)))?;
    rows.map(|row| row?).collect()
}

/// One artifact of a task.
pub(crate) fn artifact(
    db: &Connection,
    id: &TaskId,
    artifact: &ArtifactId,
) -> Result<Option<ArtifactInfo>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT artifact_id, media_type, bytes, sha256, partial, remote FROM artifacts WHERE task_id = ?1 AND artifact_id = ?2",
    )?;
    let row = statement
        .query_row([id.as_str(), artifact.as_str()], |row| {
            Ok(artifact_row(row))
        })
        .optional()?;
    row.transpose()
}

/// A list's page: tasks with their artifacts, and whether there are more.
pub(crate) fn list(
    db: &Connection,
    principal: &Principal,
    query: &ListTasks,
    after: Option<&(i64, TaskId)>,
) -> Result<(Vec<Row>, bool), StoreError> {
    let (sql, values) = list_sql(principal, query, after);
    let mut statement = db.prepare_cached(&sql)?;
    let found = statement.query_map(
        rusqlite::params_from_iter(values.iter().map(|value| &**value)),
        |row| Ok(Row::read(row)),
    )?;
    let mut rows = Vec::new();
    for row in found {
        rows.push(row??);
    }
    let more = rows.len() > query.limit as usize;
    rows.truncate(query.limit as usize);
    Ok((rows, more))
}

/// Conditions joined by AND, and the values of their places.
pub(super) type Wheres = (Vec<&'static str>, Vec<Box<dyn ToSql>>);

/// The query of a list's page, one row longer than the page, with its values.
fn list_sql(
    principal: &Principal,
    query: &ListTasks,
    after: Option<&(i64, TaskId)>,
) -> (String, Vec<Box<dyn ToSql>>) {
    let (mut wheres, mut values) = filters(principal, query);
    if let Some((updated, id)) = after {
        wheres.push("(updated_ms, id) < (?, ?)");
        values.push(Box::new(*updated));
        values.push(Box::new(id.to_string()));
    }
    values.push(Box::new(i64::from(query.limit) + 1));
    let sql = format!(
        "SELECT {COLUMNS} FROM tasks WHERE {} ORDER BY updated_ms DESC, id DESC LIMIT ?",
        wheres.join(" AND ")
    );
    (sql, values)
}

/// What makes a task one of this list, whatever the page.
pub(super) fn filters(principal: &Principal, query: &ListTasks) -> Wheres {
    let mut wheres = vec!["1"];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut filter = |sql: &'static str, value: Box<dyn ToSql>| {
        wheres.push(sql);
        values.push(value);
    };
    // A conversation has few tasks: its index narrows more than any pair of the others, which the
    // plus keeps from being chosen.
    let alone = query.context_id.is_none();
    let or = |free: &'static str, kept: &'static str| if alone { free } else { kept };
    if *principal != Principal::Local {
        let sql = or(
            "principal = ? AND principal <> 'local'",
            "+principal = ? AND +principal <> 'local'",
        );
        filter(sql, Box::new(principal.to_string()));
    }
    if let Some(agent) = &query.agent_id {
        filter(
            or("agent_id = ?", "+agent_id = ?"),
            Box::new(agent.to_string()),
        );
    }
    if let Some(context) = &query.context_id {
        filter("context_id = ?", Box::new(context.to_string()));
    }
    if let Some(state) = query.state {
        filter(or("state = ?", "+state = ?"), Box::new(state_number(state)));
    }
    if let Some(since) = query.since {
        filter("updated_ms >= ?", Box::new(since.0));
    }
    (wheres, values)
}

/// Every task that has not ended.
pub(crate) fn open_tasks(db: &Connection) -> Result<Vec<Row>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tasks WHERE state IN (1, 2, 6, 8) ORDER BY id");
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map([], |row| Ok(Row::read(row)))?;
    rows.map(|row| row?).collect()
}

fn artifact_row(row: &rusqlite::Row<'_>) -> Result<ArtifactInfo, StoreError> {
    Ok(ArtifactInfo {
        id: parsed(&row.get::<_, String>(0)?)?,
        media_type: row.get(1)?,
        bytes: row.get(2)?,
        sha256: row.get(3)?,
        partial: row.get(4)?,
        remote: row.get(5)?,
    })
}

pub(super) fn event_of(body: &str) -> Result<TaskEvent, StoreError> {
    serde_json::from_str(body).map_err(|error| unreadable("event", &error))
}

#[cfg(test)]
mod tests {
    use super::super::open::open_connection;
    use super::*;
    use mesh_agents_core::task::TaskState;

    /// How SQLite goes about the list with these filters.
    fn plan(db: &Connection, principal: &str, query: &ListTasks) -> String {
        let after = (1, TaskId::from_ulid(ulid::Ulid(1)));
        let (sql, values) = list_sql(&principal.parse().unwrap(), query, Some(&after));
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = rusqlite::params_from_iter(values.iter().map(|value| &**value));
        let lines = statement.query_map(values, |row| row.get::<_, String>(3));
        let lines: Vec<_> = lines.unwrap().map(Result::unwrap).collect();
        lines.join("; ")
    }

    #[test]
    fn every_pair_of_filters_is_read_in_order_from_an_index_of_both() {
        let dir = tempfile::tempdir().unwrap();
        let db = open_connection(&dir.path().join("t.sqlite")).unwrap();
        let all = ListTasks::default();
        let agent = ListTasks {
            agent_id: "a".parse().ok(),
            ..all.clone()
        };
        let state = ListTasks {
            state: Some(TaskState::Failed),
            ..all.clone()
        };
        let both = ListTasks {
            state: state.state,
            ..agent.clone()
        };
        let context = ListTasks {
            context_id: "c".parse().ok(),
            ..both.clone()
        };
        for (principal, query, index) in [
            ("local", &all, "tasks_by_time"),
            ("local", &agent, "tasks_by_agent"),
            ("local", &state, "tasks_by_state"),
            ("local", &both, "tasks_by_agent_state"),
            ("local", &context, "tasks_by_context"),
            ("token:x", &all, "tasks_by_principal"),
            ("token:x", &agent, "tasks_by_principal_agent"),
            ("token:x", &state, "tasks_by_principal_state"),
            ("token:x", &context, "tasks_by_context"),
        ] {
            let plan = plan(&db, principal, query);
            assert!(
                plan.contains(&format!("INDEX {index} (")) && !plan.contains("TEMP B-TREE"),
                "{principal} {query:?}: {plan}"
            );
        }
    }
}
