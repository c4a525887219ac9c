//! The plugin's side of the mesh: what the host says of it, kept for the engine.
//!
//! The host's messages are handled one at a time, in front of everything else it sends, and any peer
//! can flood us with them (host-contract T6): so the handlers here only note what was said. Who is
//! there is kept as a state, of which a flood changes nothing but the same entry; hints go through a
//! queue that drops. [`link`] carries both to the engine.

mod link;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mesh_llm_plugin::proto::mesh_event::Kind;
use mesh_llm_plugin::proto::{
    ChannelMessage, MeshChannelManifest, MeshEvent, MeshEventSubscriptionManifest,
    OpenStreamResponse, StreamTransportKind,
};
use mesh_llm_plugin::{MeshVisibility, PluginContext};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::frontend::Frontend;
use crate::mesh_link::line::PeerLine;
use crate::mesh_link::{CHANNEL, HINT_BYTES, Hint, LocalNode, MAX_PEERS, MeshPeerId};

/// What a message on our channel is, when it is a hint.
const HINT_KIND: &str = "hint";
/// Hints on their way to the engine. Fewer than the engine queues: it is the slower one to notice.
const HINTS: usize = 64;
/// Streams of peers that wait for the engine's socket.
const INBOUND: usize = 64;
/// How long a peer's stream waits for an engine: longer than a new one takes to start, far shorter
/// than the 30 s after which the host kills us (host-contract T3).
const INBOUND_LIMIT: Duration = Duration::from_secs(5);
/// Characters kept of what a peer says about itself.
const WORDS: usize = 80;

/// What the host told of the mesh. Cheap to clone; one per plugin process.
#[derive(Clone)]
pub struct HostMesh {
    shared: Arc<Shared>,
}

struct Shared {
    known: Mutex<Known>,
    changed: Notify,
    /// Whether this is the plugin of a node, and not a copy the host starts for one command: that one
    /// is never told of the mesh (host-contract T20), and must not take the node's link.
    of_a_node: watch::Sender<bool>,
    context: OnceLock<PluginContext<'static>>,
    hints: mpsc::Sender<Hint>,
    inbound: mpsc::Sender<Inbound>,
    queues: tokio::sync::Mutex<Queues>,
    dropped: AtomicU64,
    /// Whether anybody can join the mesh, as the host said at the start.
    public: AtomicBool,
}

/// What [`link`] takes from.
struct Queues {
    hints: mpsc::Receiver<Hint>,
    inbound: mpsc::Receiver<Inbound>,
}

/// A stream of a peer that wants a socket of the engine, or the reason why there is none.
type Inbound = oneshot::Sender<Result<PathBuf, String>>;

/// The mesh as heard, and what of it the engine has not heard yet.
#[derive(Debug, Default)]
struct Known {
    local: Option<LocalNode>,
    peers: BTreeMap<MeshPeerId, PeerLine>,
    news: News,
}

#[derive(Debug, Default)]
struct News {
    local: bool,
    peers: BTreeSet<MeshPeerId>,
}

impl fmt::Debug for HostMesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostMesh").finish_non_exhaustive()
    }
}

impl Default for HostMesh {
    fn default() -> Self {
        let (hints, hints_queue) = mpsc::channel(HINTS);
        let (inbound, inbound_queue) = mpsc::channel(INBOUND);
        Self {
            shared: Arc::new(Shared {
                known: Mutex::default(),
                changed: Notify::new(),
                of_a_node: watch::Sender::new(false),
                context: OnceLock::new(),
                hints,
                inbound,
                queues: tokio::sync::Mutex::new(Queues {
                    hints: hints_queue,
                    inbound: inbound_queue,
                }),
                dropped: AtomicU64::new(0),
                public: AtomicBool::new(true),
            }),
        }
    }
}

impl HostMesh {
    /// The host of this process was found, and so it is a node's; `mesh_peer_id` is its own id as its
    /// API says. After a restart of the plugin alone nothing else tells (host-contract T7).
    pub fn found_host(&self, mesh_peer_id: Option<&str>) {
        if let Some(id) = mesh_peer_id {
            self.note_local(id, "");
        }
        self.shared.of_a_node.send_replace(true);
    }

    /// Waits until it is sure that this is the plugin of a node, and not a copy for one command.
    pub async fn of_a_node(&self) {
        let mut of_a_node = self.shared.of_a_node.subscribe();
        // The sender lives as long as `self`.
        let _known = of_a_node.wait_for(|known| *known).await;
    }

    /// Keeps this process linked to whatever engine runs, for as long as it is polled. Starts none:
    /// whoever keeps an engine running for this plugin does that.
    pub async fn stay_linked(&self, frontend: &Frontend) {
        self.of_a_node().await;
        link::stay(&self.shared, frontend).await;
    }

    /// The connection to the host is up.
    pub(super) fn connected(&self, context: PluginContext<'static>) {
        // A second initialize has the same connection behind it.
        let _again = self.shared.context.set(context);
    }

    /// Notes an event.
    pub(super) fn event(&self, event: &MeshEvent) {
        self.note_local(&event.local_peer_id, &event.mesh_id);
        self.shared.of_a_node.send_if_modified(|known| {
            let first = !*known;
            *known = true;
            first
        });
        let Some(peer) = &event.peer else { return };
        let Ok(id) = peer.peer_id.parse::<MeshPeerId>() else {
            return;
        };
        let mut known = self.shared.known();
        let ours = known.local.as_ref();
        if ours.is_some_and(|local| local.mesh_peer_id == id) {
            return;
        }
        match event.kind() {
            Kind::PeerDown => {
                known.peers.remove(&id);
            }
            Kind::PeerUp | Kind::PeerUpdated => {
                if !known.peers.contains_key(&id) && known.peers.len() >= MAX_PEERS {
                    drop(known);
                    self.dropped("a peer over the limit");
                    return;
                }
                let line = PeerLine {
                    mesh_peer_id: id.clone(),
                    role: words(&peer.role),
                    version: words(&peer.version),
                };
                known.peers.insert(id.clone(), line);
            }
            _ => return,
        }
        known.news.peers.insert(id);
        drop(known);
        self.shared.changed.notify_one();
    }

    /// Notes a message on a channel. Whoever it says it is from may not have sent it.
    pub(super) fn message(&self, message: ChannelMessage) {
        if message.channel != CHANNEL || message.message_kind != HINT_KIND {
            return;
        }
        let hint = message
            .source_peer_id
            .parse()
            .ok()
            .filter(|_| message.body.len() <= HINT_BYTES)
            .zip(String::from_utf8(message.body).ok());
        let taken = hint.is_some_and(|(from, body)| {
            let hint = Hint { from, body };
            self.shared.hints.try_send(hint).is_ok()
        });
        if !taken {
            self.dropped("a hint");
        }
    }

    /// Has the engine take a stream of a peer.
    pub(super) async fn open_stream(&self, stream_id: String) -> OpenStreamResponse {
        // Only a node's plugin is asked for streams.
        self.shared.of_a_node.send_replace(true);
        let (ask, answer) = oneshot::channel();
        let socket = match self.shared.inbound.try_send(ask) {
            Err(_full) => Err("too many streams wait for the engine".to_owned()),
            Ok(()) => match tokio::time::timeout(INBOUND_LIMIT, answer).await {
                Ok(Ok(socket)) => socket,
                Ok(Err(_dropped)) => Err("the engine went away".to_owned()),
                Err(_elapsed) => Err("no engine takes it".to_owned()),
            },
        };
        let refused = |why: String| OpenStreamResponse {
            stream_id: stream_id.clone(),
            accepted: false,
            message: Some(why),
            ..OpenStreamResponse::default()
        };
        match socket {
            Ok(socket) => match socket.into_os_string().into_string() {
                Ok(endpoint) => OpenStreamResponse {
                    stream_id: stream_id.clone(),
                    accepted: true,
                    transport_kind: StreamTransportKind::StreamUnixSocket.into(),
                    endpoint: Some(endpoint),
                    ..OpenStreamResponse::default()
                },
                Err(_) => refused("the engine's directory has no name the host can read".into()),
            },
            Err(why) => refused(why),
        }
    }

    /// What kind of mesh the host is in; told once, before all else.
    pub(super) fn visibility(&self, visibility: MeshVisibility) {
        let public = visibility != MeshVisibility::Private;
        self.shared.public.store(public, Ordering::Relaxed);
    }

    fn note_local(&self, mesh_peer_id: &str, mesh_id: &str) {
        let Ok(mesh_peer_id) = mesh_peer_id.parse::<MeshPeerId>() else {
            return;
        };
        let mut known = self.shared.known();
        let before = known.local.clone();
        let mesh_id = Some(words(mesh_id)).filter(|id| !id.is_empty());
        let local = LocalNode {
            mesh_id: mesh_id.or_else(|| before.as_ref()?.mesh_id.clone()),
            mesh_peer_id,
            public: self.shared.public.load(Ordering::Relaxed),
        };
        if before.as_ref() == Some(&local) {
            return;
        }
        known.local = Some(local);
        known.news.local = true;
        drop(known);
        self.shared.changed.notify_one();
    }

    fn dropped(&self, what: &str) {
        let before = self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        // A flood is told once per thousand.
        if before.is_multiple_of(1000) {
            tracing::warn!(
                dropped = before + 1,
                what,
                "the mesh says more than is kept"
            );
        }
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What somebody else chose, fit to be shown on a terminal.
fn words(text: &str) -> String {
    let plain = |c: &char| !c.is_control();
    text.chars().filter(plain).take(WORDS).collect()
}

/// What the manifest says of the mesh: our channel, and every kind of event. Each may be the only one
/// for a long time that tells our own id.
pub(super) fn manifest() -> (Vec<MeshChannelManifest>, Vec<MeshEventSubscriptionManifest>) {
    let channel = MeshChannelManifest {
        name: CHANNEL.to_owned(),
    };
    let kinds = [
        Kind::PeerUp,
        Kind::PeerDown,
        Kind::PeerUpdated,
        Kind::LocalAccepting,
        Kind::LocalStandby,
        Kind::MeshIdUpdated,
    ];
    let subscribe = |kind: Kind| MeshEventSubscriptionManifest { kind: kind.into() };
    (vec![channel], kinds.map(subscribe).into())
}
