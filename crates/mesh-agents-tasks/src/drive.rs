//! One run, from its slot to its end: starts it, stores what it says, keeps its deadlines.

mod journal;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{AgentId, ArtifactId, RunId, TaskId};
use mesh_agents_core::limits::ARTIFACTS_PER_TASK;
use mesh_agents_core::run::{
    Answer, ArtifactSource, Outcome, Run, RunControl, RunEvent, RunSpec, ToolsGrant,
};
use mesh_agents_core::task::{ArtifactInfo, Task};
use mesh_agents_core::transition::{Happening, StopCause};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::blobs::PutError;
use crate::engine::{Inner, Live};
use crate::store::{self, StoreError};
use journal::Journal;

/// A runner confirms the end of a stopped run well within this; past it the run counts as lost and
/// is dropped, which ends it by force.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// Between tries to write what must be written (an end), while the disk refuses.
const RETRY: Duration = Duration::from_secs(1);

/// Such tries once the engine stops.
const LAST_TRIES: u32 = 5;

/// Runs one task that holds a slot, then gives the slot to the next.
pub(crate) async fn run_task(inner: Arc<Inner>, task: TaskId, agent: Arc<AgentDefinition>) {
    let _slot = Slot::of(&inner, agent.id.clone(), task.clone());
    let end = CancellationToken::new();
    // A token nobody can guess: two ULIDs carry 160 random bits.
    let token = format!("{}{}", Ulid::new(), Ulid::new());
    match begin(&inner, &task, &agent, &end, &token).await {
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
            let outcome = Drive::new(&inner, &stored, &agent, &end).follow(run).await;
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
    end: &CancellationToken,
    token: &str,
) -> Result<Option<(Task, RunId)>, StoreError> {
    let now = inner.now();
    let run_id = RunId::from_ulid(inner.mint.next(now));
    let depth = inner
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
    let live = Live {
        end: end.clone(),
        token: token.to_owned(),
        depth,
    };
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

/// A run under way.
struct Drive<'a> {
    inner: &'a Arc<Inner>,
    task: &'a TaskId,
    attempt: u32,
    agent: &'a AgentDefinition,
    end: &'a CancellationToken,
    journal: Journal,
    artifacts: usize,
}

impl<'a> Drive<'a> {
    fn new(
        inner: &'a Arc<Inner>,
        task: &'a Task,
        agent: &'a AgentDefinition,
        end: &'a CancellationToken,
    ) -> Self {
        let (task, attempt) = (&task.id, task.attempt);
        Self {
            inner,
            task,
            attempt,
            agent,
            end,
            journal: Journal::default(),
            artifacts: 0,
        }
    }

    /// Follows the run until it is over.
    async fn follow(mut self, mut run: Run) -> Outcome {
        let policy = &self.agent.policy;
        let deadline = Instant::now() + seconds(policy.max_task_seconds);
        let silence = seconds(policy.idle_seconds);
        let mut heard = Instant::now();
        let mut lost_at = None;
        loop {
            let stopping = lost_at.is_some();
            tokio::select! {
                event = run.events.next() => {
                    heard = Instant::now();
                    match event {
                        Some(RunEvent::Ended(outcome)) => {
                            self.close(matches!(outcome, Outcome::Completed { .. })).await;
                            return outcome;
                        }
                        Some(event) => self.take(event, &*run.control).await,
                        None => {
                            self.close(false).await;
                            return runner_lost("the runner ended without saying how the run ended");
                        }
                    }
                }
                () = sleep_until(self.journal.due()) => self.flush().await,
                () = self.end.cancelled(), if !stopping => {
                    run.control.cancel();
                    lost_at = Some(Instant::now() + STOP_PATIENCE);
                }
                () = sleep_until(deadline), if !stopping => self.stop(StopCause::Deadline).await,
                () = sleep_until(heard + silence), if !stopping => self.stop(StopCause::Idle).await,
                () = sleep_until(lost_at.unwrap_or(deadline)), if stopping => {
                    self.close(false).await;
                    return runner_lost("the runner did not confirm the end of the run");
                }
            }
        }
    }

    /// Marks the cause of the end; the end itself follows through the token.
    async fn stop(&self, cause: StopCause) {
        if let Err(error) = self
            .inner
            .happen(self.task, Some(self.attempt), Happening::Stop(cause))
            .await
        {
            tracing::warn!(task = %self.task, %error, "the cause of a stop was not stored");
        }
        self.end.cancel();
    }

    async fn take(&mut self, event: RunEvent, control: &dyn RunControl) {
        match event {
            RunEvent::Text(text) => self.journal.text(&text),
            RunEvent::Activity | RunEvent::QuestionGone(_) | RunEvent::Ended(_) => {}
            RunEvent::ToolCall(call) => self.journal.push(TaskEvent::ToolCall { call }),
            RunEvent::Plan(entries) => self.journal.push(TaskEvent::Plan { entries }),
            RunEvent::Usage { used, size } => self.journal.push(TaskEvent::Usage { used, size }),
            RunEvent::Note { code, text } => self.journal.push(TaskEvent::Note {
                code,
                text,
                data: None,
            }),
            RunEvent::Started {
                session_id,
                resumable,
            } => {
                self.journal.push(TaskEvent::Session {
                    session_id,
                    resumable,
                });
            }
            RunEvent::Process(process) => {
                let (id, attempt) = (self.task.clone(), self.attempt);
                let stored = self
                    .inner
                    .store
                    .write(move |db| store::run_process(db, &id, attempt, process))
                    .await;
                if let Err(error) = stored {
                    tracing::warn!(task = %self.task, %error, "the guard of a run was not stored");
                }
            }
            RunEvent::Artifact {
                id,
                media_type,
                source,
                complete,
            } => {
                self.flush().await;
                self.artifact(id, media_type, source, !complete).await;
            }
            RunEvent::Question { id, text, .. } => {
                // Nobody can answer yet; a question left open would hold the slot for nothing.
                control.answer(&id, Answer::Declined);
                let text = format!("declined, because questions reach nobody yet: {text}");
                self.journal.push(TaskEvent::Note {
                    code: "question_declined".into(),
                    text,
                    data: None,
                });
            }
        }
        if self.journal.is_full() {
            self.flush().await;
        }
    }

    /// Stores what has gathered.
    async fn flush(&mut self) {
        let events = self.journal.drain();
        if events.is_empty() {
            return;
        }
        let events: Arc<[TaskEvent]> = events.into();
        loop {
            let (now, id, attempt) = (self.inner.now(), self.task.clone(), self.attempt);
            let same = Arc::clone(&events);
            let stored = self
                .inner
                .store
                .write(move |db| store::append(db, now, &id, attempt, &same));
            match stored.await {
                Ok(task) => return self.inner.wakes.tell(&task),
                Err(StoreError::LogFull) => return self.stop(StopCause::TooMuchOutput).await,
                Err(error) if self.try_again(&error).await => {}
                Err(error) => {
                    tracing::warn!(task = %self.task, %error, "events of a run were not stored");
                    return;
                }
            }
        }
    }

    /// Waits while only the disk is in the way; the run waits meanwhile, as nobody takes what it says.
    /// Not beyond the moment its end is wanted: then what could not be stored is let go.
    async fn try_again(&self, error: &StoreError) -> bool {
        if !error.is_disk() {
            return false;
        }
        tracing::error!(task = %self.task, %error, "the run waits for the disk");
        tokio::select! {
            () = tokio::time::sleep(RETRY) => true,
            () = self.end.cancelled() => false,
        }
    }

    async fn artifact(
        &mut self,
        id: ArtifactId,
        media_type: String,
        source: ArtifactSource,
        partial: bool,
    ) {
        self.artifacts += 1;
        if self.artifacts > ARTIFACTS_PER_TASK {
            return self.note(
                "artifact_skipped",
                format!("\"{id}\" is one artifact too many ({ARTIFACTS_PER_TASK})"),
            );
        }
        let stored = loop {
            match self.inner.blobs.put(source.clone()).await {
                Ok(stored) => break stored,
                Err(PutError::Store(error)) if self.try_again(&error).await => {}
                Err(error) => {
                    return self.note(
                        "artifact_skipped",
                        format!("\"{id}\" was not kept: {error}"),
                    );
                }
            }
        };
        let info = ArtifactInfo {
            id,
            media_type,
            bytes: stored.bytes,
            sha256: stored.sha256.clone(),
            partial,
        };
        loop {
            let (now, task, attempt) = (self.inner.now(), self.task.clone(), self.attempt);
            let same = info.clone();
            let written = self
                .inner
                .store
                .write(move |db| store::store_artifact(db, now, &task, attempt, &same));
            match written.await {
                Ok(task) => return self.inner.wakes.tell(&task),
                Err(error) if self.try_again(&error).await => {}
                Err(error) => {
                    return self.note(
                        "artifact_skipped",
                        format!("\"{}\" was not kept: {error}", info.id),
                    );
                }
            }
        }
    }

    fn note(&mut self, code: &str, text: String) {
        self.journal.push(TaskEvent::Note {
            code: code.to_owned(),
            text,
            data: None,
        });
    }

    /// Stores the rest, and the streamed text as the artifact `response`.
    async fn close(&mut self, complete: bool) {
        self.flush().await;
        let text = self.journal.take_response();
        if !text.is_empty() {
            let info = response_info(&text);
            self.artifact(
                info.id,
                info.media_type,
                ArtifactSource::Text(text),
                !complete,
            )
            .await;
            self.flush().await;
        }
    }
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

/// A limit of a definition as a time span; a century stands for every larger number.
fn seconds(limit: u64) -> Duration {
    const CENTURY: u64 = 100 * 365 * 86_400;
    Duration::from_secs(limit.min(CENTURY))
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
