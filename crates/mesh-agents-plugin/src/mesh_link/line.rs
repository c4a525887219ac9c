//! The lines of the mesh link: one JSON object each, with a `type`.
//!
//! Either side ignores a type it does not know, so that a newer plugin works with an older engine.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{LocalNode, MeshPeerId};

/// What the `Upgrade` header of the link's request names.
pub const UPGRADE: &str = "mesh-agents-link";
/// Where the link is asked for.
pub const PATH: &str = "/engine/v1/mesh/link";
/// Longest line either side takes: a full batch of peers with the longest names.
pub const LINE_BYTES: usize = 64 * 1024;
/// Peers in one line.
pub const PEERS_PER_LINE: usize = 50;
/// How often the engine gives a sign of life.
pub const BEAT: Duration = Duration::from_secs(15);
/// An engine silent for longer hangs.
pub const SILENCE: Duration = Duration::from_secs(45);
/// A side that does not take a line for so long is given up.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// What the plugin says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromPlugin {
    /// Its own host.
    Local(LocalNode),
    /// Peers that came or changed, and peers that went.
    Peers {
        /// Those that are there.
        up: Vec<PeerLine>,
        /// Those that went.
        down: Vec<MeshPeerId>,
    },
    /// A hint of a peer.
    Hint {
        /// Who is said to have sent it.
        from: MeshPeerId,
        /// What it said.
        body: String,
    },
    /// A peer wants a stream to us. Answered by `Accept` or `Refuse`.
    Inbound {
        /// Which.
        id: u64,
    },
    /// Answers `Open`: a socket of the host, to be connected to once.
    Opened {
        /// Which.
        id: u64,
        /// The socket.
        socket: PathBuf,
    },
    /// Answers `Open`.
    NotOpened {
        /// Which.
        id: u64,
        /// The host's words.
        why: String,
    },
    /// Something newer than this program.
    #[serde(other)]
    Unknown,
}

/// A peer as the host describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLine {
    /// Its id.
    pub mesh_peer_id: MeshPeerId,
    /// What it does.
    #[serde(default)]
    pub role: String,
    /// Version of its host.
    #[serde(default)]
    pub version: String,
}

/// What the engine says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromEngine {
    /// A sign of life.
    Beat,
    /// Open a stream to a peer. Answered by `Opened` or `NotOpened`.
    Open {
        /// Which.
        id: u64,
        /// To whom.
        mesh_peer_id: MeshPeerId,
    },
    /// Tell all peers.
    Hint {
        /// What.
        body: String,
    },
    /// Answers `Inbound`: a socket of the engine, good for one connection within 5 s.
    Accept {
        /// Which.
        id: u64,
        /// The socket.
        socket: PathBuf,
    },
    /// Answers `Inbound`.
    Refuse {
        /// Which.
        id: u64,
        /// Why.
        why: String,
    },
    /// Something newer than this program.
    #[serde(other)]
    Unknown,
}

/// Writes one line, in one piece.
///
/// # Errors
/// When the other side is gone or does not read.
pub(crate) async fn write<W, T>(to: &mut W, line: &T) -> std::io::Result<()>
where
    W: AsyncWrite + Unpin,
    T: Serialize,
{
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let written = async {
        to.write_all(&text).await?;
        to.flush().await
    };
    match tokio::time::timeout(WRITE_LIMIT, written).await {
        Ok(written) => written,
        Err(_elapsed) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_side_s_lines_are_no_error() {
        let newer = r#"{"type":"teleport","to":"mars"}"#;
        assert_eq!(
            serde_json::from_str::<FromPlugin>(newer).unwrap(),
            FromPlugin::Unknown
        );
        assert_eq!(
            serde_json::from_str::<FromEngine>(newer).unwrap(),
            FromEngine::Unknown
        );
    }

    #[test]
    fn the_largest_line_of_peers_fits() {
        let peer = PeerLine {
            mesh_peer_id: "f".repeat(64).parse().unwrap(),
            role: "\"\u{1F980}".repeat(40),
            version: "\"\u{1F980}".repeat(40),
        };
        let line = FromPlugin::Peers {
            up: vec![peer; PEERS_PER_LINE],
            down: Vec::new(),
        };
        assert!(serde_json::to_vec(&line).unwrap().len() < LINE_BYTES);
    }
}
