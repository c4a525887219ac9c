//! New tasks and the keys they were submitted under (DESIGN §4, "Submit").

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{AgentId, MessageId, TaskId};
use mesh_agents_core::principal::Principal;
use mesh_agents_core::task::{Failure, Message, Task};
use mesh_agents_core::transition::Happening;
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::append::{Change, live_row, log, step};
use super::push::{NewPush, put_first};
use super::rows::{Row, parsed, state_number, state_of, to_json};
use crate::offline::rule::{Undelivered, has_waited};

/// A re-send by the host follows its plugin's death within moments; older twins are two wishes.
const RESEND_WINDOW_MS: i64 = 300_000;
/// A front-end killed right after it was answered may not have passed the answer on.
const ANSWERED_WINDOW_MS: i64 = 5_000;

/// The key of a submit.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The agent as the caller wrote it.
    pub(crate) agent: AgentId,
    /// Who submits.
    pub(crate) principal: Principal,
    /// The message id.
    pub(crate) message_id: MessageId,
    /// SHA-256 over the JCS form of what is asked, without the message id.
    pub(crate) body_hash: String,
    /// The front-end process that minted the message id, if it is not the caller's own.
    pub(crate) instance: Option<String>,
    /// Whether the caller is answered as soon as the task is stored.
    pub(crate) answered_at_once: bool,
}

/// What an earlier submit says about a new one.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing: it is new.
    Nothing,
    /// It is a repeat: this is its task.
    Repeat(TaskId),
    /// The key was used for something else.
    Conflict(TaskId),
}

/// Looks for the submit that this one repeats.
pub(crate) fn find(db: &Connection, now: UnixMillis, key: &Key) -> Result<Found, StoreError> {
    let principal = key.principal.to_string();
    let same = db
        .prepare_cached(
            "SELECT task_id, body_hash FROM submits WHERE agent = ?1 AND principal = ?2 AND message_id = ?3",
        )?
        .query_row(params![key.agent.as_str(), principal, key.message_id.as_str()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .optional()?;
    if let Some((task, body_hash)) = same {
        let task = parsed(&task)?;
        return Ok(if body_hash == key.body_hash {
            Found::Repeat(task)
        } else {
            Found::Conflict(task)
        });
    }
    let Some(instance) = &key.instance else {
        return Ok(Found::Nothing);
    };
    // The host re-sends the bare call to the next instance of the front-end that died with it.
    let twin = db
        .prepare_cached(
            "SELECT message_id, task_id FROM submits \
             WHERE body_hash = ?1 AND instance IS NOT NULL AND matched = 0 AND created_ms >= ?2 \
               AND agent = ?3 AND principal = ?4 AND instance < ?5 \
               AND (answered_ms IS NULL OR answered_ms >= ?6) \
             ORDER BY created_ms LIMIT 1",
        )?
        .query_row(
            params![
                key.body_hash,
                now.0 - RESEND_WINDOW_MS,
                key.agent.as_str(),
                principal,
                instance,
                now.0 - ANSWERED_WINDOW_MS
            ],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )
        .optional()?;
    let Some((message_id, task)) = twin else {
        return Ok(Found::Nothing);
    };
    db.prepare_cached(
        "UPDATE submits SET matched = 1 WHERE agent = ?1 AND principal = ?2 AND message_id = ?3",
    )?
    .execute(params![key.agent.as_str(), principal, message_id])?;
    let task = parsed(&task)?;
    key_existing(db, now, key, &task)?;
    Ok(Found::Repeat(task))
}

/// Records that `key` too names this task.
pub(super) fn key_existing(
    db: &Connection,
    now: UnixMillis,
    key: &Key,
    task: &TaskId,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO submits (agent, principal, message_id, body_hash, task_id, created_ms, instance, answered_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        key.agent.as_str(),
        key.principal.to_string(),
        key.message_id.as_str(),
        key.body_hash,
        task.as_str(),
        now.0,
        key.instance,
        key.answered_at_once.then_some(now.0),
    ])?;
    Ok(())
}

/// Notes when the front-end that minted a key was answered.
pub(crate) fn answered(db: &Connection, now: UnixMillis, key: &Key) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE submits SET answered_ms = ?4 WHERE agent = ?1 AND principal = ?2 AND message_id = ?3",
    )?
    .execute(params![key.agent.as_str(), key.principal.to_string(), key.message_id.as_str(), now.0])?;
    Ok(())
}

/// Stores a new task with its first message, its key, and whom to tell of it.
pub(crate) fn insert_task(
    db: &Connection,
    now: UnixMillis,
    task: Task,
    message: Message,
    push: Option<&NewPush>,
    key: &Key,
) -> Result<Task, StoreError> {
    let mut row = Row {
        stopping: None,
        again: None,
        last_event: now,
        event_bytes: 0,
        task,
    };
    log(db, now, &mut row, &TaskEvent::Message { message })?;
    if let Some(until) = row.task.deliver_until {
        log(db, now, &mut row, &TaskEvent::Waits { until })?;
    }
    if let Some(said) = row.task.status_message.clone() {
        let event = TaskEvent::State {
            state: row.task.state,
            message: Some(said),
            failure: None,
        };
        log(db, now, &mut row, &event)?;
    }
    let task = &row.task;
    db.prepare_cached(
        "INSERT INTO tasks (id, agent_id, context_id, principal, state, parent, depth, summary, metadata, \
         created_ms, updated_ms, version, last_seq, last_event_ms, event_bytes, status_message, deliver_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, 1, ?11, ?10, ?12, ?13, ?14)",
    )?
    .execute(params![
        task.id.as_str(),
        task.agent_id.as_str(),
        task.context_id.as_str(),
        task.principal.to_string(),
        state_number(task.state),
        task.parent.as_ref().map(TaskId::as_str),
        task.depth,
        task.summary,
        task.metadata.as_ref().map(|json| json.as_str().to_owned()),
        now.0,
        task.last_seq,
        row.event_bytes,
        task.status_message.as_ref().map(to_json).transpose()?,
        task.deliver_until.map(|at| at.0),
    ])?;
    key_existing(db, now, key, &row.task.id)?;
    if let Some(push) = push {
        put_first(db, &row.task.id, push)?;
    }
    Ok(row.task)
}

/// How many messages wait for this node, by the key in the ids of its agents.
pub(crate) fn waiting_for_node(db: &Connection, node: &str) -> Result<u64, StoreError> {
    let count = db
        .prepare_cached(
            "SELECT count(*) FROM tasks WHERE deliver_ms IS NOT NULL AND substr(agent_id, -length(?1)) = ?1",
        )?
        .query_row([node], |row| row.get(0))?;
    Ok(count)
}

/// The tasks whose nodes are not known to have their messages: at most
/// [`OFFLINE_PER_NODE`](mesh_agents_core::limits::OFFLINE_PER_NODE) of each.
pub(crate) fn undelivered(db: &Connection) -> Result<Vec<Undelivered>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, deliver_ms, state, attempt FROM tasks WHERE deliver_ms IS NOT NULL",
    )?;
    let rows = statement.query_map([], |row| {
        let (id, state) = (row.get::<_, String>(0)?, row.get(2)?);
        Ok((id, UnixMillis(row.get(1)?), state, row.get(3)?))
    })?;
    let read = rows.map(|row| {
        let (id, until, state, attempt) = row?;
        Ok(Undelivered {
            task: parsed(&id)?,
            until,
            state: state_of(state)?,
            attempt,
        })
    });
    read.collect()
}

/// Fails a task whose message has waited long enough. `None` when it has not: it left, or ended, since that
/// was read.
pub(crate) fn give_up(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    failure: Failure,
    minted: &MessageId,
) -> Result<Option<Change>, StoreError> {
    let row = live_row(db, id, None)?;
    let waits = row.task.deliver_until.map(|until| Undelivered {
        task: id.clone(),
        until,
        state: row.task.state,
        attempt: row.task.attempt,
    });
    if !waits.is_some_and(|waits| has_waited(&waits, now)) {
        return Ok(None);
    }
    step(db, now, row, &Happening::Lost(failure), None, minted).map(Some)
}
