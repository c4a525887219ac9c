//! What is kept, what goes, what a copy holds, and what a refusing disk costs: nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::ids::{ArtifactId, TaskId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::Code;
use mesh_agents_core::run::{ArtifactSource, RunEvent};
use mesh_agents_core::task::{Task, TaskState};
use mesh_agents_tasks::{ListTasks, Prune, Pruned, Retention, TaskEngine, check};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::fake::{Bench, PATIENCE, agents, submit};
use crate::prelude::local;

const DAY: u64 = 86_400;

fn older_than(days: u64) -> Prune {
    Prune {
        older_than: Some(Duration::from_secs(days * DAY)),
        ..Prune::default()
    }
}

fn keep(tasks: u64) -> Prune {
    Prune {
        keep: Some(tasks),
        ..Prune::default()
    }
}

/// A task that has ended with these artifacts, under the key it is named by.
async fn ended(bench: &mut Bench, key: &str, artifacts: &[(&str, &str)]) -> Task {
    let sent = bench.engine.submit(&local(), submit("a", key, key)).await;
    let id = sent.unwrap().id;
    let run = bench.next_run().await;
    fs::create_dir_all(run.spec.dirs.artifacts()).unwrap();
    fs::write(run.spec.dirs.prompt(), "x").unwrap();
    for (name, content) in artifacts {
        run.say(RunEvent::Artifact {
            id: name.parse().unwrap(),
            media_type: "text/plain".into(),
            source: ArtifactSource::Text((*content).into()),
            complete: true,
        });
    }
    run.complete("done");
    bench.until(&id, TaskState::Completed).await
}

fn days_later(bench: &Bench, days: u64) {
    let span = i64::try_from(days * DAY * 1000).unwrap();
    bench.clock.0.fetch_add(span, Ordering::SeqCst);
}

fn blobs(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(Layout::new(dir).blobs()).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Rows of this task in every table that has some, by table.
fn rows(dir: &Path, task: &TaskId) -> BTreeMap<String, u64> {
    let db = Connection::open(Layout::new(dir).database()).unwrap();
    let tables: Vec<String> = db
        .prepare(
            "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND c.name = 'task_id'",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let count = |table: String| {
        let sql = format!("SELECT count(*) FROM {table} WHERE task_id = ?1");
        let count: u64 = db
            .query_row(&sql, [task.as_str()], |row| row.get(0))
            .unwrap();
        (table, count)
    };
    let all = tables.into_iter().map(count);
    all.filter(|(_, count)| *count > 0).collect()
}

async fn text(engine: &TaskEngine, task: &TaskId, artifact: &str) -> String {
    let id: ArtifactId = artifact.parse().unwrap();
    let (_, content) = engine.artifact(&local(), task, &id).await.unwrap();
    String::from_utf8(content).unwrap()
}

#[tokio::test]
async fn what_is_old_goes_with_everything_of_it_and_only_its_key_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a"), definition("b")])).await;
    let open = bench.send("b", "runs on").await;
    let run_on = bench.next_run().await;
    let old = ended(&mut bench, "m-old", &[("same", "shared"), ("own", "alone")]).await;
    let dirs = Layout::new(dir.path()).run(&old.agent_id, &old.id);
    assert!(dirs.artifacts().exists());
    days_later(&bench, 8);
    let new = ended(&mut bench, "m-new", &[("same", "shared")]).await;

    let pruned = bench.engine.prune(older_than(7)).await.unwrap();
    assert_eq!(
        pruned,
        Pruned {
            tasks: 1,
            blobs: 1,
            bytes: 5,
            kept: 1
        }
    );
    let gone = bench.engine.view(&local(), &old.id).await.unwrap_err();
    assert_eq!(gone.code, Code::TaskNotFound);
    assert_eq!(
        rows(dir.path(), &old.id),
        BTreeMap::from([("submits".into(), 1)])
    );
    assert!(!dirs.root.exists());
    assert_eq!(text(&bench.engine, &new.id, "same").await, "shared");
    assert_eq!(blobs(dir.path()).len(), 1);
    // Older than anything, and untouched: it has not ended.
    let task = bench.engine.task(&local(), &open.id).await.unwrap();
    assert_eq!(task.state, TaskState::Working);
    run_on.complete("at last");
    bench.until(&open.id, TaskState::Completed).await;

    let again = bench
        .engine
        .submit(&local(), submit("a", "m-old", "m-old"))
        .await;
    let refused = again.unwrap_err();
    assert_eq!(refused.code, Code::TaskNotFound);
    assert!(refused.message.contains("no longer kept"), "{refused}");
    assert!(refused.message.contains(old.id.as_str()), "{refused}");
    assert!(bench.runs.try_recv().is_err(), "it was started again");

    // A key is known for 90 days, and as long as its task is.
    days_later(&bench, 83);
    bench.engine.prune(older_than(365)).await.unwrap();
    let known = bench
        .engine
        .submit(&local(), submit("a", "m-new", "m-new"))
        .await;
    assert_eq!(known.unwrap().id, new.id);
    ended(&mut bench, "m-old", &[]).await;
}

#[tokio::test]
async fn the_newest_are_kept_and_children_outlive_their_parents() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let parent = ended(&mut bench, "m-0", &[]).await;
    let child = Caller::task(parent.id.clone(), Some(0), Principal::Local);
    let sent = bench
        .engine
        .submit(&child, submit("a", "x", "m-child"))
        .await;
    let child_task = sent.unwrap().id;
    bench.next_run().await.complete("ok");
    bench.until(&child_task, TaskState::Completed).await;
    for n in 1..4 {
        bench.clock.0.fetch_add(10, Ordering::SeqCst);
        ended(&mut bench, &format!("m-{n}"), &[("n", &n.to_string())]).await;
    }
    let pruned = bench.engine.prune(keep(4)).await.unwrap();
    assert_eq!((pruned.tasks, pruned.kept), (1, 4));
    let left = bench.engine.task(&local(), &child_task).await.unwrap();
    assert_eq!(left.parent, Some(parent.id));
    let pruned = bench.engine.prune(keep(2)).await.unwrap();
    assert_eq!((pruned.tasks, pruned.blobs, pruned.kept), (2, 1, 2));
    let page = ListTasks {
        limit: 10,
        ..ListTasks::default()
    };
    let page = bench.engine.list(&local(), page).await.unwrap();
    let texts: Vec<_> = page
        .tasks
        .iter()
        .map(|(task, _)| task.summary.as_str())
        .collect();
    assert_eq!(texts, ["m-3", "m-2"]);
}

#[tokio::test]
async fn the_oldest_go_until_what_is_left_takes_no_more_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    for n in 0..5 {
        bench.clock.0.fetch_add(10, Ordering::SeqCst);
        ended(
            &mut bench,
            &format!("m-{n}"),
            &[("n", &n.to_string().repeat(100))],
        )
        .await;
    }
    let limited = Prune {
        bytes: Some(250),
        ..Prune::default()
    };
    let dry = bench.engine.prune(Prune {
        dry_run: true,
        ..limited
    });
    let dry = dry.await.unwrap();
    let pruned = bench.engine.prune(limited).await.unwrap();
    assert_eq!((pruned.tasks, pruned.bytes, pruned.kept), (3, 300, 2));
    assert_eq!(dry, pruned);
    assert_eq!(blobs(dir.path()).len(), 2);
    // And by itself, for as long as the engine runs.
    bench.engine.retain(Retention {
        bytes: 150,
        ..Retention::default()
    });
    tokio::time::timeout(PATIENCE, async {
        while blobs(dir.path()).len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("a pass of its own");
}

#[tokio::test]
async fn a_pass_that_was_killed_is_gone_on_with_and_orphans_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let half = ended(&mut bench, "m-1", &[("x", "half")]).await;
    let whole = ended(&mut bench, "m-2", &[("x", "whole")]).await;
    bench.engine.shutdown(true).await;
    // As a kill leaves them: the row gone and the rest there; a content that no row came to name; one
    // that was never all there.
    let layout = Layout::new(dir.path());
    let db = Connection::open(layout.database()).unwrap();
    db.execute("INSERT INTO removals VALUES (?1, 'a')", [half.id.as_str()])
        .unwrap();
    db.execute("DELETE FROM tasks WHERE id = ?1", [half.id.as_str()])
        .unwrap();
    drop(db);
    fs::write(layout.blobs().join("0".repeat(64)), "nobody's").unwrap();
    fs::write(layout.blobs().join("README"), "a person's").unwrap();
    let incoming = layout.blobs().join(".incoming-x");
    let stale = fs::File::create(&incoming).unwrap();
    stale
        .set_modified(UNIX_EPOCH + Duration::from_secs(5))
        .unwrap();

    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    bench.engine.prune(Prune::default()).await.unwrap();
    assert_eq!(
        rows(dir.path(), &half.id),
        BTreeMap::from([("submits".into(), 1)])
    );
    assert!(!layout.run(&half.agent_id, &half.id).root.exists());
    let mut left = blobs(dir.path());
    left.retain(|name| name != "README");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(text(&bench.engine, &whole.id, "x").await, "whole");
}

/// The same content comes again while its last owner is removed: it must be there for the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_content_that_comes_while_it_goes_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = definition("a");
    agent.runtime.max_concurrent_tasks = 8.try_into().unwrap();
    let mut bench = Bench::open(dir.path(), agents([agent])).await;
    for round in 0..40 {
        let mut tasks = Vec::new();
        for n in 0..4 {
            let key = format!("m-{round}-{n}");
            let sent = bench.engine.submit(&local(), submit("a", "x", &key)).await;
            tasks.push(sent.unwrap().id);
        }
        for _ in 0..4 {
            let run = bench.next_run().await;
            run.say(RunEvent::Artifact {
                id: "x".parse().unwrap(),
                media_type: "text/plain".into(),
                source: ArtifactSource::Text("always the same".into()),
                complete: true,
            });
            run.complete("");
        }
        // What the round before left goes while this one's contents arrive.
        bench.engine.prune(keep(0)).await.unwrap();
        for task in &tasks {
            let last = bench.engine.wait(&local(), task, PATIENCE).await;
            // It may have ended soon enough to be removed itself.
            if last.is_ok_and(|task| task.state == TaskState::Completed)
                && bench.engine.task(&local(), task).await.is_ok()
            {
                assert_eq!(text(&bench.engine, task, "x").await, "always the same");
            }
        }
    }
    let checked = bench.engine.check().await.unwrap();
    assert_eq!(checked.problems, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_made_under_load_is_a_whole_engine() {
    let dir = tempfile::tempdir().unwrap();
    let mut busy = definition("busy");
    busy.runtime.max_pending_tasks = 100_000;
    let mut bench = Bench::open(dir.path(), agents([definition("a"), busy])).await;
    let mut kept = Vec::new();
    for n in 0..20 {
        let task = ended(
            &mut bench,
            &format!("m-{n}"),
            &[("n", &format!("text {n}"))],
        )
        .await;
        kept.push(task);
    }
    let running = bench.send("busy", "is under way").await;
    let run = bench.next_run().await;
    let to = dir.path().join("backup");
    let load = async {
        let mut sent = 0;
        // Until the copy is there.
        while !to.exists() {
            bench.send("busy", "more").await;
            sent += 1;
        }
        sent
    };
    let (made, sent) = tokio::join!(bench.engine.backup(&to), load);
    let made = made.unwrap();
    assert!(made.tasks >= 21 && made.tasks <= 21 + sent, "{made:?}");
    assert_eq!((made.blobs, made.missing.len()), (20, 0), "{made:?}");
    let refused = bench.engine.backup(&to).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);
    bench.engine.prune(keep(0)).await.unwrap();

    // Restored in another place, while the first engine works on.
    let place = tempfile::tempdir().unwrap();
    fs::rename(&to, place.path().join("a2a")).unwrap();
    let checked = check(&Layout::new(place.path())).unwrap().unwrap();
    assert_eq!(
        (checked.tasks, checked.problems.len()),
        (made.tasks, 0),
        "{checked:?}"
    );
    let restored = Bench::open(place.path(), agents([definition("a")])).await;
    for task in &kept {
        let view = restored.engine.view(&local(), &task.id).await.unwrap();
        assert_eq!(view.task, *task);
        assert_eq!(view.history.len(), 2);
        let n = task.summary.trim_start_matches("m-");
        assert_eq!(
            text(&restored.engine, &task.id, "n").await,
            format!("text {n}")
        );
    }
    // The run is none of the restored engine's: it fails the task there and ends nothing here.
    restored.until(&running.id, TaskState::Failed).await;
    let reaped = restored.runner.reaped.lock().unwrap().clone();
    assert!(
        reaped.iter().all(|(id, _)| *id != run.spec.run_id),
        "{reaped:?}"
    );
    run.complete("fine");
    bench.until(&running.id, TaskState::Completed).await;
}

#[tokio::test]
async fn the_database_alone_can_be_copied_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    ended(&mut bench, "m-1", &[("n", "x")]).await;
    let to = dir.path().join("tasks.sqlite");
    let made = bench.engine.backup(&to).await.unwrap();
    assert_eq!((made.tasks, made.blobs), (1, 0));
    let db = Connection::open(&to).unwrap();
    let tasks: u64 = db
        .query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tasks, 1);
    for taken in [to.clone(), dir.path().to_owned()] {
        let refused = bench.engine.backup(&taken).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{refused}");
    }
    let nowhere = bench
        .engine
        .backup(&dir.path().join("no/where"))
        .await
        .unwrap_err();
    assert_eq!(nowhere.code, Code::Storage);
    assert!(nowhere.message.contains("no/where"), "{nowhere}");
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .filter(|name| name.to_str().unwrap().starts_with('.'))
        .collect();
    assert_eq!(left, [""; 0], "something half done stays");
}

#[tokio::test]
async fn what_a_check_finds_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    ended(&mut bench, "m-1", &[("n", "x")]).await;
    assert_eq!(bench.engine.check().await.unwrap().problems, [""; 0]);
    let blob = &blobs(dir.path())[0];
    fs::remove_file(Layout::new(dir.path()).blobs().join(blob)).unwrap();
    let problems = bench.engine.check().await.unwrap().problems;
    assert!(
        problems.len() == 1 && problems[0].contains(blob),
        "{problems:?}"
    );
    let made = bench
        .engine
        .backup(&dir.path().join("backup"))
        .await
        .unwrap();
    assert_eq!(made.missing, std::slice::from_ref(blob));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A dry run says what a real one then does, whatever is shared with whom.
    #[test]
    fn a_forecast_comes_true(
        contents in prop::collection::vec(prop::collection::vec(0_u8..6, 0..4), 1..12),
        age in 0_u64..12, tasks in 0_u64..12, bytes in 0_u64..30,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
            for (n, names) in contents.iter().enumerate() {
                days_later(&bench, 1);
                let named: Vec<(String, String)> = names
                    .iter()
                    .enumerate()
                    .map(|(at, content)| (format!("f{at}"), content.to_string().repeat(3)))
                    .collect();
                let named: Vec<_> = named.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
                ended(&mut bench, &format!("m-{n}"), &named).await;
            }
            let prune = Prune { keep: Some(tasks), bytes: Some(bytes), ..older_than(age) };
            let said = bench.engine.prune(Prune { dry_run: true, ..prune }).await.unwrap();
            let done = bench.engine.prune(prune).await.unwrap();
            assert_eq!(said, done);
            let distinct = |from: usize| -> u64 {
                let all: std::collections::BTreeSet<u8> = contents[from..].concat().into_iter().collect();
                all.len() as u64
            };
            assert_eq!(blobs(dir.path()).len() as u64, distinct(usize::try_from(done.tasks).unwrap()));
            assert!(done.kept <= tasks && distinct(usize::try_from(done.tasks).unwrap()) * 3 <= bytes);
            assert_eq!(bench.engine.check().await.unwrap().problems, [""; 0]);
            bench.engine.shutdown(true).await;
        });
    }
}
