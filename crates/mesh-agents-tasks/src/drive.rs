//! One run, from its slot to its end: starts it, stores what it says, keeps its deadlines.

mod ask;
mod follow;
mod journal;

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::{AgentId, ArtifactId, RunId, TaskId};
use mesh_agents_core::run::{Outcome, RunSpec, ToolsGrant};
use mesh_agents_core::task::{ArtifactInfo, Task};
use mesh_agents_core::transition::Happening;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::engine::{Inner, Live};
use crate::store::{self, StoreError};
use follow::Drive;

/// Between tries to write what must be written (an end), while the disk refuses.
const RETRY: Duration = Duration::from_secs(1);

/// Such tries once the engine stops.
const LAST_TRIES: u32 = 5;

/// Runs one task that holds a slot, then gives the slot to the next.
pub(crate) async fn run_task(inner: Arc<Inner>, task: TaskId, agent: Arc<AgentDefinition>) {
    let _slot = Slot::of(&inner, agent.id.clone(), task.clone());
    let end = CancellationToken::new();
    let (answers, answered) = mpsc::channel(ask::QUESTIONS);
    // A token nobody can guess: two ULIDs carry 160 random bits.
    let token = format!("{}{}", Ulid::new(), Ulid::new());
    let live = Live {
        end: end.clone(),
        answers,
        token: token.clone(),
        depth: 0,
    };
    match begin(&inner, &task, &agent, live).await {
        Ok(Some((stored, run_id))) => {
            let spec = match spec(&inner, &stored, &agent, run_id, token).await {
                Ok(spec) => spec,
                Err(error) => {
                    lost(
                        &inner,
                        &stored,
                        &format!("the task's message cannot be read: {error}"),
                    )
                    .await;
                    return;
                }
            };
            let run = inner.runner.start(spec);
            let outcome = Drive::new(&inner, &stored, &agent, &end)
                .follow(run, answered)
                .await;
            finish(&inner, &stored, outcome).await;
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(task = %task, %error, "a task could not be started and stays queued");
            // What the disk refuses now it may take later; meanwhile the slot stays taken.
            let mut stop = inner.stop_signal();
            tokio::select! {
                () = tokio::time::sleep(RETRY) => inner.slots.restore(&agent.id, task.clone()),
                _ = stop.wait_for(|stopping| *stopping) => {}
            }
        }
    }
}

/// The slot of a task and its entry among the live; given back however the driver ends.
pub(crate) struct Slot {
    inner: Arc<Inner>,
    agent: AgentId,
    task: TaskId,
}

impl Slot {
    /// The slot this task was given.
    pub(crate) fn of(inner: &Arc<Inner>, agent: AgentId, task: TaskId) -> Self {
        let inner = Arc::clone(inner);
        Self { inner, agent, task }
    }

    /// The engine it belongs to.
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Whose it is.
    pub(crate) fn task(&self) -> &TaskId {
        &self.task
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inner.live().remove(&self.task);
        self.inner.slots.end(&self.agent, &self.task);
        self.inner.pump(&self.agent);
        self.inner.signal_load();
    }
}

/// Stores the attempt. `None` when the task has ended meanwhile.
async fn begin(
    inner: &Arc<Inner>,
    task: &TaskId,
    agent: &AgentDefinition,
    mut live: Live,
) -> Result<Option<(Task, RunId)>, StoreError> {
    let now = inner.now();
    let run_id = RunId::from_ulid(inner.mint.next(now));
    live.depth = inner
        .store
        .read({
            let task = task.clone();
            move |db| {
                Ok(
                    store::task(db, &task, &mesh_agents_core::principal::Principal::Local)?
                        .task
                        .depth,
                )
            }
        })
        .await?;
    // Before the commit, so that a cancel that follows it finds the run.
    inner.live().insert(task.clone(), Arc::new(live));
    let (id, digest, minted) = (task.clone(), agent.digest.clone(), inner.mint_message());
    let run = run_id.clone();
    let change = inner
        .store
        .write(move |db| store::attempt_started(db, now, &id, &run, &digest, &minted))
        .await;
    match change {
        Ok(change) => Ok(Some((inner.follow(change), run_id))),
        Err(StoreError::Illegal(_) | StoreError::NoTask) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn spec(
    inner: &Arc<Inner>,
    task: &Task,
    agent: &Arc<AgentDefinition>,
    run_id: RunId,
    token: String,
) -> Result<RunSpec, StoreError> {
    let id = task.id.clone();
    let history = inner.store.read(move |db| store::history(db, &id)).await?;
    let tools = inner
        .tools_url
        .clone()
        .filter(|_| agent.tools_mesh)
        .map(|url| ToolsGrant { url, token });
    Ok(RunSpec {
        run_id,
        task_id: task.id.clone(),
        context_id: task.context_id.clone(),
        attempt: task.attempt,
        agent: Arc::clone(agent),
        prompt: history
            .first()
            .map(mesh_agents_core::task::Message::joined_text)
            .unwrap_or_default(),
        resume: None,
        dirs: inner.layout.run(&agent.id, &task.id),
        home: inner.layout.agent_home(&agent.id),
        mesh: inner.mesh(),
        tools,
    })
}

/// The entry of streamed text; the digest is known once it is stored.
pub(crate) fn response_info(text: &str) -> ArtifactInfo {
    ArtifactInfo {
        id: ArtifactId::response(),
        media_type: "text/markdown".to_owned(),
        bytes: text.len() as u64,
        sha256: String::new(),
        partial: true,
    }
}

fn runner_lost(what: &str) -> Outcome {
    Outcome::Failed(mesh_agents_core::task::Failure::new("runner_lost", what))
}

async fn lost(inner: &Arc<Inner>, task: &Task, what: &str) {
    finish(inner, task, runner_lost(what)).await;
}

/// Stores the end of the run. Tried until it is stored: a task never stays at work with no run. An
/// engine that stops gives up in the end; the next one finds the task at work and its run gone.
async fn finish(inner: &Arc<Inner>, task: &Task, outcome: Outcome) {
    let mut last_tries = LAST_TRIES;
    loop {
        match inner
            .happen(
                &task.id,
                Some(task.attempt),
                Happening::Ended(outcome.clone()),
            )
            .await
        {
            Ok(_) => return,
            Err(
                StoreError::Illegal(_)
                | StoreError::Stale
                | StoreError::NoTask
                | StoreError::Closed,
            ) => {
                tracing::warn!(task = %task.id, "the end of a run came too late and was dropped");
                return;
            }
            Err(error) => {
                tracing::error!(task = %task.id, %error, "the end of a run was not stored; trying again");
                if inner.stopping() {
                    last_tries -= 1;
                    if last_tries == 0 {
                        return;
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
