//! The queries of what is kept of the mesh.

use rusqlite::{Connection, params};

use super::StoreError;

/// All of a kind, by id.
pub(crate) fn facts(db: &Connection, kind: &str) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT id, body FROM mesh_facts WHERE kind = ?1 ORDER BY id")?;
    let rows = statement.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Puts one in the place of an earlier one, or removes it.
pub(crate) fn keep_fact(
    db: &Connection,
    kind: &str,
    id: &str,
    body: Option<&str>,
) -> Result<(), StoreError> {
    match body {
        Some(body) => db
            .prepare_cached(
                "INSERT OR REPLACE INTO mesh_facts (kind, id, body) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![kind, id, body])?,
        None => db
            .prepare_cached("DELETE FROM mesh_facts WHERE kind = ?1 AND id = ?2")?
            .execute([kind, id])?,
    };
    Ok(())
}
