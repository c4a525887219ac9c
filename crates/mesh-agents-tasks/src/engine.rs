//! The handle to the task engine: the few things anybody can ask of it.

mod inner;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::{AgentId, ArtifactId, TaskId};
use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::run::MeshEndpoints;
use mesh_agents_core::task::{ArtifactInfo, Task, TaskState};
use mesh_agents_core::transition::{Happening, StopCause};
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;

use crate::api::{
    Agents, EngineConfig, ListTasks, Load, OpenError, StoredEvent, TaskPage, TaskView,
};
use crate::blobs::Blobs;
use crate::drive;
use crate::mint::Mint;
use crate::offline;
use crate::push::{self, Desk};
use crate::recover;
use crate::retention::Care;
use crate::schedule::Slots;
use crate::store::{self, Store, StoreError};
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

    /// A task the caller may see.
    ///
    /// # Errors
    /// `task_not_found`, also for another's task; `storage`.
    pub async fn task(&self, caller: &Caller, id: &TaskId) -> Result<Task, Refusal> {
        let (id, principal) = (id.clone(), caller.principal.clone());
        let row = self.inner.store.read({
            let id = id.clone();
            move |db| store::task(db, &id, &principal)
        });
        row.await
            .map(|row| row.task)
            .map_err(|error| refusal(&error, &id))
    }

    /// Waits until the task is interrupted or terminal, or `limit` is over, and returns it as it stands.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn wait(
        &self,
        caller: &Caller,
        id: &TaskId,
        limit: Duration,
    ) -> Result<Task, Refusal> {
        let task = self.task(caller, id).await?;
        let settled = |state: TaskState| state.is_terminal() || state.is_interrupted();
        if settled(task.state) || limit.is_zero() {
            return Ok(task);
        }
        let mut wakes = self.inner.wakes.subscribe(id);
        let task = self.task(caller, id).await?;
        if settled(task.state) {
            return Ok(task);
        }
        let mut stop = self.inner.stop.subscribe();
        let settle = async {
            loop {
                let seen = tokio::select! {
                    seen = wakes.changed() => seen,
                    // An engine that stops answers its waiters with what is so far.
                    () = stopped(&mut stop) => return Ok(()),
                };
                // What is told may be older than the answer this caller has just given.
                if settled(seen.state) && settled(self.task(caller, id).await?.state) {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(limit, settle).await {
            Ok(Err(refusal)) => Err(refusal),
            // Time running out is a normal answer: the task as it stands.
            Ok(Ok(())) | Err(_) => self.task(caller, id).await,
        }
    }

    /// A task with its history and artifacts.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn view(&self, caller: &Caller, id: &TaskId) -> Result<TaskView, Refusal> {
        let (task_id, principal) = (id.clone(), caller.principal.clone());
        let view = self.inner.store.read(move |db| {
            // One moment for all of it: a reader of the log goes on exactly where this ends.
            let db = db.unchecked_transaction()?;
            let task = store::task(&db, &task_id, &principal)?.task;
            let artifacts = store::artifacts(&db, &task_id)?;
            // A run that was cut off left its text as an artifact until the next one goes on with it.
            let streamed = artifacts.iter().all(|one| one.id != ArtifactId::response());
            let streams = streamed && !task.state.is_terminal();
            let limit = usize::try_from(ARTIFACT_BYTES).unwrap_or(usize::MAX);
            Ok(TaskView {
                history: store::history(&db, &task_id)?,
                artifacts,
                response: streams
                    .then(|| store::response(&db, &task_id, limit))
                    .transpose()?,
                last_activity: store::last_activity(&db, &task_id)?,
                task,
            })
        });
        view.await.map_err(|error| refusal(&error, id))
    }

    /// A page of the caller's tasks, newest change first.
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that is not ours; `storage`.
    pub async fn list(&self, caller: &Caller, query: ListTasks) -> Result<TaskPage, Refusal> {
        let after = query.cursor.as_deref().map(cursor_read).transpose()?;
        let principal = caller.principal.clone();
        let page = self.inner.store.read(move |db| {
            // One moment for the page and for the count of all pages.
            let db = db.unchecked_transaction()?;
            let (rows, more) = store::list(&db, &principal, &query, after.as_ref())?;
            let last = rows.last().filter(|_| more);
            let next_cursor = last.map(|row| format!("{}.{}", row.task.updated_at, row.task.id));
            let tasks = rows.into_iter().map(|row| {
                let artifacts = store::artifacts(&db, &row.task.id)?;
                Ok((row.task, artifacts))
            });
            Ok(TaskPage {
                tasks: tasks.collect::<Result<_, StoreError>>()?,
                next_cursor,
                total: query
                    .count
                    .then(|| store::total(&db, &principal, &query))
                    .transpose()?,
            })
        });
        page.await.map_err(|error| storage(&error))
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

    /// An artifact's entry and content. `response` can be read while the task runs.
    ///
    /// # Errors
    /// `task_not_found`, `artifact_not_found` with the ids there are, `storage`.
    pub async fn artifact(
        &self,
        caller: &Caller,
        id: &TaskId,
        artifact: &ArtifactId,
    ) -> Result<(ArtifactInfo, Vec<u8>), Refusal> {
        let (task_id, artifact_id) = (id.clone(), artifact.clone());
        let principal = caller.principal.clone();
        let found = self.inner.store.read(move |db| {
            let task = store::task(db, &task_id, &principal)?.task;
            let found = store::artifact(db, &task_id, &artifact_id)?;
            let streaming = found.is_none()
                && !task.state.is_terminal()
                && artifact_id == ArtifactId::response();
            let limit = usize::try_from(ARTIFACT_BYTES).unwrap_or(usize::MAX);
            let text = streaming
                .then(|| store::response(db, &task_id, limit))
                .transpose()?;
            Ok((
                found,
                text.filter(|text| !text.is_empty()),
                store::artifacts(db, &task_id)?,
                task.state,
            ))
        });
        let (found, text, all, state) = found.await.map_err(|error| refusal(&error, id))?;
        match (found, text) {
            (Some(info), _) => {
                let content = self.content(id, &info).await?;
                Ok((info, content))
            }
            (None, Some(text)) => Ok((drive::response_info(&text), text.into_bytes())),
            (None, None) => Err(no_artifact(id, artifact, &all, state)),
        }
    }

    /// The content an entry of [`TaskView::artifacts`] names. Who was shown the view may read it: it
    /// is not asked again.
    ///
    /// # Errors
    /// `storage`, also when the artifact was deleted since.
    pub async fn content(&self, id: &TaskId, entry: &ArtifactInfo) -> Result<Vec<u8>, Refusal> {
        let content = self.inner.blobs.get(&entry.sha256).await;
        content.map_err(|error| {
            Refusal::new(
                Code::Storage,
                format!("artifact \"{}\" of {id} cannot be read: {error}", entry.id),
            )
        })
    }

    /// Events of a task's log after `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn events(
        &self,
        caller: &Caller,
        id: &TaskId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Refusal> {
        let (task_id, principal) = (id.clone(), caller.principal.clone());
        let events = self.inner.store.read(move |db| {
            store::task(db, &task_id, &principal)?;
            store::events(db, &task_id, after, limit)
        });
        events.await.map_err(|error| refusal(&error, id))
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

fn cursor_read(cursor: &str) -> Result<(i64, TaskId), Refusal> {
    let parts = cursor
        .split_once('.')
        .and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    parts.ok_or_else(|| {
        Refusal::new(Code::InvalidArgument, format!("cursor {cursor:?} is not one list_tasks returned"))
            .hint("Pass next_cursor of the page before unchanged, or leave cursor out for the first page.")
    })
}

fn no_artifact(
    id: &TaskId,
    artifact: &ArtifactId,
    all: &[ArtifactInfo],
    state: TaskState,
) -> Refusal {
    let message = format!("task {id} has no artifact \"{artifact}\"");
    let hint = if !all.is_empty() {
        let ids: Vec<&str> = all.iter().map(|info| info.id.as_str()).take(20).collect();
        format!("It has: {}.", ids.join(", "))
    } else if state.is_terminal() {
        format!("It ended {state} without artifacts; get_task shows its status message.")
    } else {
        format!("It is {state}; artifacts are there when it ends: call get_task with wait_seconds.")
    };
    Refusal::new(Code::ArtifactNotFound, message).hint(hint)
}
