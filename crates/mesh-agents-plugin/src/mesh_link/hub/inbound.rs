//! Streams from peers: the host's connection, the first line, and who gets it.
//!
//! Nothing is known of who opens one. So there are few places, short waits and short first lines,
//! and a ping is all that is answered before a handshake.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener as _;
use bytes::BytesMut;
use mesh_agents_core::clock::UnixMillis;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio::time::Instant;
use ulid::Ulid;

use super::super::ping;
use super::super::{Incoming, MeshStream};
use super::{MeshHub, lock};
use crate::local::{self, UnixListener, UnixStream};
use crate::socket::OwnUser;

/// How long the host may take to connect, and then the peer to send its first line. The host
/// connects at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest first line: a handshake's is a tenth of it.
const FIRST_LINE: usize = 4 * 1024;
/// Characters of a socket's name, 40 random bits: nobody outside knows it before its connection is
/// taken, and the whole path has room for it.
const NAME: usize = 8;

/// Makes the directory of the sockets, and removes what an engine before left there.
pub(super) fn prepare(dir: &Path) -> io::Result<()> {
    local::private_dir(dir)?;
    for left in fs::read_dir(dir)? {
        fs::remove_file(left?.path())?;
    }
    Ok(())
}

/// A socket's file, removed when dropped.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "a socket was gone already");
        }
    }
}

fn bind(dir: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let random = Ulid::new().to_string();
    let name = random.get(random.len() - NAME..).unwrap_or(&random);
    let path = dir.join(name);
    let listener = UnixListener::bind(&path)?;
    let file = SocketFile(path);
    local::owner_only(&file.0)?;
    Ok((listener, file))
}

impl MeshHub {
    /// Makes a place for one stream of a peer, and a socket the host can connect to.
    pub(super) fn admit(&self) -> Result<PathBuf, &'static str> {
        let full = |_: TryAcquireError| "too many streams are open; try again later";
        let shared = &self.shared;
        let place = Arc::clone(&shared.places)
            .try_acquire_owned()
            .map_err(full)?;
        let waiting = Arc::clone(&shared.waiting)
            .try_acquire_owned()
            .map_err(full)?;
        let (listener, file) = bind(&shared.config.dir).map_err(|error| {
            tracing::error!(%error, dir = %shared.config.dir.display(), "no socket for a stream of a peer");
            "the engine cannot make a socket"
        })?;
        let socket = file.0.clone();
        let opened_at = shared.config.clock.now();
        let hub = self.clone();
        shared.config.tasks.spawn(async move {
            let end = hub.shared.config.end.clone();
            let received = hub.receive(listener, file, place, opened_at);
            tokio::select! {
                received = received => if let Err(why) = received { hub.count_refused(why) },
                () = end.cancelled() => {}
            }
            drop(waiting);
        });
        Ok(socket)
    }

    /// Takes the host's connection and the peer's first line, and hands the stream on.
    async fn receive(
        &self,
        listener: UnixListener,
        file: SocketFile,
        place: OwnedSemaphorePermit,
        opened_at: UnixMillis,
    ) -> Result<(), &'static str> {
        let mut listener = OwnUser::new(listener, Arc::clone(&self.shared.config.in_a_run));
        let accepted = tokio::time::timeout(PATIENCE, async {
            loop {
                let (stream, who) = listener.accept().await;
                if !who.is_in_a_run() {
                    return stream;
                }
                tracing::warn!("a run knocked at a socket of the mesh");
            }
        });
        let mut stream = accepted
            .await
            .map_err(|_elapsed| "the host did not connect")?;
        drop((listener, file));
        let head = first_line(&mut stream).await?;
        let line = head.split_inclusive(|byte| *byte == b'\n').next();
        if let Some(pong) = line.and_then(ping::pong) {
            let answered = tokio::time::timeout(PATIENCE, ping::answer(stream, &pong)).await;
            return match answered {
                // A peer that has gone needs no answer.
                Ok(_) => Ok(()),
                Err(_elapsed) => Err("the peer does not read"),
            };
        }
        let sender = lock(&self.shared.incoming).clone();
        let sender = sender.ok_or("this engine takes no streams yet")?;
        let counts = &self.shared.counts;
        counts.taken(head.len());
        let stream = MeshStream::new(stream, head.freeze(), Some(place)).counted(counts);
        let incoming = Incoming { stream, opened_at };
        sender
            .try_send(incoming)
            .map_err(|_full| "too many streams wait to be served")
    }
}

/// Everything read so far, once it holds a whole line.
async fn first_line(stream: &mut UnixStream) -> Result<BytesMut, &'static str> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = BytesMut::with_capacity(FIRST_LINE);
    loop {
        let read = tokio::time::timeout_at(deadline, stream.read_buf(&mut head)).await;
        match read {
            Ok(Ok(0)) => return Err("the peer closed the stream before its first line"),
            Ok(Ok(n)) => {
                let fresh = head.get(head.len() - n..).unwrap_or_default();
                if fresh.contains(&b'\n') {
                    return Ok(head);
                }
                if head.len() >= FIRST_LINE {
                    return Err("the peer's first line is too long");
                }
            }
            Ok(Err(_)) => return Err("the stream broke before its first line"),
            Err(_elapsed) => return Err("the peer sent no first line in time"),
        }
    }
}
