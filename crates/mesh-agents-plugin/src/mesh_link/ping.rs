//! Ping: whether an engine of ours stands behind a peer, and how far away it is.
//!
//! One line each way on a fresh stream, before any handshake: it tells nothing but that somebody is
//! there, so everybody may ask.

use std::io;
use std::time::Duration;

use mesh_agents_mesh::handshake::{self, LINE_BYTES, Opening};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::Instant;

use super::{MeshLink, MeshPeerId, OpenError};
use crate::local::UnixStream;

/// A peer that lives answers in milliseconds; one that must be dialled, in a second or two.
const LIMIT: Duration = Duration::from_secs(5);
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
        stream.write_all(&handshake::ping(nonce)).await?;
        let mut line = Vec::new();
        let most = u64::try_from(LINE_BYTES).unwrap_or(u64::MAX);
        (&mut stream)
            .take(most)
            .read_until(b'\n', &mut line)
            .await?;
        if line.is_empty() {
            return Err(PingError::Closed);
        }
        match handshake::read_pong(&line, nonce) {
            Ok(()) => Ok(started.elapsed()),
            Err(_) => Err(PingError::Other),
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

/// The line to answer with, if this first line is a ping.
pub(super) fn pong(line: &[u8]) -> Option<Vec<u8>> {
    match Opening::read(line) {
        Ok(Opening::Ping(pong)) => Some(pong),
        _ => None,
    }
}

/// Answers a ping and ends the stream.
pub(super) async fn answer(mut stream: UnixStream, pong: &[u8]) -> io::Result<()> {
    stream.write_all(pong).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_told_from_everything_else() {
        let back = pong(&handshake::ping("n1")).unwrap();
        assert_eq!(handshake::read_pong(&back, "n1"), Ok(()));
        for other in [
            back.clone(),
            handshake::ping(&"n".repeat(65)),
            // One rule for a line that comes whole and for one in pieces.
            handshake::ping("n 1"),
            b"{\"mesh_agents\":2,\"kind\":\"ping\",\"nonce\":\"n1\"}\n".to_vec(),
            b"{\"mesh_agents\":1,\"kind\":\"hello\"}\n".to_vec(),
            b"GET / HTTP/1.1\r\n".to_vec(),
        ] {
            assert_eq!(pong(&other), None, "{}", String::from_utf8_lossy(&other));
        }
    }
}
