//! A remote that fails, or cannot be reached: nothing is lost, nothing is sent twice, and whoever
//! asks is told the cause and what to do.

use std::time::Duration;

use axum::http::StatusCode;
use mesh_agents_core::run::{Outcome, RunEvent};
use serde_json::json;

use crate::server::{Beat, Remote, Reply};
use crate::support::{Plan, TOKEN_VARIABLE, jump, part, saying, task, task_with, whole};

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_where_it_broke() {
    for over_rest in [false, true] {
        let remote = Remote::start(|call| match (call.method.as_str(), call.nth) {
            ("SendStreamingMessage", 0) => Reply::Stream(vec![
                whole(task("WORKING")),
                part("response", json!({"text": "One, "}), false),
                part("response", json!({"text": "two, "}), true),
                Beat::Break,
            ]),
            ("GetTask", 0) => Reply::Http(StatusCode::SERVICE_UNAVAILABLE, "restarting"),
            ("GetTask", 1) => {
                let some =
                    json!([{"artifactId": "response", "parts": [{"text": "One, two, three"}]}]);
                Reply::Result(task_with("WORKING", some))
            }
            ("SubscribeToTask", 0) => {
                let some =
                    json!([{"artifactId": "response", "parts": [{"text": "One, two, three"}]}]);
                Reply::Stream(vec![
                    whole(task_with("WORKING", some)),
                    part("response", json!({"text": "."}), true),
                    saying("COMPLETED", "Counted."),
                ])
            }
            other => panic!("{other:?}"),
        })
        .await;
        let plan = Plan::new(&remote.url);
        let plan = if over_rest { plan.over_rest() } else { plan };
        let seen = plan.finish().await;
        let answer = "Counted.".to_owned();
        assert_eq!(seen.outcome(), &Outcome::Completed { answer });
        assert_eq!(seen.text(), "One, two, three.");
        assert_eq!(seen.notes(), ["remote_unreachable", "remote_reached"]);
        assert_eq!(seen.sessions(), ["t1"]);
        assert_eq!(remote.calls("SendStreamingMessage").len(), 1, "sent once");
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_looked_after() {
    let remote = Remote::start(|call| match call.method.as_str() {
        "SendStreamingMessage" => Reply::Stream(vec![whole(task("WORKING")), Beat::Hang]),
        "GetTask" => Reply::Result(task("COMPLETED")),
        other => panic!("{other}"),
    })
    .await;
    let idle = Duration::from_secs(60);
    let plan = Plan::new(&remote.url).timing(|t| (t.idle, t.contact) = (idle, 1_000 * idle));
    let mut running = plan.start();
    running
        .until(|event| matches!(event, RunEvent::Started { .. }))
        .await;
    while remote.calls("GetTask").is_empty() {
        jump(idle).await;
        // It listens again, or it asks by now.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seen = running.finish().await;
    assert!(matches!(seen.outcome(), Outcome::Completed { .. }));
}

#[tokio::test]
async fn a_server_that_cannot_be_subscribed_to_is_asked_instead() {
    let remote = Remote::start(|call| match (call.method.as_str(), call.nth) {
        ("SendStreamingMessage", 0) => Reply::Stream(vec![whole(task("WORKING"))]),
        // What stock servers say of every task that is not live in their memory (a2a.md trap 8).
        ("SubscribeToTask", _) => Reply::Error(-32001, "task not found"),
        ("GetTask", 0..3) => Reply::Result(task("WORKING")),
        ("GetTask", _) => Reply::Result(task("COMPLETED")),
        other => panic!("{other:?}"),
    })
    .await;
    let seen = Plan::new(&remote.url).finish().await;
    assert!(matches!(seen.outcome(), Outcome::Completed { .. }));
}

#[tokio::test]
async fn a_remote_that_is_gone_is_looked_for_until_the_limit_and_not_called_failed_before() {
    let remote = Remote::start(|call| match call.method.as_str() {
        "SendStreamingMessage" => Reply::Stream(vec![whole(task("WORKING")), Beat::Break]),
        _ => Reply::Http(StatusCode::BAD_GATEWAY, "nobody there"),
    })
    .await;
    let contact = Duration::from_secs(600);
    let plan = Plan::new(&remote.url).timing(|t| t.contact = contact);
    let running = plan.start();
    while remote.calls("GetTask").len() <= 3 {
        tokio::task::yield_now().await;
    }
    jump(contact).await;
    let seen = running.finish().await;
    assert_eq!(seen.notes(), ["remote_unreachable"], "told once, at once");
    let (code, message) = seen.failure();
    assert_eq!(code, "remote_unreachable");
    assert!(
        message.contains("task t1") && message.contains("may still run"),
        "{message}"
    );
}

#[tokio::test]
async fn a_task_the_remote_forgets_while_it_runs_has_failed() {
    let remote = Remote::start(|call| match call.method.as_str() {
        "SendStreamingMessage" => Reply::Stream(vec![whole(task("WORKING")), Beat::Break]),
        _ => Reply::Error(-32001, "what task?"),
    })
    .await;
    let seen = Plan::new(&remote.url).finish().await;
    assert_eq!(seen.failure().0, "remote_task_lost");
}

#[tokio::test]
async fn a_remote_that_never_answers_may_have_the_message() {
    let remote = Remote::start(|_| Reply::Never).await;
    let first_byte = Duration::from_secs(600);
    let plan = Plan::new(&remote.url).timing(|t| t.first_byte = first_byte);
    let running = plan.start();
    while remote.methods().is_empty() {
        tokio::task::yield_now().await;
    }
    jump(first_byte).await;
    let seen = running.finish().await;
    let Outcome::Interrupted(why) = seen.outcome() else {
        panic!("{:?}", seen.outcome())
    };
    assert!(why.contains("may have taken the message"), "{why}");
    assert_eq!(remote.methods().len(), 1, "sent once");
}

#[tokio::test]
async fn errors_before_the_task_name_cause_and_next_step() {
    for (reply, code, says) in [
        (
            Reply::Http(StatusCode::UNAUTHORIZED, "who are you?"),
            "remote_unauthorized",
            TOKEN_VARIABLE,
        ),
        (
            Reply::Http(StatusCode::NOT_FOUND, "<h1>nginx</h1>"),
            "remote_not_a2a",
            "supportedInterfaces",
        ),
        (
            Reply::Http(StatusCode::OK, "<h1>Welcome</h1>"),
            "remote_not_a2a",
            "Welcome",
        ),
        (
            Reply::Http(StatusCode::INTERNAL_SERVER_ERROR, "oops"),
            "remote_http_error",
            "oops",
        ),
        (Reply::Error(-32009, "use 0.3"), "remote_version", "use 0.3"),
        (
            Reply::Error(-32602, "no parts"),
            "remote_refused",
            "no parts",
        ),
        (Reply::Stream(vec![]), "remote_not_a2a", "without an event"),
    ] {
        let reply = std::sync::Mutex::new(Some(reply));
        let remote =
            Remote::start(move |_| reply.lock().unwrap().take().expect("called once")).await;
        let seen = Plan::new(&remote.url)
            .with_token(TOKEN_VARIABLE)
            .finish()
            .await;
        let (found, message) = seen.failure();
        assert_eq!(found, code, "{message}");
        assert!(
            message.contains(says) && message.contains(&remote.url),
            "{message}"
        );
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[tokio::test]
async fn nothing_is_called_without_the_token_it_needs() {
    let remote = Remote::start(|_| panic!("called without a token")).await;
    let seen = Plan::new(&remote.url).with_token("NOT_SET").finish().await;
    let (code, message) = seen.failure();
    assert_eq!(code, "remote_token_missing");
    assert!(message.contains("NOT_SET"), "{message}");
    // Nor is a token sent to another machine in the clear.
    let seen = Plan::new("http://agents.example:8080/")
        .with_token(TOKEN_VARIABLE)
        .finish()
        .await;
    let (code, message) = seen.failure();
    assert_eq!(code, "remote_misconfigured");
    assert!(message.contains("https://"), "{message}");
}

#[tokio::test]
async fn a_token_does_not_follow_a_redirect() {
    let other = Remote::start(|_| panic!("the redirect was followed")).await;
    let to = format!("{}/", other.url);
    let remote = Remote::start(move |_| Reply::Redirect(to.clone())).await;
    let seen = Plan::new(&remote.url)
        .with_token(TOKEN_VARIABLE)
        .finish()
        .await;
    let (code, message) = seen.failure();
    assert_eq!(code, "remote_redirected");
    assert!(message.contains(&other.url), "{message}");
    assert!(other.methods().is_empty());
}

#[tokio::test]
async fn a_server_that_is_down_is_waited_for_a_moment_and_then_named() {
    let remote = Remote::start(|_| Reply::Never).await;
    let url = remote.url.clone();
    remote.stop().await;
    let seen = Plan::new(&url).finish().await;
    let (code, message) = seen.failure();
    assert_eq!(code, "remote_unreachable");
    assert!(
        message.contains(&url) && message.contains("start the remote agent"),
        "{message}"
    );
}

#[tokio::test]
async fn a_cancel_before_the_remote_named_the_task_says_that_it_may_go_on() {
    let remote = Remote::start(|_| Reply::Never).await;
    let plan = Plan::new(&remote.url).timing(|t| t.cancel = Duration::from_millis(200));
    let running = plan.start();
    while remote.methods().is_empty() {
        tokio::task::yield_now().await;
    }
    running.run.control.cancel();
    let seen = running.finish().await;
    assert_eq!(seen.outcome(), &Outcome::Canceled);
    assert_eq!(seen.notes(), ["remote_not_told"]);
}

#[tokio::test]
async fn news_of_another_task_is_no_news_of_ours() {
    let remote = Remote::start(|call| match call.method.as_str() {
        "SendStreamingMessage" => Reply::Stream(vec![
            whole(task("WORKING")),
            Beat::Event(json!({"statusUpdate": {"taskId": "t9", "contextId": "c",
                "status": {"state": "TASK_STATE_COMPLETED"}}})),
        ]),
        other => panic!("{other}"),
    })
    .await;
    let seen = Plan::new(&remote.url).finish().await;
    assert_eq!(seen.failure().0, "remote_not_a2a");
}
