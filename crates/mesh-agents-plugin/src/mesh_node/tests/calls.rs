//! Nodes that find each other's agents and call them.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_another_node_does_what_it_is_sent_once_its_owner_lets_us() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo"), definition("private")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    let echo = b.sees("echo", &a).await;
    assert_eq!(
        b.engine.agents().len(),
        1,
        "what is not advertised is not known"
    );

    let refused = b.ended(&b.send(&echo, "hello").await).await;
    assert_eq!(refused.state, TaskState::Failed);
    // In plain words: who said so, which key is ours, what our user can ask for.
    let why = refused.failure.unwrap().message;
    let (ours, theirs) = (b.node.key(), a.node.key());
    let asks = format!("Ask its owner to run: agents peers allow {ours} echo");
    assert!(
        why.starts_with(&format!(
            "the node {theirs} turned the call away: agent \"echo\""
        )),
        "{why}"
    );
    assert!(
        why.contains(&format!("your node's key {ours}")) && why.ends_with(&asks),
        "{why}"
    );
    let knocks = a.node.report().knocks;
    assert_eq!(knocks.len(), 1);
    assert_eq!(
        (knocks[0].peer_id, knocks[0].agent_id.as_str()),
        (ours, "echo")
    );

    a.allow(b.node.key(), "echo").await;
    let done = b.ended(&b.send(&echo, "hello").await).await;
    assert_eq!(done.state, TaskState::Completed, "{:?}", done.failure);
    let response = ArtifactId::response();
    let content = b
        .engine
        .artifact(&Caller::local(), &done.id, &response)
        .await;
    assert_eq!(content.unwrap().1, b"echo: hello");
    // At its owner it is a task of the caller's key, and nobody else's.
    let all = mesh_agents_tasks::ListTasks {
        limit: 10,
        ..Default::default()
    };
    let tasks = a.engine.list(&Caller::local(), all).await.unwrap().tasks;
    assert_eq!(tasks.len(), 1);
    assert_eq!(
        tasks[0].0.principal.to_string(),
        format!("key:{}", b.node.key())
    );
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_owner() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "*").await;
    let echo = b.sees("echo", &a).await;
    let task = b.send(&echo, "hang").await;
    let all = mesh_agents_tasks::ListTasks {
        limit: 10,
        ..Default::default()
    };
    let at_owner = async || {
        let page = a.engine.list(&Caller::local(), all.clone()).await.unwrap();
        page.tasks.first().map(|(task, _)| task.state)
    };
    until(async || at_owner().await == Some(TaskState::Working)).await;
    // A cancel does not wait for ever; its end is waited for.
    b.engine.cancel(&Caller::local(), &task.id).await.unwrap();
    assert_eq!(b.ended(&task).await.state, TaskState::Canceled);
    until(async || at_owner().await == Some(TaskState::Canceled)).await;
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_taken_off_the_list_is_cut_off_from_what_it_follows() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "*").await;
    let echo = b.sees("echo", &a).await;
    let task = b.send(&echo, "hang").await;
    let name = async || {
        let view = b.engine.view(&Caller::local(), &task.id).await.unwrap();
        view.response.is_some_and(|said| said.contains("hang"))
    };
    until(name).await;
    write_list(a.dir.path(), "");
    let ended = b.ended(&task).await;
    assert_eq!(ended.state, TaskState::Failed);
    let why = ended.failure.unwrap().message;
    assert!(why.contains(&b.node.key().to_string()), "{why}");
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_takes_its_agents_out_of_reach_and_its_change_is_seen() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    let echo = b.sees("echo", &a).await;
    let ready = [offered("echo"), offered("second")].map(|one| (one.id.clone(), Arc::new(one)));
    a.node.set_local(Agents {
        ready: Arc::new(ready.into()),
        broken: Arc::default(),
    });
    b.sees("second", &a).await;
    a.leave(&mesh).await;
    let agents = b.engine.agents();
    let echo = agents.get(&echo).unwrap();
    until(async || {
        b.engine
            .unavailable(echo)
            .is_some_and(|why| why.contains("is away"))
    })
    .await;
    b.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_would_let_others_act_as_its_owner_stays_and_says_why() {
    let mesh = MemoryMesh::default();
    let mut open = offered("open");
    open.policy.network = Network::Allow;
    let a = Peer::join(&mesh, 1, vec![open, offered("echo")]).await;
    until(async || !a.node.report().withheld.is_empty()).await;
    let withheld = a.node.report().withheld;
    assert_eq!(withheld.len(), 1);
    assert_eq!(withheld[0].agent_id, "open");
    assert!(
        withheld[0].reason.contains("network = \"loopback\""),
        "{withheld:?}"
    );
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_of_others_outlives_the_engine_and_their_peer_ids() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    let echo = b.sees("echo", &a).await;
    let meant = b.node.meant(&"echo".parse().unwrap(), None).unwrap();
    assert_eq!((meant.id, meant.why), (echo.clone(), Some(Why::Only)));
    until(async || b.engine.facts(FactKind::Owner).await.unwrap().len() == 1).await;
    let (key, dir_b) = (a.node.key(), b.leave(&mesh).await);
    let dir_a = a.leave(&mesh).await;

    // The other node is away, and still known by its key.
    let id = format!("{:064x}", 2).parse().unwrap();
    let b = Peer::join_as(&mesh, 2, id, vec![], dir_b).await;
    until(async || b.engine.agents().contains_key(&echo)).await;
    let agents = b.engine.agents();
    let agent = agents.get(&echo).unwrap();
    until(async || {
        b.engine
            .unavailable(agent)
            .is_some_and(|why| why.contains("is away"))
    })
    .await;
    let meant = b.node.meant(&"echo".parse().unwrap(), None).unwrap();
    assert_eq!((&meant.id, meant.why), (&echo, Some(Why::First)));

    // Its host was restarted and calls it something else.
    let id = format!("{:064x}", 77).parse().unwrap();
    let a = Peer::join_as(&mesh, 1, id, vec![offered("echo")], dir_a).await;
    assert_eq!(a.node.key(), key);
    until(async || b.engine.unavailable(agent).is_none()).await;
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}
