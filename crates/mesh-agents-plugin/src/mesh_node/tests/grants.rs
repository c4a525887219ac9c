//! What a harness may that works for another node: what that node may, and nothing else.

use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use mesh_agents_core::policy::SKILL_HEADER;
use mesh_agents_core::refusal::Code;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_harness_of_a_peer_s_task_may_call_what_the_peer_may() {
    let mesh = MemoryMesh::default();
    let agents = ["front", "helper", "secret"].map(offered);
    let agents = agents.into_iter().chain([definition("private")]);
    let a = Peer::join(&mesh, 1, agents.collect()).await;
    let c = Peer::join(&mesh, 3, vec![offered("far")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    let key = b.node.key();
    let list = format!("[peers.\"{key}\"]\nallow = [\"front\", \"helper\"]\n");
    write_list(a.dir.path(), &list);
    until(async || a.node.state().acl.acl().peer(&key).is_some()).await;
    let front = b.sees("front", &a).await;
    a.sees("far", &c).await;
    let task = b.send(&front, "hang").await;
    until(async || !a.tokens.lock().unwrap().is_empty()).await;
    let token = a.tokens.lock().unwrap()[0].clone();
    let harness = || a.engine.caller_of_token(&token).unwrap();
    let send = async |agent: &str| {
        let args = json!({ "agent_id": agent, "message": "hi", "wait_seconds": 60 });
        a.call(harness(), "send_message", args).await
    };

    let helped = send("helper").await.unwrap();
    assert_eq!(helped["state"], "completed", "{helped}");
    // What is offered to all may be seen; it is called by those who are let in.
    let refused = send("secret").await.unwrap_err();
    assert_eq!(refused.code, Code::NotAllowed);
    assert!(
        refused.message.contains(&format!("works for {key}")),
        "{refused}"
    );
    // What is not offered never was, nor is what other nodes have.
    for hidden in ["private", "far"] {
        assert_eq!(
            send(hidden).await.unwrap_err().code,
            Code::AgentNotFound,
            "{hidden}"
        );
    }
    let there = json!({ "agent_id": "far", "peer_id": c.node.key().to_string(), "message": "hi" });
    let there = a.call(harness(), "send_message", there).await.unwrap_err();
    assert_eq!(there.code, Code::AgentNotFound);
    assert!(
        !there.to_string().contains(&c.node.key().to_string()),
        "{there}"
    );
    let seen = a.call(harness(), "get_agents", json!({})).await.unwrap();
    let seen: Vec<&str> = seen["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| agent["agent_id"].as_str().unwrap())
        .collect();
    assert_eq!(seen, ["front", "helper", "secret"]);

    // What is taken back from the peer is taken back from what works for it.
    write_list(a.dir.path(), &list.replace(", \"helper\"", ""));
    until(async || send("helper").await.is_err()).await;
    assert_eq!(send("helper").await.unwrap_err().code, Code::NotAllowed);
    b.engine.cancel(&Caller::local(), &task.id).await.unwrap();
    for peer in [b, c, a] {
        peer.leave(&mesh).await;
    }
}

/// Other nodes see this node's key, whoever asked for the call here.
#[tokio::test(flavor = "multi_thread")]
async fn agents_of_other_nodes_are_called_for_the_person_here_and_for_tokens_the_owner_named() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("far")]).await;
    let b = Peer::join(&mesh, 2, vec![offered("front")]).await;
    a.allow(b.node.key(), "far").await;
    b.sees("far", &a).await;
    b.engine.set_mesh_tokens(["trusted".to_owned()].into());
    let front: AgentId = "front".parse().unwrap();
    let task = b.send(&front, "hang").await;
    until(async || !b.tokens.lock().unwrap().is_empty()).await;
    let token = b.tokens.lock().unwrap()[0].clone();
    let harness = b.engine.caller_of_token(&token).unwrap();
    for (caller, may) in [
        (Caller::local(), true),
        (harness, true),
        (Caller::token("trusted"), true),
        (Caller::token("ci"), false),
    ] {
        let who = caller.principal.to_string();
        let listed = b
            .call(caller.clone(), "get_agents", json!({}))
            .await
            .unwrap();
        assert_eq!(
            listed.to_string().contains("\"far\""),
            may,
            "{who}: {listed}"
        );
        let args = json!({ "agent_id": "far", "message": "hi", "wait_seconds": 60 });
        match b.call(caller.clone(), "send_message", args).await {
            Ok(sent) => assert!(may && sent["state"] == "completed", "{who}: {sent}"),
            Err(refused) => {
                let told = refused.to_string().contains("mesh_tokens");
                assert!(
                    !may && refused.code == Code::NotAllowed && told,
                    "{who}: {refused}"
                );
            }
        }
        // Of its own node's agents nothing changes.
        let args = json!({ "agent_id": "front" });
        assert!(b.call(caller, "get_agent", args).await.is_ok(), "{who}");
    }
    b.engine.cancel(&Caller::local(), &task.id).await.unwrap();
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_has_begun_goes_on_when_its_agent_is_not_offered_any_more() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "echo").await;
    let echo = b.sees("echo", &a).await;
    let task = b.send(&echo, "hang").await;
    let at_owner = async || {
        let all = mesh_agents_tasks::ListTasks {
            limit: 10,
            ..Default::default()
        };
        let page = a.engine.list(&Caller::local(), all).await.unwrap();
        page.tasks.first().map(|(task, _)| task.state)
    };
    until(async || at_owner().await == Some(TaskState::Working)).await;
    let mut off = offered("echo");
    off.enabled = false;
    a.node.set_local(Agents {
        ready: Arc::new([(off.id.clone(), Arc::new(off))].into()),
        broken: Arc::default(),
    });
    until(async || !b.engine.agents().contains_key(&echo)).await;
    // Its caller still reaches it; nobody gives it more to do.
    // A cancel does not wait for ever; its end is waited for.
    b.engine.cancel(&Caller::local(), &task.id).await.unwrap();
    assert_eq!(b.ended(&task).await.state, TaskState::Canceled);
    until(async || at_owner().await == Some(TaskState::Canceled)).await;
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

/// Asks for a task that is not there, in a call that says it is for `skill`; returns the status and the body.
async fn asked(b: &Peer, a: &Peer, skill: Option<&str>) -> (StatusCode, String) {
    let whom = Whom {
        peer_id: a.id.clone(),
        key: None,
    };
    let (_key, stream) = b.node.open(whom).await.unwrap();
    let (mut http, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": { "id": "x" } });
    let mut request = Request::post("/a2a/agents/echo")
        .header(header::HOST, "mesh")
        .header("A2A-Version", "1.0")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(skill) = skill {
        request = request.header(SKILL_HEADER, skill);
    }
    let request = request
        .body(Full::<bytes::Bytes>::from(call.to_string()))
        .unwrap();
    let exchange = async move {
        let answer = http.send_request(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    // The stream may end with the answer: who reads it has it all the same.
    let (answered, _ended) = tokio::join!(exchange, connection);
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_on_the_list_lets_in_calls_that_say_they_are_for_it() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    b.sees("echo", &a).await;
    let key = b.node.key();
    a.allow(key, "echo/say").await;
    let (status, body) = asked(&b, &a, Some("say")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body.contains("no task"), "{body}");
    for (skill, to_allow) in [(None, "echo"), (Some("shout"), "echo/shout")] {
        let (status, body) = asked(&b, &a, skill).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{skill:?}: {body}");
        let asks = format!("agents peers allow {key} {to_allow}\"");
        assert!(body.contains(&asks), "{skill:?}: {body}");
    }
    // So does a message, and all that follows from it, whose sender names the skill.
    let sent = async |metadata: Value| {
        let args = json!({
            "agent_id": "echo", "message": "hi", "wait_seconds": 60, "metadata": metadata
        });
        b.call(Caller::local(), "send_message", args).await.unwrap()
    };
    let said = sent(json!({ "skill_id": "say" })).await;
    assert_eq!(said["state"], "completed", "{said}");
    let args = json!({ "task_id": said["task_id"], "artifact_id": "response" });
    let text = b.call(Caller::local(), "view_text_artifact", args).await;
    assert_eq!(text.unwrap()["text"], "echo: hi");
    for metadata in [
        json!({}),
        json!({ "skill_id": "a b" }),
        json!({ "skill_id": 7 }),
    ] {
        let refused = sent(metadata).await;
        assert_eq!(refused["state"], "failed", "{refused}");
    }
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

/// Else a message that waited for this node would be told that its agent is gone.
#[tokio::test]
async fn who_calls_before_this_node_knows_what_it_offers_is_to_come_again() {
    let mesh = MemoryMesh::default();
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("acl.toml");
    let node = MeshNode::new(config(&mesh, 1, &peer_id(1), list)).unwrap();
    let caller = NodeSecret::from_seed(&[2; 32]).key();
    let app = axum::Router::new()
        .fallback(|| async { "let in" })
        .layer(axum::middleware::from_fn_with_state(node, gate::authorise))
        .layer(axum::Extension(serve::Who(caller)));
    let request = Request::post("/a2a/agents/echo").body(axum::body::Body::empty());
    let answer = tower::ServiceExt::oneshot(app, request.unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body);
    assert!(body.contains("engine_unavailable"), "{body}");
}
