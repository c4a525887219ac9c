//! The mesh link between a fake host and the engine's side of it, over real sockets.

mod streams;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_llm_plugin::proto::mesh_event::Kind;
use mesh_llm_plugin::proto::{
    ChannelMessage, ErrorResponse, MeshEvent, MeshPeer, OpenMeshStreamResponse, OpenStreamRequest,
    OpenStreamResponse, StreamTransportKind,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::frontend::{Frontend, FrontendConfig};
use crate::mesh_link::{
    CHANNEL, HubConfig, LocalNode, MeshHub, MeshLink as _, MeshPeerId, OpenError, PingError, ping,
};
use crate::socket::mesh_routes;

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000)
    }
}

/// An engine as far as the mesh goes: its socket and its hub.
struct Engine {
    hub: MeshHub,
    tasks: TaskTracker,
    end: CancellationToken,
    socket: PathBuf,
}

impl Engine {
    fn start(dir: &Path) -> Self {
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let hub = MeshHub::new(HubConfig {
            dir: dir.join("in"),
            in_a_run: Arc::new(|_| false),
            clock: Arc::new(Noon),
            tasks: tasks.clone(),
            end: end.clone(),
        })
        .unwrap();
        let socket = dir.join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let served = axum::serve(listener, mesh_routes(hub.clone(), None))
            .with_graceful_shutdown(end.clone().cancelled_owned());
        tasks.spawn(async move { served.await.unwrap() });
        Self {
            hub,
            tasks,
            end,
            socket,
        }
    }

    /// Ends: its connections break, and another can take its place.
    async fn die(self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // With its directory, where the world ended first.
        let _gone = std::fs::remove_file(&self.socket);
    }

    async fn linked(&self) {
        self.hub
            .linked()
            .wait_for(|linked| *linked)
            .await
            .map(drop)
            .unwrap();
    }

    async fn sees(&self, expected: &[&MeshPeerId]) {
        let seen = |peers: &crate::mesh_link::Peers| peers.keys().eq(expected.iter().copied());
        self.hub.peers().wait_for(seen).await.map(drop).unwrap();
    }
}

/// A fake host, our plugin in it, and the task that links the two to whatever engine there is.
struct World {
    host: FakeHost,
    link: JoinSet<()>,
    dir: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mesh = HostMesh::default();
        let mut host = FakeHost::start_with(Arc::new(FakeBackend::echo()), mesh.clone()).await;
        host.initialize().await;
        let frontend = frontend(dir.path());
        let mut link = JoinSet::new();
        link.spawn(async move { mesh.stay_linked(&frontend).await });
        Self { host, link, dir }
    }

    fn engine(&self) -> Engine {
        Engine::start(self.dir.path())
    }

    async fn event(&mut self, kind: Kind, peer: Option<&MeshPeerId>) {
        let event = MeshEvent {
            kind: kind.into(),
            peer: peer.map(|id| MeshPeer {
                peer_id: id.to_string(),
                role: "client\u{1b}[2J".into(),
                version: "0.78.1".into(),
                ..MeshPeer::default()
            }),
            local_peer_id: id(0).to_string(),
            mesh_id: "m-1".into(),
            detail_json: String::new(),
        };
        self.host.say(Payload::MeshEvent(event)).await;
    }

    /// A thousand messages of a peer and as many events; the host must be answered meanwhile.
    async fn flood(&mut self) {
        for n in 0..1_000 {
            self.host.say(hint(n, "changed")).await;
            self.event(Kind::PeerUpdated, Some(&id(1))).await;
        }
        let health = self.host.ask(Payload::HealthRequest(HealthRequest {}));
        assert!(matches!(health.await, Payload::HealthResponse(_)));
    }

    /// Asks the plugin to take a stream of a peer.
    async fn inbound(&mut self) -> OpenStreamResponse {
        let request = OpenStreamRequest {
            stream_id: "../../their/choice".into(),
            bidirectional: true,
            ..OpenStreamRequest::default()
        };
        match self.host.ask(Payload::OpenStreamRequest(request)).await {
            Payload::OpenStreamResponse(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// The plugin's next request for a stream to a peer.
    async fn outbound(&mut self) -> (u64, String) {
        let is_open = |envelope: &Envelope| {
            matches!(envelope.payload, Some(Payload::OpenMeshStreamRequest(_)))
        };
        match self.host.said_that(is_open).await {
            (request, Payload::OpenMeshStreamRequest(open)) => {
                assert_eq!((open.channel.as_str(), open.bidirectional), (CHANNEL, true));
                (request, open.target_peer_id)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn answer_open(&mut self, request: u64, socket: &Path) {
        let answer = OpenMeshStreamResponse {
            accepted: true,
            transport_kind: StreamTransportKind::StreamUnixSocket.into(),
            endpoint: Some(socket.display().to_string()),
            ..OpenMeshStreamResponse::default()
        };
        let answer = Payload::OpenMeshStreamResponse(answer);
        self.host.send(request, answer).await;
    }

    /// Plays a mesh of one node for one stream: what it opens comes back to it as a peer's.
    async fn loop_back(&mut self) {
        let (request, _peer) = self.outbound().await;
        let out = self.dir.path().join(format!("out-{request:x}"));
        let listener = UnixListener::bind(&out).unwrap();
        self.answer_open(request, &out).await;
        let (mut opener, _) = listener.accept().await.unwrap();
        let endpoint = self.inbound().await.endpoint.unwrap();
        let mut receiver = UnixStream::connect(endpoint).await.unwrap();
        // Either side may go first.
        let _ended = tokio::io::copy_bidirectional(&mut opener, &mut receiver).await;
    }

    fn sockets_left(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("in"))
            .unwrap()
            .count()
    }

    async fn end(mut self) {
        self.link.shutdown().await;
        self.host.ended().await.unwrap();
    }
}

fn frontend(dir: &Path) -> Frontend {
    Frontend::new(FrontendConfig {
        socket: dir.join("s"),
        start: Arc::new(|| unreachable!("the link starts no engine")),
        instance: "01A".into(),
        version: "0.0.0".into(),
    })
}

fn id(n: u32) -> MeshPeerId {
    format!("{n:064x}").parse().unwrap()
}

fn hint(n: u32, body: &str) -> Payload {
    Payload::ChannelMessage(ChannelMessage {
        channel: CHANNEL.into(),
        source_peer_id: id(n).to_string(),
        body: body.into(),
        message_kind: "hint".into(),
        ..ChannelMessage::default()
    })
}

#[tokio::test]
async fn the_host_is_asked_for_every_event_and_our_channel() {
    let mut host = FakeHost::start(Arc::new(FakeBackend::echo())).await;
    let manifest = host.initialize().await;
    let channels: Vec<_> = manifest.mesh_channels.iter().map(|one| &one.name).collect();
    assert_eq!(channels, ["mesh-agents.v1"]);
    let mut kinds: Vec<_> = manifest
        .mesh_event_subscriptions
        .iter()
        .map(|one| one.kind)
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [1, 2, 3, 4, 5, 6]);
    host.ended().await.unwrap();
}

#[tokio::test]
async fn what_the_host_says_reaches_the_engine() {
    let mut world = World::start().await;
    let engine = world.engine();
    let mut hints = engine.hub.hints();
    world.event(Kind::LocalAccepting, None).await;
    engine.linked().await;
    for n in [1, 2, 3] {
        world.event(Kind::PeerUp, Some(&id(n))).await;
    }
    world.event(Kind::PeerDown, Some(&id(2))).await;
    engine.sees(&[&id(1), &id(3)]).await;
    let local = engine.hub.local().borrow().clone().unwrap();
    assert_eq!(
        (local.mesh_peer_id, local.mesh_id.as_deref()),
        (id(0), Some("m-1"))
    );
    let peer = engine.hub.peers().borrow()[&id(1)].clone();
    assert_eq!(
        (peer.role.as_str(), peer.since),
        ("client[2J", UnixMillis(1_700_000_000_000)),
        "no control characters of others reach a terminal"
    );

    world.host.say(hint(9, "changed 7")).await;
    let heard = hints.recv().await.unwrap();
    assert_eq!((heard.from, heard.body.as_str()), (id(9), "changed 7"));
    assert!(engine.hub.hint("changed 8"));
    let is_message =
        |envelope: &Envelope| matches!(envelope.payload, Some(Payload::ChannelMessage(_)));
    match world.host.said_that(is_message).await.1 {
        Payload::ChannelMessage(message) => assert_eq!(
            (
                message.body,
                message.target_peer_id.as_str(),
                message.channel.as_str()
            ),
            (b"changed 8".to_vec(), "", CHANNEL)
        ),
        other => panic!("{other:?}"),
    }
    world.end().await;
    engine.die().await;
}

#[tokio::test]
async fn a_flood_of_messages_stalls_nothing() {
    let mut world = World::start().await;
    // First while there is no engine, then while one takes them and nobody reads.
    world.flood().await;
    let engine = world.engine();
    let _hints = engine.hub.hints();
    engine.sees(&[&id(1)]).await;
    world.flood().await;
    world.event(Kind::PeerUp, Some(&id(2))).await;
    engine.sees(&[&id(1), &id(2)]).await;
    let answer = world.host.invoke("get_agents", "{}").await;
    assert!(!answer.is_error);
    world.end().await;
    engine.die().await;
}

#[tokio::test]
async fn an_engine_that_dies_and_returns_gets_the_peers_again() {
    let mut world = World::start().await;
    let engine = world.engine();
    world.event(Kind::PeerUp, Some(&id(1))).await;
    world.event(Kind::PeerUp, Some(&id(2))).await;
    engine.sees(&[&id(1), &id(2)]).await;
    engine.die().await;
    world.event(Kind::PeerDown, Some(&id(1))).await;
    let engine = world.engine();
    engine.sees(&[&id(2)]).await;
    assert_eq!(
        engine.hub.local().borrow().clone().unwrap().mesh_peer_id,
        id(0)
    );
    let peer = id(2);
    let (answered, ()) = tokio::join!(ping(&engine.hub, &peer, "n-2"), world.loop_back());
    answered.unwrap();
    world.end().await;
    engine.die().await;
}

#[tokio::test]
async fn a_plugin_that_dies_and_returns_keeps_who_was_there_until_it_knows_better() {
    let mut world = World::start().await;
    let engine = world.engine();
    world.event(Kind::PeerUp, Some(&id(1))).await;
    world.event(Kind::PeerUp, Some(&id(2))).await;
    engine.sees(&[&id(1), &id(2)]).await;
    world.link.shutdown().await;
    engine
        .hub
        .linked()
        .wait_for(|linked| !linked)
        .await
        .unwrap();
    engine.sees(&[&id(1), &id(2)]).await;
    let refused = engine.hub.open(&id(1)).await.unwrap_err();
    assert!(matches!(refused, OpenError::NoHost), "{refused}");

    // The next one is told nothing but its own id, by the host's API (host-contract T7).
    let mesh = HostMesh::default();
    mesh.found_host(Some(id(0).as_str()));
    let frontend = frontend(world.dir.path());
    let again = mesh.clone();
    world
        .link
        .spawn(async move { again.stay_linked(&frontend).await });
    engine.linked().await;
    engine.sees(&[&id(1), &id(2)]).await;
    // One under another id is another host: who is there, it says itself.
    mesh.found_host(Some(id(5).as_str()));
    let is_new = |local: &Option<LocalNode>| {
        local
            .as_ref()
            .is_some_and(|local| local.mesh_peer_id == id(5))
    };
    engine.hub.local().wait_for(is_new).await.map(drop).unwrap();
    assert!(engine.hub.peers().borrow().is_empty());
    world.end().await;
    engine.die().await;
}

#[tokio::test]
async fn a_copy_of_the_plugin_for_one_command_never_takes_the_link() {
    let mut world = World::start().await;
    let engine = world.engine();
    world
        .host
        .invoke("cli.run", r#"{"args":[],"cwd":"/w"}"#)
        .await;
    assert!(engine.hub.claim().is_some(), "nobody has claimed the link");
    assert!(!*engine.hub.linked().borrow());
    world.event(Kind::MeshIdUpdated, None).await;
    engine.linked().await;
    assert!(engine.hub.claim().is_none());
    // Nor does another host on the same data directory.
    let refusal = frontend(world.dir.path()).link().await.unwrap_err();
    assert!(refusal.to_string().contains("--data-dir"), "{refusal}");
    world.end().await;
    engine.die().await;
}
