//! Callers of other nodes: who is let in, what the others are told, and that nothing of theirs is read.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use mesh_agents_core::ids::QuestionId;
use mesh_agents_core::policy::{Caller, Grant, Standing};
use mesh_agents_core::run::{QuestionKind, QuestionOption, RunEvent};
use serde_json::{Value, json};

use crate::fake::{AGENT, Answered, Node, at_once, read, rpc};

const ADA: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
const BOB: &str = "did:key:z6MkfUL9RCyJfHPrJLF1XGjhKvaLyvb4UvGqL5uzrXCoP6f8";

fn grant(agent: &str, standing: Standing) -> Grant {
    Grant {
        agent: agent.parse().unwrap(),
        skill: None,
        advertised: true,
        standing,
        approve: false,
    }
}

fn peer(did: &str, grant: Grant) -> Caller {
    Caller::key(did, grant)
}

fn allowed(did: &str) -> Caller {
    peer(did, grant("a", Standing::Allowed))
}

async fn at(node: &Node, caller: &Caller, method: &str, path: &str) -> Answered {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("A2A-Version", "1.0")
        .body(Body::empty());
    read(node.request_as(caller, request.unwrap()).await).await
}

/// A body that never ends: whoever reads it waits for ever.
fn endless() -> Body {
    Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>())
}

#[tokio::test]
async fn a_peer_that_may_not_call_is_told_why_and_its_body_is_not_read() {
    let node = Node::start().await;
    for (standing, says) in [
        (Standing::Unlisted, format!("agents peers allow {ADA} a")),
        (Standing::Denied, "denies agent".to_owned()),
        (Standing::Closed, "nobody may".to_owned()),
    ] {
        let caller = peer(ADA, grant("a", standing));
        for path in [
            AGENT.to_owned(),
            format!("{AGENT}/message:send"),
            format!("{AGENT}/message:stream"),
        ] {
            let request = Request::post(&path)
                .header("content-type", "application/json")
                .body(endless());
            let answer = node.request_as(&caller, request.unwrap());
            let answer = tokio::time::timeout(Duration::from_secs(60), answer).await;
            let answered = read(answer.expect("it does not wait for the body")).await;
            assert_eq!(answered.status, 403, "{path}");
            assert!(
                answered.body.contains(&says) && answered.body.contains(ADA),
                "{}",
                answered.body
            );
        }
        // It still may know that there is such an agent.
        let card = at(
            &node,
            &caller,
            "GET",
            &format!("{AGENT}/.well-known/agent-card.json"),
        )
        .await;
        assert_eq!(card.status, 200);
    }
}

#[tokio::test]
async fn what_is_not_offered_to_a_peer_is_as_if_it_never_was() {
    let node = Node::start().await;
    let hidden = |agent: &str| Grant {
        advertised: false,
        ..grant(agent, Standing::Allowed)
    };
    let strange = |agent: &str| peer(ADA, grant(agent, Standing::Unlisted));
    for (agent, caller) in [
        ("a", peer(ADA, hidden("a"))),
        // Looked up for another agent, by mistake.
        ("a", peer(ADA, grant("b", Standing::Allowed))),
        ("off", strange("off")),
        ("off", peer(ADA, grant("off", Standing::Allowed))),
    ] {
        for (method, below) in [
            ("POST", ""),
            ("POST", "/message:send"),
            ("GET", "/tasks"),
            ("GET", "/tasks/task-01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            ("GET", "/.well-known/agent-card.json"),
        ] {
            let there = at(
                &node,
                &caller,
                method,
                &format!("/a2a/agents/{agent}{below}"),
            )
            .await;
            let never = at(
                &node,
                &strange("nope"),
                method,
                &format!("/a2a/agents/nope{below}"),
            )
            .await;
            assert_eq!(there.status, 404, "{agent}{below}");
            let body = there
                .body
                .replace(&format!("\\\"{agent}\\\""), "\\\"nope\\\"");
            // Members of an object come in any order.
            let json = |body: &str| serde_json::from_str::<Value>(body).ok();
            assert_eq!(json(&body), json(&never.body));
            assert_eq!(body.len(), never.body.len());
            let names = |answered: &Answered| {
                answered
                    .headers
                    .keys()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
            };
            assert_eq!(names(&there), names(&never));
        }
    }
}

#[tokio::test]
async fn an_allowed_peer_works_with_its_own_tasks_and_no_others() {
    let mut node = Node::start().await;
    let (ada, bob) = (allowed(ADA), allowed(BOB));
    let task = node.call_as(&ada, "SendMessage", at_once("m1", "x")).await;
    let id = task["result"]["task"]["id"].clone();
    let run = node.next_run().await;
    for method in ["GetTask", "CancelTask", "SubscribeToTask"] {
        let refused = node.call_as(&bob, method, json!({"id": id})).await;
        assert_eq!(refused["error"]["code"], -32001, "{method}: {refused}");
    }
    assert!(node.call_as(&ada, "GetTask", json!({"id": id})).await["result"].is_object());
    // Taken back while it runs: the next request is refused, its own task or not.
    let revoked = peer(ADA, grant("a", Standing::Denied));
    let response = node
        .request_as(&revoked, rpc("GetTask", &json!({"id": id})))
        .await;
    assert_eq!(read(response).await.status, 403);
    run.complete("ok");
}

#[tokio::test]
async fn a_peer_answers_what_its_work_is_about_and_permissions_only_when_it_approves() {
    let mut node = Node::start().await;
    let ada = allowed(ADA);
    let approving = peer(
        ADA,
        Grant {
            approve: true,
            ..grant("a", Standing::Allowed)
        },
    );
    for (n, (kind, caller, may)) in [
        (QuestionKind::Elicitation, &ada, true),
        (QuestionKind::Permission, &ada, false),
        (QuestionKind::Permission, &approving, true),
    ]
    .into_iter()
    .enumerate()
    {
        let task = node
            .call_as(caller, "SendMessage", at_once(&format!("m{n}"), "x"))
            .await;
        let id = task["result"]["task"]["id"].clone();
        let mut run = node.next_run().await;
        run.say(RunEvent::Question {
            id: QuestionId::from_ulid(ulid::Ulid::new()),
            kind,
            text: "well?".into(),
            options: vec![QuestionOption {
                id: "yes".into(),
                name: "Yes".into(),
                kind: "allow_once".into(),
            }],
        });
        until_asked(&node, caller, &id).await;
        let mut answer = at_once(&format!("a{n}"), "yes");
        answer["message"]["taskId"] = id;
        let said = node.call_as(caller, "SendMessage", answer).await;
        if may {
            assert!(said["result"].is_object(), "{said}");
            run.told().await;
        } else {
            assert_eq!(
                said["error"]["data"][0]["metadata"]["code"], "not_allowed",
                "{said}"
            );
            assert!(run.answers.try_recv().is_err());
        }
        run.complete("ok");
    }
}

async fn until_asked(node: &Node, caller: &Caller, id: &Value) {
    loop {
        let task = node.call_as(caller, "GetTask", json!({"id": id})).await;
        if task["result"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED" {
            return;
        }
        tokio::task::yield_now().await;
    }
}
