//! The handshake on a stream, with time limits; what follows it is HTTP/1.1.

use std::io;
use std::time::Duration;

use mesh_agents_mesh::NodeKey;
use mesh_agents_mesh::handshake::{
    HandshakeError, Here, Initiator, LINE_BYTES, Opener, Opening, Responder, Whom,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use super::MeshNodeConfig;
use crate::mesh_link::MeshStream;

/// Longest handshake. A peer that must be dialled needs a second or two for its first line.
const LIMIT: Duration = Duration::from_secs(10);

/// A stream whose ends know each other. What was read too far is read again.
pub(super) type Greeted = BufReader<MeshStream>;

/// The opener's side.
pub(super) async fn opener(
    config: &MeshNodeConfig,
    here: &Here,
    whom: Whom,
    stream: MeshStream,
) -> io::Result<(NodeKey, Greeted)> {
    let mut stream = BufReader::new(stream);
    let exchange = async {
        let nonce = (config.random)()?;
        let (initiator, hello) = Initiator::begin(&config.secret, nonce, here, whom);
        stream.write_all(&hello).await?;
        let welcome = line(&mut stream).await?;
        let (proof, reached) = match initiator.finish(&welcome) {
            Ok(done) => done,
            Err(error) => return Err(refuse(&mut stream, error).await),
        };
        stream.write_all(&proof).await?;
        Ok(reached.key)
    };
    let key = timeout(LIMIT, exchange).await.map_err(|_| silent())??;
    Ok((key, stream))
}

/// The receiver's side.
pub(super) async fn receiver(
    config: &MeshNodeConfig,
    here: Option<&Here>,
    stream: MeshStream,
) -> io::Result<(Opener, Greeted)> {
    let mut stream = BufReader::new(stream);
    let exchange = async {
        let hello = line(&mut stream).await?;
        let hello = match Opening::read(&hello) {
            Ok(Opening::Hello(hello)) => hello,
            // The link answers pings; one that gets here came in two pieces.
            Ok(Opening::Ping(pong)) => {
                stream.write_all(&pong).await?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Err(error) => return Err(refuse(&mut stream, error).await),
        };
        let Some(here) = here else {
            return Err(refuse(&mut stream, HandshakeError::NotReady).await);
        };
        let nonce = (config.random)()?;
        let answer = Responder::receive(&config.secret, nonce, here, &hello);
        let (responder, welcome) = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(refuse(&mut stream, error).await),
        };
        stream.write_all(&welcome).await?;
        let proof = line(&mut stream).await?;
        match responder.finish(&proof) {
            Ok(opener) => Ok(opener),
            Err(error) => Err(refuse(&mut stream, error).await),
        }
    };
    let opener = timeout(LIMIT, exchange).await.map_err(|_| silent())??;
    Ok((opener, stream))
}

/// One line with its newline, or a byte more than a line may have.
async fn line(stream: &mut Greeted) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let most = u64::try_from(LINE_BYTES + 1).unwrap_or(u64::MAX);
    stream.take(most).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it closed the stream: no engine of this plugin takes it there",
        ));
    }
    Ok(line)
}

/// Tells the other side, as far as it may know.
async fn refuse(stream: &mut Greeted, error: HandshakeError) -> io::Error {
    if let Some(line) = error.line() {
        // It may be gone; then there is nobody to tell.
        let _told = stream.write_all(&line).await;
    }
    io::Error::other(error)
}

fn silent() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the handshake was not over within {} s", LIMIT.as_secs()),
    )
}
