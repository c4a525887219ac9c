//! The mesh, as the engine reaches it: peers, streams to and from them, hints (DESIGN §3).
//!
//! The engine is no plugin; the plugin process of a mesh-llm host is, and keeps a link to the
//! engine ([`line`]: JSON lines over an upgraded connection). Over it travel who is there and what
//! is asked; the bytes of a mesh stream do not: the host and the engine connect to each other's
//! sockets. [`MeshLink`] is what the rest of the engine sees of it, [`MeshHub`] is its real form.
//!
//! Nothing a peer says about itself is believed here. Opening *to* a peer id is authenticated by
//! the host; being opened is not (host-contract T12), and a hint's source is a claim (T13).

mod hub;
pub mod line;
#[cfg(test)]
pub(crate) mod memory;
mod ping;
mod stream;
mod traffic;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mesh_agents_core::clock::UnixMillis;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

pub use mesh_agents_mesh::MeshPeerId;

pub use hub::{Claim, HubConfig, MeshHub};
pub use ping::{PingError, ping};
pub use stream::MeshStream;
pub use traffic::Traffic;

/// The mesh channel both ends declare: hints travel on it, streams are opened for it.
pub const CHANNEL: &str = "mesh-agents.v1";
/// Longest body of a hint, in bytes: it says that something changed, not what.
pub const HINT_BYTES: usize = 512;
/// Most peers a node keeps (DESIGN §6).
pub const MAX_PEERS: usize = 2_000;

/// This node's host on the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalNode {
    /// Its id there.
    pub mesh_peer_id: MeshPeerId,
    /// The mesh it is in, once the host said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_id: Option<String>,
    /// Whether anybody can join that mesh. So it is taken to be when nothing was said.
    #[serde(default = "anybody")]
    pub public: bool,
}

fn anybody() -> bool {
    true
}

/// Another host on the mesh, as ours reports it. That it is listed does not mean that it can be
/// reached, nor that it has our plugin (host-contract T15); a killed one stays for 45 s (T14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPeer {
    /// Its id.
    pub mesh_peer_id: MeshPeerId,
    /// What it does there, in the host's words, such as `client`.
    pub role: String,
    /// Version of its host.
    pub version: String,
    /// When this engine first heard of it, since it was last away.
    pub since: UnixMillis,
}

/// The live peers, by id.
pub type Peers = Arc<BTreeMap<MeshPeerId, HostPeer>>;

/// A line some peer sent to all: "something changed".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Who is said to have sent it. Not authenticated.
    pub from: MeshPeerId,
    /// What it said, at most [`HINT_BYTES`].
    pub body: String,
}

/// A stream some peer opened; who, only a handshake can tell. Its first line has come already.
#[derive(Debug)]
pub struct Incoming {
    /// The stream, from its first byte.
    pub stream: MeshStream,
    /// When the host asked for it.
    pub opened_at: UnixMillis,
}

/// Why a stream to a peer could not be opened. Nothing was sent on it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No plugin of a host is there.
    #[error("this engine is not connected to a mesh-llm host; start one with this plugin")]
    NoHost,
    /// The plugin or its host went away meanwhile.
    #[error("the connection to the mesh-llm host was lost; try again")]
    Lost,
    /// Too many are being opened.
    #[error("too many streams are being opened at once; try again")]
    Busy,
    /// The host says no.
    #[error("the mesh-llm host cannot reach {peer}: {why}")]
    Refused {
        /// The peer.
        peer: MeshPeerId,
        /// The host's words.
        why: String,
    },
    /// No answer.
    #[error("the mesh-llm host did not open a stream to {peer} within {} s", limit.as_secs())]
    TimedOut {
        /// The peer.
        peer: MeshPeerId,
        /// How long it had.
        limit: Duration,
    },
    /// Its socket.
    #[error("the mesh-llm host's socket cannot be reached: {0}")]
    Connect(#[source] io::Error),
}

/// The engine's way to the mesh. The real one is [`MeshHub`]; tests bring their own.
pub trait MeshLink: Send + Sync + fmt::Debug {
    /// Whether a host is connected now.
    fn linked(&self) -> watch::Receiver<bool>;
    /// Our own host. What was heard last stays when the link is lost.
    fn local(&self) -> watch::Receiver<Option<LocalNode>>;
    /// The live peers. What was heard last stays while a link is away, and is forgotten when a new
    /// one does not confirm it.
    fn peers(&self) -> watch::Receiver<Peers>;
    /// Opens a stream to a peer, listed or not. A peer without our plugin, or one that refuses,
    /// shows as the stream's end at the first read.
    fn open<'a>(&'a self, peer: &'a MeshPeerId) -> BoxFuture<'a, Result<MeshStream, OpenError>>;
    /// Streams from peers, from now on; whoever asked before gets no more. While nobody takes them
    /// they are refused. Pings are answered without being shown.
    fn incoming(&self) -> mpsc::Receiver<Incoming>;
    /// Tells all directly connected peers that something changed; `body` has at most [`HINT_BYTES`].
    /// `false` when it did not leave. Arrival is not reported either way.
    fn hint(&self, body: &str) -> bool;
    /// Hints of peers, from now on; whoever asked before gets no more. They are dropped where they
    /// come faster than they are taken.
    fn hints(&self) -> mpsc::Receiver<Hint>;
}
