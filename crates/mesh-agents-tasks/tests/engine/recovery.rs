//! What an engine finds when it opens what another left.

use mesh_agents_tasks::Agents;

use super::prelude::*;

#[test]
fn after_a_kill_the_queued_go_on_and_the_interrupted_fail_with_the_cause() {
    let dir = tempfile::tempdir().unwrap();
    let first = tokio::runtime::Runtime::new().unwrap();
    let (working, queued) = first.block_on(async {
        let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
        let (working, queued) = (bench.send("a", "x").await.id, bench.send("a", "y").await.id);
        let run = bench.next_run().await;
        run.say(RunEvent::Process(ProcessRef {
            pid: 4711,
            birth: 1,
        }));
        let artifacts = run.spec.dirs.artifacts();
        std::fs::create_dir_all(&artifacts).unwrap();
        std::fs::write(artifacts.join("findings.json"), "{}").unwrap();
        run.say(RunEvent::Text("before the kill".into()));
        let events = async |bench: &Bench| {
            bench
                .engine
                .events(&local(), &working, 0, 100)
                .await
                .unwrap()
                .len()
        };
        while events(&bench).await < 4 {
            tokio::task::yield_now().await;
        }
        (working, queued)
    });
    // Nothing of the first engine gets another turn: this is what kill -9 leaves.
    first.shutdown_background();

    let second = tokio::runtime::Runtime::new().unwrap();
    second.block_on(async {
        let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
        let run = bench.next_run().await;
        assert_eq!(run.spec.task_id, queued);
        let failed = bench.until(&working, TaskState::Failed).await;
        let reaped = bench.runner.reaped.lock().unwrap().clone();
        assert!(
            matches!(&reaped[..], [(_, Some(guard))] if guard.pid == 4711),
            "what the run left behind was looked for: {reaped:?}"
        );
        let failure = failed.failure.unwrap();
        assert_eq!(failure.code, "interrupted");
        assert!(failure.message.contains("engine"), "{}", failure.message);
        // Its words tell to read what it left.
        let view = bench.engine.view(&local(), &working).await.unwrap();
        let left: Vec<_> = view
            .artifacts
            .iter()
            .map(|one| (one.id.as_str(), one.bytes, one.partial))
            .collect();
        assert_eq!(left, [("findings.json", 2, true), ("response", 15, true)]);
        run.complete("ok");
        bench.until(&queued, TaskState::Completed).await;
        bench.engine.shutdown(false).await;
    });
}

#[tokio::test]
async fn a_run_whose_guard_was_never_stored_is_looked_for_too() {
    let dir = tempfile::tempdir().unwrap();
    let (id, run) = {
        let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
        let task = bench.send("a", "x").await.id;
        let run = bench.next_run().await;
        bench.until(&task, TaskState::Working).await;
        (task, run.spec.run_id)
    };
    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    bench.until(&id, TaskState::Failed).await;
    assert_eq!(*bench.runner.reaped.lock().unwrap(), [(run, None)]);
}

#[tokio::test]
async fn an_interrupted_task_is_not_failed_while_its_guard_lives() {
    let dir = tempfile::tempdir().unwrap();
    let (id, queued, run) = {
        let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
        let task = bench.send("a", "x").await.id;
        let queued = bench.send("a", "y").await.id;
        let run = bench.next_run().await;
        bench.until(&task, TaskState::Working).await;
        (task, queued, run.spec.run_id)
    };
    let database = rusqlite::Connection::open(dir.path().join("a2a/mesh-agents.sqlite")).unwrap();
    database
        .execute("UPDATE attempts SET pid = 4711, birth = 1", [])
        .unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    // `open` looks at the guard in the background; say it lives before that can have happened.
    bench.runner.alive.lock().unwrap().insert(4711);
    bench.runner.undead.store(3, Ordering::SeqCst);
    assert_eq!(
        bench.engine.task(&local(), &id).await.unwrap().state,
        TaskState::Working
    );
    // What runs still has its slot, which is the only one.
    assert_eq!(
        bench.engine.task(&local(), &queued).await.unwrap().state,
        TaskState::Submitted
    );
    bench.runner.alive.lock().unwrap().clear();
    let failed = bench.until(&id, TaskState::Failed).await;
    let guard = ProcessRef {
        pid: 4711,
        birth: 1,
    };
    assert_eq!(*bench.runner.reaped.lock().unwrap(), [(run, Some(guard))]);
    let why = failed.failure.unwrap().message;
    assert!(why.contains("3 of its processes would not die"), "{why}");
    assert_eq!(bench.next_run().await.spec.task_id, queued);
}

#[tokio::test]
async fn shutdown_leaves_the_queue_and_ends_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (running, queued) = (bench.send("a", "x").await.id, bench.send("a", "y").await.id);
    let _run = bench.next_run().await;
    bench.engine.shutdown(true).await;
    let refused = bench
        .engine
        .submit(&local(), submit("a", "late", &unique()))
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::EngineUnavailable);

    let broken = Agents {
        ready: Arc::default(),
        broken: Arc::new(["a".parse().unwrap()].into()),
    };
    let bench = Bench::open(dir.path(), broken).await;
    let failed = bench.engine.task(&local(), &running).await.unwrap();
    assert_eq!(
        (failed.state, failed.failure.unwrap().code.as_str()),
        (TaskState::Failed, "interrupted")
    );
    assert_eq!(
        bench.engine.task(&local(), &queued).await.unwrap().state,
        TaskState::Submitted
    );
    bench.engine.set_agents(agents([])).await;
    let failed = bench.until(&queued, TaskState::Failed).await;
    assert_eq!(failed.failure.unwrap().code, "agent_removed");
}

#[tokio::test]
async fn what_waits_for_an_agent_removed_while_no_engine_ran_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let id = {
        let bench = Bench::open(dir.path(), agents([definition("a")])).await;
        let (_runs, waits) = (bench.send("a", "x").await, bench.send("a", "y").await.id);
        bench.engine.shutdown(true).await;
        waits
    };
    let bench = Bench::open(dir.path(), agents([])).await;
    let failed = bench.until(&id, TaskState::Failed).await;
    assert_eq!(failed.failure.unwrap().code, "agent_removed");
}
