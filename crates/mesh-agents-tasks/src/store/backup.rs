//! A copy of the database as it is at one moment, while it is in use; and the look at all of it.

use std::path::Path;

use mesh_agents_core::ids::RunId;
use rusqlite::{Connection, params};
use ulid::Ulid;

use super::StoreError;
use super::open::look;
use super::retention::Content;

/// What is in a copy.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    /// Its tasks.
    pub(crate) tasks: u64,
    /// The contents its artifacts are.
    pub(crate) contents: Vec<Content>,
}

/// Copies the database to `to`, which must be absent or empty. Writers go on meanwhile.
pub(crate) fn copy(db: &Connection, to: &Path) -> Result<Copied, StoreError> {
    let at = |error: rusqlite::Error| StoreError::from(error).at(to);
    let name = to.to_str().ok_or_else(|| StoreError::Unreadable {
        what: "path",
        why: format!("{} is not UTF-8", to.display()),
    })?;
    db.execute("VACUUM INTO ?1", [name]).map_err(at)?;
    let copy = Connection::open(to).map_err(at)?;
    copy.pragma_update(None, "journal_mode", "DELETE")
        .map_err(at)?;
    disown(&copy).map_err(at)?;
    let copied = Copied {
        tasks: copy.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))?,
        contents: contents(&copy)?,
    };
    copy.close().map_err(|(_, error)| at(error))?;
    Ok(copied)
}

/// Whoever opens the copy must not take the runs that are under way for its own: neither end them
/// nor go on in their sessions.
fn disown(copy: &Connection) -> rusqlite::Result<usize> {
    let nobody = RunId::from_ulid(Ulid::nil());
    copy.execute(
        "UPDATE attempts SET run_id = ?1, pid = NULL, birth = NULL, session_id = NULL, resumable = 0 \
         WHERE ended_ms IS NULL",
        params![nobody.as_str()],
    )
}

/// The contents of all artifacts, each once, without those that are with other nodes.
fn contents(db: &Connection) -> Result<Vec<Content>, StoreError> {
    let mut statement =
        db.prepare(
            "SELECT sha256, max(bytes) FROM artifacts WHERE remote IS NULL GROUP BY sha256 ORDER BY sha256",
        )?;
    let rows = statement.query_map([], |row| {
        Ok(Content {
            sha256: row.get(0)?,
            bytes: row.get(1)?,
            here: true,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What a look at everything found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looked {
    /// Tasks there are.
    pub(crate) tasks: u64,
    /// Contents that artifacts name.
    pub(crate) contents: u64,
    /// What is wrong, each in a line.
    pub(crate) problems: Vec<String>,
}

/// Looks at everything: the structure of the database, the rows against their events, the contents
/// of artifacts in `blobs`. Reads the whole database.
pub(crate) fn look_at_all(db: &Connection, blobs: &Path) -> Result<Looked, StoreError> {
    /// Problems of one kind that are named.
    const NAMED: usize = 3;
    look(db, "integrity_check", None)?;
    let mut looked = Looked {
        tasks: db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))?,
        ..Looked::default()
    };
    let mut rows = db.prepare(
        "SELECT t.id FROM tasks t WHERE t.last_seq <> \
         (SELECT coalesce(max(e.seq), 0) FROM events e WHERE e.task_id = t.id) LIMIT 100",
    )?;
    let astray: Vec<String> = rows
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if !astray.is_empty() {
        looked.problems.push(format!(
            "{} tasks do not agree with their logs: {}",
            astray.len(),
            astray[..astray.len().min(NAMED)].join(", ")
        ));
    }
    let mut missing = Vec::new();
    for content in contents(db)? {
        looked.contents += 1;
        let length = std::fs::metadata(blobs.join(&content.sha256)).map(|file| file.len());
        if length.ok() != Some(content.bytes) {
            missing.push(content.sha256);
        }
    }
    if !missing.is_empty() {
        looked.problems.push(format!(
            "{} contents of artifacts are missing or cut short in {}: {}",
            missing.len(),
            blobs.display(),
            missing[..missing.len().min(NAMED)].join(", ")
        ));
    }
    Ok(looked)
}
