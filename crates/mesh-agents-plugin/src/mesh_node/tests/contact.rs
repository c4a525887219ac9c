//! A task on another node while that node is out of reach, and messages that wait for one.

use super::*;

async fn told(node: &Peer, task: &str) -> Value {
    let args = json!({ "task_id": task });
    node.call(Caller::local(), "get_task", args).await.unwrap()
}

/// The tasks of this node.
async fn tasks(node: &Peer) -> Vec<Task> {
    let all = mesh_agents_tasks::ListTasks {
        limit: 100,
        ..Default::default()
    };
    let page = node.engine.list(&Caller::local(), all).await.unwrap();
    page.tasks.into_iter().map(|(task, _)| task).collect()
}

/// A stopped node as it starts again, with what it kept.
async fn again(mesh: &MemoryMesh, number: u8, agents: Vec<AgentDefinition>, dir: TempDir) -> Peer {
    let id = format!("{number:064x}").parse().unwrap();
    Peer::join_as(mesh, number, id, agents, dir).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_line_shows_and_a_cancel_is_told_when_it_is_mended() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "*").await;
    let echo = b.sees("echo", &a).await;
    let task = b.send(&echo, "hang").await;
    let id = task.id.as_str();
    until(async || {
        let view = b.engine.view(&Caller::local(), &task.id).await.unwrap();
        view.response.is_some_and(|said| said.contains("hang"))
    })
    .await;
    assert!(told(&b, id).await.get("unreachable_since").is_none());

    mesh.cut(&a.id);
    until(async || told(&b, id).await.get("unreachable_since").is_some()).await;
    let shown = told(&b, id).await;
    assert_eq!(shown["state"], "working");
    assert_eq!(shown["peer_id"], a.node.key().to_string());
    let list = b.call(Caller::local(), "list_tasks", json!({})).await;
    let list = list.unwrap();
    assert!(list["tasks"][0]["unreachable_since"].is_string(), "{list}");

    let args = json!({ "task_id": id });
    let wanted = b.call(Caller::local(), "cancel_task", args).await.unwrap();
    assert_eq!(
        (&wanted["state"], &wanted["cancel_requested"]),
        (&json!("working"), &json!(true))
    );
    let note = wanted["note"].as_str().unwrap();
    assert!(note.contains("cannot be reached since"), "{note}");

    // The caller's engine comes and goes; what was wanted is still wanted.
    let dir = b.leave(&mesh).await;
    let b = again(&mesh, 2, vec![], dir).await;
    until(async || told(&b, id).await["state"] == "working").await;
    let shown = told(&b, id).await;
    assert_eq!(shown["cancel_requested"], true);
    assert!(shown["unreachable_since"].is_string(), "{shown}");
    let there = tasks(&a).await;
    assert_eq!((there.len(), there[0].state), (1, TaskState::Working));

    mesh.mend(&a.id);
    until(async || told(&b, id).await["state"] == "canceled").await;
    let shown = told(&b, id).await;
    assert!(shown.get("unreachable_since").is_none(), "{shown}");
    let there = tasks(&a).await;
    assert_eq!((there.len(), there[0].state), (1, TaskState::Canceled));
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_a_node_that_is_away_and_is_delivered_once_when_it_is_back() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "*").await;
    let echo = b.sees("echo", &a).await;
    let dir_a = a.leave(&mesh).await;
    let send = async |b: &Peer, patient: bool| {
        let args = json!({ "agent_id": "echo", "message": "hello", "queue_if_offline": patient });
        b.call(Caller::local(), "send_message", args).await
    };
    until(async || {
        let agents = b.engine.agents();
        b.engine.unavailable(agents.get(&echo).unwrap()).is_some()
    })
    .await;
    let refused = send(&b, false).await.unwrap_err().to_string();
    for word in ["node 1", "offline since 2026-09-", "queue_if_offline"] {
        assert!(refused.contains(word), "{refused}");
    }
    let sent = send(&b, true).await.unwrap();
    assert_eq!(sent["state"], "submitted");
    let said = &sent["task"]["status"]["message"]["parts"][0]["text"];
    let said = said.as_str().unwrap();
    assert!(
        said.starts_with("queued, owner node 1 offline since 2026-09-"),
        "{said}"
    );
    let id = sent["task_id"].as_str().unwrap();

    let dir_b = b.leave(&mesh).await;
    let b = again(&mesh, 2, vec![], dir_b).await;
    let a = again(&mesh, 1, vec![offered("echo")], dir_a).await;
    until(async || told(&b, id).await["state"] == "completed").await;
    let there = tasks(&a).await;
    assert_eq!((there.len(), there[0].state), (1, TaskState::Completed));
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_the_same_at_both_nodes_byte_for_byte() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "*").await;
    let echo = b.sees("echo", &a).await;
    let done = b.ended(&b.send(&echo, "leave something").await).await;
    assert_eq!(done.state, TaskState::Completed, "{:?}", done.failure);
    let id: ArtifactId = "findings.json".parse().unwrap();
    let there = tasks(&a).await;
    let (theirs, _) = a
        .engine
        .artifact(&Caller::local(), &there[0].id, &id)
        .await
        .unwrap();
    let (ours, content) = b
        .engine
        .artifact(&Caller::local(), &done.id, &id)
        .await
        .unwrap();
    assert_eq!(content, FINDINGS.as_bytes());
    assert_eq!(ours.sha256, theirs.sha256);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

/// As when the host was killed, came back under another id, and the engine was killed right after.
#[tokio::test(flavor = "multi_thread")]
async fn what_our_own_host_was_called_before_the_engine_started_is_not_dialled() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    b.sees("echo", &a).await;
    let kept = async || !b.engine.facts(FactKind::OwnIds).await.unwrap().is_empty();
    until(kept).await;
    let dir = b.leave(&mesh).await;
    // The others go on telling of it; nobody takes a stream there.
    let shadow = mesh.join(&peer_id(2));
    let mut dialled = shadow.incoming();
    let b = Peer::join_as(&mesh, 2, peer_id(200), vec![], dir).await;
    b.sees("echo", &a).await;
    // Somebody that came later than the shadow was asked, and the shadow was not.
    let c = Peer::join(&mesh, 3, vec![offered("late")]).await;
    b.sees("late", &c).await;
    while let Ok(incoming) = dialled.try_recv() {
        // The others take the shadow for a node.
        let mut hello = String::new();
        let mut stream = tokio::io::BufReader::new(incoming.stream);
        tokio::io::AsyncBufReadExt::read_line(&mut stream, &mut hello)
            .await
            .unwrap();
        assert!(!hello.contains(&peer_id(200).to_string()), "{hello}");
    }
    for peer in [c, b, a] {
        peer.leave(&mesh).await;
    }
}
