//! What the owner was told is done is on disk, in the order it was done.

use super::*;

async fn owners(peer: &Peer) -> Vec<(String, String)> {
    peer.engine.facts(FactKind::Owner).await.unwrap()
}

fn prefers(agent: &str, peer: Option<&str>) -> PreferRequest {
    PreferRequest {
        agent_id: agent.to_owned(),
        peer: peer.map(str::to_owned),
    }
}

// On one thread nothing is written between two calls that do not wait.
#[tokio::test]
async fn what_was_chosen_last_is_what_the_disk_has_last() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    b.sees("echo", &a).await;
    until(async || b.node.state().unsaved.is_empty()).await;
    // A message settles what the id means, and the owner takes that back.
    b.node.meant(&"echo".parse().unwrap(), None).unwrap();
    let cleared = b.node.prefer(&prefers("echo", None)).await.unwrap();
    assert!(cleared.changed);
    assert_eq!(owners(&b).await, [], "when it is answered");
    // Everything that was noted meanwhile is written.
    b.node.0.agents.notify_one();
    b.node.save().await.unwrap();
    assert_eq!(owners(&b).await, []);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test]
async fn what_the_disk_does_not_take_is_not_said_to_be_done_and_stays_to_be_written() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    b.sees("echo", &a).await;
    b.node.meant(&"echo".parse().unwrap(), None).unwrap();
    until(async || b.node.state().unsaved.is_empty()).await;
    let key = a.node.key();
    // A disk that takes nothing any more.
    b.node.0.config.end.cancel();
    b.engine.shutdown(true).await;
    let refused = b.node.forget(&key).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(!b.node.state().unsaved.is_empty());
    let refused = b.node.prefer(&prefers("echo", None)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(!b.node.state().unsaved.is_empty());
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}
