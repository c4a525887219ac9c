//! Attempts of a task: started, known by their session, cut off, followed by another (DESIGN §4,
//! "Start", "Recovery").

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{MessageId, RunId, TaskId};
use mesh_agents_core::limits::OFFLINE_WAIT;
use mesh_agents_core::run::{ProcessRef, Resume, ResumeReason};
use mesh_agents_core::task::{Message, Role, Task, TaskState};
use mesh_agents_core::transition::{Again, Happening, next};
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::append::{Change, live_row, log, save, step};
use super::rows::{Row, parsed};
use crate::offline::rule;
use crate::recover::plan::{Cut, Past, after, goes_on};

/// What the definition a run is started with says about its time and its end.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Digest of the agent's files.
    pub(crate) definition: String,
    /// `policy.max_task_seconds`, in milliseconds.
    pub(crate) limit_ms: i64,
    /// `runtime.max_attempts`.
    pub(crate) max_attempts: u32,
    /// Whether `runtime.on_interrupt` is `retry`.
    pub(crate) retry: bool,
    /// Whether a task goes on in the session of the one before it in its context.
    pub(crate) per_context: bool,
}

/// An attempt that was stored and is to be run now.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The task.
    pub(crate) change: Change,
    /// The session it goes on in.
    pub(crate) resume: Option<Resume>,
    /// Milliseconds until its task has taken too long; none left is 0.
    pub(crate) left_ms: u64,
}

/// An attempt in the store.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// Its run.
    pub(crate) run: RunId,
    /// The guard of its run; `None` when the engine ended before it had stored it.
    pub(crate) guard: Option<ProcessRef>,
    /// When its task has taken too long.
    pub(crate) deadline: Option<UnixMillis>,
    session: Option<String>,
    resumable: bool,
    base_seq: u64,
    ended: Option<UnixMillis>,
    max_attempts: u32,
    retry: bool,
}

/// Stores that a run is about to be started: committed before anything is spawned. What kind of
/// attempt it is was decided when the one before it was cut off.
pub(crate) fn start_attempt(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    run_id: &RunId,
    terms: &Terms,
    minted: &MessageId,
) -> Result<Begun, StoreError> {
    let mut row = live_row(db, id, None)?;
    next(row.standing(), &Happening::Start)?;
    let before = attempt(db, id, row.task.attempt)?;
    let session = before.as_ref().and_then(|before| before.session.clone());
    let resume = goes_on(row.again, session);
    let (number, resumed) = (row.task.attempt + 1, resume.is_some());
    row.task.attempt = number;
    let event = TaskEvent::Attempt {
        attempt: number,
        run_id: run_id.clone(),
        resumed,
    };
    log(db, now, &mut row, &event)?;
    drop_artifacts(db, id, resumed)?;
    let went_on = before.filter(|_| resumed);
    // Time in which nothing of the task ran is not the task's.
    let deadline = went_on.as_ref().and_then(|before| {
        let idle = before.ended.map_or(0, |ended| now.since(ended));
        Some(before.deadline?.0.saturating_add_unsigned(idle))
    });
    let deadline = deadline.unwrap_or_else(|| now.0.saturating_add(terms.limit_ms));
    let base_seq = went_on.as_ref().map(|before| before.base_seq);
    db.prepare_cached(
        "INSERT INTO attempts (task_id, attempt, run_id, definition, started_ms, session_id, resumable, resumed, \
         base_seq, deadline_ms, max_attempts, retry) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        id.as_str(),
        number,
        run_id.as_str(),
        terms.definition,
        now.0,
        // Until the run has its session, the one it is to take up is the one a later run would.
        resume.as_ref().map(|resume| resume.session_id.as_str()),
        resumed,
        base_seq.unwrap_or(row.task.last_seq),
        deadline,
        terms.max_attempts,
        terms.retry,
    ])?;
    let resume = match resume {
        None if terms.per_context => session_before(db, &row.task)?,
        resume => resume,
    };
    let change = step(db, now, row, &Happening::Start, None, minted)?;
    Ok(Begun {
        change,
        resume,
        left_ms: u64::try_from(deadline.saturating_sub(now.0)).unwrap_or(0),
    })
}

/// Remembers the guard of a run, so that a later engine can see whether it still lives.
pub(crate) fn run_process(
    db: &Connection,
    id: &TaskId,
    attempt: u32,
    process: ProcessRef,
) -> Result<(), StoreError> {
    // SQLite has no unsigned 64-bit; clock ticks since boot fit.
    let birth = i64::try_from(process.birth).unwrap_or(i64::MAX);
    db.prepare_cached(
        "UPDATE attempts SET pid = ?3, birth = ?4 WHERE task_id = ?1 AND attempt = ?2",
    )?
    .execute(params![id.as_str(), attempt, process.pid, birth])?;
    Ok(())
}

/// Remembers the session of a run.
pub(crate) fn session_opened(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    attempt: u32,
    session_id: String,
    resumable: bool,
) -> Result<Task, StoreError> {
    let mut row = live_row(db, id, Some(attempt))?;
    db.prepare_cached(
        "UPDATE attempts SET session_id = ?3, resumable = ?4 WHERE task_id = ?1 AND attempt = ?2",
    )?
    .execute(params![id.as_str(), attempt, session_id, resumable])?;
    let event = TaskEvent::Session {
        session_id,
        resumable,
    };
    log(db, now, &mut row, &event)?;
    // Whoever has a session has the message.
    row.task.deliver_until = rule::still(row.task.deliver_until, row.task.state, true);
    save(db, &mut row)?;
    Ok(row.task)
}

/// Stores what becomes of a task whose run was cut off.
pub(crate) fn run_gone(
    db: &Connection,
    now: UnixMillis,
    id: &TaskId,
    number: u32,
    cut: &Cut,
    minted: &MessageId,
) -> Result<Change, StoreError> {
    let mut row = live_row(db, id, Some(number))?;
    let last = attempt(db, id, number)?;
    if cut.session_lost
        && let Some(session) = last.as_ref().and_then(|last| last.session.as_deref())
    {
        // Nobody tries it again: neither this task nor the next one of its context.
        db.prepare_cached(
            "UPDATE attempts SET resumable = 0 WHERE session_id = ?2 \
             AND task_id IN (SELECT id FROM tasks WHERE context_id = ?1)",
        )?
        .execute(params![row.task.context_id.as_str(), session])?;
    }
    let happening = after(&past(db, &row, last.as_ref())?, cut);
    let said = match &happening {
        Happening::Again(again) if row.stopping.is_none() => {
            let text = told(*again, &cut.why, row.task.agent_id.is_local());
            Some(Message::text(minted.clone(), Role::Agent, text))
        }
        Happening::Parked if row.stopping.is_none() => {
            let event = TaskEvent::Note {
                code: "run_gone".to_owned(),
                text: match row.task.agent_id.is_local() {
                    true => format!("{}; the question waits for its answer without it", cut.why),
                    false => format!("{}; the question stays open", cut.why),
                },
                data: None,
            };
            log(db, now, &mut row, &event)?;
            None
        }
        _ => None,
    };
    let at = cut.at.unwrap_or(row.last_event);
    let change = step(db, now, row, &happening, said, minted)?;
    if change.task.state == TaskState::Submitted {
        end_attempt(db, id, at)?;
    }
    Ok(change)
}

/// Marks when nothing of the newest attempt ran any more.
pub(super) fn end_attempt(db: &Connection, id: &TaskId, at: UnixMillis) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE attempts SET ended_ms = ?2 WHERE task_id = ?1 AND ended_ms IS NULL")?
        .execute(params![id.as_str(), at.0])?;
    Ok(())
}

/// One attempt of a task.
pub(crate) fn attempt(
    db: &Connection,
    id: &TaskId,
    number: u32,
) -> Result<Option<Attempt>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT run_id, pid, birth, deadline_ms, session_id, resumable, base_seq, ended_ms, max_attempts, retry \
         FROM attempts WHERE task_id = ?1 AND attempt = ?2",
    )?;
    let found = statement
        .query_row(params![id.as_str(), number], |row| Ok(attempt_of(row)))
        .optional()?;
    found.transpose()
}

fn attempt_of(row: &rusqlite::Row<'_>) -> Result<Attempt, StoreError> {
    let (pid, birth): (Option<u32>, Option<i64>) = (row.get(1)?, row.get(2)?);
    let birth = birth.and_then(|birth| u64::try_from(birth).ok());
    let millis = |at: Option<i64>| at.map(UnixMillis);
    Ok(Attempt {
        run: parsed(&row.get::<_, String>(0)?)?,
        guard: pid.map(|pid| ProcessRef {
            pid,
            birth: birth.unwrap_or(0),
        }),
        deadline: millis(row.get(3)?),
        session: row.get(4)?,
        resumable: row.get(5)?,
        base_seq: row.get(6)?,
        ended: millis(row.get(7)?),
        max_attempts: row.get(8)?,
        retry: row.get(9)?,
    })
}

/// What the plan for a task rests on.
fn past(db: &Connection, row: &Row, last: Option<&Attempt>) -> Result<Past, StoreError> {
    let (attempts, resumes): (u32, u32) = db
        .prepare_cached(
            "SELECT count(*), coalesce(sum(resumed), 0) FROM attempts WHERE task_id = ?1",
        )?
        .query_row([row.task.id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Past {
        asks: row.task.state.is_interrupted(),
        session: last.is_some_and(|last| last.session.is_some() && last.resumable),
        attempts,
        resumes,
        max_attempts: last.map_or(1, |last| last.max_attempts),
        retry: last.is_some_and(|last| last.retry),
        elsewhere: row.standing().elsewhere,
    })
}

/// The session in which the last task of the same conversation ended, if it can be taken up.
fn session_before(db: &Connection, task: &Task) -> Result<Option<Resume>, StoreError> {
    // A conversation has few tasks: its index, newest first, is the way in.
    let last: Option<(String, bool)> = db
        .prepare_cached(
            "SELECT a.session_id, a.resumable FROM tasks t JOIN attempts a ON a.task_id = t.id \
             WHERE t.context_id = ?1 AND +t.agent_id = ?2 AND +t.principal = ?3 AND t.id <> ?4 \
             AND a.session_id IS NOT NULL ORDER BY t.updated_ms DESC, t.id DESC, a.attempt DESC LIMIT 1",
        )?
        .query_row(
            params![
                task.context_id.as_str(),
                task.agent_id.as_str(),
                task.principal.to_string(),
                task.id.as_str()
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(last
        .filter(|(_, resumable)| *resumable)
        .map(|(session_id, _)| Resume {
            session_id,
            why: ResumeReason::NextTask,
        }))
}

/// Takes out of the index what an attempt does not go on with.
fn drop_artifacts(db: &Connection, id: &TaskId, resumed: bool) -> Result<(), StoreError> {
    let sql = if resumed {
        "DELETE FROM artifacts WHERE task_id = ?1 AND artifact_id = 'response'"
    } else {
        "DELETE FROM artifacts WHERE task_id = ?1"
    };
    db.prepare_cached(sql)?.execute([id.as_str()])?;
    Ok(())
}

/// What a caller reads while the task waits for its next attempt.
fn told(again: Again, why: &str, is_local: bool) -> String {
    let then = match again {
        Again::Resume | Again::Answer => "it goes on where it was".to_owned(),
        Again::Retry if is_local => "it starts over".to_owned(),
        Again::Retry => format!(
            "its message, which may have arrived, is sent again under its id until its node says what it made of \
             it, or {} hours have passed since it was first sent",
            OFFLINE_WAIT.as_secs() / 3600
        ),
    };
    format!("The work on this task was cut off: {why}. When it is its turn, {then}.")
}
