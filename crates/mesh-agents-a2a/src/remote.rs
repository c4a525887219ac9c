//! `runtime.type = "remote"`: a Runner that calls an external A2A endpoint (DESIGN §2.4).
//!
//! The endpoint is the one the agent's card on disk names. A run is one task over there: a message
//! is sent, what comes of it is followed (a stream where the card says so, else by asking again
//! and again), and its end is the end of the run. What a remote task shows becomes the same events
//! a harness gives, so that it looks like any other task here.
//!
//! An agent of another node of the mesh is called the same way, over streams that a [`Dial`] opens.
//!
//! A lost connection says nothing about the task: an HTTP server is asked again until
//! [`RemoteTimeouts::contact`] has passed without a word, and its message is repeated only while it cannot have
//! received it. A node of the mesh is waited for as long as the task may take; it knows its messages again, so
//! that what may have arrived is repeated too. [`mirror`] decides all of it.

mod call;
mod content;
mod fault;
mod job;
pub mod mirror;
mod outbox;
mod pipe;
mod question;
mod results;
mod sse;
mod target;
mod verdict;
mod wire;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mesh_agents_core::agent::{AgentDefinition, elsewhere};
use mesh_agents_core::content::{ContentSpec, ContentStream};
use mesh_agents_core::ids::{AgentId, QuestionId, RunId};
use mesh_agents_core::limits::OFFLINE_WAIT;
use mesh_agents_core::run::{Answer, Away, ProcessRef, Run, RunControl, RunSpec, Runner};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http;
use job::Job;
use outbox::outbox;
use pipe::{HttpPipe, MeshPipe, Pipe};
use target::{Target, misconfigured};

pub use fault::{Fault, Stage};
pub use pipe::{Dial, MeshStream};
pub use target::Lookup;

/// Answers that may wait for a run: one question is open at a time.
const ANSWERS: usize = 4;
/// Time for streams to end in order once nothing uses them; the other side may be gone.
const LAST_STREAMS: Duration = Duration::from_secs(1);
/// Nodes with idle streams to them.
const NODES: usize = 256;

/// How long things may take with a remote agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteTimeouts {
    /// From a request to the first byte of its answer.
    pub first_byte: Duration,
    /// Longest silence in an answer or a stream. Servers send a comment every 15 s or so.
    pub idle: Duration,
    /// How long a remote whose server does not answer is tried again before the first message has
    /// reached it: as long as a server takes to restart.
    pub opening: Duration,
    /// How long a remote may be out of reach, its task under way, before the run fails. Less than
    /// the default of `policy.idle_seconds` (600 s), so that the true cause is told. A node of the mesh
    /// is waited for as long as the task may take: its engine goes on with it, and says so later.
    pub contact: Duration,
    /// How long the message that makes a task is sent again to a node of the mesh that may have it and has not said
    /// what it made of it, or that takes nothing yet: as long as a message waits for a node that is away. Never
    /// less than [`Self::opening`].
    pub delivery: Duration,
    /// For the whole of a cancel, of the 2 s that a cancel may take.
    pub cancel: Duration,
    /// How long a node of the mesh may leave the message that makes a task unanswered once its end is
    /// wanted: longer than a stream to it may take to open.
    pub silent: Duration,
    /// Between the first two tries of anything tried again; doubles up to [`Self::retry_most`].
    pub retry_first: Duration,
    /// The longest pause between two tries.
    pub retry_most: Duration,
    /// The longest pause between two looks at a task that is not streamed, and half the pause
    /// between looks at one that waits for an answer.
    pub poll_most: Duration,
    /// A stream that lives gives a sign of life this often, for `policy.idle_seconds`.
    pub activity: Duration,
}

impl Default for RemoteTimeouts {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            opening: Duration::from_secs(10),
            contact: Duration::from_secs(300),
            delivery: OFFLINE_WAIT,
            cancel: Duration::from_millis(1800),
            silent: Duration::from_secs(30),
            retry_first: Duration::from_millis(250),
            retry_most: Duration::from_secs(15),
            poll_most: Duration::from_secs(5),
            activity: Duration::from_secs(30),
        }
    }
}

/// Calls remote agents. Cheap to clone; all clones own the same runs.
#[derive(Clone)]
pub struct RemoteRunner {
    shared: Arc<Shared>,
    tracker: TaskTracker,
}

/// What all runs share.
struct Shared {
    lookup: Lookup,
    timeouts: RemoteTimeouts,
    plain: OnceLock<reqwest::Client>,
    secure: OnceLock<reqwest::Client>,
    mesh: Option<Arc<dyn Dial>>,
    nodes: Mutex<HashMap<String, MeshPipe>>,
    streams: TaskTracker,
}

impl Shared {
    /// The way to a target. Connections are shared by all runs.
    fn pipe(&self, target: &Target) -> Result<Arc<dyn Pipe>, Unreachable> {
        if let Some(node) = &target.node {
            return Ok(Arc::new(self.mesh_pipe(node)?));
        }
        let client = if target.secure {
            kept(&self.secure, || http::secure_client(&*self.lookup))?
        } else {
            kept(&self.plain, http::plain_client)?
        };
        Ok(Arc::new(HttpPipe::new(client, self.timeouts.idle)))
    }

    fn mesh_pipe(&self, node: &str) -> Result<MeshPipe, Unreachable> {
        let dial = self.mesh.as_ref().ok_or(Unreachable::NoMesh)?;
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if !nodes.contains_key(node) && nodes.len() >= NODES {
            // Streams in use live on; only the idle ones of the others go.
            nodes.clear();
        }
        let pipe = nodes.entry(node.to_owned()).or_insert_with(|| {
            let streams = self.streams.clone();
            MeshPipe::new(Arc::clone(dial), node, streams, self.timeouts.idle)
        });
        Ok(pipe.clone())
    }
}

/// Why there is no way to a remote agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// No HTTP client.
    #[error(transparent)]
    Http(#[from] http::HttpSetupError),
    /// This node is part of no mesh.
    #[error("this engine is not connected to a mesh; start mesh-llm with the plugin agents")]
    NoMesh,
}

/// The client, made when it is first needed: reading certificates takes a while.
fn kept(
    cell: &OnceLock<reqwest::Client>,
    make: impl FnOnce() -> Result<reqwest::Client, http::HttpSetupError>,
) -> Result<reqwest::Client, http::HttpSetupError> {
    if let Some(client) = cell.get() {
        return Ok(client.clone());
    }
    // Two runs that start together may both make one; the first stays.
    let made = make()?;
    Ok(cell.get_or_init(|| made).clone())
}

impl fmt::Debug for RemoteRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRunner")
            .field("runs", &self.tracker.len())
            .finish_non_exhaustive()
    }
}

impl RemoteRunner {
    /// A runner. `lookup` answers for the variables that `[auth] bearer_env` names, and for the
    /// usual proxy variables ([`http::secure_client`]). `mesh` reaches agents of other nodes.
    #[must_use]
    pub fn new(lookup: Lookup, timeouts: RemoteTimeouts, mesh: Option<Arc<dyn Dial>>) -> Self {
        Self {
            shared: Arc::new(Shared {
                lookup,
                timeouts,
                plain: OnceLock::new(),
                secure: OnceLock::new(),
                mesh,
                nodes: Mutex::default(),
                streams: TaskTracker::new(),
            }),
            tracker: TaskTracker::new(),
        }
    }

    /// Waits until every run has ended, then ends the idle streams. Runs are not cancelled by it.
    pub async fn drain(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        // An idle stream lives by its sender.
        let nodes = &self.shared.nodes;
        nodes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.shared.streams.close();
        let ended = self.shared.streams.wait();
        if tokio::time::timeout(LAST_STREAMS, ended).await.is_err() {
            tracing::debug!("a stream to another node did not end, and is cut");
        }
    }
}

impl Runner for RemoteRunner {
    fn start(&self, spec: RunSpec) -> Run {
        let (outbox, events) = outbox();
        let (answers, asked) = mpsc::channel(ANSWERS);
        let cancel = CancellationToken::new();
        let job = Job {
            shared: Arc::clone(&self.shared),
            spec,
            events: outbox,
            answers: asked,
            cancel: cancel.clone(),
        };
        self.tracker.spawn(job.run());
        Run {
            events: Box::pin(events),
            control: Arc::new(Control { cancel, answers }),
        }
    }

    /// No process of this machine belongs to a remote run.
    fn alive(&self, _process: &ProcessRef) -> bool {
        false
    }

    fn reap(&self, _run: &RunId, _guard: Option<&ProcessRef>) -> u32 {
        0
    }

    fn unavailable(&self, agent: &AgentDefinition) -> Option<String> {
        let target = match Target::of(agent, &self.shared.lookup) {
            Ok(target) => target,
            Err(failure) => return Some(failure.message),
        };
        if let Err(error) = self.shared.pipe(&target) {
            return Some(misconfigured(error.to_string()).message);
        }
        let away = self.shared.mesh.as_ref()?.away(target.node.as_deref()?);
        away.map(|away| away.why)
    }

    fn away(&self, agent: &AgentDefinition) -> Option<Away> {
        let node = agent.id.node()?;
        self.shared.mesh.as_ref()?.away(&node)
    }

    fn content(&self, wanted: ContentSpec) -> ContentStream {
        content::fetch(Arc::clone(&self.shared), wanted)
    }

    fn stand_in(&self, agent: &AgentId) -> Option<AgentDefinition> {
        elsewhere::stand_in(agent)
    }
}

/// Influences one run.
struct Control {
    cancel: CancellationToken,
    answers: mpsc::Sender<(QuestionId, Answer)>,
}

impl RunControl for Control {
    fn answer(&self, question: &QuestionId, answer: Answer) {
        // Full or closed: no question is open, and an answer to a settled one is ignored.
        let _ = self.answers.try_send((question.clone(), answer));
    }

    fn cancel(&self) {
        self.cancel.cancel();
    }
}
