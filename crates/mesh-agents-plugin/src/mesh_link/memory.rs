//! A mesh inside one process, for tests: nodes that open streams to each other without a host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_agents_core::clock::UnixMillis;
use tokio::io::{AsyncWriteExt as _, copy};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{
    Hint, HostPeer, Incoming, LocalNode, MeshLink, MeshPeerId, MeshStream, OpenError, Peers,
};

/// As many as a test ever has in flight.
const QUEUE: usize = 1024;

/// The mesh. Every node that joins sees the others at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryMesh {
    nodes: Arc<Mutex<BTreeMap<MeshPeerId, Node>>>,
    lines: Arc<Mutex<Lines>>,
}

/// What can be cut between nodes.
#[derive(Debug, Default)]
struct Lines {
    /// Nodes no line leads to or from.
    cut: BTreeSet<MeshPeerId>,
    /// Both ends of every stream there was, and what breaks it.
    streams: Vec<([MeshPeerId; 2], CancellationToken)>,
    /// Owns what carries the bytes.
    carriers: TaskTracker,
}

#[derive(Debug)]
struct Node {
    linked: watch::Sender<bool>,
    peers: watch::Sender<Peers>,
    incoming: Option<mpsc::Sender<Incoming>>,
    hints: Option<mpsc::Sender<Hint>>,
}

/// One node's way to the others.
#[derive(Debug)]
pub(crate) struct MemoryLink {
    mesh: MemoryMesh,
    id: MeshPeerId,
}

impl MemoryMesh {
    /// A node joins.
    pub(crate) fn join(&self, id: &MeshPeerId) -> MemoryLink {
        let node = Node {
            linked: watch::Sender::new(true),
            peers: watch::Sender::default(),
            incoming: None,
            hints: None,
        };
        self.nodes().insert(id.clone(), node);
        self.tell();
        MemoryLink {
            mesh: self.clone(),
            id: id.clone(),
        }
    }

    /// The link of a node to its host breaks, or is there again.
    pub(crate) fn set_linked(&self, id: &MeshPeerId, linked: bool) {
        if let Some(node) = self.nodes().get(id) {
            node.linked.send_replace(linked);
        }
    }

    /// A node goes.
    pub(crate) fn leave(&self, id: &MeshPeerId) {
        self.nodes().remove(id);
        self.tell();
    }

    /// Cuts a node off: its streams break, nobody sees it, and it sees nobody.
    pub(crate) fn cut(&self, id: &MeshPeerId) {
        {
            let mut lines = self.lines();
            lines.cut.insert(id.clone());
            lines.streams.retain(|(ends, cut)| {
                let broken = ends.contains(id);
                if broken {
                    cut.cancel();
                }
                !broken
            });
        }
        self.tell();
    }

    /// Mends what [`Self::cut`] cut.
    pub(crate) fn mend(&self, id: &MeshPeerId) {
        self.lines().cut.remove(id);
        self.tell();
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<MeshPeerId, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        let cut = self.lines().cut.clone();
        let nodes = self.nodes();
        for (id, node) in nodes.iter() {
            let seen =
                |other: &&MeshPeerId| *other != id && !cut.contains(*other) && !cut.contains(id);
            let others = nodes.keys().filter(seen);
            let peers = others.map(|other| {
                let peer = HostPeer {
                    mesh_peer_id: other.clone(),
                    role: "client".into(),
                    version: "0".into(),
                    since: UnixMillis(0),
                };
                (other.clone(), peer)
            });
            node.peers.send_replace(Arc::new(peers.collect()));
        }
    }
}

impl MemoryLink {
    fn of<T>(&self, look: impl FnOnce(&mut Node) -> T) -> Option<T> {
        self.mesh.nodes().get_mut(&self.id).map(look)
    }
}

/// Carries bytes both ways until both sides have ended. Each way is for itself: what the one side said before it went is
/// still heard when the other can no longer be understood.
async fn carry(here: UnixStream, there: UnixStream) {
    let ((mut from, mut to), (mut back, mut forth)) = (here.into_split(), there.into_split());
    let there = async {
        let _broken = copy(&mut from, &mut forth).await;
        let _gone = forth.shutdown().await;
    };
    let here = async {
        let _broken = copy(&mut back, &mut to).await;
        let _gone = to.shutdown().await;
    };
    tokio::join!(there, here);
}

impl MeshLink for MemoryLink {
    fn linked(&self) -> watch::Receiver<bool> {
        let linked = self.of(|node| node.linked.subscribe());
        linked.unwrap_or_else(|| watch::Sender::default().subscribe())
    }

    fn local(&self) -> watch::Receiver<Option<LocalNode>> {
        let local = LocalNode {
            mesh_peer_id: self.id.clone(),
            mesh_id: Some("memory".into()),
            public: false,
        };
        watch::Sender::new(Some(local)).subscribe()
    }

    fn peers(&self) -> watch::Receiver<Peers> {
        let peers = self.of(|node| node.peers.subscribe());
        peers.unwrap_or_else(|| watch::Sender::default().subscribe())
    }

    fn open<'a>(&'a self, peer: &'a MeshPeerId) -> BoxFuture<'a, Result<MeshStream, OpenError>> {
        let refused = || OpenError::Refused {
            peer: peer.clone(),
            why: "target peer is not routable".into(),
        };
        let opened = || {
            let mut lines = self.mesh.lines();
            if [peer, &self.id].iter().any(|end| lines.cut.contains(end)) {
                return Err(refused());
            }
            let pair = || UnixStream::pair().map_err(OpenError::Connect);
            let ((near, here), (there, far)) = (pair()?, pair()?);
            let ends = [peer.clone(), self.id.clone()];
            let cut = CancellationToken::new();
            lines.streams.push((ends, cut.clone()));
            lines.carriers.spawn(async move {
                tokio::select! {
                    () = carry(here, there) => {}
                    () = cut.cancelled() => {}
                }
            });
            drop(lines);
            let nodes = self.mesh.nodes();
            let there = nodes.get(peer).ok_or_else(refused)?;
            if let Some(incoming) = &there.incoming {
                let stream = MeshStream::from(far);
                let opened_at = UnixMillis(0);
                // Full is refused, and refused is the end of the stream, as on a real mesh.
                let _full = incoming.try_send(Incoming { stream, opened_at });
            }
            Ok(MeshStream::from(near))
        };
        std::future::ready(opened()).boxed()
    }

    fn incoming(&self) -> mpsc::Receiver<Incoming> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.of(|node| node.incoming = Some(sender));
        receiver
    }

    fn hint(&self, body: &str) -> bool {
        let nodes = self.mesh.nodes();
        if !nodes.get(&self.id).is_some_and(|own| *own.linked.borrow()) {
            return false;
        }
        for (_, node) in nodes.iter().filter(|(id, _)| **id != self.id) {
            if let Some(hints) = &node.hints {
                let from = self.id.clone();
                let body = body.to_owned();
                let _full = hints.try_send(Hint { from, body });
            }
        }
        true
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.of(|node| node.hints = Some(sender));
        receiver
    }
}

#[tokio::test]
async fn nodes_in_memory_behave_as_on_a_mesh() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (a, b): (MeshPeerId, MeshPeerId) = (
        "a".repeat(64).parse().unwrap(),
        "b".repeat(64).parse().unwrap(),
    );
    let mesh = MemoryMesh::default();
    let (link_a, link_b) = (mesh.join(&a), mesh.join(&b));
    assert!(link_a.peers().borrow().keys().eq([&b]));
    let (mut incoming, mut hints) = (link_b.incoming(), link_b.hints());
    let mut near = link_a.open(&b).await.unwrap();
    near.write_all(b"hello\n").await.unwrap();
    let mut far = incoming.recv().await.unwrap().stream;
    let mut text = [0; 6];
    far.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"hello\n");
    assert!(link_a.hint("changed"));
    assert_eq!(hints.recv().await.unwrap().from, a);
    mesh.leave(&b);
    assert!(link_a.peers().borrow().is_empty());
    assert!(link_a.open(&b).await.is_err());
}
