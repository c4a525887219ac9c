//! Notifications as a receiver on this machine gets them, from a task engine with a Runner in the
//! test's hands and a worker that sends.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test ends where its setting fails, and keeps the handles of what it starts"
)]

mod node;
mod receiver;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_agents_a2a::push::{Lookup, SystemLookup};
use mesh_agents_core::push::{PushAuthentication, PushConfig};
use node::{Node, file};
use receiver::{Answer, Receiver, down};

const ALLOWED: &[&str] = &["127.0.0.1"];

fn config(url: &str) -> PushConfig {
    PushConfig {
        id: "hooks".into(),
        url: url.into(),
        token: None,
        authentication: None,
    }
}

#[tokio::test]
async fn a_receiver_is_told_everything_in_order_with_its_token_and_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::open(dir.path(), ALLOWED).await;
    let mut receiver = Receiver::start(Answer::ok()).await;
    let (task, run) = node
        .send(PushConfig {
            token: Some("t0ken".into()),
            authentication: Some(PushAuthentication {
                scheme: "Bearer".into(),
                credentials: Some("s3cret".into()),
            }),
            ..config(&receiver.url("/hook?for=task"))
        })
        .await;
    run.say(file("notes.md", "text/markdown", "# Notes"));
    run.say(file(
        "n.json",
        "application/json",
        "{\"big\":18446744073709551617}",
    ));
    run.say(file("huge.txt", "text/plain", &"x".repeat(300_000)));
    run.complete("done");

    let mut bodies = Vec::new();
    for _ in 0..6 {
        let told = receiver.next().await;
        let header = |name: &str| told.headers[name].to_str().unwrap().to_owned();
        assert_eq!(told.path, "/hook?for=task");
        assert_eq!(header("content-type"), "application/a2a+json");
        assert_eq!(header("authorization"), "Bearer s3cret");
        assert_eq!(header("x-a2a-notification-token"), "t0ken");
        assert_eq!(header("a2a-notification-token"), "t0ken");
        // The official crate reads it.
        let _read: a2a::StreamResponse = serde_json::from_str(&told.body).unwrap();
        bodies.push(told.body.replace(task.id.as_str(), "<task>"));
    }
    insta::with_settings!({filters => vec![
        (r"ctx-[0-9A-Z]{26}", "<context>"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "<time>"),
    ]}, {
        insta::assert_snapshot!(bodies.join("\n"));
    });
    node.stop().await;
    receiver.nothing_more().await;
}

#[tokio::test]
async fn an_event_is_sent_again_until_it_is_taken_and_the_next_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::open(dir.path(), ALLOWED).await;
    let mut receiver = Receiver::start(Answer::ok()).await;
    receiver.answer_first([500, 503, 429]);
    let (_, run) = node.send(config(&receiver.url("/"))).await;
    run.complete("");
    let mut states = Vec::new();
    for _ in 0..5 {
        states.push(receiver.next().await.state());
    }
    assert_eq!(
        states,
        ["WORKING", "WORKING", "WORKING", "WORKING", "COMPLETED"]
    );
    node.stop().await;
    receiver.nothing_more().await;
}

#[tokio::test]
async fn a_receiver_that_is_down_or_hangs_delays_neither_the_task_nor_other_receivers() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::open(dir.path(), ALLOWED).await;
    let (_held, down) = down();
    let mut hangs = Receiver::start(Answer::Never).await;
    let mut live = Receiver::start(Answer::ok()).await;
    let (task, run) = node.send(config(&down)).await;
    let others = [("hangs", hangs.url("/")), ("live", live.url("/"))];
    for (id, url) in others {
        let config = PushConfig {
            id: id.into(),
            ..config(&url)
        };
        node.put(&task.id, config).await;
    }
    assert_eq!(hangs.next().await.state(), "WORKING");
    run.complete("");
    node.until_ended(&task.id).await;
    assert_eq!(live.next().await.state(), "WORKING");
    assert_eq!(live.next().await.state(), "COMPLETED");
    // It stops in time although one receiver never answers.
    node.stop().await;
}

#[tokio::test]
async fn the_next_engine_goes_on_exactly_where_this_one_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::open(dir.path(), ALLOWED).await;
    let mut receiver = Receiver::start(Answer::Never).await;
    receiver.answer_first([200]);
    let (task, run) = node.send(config(&receiver.url("/"))).await;
    assert_eq!(receiver.next().await.state(), "WORKING");
    run.say(file("a.md", "text/markdown", "x"));
    run.complete("");
    node.until_ended(&task.id).await;
    // On its way when the engine ends: nobody knows whether the receiver has it.
    assert_eq!(receiver.next().await.artifact(), "a.md");
    node.stop().await;

    receiver.answer(Answer::ok());
    let node = Node::open(dir.path(), ALLOWED).await;
    assert_eq!(receiver.next().await.artifact(), "a.md");
    assert_eq!(receiver.next().await.state(), "COMPLETED");
    node.stop().await;
    let node = Node::open(dir.path(), ALLOWED).await;
    node.stop().await;
    receiver.nothing_more().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::open(dir.path(), ALLOWED).await;
    let mut inside = Receiver::start(Answer::ok()).await;
    let mut door = Receiver::start(Answer::Redirect(inside.url("/admin"))).await;
    let (task, _run) = node.send(config(&door.url("/"))).await;
    let why = node.until_noted(&task.id, "push_given_up").await;
    assert!(why.contains("redirects are not followed"), "{why}");
    assert_eq!(door.next().await.state(), "WORKING");
    node.stop().await;
    inside.nothing_more().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::open(dir.path(), ALLOWED).await;
    let mut receiver = Receiver::start(Answer::ok()).await;
    receiver.answer_first([410]);
    let (task, run) = node.send(config(&receiver.url("/"))).await;
    assert_eq!(receiver.next().await.state(), "WORKING");
    let why = node.until_noted(&task.id, "push_given_up").await;
    assert!(why.contains("410"), "{why}");
    run.complete("");
    node.until_ended(&task.id).await;
    node.stop().await;
    receiver.nothing_more().await;
}

#[tokio::test]
async fn an_address_that_is_no_longer_allowed_is_refused_when_it_is_sent_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::open(dir.path(), ALLOWED).await;
    let mut receiver = Receiver::start(Answer::Never).await;
    let (task, run) = node.send(config(&receiver.url("/"))).await;
    receiver.next().await;
    run.complete("");
    node.until_ended(&task.id).await;
    node.stop().await;

    let node = Node::open(dir.path(), &[]).await;
    node.until_nothing_owed().await;
    node.stop().await;
    receiver.nothing_more().await;
}

/// Answers another address each time: what a name does whose owner wants to get past a check.
#[derive(Debug, Default)]
struct Rebinding {
    asked: AtomicUsize,
}

impl Lookup for Rebinding {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let inside: IpAddr = "127.0.0.1".parse().unwrap();
        let outside: IpAddr = "127.0.0.2".parse().unwrap();
        let first = self.asked.fetch_add(1, Ordering::SeqCst) == 0;
        assert_eq!(host, "rebinding.example");
        async move { Ok(vec![if first { outside } else { inside }]) }.boxed()
    }
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_connection_goes_to_what_was_screened() {
    let dir = tempfile::tempdir().unwrap();
    // Allowed is what the first lookup says; nothing listens there. What the second one would say
    // listens and is not allowed.
    let lookup = Arc::new(Rebinding::default());
    let mut receiver = Receiver::start(Answer::ok()).await;
    let asked = Arc::clone(&lookup);
    let mut node = Node::open_with(dir.path(), &["127.0.0.2"], lookup).await;
    let url = receiver.url("/").replace("127.0.0.1", "rebinding.example");
    let (task, _run) = node.send(config(&url)).await;
    let why = node.until_noted(&task.id, "push_given_up").await;
    assert!(why.contains("rebinding.example"), "{why}");
    assert!(why.contains("leads to a loopback address"), "{why}");
    assert_eq!(
        asked.asked.load(Ordering::SeqCst),
        3,
        "once for each attempt"
    );
    node.stop().await;
    receiver.nothing_more().await;
}

#[tokio::test]
async fn a_name_the_owner_allows_is_told_at_its_private_address() {
    #[derive(Debug)]
    struct Inside;
    impl Lookup for Inside {
        fn lookup(&self, _host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            async { Ok(vec!["127.0.0.1".parse().unwrap()]) }.boxed()
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(Answer::ok()).await;
    let mut node = Node::open_with(dir.path(), &["hooks.example"], Arc::new(Inside)).await;
    let url = receiver.url("/").replace("127.0.0.1", "hooks.example");
    let (_, run) = node.send(config(&url)).await;
    run.complete("");
    assert_eq!(receiver.next().await.state(), "WORKING");
    assert_eq!(receiver.next().await.state(), "COMPLETED");
    node.stop().await;
}

#[tokio::test]
async fn https_is_never_spoken_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::open_with(dir.path(), ALLOWED, Arc::new(SystemLookup)).await;
    let mut receiver = Receiver::start(Answer::ok()).await;
    let url = receiver.url("/").replace("http:", "https:");
    let (task, run) = node.send(config(&url)).await;
    run.complete("");
    node.until_ended(&task.id).await;
    node.until_nothing_owed().await;
    node.stop().await;
    receiver.nothing_more().await;
}
