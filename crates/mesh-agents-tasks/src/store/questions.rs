//! Questions of runs: asked, answered, void (DESIGN §4, "Questions").
//!
//! Every change is one transaction of all that belongs to it: the events, the open questions and
//! the row, whose status message is always the oldest open question.

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{MessageId, QuestionId, TaskId};
use mesh_agents_core::question::Question;
use mesh_agents_core::refusal::Refusal;
use mesh_agents_core::run::Answer;
use mesh_agents_core::task::{Message, TaskState};
use mesh_agents_core::transition::Happening;
use rusqlite::{Connection, params};

use super::StoreError;
use super::append::{Change, has_room, live_row, log, step};
use super::attempts::end_attempt;
use super::rows::{Row, json_column, parsed, to_json, unreadable};
use super::submits::{Found, Key, find, key_existing};

/// A question in the store.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    /// What is asked.
    pub(crate) question: Question,
    /// When no answer is the answer, by the wall clock.
    pub(crate) expires: UnixMillis,
}

/// What became of an answer.
#[derive(Debug)]
pub(crate) enum Answered {
    /// It was stored, and is to be passed on.
    Given(Box<Change>, QuestionId, Answer),
    /// It repeats an earlier submit, of this task.
    Repeat(TaskId),
    /// Its key was used for something else.
    Conflict(TaskId),
    /// It is none; nothing was stored.
    Refused(Refusal),
}

/// Stores a question and shows it, unless an older one is shown. `None` when the run is being
/// stopped: nobody will answer it.
pub(crate) fn ask(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    attempt: u32,
    open: &Open,
    minted: &MessageId,
) -> Result<Option<Change>, StoreError> {
    let mut row = live_row(db, id, Some(attempt))?;
    if row.stopping.is_some() {
        return Ok(None);
    }
    has_room(&row, 1)?;
    let question = &open.question;
    let event = TaskEvent::Question {
        id: question.id.clone(),
        question: question.kind,
        text: question.text.clone(),
        options: question.options.clone(),
    };
    log(db, now, &mut row, &event)?;
    db.prepare_cached(
        "INSERT INTO questions (task_id, seq, question_id, kind, text, options, expires_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        id.as_str(),
        row.task.last_seq,
        question.id.as_str(),
        to_json(&question.kind)?,
        question.text,
        to_json(&question.options)?,
        open.expires.0,
    ])?;
    show(db, now, row, minted).map(Some)
}

/// Closes a question that is not answered by a caller: it expired, or its run, which names its
/// attempt, took it back. `None` when it is not open.
pub(crate) fn settle(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    attempt: Option<u32>,
    (question, chosen): (&QuestionId, Option<String>),
    note: Option<&TaskEvent>,
    minted: &MessageId,
) -> Result<Option<Change>, StoreError> {
    let mut row = live_row(db, id, attempt)?;
    if !close(db, now, &mut row, question, chosen)? {
        return Ok(None);
    }
    if let Some(note) = note {
        log(db, now, &mut row, note)?;
    }
    show(db, now, row, minted).map(Some)
}

/// Stores a caller's answer under its key: the message, the end of the question, what is shown now.
/// `read` says which question the message answers, and how.
pub(crate) fn answer(
    db: &Connection,
    now: UnixMillis,
    key: &Key,
    id: &TaskId,
    message: Message,
    read: impl FnOnce(&Row, &[Open]) -> Result<(QuestionId, Answer), Refusal>,
    minted: &MessageId,
) -> Result<Answered, StoreError> {
    match find(db, now, key)? {
        Found::Repeat(task) => return Ok(Answered::Repeat(task)),
        Found::Conflict(task) => return Ok(Answered::Conflict(task)),
        Found::Nothing => {}
    }
    let mut row = super::task(db, id, &key.principal)?;
    let (question, answer) = match read(&row, &open_questions(db, id)?) {
        Ok(answer) => answer,
        Err(refusal) => return Ok(Answered::Refused(refusal)),
    };
    log(db, now, &mut row, &TaskEvent::Message { message })?;
    let chosen = match &answer {
        Answer::Option(option) => Some(option.clone()),
        Answer::Text(_) | Answer::Declined => None,
    };
    close(db, now, &mut row, &question, chosen)?;
    let change = show(db, now, row, minted)?;
    key_existing(db, now, key, id)?;
    Ok(Answered::Given(Box::new(change), question, answer))
}

/// The questions of a task that wait for an answer, oldest first.
pub(crate) fn open_questions(db: &Connection, id: &TaskId) -> Result<Vec<Open>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT question_id, kind, text, options, expires_ms FROM questions WHERE task_id = ?1 ORDER BY seq",
    )?;
    let rows = statement.query_map([id.as_str()], |row| Ok(open_of(row)))?;
    rows.map(|row| row?).collect()
}

/// Ends all questions of a task whose run is over.
pub(super) fn void(db: &Connection, now: UnixMillis, row: &mut Row) -> Result<(), StoreError> {
    let id = row.task.id.clone();
    for open in open_questions(db, &id)? {
        close(db, now, row, &open.question.id, None)?;
    }
    Ok(())
}

/// Says that a question is gone; `false` when it is not open.
fn close(
    db: &Connection,
    now: UnixMillis,
    row: &mut Row,
    question: &QuestionId,
    chosen: Option<String>,
) -> Result<bool, StoreError> {
    let closed = db
        .prepare_cached("DELETE FROM questions WHERE task_id = ?1 AND question_id = ?2")?
        .execute(params![row.task.id.as_str(), question.as_str()])?;
    if closed > 0 {
        let id = question.clone();
        log(db, now, row, &TaskEvent::QuestionGone { id, chosen })?;
    }
    Ok(closed > 0)
}

/// Shows the oldest open question, or that none is open any more.
fn show(
    db: &Connection,
    now: UnixMillis,
    row: Row,
    minted: &MessageId,
) -> Result<Change, StoreError> {
    match open_questions(db, &row.task.id)?.into_iter().next() {
        Some(Open { question, .. }) => {
            let message = question.message(minted.clone());
            let message = message.map_err(|error| unreadable("question", &error))?;
            let asked = Happening::Asked(question.kind);
            step(db, now, row, &asked, Some(message), minted)
        }
        None => {
            let change = step(db, now, row, &Happening::Settled, None, minted)?;
            if change.task.state == TaskState::Submitted {
                // It was parked; its time counts up to here, and again when it runs.
                end_attempt(db, &change.task.id, now)?;
            }
            Ok(change)
        }
    }
}

fn open_of(row: &rusqlite::Row<'_>) -> Result<Open, StoreError> {
    let kind: String = row.get(1)?;
    Ok(Open {
        question: Question {
            id: parsed(&row.get::<_, String>(0)?)?,
            kind: serde_json::from_str(&kind).map_err(|error| unreadable("question", &error))?,
            text: row.get(2)?,
            options: json_column(row.get(3)?)?.unwrap_or_default(),
        },
        expires: UnixMillis(row.get(4)?),
    })
}
