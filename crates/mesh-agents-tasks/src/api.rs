//! What goes into the engine and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{AgentId, ContextId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::layout::Layout;
use mesh_agents_core::policy::{AgentState, Grant};
use mesh_agents_core::push::PushConfig;
use mesh_agents_core::run::{MeshEndpoints, Runner};
use mesh_agents_core::task::{ArtifactInfo, Message, Task, TaskState};

use crate::store::StoreError;

/// What an engine is made of.
#[derive(Debug)]
pub struct EngineConfig {
    /// Where it keeps its files. The caller holds the lock that makes it the only engine there.
    pub layout: Layout,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// What runs tasks.
    pub runner: Arc<dyn Runner>,
    /// The agents known at start.
    pub agents: Agents,
    /// Where the mesh is, as known at start.
    pub mesh: MeshEndpoints,
    /// Our own MCP endpoint, handed to harnesses with a token per run; without it they get none.
    pub tools_url: Option<String>,
}

/// The agents the engine may run.
#[derive(Debug, Clone, Default)]
pub struct Agents {
    /// Those with a valid definition.
    pub ready: Arc<BTreeMap<AgentId, Arc<AgentDefinition>>>,
    /// Those whose directory exists and cannot be used now: their queued tasks wait.
    pub broken: Arc<BTreeSet<AgentId>>,
}

impl Agents {
    /// What the agent of this id is.
    #[must_use]
    pub fn state(&self, id: &AgentId) -> AgentState {
        let definition = self.ready.get(id).map(AsRef::as_ref);
        AgentState::of(definition, self.broken.contains(id))
    }
}

/// What the owner's list says at this moment. Asked for callers who act for a mesh peer and cannot bring
/// it with them: the harnesses of its tasks.
pub trait Grants: Send + Sync + fmt::Debug {
    /// What it says of the key `did` and this agent.
    fn grant(&self, did: &str, agent: &AgentId) -> Grant;
}

/// Why an engine could not open its data directory.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error("cannot open the task database {path}")]
    Store {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A directory below the data directory.
    #[error(
        "cannot create {path}; check that the data directory is writable, or choose another with --data-dir"
    )]
    Directory {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A message for an agent.
#[derive(Debug, Clone)]
pub struct Submit {
    /// The agent as the caller wrote it.
    pub agent_id: AgentId,
    /// The message; its id is the key: a repeat of it is the same task.
    pub message: Message,
    /// The caller's own data about the task, an object.
    pub metadata: Option<JsonText>,
    /// The conversation it belongs to; a new one when absent.
    pub context_id: Option<ContextId>,
    /// The task it continues or answers; a new one when absent.
    pub task_id: Option<TaskId>,
    /// Where the caller wants to be told what happens; stored with the task.
    pub push: Option<PushConfig>,
    /// Whether the message may wait for the node its agent is on, when that is away.
    pub queue_if_offline: bool,
    /// Set when the key is not the caller's own but was minted by the front-end of a host that may
    /// re-send the bare call to a later instance of that front-end (host-contract T2).
    pub minted: Option<Minted>,
}

/// Where a key that is not the caller's own comes from.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The front-end process: a ULID, so that earlier instances sort before later ones.
    pub instance: String,
    /// Whether the caller is answered as soon as the task is stored (it did not ask to wait).
    pub answered_at_once: bool,
}

/// What an agent has to do at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Tasks that hold a slot.
    pub running: u32,
    /// Tasks that wait for one.
    pub queued: u32,
}

/// Tasks that are counted one by one at most. Counts by agent, principal and state are kept and cost
/// nothing; by conversation or time the tasks are counted when asked, and ten thousand take about a
/// millisecond.
pub const COUNTED: u64 = 10_000;

/// Which tasks to list; all given filters must match.
#[derive(Debug, Clone, Default)]
pub struct ListTasks {
    /// Only this agent's.
    pub agent_id: Option<AgentId>,
    /// Only this conversation's.
    pub context_id: Option<ContextId>,
    /// Only those in this state.
    pub state: Option<TaskState>,
    /// Only those whose state changed at this time or later.
    pub since: Option<UnixMillis>,
    /// Whether to count all that match, on every page ([`TaskPage::total`]).
    pub count: bool,
    /// At most this many (1 to 100).
    pub limit: u32,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// One page of a list, newest change first.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// The tasks, with their artifacts.
    pub tasks: Vec<(Task, Vec<ArtifactInfo>)>,
    /// Where the next page starts; `None` on the last.
    pub next_cursor: Option<String>,
    /// How many tasks match on all pages together, if that was asked. Exact, but for a conversation
    /// or a time with more than [`COUNTED`] tasks: then it is that number.
    pub total: Option<u64>,
}

/// A task with what belongs to it.
#[derive(Debug, Clone)]
pub struct TaskView {
    /// The task.
    pub task: Task,
    /// Its messages, oldest first.
    pub history: Vec<Message>,
    /// Its artifacts.
    pub artifacts: Vec<ArtifactInfo>,
    /// The text streamed so far, while the task is at work.
    pub response: Option<String>,
    /// When something last happened in it.
    pub last_activity: Option<UnixMillis>,
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the task's log, from 1.
    pub seq: u64,
    /// When it was stored.
    pub at: UnixMillis,
    /// The event.
    pub event: TaskEvent,
}
