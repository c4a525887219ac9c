//! What users of the engine would miss, driven through its handle with a Runner in the test's hands.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod fake;
mod push;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fake::{Bench, agents, submit, unique};
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::ids::{ArtifactId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::Code;
use mesh_agents_core::run::{ArtifactSource, Outcome, ProcessRef, RunEvent};
use mesh_agents_core::task::{Failure, Role, TaskState};
use mesh_agents_tasks::{ListTasks, Load, Minted};

fn local() -> Caller {
    Caller::local()
}

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
        async move { engine.wait(&local(), &id, Duration::from_secs(20)).await }
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
async fn a_message_whose_caller_is_gone_still_runs_and_is_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    {
        // On its way to the store when its front-end is killed: nobody waits for it any more.
        let caller = local();
        let mut sent = Box::pin(bench.engine.submit(&caller, submit("a", "x", "m-1")));
        assert!(futures::poll!(&mut sent).is_pending());
    }
    let run = bench.next_run().await;
    let again = bench.engine.submit(&local(), submit("a", "x", "m-1")).await;
    assert_eq!(again.unwrap().id, run.spec.task_id);
    run.complete("ok");
    bench.until(&run.spec.task_id, TaskState::Completed).await;
    let mut load = bench.engine.total_load();
    let idle = load.wait_for(|load| *load == Load::default());
    let idle = tokio::time::timeout(Duration::from_secs(20), idle).await;
    assert!(idle.is_ok(), "a place stays taken");
}

#[tokio::test]
async fn a_cancel_whose_caller_is_gone_still_ends_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let _run = bench.next_run().await;
    {
        let caller = local();
        let mut cancel = Box::pin(bench.engine.cancel(&caller, &task.id));
        // Left alone as soon as it is stored, which is not the moment in which it is done.
        'stored: while futures::poll!(&mut cancel).is_pending() {
            for _ in 0..100 {
                let task = bench.engine.task(&caller, &task.id).await.unwrap();
                if task.cancel_requested {
                    break 'stored;
                }
            }
        }
    }
    bench.until(&task.id, TaskState::Canceled).await;
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
async fn canceled_means_that_nothing_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    bench.runner.obeys.store(false, Ordering::SeqCst);
    let (task, queued) = (bench.send("a", "x").await, bench.send("a", "y").await);
    let run = bench.next_run().await;

    let gone = bench.engine.cancel(&local(), &queued.id).await.unwrap();
    assert_eq!(gone.state, TaskState::Canceled);
    let canceling = {
        let (engine, id) = (bench.engine.clone(), task.id.clone());
        async move { engine.cancel(&local(), &id).await.unwrap() }
    };
    let ending = async {
        while !run.canceled.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        let asked = bench.engine.task(&local(), &task.id).await.unwrap();
        assert!(asked.cancel_requested);
        assert_eq!(
            asked.state,
            TaskState::Working,
            "canceled while its run lives"
        );
        run.say(RunEvent::Ended(Outcome::Failed(Failure::new(
            "harness_exited",
            "it was killed",
        ))));
    };
    let (canceled, ()) = tokio::join!(canceling, ending);
    assert_eq!(canceled.state, TaskState::Canceled);
    assert_eq!(
        bench.engine.cancel(&local(), &task.id).await.unwrap().state,
        TaskState::Canceled
    );
    let failed = bench.send("a", "z").await;
    bench
        .next_run()
        .await
        .say(RunEvent::Ended(Outcome::Refused("no".into())));
    bench.until(&failed.id, TaskState::Failed).await;
    let late = bench.engine.cancel(&local(), &failed.id).await.unwrap_err();
    assert_eq!(late.code, Code::TaskTerminal);
}

#[tokio::test]
async fn a_cancel_that_races_a_completion_changes_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (mut completed, mut canceled) = (0, 0);
    for _ in 0..200 {
        let task = bench.send("a", "race").await;
        let run = bench.next_run().await;
        let (engine, id) = (bench.engine.clone(), task.id.clone());
        let racing = tokio::task::spawn_blocking(move || run.complete("won"));
        let answer = engine.cancel(&local(), &id).await;
        racing.await.unwrap_or(());
        let end = engine.task(&local(), &id).await.unwrap();
        match answer {
            Ok(task) => assert_eq!(task.state, end.state),
            Err(refusal) => assert_eq!(
                (refusal.code, end.state),
                (Code::TaskTerminal, TaskState::Completed)
            ),
        }
        match end.state {
            TaskState::Completed => completed += 1,
            TaskState::Canceled => canceled += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(completed + canceled, 200);
}

#[tokio::test]
async fn a_repeated_submit_is_the_same_task_and_another_body_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let mut first = submit("a", "x", "pr-7@abc");
    first.metadata = Some(JsonText::parse(r#"{"b":1,"a":2}"#).unwrap());
    let task = bench.engine.submit(&local(), first.clone()).await.unwrap();
    let mut repeat = first.clone();
    repeat.metadata = Some(JsonText::parse(r#"{ "a": 2, "b": 1 }"#).unwrap());
    assert_eq!(
        bench.engine.submit(&local(), repeat).await.unwrap().id,
        task.id
    );
    let other = submit("a", "y", "pr-7@abc");
    assert_eq!(
        bench
            .engine
            .submit(&local(), other.clone())
            .await
            .unwrap_err()
            .code,
        Code::MessageConflict
    );

    // Another principal's key is another key.
    let token = Caller {
        principal: Principal::Token("ci".into()),
        depth: None,
    };
    let theirs = bench.engine.submit(&token, other).await.unwrap();
    assert_ne!(theirs.id, task.id);
    assert_eq!(
        bench.engine.task(&token, &task.id).await.unwrap_err().code,
        Code::TaskNotFound
    );
    assert_eq!(
        bench
            .engine
            .cancel(&token, &task.id)
            .await
            .unwrap_err()
            .code,
        Code::TaskNotFound
    );
    let page = bench
        .engine
        .list(
            &token,
            ListTasks {
                limit: 10,
                ..ListTasks::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(
        page.tasks.iter().map(|(t, _)| &t.id).collect::<Vec<_>>(),
        [&theirs.id]
    );

    // A repeat is answered even when the agent is gone by now.
    bench.next_run().await.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;
    bench.next_run().await.complete("ok");
    bench.engine.set_agents(agents([])).await;
    assert_eq!(
        bench.engine.submit(&local(), first).await.unwrap().id,
        task.id
    );
    assert!(bench.runs.try_recv().is_err(), "a repeat started a run");
}

#[tokio::test]
async fn the_host_s_own_resend_is_matched_once_each() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = definition("a");
    agent.runtime.max_pending_tasks = 100;
    let bench = Bench::open(dir.path(), agents([agent])).await;
    let from = |instance: &str, at_once| {
        let mut submit = submit("a", "same words", &unique());
        submit.minted = Some(Minted {
            instance: instance.into(),
            answered_at_once: at_once,
        });
        submit
    };
    // Two equal wishes through one plugin process are two tasks.
    let one = bench
        .engine
        .submit(&local(), from("01A", false))
        .await
        .unwrap()
        .id;
    let two = bench
        .engine
        .submit(&local(), from("01A", false))
        .await
        .unwrap()
        .id;
    assert_ne!(one, two);
    // That process dies unanswered; the host re-sends both to the next one, and then there is a third wish.
    let mut again = Vec::new();
    for _ in 0..3 {
        again.push(
            bench
                .engine
                .submit(&local(), from("01B", false))
                .await
                .unwrap()
                .id,
        );
    }
    assert_eq!(again[..2], [one.clone(), two.clone()]);
    assert!(![one, two].contains(&again[2]));

    // Answered long ago: a new wish, not a re-send.
    let old = bench
        .engine
        .submit(&local(), from("01C", true))
        .await
        .unwrap()
        .id;
    bench.clock.0.fetch_add(5_001, Ordering::SeqCst);
    let new = bench
        .engine
        .submit(&local(), from("01D", true))
        .await
        .unwrap()
        .id;
    assert_ne!(old, new);
}

#[tokio::test]
async fn messages_to_tasks_that_cannot_take_them_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a"), definition("b")])).await;
    let task = bench.send("a", "x").await;
    let run = bench.next_run().await;
    bench.until(&task.id, TaskState::Working).await;
    let mut more = submit("a", "and this", &unique());
    more.task_id = Some(task.id.clone());
    let busy = bench
        .engine
        .submit(&local(), more.clone())
        .await
        .unwrap_err();
    assert_eq!(busy.code, Code::TaskBusy);
    run.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;
    let ended = bench
        .engine
        .submit(&local(), more.clone())
        .await
        .unwrap_err();
    assert_eq!(ended.code, Code::TaskTerminal);
    assert!(ended.hint.unwrap().contains(task.context_id.as_str()));
    more.agent_id = "b".parse().unwrap();
    let wrong = bench.engine.submit(&local(), more).await.unwrap_err();
    assert_eq!(wrong.code, Code::TaskNotFound);
    assert!(wrong.message.contains("\"a\"") && wrong.message.contains("\"b\""));
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

    let bench = Bench::open(dir.path(), agents([])).await;
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
async fn lists_page_without_gaps_and_filter() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a"), definition("b")])).await;
    let mut sent = Vec::new();
    for n in 0..7 {
        let agent = if n % 2 == 0 { "a" } else { "b" };
        sent.push(bench.send(agent, &format!("{n}")).await.id);
        bench.next_run().await.complete("ok");
        bench.until(&sent[n], TaskState::Completed).await;
    }
    let mut seen: Vec<TaskId> = Vec::new();
    let mut cursor = None;
    loop {
        let query = ListTasks {
            limit: 3,
            cursor,
            ..ListTasks::default()
        };
        let page = bench.engine.list(&local(), query).await.unwrap();
        seen.extend(page.tasks.into_iter().map(|(task, _)| task.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!(sorted, sent, "every task once");
    let query = ListTasks {
        limit: 9,
        agent_id: Some("b".parse().unwrap()),
        ..ListTasks::default()
    };
    assert_eq!(
        bench
            .engine
            .list(&local(), query)
            .await
            .unwrap()
            .tasks
            .len(),
        3
    );
    let query = ListTasks {
        limit: 9,
        state: Some(TaskState::Failed),
        ..ListTasks::default()
    };
    assert!(
        bench
            .engine
            .list(&local(), query)
            .await
            .unwrap()
            .tasks
            .is_empty()
    );
    let query = ListTasks {
        limit: 9,
        cursor: Some("x".into()),
        ..ListTasks::default()
    };
    assert_eq!(
        bench.engine.list(&local(), query).await.unwrap_err().code,
        Code::InvalidArgument
    );
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
        Caller {
            principal: Principal::Task(task.id.clone()),
            depth: Some(0)
        }
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
