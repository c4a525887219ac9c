//! Who may come in at the engine's socket: our own user, and nobody inside a run.
//!
//! The permissions of the socket keep other users out. A harness is our own user, and a connection
//! from it would be the owner's: so the process that connects is looked at, and what belongs to a
//! run is refused. A harness has the tools by its own token, which says which task calls.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{FromRequestParts as _, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use mesh_agents_core::refusal::{Code, Refusal};

use crate::local::{self, UnixListener, UnixStream};

/// Says whether the process with this id is part of a run, or may be for all one can see.
pub type InARun = Arc<dyn Fn(u32) -> bool + Send + Sync>;

/// A Unix socket that lets in nobody but our own user, and marks who is part of a run.
pub struct OwnUser {
    listener: UnixListener,
    in_a_run: InARun,
}

impl std::fmt::Debug for OwnUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnUser")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl OwnUser {
    /// Guards `listener`.
    #[must_use]
    pub fn new(listener: UnixListener, in_a_run: InARun) -> Self {
        Self { listener, in_a_run }
    }
}

/// What is known of a connection's other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    in_a_run: bool,
}

impl Peer {
    /// A caller outside of every run, as who embeds the router without a socket knows it to be.
    pub const OUTSIDE_OF_RUNS: Self = Self { in_a_run: false };

    /// Whether it is part of a run, or may be.
    pub(crate) fn is_in_a_run(self) -> bool {
        self.in_a_run
    }
}

impl Connected<IncomingStream<'_, OwnUser>> for Peer {
    fn connect_info(stream: IncomingStream<'_, OwnUser>) -> Self {
        *stream.remote_addr()
    }
}

impl axum::serve::Listener for OwnUser {
    type Io = UnixStream;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: it passes when calls end.
                    tracing::warn!(%error, "the engine's socket did not accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            match stream.peer_cred() {
                Ok(peer) if local::is_ours(&peer) => {
                    let in_a_run = self.is_in_a_run(peer.pid());
                    return (stream, Peer { in_a_run });
                }
                Ok(peer) => tracing::warn!(
                    uid = peer.uid(),
                    "a foreign user knocked at the engine's socket"
                ),
                Err(error) => {
                    tracing::warn!(%error, "a caller of the engine's socket could not be told");
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(Peer { in_a_run: false })
    }
}

impl OwnUser {
    /// The id is that of the process which connected, taken by the kernel at that moment. It is
    /// looked up here within a moment of it: for another process to have the id by then, every other
    /// id of the machine would have to be used up first. One that has gone meanwhile is refused by
    /// the check itself, and hands its connection on to nobody.
    ///
    /// No id (or 0): a process outside the engine's own container. No run of ours gets out there.
    fn is_in_a_run(&self, pid: Option<i32>) -> bool {
        let pid = pid.and_then(|pid| u32::try_from(pid).ok());
        pid.is_some_and(|pid| pid != 0 && (self.in_a_run)(pid))
    }
}

/// Refuses what comes from a run, and what does not say where it comes from.
pub(super) async fn refuse_runs(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let peer = ConnectInfo::<Peer>::from_request_parts(&mut parts, &()).await;
    if peer.is_ok_and(|ConnectInfo(peer)| !peer.in_a_run) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    tracing::warn!(path = %parts.uri.path(), "a run knocked at the engine's socket");
    let refusal = Refusal::new(
        Code::NotAllowed,
        "the engine's socket is the owner's, and this process belongs to an agent's run",
    )
    .hint("Inside a run, use the mesh tools its session was given ([tools.mesh] enabled = true).");
    (StatusCode::FORBIDDEN, Json(refusal)).into_response()
}
