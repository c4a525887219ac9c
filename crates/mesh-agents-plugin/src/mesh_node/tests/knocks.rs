//! Who asked in vain is shown until the owner has decided.

use super::*;

/// The keys the owner is shown.
fn knocking(peer: &Peer) -> Vec<NodeKey> {
    let knocks = peer.node.report().knocks;
    knocks.iter().map(|knock| knock.peer_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_let_in_or_denied_no_longer_asks_in_vain() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let mut callers = Vec::new();
    for number in [2, 3, 4] {
        let caller = Peer::join(&mesh, number, vec![]).await;
        let echo = caller.sees("echo", &a).await;
        let refused = caller.ended(&caller.send(&echo, "hello").await).await;
        assert_eq!(refused.state, TaskState::Failed);
        callers.push((caller, echo));
    }
    let keys: Vec<_> = callers
        .iter()
        .map(|(caller, _)| caller.node.key())
        .collect();
    assert_eq!(knocking(&a).len(), 3);

    let list = format!(
        "[peers.\"{}\"]\nallow = [\"echo\"]\n[peers.\"{}\"]\ndeny = [\"echo\"]\n",
        keys[0], keys[1]
    );
    write_list(a.dir.path(), &list);
    until(async || a.node.state().acl.acl().peer(&keys[1]).is_some()).await;
    assert_eq!(
        knocking(&a),
        [keys[2]],
        "the one of whom nothing is decided"
    );

    // And one that is denied is not shown as one to let in when it comes again.
    let (denied, echo) = &callers[1];
    let refused = denied.ended(&denied.send(echo, "hello").await).await;
    assert_eq!(refused.state, TaskState::Failed);
    assert_eq!(knocking(&a), [keys[2]]);
    for (caller, _) in callers {
        caller.leave(&mesh).await;
    }
    a.leave(&mesh).await;
}
