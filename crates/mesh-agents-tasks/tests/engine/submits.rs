//! What a submit is taken for: a new task, a repeat, a mistake.

use super::prelude::*;

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
    let idle = tokio::time::timeout(PATIENCE, idle).await;
    assert!(idle.is_ok(), "a place stays taken");
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
    let token = Caller::token("ci");
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
