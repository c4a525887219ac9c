//! Task rows to and from the database.

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::task::{Task, TaskState};
use mesh_agents_core::transition::{Again, Standing, StopCause};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// The columns of a task, in the order [`Row::read`] takes them.
pub(super) const COLUMNS: &str = "id, agent_id, context_id, principal, state, stopping, status_message, failure, \
     parent, depth, attempt, summary, metadata, created_ms, updated_ms, version, last_seq, last_event_ms, event_bytes, again, \
     unreachable_ms, deliver_ms";

/// A task as stored, with what only the store keeps.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The task.
    pub(crate) task: Task,
    /// Why its run is being stopped.
    pub(crate) stopping: Option<StopCause>,
    /// What its next attempt is to be.
    pub(crate) again: Option<Again>,
    /// Time of its newest event.
    pub(super) last_event: UnixMillis,
    /// Bytes in its log.
    pub(super) event_bytes: u64,
}

impl Row {
    /// Where it stands, for the transition.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            state: self.task.state,
            stopping: self.stopping,
            again: self.again,
            elsewhere: !self.task.agent_id.is_local(),
        }
    }

    pub(super) fn load(db: &Connection, id: &str) -> Result<Option<Self>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM tasks WHERE id = ?1");
        let mut statement = db.prepare_cached(&sql)?;
        let row = statement
            .query_row([id], |row| Ok(Self::read(row)))
            .optional()?;
        row.transpose()
    }

    pub(super) fn read(row: &rusqlite::Row<'_>) -> Result<Self, StoreError> {
        let stopping: Option<String> = row.get(5)?;
        Ok(Self {
            task: Task {
                id: parsed(&row.get::<_, String>(0)?)?,
                agent_id: parsed(&row.get::<_, String>(1)?)?,
                context_id: parsed(&row.get::<_, String>(2)?)?,
                principal: parsed(&row.get::<_, String>(3)?)?,
                state: state_of(row.get(4)?)?,
                status_message: json_column(row.get(6)?)?,
                failure: json_column(row.get(7)?)?,
                cancel_requested: stopping.as_deref() == Some(cause_name(StopCause::Canceled)),
                unreachable_since: row.get::<_, Option<i64>>(20)?.map(UnixMillis),
                deliver_until: row.get::<_, Option<i64>>(21)?.map(UnixMillis),
                parent: row
                    .get::<_, Option<String>>(8)?
                    .map(|id| parsed(&id))
                    .transpose()?,
                depth: row.get(9)?,
                attempt: row.get(10)?,
                summary: row.get(11)?,
                metadata: row
                    .get::<_, Option<String>>(12)?
                    .map(|text| JsonText::parse(&text).map_err(|e| unreadable("metadata", &e)))
                    .transpose()?,
                created_at: UnixMillis(row.get(13)?),
                updated_at: UnixMillis(row.get(14)?),
                version: row.get(15)?,
                last_seq: row.get(16)?,
            },
            stopping: stopping.as_deref().map(cause_of).transpose()?,
            again: row
                .get::<_, Option<String>>(19)?
                .map(|name| again_of(&name))
                .transpose()?,
            last_event: UnixMillis(row.get(17)?),
            event_bytes: row.get(18)?,
        })
    }
}

/// A2A's number of a state (a2a.proto, TaskState).
pub(super) fn state_number(state: TaskState) -> i64 {
    match state {
        TaskState::Submitted => 1,
        TaskState::Working => 2,
        TaskState::Completed => 3,
        TaskState::Failed => 4,
        TaskState::Canceled => 5,
        TaskState::InputRequired => 6,
        TaskState::Rejected => 7,
        TaskState::AuthRequired => 8,
    }
}

/// The state with this number.
pub(super) fn state_of(number: i64) -> Result<TaskState, StoreError> {
    let found = TaskState::ALL
        .into_iter()
        .find(|state| state_number(*state) == number);
    found.ok_or_else(|| StoreError::Unreadable {
        what: "task",
        why: format!("state {number}"),
    })
}

/// How a stop cause is stored.
pub(super) fn cause_name(cause: StopCause) -> &'static str {
    match cause {
        StopCause::Canceled => "canceled",
        StopCause::Deadline => "deadline",
        StopCause::Idle => "idle",
        StopCause::TooMuchOutput => "too_much_output",
        StopCause::Shutdown => "shutdown",
    }
}

fn cause_of(name: &str) -> Result<StopCause, StoreError> {
    let found = StopCause::ALL
        .into_iter()
        .find(|cause| cause_name(*cause) == name);
    found.ok_or_else(|| StoreError::Unreadable {
        what: "task",
        why: format!("stop cause {name:?}"),
    })
}

/// How the kind of a next attempt is stored.
pub(super) fn again_name(again: Again) -> &'static str {
    match again {
        Again::Resume => "resume",
        Again::Answer => "answer",
        Again::Retry => "retry",
    }
}

fn again_of(name: &str) -> Result<Again, StoreError> {
    let found = Again::ALL
        .into_iter()
        .find(|again| again_name(*again) == name);
    found.ok_or_else(|| StoreError::Unreadable {
        what: "task",
        why: format!("next attempt {name:?}"),
    })
}

pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
) -> Result<T, StoreError> {
    text.parse()
        .map_err(|error: T::Err| unreadable("id", &error))
}

pub(super) fn unreadable(what: &'static str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreadable {
        what,
        why: error.to_string(),
    }
}

pub(super) fn json_column<T: DeserializeOwned>(
    text: Option<String>,
) -> Result<Option<T>, StoreError> {
    text.map(|text| serde_json::from_str(&text).map_err(|error| unreadable("row", &error)))
        .transpose()
}

pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| unreadable("value", &error))
}
