//! Receivers that do not answer, hang, say no.

use super::*;

#[tokio::test]
async fn one_that_does_not_answer_is_tried_later_and_delays_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (task, run) = bench.send_with(to("dead")).await;
    bench
        .engine
        .push_put(&local(), &task, to("live"))
        .await
        .unwrap();
    run.complete("");
    bench.until(&task, TaskState::Completed).await;

    let mut live = Vec::new();
    for _ in 0..3 {
        let delivery = bench.due().await;
        if delivery.config.id == "dead" {
            bench.engine.push_failed(delivery, unreachable_now()).await;
        } else {
            live.push(told(&delivery));
            bench.engine.push_sent(delivery).await;
        }
    }
    assert_eq!(live, ["working", "completed"]);
    bench.quiet().await;
    assert!(
        bench
            .engine
            .push_pending(Duration::from_secs(60))
            .await
            .unwrap()
    );
    bench.later(1);
    let second = bench.due().await;
    assert_eq!((told(&second).as_str(), second.attempts), ("working", 1));
    bench.engine.push_failed(second, unreachable_now()).await;
    bench.later(1);
    bench.quiet().await;
    bench.later(60);
    assert!(
        !bench
            .engine
            .push_pending(Duration::from_secs(60))
            .await
            .unwrap()
    );
    // It is back: all of it, in order, and the failures are forgotten.
    assert_eq!(bench.tell_all().await, ["working", "completed"]);
    assert!(
        !bench
            .engine
            .push_pending(Duration::from_secs(60))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_a_share_and_not_the_worker() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (task, _run) = bench
        .send_with(config("0", "https://hangs.example/0"))
        .await;
    for n in 1..10 {
        let config = config(&n.to_string(), &format!("https://hangs.example/{n}"));
        bench
            .engine
            .push_put(&local(), &task, config)
            .await
            .unwrap();
    }
    let mut hanging = Vec::new();
    for _ in 0..4 {
        hanging.push(bench.due().await);
    }
    bench.quiet().await;
    bench
        .engine
        .push_put(&local(), &task, to("other"))
        .await
        .unwrap();
    let other = bench.due().await;
    assert_eq!(other.config.id, "other");
    // One place is free again as soon as one is back.
    let back = hanging.pop().unwrap();
    bench.engine.push_failed(back, unreachable_now()).await;
    assert!(bench.due().await.config.url.contains("hangs"));
}

#[tokio::test]
async fn a_receiver_that_says_no_ends_its_configuration_with_a_note_until_it_is_put_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (task, run) = bench.send_with(to("hooks")).await;
    let refused = PushFailure {
        kind: PushFailureKind::Refused,
        message: "it answers 404".into(),
        retry_after: None,
    };
    for n in 0..3 {
        bench.later(10);
        let delivery = bench.due().await;
        assert_eq!(delivery.attempts, n);
        bench.engine.push_failed(delivery, refused.clone()).await;
    }
    bench.later(1_000);
    bench.quiet().await;
    let events = bench.engine.events(&local(), &task, 0, 100).await.unwrap();
    let noted = events.iter().any(|stored| {
        matches!(&stored.event, TaskEvent::Note { code, text, .. }
            if code == "push_given_up" && text.contains("hooks") && text.contains("404"))
    });
    assert!(noted, "{events:?}");
    assert_eq!(
        bench
            .engine
            .push_get(&local(), &task, "hooks")
            .await
            .unwrap(),
        to("hooks")
    );
    run.complete("");
    bench.until(&task, TaskState::Completed).await;
    bench.quiet().await;
    bench
        .engine
        .push_put(&local(), &task, to("hooks"))
        .await
        .unwrap();
    assert_eq!(bench.tell_all().await, ["working", "completed"]);
}

#[tokio::test]
async fn an_artifact_the_receiver_does_not_take_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (task, run) = bench.send_with(to("hooks")).await;
    run.say(file("huge.md", "x"));
    run.complete("");
    bench.until(&task, TaskState::Completed).await;
    let working = bench.due().await;
    bench.engine.push_sent(working).await;
    for _ in 0..3 {
        let delivery = bench.due().await;
        assert_eq!(told(&delivery), "huge.md");
        let too_large = PushFailure {
            kind: PushFailureKind::Refused,
            message: "it answers 413".into(),
            retry_after: None,
        };
        bench.engine.push_failed(delivery, too_large).await;
        bench.later(10);
    }
    assert_eq!(bench.tell_all().await, ["completed"]);
}
