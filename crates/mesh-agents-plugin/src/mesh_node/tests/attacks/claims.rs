//! Nodes that pretend to be another, or to be one at another time.

use axum::http::header;
use axum::routing::get;
use tokio::io::copy_bidirectional;

use super::*;
use crate::mesh_link::Incoming as Stream;
use crate::mesh_node::serve::ADVERT;

#[tokio::test(start_paused = true)]
async fn a_handshake_passed_on_by_a_third_node_opens_nothing() {
    let mesh = MemoryMesh::default();
    let a2a = Router::new().fallback(|| async { "called" });
    let owner = Bare::idle(&mesh, 1).begin(EVERYBODY, a2a).await;
    let (relay, caller) = (Bare::idle(&mesh, 2), Bare::idle(&mesh, 3));
    let mut incoming = relay.node.link().incoming();
    let relayed = async {
        let arrived = patient("a stream", incoming.recv()).await;
        let Stream { mut stream, .. } = arrived.unwrap();
        let mut onward = relay.raw(&owner.id).await;
        let passed_on = copy_bidirectional(&mut stream, &mut onward);
        let _ends = patient("the end of what is passed on", passed_on).await;
    };
    let opened = async {
        let refused = caller.opens(&relay.id).await.unwrap_err();
        assert!(!refused.to_string().is_empty());
    };
    tokio::join!(relayed, opened);
    // Directly, it is let in.
    until(async || caller.gets(&owner.id, "/a2a/agents/echo").await.0 == 200).await;
    owner.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_recorded_handshake_opens_nothing_again() {
    let mesh = MemoryMesh::default();
    let owner = Bare::owner(&mesh, 1).await;
    let (wire, caller) = (Bare::idle(&mesh, 2), Bare::idle(&mesh, 3));
    // Whoever carries the bytes: it is asked for the owner's peer id and sees what the caller says.
    let mut said = Vec::new();
    {
        let mut stream = wire.raw(&owner.id).await;
        let whom = Whom {
            peer_id: owner.id.clone(),
            key: None,
        };
        let here = caller.node.here().unwrap();
        let secret = &caller.node.0.config.secret;
        let (initiator, hello) =
            mesh_agents_mesh::handshake::Initiator::begin(secret, [5; 32], &here, whom);
        stream.write_all(&hello).await.unwrap();
        let mut welcome = Vec::new();
        while !welcome.ends_with(b"\n") {
            let byte = patient("the welcome", stream.read_u8()).await;
            welcome.push(byte.unwrap());
        }
        let (proof, _) = initiator.finish(&welcome).unwrap();
        let get = format!("GET {ADVERT} HTTP/1.1\r\nhost: mesh\r\n\r\n");
        for bytes in [proof.as_slice(), get.as_bytes()] {
            stream.write_all(bytes).await.unwrap();
            said.extend_from_slice(bytes);
        }
        let mut status = [0; 15];
        let head = patient("the advert", stream.read_exact(&mut status));
        head.await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200 OK");
        said.splice(0..0, hello);
    }
    let mut stream = wire.raw(&owner.id).await;
    stream.write_all(&said).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.contains("welcome"), "{answer}");
    assert!(answer.contains("refused"), "{answer}");
    assert!(!answer.contains("HTTP"), "{answer}");
    owner.leave(&mesh).await;
}

/// A node that answers every pull with these bytes.
async fn answering(mesh: &MemoryMesh, number: u8, advert: String) -> Bare {
    let json = [(header::CONTENT_TYPE, "application/json")];
    let app = Router::new().route(ADVERT, get(move || async move { (json, advert) }));
    Bare::idle(mesh, number).answers(app).await
}

#[tokio::test(start_paused = true)]
async fn an_advert_sent_again_by_another_is_nobody_s() {
    let mesh = MemoryMesh::default();
    let (owner, caller) = (Bare::owner(&mesh, 1).await, Bare::idle(&mesh, 3));
    until(async || caller.gets(&owner.id, ADVERT).await.0 == 200).await;
    let advert = caller.gets(&owner.id, ADVERT).await.1;
    let thief = answering(&mesh, 2, advert).await;
    let victim = Bare::owner(&mesh, 4).await;
    until(async || victim.knows(owner.node.key()) == ["echo"]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(victim.knows(thief.node.key()).is_empty());
    let report = victim.node.report();
    let line = report
        .nodes
        .iter()
        .find(|line| line.peer_id == owner.node.key());
    assert_eq!(line.unwrap().mesh_peer_ids, std::slice::from_ref(&owner.id));
    for node in [thief, victim, owner] {
        node.leave(&mesh).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_advert_of_the_same_node_changes_nothing() {
    let mesh = MemoryMesh::default();
    let (owner, caller) = (Bare::owner(&mesh, 1).await, Bare::idle(&mesh, 3));
    let victim = Bare::owner(&mesh, 4).await;
    until(async || victim.knows(owner.node.key()) == ["echo"]).await;
    let old = caller.gets(&owner.id, ADVERT).await.1;
    owner.node.set_local(agents_of(vec![offered("other")]));
    until(async || victim.knows(owner.node.key()) == ["other"]).await;
    let key = owner.node.key();
    owner.leave(&mesh).await;
    let again = answering(&mesh, 1, old).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(victim.knows(key), ["other"]);
    again.leave(&mesh).await;
    victim.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn another_key_at_a_known_peer_is_another_node_and_said_so() {
    let mesh = MemoryMesh::default();
    let (owner, victim) = (Bare::owner(&mesh, 1).await, Bare::owner(&mesh, 4).await);
    let key = owner.node.key();
    until(async || victim.knows(key) == ["echo"]).await;
    // The host is the same, and another engine answers there.
    owner.node.0.config.end.cancel();
    let id = owner.id.clone();
    let other = Bare::made(&mesh, 2, |mut config| {
        mesh.leave(&peer_id(2));
        config.link = Arc::new(mesh.join(&id));
        config
    });
    let other = Bare { id, ..other }.begin("", Router::new()).await;
    soon(async || victim.knows(other.node.key()) == ["echo"]).await;
    let report = victim.node.report();
    let line = |key| report.nodes.iter().find(|line| line.peer_id == key);
    let warned = line(other.node.key()).unwrap();
    assert!(
        warned
            .warnings
            .iter()
            .any(|one| one.contains(&key.to_string())),
        "{warned:?}"
    );
    assert_eq!(line(key).unwrap().presence, "away");
    // Calls meant for the first one do not reach it.
    assert!(victim.node.dial(&key.to_string()).await.is_err());
    other.leave(&mesh).await;
    victim.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn two_nodes_with_one_key_are_shown_and_not_called() {
    let mesh = MemoryMesh::default();
    let (one, victim) = (Bare::owner(&mesh, 1).await, Bare::owner(&mesh, 4).await);
    let key = one.node.key();
    let copy = Bare::made(&mesh, 2, |config| MeshNodeConfig {
        secret: NodeSecret::from_seed(&[1; 32]),
        ..config
    });
    let copy = copy.begin("", Router::new()).await;
    soon(async || {
        let report = victim.node.report();
        let line = report.nodes.iter().find(|line| line.peer_id == key);
        line.is_some_and(|line| line.mesh_peer_ids.len() == 2)
    })
    .await;
    let error = victim.node.dial(&key.to_string()).await.err().unwrap();
    assert!(error.to_string().contains("used by 2 nodes"), "{error}");
    assert!(victim.node.away(&key.to_string()).is_some());
    copy.leave(&mesh).await;
    soon(async || victim.node.dial(&key.to_string()).await.is_ok()).await;
    one.leave(&mesh).await;
    victim.leave(&mesh).await;
}

/// A wall clock that is off.
#[derive(Debug)]
struct Off(i64);

impl Clock for Off {
    fn now(&self) -> UnixMillis {
        UnixMillis(Wall.now().0 + self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_an_hour_off_is_told_and_five_minutes_are_nothing() {
    let mesh = MemoryMesh::default();
    let hour = 3_600_000;
    let off = async |number, millis| {
        let made = Bare::made(&mesh, number, |config| MeshNodeConfig {
            clock: Arc::new(Off(millis)),
            ..config
        });
        made.begin("", Router::new()).await
    };
    let (early, late) = (off(1, -hour).await, off(2, hour).await);
    let near = off(3, -290_000).await;
    let victim = Bare::owner(&mesh, 4).await;
    until(async || victim.knows(near.node.key()) == ["echo"]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    for node in [early, late] {
        assert!(victim.knows(node.node.key()).is_empty());
        assert!(
            victim
                .node
                .dial(&node.node.key().to_string())
                .await
                .is_err()
        );
        node.leave(&mesh).await;
    }
    near.leave(&mesh).await;
    victim.leave(&mesh).await;
}
