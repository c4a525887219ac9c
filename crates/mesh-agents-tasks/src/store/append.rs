//! Appending to a task's log: the only way a task changes.

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{MessageId, TaskId};
use mesh_agents_core::limits::{EVENT_BYTES_PER_TASK, EVENTS_PER_TASK};
use mesh_agents_core::run::Outcome;
use mesh_agents_core::task::{ArtifactInfo, Message, Role, Task};
use mesh_agents_core::transition::{Again, Effect, Happening, Standing, next};
use rusqlite::{Connection, params};

use super::StoreError;
use super::attempts::end_attempt;
use super::questions;
use super::rows::{Row, again_name, cause_name, state_number, to_json};
use crate::offline::rule;

/// Room kept in a full log for the events that end the task, its open questions among them.
const CLOSING_EVENTS: u64 = 64;

/// A change that was stored.
#[derive(Debug)]
pub(crate) struct Change {
    /// The task after it.
    pub(crate) task: Task,
    /// What is to be done now.
    pub(crate) effects: Vec<Effect>,
    /// What its next attempt is to be, when no run of it is there.
    pub(crate) again: Option<Again>,
}

/// Appends events that change no state. `attempt` is the fencing epoch: a writer of an attempt that
/// is over is refused with [`StoreError::Stale`].
pub(crate) fn append(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    attempt: u32,
    events: &[TaskEvent],
) -> Result<Task, StoreError> {
    let mut row = live_row(db, id, Some(attempt))?;
    has_room(&row, events.len() as u64)?;
    for event in events {
        log(db, now, &mut row, event)?;
    }
    if row.event_bytes > EVENT_BYTES_PER_TASK {
        return Err(StoreError::LogFull);
    }
    save(db, &mut row)?;
    Ok(row.task)
}

/// Applies what happened by [`next`], with the messages that go with it.
pub(crate) fn apply(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    attempt: Option<u32>,
    happening: &Happening,
    minted: &MessageId,
) -> Result<Change, StoreError> {
    let row = live_row(db, id, attempt)?;
    step(db, now, row, happening, None, minted)
}

/// Takes a row one step further. `said` becomes the status message, also where the state stays.
pub(super) fn step(
    db: &Connection,
    now: UnixMillis,
    mut row: Row,
    happening: &Happening,
    said: Option<Message>,
    minted: &MessageId,
) -> Result<Change, StoreError> {
    let change = next(row.standing(), happening)?;
    if let Happening::Ended(Outcome::Completed { answer }) = happening
        && change.standing.state.is_terminal()
        && !answer.is_empty()
    {
        // The answer is in artifacts too; a history without it reads as a question nobody answered.
        let message = Message::text(minted.clone(), Role::Agent, answer.clone());
        log(db, now, &mut row, &TaskEvent::Message { message })?;
    }
    if change.effects.contains(&Effect::VoidQuestions) {
        questions::void(db, now, &mut row)?;
    }
    if change.standing.state != row.task.state || said.is_some() {
        let message = said.or_else(|| {
            let failure = change.failure.as_ref();
            failure.map(|failure| Message::text(minted.clone(), Role::Agent, failure.told()))
        });
        let event = TaskEvent::State {
            state: change.standing.state,
            message: message.clone(),
            failure: change.failure.clone(),
        };
        log(db, now, &mut row, &event)?;
        row.task.state = change.standing.state;
        row.task.status_message = message;
        row.task.failure = change.failure;
        row.task.updated_at = UnixMillis(row.last_event.0.max(row.task.updated_at.0 + 1));
        row.last_event = row.task.updated_at;
    } else if change.standing.stopping != row.stopping {
        log(db, now, &mut row, &TaskEvent::CancelRequested)?;
    }
    stand(&mut row, change.standing);
    row.task.deliver_until = rule::still(row.task.deliver_until, row.task.state, false);
    if row.task.state.is_terminal() {
        // What has ended is nowhere any more.
        row.task.unreachable_since = None;
    }
    save(db, &mut row)?;
    if row.task.state.is_terminal() {
        end_attempt(db, &row.task.id, row.last_event)?;
    }
    Ok(Change {
        again: row.again,
        task: row.task,
        effects: change.effects,
    })
}

/// Notes that whoever works on the task is out of reach, and why, or in reach again. What is so already
/// is not noted again: the first moment counts.
pub(crate) fn reach(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    attempt: u32,
    away: Option<String>,
) -> Result<Task, StoreError> {
    let mut row = live_row(db, id, Some(attempt))?;
    if row.task.unreachable_since.is_some() == away.is_some() {
        return Ok(row.task);
    }
    has_room(&row, 1)?;
    let is_away = away.is_some();
    log(db, now, &mut row, &TaskEvent::Reach { away })?;
    row.task.unreachable_since = is_away.then_some(row.last_event);
    save(db, &mut row)?;
    Ok(row.task)
}

/// Puts an artifact into the index, replacing an earlier one of that id.
pub(crate) fn store_artifact(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    attempt: u32,
    artifact: &ArtifactInfo,
) -> Result<Task, StoreError> {
    let mut row = live_row(db, id, Some(attempt))?;
    log(
        db,
        now,
        &mut row,
        &TaskEvent::Artifact {
            artifact: artifact.clone(),
        },
    )?;
    save(db, &mut row)?;
    db.prepare_cached(
        "INSERT INTO artifacts (task_id, artifact_id, media_type, bytes, sha256, partial, remote) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT DO UPDATE SET media_type = ?3, bytes = ?4, sha256 = ?5, partial = ?6, remote = ?7",
    )?
    .execute(params![
        id.as_str(),
        artifact.id.as_str(),
        artifact.media_type,
        artifact.bytes,
        artifact.sha256,
        artifact.partial,
        artifact.remote
    ])?;
    Ok(row.task)
}

/// Writes one event and advances the row in memory; [`save`] stores the row.
pub(super) fn log(
    db: &Connection,
    now: UnixMillis,
    row: &mut Row,
    event: &TaskEvent,
) -> Result<(), StoreError> {
    let body = to_json(event)?;
    row.task.last_seq += 1;
    row.last_event = row.last_event.max(now);
    row.event_bytes += body.len() as u64;
    db.prepare_cached(
        "INSERT INTO events (task_id, seq, at_ms, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        row.task.id.as_str(),
        row.task.last_seq,
        row.last_event.0,
        event.kind(),
        body
    ])?;
    Ok(())
}

/// Stores the row if nobody changed it since it was read.
pub(super) fn save(db: &Connection, row: &mut Row) -> Result<(), StoreError> {
    let task = &row.task;
    let changed = db
        .prepare_cached(
            "UPDATE tasks SET state = ?3, stopping = ?4, status_message = ?5, failure = ?6, attempt = ?7, \
             updated_ms = ?8, last_seq = ?9, last_event_ms = ?10, event_bytes = ?11, again = ?12, \
             unreachable_ms = ?13, deliver_ms = ?14, version = version + 1 \
             WHERE id = ?1 AND version = ?2",
        )?
        .execute(params![
            task.id.as_str(),
            task.version,
            state_number(task.state),
            row.stopping.map(cause_name),
            task.status_message.as_ref().map(to_json).transpose()?,
            task.failure.as_ref().map(to_json).transpose()?,
            task.attempt,
            task.updated_at.0,
            task.last_seq,
            row.last_event.0,
            row.event_bytes,
            row.again.map(again_name),
            task.unreachable_since.map(|at| at.0),
            task.deliver_until.map(|at| at.0),
        ])?;
    if changed != 1 {
        return Err(StoreError::Stale);
    }
    row.task.version += 1;
    Ok(())
}

/// Whether the log takes so many more events, with room left for those that end the task.
pub(super) fn has_room(row: &Row, events: u64) -> Result<(), StoreError> {
    if row.task.last_seq + events + CLOSING_EVENTS > EVENTS_PER_TASK
        || row.event_bytes > EVENT_BYTES_PER_TASK
    {
        return Err(StoreError::LogFull);
    }
    Ok(())
}

pub(super) fn live_row(
    db: &Connection,
    id: &TaskId,
    attempt: Option<u32>,
) -> Result<Row, StoreError> {
    let row = Row::load(db, id.as_str())?.ok_or(StoreError::NoTask)?;
    if attempt.is_some_and(|attempt| attempt != row.task.attempt) {
        return Err(StoreError::Stale);
    }
    if row.task.state.is_terminal() {
        let state = row.task.state;
        return Err(StoreError::Illegal(mesh_agents_core::transition::Illegal {
            state,
        }));
    }
    // An attempt that was cut off is over, also before the next one has begun.
    if attempt.is_some() && !row.standing().runs() {
        return Err(StoreError::Stale);
    }
    Ok(row)
}

fn stand(row: &mut Row, standing: Standing) {
    row.stopping = standing.stopping;
    row.again = standing.again;
    row.task.cancel_requested = standing.cancel_requested();
}
