//! Ping: whether an engine of ours stands behind a peer, and how far away it is.
//!
//! One line each way on a fresh stream, before any handshake: it tells nothing but that somebody is
//! there, so everybody may ask.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::{MeshLink, MeshPeerId, OpenError};

/// The version of everything that is said on mesh streams.
pub(super) const MESH_AGENTS: u32 = 1;
/// A peer that lives answers in milliseconds; one that must be dialled, in a second or two.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest nonce that is sent back.
const NONCE_BYTES: usize = 64;
/// Longest answer that is read.
const PONG_BYTES: u64 = 1024;

/// A ping or a pong.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ping {
    mesh_agents: u32,
    kind: Kind,
    nonce: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Ping,
    Pong,
}

/// Why a peer did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// There is no stream to it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The stream ended first.
    #[error("it closed the stream: the plugin is not there, or not this version of it")]
    Closed,
    /// Nothing came.
    #[error("it did not answer within {} s", LIMIT.as_secs())]
    Silent,
    /// Something else came.
    #[error("it answered with something else")]
    Other,
    /// The stream broke.
    #[error("the stream to it broke: {0}")]
    Broken(#[from] io::Error),
}

/// Pings a peer over a fresh stream; says how long it took, opening included. `nonce` is random text
/// of at most 64 bytes.
///
/// # Errors
/// When no answer comes within 5 s of the stream's opening, or none can come.
pub async fn ping(
    link: &dyn MeshLink,
    peer: &MeshPeerId,
    nonce: &str,
) -> Result<Duration, PingError> {
    let started = Instant::now();
    let mut stream = BufReader::new(link.open(peer).await?);
    let exchange = async {
        stream.write_all(&text(Kind::Ping, nonce)?).await?;
        let mut line = Vec::new();
        (&mut stream)
            .take(PONG_BYTES)
            .read_until(b'\n', &mut line)
            .await?;
        if line.is_empty() {
            return Err(PingError::Closed);
        }
        match serde_json::from_slice(&line) {
            Ok(Ping {
                kind: Kind::Pong,
                nonce: back,
                ..
            }) if back == nonce => Ok(started.elapsed()),
            _ => Err(PingError::Other),
        }
    };
    let answered = tokio::time::timeout(LIMIT, exchange).await;
    match answered.map_err(|_elapsed| PingError::Silent)? {
        Err(PingError::Broken(error)) if is_end(&error) => Err(PingError::Closed),
        answered => answered,
    }
}

/// The peer's end of the stream can go before our line is written.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// The nonce of a line, if it is a ping.
pub(super) fn asked(line: &[u8]) -> Option<String> {
    match serde_json::from_slice(line) {
        Ok(Ping {
            mesh_agents: MESH_AGENTS,
            kind: Kind::Ping,
            nonce,
        }) if nonce.len() <= NONCE_BYTES => Some(nonce),
        _ => None,
    }
}

/// Answers a ping and ends the stream.
pub(super) async fn answer(mut stream: UnixStream, nonce: &str) -> io::Result<()> {
    stream.write_all(&text(Kind::Pong, nonce)?).await?;
    stream.shutdown().await
}

fn text(kind: Kind, nonce: &str) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Ping {
        mesh_agents: MESH_AGENTS,
        kind,
        nonce: nonce.to_owned(),
    })?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_told_from_everything_else() {
        let line = text(Kind::Ping, "n1").unwrap();
        assert_eq!(
            String::from_utf8_lossy(&line),
            "{\"mesh_agents\":1,\"kind\":\"ping\",\"nonce\":\"n1\"}\n"
        );
        assert_eq!(asked(&line).as_deref(), Some("n1"));
        let long = "n".repeat(NONCE_BYTES + 1);
        for other in [
            text(Kind::Pong, "n1").unwrap(),
            text(Kind::Ping, &long).unwrap(),
            b"{\"mesh_agents\":2,\"kind\":\"ping\",\"nonce\":\"n1\"}\n".to_vec(),
            b"{\"mesh_agents\":1,\"kind\":\"hello\"}\n".to_vec(),
            b"GET / HTTP/1.1\r\n".to_vec(),
        ] {
            assert_eq!(asked(&other), None, "{}", String::from_utf8_lossy(&other));
        }
    }
}
