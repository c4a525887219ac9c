//! Push configurations and the order, pace and durability of what is told, without any network.

mod receivers;

use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::TaskId;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::push::{PushAuthentication, PushConfig, PushTargets};
use mesh_agents_core::refusal::Code;
use mesh_agents_core::run::{ArtifactSource, RunEvent};
use mesh_agents_core::task::TaskState;
use mesh_agents_tasks::push::PUSH_CONFIGS_PER_TASK;
use mesh_agents_tasks::{PushDelivery, PushFailure, PushFailureKind};
use ulid::Ulid;

use super::fake::{Bench, PATIENCE, Started, agents, submit, unique};

fn config(id: &str, url: &str) -> PushConfig {
    PushConfig {
        id: id.into(),
        url: url.into(),
        token: Some("t0ken".into()),
        authentication: Some(PushAuthentication {
            scheme: "Bearer".into(),
            credentials: Some("s3cret".into()),
        }),
    }
}

fn to(host: &str) -> PushConfig {
    config(host, &format!("https://{host}.example/hook"))
}

fn local() -> Caller {
    Caller::local()
}

fn token(name: &str) -> Caller {
    Caller::token(name)
}

/// What a delivery says, in one word.
fn told(delivery: &PushDelivery) -> String {
    match &delivery.event.event {
        TaskEvent::State { state, .. } => state.to_string(),
        TaskEvent::Artifact { artifact } => artifact.id.to_string(),
        other => panic!("{other:?} is not told"),
    }
}

fn unreachable_now() -> PushFailure {
    PushFailure {
        kind: PushFailureKind::Unreachable,
        message: "connection refused".into(),
        retry_after: None,
    }
}

fn file(name: &str, content: &str) -> RunEvent {
    RunEvent::Artifact {
        id: name.parse().unwrap(),
        media_type: "text/plain".into(),
        source: ArtifactSource::Text(content.into()),
        complete: true,
    }
}

impl Bench {
    /// The next delivery; fails when nothing is due.
    async fn due(&self) -> PushDelivery {
        let next = tokio::time::timeout(PATIENCE, self.engine.push_next());
        next.await.expect("something is due").expect("it is open")
    }

    /// Sends what is due until the task's end was told; what it was.
    async fn tell_all(&self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let delivery = self.due().await;
            let word = told(&delivery);
            self.engine.push_sent(delivery).await;
            all.push(word.clone());
            if ["completed", "failed", "canceled"].contains(&word.as_str()) {
                return all;
            }
        }
    }

    /// Nothing is due at the moment.
    async fn quiet(&self) {
        // A look at the table takes no time of the engine's clock, and less than ten others.
        let next = self.engine.push_next();
        tokio::pin!(next);
        for _ in 0..10 {
            assert!(futures::poll!(&mut next).is_pending(), "something is due");
            let _looked = self.engine.push_list(&local(), &nobody(), None, None).await;
        }
    }

    async fn send_with(&mut self, push: PushConfig) -> (TaskId, Started) {
        let mut message = submit("a", "x", &unique());
        message.push = Some(push);
        let task = self.engine.submit(&local(), message).await.unwrap();
        (task.id, self.next_run().await)
    }

    fn later(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

fn nobody() -> TaskId {
    TaskId::from_ulid(Ulid(7))
}

#[tokio::test]
async fn changes_and_artifacts_are_told_in_order_and_streamed_text_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (task, run) = bench.send_with(to("hooks")).await;
    run.say(RunEvent::Text("a long answer".into()));
    run.say(file("a.md", "small"));
    run.say(file("b.bin", &"x".repeat(300_000)));
    run.complete("a long answer");
    bench.until(&task, TaskState::Completed).await;

    let mut seen = Vec::new();
    for _ in 0..5 {
        let delivery = bench.due().await;
        assert_eq!(delivery.config, to("hooks"));
        assert_eq!(delivery.task.id, task);
        seen.push((told(&delivery), delivery.content.as_ref().map(Vec::len)));
        bench.engine.push_sent(delivery).await;
    }
    let seen: Vec<_> = seen.iter().map(|(word, n)| (word.as_str(), *n)).collect();
    assert_eq!(
        seen,
        [
            ("working", None),
            ("a.md", Some(5)),
            ("b.bin", None),
            ("response", Some(13)),
            ("completed", None)
        ]
    );
    bench.quiet().await;
}

#[tokio::test]
async fn what_was_not_said_to_be_sent_is_handed_out_again_by_the_next_engine_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (task, run) = bench.send_with(to("hooks")).await;
    let first = bench.due().await;
    assert_eq!(told(&first), "working");
    bench.quiet().await;
    drop(first);
    let again = bench.due().await;
    assert_eq!(told(&again), "working");
    bench.engine.push_sent(again).await;
    run.say(file("a.md", "x"));
    run.complete("ok");
    bench.until(&task, TaskState::Completed).await;
    let out = bench.due().await;
    assert_eq!(told(&out), "a.md");
    // Stopped between the receiver's answer and our note of it: told twice, never lost.
    drop(out);
    bench.engine.shutdown(true).await;
    assert!(bench.engine.push_next().await.is_none());

    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    assert_eq!(bench.tell_all().await, ["a.md", "completed"]);
    bench.quiet().await;
}

#[tokio::test]
async fn whoever_registers_late_hears_how_the_task_stands() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await.id;
    let run = bench.next_run().await;
    bench.until(&task, TaskState::Working).await;
    let me = local();
    let put = |host: &'static str| bench.engine.push_put(&me, &task, to(host));
    put("early").await.unwrap();
    let delivery = bench.due().await;
    assert_eq!(
        (told(&delivery).as_str(), &*delivery.config.id),
        ("working", "early")
    );
    bench.engine.push_sent(delivery).await;
    run.say(file("a.md", "x"));
    run.complete("");
    bench.until(&task, TaskState::Completed).await;
    assert_eq!(bench.tell_all().await, ["a.md", "completed"]);
    bench.quiet().await;
    put("late").await.unwrap();
    assert_eq!(bench.tell_all().await, ["completed"]);
    bench.quiet().await;
}

#[tokio::test]
async fn a_replaced_configuration_goes_on_where_it_was_and_old_answers_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (task, run) = bench.send_with(config("c", "https://old.example/")).await;
    run.say(file("a.md", "x"));
    run.complete("");
    bench.until(&task, TaskState::Completed).await;
    let old = bench.due().await;
    assert_eq!(told(&old), "working");
    let new = config("c", "https://new.example/");
    bench
        .engine
        .push_put(&local(), &task, new.clone())
        .await
        .unwrap();
    bench.engine.push_sent(old).await;
    let delivery = bench.due().await;
    assert_eq!(
        (told(&delivery).as_str(), &delivery.config),
        ("working", &new)
    );
    bench.engine.push_sent(delivery).await;
    assert_eq!(bench.tell_all().await, ["a.md", "completed"]);
    let page = bench.engine.push_list(&local(), &task, None, None).await;
    assert_eq!(page.unwrap().configs, [new]);
}

#[tokio::test]
async fn a_deleted_configuration_is_told_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (task, run) = bench.send_with(to("hooks")).await;
    run.complete("ok");
    bench.until(&task, TaskState::Completed).await;
    for _ in 0..2 {
        let deleted = bench.engine.push_delete(&local(), &task, "hooks").await;
        deleted.unwrap();
    }
    bench.quiet().await;
    let gone = bench.engine.push_get(&local(), &task, "hooks").await;
    assert_eq!(gone.unwrap_err().code, Code::PushConfigNotFound);
}

#[tokio::test]
async fn another_caller_s_configurations_cannot_be_seen_listed_made_or_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let engine = &bench.engine;
    let mut message = submit("a", "x", &unique());
    message.push = Some(to("hooks"));
    let mine = engine.submit(&token("me"), message).await.unwrap().id;
    for (caller, task) in [(token("you"), &mine), (local(), &nobody())] {
        let refusals = [
            engine.push_get(&caller, task, "hooks").await.unwrap_err(),
            engine
                .push_list(&caller, task, None, None)
                .await
                .unwrap_err(),
            engine
                .push_put(&caller, task, to("evil"))
                .await
                .unwrap_err(),
            engine
                .push_delete(&caller, task, "hooks")
                .await
                .unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!(refusal.code, Code::TaskNotFound, "{refusal}");
        }
    }
    for caller in [token("me"), local()] {
        let seen = engine.push_get(&caller, &mine, "hooks").await.unwrap();
        assert_eq!(seen, to("hooks"));
    }
    let missing = engine.push_get(&token("me"), &mine, "other").await;
    assert_eq!(missing.unwrap_err().code, Code::PushConfigNotFound);
}

#[tokio::test]
async fn configurations_get_ids_pages_and_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let engine = &bench.engine;
    let task = bench.send("a", "x").await.id;
    let mut made = Vec::new();
    for _ in 0..PUSH_CONFIGS_PER_TASK {
        let put = engine
            .push_put(&local(), &task, config("", "https://h.example"))
            .await;
        made.push(put.unwrap());
    }
    let refused = engine
        .push_put(&local(), &task, to("more"))
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);
    let again = engine.push_put(&local(), &task, made[3].clone()).await;
    assert_eq!(again.unwrap(), made[3]);

    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let page = engine
            .push_list(&local(), &task, Some(5), token.as_deref())
            .await;
        let page = page.unwrap();
        assert!(page.configs.len() <= 5);
        seen.extend(page.configs);
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, made);
    let zero = engine.push_list(&local(), &task, Some(0), None).await;
    assert_eq!(zero.unwrap_err().code, Code::InvalidArgument);
}

#[tokio::test]
async fn what_cannot_or_must_not_be_sent_to_is_refused_before_anything_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await.id;
    let long = format!("https://h.example/{}", "x".repeat(2048));
    let good = config("c", "https://h.example/");
    let mut bad: Vec<PushConfig> = [
        "",
        "nonsense",
        "/relative",
        "ftp://h.example/",
        "file:///etc/passwd",
        "https://",
        "https://user:pass@h.example/",
        "https://user@h.example/",
        "http://localhost:9000/hook",
        "http://a.localhost./",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://[::1]:80/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://0.0.0.0:8080/",
        "http://[fd00::1]/",
        &long,
    ]
    .iter()
    .map(|url| config("c", url))
    .collect();
    bad.push(PushConfig {
        id: "a/b".into(),
        ..good.clone()
    });
    bad.push(PushConfig {
        id: "x".repeat(129),
        ..good.clone()
    });
    bad.push(PushConfig {
        token: Some("a\r\nHost: x".into()),
        ..good.clone()
    });
    let authentication = |scheme: &str, credentials: &str| PushConfig {
        authentication: Some(PushAuthentication {
            scheme: scheme.into(),
            credentials: Some(credentials.into()),
        }),
        ..good.clone()
    };
    bad.push(authentication("", "x"));
    bad.push(authentication("Bear er", "x"));
    bad.push(authentication("Bearer", "x\ny"));
    let mut messages = Vec::new();
    for config in bad {
        let put = bench.engine.push_put(&local(), &task, config.clone()).await;
        let refusal = put.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidArgument, "{refusal}");
        let mut message = submit("a", "x", &unique());
        message.push = Some(config);
        let submitted = bench.engine.submit(&local(), message).await.unwrap_err();
        assert_eq!(submitted, refusal);
        messages.push(refusal.to_string().replace(&long, "<long>"));
    }
    insta::assert_snapshot!(messages.join("\n"));
    let page = bench.engine.push_list(&local(), &task, None, None).await;
    assert!(page.unwrap().configs.is_empty());

    bench
        .engine
        .set_push_targets(PushTargets::read(["127.0.0.1"]).unwrap());
    for url in ["http://127.0.0.1:9/", "http://localhost:9/"] {
        let put = bench
            .engine
            .push_put(&local(), &task, config("c", url))
            .await;
        put.unwrap();
    }
}

#[tokio::test]
async fn a_submit_with_another_receiver_is_another_submit() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let local = local();
    let send = |push: Option<PushConfig>| {
        let mut message = submit("a", "x", "m-1");
        message.push = push;
        bench.engine.submit(&local, message)
    };
    let nameless = Some(config("", "https://h.example"));
    let task = send(nameless.clone()).await.unwrap().id;
    assert_eq!(send(nameless).await.unwrap().id, task);
    for other in [None, Some(config("", "https://other.example"))] {
        assert_eq!(send(other).await.unwrap_err().code, Code::MessageConflict);
    }
    let page = bench.engine.push_list(&local, &task, None, None).await;
    assert_eq!(page.unwrap().configs.len(), 1);
}
