//! One task, and one page of a list, among a million, beside a bare read of the same database.

use std::time::{Duration, Instant};

use mesh_agents_core::layout::Layout;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::task::TaskState;
use mesh_agents_tasks::{ListTasks, TaskEngine};
use mesh_agents_testkit::bench::{Row, Samples, ms};
use rusqlite::{Connection, OpenFlags};

use super::{fill, place};

/// Reads of one task.
const READS: usize = 20_000;
/// Pages of one list.
const PAGES: usize = 2_000;
/// The length of a page when the caller does not say.
const PAGE: u32 = 20;

pub(crate) async fn rows(count: u64) {
    let dir = place::directory();
    place::engine(dir.path()).await.shutdown(true).await;
    let database = Layout::new(dir.path()).database();
    let start = Instant::now();
    fill::fill(&database, count);
    let bytes = std::fs::metadata(&database).unwrap().len();
    Row::new(
        format!("stored tasks, for the rows below: {count}"),
        format!("{} MiB", bytes / 1024 / 1024),
    )
    .baseline(format!("written in {}", ms(start.elapsed())), 1.0)
    .print();
    let engine = place::engine(dir.path()).await;
    let bare = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    tasks(&engine, &bare, count).await;
    lists(&engine, &bare, count).await;
    engine.shutdown(true).await;
}

/// Numbers below `count`, scattered and the same in every run.
fn scattered(count: u64, amount: usize) -> impl Iterator<Item = u64> {
    (1..=amount as u64).map(move |n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % count)
}

async fn tasks(engine: &TaskEngine, bare: &Connection, count: u64) {
    let local = Caller::local();
    let (mut rows, mut tasks, mut views) = (Vec::new(), Vec::new(), Vec::new());
    for n in scattered(count, READS) {
        let id = fill::task(n);
        let start = Instant::now();
        bare_row(bare, id.as_str());
        rows.push(start.elapsed());
        // Another task, which the bare read has not brought into memory.
        let id = fill::task((n + count / 2) % count);
        let start = Instant::now();
        engine.task(&local, &id).await.unwrap();
        tasks.push(start.elapsed());
        let id = fill::task((n + count / 3) % count);
        let start = Instant::now();
        engine.view(&local, &id).await.unwrap();
        views.push(start.elapsed());
    }
    let rows = Samples::of(rows);
    for (what, times) in [
        ("get_task: the task", Samples::of(tasks)),
        ("get_task: with history and artifacts", Samples::of(views)),
    ] {
        Row::new(what, &times)
            .baseline(
                format!("bare SQLite row: {rows}"),
                times.p50().as_secs_f64() / rows.p50().as_secs_f64(),
            )
            .budget("p99 ≤ 2 ms", times.p99() <= Duration::from_millis(2))
            .print();
    }
}

fn bare_row(db: &Connection, id: &str) {
    db.prepare_cached("SELECT * FROM tasks WHERE id = ?1")
        .unwrap()
        .query_row([id], |row| row.get::<_, String>(0))
        .unwrap();
}

fn bare_page(db: &Connection) {
    let mut page = db
        .prepare_cached("SELECT * FROM tasks ORDER BY updated_ms DESC, id DESC LIMIT 20")
        .unwrap();
    let ids = page.query_map([], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(ids.count(), PAGE as usize);
}

/// One kind of list: what is asked for with task number `n` in mind.
struct Kind {
    what: &'static str,
    caller: fn(u64) -> Caller,
    query: fn(u64) -> ListTasks,
}

fn local(_: u64) -> Caller {
    Caller::local()
}

fn other(n: u64) -> Caller {
    Caller::of(fill::principal(n / 4 * 4).parse::<Principal>().unwrap())
}

fn all() -> ListTasks {
    ListTasks {
        limit: PAGE,
        ..ListTasks::default()
    }
}

fn by_agent(n: u64) -> ListTasks {
    ListTasks {
        agent_id: fill::agent(n).parse().ok(),
        ..all()
    }
}

fn by_state(state: TaskState) -> ListTasks {
    ListTasks {
        state: Some(state),
        ..all()
    }
}

const KINDS: &[Kind] = &[
    Kind {
        what: "all",
        caller: local,
        query: |_| all(),
    },
    Kind {
        what: "a full page of 100",
        caller: local,
        query: |_| ListTasks {
            limit: 100,
            ..all()
        },
    },
    Kind {
        what: "from anywhere in the middle",
        caller: local,
        query: |n| ListTasks {
            cursor: Some(format!(
                "{}.{}",
                1_700_000_002_000 + n * 2_000,
                fill::task(n)
            )),
            ..all()
        },
    },
    Kind {
        what: "by agent",
        caller: local,
        query: by_agent,
    },
    Kind {
        what: "by state, most",
        caller: local,
        query: |_| by_state(TaskState::Completed),
    },
    Kind {
        what: "by state, few",
        caller: local,
        query: |_| by_state(TaskState::Submitted),
    },
    Kind {
        what: "by state, none",
        caller: local,
        query: |_| by_state(TaskState::Working),
    },
    Kind {
        what: "by context",
        caller: local,
        query: |n| ListTasks {
            context_id: Some(fill::context(n)),
            ..all()
        },
    },
    Kind {
        what: "of another principal",
        caller: other,
        query: |_| all(),
    },
    Kind {
        what: "by agent and state, few",
        caller: local,
        query: |n| ListTasks {
            state: Some(TaskState::Submitted),
            ..by_agent(n)
        },
    },
    Kind {
        what: "by agent and state, some",
        caller: local,
        query: |n| ListTasks {
            state: Some(TaskState::Failed),
            ..by_agent(n)
        },
    },
    Kind {
        what: "by agent and state, none",
        caller: local,
        query: |n| ListTasks {
            state: Some(TaskState::Working),
            ..by_agent(n)
        },
    },
    Kind {
        what: "of another principal, by agent, none",
        caller: other,
        query: |_| ListTasks {
            agent_id: "nobody".parse().ok(),
            ..all()
        },
    },
    Kind {
        what: "of another principal, by agent, some",
        caller: other,
        query: by_agent,
    },
    Kind {
        what: "of another principal, by state, none",
        caller: other,
        query: |_| by_state(TaskState::Working),
    },
    Kind {
        what: "of another principal, by state, few",
        caller: other,
        query: |_| by_state(TaskState::Canceled),
    },
];

async fn lists(engine: &TaskEngine, bare: &Connection, count: u64) {
    let rows = Samples::taken(PAGES, |_| bare_page(bare));
    for kind in KINDS {
        let mut times = Vec::new();
        for n in scattered(count, PAGES) {
            let (caller, query) = ((kind.caller)(n), (kind.query)(n));
            let start = Instant::now();
            engine.list(&caller, query).await.unwrap();
            times.push(start.elapsed());
        }
        let times = Samples::of(times);
        Row::new(format!("list_tasks page: {}", kind.what), &times)
            .baseline(
                format!("bare SQLite page: {rows}"),
                times.p50().as_secs_f64() / rows.p50().as_secs_f64(),
            )
            .budget("p99 ≤ 5 ms", times.p99() <= Duration::from_millis(5))
            .print();
    }
}
