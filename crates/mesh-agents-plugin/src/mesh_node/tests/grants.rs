//! What a harness may that works for another node: what that node may, and nothing else.

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
