//! What the tools say of agents here and there, and which one they take.

use super::*;

async fn listed(node: &Peer) -> Vec<Value> {
    let page = node.call(Caller::local(), "get_agents", json!({})).await;
    let page = page.unwrap();
    page["agents"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_all_nodes_are_listed_with_how_they_stand_and_how_old_that_is() {
    let mesh = MemoryMesh::default();
    let begun = tokio::time::Instant::now();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![definition("mine")]).await;
    b.sees("echo", &a).await;
    let key = a.node.key().to_string();

    let agents = listed(&b).await;
    let line = |agents: &[Value], name: &str| {
        let found = agents.iter().find(|one| one["agent_id"] == name);
        found.unwrap().clone()
    };
    let (here, there) = (line(&agents, "mine"), line(&agents, "echo"));
    assert_eq!(
        (&here["location"], &here["state"]),
        (&json!("local"), &json!("ready"))
    );
    assert!(here.get("peer_name").is_none() && here.get("seen_seconds_ago").is_none());
    assert_eq!(
        (&there["location"], &there["state"]),
        (&json!("remote"), &json!("ready"))
    );
    assert_eq!(
        (&there["peer_id"], &there["peer_name"]),
        (&json!(key), &json!("node 1"))
    );
    let age = there["seen_seconds_ago"].as_u64().unwrap();
    assert!(age <= begun.elapsed().as_secs(), "{age}");
    assert!(there.get("offline_since").is_none(), "{there}");

    a.leave(&mesh).await;
    until(async || line(&listed(&b).await, "echo")["state"] == "offline").await;
    let args = json!({ "agent_id": "echo", "peer_id": key });
    let shown = b.call(Caller::local(), "get_agent", args).await.unwrap();
    for told in [line(&listed(&b).await, "echo"), shown] {
        let since = told["offline_since"].as_str().unwrap();
        assert!(since.starts_with("2026-09-"), "{told}");
        let reason = told["reason"].as_str().unwrap();
        assert_eq!(reason, format!("its node \"node 1\" is away since {since}"));
        assert_eq!(
            (&told["state"], &told["peer_name"]),
            (&json!("offline"), &json!("node 1"))
        );
    }
    b.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_says_which_node_was_taken_and_why() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo"), offered("both")]).await;
    let b = Peer::join(&mesh, 2, vec![definition("both"), definition("mine")]).await;
    a.allow(b.node.key(), "*").await;
    b.sees("echo", &a).await;
    b.sees("both", &a).await;
    let key = a.node.key().to_string();
    let sent = async |agent: &str, peer: Option<&str>| {
        let mut args = json!({ "agent_id": agent, "message": "hi", "wait_seconds": 60 });
        if let Some(peer) = peer {
            args["peer_id"] = json!(peer);
        }
        b.call(Caller::local(), "send_message", args).await.unwrap()
    };
    let only = sent("echo", None).await;
    assert_eq!(
        (&only["location"], &only["peer_id"]),
        (&json!("remote"), &json!(key))
    );
    assert_eq!(only["state"], "completed", "{only}");
    assert_eq!(
        only["route"],
        "on \"node 1\", because it is the only node that has an agent of that id"
    );
    let again = sent("echo", None).await;
    assert_eq!(
        again["route"],
        "on \"node 1\", because this id was first resolved to it"
    );
    // The start of a key, and a label, name a node as well as the whole of it.
    for peer in [&key, &key["did:key:".len()..][..12], "node 1"] {
        let named = sent("both", Some(peer)).await;
        assert_eq!(named["peer_id"], key);
        assert_eq!(named["route"], "on \"node 1\", because peer_id names it");
    }
    let near = sent("both", None).await;
    assert_eq!(near["location"], "local");
    assert_eq!(
        near["route"],
        "on this node, because this node has an agent of that id; 1 other node has one too: peer_id names theirs"
    );
    assert!(sent("mine", None).await.get("route").is_none());
    let refused = b.call(
        Caller::local(),
        "send_message",
        json!({ "agent_id": "both", "peer_id": "bob", "message": "hi" }),
    );
    let refused = refused.await.unwrap_err();
    assert!(
        refused
            .message
            .starts_with("argument peer_id: no node is known by \"bob\""),
        "{refused}"
    );
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}
