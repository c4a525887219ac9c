//! A database with as many tasks as wanted, written as the engine would have written them, but in
//! one transaction and with the indexes made at the end: by the engine itself a million would take
//! minutes, and what is measured is the reading.

use std::path::Path;

use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{ContextId, MessageId, TaskId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::task::{Message, Role, TaskState};
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

/// When the first task was made.
const FIRST_MS: u64 = 1_700_000_000_000;
/// One task after the other, this far apart.
const STEP_MS: u64 = 2_000;
/// Agents the tasks are of.
const AGENTS: u64 = 40;
/// Tasks of one conversation.
const PER_CONTEXT: u64 = 5;
/// Of so many tasks one is not the local person's but one of [`TOKENS`] others'.
const TOKEN_EVERY: u64 = 4;
/// Principals besides the local person.
const TOKENS: u64 = 50;
/// The newest tasks, of which some are still open.
const RECENT: u64 = 1_000;

/// Task number `n`.
pub(crate) fn task(n: u64) -> TaskId {
    TaskId::from_ulid(ulid(n))
}

/// The conversation of task number `n`.
pub(crate) fn context(n: u64) -> ContextId {
    ContextId::from_ulid(ulid(n / PER_CONTEXT * PER_CONTEXT))
}

/// The agent of task number `n`.
pub(crate) fn agent(n: u64) -> String {
    format!("agent-{:02}", n * 7 % AGENTS)
}

/// The principal of task number `n`.
pub(crate) fn principal(n: u64) -> String {
    if n.is_multiple_of(TOKEN_EVERY) {
        format!("token:t{}", n / TOKEN_EVERY % TOKENS)
    } else {
        "local".to_owned()
    }
}

fn ulid(n: u64) -> Ulid {
    Ulid::from_parts(
        FIRST_MS + n * STEP_MS,
        u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
    )
}

fn state(n: u64, of: u64) -> (i64, TaskState) {
    match n % 100 {
        // Submitted, for agents nobody has: the engine neither runs nor ends them.
        0..10 if n + RECENT >= of => (1, TaskState::Submitted),
        0..12 => (4, TaskState::Failed),
        12..15 => (5, TaskState::Canceled),
        _ => (3, TaskState::Completed),
    }
}

/// Whose tasks are written.
enum Whose {
    /// Those of [`AGENTS`] agents and of as many principals as there are.
    Many,
    /// Those of the agent `a` and the local person. All have ended, and each has one artifact, the
    /// content with this digest.
    One(String),
}

/// Fills the database at `path`, whose schema the engine has made, with `count` tasks.
pub(crate) fn fill(path: &Path, count: u64) {
    write(path, count, &Whose::Many);
}

/// Fills the directory `dir`, in which the engine has been, with `count` tasks as a server of one
/// agent `a` would list them, and lists `named` of them in its file `ids`, scattered.
pub(crate) fn fill_for_a_server(dir: &Path, count: u64, named: u64) {
    let layout = Layout::new(dir);
    let content = answer();
    let digest = format!("{:x}", Sha256::digest(&content));
    std::fs::create_dir_all(layout.blobs()).unwrap();
    std::fs::write(layout.blobs().join(&digest), &content).unwrap();
    write(&layout.database(), count, &Whose::One(digest));
    let ids: Vec<String> = (1..=named)
        .map(|n| task(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % count).to_string())
        .collect();
    std::fs::write(dir.join("ids"), ids.join("\n")).unwrap();
}

/// What an agent said at the end.
fn answer() -> String {
    "All is well, but".repeat(20)
}

fn write(path: &Path, count: u64, whose: &Whose) {
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")
        .unwrap();
    let indexes: Vec<(String, String)> = db
        .prepare("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (name, _) in &indexes {
        db.execute_batch(&format!("DROP INDEX {name}")).unwrap();
    }
    db.execute_batch("BEGIN").unwrap();
    for n in 0..count {
        insert(&db, n, count, whose);
    }
    db.execute_batch("COMMIT").unwrap();
    for (_, sql) in &indexes {
        db.execute_batch(sql).unwrap();
    }
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

fn insert(db: &Connection, n: u64, of: u64, whose: &Whose) {
    let id = task(n);
    let created = FIRST_MS + n * STEP_MS;
    let (number, state) = match whose {
        Whose::Many => state(n, of),
        // None of them is recent.
        Whose::One(_) => state(n, u64::MAX),
    };
    let text = format!("Review change {n} of the shop and say what is wrong with it.");
    let message = MessageId::from_ulid(ulid(n));
    let user = Message::text(message.clone(), Role::User, text.clone());
    let agent_says = Message::text(message.clone(), Role::Agent, answer());
    let mut events = vec![TaskEvent::Message { message: user }];
    if state.is_terminal() {
        events.push(TaskEvent::State {
            state: TaskState::Working,
            message: None,
            failure: None,
        });
        events.push(TaskEvent::Text { text: answer() });
        events.push(TaskEvent::Message {
            message: agent_says,
        });
        events.push(TaskEvent::State {
            state,
            message: None,
            failure: None,
        });
        artifacts(db, &id, whose);
    }
    let mut event = db
        .prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5)")
        .unwrap();
    let mut bytes = 0;
    for (seq, one) in events.iter().enumerate() {
        let body = serde_json::to_string(one).unwrap();
        bytes += body.len();
        event
            .execute(params![id.as_str(), seq + 1, created, one.kind(), body])
            .unwrap();
    }
    let (whose_agent, whose_principal) = match whose {
        Whose::Many => (agent(n), principal(n)),
        Whose::One(_) => ("a".to_owned(), "local".to_owned()),
    };
    db.prepare_cached(
        "INSERT INTO tasks (id, agent_id, context_id, principal, state, depth, attempt, summary, created_ms, \
         updated_ms, version, last_seq, last_event_ms, event_bytes) \
         VALUES (?1, ?2, ?3, ?4, ?5, 0, 1, ?6, ?7, ?8, 1, ?9, ?8, ?10)",
    )
    .unwrap()
    .execute(params![
        id.as_str(),
        whose_agent,
        context(n).as_str(),
        whose_principal,
        number,
        text,
        created,
        created + STEP_MS,
        events.len(),
        bytes
    ])
    .unwrap();
}

fn artifacts(db: &Connection, id: &TaskId, whose: &Whose) {
    let nowhere = "0".repeat(64);
    let (names, digest): (&[&str], &str) = match whose {
        Whose::Many => (&["summary.md", "findings.json"], &nowhere),
        Whose::One(digest) => (&["response"], digest),
    };
    for name in names {
        db.prepare_cached("INSERT INTO artifacts VALUES (?1, ?2, 'text/markdown', 320, ?3, 0)")
            .unwrap()
            .execute(params![id.as_str(), name, digest])
            .unwrap();
    }
}
