//! Opening the database: made whole or not at all, looked at before it is trusted, migrated in one
//! transaction.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;

/// Numbered migrations; a database's `user_version` is how many of them it has seen. With every new
/// one goes a database of the schema before it: `past` says how.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/001-tasks.sql"),
    include_str!("../../migrations/002-list-pairs.sql"),
    include_str!("../../migrations/003-questions.sql"),
    include_str!("../../migrations/004-push-configs.sql"),
    include_str!("../../migrations/005-retention.sql"),
    include_str!("../../migrations/006-attempts.sql"),
    include_str!("../../migrations/007-task-counts.sql"),
    include_str!("../../migrations/008-mesh.sql"),
    include_str!("../../migrations/009-elsewhere.sql"),
];

/// `MESH` in ASCII, so that `file` and we can tell our databases from others.
pub(super) const APPLICATION_ID: i32 = 0x4D45_5348;

/// Writers wait this long for a lock another process holds (a backup), before they give up.
const BUSY: Duration = Duration::from_secs(5);

/// Up to this size a database is looked at every time it is opened; a larger one only after an end
/// that left something in the write-ahead log, as a kill does.
const SMALL: u64 = 64 * 1024 * 1024;

/// How long that look takes at most: an engine is ready within 150 ms of its start, whatever it
/// keeps. `agents doctor` looks at all of it.
const LOOK: Duration = Duration::from_millis(50);

/// Opens the database for writing, creating and migrating it where needed.
///
/// # Errors
/// `Damaged`, `Foreign` and `Newer` leave every byte as it was found.
pub(super) fn open_connection(path: &Path) -> Result<Connection, StoreError> {
    open_looking(path, LOOK)
}

/// The same, with this long to look at it.
fn open_looking(path: &Path, look: Duration) -> Result<Connection, StoreError> {
    if is_missing(path)? {
        create(path)?;
    }
    let due = bytes(path)? <= Some(SMALL) || bytes(&beside(path, "-wal"))? > Some(0);
    // Never creates: a file that is gone by now is nothing to start over for.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Until it is trusted, closing it moves nothing from the write-ahead log into it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    trust(&connection, due.then_some(look))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
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

/// Opens a database that nobody has open, to look at it: nothing of it is changed, whatever its
/// schema. `None` when there is none.
pub(super) fn open_to_look(path: &Path) -> Result<Option<Connection>, StoreError> {
    if is_missing(path)? {
        return Ok(None);
    }
    let connection = open_reader(path)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    trust(&connection, None)?;
    Ok(Some(connection))
}

/// Whether there is no database yet. What looks as if there had been one is damage: an empty start
/// in its place would hide every task.
fn is_missing(path: &Path) -> Result<bool, StoreError> {
    match bytes(path)? {
        Some(0) => Err(StoreError::Damaged("the file is empty".to_owned())),
        Some(_) => Ok(false),
        None if bytes(&beside(path, "-wal"))? > Some(0) => Err(StoreError::Damaged(
            "the file is gone and its write-ahead log (-wal) is there".to_owned(),
        )),
        None => Ok(true),
    }
}

/// Bytes of a file; `None` when there is none.
fn bytes(path: &Path) -> Result<Option<u64>, StoreError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::of_file(&error, path)),
    }
}

/// A file that belongs to the one at `path`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes a new database under another name and gives it its own when it is whole: a kill meanwhile
/// leaves none, and never an empty one.
fn create(path: &Path) -> Result<(), StoreError> {
    let new = beside(path, ".new");
    for leftover in [new.clone(), beside(&new, "-journal")] {
        if let Err(error) = std::fs::remove_file(&leftover)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(StoreError::of_file(&error, &leftover));
        }
    }
    let mut connection = Connection::open(&new)?;
    migrate(&mut connection, MIGRATIONS)?;
    connection.close().map_err(|(_, error)| error)?;
    let placed = std::fs::rename(&new, path).and_then(|()| {
        let dir = path.parent().unwrap_or(Path::new("."));
        std::fs::File::open(dir)?.sync_all()
    });
    placed.map_err(|error| StoreError::of_file(&error, path))
}

/// Looks at a database that was found: whether it is ours, of a schema we know and, as far as that
/// can be seen in `time`, whole.
fn trust(connection: &Connection, time: Option<Duration>) -> Result<(), StoreError> {
    let pragma = |name: &str| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0))
    };
    match pragma("application_id")? {
        APPLICATION_ID => {}
        other => return Err(StoreError::Foreign(other)),
    }
    known(connection, MIGRATIONS)?;
    match time {
        Some(_) => look(connection, "quick_check", time),
        None => Ok(()),
    }
}

/// Has SQLite check the structure of the whole database with `pragma` (`quick_check`, or
/// `integrity_check`, which compares indexes with tables too), for `limit` at most: what it has not
/// reached by then counts as whole.
pub(super) fn look(
    connection: &Connection,
    pragma: &str,
    limit: Option<Duration>,
) -> Result<(), StoreError> {
    let (done, waits) = mpsc::channel::<()>();
    let interrupt = connection.get_interrupt_handle();
    let found = std::thread::scope(|scope| {
        if let Some(limit) = limit {
            scope.spawn(move || {
                if waits.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    interrupt.interrupt();
                }
            });
        }
        let found = problems(connection, pragma);
        drop(done);
        found
    });
    match found {
        Ok(found) if found.is_empty() => Ok(()),
        Ok(found) => Err(StoreError::Damaged(found.join("; "))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn problems(connection: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    /// The first say enough.
    const SHOWN: u32 = 3;
    let mut statement = connection.prepare(&format!("PRAGMA {pragma}({SHOWN})"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// How many migrations the database has seen, if that is no more than there are.
fn known(connection: &Connection, migrations: &[&str]) -> Result<u32, StoreError> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Ok(found)
}

/// Brings the database to the newest schema, all the way or not at all.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let found = known(connection, migrations)?;
    if found as usize == migrations.len() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for sql in migrations.iter().skip(found as usize) {
        transaction.execute_batch(sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", migrations.len())?;
    transaction.commit()?;
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
            matches!(error, StoreError::Newer { found: 99, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }

    /// Opens it with time enough to see all damage, however busy the machine is.
    fn open_patiently(path: &Path) -> Result<Connection, StoreError> {
        open_looking(path, Duration::from_secs(600))
    }

    /// A database with enough in it that its tables have inner pages; nothing of it in the log.
    fn filled(path: &Path) {
        let db = open_connection(path).unwrap();
        db.execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
             INSERT INTO events SELECT 'task-' || i, 1, 0, 'text', hex(randomblob(100)) FROM n",
        )
        .unwrap();
    }

    #[test]
    fn a_damaged_database_is_refused_by_name_and_not_touched() {
        type Harm = fn(&mut Vec<u8>);
        let harms: [(&str, Harm); 5] = [
            ("a text file", |bytes| {
                *bytes = b"this is not a database, whatever its name says".to_vec();
            }),
            ("an empty file", Vec::clear),
            ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
            ("a page of noise", |bytes| {
                bytes[4096 * 9..4096 * 10].fill(0xA5);
            }),
            ("flipped in every page", |bytes| {
                bytes
                    .iter_mut()
                    .skip(4096 + 3)
                    .step_by(4096)
                    .for_each(|byte| *byte ^= 0xFF);
            }),
        ];
        for (name, harm) in harms {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("t.sqlite");
            filled(&path);
            let mut bytes = std::fs::read(&path).unwrap();
            harm(&mut bytes);
            std::fs::write(&path, &bytes).unwrap();
            let error = open_patiently(&path).map(drop).unwrap_err();
            assert!(matches!(error, StoreError::Damaged(_)), "{name}: {error}");
            assert!(error.to_string().contains("Restore a backup"), "{error}");
            assert!(
                std::fs::read(&path).unwrap() == bytes,
                "{name}: it was changed"
            );
        }
    }

    #[test]
    fn damage_after_a_kill_leaves_the_log_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sqlite");
        filled(&path);
        // As a kill leaves them: the last writes are in the log alone.
        let db = open_connection(&path).unwrap();
        db.execute_batch("INSERT INTO events VALUES ('task-x', 1, 0, 'text', 'last')")
            .unwrap();
        let copy = dir.path().join("killed.sqlite");
        let wal = |path: &Path| beside(path, "-wal");
        std::fs::copy(&path, &copy).unwrap();
        std::fs::copy(wal(&path), wal(&copy)).unwrap();
        let mut bytes = std::fs::read(&copy).unwrap();
        bytes[4096 * 9..4096 * 10].fill(0xA5);
        std::fs::write(&copy, &bytes).unwrap();
        let log = std::fs::read(wal(&copy)).unwrap();
        let error = open_patiently(&copy).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        assert!(std::fs::read(&copy).unwrap() == bytes);
        assert!(std::fs::read(wal(&copy)).unwrap() == log);

        // And a log without its database is no reason to start empty.
        std::fs::remove_file(&copy).unwrap();
        let error = open_patiently(&copy).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        assert!(!copy.exists());
    }

    #[test]
    fn the_database_of_another_program_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sqlite");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE songs (name)").unwrap();
        drop(other);
        let before = std::fs::read(&path).unwrap();
        let error = open_patiently(&path).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Foreign(0)), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_creation_that_was_killed_is_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sqlite");
        std::fs::write(beside(&path, ".new"), "half a data").unwrap();
        drop(open_connection(&path).unwrap());
        assert!(!beside(&path, ".new").exists());
    }

    #[test]
    fn a_failed_migration_leaves_the_schema_before_all_of_them() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &["CREATE TABLE a (x)"]).unwrap();
        let all = [
            "CREATE TABLE a (x)",
            "CREATE TABLE b (x)",
            "CREATE TABLE c (x); nonsense",
        ];
        migrate(&mut connection, &all).unwrap_err();
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
