//! Cancels: true, and never over another end.

use super::prelude::*;

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
        let end = engine.wait(&local(), &id, PATIENCE).await.unwrap();
        match answer {
            // A cancel does not wait for ever.
            Ok(task) if !task.state.is_terminal() => assert!(task.cancel_requested),
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
