//! The handle to the task engine: the few things anybody can ask of it.

mod inner;
mod read;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::{AgentId, TaskId};
use mesh_agents_core::policy::Caller;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::run::MeshEndpoints;
use mesh_agents_core::task::{Task, TaskState};
use mesh_agents_core::transition::{Happening, StopCause};
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;

use crate::api::{Agents, EngineConfig, Load, OpenError};
use crate::blobs::Blobs;
use crate::fetch::Fetches;
use crate::mint::Mint;
use crate::offline;
use crate::push::{self, Desk};
use crate::recover;
use crate::retention::Care;
use crate::schedule::Slots;
use crate::store::{Store, StoreError};
use crate::wake::Wakes;
pub(crate) use inner::{Inner, Live};

/// How long a cancel waits for the run to be gone before it answers with the task as it stands.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// The task engine. Cheap to clone; all clones are one engine.
#[derive(Debug, Clone)]
pub struct TaskEngine {
    pub(crate) inner: Arc<Inner>,
}

impl TaskEngine {
    /// Opens the data directory, takes up what an earlier engine left, and starts what can start.
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the data directory cannot be written or the database cannot be used.
    pub async fn open(config: EngineConfig) -> Result<Self, OpenError> {
        for path in [config.layout.root().to_owned(), config.layout.blobs()] {
            std::fs::create_dir_all(&path)
                .map_err(|source| OpenError::Directory { path, source })?;
        }
        let path = config.layout.database();
        let store = Store::open(path.clone()).map_err(|source| OpenError::Store {
            path: path.clone(),
            source,
        })?;
        let wakes = Wakes::default();
        let inner = Arc::new(Inner {
            store,
            blobs: Blobs::new(config.layout.blobs()),
            layout: config.layout,
            clock: config.clock,
            runner: config.runner,
            mint: Mint::new(),
            slots: Slots::default(),
            push: Arc::new(Desk::new(wakes.bell.clone())),
            wakes,
            agents: Mutex::new(config.agents),
            mesh: Mutex::new(config.mesh),
            grants: OnceLock::new(),
            mesh_tokens: OnceLock::new(),
            tools_url: config.tools_url,
            live: Mutex::default(),
            stop: watch::Sender::new(false),
            load: watch::Sender::default(),
            tracker: TaskTracker::new(),
            waits: Notify::new(),
            care: Care::default(),
            fetches: Fetches::default(),
            late: AtomicU64::new(0),
        });
        let taken_up = async {
            push::take_up(&inner).await?;
            recover::take_up(&inner).await
        };
        taken_up
            .await
            .map_err(|source| OpenError::Store { path, source })?;
        inner.pump_all();
        offline::watch(&inner);
        Ok(Self { inner })
    }

    /// Replaces the known agents: starts what waits for one of them, fails what waits for one that is gone.
    pub async fn set_agents(&self, agents: Agents) {
        *self.inner.agents() = agents;
        for agent in self.inner.slots.waited_for() {
            let known = self.inner.agents().knows(&agent);
            if !known {
                self.inner.end_waiting(&agent).await;
            }
        }
        self.inner.pump_all();
        self.inner.waits.notify_one();
    }

    /// The agents as they are known now.
    #[must_use]
    pub fn agents(&self) -> Arc<BTreeMap<AgentId, Arc<AgentDefinition>>> {
        Arc::clone(&self.inner.agents().ready)
    }

    /// Replaces what is known of the mesh; runs that start later see it.
    pub fn set_mesh(&self, mesh: MeshEndpoints) {
        *self
            .inner
            .mesh
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = mesh;
    }

    /// What is known of the mesh.
    #[must_use]
    pub fn mesh(&self) -> MeshEndpoints {
        self.inner.mesh()
    }

    /// What an agent has to do at the moment.
    #[must_use]
    pub fn load(&self, agent: &AgentId) -> Load {
        self.inner.slots.load(agent)
    }

    /// What all agents have to do; changes are signalled.
    #[must_use]
    pub fn total_load(&self) -> watch::Receiver<Load> {
        self.inner.load.subscribe()
    }

    /// Writes of runs that came after their attempt was over, dropped since this engine started.
    #[must_use]
    pub fn late_writes(&self) -> u64 {
        self.inner.late.load(Ordering::Relaxed)
    }

    /// What stands in the way of running an agent here and now.
    #[must_use]
    pub fn unavailable(&self, agent: &AgentDefinition) -> Option<String> {
        self.inner.runner.unavailable(agent)
    }

    /// Who holds this per-run token.
    #[must_use]
    pub fn caller_of_token(&self, token: &str) -> Option<Caller> {
        let live = self.inner.live();
        let (task, run) = live.iter().find(|(_, run)| run.token == token)?;
        let root = run.root.clone();
        Some(Caller::task(task.clone(), Some(run.depth), root))
    }

    /// Ends a task: a queued one at once, a running one with its whole process tree. Answers when
    /// nothing of it is left, or after five seconds with the task as it stands. The wish to end a task of
    /// another node is stored, over restarts too, and told as soon as the node is there; until it has
    /// said that nothing runs, the task stands as it stood, with `cancel_requested`.
    ///
    /// # Errors
    /// `task_not_found`; `task_terminal` when it had ended otherwise; `not_allowed`; `storage`.
    pub async fn cancel(&self, caller: &Caller, id: &TaskId) -> Result<Task, Refusal> {
        let task = self.task(caller, id).await?;
        if task.state == TaskState::Canceled {
            return Ok(task);
        }
        let (inner, stopped) = (Arc::clone(&self.inner), id.clone());
        let stop = self.inner.to_the_end(async move {
            let cause = Happening::Stop(StopCause::Canceled);
            inner.happen(&stopped, None, cause).await
        });
        match stop.await {
            Ok(_) => self.wait_terminal(caller, id).await,
            Err(StoreError::Illegal(illegal)) if illegal.state == TaskState::Canceled => {
                self.task(caller, id).await
            }
            Err(error) => Err(refusal(&error, id)),
        }
    }

    async fn wait_terminal(&self, caller: &Caller, id: &TaskId) -> Result<Task, Refusal> {
        let mut wakes = self.inner.wakes.subscribe(id);
        let task = self.task(caller, id).await?;
        if task.state.is_terminal() || task.unreachable_since.is_some() {
            return Ok(task);
        }
        let ended = async {
            loop {
                let seen = wakes.changed().await;
                // Who cannot be reached is told later; there is nothing to wait for.
                if seen.state.is_terminal() || seen.unreachable {
                    return;
                }
            }
        };
        let _in_time = tokio::time::timeout(CANCEL_PATIENCE, ended).await;
        self.task(caller, id).await
    }

    /// Stops the engine: no new work, no new starts. Lets what runs end, or with `now` ends it;
    /// what is queued stays queued for the next engine. Returns when all is on disk.
    pub async fn shutdown(&self, now: bool) {
        self.inner.stop.send_replace(true);
        // Work that is done elsewhere goes on there; the next engine follows it.
        for run in self.inner.live().values() {
            if let Some(let_go) = &run.let_go {
                let_go.cancel();
            }
        }
        if now {
            let here =
                |(task, run): (&TaskId, &Arc<Live>)| run.let_go.is_none().then(|| task.clone());
            let running: Vec<TaskId> = self.inner.live().iter().filter_map(here).collect();
            for task in running {
                if let Err(error) = self
                    .inner
                    .happen(&task, None, Happening::Stop(StopCause::Shutdown))
                    .await
                {
                    tracing::debug!(task = %task, %error, "has ended already, or the disk is in the way");
                    if let Some(run) = self.inner.live().get(&task) {
                        run.end.cancel();
                    }
                }
            }
        }
        self.inner.tracker.close();
        self.inner.tracker.wait().await;
        self.inner.push.close().await;
        self.inner.store.close().await;
    }
}

impl Agents {
    /// Whether the agent's directory exists, or may: another node's agents are heard of again after a
    /// start of this one, and what waits for one that is away waits.
    pub(crate) fn knows(&self, agent: &AgentId) -> bool {
        !agent.is_local() || self.ready.contains_key(agent) || self.broken.contains(agent)
    }
}

/// Waits until the engine stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the engine is gone.
    let _ended = stop.wait_for(|stopping| *stopping).await;
}

/// The refusal a caller gets for a store error about one task.
pub(crate) fn refusal(error: &StoreError, id: &TaskId) -> Refusal {
    match error {
        StoreError::NoTask => Refusal::new(Code::TaskNotFound, format!("no task {id}")).hint(
            "Use a task_id as send_message returned it; list_tasks shows the ones there are.",
        ),
        StoreError::Illegal(illegal) if illegal.state.is_terminal() => Refusal::new(
            Code::TaskTerminal,
            format!("task {id} has already ended: {}", illegal.state),
        )
        .hint("Read it with get_task; to go on, send a new message with its context_id."),
        other => storage(other),
    }
}

/// The refusal for a store error that is nobody's argument.
pub(crate) fn storage(error: &StoreError) -> Refusal {
    match error {
        StoreError::Closed => Refusal::new(Code::EngineUnavailable, "the engine is stopping")
            .hint("Send the call again; the next engine starts on demand."),
        StoreError::Disk { trouble, .. } => {
            Refusal::new(Code::Storage, error.to_string()).hint(trouble.next_step())
        }
        other => Refusal::new(Code::Storage, other.to_string()),
    }
}
