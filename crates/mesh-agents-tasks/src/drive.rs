//! One run, from its slot to its end: starts it, stores what it says, keeps its deadlines.

mod ask;
mod follow;
mod journal;

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::agent::{AgentDefinition, OnInterrupt, SessionScope};
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::{AgentId, ArtifactId, RunId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::run::{Before, Outcome, Resume, ResumeReason, RunSpec, ToolsGrant};
use mesh_agents_core::task::{ArtifactInfo, Failure, Task};
use mesh_agents_core::transition::Happening;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::engine::{Inner, Live, stopped};
use crate::offline::rule::patience;
use crate::prompt;
use crate::recover;
use crate::recover::plan::{Cut, CutBy};
use crate::store::{self, OpenQuestion, StoreError, Terms};
use follow::{Drive, seconds};

/// Between tries to write what must be written (an end), while the disk refuses.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// Characters of a skill's id at the most, as in an owner's list.
const SKILL_CHARS: usize = 128;

/// Such tries once the engine stops.
pub(crate) const LAST_TRIES: u32 = 5;

/// Runs one task that holds a slot, then gives the slot to the next.
pub(crate) async fn run_task(inner: Arc<Inner>, task: TaskId, agent: Arc<AgentDefinition>) {
    let _slot = Slot::of(&inner, agent.id.clone(), task.clone());
    let end = CancellationToken::new();
    let (answers, answered) = mpsc::channel(ask::QUESTIONS);
    // A token nobody can guess: two ULIDs carry 160 random bits.
    let token = format!("{}{}", Ulid::new(), Ulid::new());
    let let_go = CancellationToken::new();
    let live = Live {
        end: end.clone(),
        let_go: (!agent.id.is_local()).then(|| let_go.clone()),
        answers,
        token: token.clone(),
        depth: 0,
        root: Principal::Task(task.clone()),
    };
    match begin(&inner, &task, &agent, live).await {
        Ok(Some((begun, run_id))) => {
            let stored = begun.task.clone();
            let spec = spec(&inner, &begun, &agent, run_id.clone(), token).await;
            let (spec, open) = match spec {
                Ok(spec) => spec,
                Err(error) => {
                    let what = format!("the task's message cannot be read: {error}");
                    let failure = Failure::new("runner_lost", what);
                    finish(&inner, &stored, Outcome::Failed(failure)).await;
                    return;
                }
            };
            let resume = begun.resume.as_ref();
            let resumed = resume.is_some_and(|resume| resume.why != ResumeReason::NextTask);
            let said = spec.before.said.clone();
            if stored.cancel_requested {
                // It was wanted while no run was there to be told.
                end.cancel();
            }
            let run = inner.runner.start(spec);
            let mut drive = Drive::new(&inner, &begun, &agent, (&end, &let_go), said);
            drive.still_asks(open);
            let (end, opened) = drive.follow(run, answered).await;
            match end {
                End::Said(Outcome::Interrupted(why)) => {
                    let mut cut = cut(&inner, &agent, CutBy::Interruption, why);
                    cut.session_lost = resumed && !opened;
                    recover::run_gone(&inner, &stored, cut).await;
                }
                End::Said(outcome) => finish(&inner, &stored, outcome).await,
                // The next engine finds it at work, and follows it.
                End::LetGo => {}
                End::Lost(why) => {
                    let mut cut = cut(&inner, &agent, CutBy::Loss, why.to_owned());
                    cut.undead = clear(&inner, &stored, run_id).await;
                    recover::run_gone(&inner, &stored, cut).await;
                }
            }
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(task = %task, %error, "a task could not be started and stays queued");
            // What the disk refuses now it may take later; meanwhile the slot stays taken.
            let mut stop = inner.stop_signal();
            tokio::select! {
                () = tokio::time::sleep(RETRY) => inner.slots.retry(&agent.id, &task),
                () = stopped(&mut stop) => {}
            }
        }
    }
}

/// How a run was over.
enum End {
    /// As it said.
    Said(Outcome),
    /// Without a word; this is what is known.
    Lost(&'static str),
    /// Not at all: its work goes on elsewhere, and this engine stops.
    LetGo,
}

/// What a run that was cut off leaves, as known so far.
fn cut(inner: &Inner, agent: &AgentDefinition, by: CutBy, why: String) -> Cut {
    Cut {
        by,
        why,
        at: Some(inner.now()),
        session_lost: false,
        agent_known: inner.agents().knows(&agent.id),
        undead: 0,
    }
}

/// Kills what is left of a run that vanished. Says how much would not die.
async fn clear(inner: &Arc<Inner>, task: &Task, run: RunId) -> u32 {
    let (id, number) = (task.id.clone(), task.attempt);
    let found = inner.store.read(move |db| store::attempt(db, &id, number));
    let guard = found.await.ok().flatten().and_then(|attempt| attempt.guard);
    let undead = recover::reap(inner, task, run, guard).await;
    recover::keep_files(inner, task).await;
    undead
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
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inner.live().remove(&self.task);
        self.inner.slots.end(&self.agent, &self.task);
        self.inner.pump(&self.agent);
        self.inner.signal_load();
    }
}

/// An attempt that is stored and about to run.
struct Started {
    task: Task,
    resume: Option<Resume>,
    /// Until its task has taken too long.
    left: Duration,
}

/// Stores the attempt. `None` when the task has ended meanwhile, or the engine stops.
async fn begin(
    inner: &Arc<Inner>,
    task: &TaskId,
    agent: &AgentDefinition,
    mut live: Live,
) -> Result<Option<(Started, RunId)>, StoreError> {
    let now = inner.now();
    let run_id = RunId::from_ulid(inner.mint.next(now));
    let id = task.clone();
    let chain = move |db: &_| {
        let task = store::task(db, &id, &Principal::Local)?.task;
        Ok((task.depth, store::root(db, &task)?))
    };
    (live.depth, live.root) = inner.store.read(chain).await?;
    // Before the commit, so that a cancel that follows it finds the run.
    inner.live().insert(task.clone(), Arc::new(live));
    let (id, terms, minted) = (task.clone(), terms(agent), inner.mint_message());
    let (run, shared) = (run_id.clone(), Arc::clone(inner));
    let stored = inner.store.write(move |db| {
        // Here, where all writes have one order: a start before the stop was wanted is followed by
        // the write that stops it, and one after it would run with nobody to end it.
        if shared.stopping() {
            return Ok(None);
        }
        store::start_attempt(db, now, &id, &run, &terms, &minted).map(Some)
    });
    match stored.await {
        Ok(None) => Ok(None),
        Ok(Some(begun)) => {
            let started = Started {
                task: inner.follow(begun.change),
                resume: begun.resume,
                left: Duration::from_millis(begun.left_ms),
            };
            Ok(Some((started, run_id)))
        }
        Err(StoreError::Illegal(_) | StoreError::NoTask) => Ok(None),
        Err(error) => Err(error),
    }
}

fn terms(agent: &AgentDefinition) -> Terms {
    let limit = seconds(agent.policy.max_task_seconds).as_millis();
    Terms {
        definition: agent.digest.clone(),
        limit_ms: i64::try_from(limit).unwrap_or(i64::MAX),
        max_attempts: agent.runtime.max_attempts.get(),
        retry: agent.runtime.on_interrupt == OnInterrupt::Retry,
        per_context: agent.runtime.session == SessionScope::PerContext,
    }
}

/// What the runner needs, with the text its task has streamed so far where it goes on with that, and the
/// questions that are still open.
async fn spec(
    inner: &Arc<Inner>,
    started: &Started,
    agent: &Arc<AgentDefinition>,
    run_id: RunId,
    token: String,
) -> Result<(RunSpec, Vec<OpenQuestion>), StoreError> {
    let task = &started.task;
    let (id, why) = (task.id.clone(), started.resume.as_ref().map(|one| one.why));
    let limit = usize::try_from(ARTIFACT_BYTES).unwrap_or(usize::MAX);
    let (prompt, before, open) = inner
        .store
        .read(move |db| match why {
            Some(why @ (ResumeReason::Interrupted | ResumeReason::Answered)) => {
                // A run that said nothing may have been cut off before it was told its task.
                let task = match store::heard(db, &id)? {
                    true => None,
                    false => store::history(db, &id)?.into_iter().next(),
                };
                let log = store::asked(db, &id)?;
                let prompt = prompt::go_on(why, task.as_ref(), &log);
                let (question, answer) = prompt::last_answer(&log).unzip();
                let open = store::open_questions(db, &id)?;
                let before = Before {
                    said: store::response(db, &id, limit)?,
                    answer,
                    question,
                    open: open.first().map(|open| open.question.clone()),
                };
                Ok((prompt, before, open))
            }
            Some(ResumeReason::NextTask) | None => {
                let history = store::history(db, &id)?;
                let prompt = history.first().map(prompt::render);
                Ok((prompt.unwrap_or_default(), Before::default(), Vec::new()))
            }
        })
        .await?;
    let tools = inner
        .tools_url
        .clone()
        .filter(|_| agent.tools_mesh)
        .map(|url| ToolsGrant { url, token });
    let spec = RunSpec {
        run_id,
        task_id: task.id.clone(),
        context_id: task.context_id.clone(),
        attempt: task.attempt,
        agent: Arc::clone(agent),
        prompt,
        resume: started.resume.clone(),
        before,
        dirs: inner.layout.run(&agent.id, &task.id),
        home: inner.layout.agent_home(&agent.id),
        mesh: inner.mesh(),
        skill: skill(task.metadata.as_ref()),
        patience: patience_of(task, inner.now()),
        tools,
    };
    Ok((spec, open))
}

/// How long a run may try to hand its message over; one of this node is handed it at once.
fn patience_of(task: &Task, now: UnixMillis) -> Option<Duration> {
    let elsewhere = !task.agent_id.is_local();
    let patience = patience(task.deliver_until, task.attempt, task.created_at, now);
    patience.filter(|_| elsewhere)
}

/// The skill a task's metadata names (`skill_id`), if it has a form that can stand in a header.
pub(crate) fn skill(metadata: Option<&JsonText>) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        skill_id: String,
    }
    let Named { skill_id } = metadata?.read().ok()?;
    let plain = skill_id.bytes().all(|byte| byte.is_ascii_graphic());
    (plain && (1..=SKILL_CHARS).contains(&skill_id.len())).then_some(skill_id)
}

/// The entry of streamed text; the digest is known once it is stored.
pub(crate) fn response_info(text: &str) -> ArtifactInfo {
    ArtifactInfo {
        id: ArtifactId::response(),
        media_type: "text/markdown".to_owned(),
        bytes: text.len() as u64,
        sha256: String::new(),
        partial: true,
        remote: None,
    }
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
            Err(error) if inner.too_late(&error) => {
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
