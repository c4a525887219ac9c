//! What the owner is shown of another node, and the choice among those that have one agent.

use mesh_agents_core::refusal::Code;

use super::*;

fn prefers(agent: &str, peer: Option<&str>) -> PreferRequest {
    PreferRequest {
        agent_id: agent.to_owned(),
        peer: peer.map(str::to_owned),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preferred_node_is_taken_at_once_shown_and_kept_until_it_is_cleared() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let c = Peer::join(&mesh, 11, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![definition("mine")]).await;
    c.allow(b.node.key(), "echo").await;
    b.sees("echo", &a).await;
    b.sees("echo", &c).await;
    let args = json!({ "agent_id": "echo", "message": "hi", "wait_seconds": 60 });
    let send = async || b.call(Caller::local(), "send_message", args.clone()).await;
    let both = send().await.unwrap_err();
    assert_eq!(both.code, Code::InvalidArgument);

    let key = c.node.key();
    let start = key.to_string()["did:key:".len()..][..14].to_owned();
    let done = b.node.prefer(&prefers("echo", Some(&start))).await.unwrap();
    assert_eq!(
        (done.peer_id, done.before, done.changed),
        (Some(key), None, true)
    );
    let sent = send().await.unwrap();
    assert_eq!(
        (&sent["peer_id"], &sent["state"]),
        (&json!(key), &json!("completed"))
    );
    assert_eq!(
        sent["route"],
        "on \"node 1\", because you prefer it (`agents peers prefer`)"
    );
    let means = vec![OwnerLine {
        agent_id: "echo".to_owned(),
        peer_id: key,
        chosen: true,
    }];
    assert_eq!(b.node.report().owners, means);
    assert_eq!(b.node.show(&start).unwrap().means, means);
    assert_eq!(b.node.show(&a.node.key().to_string()).unwrap().means, []);
    let facts = b.engine.facts(FactKind::Owner).await.unwrap();
    assert_eq!(facts.len(), 1);

    let cleared = b.node.prefer(&prefers("echo", None)).await.unwrap();
    assert_eq!(
        (cleared.peer_id, cleared.before, cleared.changed),
        (None, Some(key), true)
    );
    assert_eq!(send().await.unwrap_err(), both);
    assert!(b.engine.facts(FactKind::Owner).await.unwrap().is_empty());
    let nothing = b.node.prefer(&prefers("echo", None)).await.unwrap();
    assert!(!nothing.changed);
    for peer in [b, a, c] {
        peer.leave(&mesh).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_that_makes_no_sense_is_refused_by_the_argument() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let c = Peer::join(&mesh, 11, vec![offered("other")]).await;
    let b = Peer::join(&mesh, 2, vec![definition("mine")]).await;
    b.sees("echo", &a).await;
    b.sees("other", &c).await;
    let (first, second) = (a.node.key().to_string(), c.node.key().to_string());
    let stranger = NodeSecret::from_seed(&[9; 32]).key().to_string();
    let refused = async |agent: &str, peer: &str| {
        let refused = b.node.prefer(&prefers(agent, Some(peer))).await;
        refused.unwrap_err().to_string()
    };
    // Two nodes of one name: both are listed.
    let several = refused("echo", "node 1").await;
    assert!(
        several.contains("argument peer: \"node 1\" means 2 nodes:"),
        "{several}"
    );
    assert!(
        several.contains(&first) && several.contains(&second),
        "{several}"
    );
    for (agent, peer, says) in [
        ("../x", &*first, "argument agent: "),
        (
            "echo",
            "z6Mk",
            "argument peer: no node is known by \"z6Mk\"",
        ),
        ("echo", "bob", "`agents peers list` shows them"),
        (
            "echo",
            &second,
            &*format!("These have an agent \"echo\":\n- peer_id {first}"),
        ),
        ("echo", &stranger, "no node of this mesh is known"),
        (
            "mine",
            &first,
            "argument agent: this node has an agent \"mine\" itself",
        ),
        ("echo", &b.node.key().to_string(), "has no agent \"echo\""),
    ] {
        let refused = refused(agent, peer).await;
        assert!(refused.contains(says), "{agent} {peer}: {refused}");
    }
    let id = AgentId::on_node(&"echo".parse().unwrap(), &first).unwrap();
    assert!(
        refused(id.as_str(), &first)
            .await
            .contains("names its node already")
    );
    assert!(b.node.report().owners.is_empty());
    for peer in [b, a, c] {
        peer.leave(&mesh).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_forgotten_is_not_known_until_it_is_met_again() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    let echo = b.sees("echo", &a).await;
    let key = a.node.key();
    let meant = |b: &Peer| b.node.meant(&"echo".parse().unwrap(), None).unwrap();
    assert_eq!(meant(&b).id, echo);
    let (seed, dir) = (1, a.leave(&mesh).await);
    assert!(b.node.forget(&key).await.unwrap());
    until(async || !b.engine.agents().contains_key(&echo)).await;
    until(async || b.engine.facts(FactKind::Node).await.unwrap().is_empty()).await;
    assert!(b.engine.facts(FactKind::Owner).await.unwrap().is_empty());
    assert!(b.node.report().nodes.is_empty());
    assert!(!b.node.forget(&key).await.unwrap(), "nothing is left of it");
    let id = format!("{:064x}", 1).parse().unwrap();
    let a = Peer::join_as(&mesh, seed, id, vec![offered("echo")], dir).await;
    b.sees("echo", &a).await;
    assert_eq!(meant(&b).why, Some(Why::Only));
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_known_of_a_node_is_shown_to_the_owner() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![offered("front"), offered("back")]).await;
    let echo = b.sees("echo", &a).await;
    let front = a.sees("front", &b).await;
    let key = a.node.key();
    a.ended(&a.send(&front, "hi").await).await;
    let list = format!("[peers.\"{key}\"]\nlabel = \"ada\"\nallow = [\"back\"]\nburst = 7\n");
    write_list(b.dir.path(), &list);
    until(async || b.node.state().acl.acl().peer(&key).is_some()).await;

    let shown = b.node.show("ada").unwrap();
    assert_eq!((shown.peer_id, shown.name.as_deref()), (key, Some("ada")));
    let heard = shown.heard.unwrap();
    assert_eq!((&*heard.name, &*heard.presence), ("node 1", "live"));
    assert_eq!(heard.mesh_peer_ids, std::slice::from_ref(&a.id));
    assert!(heard.sequence > 0 && heard.first_seen <= heard.last_contact);
    let [agent] = &heard.agents[..] else {
        panic!("{:?}", heard.agents);
    };
    assert_eq!((&*agent.agent_id, agent.card_verified), ("echo", true));
    let digest = b.node.state().cards[&echo].0;
    assert_eq!(agent.card_digest, digest);
    let rights = shown.rights;
    assert_eq!(
        (rights.listed, rights.allow, rights.burst),
        (true, vec!["back".to_owned()], 7)
    );
    let standing: Vec<_> = rights
        .agents
        .iter()
        .map(|one| (&*one.agent_id, &*one.standing))
        .collect();
    assert_eq!(standing, [("back", "allowed"), ("front", "unlisted")]);
    let knocks: Vec<_> = shown
        .knocks
        .iter()
        .map(|one| (&*one.agent_id, one.count))
        .collect();
    assert_eq!(knocks, [("front", 1)]);

    a.leave(&mesh).await;
    until(async || {
        let heard = b.node.show("ada").unwrap().heard.unwrap();
        heard.presence == "away" && heard.away_since.is_some() && heard.mesh_peer_ids.is_empty()
    })
    .await;
    b.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_new_key_is_a_new_one_that_nobody_has_let_in() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![offered("front")]).await;
    a.allow(b.node.key(), "*").await;
    a.sees("front", &b).await;
    let echo = b.sees("echo", &a).await;
    let done = b.ended(&b.send(&echo, "hi").await).await;
    assert_eq!(done.state, TaskState::Completed);

    let (old, id) = (b.node.key(), b.id.clone());
    let dir = b.stop().await;
    let b = Peer::join_as(&mesh, 12, id, vec![offered("front")], dir).await;
    let new = b.node.key();
    // Nothing is sent to a node that was not heard since the start.
    until(async || b.node.away(&a.node.key().to_string()).is_none()).await;
    let refused = b.ended(&b.send(&echo, "hi").await).await;
    let why = refused.failure.unwrap().message;
    assert!(why.contains(&format!("your node's key {new} yet")), "{why}");
    let front = a.sees("front", &b).await;
    assert_eq!(front.node(), Some(new.to_string()));
    let shown = a.node.show(&new.to_string()).unwrap();
    let replaced = format!("it answers where {old} answered before");
    assert!(shown.warnings.contains(&replaced), "{:?}", shown.warnings);
    assert_eq!(shown.knocks[0].agent_id, "echo");
    assert!(!shown.rights.listed && a.node.show(&old.to_string()).unwrap().rights.listed);
    // What it did under its old key is still its own here.
    let kept = b.engine.task(&Caller::local(), &done.id).await.unwrap();
    assert_eq!(kept.state, TaskState::Completed);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}
