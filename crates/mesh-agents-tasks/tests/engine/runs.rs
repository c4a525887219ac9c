//! From a message to its end: what a run does to its task.

use mesh_agents_core::layout::Layout;
use mesh_agents_core::policy::{Grant, Standing};
use rusqlite::Connection;

use super::prelude::*;

#[tokio::test]
async fn a_message_becomes_a_task_with_artifacts_and_a_history() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "look at\nthis").await;
    assert_eq!(
        (task.state, task.summary.as_str()),
        (TaskState::Submitted, "look at")
    );

    let run = bench.next_run().await;
    assert_eq!(run.spec.prompt, "look at\nthis");
    let waiting = {
        let (engine, id) = (bench.engine.clone(), task.id.clone());
        async move { engine.wait(&local(), &id, PATIENCE).await }
    };
    let work = async {
        run.say(RunEvent::Text("half ".into()));
        run.say(RunEvent::Text("done".into()));
        run.say(RunEvent::Artifact {
            id: "out/findings.json".parse().unwrap(),
            media_type: "application/json".into(),
            source: ArtifactSource::Text("{\"findings\":[]}".into()),
            complete: true,
        });
        run.complete("half done");
    };
    let (done, ()) = tokio::join!(waiting, work);
    assert_eq!(done.unwrap().state, TaskState::Completed);

    let view = bench.engine.view(&local(), &task.id).await.unwrap();
    let roles: Vec<_> = view
        .history
        .iter()
        .map(|m| (m.role, m.joined_text()))
        .collect();
    assert_eq!(
        roles,
        [
            (Role::User, "look at\nthis".into()),
            (Role::Agent, "half done".into())
        ]
    );
    let ids: Vec<_> = view
        .artifacts
        .iter()
        .map(|a| (a.id.as_str(), a.partial))
        .collect();
    assert_eq!(ids, [("out/findings.json", false), ("response", false)]);
    let (info, content) = bench
        .engine
        .artifact(&local(), &task.id, &ArtifactId::response())
        .await
        .unwrap();
    assert_eq!((content.as_slice(), info.bytes), (&b"half done"[..], 9));
    let missing = bench
        .engine
        .artifact(&local(), &task.id, &"nope".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(missing.code, Code::ArtifactNotFound);
    assert!(missing.hint.unwrap().contains("out/findings.json"));
}

#[tokio::test]
async fn text_can_be_read_while_it_streams() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let run = bench.next_run().await;
    run.say(RunEvent::Text("so far".into()));
    let mut view = bench.engine.view(&local(), &task.id).await.unwrap();
    while view.response.as_deref() != Some("so far") {
        assert_eq!(view.response.as_deref(), Some(""));
        tokio::task::yield_now().await;
        view = bench.engine.view(&local(), &task.id).await.unwrap();
    }
    let (info, text) = bench
        .engine
        .artifact(&local(), &task.id, &ArtifactId::response())
        .await
        .unwrap();
    assert!(info.partial);
    assert_eq!(text, b"so far");
    run.complete("so far");
    bench.until(&task.id, TaskState::Completed).await;
}

#[tokio::test]
async fn one_slot_serves_tasks_in_the_order_they_came() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = definition("a");
    agent.runtime.max_pending_tasks = 2;
    let mut bench = Bench::open(dir.path(), agents([agent])).await;
    let mut sent = Vec::new();
    for n in 0..3 {
        sent.push(bench.send("a", &format!("job {n}")).await.id);
    }
    let full = bench
        .engine
        .submit(&local(), submit("a", "one too many", &unique()))
        .await
        .unwrap_err();
    assert_eq!(full.code, Code::AgentFull);
    for id in &sent {
        let run = bench.next_run().await;
        assert_eq!(run.spec.task_id, *id);
        assert!(
            bench.runs.try_recv().is_err(),
            "a second run beside the one slot"
        );
        run.complete("ok");
        bench.until(id, TaskState::Completed).await;
    }
    let page = bench
        .engine
        .list(
            &local(),
            ListTasks {
                limit: 10,
                ..ListTasks::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(page.tasks.len(), 3, "a refused submit left a task");
}

#[tokio::test]
async fn deadlines_end_a_run_with_their_name() {
    let dir = tempfile::tempdir().unwrap();
    let (mut slow, mut silent) = (definition("slow"), definition("silent"));
    slow.policy.max_task_seconds = 1;
    silent.policy.idle_seconds = 1;
    let mut bench = Bench::open(dir.path(), agents([slow, silent])).await;
    for (agent, code) in [("slow", "deadline_exceeded"), ("silent", "idle_timeout")] {
        let task = bench.send(agent, "x").await;
        let _run = bench.next_run().await;
        let failed = bench.until(&task.id, TaskState::Failed).await;
        assert_eq!(failed.failure.unwrap().code, code);
    }
}

/// The cause of a stop is a write like any other, and the disk may be in its way when the time is over.
#[tokio::test]
async fn a_deadline_that_could_not_be_stored_is_still_what_the_task_failed_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut slow = definition("slow");
    slow.policy.max_task_seconds = 600;
    let mut bench = Bench::open(dir.path(), agents([slow])).await;
    let task = bench.send("slow", "x").await;
    let run = bench.next_run().await;
    bench.until(&task.id, TaskState::Working).await;
    let other = Connection::open(Layout::new(dir.path()).database()).unwrap();
    other.busy_timeout(Duration::from_secs(20)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    jump(600).await;
    while !run.canceled.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    other.execute_batch("COMMIT").unwrap();
    let failed = bench.until(&task.id, TaskState::Failed).await;
    assert_eq!(failed.failure.unwrap().code, "deadline_exceeded");
    bench.engine.shutdown(true).await;
}

/// Somebody looks into the database with a tool that locks it, for longer than a write waits.
#[tokio::test]
async fn what_a_run_says_while_the_database_is_locked_is_stored_when_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let run = bench.next_run().await;
    bench.until(&task.id, TaskState::Working).await;
    let other = Connection::open(Layout::new(dir.path()).database()).unwrap();
    other.busy_timeout(Duration::from_secs(20)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    run.open("s", true);
    run.say(RunEvent::Artifact {
        id: "a.md".parse().unwrap(),
        media_type: "text/markdown".into(),
        source: ArtifactSource::Text("result".into()),
        complete: true,
    });
    run.complete("done");
    // Writes are tried in the order they came, so when this one has failed the first of the run's has too.
    let refused = bench
        .engine
        .submit(&local(), submit("a", "y", &unique()))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("another program holds"),
        "{refused}"
    );
    other.execute_batch("COMMIT").unwrap();
    bench.until(&task.id, TaskState::Completed).await;
    let kinds = bench.kinds(&task.id).await;
    assert!(kinds.contains(&"session"), "{kinds:?}");
    let (_, content) = bench
        .engine
        .artifact(&local(), &task.id, &"a.md".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(content, b"result");
    bench.engine.shutdown(true).await;
}

#[tokio::test]
async fn a_runner_that_vanishes_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let run = bench.next_run().await;
    bench.until(&task.id, TaskState::Working).await;
    run.events.close_channel();
    let failed = bench.until(&task.id, TaskState::Failed).await;
    assert_eq!(failed.failure.unwrap().code, "runner_lost");
}

#[tokio::test]
async fn a_harness_that_works_for_a_peer_calls_only_what_the_peer_may() {
    const ADA: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    let grant = |agent: &str, standing| Grant {
        agent: agent.parse().unwrap(),
        skill: None,
        advertised: true,
        standing,
        approve: false,
    };
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a"), definition("b")])).await;
    let ada = Caller::key(ADA, grant("a", Standing::Allowed));
    let sent = bench.engine.submit(&ada, submit("a", "x", &unique()));
    let task = sent.await.unwrap();
    let run = bench.next_run().await;
    let token = run.spec.tools.clone().unwrap().token;
    let harness = bench.engine.caller_of_token(&token).unwrap();
    let root = Principal::Key(ADA.to_owned());
    assert_eq!(
        harness,
        Caller::task(task.id.clone(), Some(0), root.clone())
    );
    // Nobody looked up what its peer may, or it may not: neither opens the agent beside it.
    let denied = harness.clone().with_grant(grant("b", Standing::Unlisted));
    for (caller, code) in [(&harness, Code::AgentNotFound), (&denied, Code::NotAllowed)] {
        let refused = bench.engine.submit(caller, submit("b", "help", &unique()));
        assert_eq!(refused.await.unwrap_err().code, code);
    }
    let allowed = harness.with_grant(grant("b", Standing::Allowed));
    let child = bench
        .engine
        .submit(&allowed, submit("b", "help", &unique()));
    let child = child.await.unwrap();
    let below = bench.next_run().await;
    let token = below.spec.tools.clone().unwrap().token;
    // However deep, it is the peer at the root that counts.
    assert_eq!(
        bench.engine.caller_of_token(&token).unwrap(),
        Caller::task(child.id.clone(), Some(1), root)
    );
    below.complete("ok");
    run.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;
}

#[tokio::test]
async fn a_run_s_token_is_its_task_and_dies_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a"), definition("b")])).await;
    let task = bench.send("a", "x").await;
    let run = bench.next_run().await;
    let token = run.spec.tools.clone().unwrap().token;
    let caller = bench.engine.caller_of_token(&token).unwrap();
    assert_eq!(
        caller,
        Caller::task(task.id.clone(), Some(0), Principal::Local)
    );
    let child = bench
        .engine
        .submit(&caller, submit("b", "help", &unique()))
        .await
        .unwrap();
    assert_eq!((child.parent.as_ref(), child.depth), (Some(&task.id), 1));
    assert_eq!(
        bench
            .engine
            .cancel(&caller, &task.id)
            .await
            .unwrap_err()
            .code,
        Code::TaskNotFound
    );
    run.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;
    while bench.engine.caller_of_token(&token).is_some() {
        tokio::task::yield_now().await;
    }
    let _keep = Arc::clone(&bench.runner);
}
