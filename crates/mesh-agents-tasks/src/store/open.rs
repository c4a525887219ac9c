//! Opening and migrating the database.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// Numbered migrations; a database's `user_version` is how many of them it has seen.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/001-tasks.sql"),
    include_str!("../../migrations/002-list-pairs.sql"),
    include_str!("../../migrations/003-questions.sql"),
    include_str!("../../migrations/004-task-counts.sql"),
];

/// `MESH` in ASCII, so that `file` and we can tell our databases from others.
const APPLICATION_ID: i32 = 0x4D45_5348;

/// Writers wait this long for a lock another process holds (a backup), before they give up.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the database for writing, creating and migrating it where needed.
pub(super) fn open_connection(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: an acknowledged write survives a power cut, which is what "acknowledged" means here.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    migrate(&mut connection, MIGRATIONS)?;
    Ok(connection)
}

/// Opens one more connection that can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (done, sql) in (1_u32..).zip(migrations).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", done)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_database_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sqlite");
        open_connection(&path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        let error = open_connection(&path).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Newer {
                    found: 99,
                    known: 4
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_database_is_named_as_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sqlite");
        std::fs::write(&path, "this is not a database, whatever its name says").unwrap();
        let error = open_connection(&path).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    }

    #[test]
    fn a_failed_migration_leaves_the_schema_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(
            &mut connection,
            &["CREATE TABLE a (x)", "CREATE TABLE b (x); nonsense"],
        )
        .unwrap_err();
        let version: u32 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!(version, 1);
        assert!(connection.prepare("SELECT * FROM a").is_ok());
        assert!(connection.prepare("SELECT * FROM b").is_err());
    }

    #[test]
    fn every_past_schema_becomes_the_newest() {
        let schema = |db: &Connection| -> Vec<String> {
            let mut sql = db
                .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
                .unwrap();
            let rows = sql.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let mut newest = Connection::open_in_memory().unwrap();
        migrate(&mut newest, MIGRATIONS).unwrap();
        for past in 0..MIGRATIONS.len() {
            let mut db = Connection::open_in_memory().unwrap();
            migrate(&mut db, &MIGRATIONS[..past]).unwrap();
            migrate(&mut db, MIGRATIONS).unwrap();
            assert_eq!(schema(&db), schema(&newest), "from schema {past}");
        }
    }
}
