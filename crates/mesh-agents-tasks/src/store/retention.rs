//! Removing what is no longer kept, in pieces small enough that no write waits for long.
//!
//! A task goes in steps: its row, under a note in `removals` (now nobody sees it); its other rows,
//! some at a time; its directory and blobs (by the caller); the note. A kill between two steps
//! leaves the note, and the next pass goes on from there.

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::{AgentId, TaskId};
use rusqlite::{Connection, params};

use super::StoreError;
use super::rows::parsed;

/// The tables with rows of a task that go with it, besides `events` and `artifacts`. A test holds
/// this against the schema.
const PER_TASK: &[&str] = &["attempts", "questions"];
/// The tables with a `task_id` whose rows outlive the task, or go by a trigger of their own.
#[cfg(test)]
const KEPT: &[&str] = &["submits", "removals", "push_configs"];

/// A task on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaving {
    /// The task.
    pub(crate) task: TaskId,
    /// Whose it was.
    pub(crate) agent: AgentId,
}

/// A content that rows named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its digest.
    pub(crate) sha256: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// Whether it was here, as far as the row knew.
    pub(crate) here: bool,
}

/// How much there is that can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Tasks that have ended.
    pub(crate) ended: u64,
    /// Bytes of all contents that are here, each counted once.
    pub(crate) bytes: u64,
}

/// Counts what there is. Reads two whole indexes.
pub(crate) fn kept(db: &Connection) -> Result<Kept, StoreError> {
    let ended = db.query_row(
        "SELECT count(*) FROM tasks WHERE state IN (3, 4, 5, 7)",
        [],
        |row| row.get(0),
    )?;
    let bytes = db.query_row(
        "SELECT coalesce(sum(bytes), 0) FROM \
         (SELECT max(bytes) AS bytes FROM artifacts WHERE remote IS NULL GROUP BY sha256)",
        [],
        |row| row.get(0),
    )?;
    Ok(Kept { ended, bytes })
}

/// The ended tasks, those that ended first coming first, at most `limit`, that last changed before
/// `before`. By the index over time: there are few open tasks among them to step over.
const OLDEST: &str = "SELECT id, agent_id FROM tasks WHERE +state IN (3, 4, 5, 7) AND updated_ms < ?1 \
     ORDER BY updated_ms, id LIMIT ?2";

/// Takes the oldest ended tasks out of everybody's sight and notes them for removal.
pub(crate) fn take(
    db: &Connection,
    before: UnixMillis,
    limit: u64,
) -> Result<Vec<Leaving>, StoreError> {
    let leaving = leaving(db, OLDEST, params![before.0, limit])?;
    for one in &leaving {
        db.prepare_cached("INSERT OR IGNORE INTO removals (task_id, agent_id) VALUES (?1, ?2)")?
            .execute(params![one.task.as_str(), one.agent.as_str()])?;
        db.prepare_cached("DELETE FROM tasks WHERE id = ?1")?
            .execute([one.task.as_str()])?;
    }
    Ok(leaving)
}

/// What an earlier pass took and did not remove to the end.
pub(crate) fn left_over(db: &Connection) -> Result<Vec<Leaving>, StoreError> {
    leaving(db, "SELECT task_id, agent_id FROM removals", [])
}

fn leaving(
    db: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<Leaving>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    rows.map(|row| {
        let (task, agent) = row?;
        Ok(Leaving {
            task: parsed(&task)?,
            agent: parsed(&agent)?,
        })
    })
    .collect()
}

/// What one write removed.
#[derive(Debug, Default)]
pub(crate) struct Cleared {
    /// How many of the tasks, from the first on, have no row any more.
    pub(crate) done: usize,
    /// The contents their artifacts were; other tasks may have them too.
    pub(crate) contents: Vec<Content>,
}

/// Removes rows of tasks on their way out, about `budget` of them.
pub(crate) fn clear(
    db: &Connection,
    leaving: &[Leaving],
    budget: usize,
) -> Result<Cleared, StoreError> {
    let mut cleared = Cleared::default();
    let mut left = budget;
    for one in leaving {
        let id = one.task.as_str();
        left -= db
            .prepare_cached(
                "DELETE FROM events WHERE task_id = ?1 AND seq IN \
                 (SELECT seq FROM events WHERE task_id = ?1 ORDER BY seq LIMIT ?2)",
            )?
            .execute(params![id, left])?;
        if left == 0 {
            break;
        }
        let mut statement = db.prepare_cached(
            "DELETE FROM artifacts WHERE task_id = ?1 RETURNING sha256, bytes, remote IS NULL",
        )?;
        let contents = statement.query_map([id], |row| {
            Ok(Content {
                sha256: row.get(0)?,
                bytes: row.get(1)?,
                here: row.get(2)?,
            })
        })?;
        for content in contents {
            cleared.contents.push(content?);
            left = left.saturating_sub(1);
        }
        for table in PER_TASK {
            let gone = db
                .prepare_cached(&format!("DELETE FROM {table} WHERE task_id = ?1"))?
                .execute([id])?;
            left = left.saturating_sub(gone);
        }
        cleared.done += 1;
        if left == 0 {
            break;
        }
    }
    Ok(cleared)
}

/// Forgets tasks of which nothing is left.
pub(crate) fn forget(db: &Connection, gone: &[TaskId]) -> Result<(), StoreError> {
    for task in gone {
        db.prepare_cached("DELETE FROM removals WHERE task_id = ?1")?
            .execute([task.as_str()])?;
    }
    Ok(())
}

/// Whether any artifact is this content.
pub(crate) fn is_named(db: &Connection, sha256: &str) -> Result<bool, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT EXISTS (SELECT 1 FROM artifacts WHERE sha256 = ?1)")?;
    Ok(statement.query_row([sha256], |row| row.get(0))?)
}

/// Whether an artifact is this content, which is still with another node.
pub(crate) fn is_fetched(db: &Connection, sha256: &str) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM artifacts WHERE sha256 = ?1 AND remote IS NOT NULL)",
    )?;
    Ok(statement.query_row([sha256], |row| row.get(0))?)
}

/// Notes of every artifact with this content that it is here.
pub(crate) fn here(db: &Connection, sha256: &str) -> Result<usize, StoreError> {
    let mut statement = db.prepare_cached(
        "UPDATE artifacts SET remote = NULL WHERE sha256 = ?1 AND remote IS NOT NULL",
    )?;
    Ok(statement.execute([sha256])?)
}

/// Removes keys of submits from before `before` whose tasks are gone, at most `limit`; says how many.
pub(crate) fn forget_keys(
    db: &Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<usize, StoreError> {
    let forgotten = db
        .prepare_cached(
            "DELETE FROM submits WHERE (agent, principal, message_id) IN \
             (SELECT agent, principal, message_id FROM submits \
              WHERE created_ms < ?1 AND NOT EXISTS (SELECT 1 FROM tasks WHERE id = task_id) \
              ORDER BY created_ms LIMIT ?2)",
        )?
        .execute(params![before.0, limit])?;
    Ok(forgotten)
}

/// What [`forecast`] says would be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Forecast {
    pub(crate) tasks: u64,
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
}

/// What a pass would remove: ended tasks that last changed before `before`, the oldest beyond
/// `tasks` of them, and the oldest while all contents take more than `bytes`. Holds the digests of
/// all artifacts meanwhile.
pub(crate) fn forecast(
    db: &Connection,
    before: UnixMillis,
    tasks: u64,
    bytes: u64,
) -> Result<Forecast, StoreError> {
    use std::collections::HashMap;
    let now = kept(db)?;
    let mut names: HashMap<String, (u64, bool)> = HashMap::new();
    let mut all =
        db.prepare("SELECT sha256, count(*), max(remote IS NULL) FROM artifacts GROUP BY sha256")?;
    let rows = all.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    for row in rows {
        let (sha256, named) = row?;
        names.insert(sha256, named);
    }
    let mut forecast = Forecast::default();
    let mut oldest = db.prepare(
        "SELECT id, updated_ms FROM tasks WHERE +state IN (3, 4, 5, 7) ORDER BY updated_ms, id",
    )?;
    let mut contents = db.prepare("SELECT sha256, bytes FROM artifacts WHERE task_id = ?1")?;
    let mut rows = oldest.query([])?;
    while let Some(row) = rows.next()? {
        let (id, updated): (String, i64) = (row.get(0)?, row.get(1)?);
        let goes = updated < before.0
            || now.ended - forecast.tasks > tasks
            || now.bytes - forecast.bytes > bytes;
        if !goes {
            break;
        }
        forecast.tasks += 1;
        let mut theirs = contents.query([&id])?;
        while let Some(content) = theirs.next()? {
            let (sha256, bytes): (String, u64) = (content.get(0)?, content.get(1)?);
            if let Some((count, here)) = names.get_mut(&sha256) {
                *count = count.saturating_sub(1);
                if *count == 0 && *here {
                    forecast.blobs += 1;
                    forecast.bytes += bytes;
                }
            }
        }
    }
    Ok(forecast)
}

#[cfg(test)]
mod tests {
    use super::super::open::open_connection;
    use super::*;

    #[test]
    fn every_table_with_a_task_goes_with_it_or_is_said_to_stay() {
        let dir = tempfile::tempdir().unwrap();
        let db = open_connection(&dir.path().join("t.sqlite")).unwrap();
        let mut statement = db
            .prepare(
                "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c \
                 WHERE m.type = 'table' AND c.name = 'task_id'",
            )
            .unwrap();
        let tables = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        for table in tables.map(Result::unwrap) {
            let known = [PER_TASK, KEPT, &["events", "artifacts"]].concat();
            assert!(
                known.contains(&table.as_str()),
                "{table} has rows of tasks: add it to PER_TASK (its rows go with the task) or to KEPT"
            );
        }
    }

    #[test]
    fn a_task_is_deleted_by_nobody_else_and_never_before_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let db = open_connection(&dir.path().join("t.sqlite")).unwrap();
        let task = |id: u128, state: u8| {
            let id = TaskId::from_ulid(ulid::Ulid(id));
            db.execute(
                "INSERT INTO tasks VALUES (?1, 'a', 'c', 'local', ?2, NULL, NULL, NULL, NULL, 0, 0, 's', NULL, \
                 5, 5, 1, 0, 5, 0, NULL, NULL, NULL)",
                params![id.as_str(), state],
            )
            .unwrap();
            id
        };
        let (ended, open) = (task(1, 3), task(2, 2));
        let refused = |sql: &str| db.execute_batch(sql).unwrap_err().to_string();
        assert!(refused("DELETE FROM tasks").contains("only retention"));
        db.execute("INSERT INTO removals VALUES (?1, 'a')", [open.as_str()])
            .unwrap();
        assert!(refused("DELETE FROM tasks WHERE state = 2").contains("only retention"));
        let taken = take(&db, UnixMillis(100), 10).unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].task, ended);
    }

    #[test]
    fn the_oldest_are_found_by_the_index_over_time() {
        let dir = tempfile::tempdir().unwrap();
        let db = open_connection(&dir.path().join("t.sqlite")).unwrap();
        let plan: Vec<String> = db
            .prepare(&format!("EXPLAIN QUERY PLAN {OLDEST}"))
            .unwrap()
            .query_map([1, 1], |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let plan = plan.join("; ");
        assert!(
            plan.contains("INDEX tasks_by_time (") && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }
}
