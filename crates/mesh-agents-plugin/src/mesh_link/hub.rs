//! The engine's side of the mesh link.
//!
//! One link at a time: a second host on the same data directory waits until the first is gone. What
//! was heard of peers outlives a link, since a restarted plugin is told nothing (host-contract T7).

mod inbound;
mod peers;
mod session;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_agents_core::clock::Clock;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::line::FromEngine;
use super::traffic::{Counts, Traffic};
use super::{
    HINT_BYTES, Hint, Incoming, LocalNode, MeshLink, MeshPeerId, MeshStream, OpenError, Peers,
};
use crate::local::UnixStream;
use crate::socket::InARun;
use peers::PeerTable;

/// Streams to peers that may be in the opening at once. The host opens them one after the other, for
/// all its plugins, and one peer that must be dialled holds it for up to 10 s.
const OPENING: usize = 32;
/// How long the host may take to open a stream: one unreachable peer before ours, and a dial.
const OPEN_LIMIT: Duration = Duration::from_secs(20);
/// Streams from peers that may be open at once: a quarter of what the host's connection carries.
const PLACES: usize = 256;
/// Streams from peers of which the host's connection or the first line is still to come.
const WAITING: usize = 64;
/// Lines to the plugin that wait to be written. It reads at once, so a queue means it hangs.
const OUTLET: usize = 256;
/// Streams whose user has not taken them yet.
const INCOMING: usize = 64;
/// Hints that nobody has read yet. A flood drops the rest: whoever misses one asks within a minute.
const HINTS: usize = 256;

/// What a hub is made of.
pub struct HubConfig {
    /// A directory of its own, for the sockets of streams from peers. Created, and emptied, here;
    /// its path has at most 98 bytes, so that a socket's has at most 107 (host-contract T23).
    pub dir: PathBuf,
    /// Whose connections those sockets do not take.
    pub in_a_run: InARun,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Owns and waits for what runs here.
    pub tasks: TaskTracker,
    /// Ends it.
    pub end: CancellationToken,
}

impl fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubConfig")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// The engine's way to the mesh, over the link of a plugin. Cheap to clone.
#[derive(Clone)]
pub struct MeshHub {
    shared: Arc<Shared>,
}

struct Shared {
    config: HubConfig,
    linked: watch::Sender<bool>,
    local: watch::Sender<Option<LocalNode>>,
    peers: watch::Sender<Peers>,
    table: Mutex<PeerTable>,
    /// Lines to the plugin, while one is linked.
    outlet: Mutex<Option<mpsc::Sender<FromEngine>>>,
    next: AtomicU64,
    /// Opens that wait for their answer.
    opening: Mutex<HashMap<u64, Answer>>,
    opens: Semaphore,
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    incoming: Mutex<Option<mpsc::Sender<Incoming>>>,
    hints: Mutex<Option<mpsc::Sender<Hint>>>,
    refused: AtomicU64,
    counts: Counts,
}

/// What became of an open, and where to say it.
struct Answer {
    peer: MeshPeerId,
    to: oneshot::Sender<Result<UnixStream, OpenError>>,
}

impl fmt::Debug for MeshHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshHub")
            .field("linked", &*self.shared.linked.borrow())
            .field("peers", &self.shared.peers.borrow().len())
            .finish_non_exhaustive()
    }
}

/// The right to be the link. Given back when dropped, and then every open that waits is told.
#[derive(Debug)]
pub struct Claim {
    hub: MeshHub,
    lines: Option<mpsc::Receiver<FromEngine>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        *lock(&self.hub.shared.outlet) = None;
        for (_, answer) in lock(&self.hub.shared.opening).drain() {
            // Whoever asked may have gone.
            let _gone = answer.to.send(Err(OpenError::Lost));
        }
        self.hub.shared.linked.send_replace(false);
    }
}

/// An open that is waited for; forgotten when its asker goes.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.shared.opening).remove(&self.id);
    }
}

impl MeshHub {
    /// A hub without a link yet.
    ///
    /// # Errors
    /// When its directory cannot be made or emptied.
    pub fn new(config: HubConfig) -> io::Result<Self> {
        inbound::prepare(&config.dir)?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                linked: watch::Sender::new(false),
                local: watch::Sender::new(None),
                peers: watch::Sender::new(Peers::default()),
                table: Mutex::default(),
                outlet: Mutex::new(None),
                next: AtomicU64::new(1),
                opening: Mutex::default(),
                opens: Semaphore::new(OPENING),
                places: Arc::new(Semaphore::new(PLACES)),
                waiting: Arc::new(Semaphore::new(WAITING)),
                incoming: Mutex::new(None),
                hints: Mutex::new(None),
                refused: AtomicU64::new(0),
                counts: Counts::default(),
            }),
        })
    }

    /// Streams from peers that were refused or given up before anybody saw them, since the start.
    #[must_use]
    pub fn refused_streams(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// What went over the mesh since the start.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.shared.counts.traffic()
    }

    /// Asks to be the link; `None` while another is.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        let mut outlet = lock(&self.shared.outlet);
        if outlet.is_some() {
            return None;
        }
        let (sender, lines) = mpsc::channel(OUTLET);
        *outlet = Some(sender);
        Some(Claim {
            hub: self.clone(),
            lines: Some(lines),
        })
    }

    /// The tracker that owns what runs for this hub.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.shared.config.tasks
    }

    /// Hands a line to the plugin, without waiting.
    fn say(&self, line: FromEngine) -> Result<(), OpenError> {
        let outlet = lock(&self.shared.outlet);
        let outlet = outlet.as_ref().ok_or(OpenError::NoHost)?;
        outlet.try_send(line).map_err(|_full| OpenError::Busy)
    }

    async fn open_stream(&self, peer: &MeshPeerId) -> Result<MeshStream, OpenError> {
        let shared = &*self.shared;
        let _turn = shared
            .opens
            .try_acquire()
            .map_err(|_full| OpenError::Busy)?;
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let (to, answer) = oneshot::channel();
        let peer = peer.clone();
        let waited = Answer {
            peer: peer.clone(),
            to,
        };
        lock(&shared.opening).insert(id, waited);
        let _waiting = Waiting { shared, id };
        self.say(FromEngine::Open {
            id,
            mesh_peer_id: peer.clone(),
        })?;
        match tokio::time::timeout(OPEN_LIMIT, answer).await {
            Ok(Ok(stream)) => stream.map(|stream| {
                shared.counts.opened();
                MeshStream::from(stream).counted(&shared.counts)
            }),
            Ok(Err(_dropped)) => Err(OpenError::Lost),
            Err(_elapsed) => Err(OpenError::TimedOut {
                peer,
                limit: OPEN_LIMIT,
            }),
        }
    }

    /// The host opened a stream. It is connected to even when nobody waits for it any more: a host
    /// keeps a bridge and a socket for every one that is not (host-contract §7).
    fn opened(&self, id: u64, socket: PathBuf) {
        let answer = lock(&self.shared.opening).remove(&id);
        self.shared.config.tasks.spawn(async move {
            let stream = UnixStream::connect(&socket).await;
            if let Some(answer) = answer {
                // Dropped here when the asker has gone, which ends the bridge.
                let _gone = answer.to.send(stream.map_err(OpenError::Connect));
            }
        });
    }

    fn not_opened(&self, id: u64, why: String) {
        if let Some(Answer { peer, to }) = lock(&self.shared.opening).remove(&id) {
            // Whoever asked may have gone.
            let _gone = to.send(Err(OpenError::Refused { peer, why }));
        }
    }

    fn count_refused(&self, why: &str) {
        let before = self.shared.refused.fetch_add(1, Ordering::Relaxed);
        // A flood is told once per thousand.
        if before.is_multiple_of(1000) {
            tracing::warn!(
                refused = before + 1,
                why,
                "a stream from a peer was refused"
            );
        }
    }
}

impl MeshLink for MeshHub {
    fn linked(&self) -> watch::Receiver<bool> {
        self.shared.linked.subscribe()
    }

    fn local(&self) -> watch::Receiver<Option<LocalNode>> {
        self.shared.local.subscribe()
    }

    fn peers(&self) -> watch::Receiver<Peers> {
        self.shared.peers.subscribe()
    }

    fn open<'a>(&'a self, peer: &'a MeshPeerId) -> BoxFuture<'a, Result<MeshStream, OpenError>> {
        self.open_stream(peer).boxed()
    }

    fn incoming(&self) -> mpsc::Receiver<Incoming> {
        let (sender, receiver) = mpsc::channel(INCOMING);
        *lock(&self.shared.incoming) = Some(sender);
        receiver
    }

    fn hint(&self, body: &str) -> bool {
        let line = FromEngine::Hint {
            body: body.to_owned(),
        };
        let left = body.len() <= HINT_BYTES && self.say(line).is_ok();
        if left {
            self.shared.counts.hint_sent(body.len());
        }
        left
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        let (sender, receiver) = mpsc::channel(HINTS);
        *lock(&self.shared.hints) = Some(sender);
        receiver
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
