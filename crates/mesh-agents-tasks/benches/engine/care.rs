//! What caring for the store costs those who use it: submits while a hundred thousand tasks are
//! removed, the look at an open, the look at everything, a copy.

use std::path::Path;
use std::time::{Duration, Instant};

use mesh_agents_core::ids::MessageId;
use mesh_agents_core::layout::Layout;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::task::{Message, Role};
use mesh_agents_tasks::{Prune, Submit, TaskEngine};
use mesh_agents_testkit::bench::{Row, Samples, ms};
use ulid::Ulid;

use super::{fill, place};

/// Tasks that are removed.
const REMOVED: u64 = 100_000;
/// Submits measured without anything else going on.
const ALONE: usize = 1_000;
/// A client sends this often.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) async fn rows(tasks: u64) {
    submits_while_tasks_go().await;
    opens(tasks.min(REMOVED)).await;
    opens(tasks).await;
}

async fn filled(dir: &Path, tasks: u64) -> TaskEngine {
    place::engine(dir).await.shutdown(true).await;
    fill::fill(&Layout::new(dir).database(), tasks);
    place::engine(dir).await
}

async fn submits_while_tasks_go() {
    let dir = place::directory();
    let engine = filled(dir.path(), REMOVED).await;
    let mut alone = Vec::with_capacity(ALONE);
    for _ in 0..ALONE {
        alone.push(submit(&engine).await);
    }
    let removing = {
        let engine = engine.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "the handle is kept and waited for"
        )]
        tokio::spawn(async move {
            let start = Instant::now();
            let prune = Prune {
                keep: Some(0),
                ..Prune::default()
            };
            (engine.prune(prune).await.unwrap(), start.elapsed())
        })
    };
    let mut beside = Vec::new();
    while !removing.is_finished() {
        beside.push(submit(&engine).await);
        tokio::time::sleep(PAUSE).await;
    }
    let (pruned, took) = removing.await.unwrap();
    let (alone, beside) = (Samples::of(alone), Samples::of(beside));
    Row::new(
        format!(
            "submit while {} tasks are removed ({took:.1?})",
            pruned.tasks
        ),
        &beside,
    )
    .baseline(
        format!("alone: {alone}"),
        beside.p99().as_secs_f64() / alone.p99().as_secs_f64(),
    )
    .budget("p99 ≤ 8 ms", beside.p99() <= Duration::from_millis(8))
    .print();
    engine.shutdown(true).await;
}

/// Opens of a database that ended well, and of one that did not.
async fn opens(tasks: u64) {
    let dir = place::directory();
    let engine = filled(dir.path(), tasks).await;
    let path = Layout::new(dir.path()).database();
    let start = Instant::now();
    engine
        .backup(&dir.path().join("copy.sqlite"))
        .await
        .unwrap();
    let copied = start.elapsed();
    let start = Instant::now();
    let checked = engine.check().await.unwrap();
    let looked = start.elapsed();
    engine.shutdown(true).await;
    let start = Instant::now();
    let engine = place::engine(dir.path()).await;
    let clean = start.elapsed();
    engine.shutdown(true).await;
    // As after a kill: something is in the log.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE scratch (x); DROP TABLE scratch")
        .unwrap();
    let killed = tempfile::tempdir_in(dir.path()).unwrap();
    std::fs::create_dir(killed.path().join("a2a")).unwrap();
    let there = Layout::new(killed.path()).database();
    std::fs::copy(&path, &there).unwrap();
    std::fs::copy(wal(&path), wal(&there)).unwrap();
    drop(db);
    let start = Instant::now();
    let engine = place::engine(killed.path()).await;
    let unclean = start.elapsed();
    engine.shutdown(true).await;
    let bytes = std::fs::metadata(&path).unwrap().len() / (1024 * 1024);
    for (what, took) in [
        ("open after a clean end", clean),
        ("open after a kill", unclean),
        ("copy of the database", copied),
        ("look at everything", looked),
    ] {
        let what = format!("{what}, {} tasks, {bytes} MiB", checked.tasks);
        Row::new(what, ms(took)).print();
    }
}

fn wal(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

async fn submit(engine: &TaskEngine) -> Duration {
    let submit = Submit {
        agent_id: "a".parse().unwrap(),
        message: Message::text(
            MessageId::from_ulid(Ulid::new()),
            Role::User,
            "Review the change of this branch and say what is wrong with it.",
        ),
        metadata: None,
        context_id: None,
        task_id: None,
        push: None,
        queue_if_offline: false,
        minted: None,
    };
    let start = Instant::now();
    engine.submit(&Caller::local(), submit).await.unwrap();
    start.elapsed()
}
