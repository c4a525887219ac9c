//! A remote that works: streams, polls, questions, cancels, tasks taken up again.

use std::time::Duration;

use axum::http::StatusCode;
use mesh_agents_core::run::{Answer, Outcome, QuestionKind, Resume, ResumeReason, RunEvent};
use serde_json::json;

use crate::server::{Beat, Call, Remote, Reply};
use crate::support::{Plan, TOKEN_VARIABLE, part, saying, state, task, task_with, whole};

fn review(call: &Call) -> Reply {
    assert_eq!(call.method, "SendStreamingMessage");
    Reply::Stream(vec![
        whole(task("SUBMITTED")),
        saying("WORKING", "Reading the diff."),
        saying("WORKING", "Reading the diff."),
        part("answer", json!({"text": "All "}), false),
        part("answer", json!({"text": "good."}), true),
        part(
            "findings.json",
            json!({"data": {"findings": [9_007_199_254_740_993_u64]}}),
            false,
        ),
        part(
            "blob",
            json!({"raw": "AP8=", "mediaType": "image/png"}),
            false,
        ),
        saying("COMPLETED", "All good."),
    ])
}

async fn a_review(over_rest: bool) {
    let remote = Remote::start(review).await;
    let plan = Plan::new(&remote.url)
        .with_token(TOKEN_VARIABLE)
        .requiring("findings.json");
    let plan = if over_rest { plan.over_rest() } else { plan };
    let seen = plan.finish().await;
    let answer = "All good.".to_owned();
    assert_eq!(seen.outcome(), &Outcome::Completed { answer });
    assert!(
        matches!(&seen.events[0], RunEvent::Started { session_id, resumable: true } if session_id == "t1"),
        "{:?}",
        seen.events
    );
    assert_eq!(seen.text(), "All good.");
    assert_eq!(seen.notes(), ["remote_status"], "told once");
    assert_eq!(
        seen.artifacts(),
        [
            r#"findings.json application/json {"findings":[9007199254740993]}"#,
            "blob image/png [0, 255]",
            "summary.md text/markdown All good.",
        ]
    );
    let call = &remote.calls("SendStreamingMessage")[0];
    let message = &call.params["message"];
    assert_eq!(message["messageId"], format!("{}:1", Plan::task()));
    assert_eq!(message["parts"][0]["text"], "Review it.");
    assert_eq!(message.get("contextId"), None);
    assert_eq!(call.headers["a2a-version"], "1.0");
    assert_eq!(call.headers["authorization"], "Bearer s3cret");
    assert_eq!(remote.methods(), ["SendStreamingMessage"]);
}

#[tokio::test]
async fn a_streamed_task_looks_like_any_other() {
    a_review(false).await;
}

#[tokio::test]
async fn the_same_over_http_json() {
    a_review(true).await;
}

#[tokio::test]
async fn a_remote_that_does_not_stream_is_asked_until_it_is_done() {
    let remote = Remote::start(|call| match (call.method.as_str(), call.nth) {
        ("SendMessage", 0) => Reply::Result(json!({"task": task("SUBMITTED")})),
        ("GetTask", 0) => Reply::Result(task("WORKING")),
        ("GetTask", 1) => {
            let some = json!([{"artifactId": "x", "parts": [{"text": "Half"}]}]);
            Reply::Result(task_with("WORKING", some))
        }
        ("GetTask", _) => {
            let all = json!([{"artifactId": "x", "parts": [{"text": "Half and half"}]}]);
            Reply::Result(task_with("COMPLETED", all))
        }
        other => panic!("{other:?}"),
    })
    .await;
    let seen = Plan::new(&remote.url).polling().finish().await;
    let answer = "Half and half".to_owned();
    assert_eq!(seen.outcome(), &Outcome::Completed { answer });
    assert_eq!(seen.text(), "Half and half");
    let sent = &remote.calls("SendMessage")[0].params;
    assert_eq!(sent["configuration"]["returnImmediately"], true);
}

#[tokio::test]
async fn a_card_that_promises_streams_in_vain_does_no_harm() {
    let remote = Remote::start(|call| match call.method.as_str() {
        "SendStreamingMessage" => Reply::Error(-32004, "no streams here"),
        "SendMessage" => Reply::Result(json!({"task": task("COMPLETED")})),
        other => panic!("{other}"),
    })
    .await;
    let seen = Plan::new(&remote.url).finish().await;
    assert!(matches!(seen.outcome(), Outcome::Completed { .. }));
    assert_eq!(seen.notes(), ["remote_not_streaming"]);
}

#[tokio::test]
async fn an_answer_without_a_task_completes_the_task_here() {
    let remote = Remote::start(|_| {
        Reply::Stream(vec![Beat::Event(json!({"message": {
            "messageId": "m", "role": "ROLE_AGENT",
            "parts": [{"text": "Forty-two."}, {"data": {"n": 42}}]}}))])
    })
    .await;
    let seen = Plan::new(&remote.url).finish().await;
    let answer = "Forty-two.".to_owned();
    assert_eq!(seen.outcome(), &Outcome::Completed { answer });
    assert_eq!(seen.text(), "Forty-two.");
    assert_eq!(
        seen.artifacts(),
        [
            r#"answer application/json {"n":42}"#,
            "summary.md text/markdown Forty-two."
        ]
    );
    assert!(seen.sessions().is_empty(), "there is nothing to resume");
}

#[tokio::test]
async fn a_burst_of_chunks_arrives_whole_and_in_order() {
    let remote = Remote::start(|_| {
        let chunk = |n: usize| part("response", json!({"text": format!("{n} ")}), n > 0);
        let mut beats = vec![whole(task("WORKING"))];
        beats.extend((0..400).map(chunk));
        beats.push(saying("COMPLETED", "done"));
        Reply::Stream(beats)
    })
    .await;
    let seen = Plan::new(&remote.url).finish().await;
    let expected: String = (0..400).map(|n| format!("{n} ")).collect();
    assert_eq!(seen.text(), expected);
}

#[tokio::test]
async fn how_the_remote_ended_is_how_the_task_ends() {
    for (end, wanted) in [
        ("FAILED", "remote_failed"),
        ("CANCELED", "canceled_by_remote"),
    ] {
        let remote =
            Remote::start(move |_| Reply::Stream(vec![saying(end, "No disk left.")])).await;
        let seen = Plan::new(&remote.url).finish().await;
        let (code, message) = seen.failure();
        assert_eq!(code, wanted);
        assert!(message.contains("No disk left."), "{message}");
    }
    let remote = Remote::start(|_| Reply::Stream(vec![saying("REJECTED", "Not my job.")])).await;
    let seen = Plan::new(&remote.url).finish().await;
    assert_eq!(seen.outcome(), &Outcome::Refused("Not my job.".into()));
    // Completed there, and still not what was asked for here.
    let remote = Remote::start(|_| Reply::Stream(vec![saying("COMPLETED", "Done.")])).await;
    let plan = Plan::new(&remote.url).requiring("findings.json");
    let seen = plan.finish().await;
    assert_eq!(seen.failure().0, "required_artifact_missing");
}

fn asking(call: &Call) -> Reply {
    let question = json!({"messageId": "q", "role": "ROLE_AGENT", "parts": [
        {"text": "Which branch?"},
        {"data": {"question_id": "q-7", "kind": "elicitation", "options": [
            {"id": "a", "name": "main", "kind": "choice"},
            {"id": "b", "name": "dev", "kind": "choice"}]}}]});
    let mut waiting = task("INPUT_REQUIRED");
    waiting["status"]["message"] = question;
    match (call.method.as_str(), call.nth) {
        ("SendStreamingMessage", 0) => Reply::Stream(vec![whole(task("WORKING")), whole(waiting)]),
        ("SendStreamingMessage", 1) => Reply::Stream(vec![saying("COMPLETED", "On dev.")]),
        ("GetTask", _) => Reply::Result(waiting),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_question_is_asked_here_and_its_answer_goes_to_the_same_task() {
    let remote = Remote::start(asking).await;
    let mut running = Plan::new(&remote.url).start();
    let asked = running
        .until(|event| matches!(event, RunEvent::Question { .. }))
        .await;
    let RunEvent::Question {
        id,
        kind,
        text,
        options,
    } = asked
    else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (kind, text.as_str()),
        (QuestionKind::Elicitation, "Which branch?")
    );
    assert_eq!(options[1].name, "dev");
    // It waits for as long as questions do; the remote is looked at meanwhile.
    running
        .run
        .control
        .answer(&id, Answer::Option("b".to_owned()));
    let seen = running.finish().await;
    let answer = "On dev.".to_owned();
    assert_eq!(seen.outcome(), &Outcome::Completed { answer });
    let reply = &remote.calls("SendStreamingMessage")[1].params["message"];
    assert_eq!(reply["taskId"], "t1");
    assert_eq!(reply["parts"][0]["text"], "dev");
    assert_eq!(
        reply["metadata"],
        json!({"question_id": "q-7", "option_id": "b"})
    );
    assert_ne!(reply["messageId"], format!("{}:1", Plan::task()));
}

#[tokio::test]
async fn a_login_made_elsewhere_settles_the_question() {
    let remote = Remote::start(|call| match (call.method.as_str(), call.nth) {
        ("SendStreamingMessage", 0) => {
            Reply::Stream(vec![saying("AUTH_REQUIRED", "Log in at https://x/.")])
        }
        ("GetTask", 0) => Reply::Result(task("WORKING")),
        ("GetTask", 1) => Reply::Result(task("WORKING")),
        ("SubscribeToTask", 0) => Reply::Stream(vec![saying("COMPLETED", "Done.")]),
        other => panic!("{other:?}"),
    })
    .await;
    let seen = Plan::new(&remote.url).finish().await;
    assert!(matches!(seen.outcome(), Outcome::Completed { .. }));
    let kinds: Vec<_> = seen
        .events
        .iter()
        .filter(|event| matches!(event, RunEvent::Question { .. } | RunEvent::QuestionGone(_)))
        .collect();
    assert!(
        matches!(
            kinds[..],
            [
                RunEvent::Question {
                    kind: QuestionKind::Auth,
                    ..
                },
                RunEvent::QuestionGone(_)
            ]
        ),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn a_cancel_ends_the_task_there_and_keeps_what_there_was() {
    let remote = Remote::start(|call| match call.method.as_str() {
        "SendStreamingMessage" => Reply::Stream(vec![
            whole(task("WORKING")),
            part("log.txt", json!({"text": "so far"}), false),
            part("response", json!({"text": "Hm"}), false),
            Beat::Hang,
        ]),
        "CancelTask" => Reply::Result(task("CANCELED")),
        other => panic!("{other}"),
    })
    .await;
    let mut running = Plan::new(&remote.url).start();
    running
        .until(|event| matches!(event, RunEvent::Text(_)))
        .await;
    running.run.control.cancel();
    let seen = running.finish().await;
    assert_eq!(seen.outcome(), &Outcome::Canceled);
    assert_eq!(remote.calls("CancelTask")[0].params["id"], "t1");
    assert_eq!(seen.artifacts(), ["log.txt text/plain so far ?"]);
    assert!(seen.notes().is_empty(), "{:?}", seen.notes());
}

#[tokio::test]
async fn a_cancel_that_comes_too_late_changes_nothing() {
    let remote = Remote::start(|call| match call.method.as_str() {
        "SendStreamingMessage" => Reply::Stream(vec![whole(task("WORKING")), Beat::Hang]),
        "CancelTask" => Reply::Error(-32002, "it has ended"),
        "GetTask" => {
            let all = json!([{"artifactId": "response", "parts": [{"text": "Finished."}]}]);
            Reply::Result(task_with("COMPLETED", all))
        }
        other => panic!("{other}"),
    })
    .await;
    let mut running = Plan::new(&remote.url).start();
    running
        .until(|event| matches!(event, RunEvent::Started { .. }))
        .await;
    running.run.control.cancel();
    let seen = running.finish().await;
    let answer = "Finished.".to_owned();
    assert_eq!(seen.outcome(), &Outcome::Completed { answer });
}

#[tokio::test]
async fn a_cancel_the_remote_does_not_hear_says_so() {
    let remote = Remote::start(|call| match call.method.as_str() {
        "SendStreamingMessage" => Reply::Stream(vec![whole(task("WORKING")), Beat::Hang]),
        "CancelTask" => Reply::Http(StatusCode::BAD_GATEWAY, "proxy"),
        other => panic!("{other}"),
    })
    .await;
    let plan = Plan::new(&remote.url).timing(|t| t.cancel = Duration::from_millis(200));
    let mut running = plan.start();
    running
        .until(|event| matches!(event, RunEvent::Started { .. }))
        .await;
    running.run.control.cancel();
    let seen = running.finish().await;
    assert_eq!(seen.outcome(), &Outcome::Canceled);
    assert_eq!(seen.notes(), ["remote_not_told"]);
}

fn resume(why: ResumeReason) -> Resume {
    Resume {
        session_id: "t1".to_owned(),
        why,
    }
}

#[tokio::test]
async fn a_run_cut_off_here_goes_on_with_the_task_there() {
    let remote = Remote::start(|call| match call.method.as_str() {
        "GetTask" => {
            let some = json!([{"artifactId": "x", "parts": [{"text": "One, two"}]}]);
            Reply::Result(task_with("WORKING", some))
        }
        "SubscribeToTask" => Reply::Stream(vec![
            whole(task("WORKING")),
            part("x", json!({"text": ", three"}), true),
            state("COMPLETED"),
        ]),
        other => panic!("no message may be sent: {other}"),
    })
    .await;
    let plan = Plan::new(&remote.url).resuming(resume(ResumeReason::Interrupted));
    let seen = plan.after("One,", None).finish().await;
    assert_eq!(
        seen.text(),
        " two, three",
        "what is stored is not said again"
    );
    assert!(matches!(seen.outcome(), Outcome::Completed { .. }));
    assert_eq!(seen.sessions(), ["t1"]);
    // One the remote has forgotten may be started anew by `on_interrupt`, so it is not failed here.
    let remote = Remote::start(|_| Reply::Error(-32001, "what task?")).await;
    let plan = Plan::new(&remote.url).resuming(resume(ResumeReason::Interrupted));
    let seen = plan.finish().await;
    assert!(
        matches!(seen.outcome(), Outcome::Interrupted(_)),
        "{:?}",
        seen.outcome()
    );
}

#[tokio::test]
async fn an_answer_given_after_a_restart_goes_to_the_task_that_asked() {
    let remote = Remote::start(|call| match call.method.as_str() {
        // As if the first message had been sent by an earlier run.
        "SendStreamingMessage" => Reply::Stream(vec![saying("COMPLETED", "On main.")]),
        _ => asking(call),
    })
    .await;
    let plan = Plan::new(&remote.url).resuming(resume(ResumeReason::Answered));
    let answer = Some(Answer::Option("a".to_owned()));
    let seen = plan.after("", answer).finish().await;
    assert!(matches!(seen.outcome(), Outcome::Completed { .. }));
    let message = &remote.calls("SendStreamingMessage")[0].params["message"];
    assert_eq!(message["taskId"], "t1");
    assert_eq!(message["parts"][0]["text"], "main");
    assert_eq!(message["metadata"]["option_id"], "a");
    // One that went on without it meanwhile is not disturbed.
    let remote = Remote::start(|call| match call.method.as_str() {
        "GetTask" => Reply::Result(task("COMPLETED")),
        other => panic!("{other}"),
    })
    .await;
    let plan = Plan::new(&remote.url).resuming(resume(ResumeReason::Answered));
    let answer = Some(Answer::Text("late".to_owned()));
    let seen = plan.after("", answer).finish().await;
    assert!(matches!(seen.outcome(), Outcome::Completed { .. }));
}

#[tokio::test]
async fn the_next_task_of_a_context_is_in_the_remotes_context() {
    let remote = Remote::start(|call| match call.method.as_str() {
        "GetTask" => Reply::Result(task("COMPLETED")),
        "SendStreamingMessage" => Reply::Stream(vec![Beat::Event(json!({"task": {
            "id": "t2", "contextId": "c1", "status": {"state": "TASK_STATE_COMPLETED"}}}))]),
        other => panic!("{other}"),
    })
    .await;
    let plan = Plan::new(&remote.url).resuming(resume(ResumeReason::NextTask));
    let seen = plan.finish().await;
    assert_eq!(seen.sessions(), ["t2"]);
    let message = &remote.calls("SendStreamingMessage")[0].params["message"];
    assert_eq!(message["contextId"], "c1");
    assert_eq!(message["referenceTaskIds"], json!(["t1"]));
    assert_eq!(message.get("taskId"), None);
}
