//! A database of every schema there ever was, opened by the code of today.
//!
//! `tests/schemas/NNN.sql` is a database of schema NNN as text, with tasks in all states. A new
//! migration needs the one it leads to: the test writes it when it is missing, and fails once so
//! that somebody looks at it. Files that are there are never written again; they are the past.

use std::path::PathBuf;

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{ArtifactId, MessageId, QuestionId, RunId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::push::{PushAuthentication, PushConfig};
use mesh_agents_core::question::Question;
use mesh_agents_core::run::{
    Outcome, PlanEntry, ProcessRef, QuestionKind, QuestionOption, ToolCall,
};
use mesh_agents_core::task::{ArtifactInfo, Failure, Message, Role, Task, TaskState};
use mesh_agents_core::transition::{Again, Happening, StopCause};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use ulid::Ulid;

use super::open::{APPLICATION_ID, MIGRATIONS, migrate, open_connection};
use super::push::NewPush;
use super::questions::{Open, ask, open_questions, settle};
use super::read;
use super::rows::Row;
use super::submits::{Found, Key, find, insert_task};
use super::{
    Terms, append, apply, reach, run_process, session_opened, start_attempt, store_artifact,
};

fn file(schema: usize) -> PathBuf {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemas");
    PathBuf::from(dir).join(format!("{schema:03}.sql"))
}

fn at(n: u64) -> UnixMillis {
    UnixMillis(1_790_000_000_000 + i64::try_from(n).unwrap())
}

fn id(n: u128) -> TaskId {
    TaskId::from_ulid(Ulid::from_parts(1_790_000_000_000, n))
}

fn message(n: u64) -> MessageId {
    MessageId::from_ulid(Ulid::from_parts(1_790_000_000_001, n.into()))
}

fn key(n: u128, minted: bool) -> Key {
    Key {
        agent: "reviewer".parse().unwrap(),
        principal: Principal::Local,
        message_id: format!("m-{n}").parse().unwrap(),
        body_hash: format!("{n:064x}"),
        instance: minted.then(|| Ulid::from_parts(1, 1).to_string()),
        answered_at_once: minted,
    }
}

/// Stores task `n` as a submit does.
fn submitted(db: &Connection, n: u128, principal: Principal, parent: Option<TaskId>) {
    let now = at(10 * u64::try_from(n).unwrap());
    let text = format!("look at change {n}: it's \"new\"\nand ümlauted");
    let mut said = Message::text(message(0), Role::User, text);
    said.metadata = Some(JsonText::parse(r#"{"n":9007199254740993}"#).unwrap());
    let task = Task {
        id: id(n),
        context_id: "ctx.of:someone".parse().unwrap(),
        agent_id: "reviewer".parse().unwrap(),
        principal: principal.clone(),
        state: TaskState::Submitted,
        status_message: (n == 23).then(|| Message::text(message(9), Role::Agent, "queued")),
        failure: None,
        cancel_requested: false,
        unreachable_since: None,
        deliver_until: (n == 23).then(|| at(9_000)),
        depth: u8::from(parent.is_some()),
        parent,
        attempt: 0,
        summary: format!("look at change {n}"),
        metadata: Some(JsonText::parse(r#"{"b":1,"a":[1.0,null]}"#).unwrap()),
        created_at: now,
        updated_at: now,
        version: 1,
        last_seq: 0,
    };
    let key = Key {
        principal,
        ..key(n, n.is_multiple_of(2))
    };
    let push = n.is_multiple_of(5).then(|| told(n));
    insert_task(db, now, task, said, push.as_ref(), &key).unwrap();
}

/// Where somebody wants to be told of task `n`.
fn told(n: u128) -> NewPush {
    NewPush {
        config: PushConfig {
            id: format!("push-{n}"),
            url: "https://hooks.example/x?y=1".into(),
            token: Some("t'oken".into()),
            authentication: Some(PushAuthentication {
                scheme: "Bearer".into(),
                credentials: Some("secret".into()),
            }),
        },
        receiver: "hooks.example:443".into(),
        revision: Ulid::from_parts(3, n).to_string(),
    }
}

/// Starts task `n` and has its run say something of everything.
fn started(db: &Connection, n: u128) {
    let run = RunId::from_ulid(Ulid::from_parts(7, n));
    let terms = Terms {
        definition: "digest".into(),
        limit_ms: 3_600_000,
        max_attempts: 2,
        retry: n.is_multiple_of(2),
        per_context: false,
    };
    start_attempt(db, at(200), &id(n), &run, &terms, &message(1)).unwrap();
    let guard = ProcessRef {
        pid: 4_194_304,
        birth: 17,
    };
    run_process(db, &id(n), 1, guard).unwrap();
    session_opened(db, at(201), &id(n), 1, "s-1".into(), true).unwrap();
    let events = [
        TaskEvent::Text {
            text: "I look.\n'quoted'".into(),
        },
        TaskEvent::ToolCall {
            call: ToolCall {
                id: "call-1".into(),
                title: Some("read".into()),
                tool: Some("read".into()),
                status: None,
            },
        },
        TaskEvent::Plan {
            entries: vec![PlanEntry {
                content: "first".into(),
                status: "pending".into(),
            }],
        },
        TaskEvent::Usage { used: 5, size: 9 },
        TaskEvent::Note {
            code: "unconfined".into(),
            text: "no Landlock here".into(),
            data: Some(JsonText::parse("[1]").unwrap()),
        },
    ];
    append(db, at(201), &id(n), 1, &events).unwrap();
    for (name, sha256) in [("summary.md", "a"), ("out/findings.json", "b")] {
        let artifact = ArtifactInfo {
            id: name.parse().unwrap(),
            media_type: "text/markdown".into(),
            bytes: 12,
            sha256: sha256.repeat(64),
            partial: false,
            remote: (n == 24).then(|| format!("there/{name}")),
        };
        store_artifact(db, at(202), &id(n), 1, &artifact).unwrap();
    }
}

fn happened(db: &Connection, n: u128, attempt: Option<u32>, happening: &Happening) {
    apply(db, at(300), &id(n), attempt, happening, &message(2)).unwrap();
}

/// Has the run of task `n` ask two things, of which one is answered.
fn asked(db: &Connection, n: u128) {
    let question = |n| QuestionId::from_ulid(Ulid::from_parts(9, n));
    let open = |n| Open {
        question: Question {
            id: question(n),
            kind: QuestionKind::Permission,
            text: "May I?".into(),
            options: vec![QuestionOption {
                id: "allow".into(),
                name: "Allow".into(),
                kind: "allow_once".into(),
            }],
        },
        expires: at(9_000),
    };
    for one in [1, 2] {
        ask(db, at(250), &id(n), 1, &open(one), &message(4)).unwrap();
    }
    let first = question(1);
    let chosen = Some("allow".to_owned());
    settle(
        db,
        at(251),
        &id(n),
        Some(1),
        (&first, chosen),
        None,
        &message(5),
    )
    .unwrap();
}

/// Tasks in all states, with everything that can lie beside them.
fn furnish(db: &Connection) {
    let parent = Some(id(2));
    for n in 1..=10 {
        match n {
            3 => submitted(db, n, Principal::Task(id(2)), parent.clone()),
            4 => submitted(db, n, Principal::Token("ci".into()), None),
            _ => submitted(db, n, Principal::Local, None),
        }
    }
    (2..=8).for_each(|n| started(db, n));
    (21..=22).for_each(|n| {
        submitted(db, n, Principal::Local, None);
        started(db, n);
    });
    happened(db, 21, Some(1), &Happening::Again(Again::Resume));
    submitted(db, 23, Principal::Local, None);
    submitted(db, 24, Principal::Local, None);
    started(db, 24);
    reach(db, at(203), &id(24), 1, Some("no route".into())).unwrap();
    asked(db, 22);
    happened(db, 22, Some(1), &Happening::Parked);
    asked(db, 3);
    happened(db, 4, Some(1), &Happening::Asked(QuestionKind::Auth));
    happened(db, 5, Some(1), &Happening::Stop(StopCause::Canceled));
    let answer = "All is well.".to_owned();
    happened(
        db,
        6,
        Some(1),
        &Happening::Ended(Outcome::Completed { answer }),
    );
    let mut failure = Failure::new("harness_exited", "it left with status 7");
    failure.stderr_tail = Some("oh no\n".into());
    happened(db, 7, Some(1), &Happening::Ended(Outcome::Failed(failure)));
    happened(db, 8, Some(1), &Happening::Stop(StopCause::Canceled));
    happened(db, 8, Some(1), &Happening::Ended(Outcome::Canceled));
    let refused = Outcome::Refused("not my line of work".into());
    happened(db, 9, None, &Happening::Ended(refused));
    happened(db, 10, None, &Happening::AgentRemoved);
}

/// The whole database as SQL.
fn dump(db: &Connection) -> String {
    use std::fmt::Write as _;
    let strings = |sql: &str| -> Vec<(String, String)> {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    };
    let version: u32 = db
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    let mut out = format!(
        "-- A database of schema {version}, to be opened by every later version. Never edited.\n\
         PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {version};\n"
    );
    let order = "ORDER BY type = 'table' DESC, rowid";
    let objects = strings(&format!(
        "SELECT type, sql FROM sqlite_master WHERE sql IS NOT NULL {order}"
    ));
    for (_, sql) in objects.iter().filter(|(kind, _)| kind != "trigger") {
        writeln!(out, "{sql};").unwrap();
    }
    let tables =
        strings("SELECT name, name FROM sqlite_master WHERE type = 'table' ORDER BY rowid");
    for (table, _) in tables {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..columns)
                .map(|column| literal(row.get_ref(column).unwrap()))
                .collect();
            writeln!(out, "INSERT INTO {table} VALUES ({});", values.join(", ")).unwrap();
        }
    }
    // Last: what they would do to the rows above is in the rows already.
    for (_, sql) in objects.iter().filter(|(kind, _)| kind == "trigger") {
        writeln!(out, "{sql};").unwrap();
    }
    out
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => {
            format!(
                "'{}'",
                std::str::from_utf8(text).unwrap().replace('\'', "''")
            )
        }
        ValueRef::Real(_) | ValueRef::Blob(_) => panic!("no column holds such a value"),
    }
}

fn schema(db: &Connection) -> Vec<String> {
    let mut sql = db
        .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        .unwrap();
    let rows = sql.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// A task row must be what its events add up to.
pub(super) fn assert_adds_up(db: &Connection, row: &Row) {
    let id = &row.task.id;
    let events = read::events(db, id, 0, u32::MAX).unwrap();
    let (mut state, mut message, mut failure, mut attempt) = (TaskState::Submitted, None, None, 0);
    let mut artifacts = std::collections::BTreeMap::new();
    let (mut open, mut said, mut ends) = (Vec::new(), String::new(), 0);
    let (mut changed, mut bytes) = (events[0].at, 0);
    let (mut unreachable, mut waits) = (None, None);
    for (seq, stored) in (1..).zip(&events) {
        assert_eq!(stored.seq, seq, "{id}");
        bytes += super::rows::to_json(&stored.event).unwrap().len() as u64;
        match stored.event.clone() {
            TaskEvent::State {
                state: to,
                message: said,
                failure: why,
            } => {
                (state, message, failure, changed) = (to, said, why, stored.at);
                if to.is_terminal() {
                    (unreachable, waits) = (None, None);
                }
                ends += u32::from(to.is_terminal());
            }
            TaskEvent::Attempt {
                attempt: n,
                resumed,
                ..
            } => {
                attempt = n;
                artifacts.retain(|id, _| resumed && *id != ArtifactId::response());
                if !resumed {
                    said.clear();
                }
            }
            TaskEvent::Reach { away } => unreachable = away.map(|_| stored.at),
            TaskEvent::Waits { until } => waits = Some(until),
            TaskEvent::Session { .. } => waits = None,
            TaskEvent::Text { text } => said.push_str(&text),
            TaskEvent::Question { id, .. } => open.push(id),
            TaskEvent::QuestionGone { id, .. } => open.retain(|one| *one != id),
            TaskEvent::Artifact { artifact } => {
                artifacts.insert(artifact.id.clone(), artifact);
            }
            _ => {}
        }
    }
    let task = &row.task;
    assert_eq!((task.state, task.attempt), (state, attempt), "{id}");
    assert_eq!(
        (task.unreachable_since, task.deliver_until),
        (unreachable, waits),
        "{id}"
    );
    assert_eq!(
        (&task.status_message, &task.failure),
        (&message, &failure),
        "{id}"
    );
    assert_eq!(
        (task.last_seq, row.event_bytes),
        (events.len() as u64, bytes),
        "{id}"
    );
    assert_eq!(row.last_event.max(task.updated_at), row.last_event, "{id}");
    assert!(
        task.updated_at >= changed && task.updated_at.0 <= changed.0 + 1,
        "{id}"
    );
    assert_eq!(ends, u32::from(task.state.is_terminal()), "{id}: one end");
    let waiting = open_questions(db, id).unwrap().into_iter();
    let waiting: Vec<_> = waiting.map(|open| open.question.id).collect();
    assert_eq!(waiting, open, "{id}");
    assert_eq!(read::response(db, id, usize::MAX).unwrap(), said, "{id}");
    let at_last = read::said_at(db, id, task.last_seq, usize::MAX);
    assert_eq!(at_last.unwrap(), said, "{id}");
    let indexed = read::artifacts(db, id).unwrap();
    assert_eq!(indexed, artifacts.into_values().collect::<Vec<_>>(), "{id}");
}

#[test]
fn every_schema_has_a_database_of_its_time() {
    let newest = MIGRATIONS.len();
    let missing: Vec<_> = (1..=newest).filter(|past| !file(*past).exists()).collect();
    for past in &missing {
        let mut db = Connection::open_in_memory().unwrap();
        if *past < newest {
            // Today's code cannot write it: it is the one before, taken one schema further.
            let before = std::fs::read_to_string(file(past - 1)).unwrap();
            db.execute_batch(&before).unwrap();
        }
        migrate(&mut db, &MIGRATIONS[..*past]).unwrap();
        if *past == newest {
            furnish(&db);
        }
        std::fs::write(file(*past), dump(&db)).unwrap();
    }
    assert!(
        missing.is_empty(),
        "schemas {missing:?} had no database to be remembered by; it was written to {} just now: \
         look whether what the migration is for is in it (furnish puts it there), and commit it",
        file(missing[0]).display()
    );
    for past in 1..=newest {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&std::fs::read_to_string(file(past)).unwrap())
            .unwrap();
        let mut made = Connection::open_in_memory().unwrap();
        migrate(&mut made, &MIGRATIONS[..past]).unwrap();
        assert_eq!(
            schema(&db),
            schema(&made),
            "a released migration was changed: schema {past}"
        );
    }
}

#[test]
fn a_database_of_every_schema_is_read_whole_and_goes_on() {
    for past in 1..=MIGRATIONS.len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sqlite");
        let db = Connection::open(&path).unwrap();
        let text = std::fs::read_to_string(file(past)).unwrap();
        db.execute_batch(&format!("BEGIN; {text}; COMMIT")).unwrap();
        drop(db);
        let db = open_connection(&path).unwrap();
        db.execute_batch("BEGIN").unwrap();
        let mut states = std::collections::BTreeSet::new();
        for n in 1..=10 {
            let row = read::task(&db, &id(n), &Principal::Local).unwrap();
            assert_adds_up(&db, &row);
            assert!(!read::history(&db, &id(n)).unwrap().is_empty());
            states.insert(row.task.state);
        }
        assert_eq!(states.len(), TaskState::ALL.len(), "schema {past}");
        let open = match past {
            ..6 => 5,
            6..9 => 7,
            _ => 9,
        };
        assert_eq!(read::open_tasks(&db).unwrap().len(), open, "schema {past}");
        goes_on(&db);
    }
}

/// What is open can go on, what has ended stays, keys are known, and new tasks are taken.
fn goes_on(db: &Connection) {
    let repeat = find(db, at(400), &key(6, true)).unwrap();
    assert!(matches!(repeat, Found::Repeat(task) if task == id(6)));
    let other = Key {
        body_hash: "0".repeat(64),
        ..key(6, true)
    };
    assert!(matches!(
        find(db, at(400), &other).unwrap(),
        Found::Conflict(_)
    ));
    for n in [6, 7, 8, 9, 10] {
        let stop = Happening::Stop(StopCause::Canceled);
        apply(db, at(400), &id(n), None, &stop, &message(3)).unwrap_err();
    }
    started(db, 1);
    submitted(db, 11, Principal::Local, None);
    started(db, 11);
    for n in [1, 2, 3, 4, 5, 11] {
        let lost = Happening::Lost(Failure::new("interrupted", "killed"));
        happened(db, n, Some(1), &lost);
        let row = read::task(db, &id(n), &Principal::Local).unwrap();
        assert!(row.task.state.is_terminal());
        assert_adds_up(db, &row);
    }
}
