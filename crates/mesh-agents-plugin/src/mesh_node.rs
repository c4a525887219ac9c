//! A node among others: it tells which of its agents may be called, learns theirs, lets callers in
//! and reaches theirs (DESIGN §6).
//!
//! What is decided is decided in `mesh-agents-mesh`, which is pure. Here it meets streams, the clock
//! and the task engine: `greet` makes two nodes known to each other, `serve` answers what comes in,
//! `gate` asks the owner's list before a byte of a call is read, `pull` asks others, `remote` makes
//! definitions of their agents, `life` keeps all of it going.
//!
//! An agent of another node is an [`AgentDefinition`] of type `remote` in the engine, under an id
//! that holds its node's key; so its tasks are queued, followed, cancelled and kept like any other.

mod cards;
mod find;
mod gate;
mod greet;
mod life;
mod meant;
mod memory;
mod own_ids;
mod places;
mod prefer;
mod pull;
mod remote;
mod report;
mod route;
mod seal;
mod serve;
mod show;
#[cfg(test)]
mod tests;
mod unsaved;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use futures::future::BoxFuture;
use mesh_agents_a2a::remote::{Dial, MeshStream as BoxedStream};
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::clock::Clock;
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::run::Away;
use mesh_agents_mesh::acl::{Knocks, LastGood};
use mesh_agents_mesh::handshake::{Here, Whom};
use mesh_agents_mesh::rate::Buckets;
use mesh_agents_mesh::{Bulletin, Digest, Directory, Moment, NodeKey, NodeSecret, Stored};
use mesh_agents_tasks::{Agents, TaskEngine};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::mesh_link::MeshLink;
pub use meant::{Meant, News};
use own_ids::OwnIds;
pub use prefer::{ForgetRequest, Forgotten, PreferRequest, Preferred};
pub use report::{KnockLine, MeshReport, NodeLine, OwnerLine, WithheldLine};
pub use show::{Heard, PeerAgent, PeerShown, RightLine, Rights};

/// Random numbers: 32 bytes that never come twice.
pub type Random = Arc<dyn Fn() -> io::Result<[u8; 32]> + Send + Sync>;

/// What a node is made of.
pub struct MeshNodeConfig {
    /// The way to the mesh.
    pub link: Arc<dyn MeshLink>,
    /// Its key.
    pub secret: NodeSecret,
    /// A label for people.
    pub name: String,
    /// The list of who may call: `<data-dir>/a2a/acl.toml`.
    pub acl: PathBuf,
    /// What this machine can keep a run from.
    pub machine: PlatformConfinement,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// For nonces and for spreading work over time.
    pub random: Random,
    /// Owns what runs for it.
    pub tasks: TaskTracker,
    /// Ends it.
    pub end: CancellationToken,
}

impl fmt::Debug for MeshNodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshNodeConfig")
            .field("key", &self.secret.key())
            .finish_non_exhaustive()
    }
}

/// This node as part of its mesh. Cheap to clone; clones are one.
#[derive(Clone)]
pub struct MeshNode(Arc<Inner>);

struct Inner {
    config: MeshNodeConfig,
    started: Instant,
    state: Mutex<State>,
    engine: OnceLock<TaskEngine>,
    /// Where what is known of the mesh is kept: the engine's.
    disk: OnceLock<Arc<dyn unsaved::Disk>>,
    /// Held by who writes to the disk.
    saving: tokio::sync::Mutex<()>,
    /// Something is to be asked of others, or waited for anew.
    pulls: Notify,
    /// The agents of this node or of others are not what they were.
    agents: Notify,
    /// Counts what was heard of where nodes are.
    routes: watch::Sender<u64>,
    /// Counts the owner's lists; callers' streams end when it grows.
    lists: watch::Sender<u64>,
}

struct State {
    directory: Directory,
    bulletin: Bulletin,
    acl: LastGood,
    buckets: Buckets,
    knocks: Knocks,
    local: Agents,
    /// What was published last.
    said: Option<life::Said>,
    /// Agents the owner wants told of and that stay here, with the reason.
    withheld: Vec<(AgentId, String)>,
    /// The cards of others' agents, verified: those the directory tells of.
    cards: BTreeMap<AgentId, (Digest, Arc<AgentDefinition>)>,
    /// Cards of pulls that broke off.
    begun: cards::Begun,
    /// Which owner a plain id was resolved to.
    owners: BTreeMap<AgentId, Stored>,
    /// What our own host was called.
    own_ids: OwnIds,
    /// What is not on disk yet.
    unsaved: unsaved::Unsaved,
    /// The others may not have heard of the advert of now.
    hint_due: bool,
}

impl fmt::Debug for MeshNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshNode")
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

fn seed(config: &MeshNodeConfig) -> io::Result<u64> {
    let [a, b, c, d, e, f, g, h, ..] = (config.random)()?;
    Ok(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

impl MeshNode {
    /// A node that does nothing yet; see [`Self::start`].
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(config: MeshNodeConfig) -> io::Result<Self> {
        let started = Instant::now();
        let now = Moment {
            wall: config.clock.now(),
            mono: 0,
        };
        let seed = seed(&config)?;
        let state = State {
            directory: Directory::new(config.secret.key(), [], seed, now),
            bulletin: Bulletin::new(0),
            acl: LastGood::new(config.acl.clone()),
            buckets: Buckets::default(),
            knocks: Knocks::default(),
            local: Agents::default(),
            said: None,
            withheld: Vec::new(),
            cards: BTreeMap::new(),
            begun: cards::Begun::default(),
            owners: BTreeMap::new(),
            own_ids: OwnIds::default(),
            unsaved: unsaved::Unsaved::default(),
            hint_due: false,
        };
        Ok(Self(Arc::new(Inner {
            config,
            started,
            state: Mutex::new(state),
            engine: OnceLock::new(),
            disk: OnceLock::new(),
            saving: tokio::sync::Mutex::new(()),
            pulls: Notify::new(),
            agents: Notify::new(),
            routes: watch::Sender::new(0),
            lists: watch::Sender::new(0),
        })))
    }

    /// Begins: `engine` runs the tasks, `app` holds the A2A routes, which are shown to callers that the
    /// owner's list lets in. What was known of other nodes when the last engine ended is known when this
    /// returns.
    pub async fn start(&self, engine: TaskEngine, app: Router) {
        let disk = Arc::new(engine.clone());
        if self.0.engine.set(engine).is_err() {
            return;
        }
        // Set with the engine, so it is the first time for this too.
        let _first = self.0.disk.set(disk);
        if let Some(engine) = self.0.engine.get() {
            engine.set_grants(Arc::new(self.clone()));
        }
        life::begin(self, serve::app(self, app)).await;
    }

    /// This node's key.
    #[must_use]
    pub fn key(&self) -> NodeKey {
        self.0.config.secret.key()
    }

    /// Takes over the agents of this node; those of others are added.
    pub fn set_local(&self, agents: Agents) {
        self.state().local = agents;
        self.0.agents.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        Moment {
            wall: self.0.config.clock.now(),
            mono: u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    fn link(&self) -> &dyn MeshLink {
        &*self.0.config.link
    }

    /// What our host calls us; `None` before it has said.
    fn here(&self) -> Option<Here> {
        let local = self.link().local().borrow().clone()?;
        Some(Here {
            peer_id: local.mesh_peer_id,
            mesh_id: local.mesh_id.unwrap_or_default(),
        })
    }

    /// A stream to whoever is at this peer id, both ends known.
    async fn open(&self, whom: Whom) -> io::Result<(NodeKey, greet::Greeted)> {
        let here = self
            .here()
            .ok_or_else(|| io::Error::other("our mesh-llm host has not told its id yet"))?;
        let stream = self.link().open(&whom.peer_id).await;
        let stream = stream.map_err(io::Error::other)?;
        greet::opener(&self.0.config, &here, whom, stream).await
    }
}

#[async_trait::async_trait]
impl Dial for MeshNode {
    async fn dial(&self, node: &str) -> io::Result<Box<dyn BoxedStream>> {
        let key: NodeKey = node.parse().map_err(io::Error::other)?;
        let peer_id = {
            let state = self.state();
            state.directory.route(&key).cloned()
        };
        let whom = Whom {
            peer_id: peer_id.map_err(io::Error::other)?,
            key: Some(key),
        };
        let peer_id = whom.peer_id.clone();
        let (key, stream) = self.open(whom).await?;
        let stream = route::Routed::new(stream, self.clone(), key, peer_id);
        Ok(Box::new(stream))
    }

    fn back(&self, node: &str) -> BoxFuture<'static, ()> {
        match node.parse() {
            Ok(key) => self.way_back(key),
            // There is no such node.
            Err(_) => Box::pin(std::future::pending()),
        }
    }

    fn away(&self, node: &str) -> Option<Away> {
        let key: NodeKey = node.parse().ok()?;
        let state = self.state();
        let error = state.directory.route(&key).err()?;
        let told = state.directory.remembered(&key);
        let name = told.map_or_else(|| node.to_owned(), |told| told.name.clone());
        Some(Away {
            name: name.chars().filter(|c| !c.is_control()).collect(),
            since: error.away_since(),
            why: error.to_string(),
        })
    }
}
