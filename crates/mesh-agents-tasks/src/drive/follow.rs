//! A run under way: what it says is stored, its limits are kept, until it is over.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{ArtifactId, QuestionId, TaskId};
use mesh_agents_core::limits::{ARTIFACT_BYTES, ARTIFACTS_PER_TASK};
use mesh_agents_core::question::Question;
use mesh_agents_core::run::{Answer, ArtifactSource, Outcome, Run, RunControl, RunEvent};
use mesh_agents_core::task::ArtifactInfo;
use mesh_agents_core::transition::{Happening, StopCause};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ask::Asked;
use super::journal::Journal;
use super::{End, RETRY, Started, response_info};
use crate::blobs::{PutError, Stored, is_digest};
use crate::engine::Inner;
use crate::store::{self, StoreError};

/// A runner confirms the end of a stopped run well within this; past it the run counts as lost and
/// is dropped, which ends it by force.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// The same for work on another node, where the run here follows it: what ends it is not a caller's wish, which
/// waits for that node, but a limit of ours, and an owner that goes on for ever must not hold the task as long.
/// Twice the silence after which a node counts as gone.
const LIMIT_PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any engine lives.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A run under way.
pub(super) struct Drive<'a> {
    pub(super) inner: &'a Arc<Inner>,
    pub(super) task: &'a TaskId,
    pub(super) attempt: u32,
    pub(super) agent: &'a AgentDefinition,
    end: &'a CancellationToken,
    let_go: &'a CancellationToken,
    journal: Journal,
    artifacts: usize,
    left: Duration,
    /// Whether its session is open.
    opened: bool,
    /// Whether a limit of this node ends it, and not a caller.
    limited: bool,
    /// That limit, where it could not be stored: what the run's end is to say.
    unsaid: Option<StopCause>,
    /// What the run waits to be told.
    pub(super) asked: Asked,
}

impl<'a> Drive<'a> {
    pub(super) fn new(
        inner: &'a Arc<Inner>,
        started: &'a Started,
        agent: &'a AgentDefinition,
        (end, let_go): (&'a CancellationToken, &'a CancellationToken),
        said: String,
    ) -> Self {
        let (task, attempt) = (&started.task.id, started.task.attempt);
        Self {
            inner,
            task,
            attempt,
            agent,
            end,
            let_go,
            journal: Journal::going_on(said),
            artifacts: 0,
            left: started.left,
            opened: false,
            limited: false,
            unsaid: None,
            asked: Asked::default(),
        }
    }

    /// Follows the run until it is over. Says how it was, and whether its session was open.
    pub(super) async fn follow(
        mut self,
        mut run: Run,
        mut answers: mpsc::Receiver<(QuestionId, Answer)>,
    ) -> (End, bool) {
        let policy = &self.agent.policy;
        let deadline = Instant::now() + self.left;
        let silence = seconds(policy.idle_seconds);
        let mut heard = Instant::now();
        let mut lost_at = None;
        let elsewhere = !self.agent.id.is_local();
        loop {
            let stopping = lost_at.is_some();
            tokio::select! {
                event = run.events.next() => {
                    heard = Instant::now();
                    match event {
                        Some(RunEvent::Ended(outcome)) => {
                            self.close(matches!(outcome, Outcome::Completed { .. })).await;
                            return (End::Said(self.of_its_limit(outcome)), self.opened);
                        }
                        Some(event) => self.take(event, &*run.control).await,
                        None => {
                            self.close(false).await;
                            let what = "the runner ended without saying how the run ended";
                            return (End::Lost(what), self.opened);
                        }
                    }
                }
                Some((question, answer)) = answers.recv() => {
                    heard = Instant::now();
                    self.pass_on(&question, answer, &*run.control);
                }
                () = sleep_until(self.asked.due()) => {
                    self.expire(&*run.control).await;
                    heard = Instant::now();
                }
                () = sleep_until(self.journal.due()) => self.flush().await,
                () = self.end.cancelled(), if !stopping => {
                    run.control.cancel();
                    lost_at = Some(Instant::now() + stop_patience(elsewhere, self.limited));
                }
                () = self.let_go.cancelled() => {
                    self.flush().await;
                    return (End::LetGo, self.opened);
                }
                () = sleep_until(deadline), if !stopping => self.stop(StopCause::Deadline).await,
                // A run that waits for an answer is silent for good reason.
                () = sleep_until(heard + silence), if !stopping && self.asked.none() => self.stop(StopCause::Idle).await,
                () = sleep_until(lost_at.unwrap_or(deadline)), if stopping => {
                    self.close(false).await;
                    let what = "the runner did not confirm the end of the run";
                    return (End::Lost(what), self.opened);
                }
            }
        }
    }

    /// Marks the cause of the end; the end itself follows through the token.
    pub(super) async fn stop(&mut self, cause: StopCause) {
        self.limited = true;
        if let Err(error) = self
            .inner
            .happen(self.task, Some(self.attempt), Happening::Stop(cause))
            .await
        {
            tracing::warn!(task = %self.task, %error, "the cause of a stop was not stored");
            // The first cause counts, as in the store.
            self.unsaid.get_or_insert(cause);
        }
        self.end.cancel();
    }

    /// The outcome of a run that a limit ended of which the store knows nothing.
    fn of_its_limit(&self, outcome: Outcome) -> Outcome {
        match (outcome, self.unsaid.and_then(StopCause::failure)) {
            (Outcome::Canceled, Some(failure)) => Outcome::Failed(failure),
            (outcome, _) => outcome,
        }
    }

    async fn take(&mut self, event: RunEvent, control: &dyn RunControl) {
        match event {
            RunEvent::Text(text) => self.journal.text(&text),
            RunEvent::Activity | RunEvent::Ended(_) => {}
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
                self.opened = true;
                self.flush().await;
                self.session(session_id, resumable).await;
            }
            RunEvent::Reach { away } => {
                self.flush().await;
                self.reach(away).await;
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
            RunEvent::Question {
                id,
                kind,
                text,
                options,
            } => {
                let question = Question {
                    id,
                    kind,
                    text,
                    options,
                };
                self.ask(question, control).await;
            }
            RunEvent::QuestionGone(id) => self.taken_back(&id).await,
        }
        if self.journal.is_full() {
            self.flush().await;
        }
    }

    /// Stores the session, so that a later engine can take it up.
    async fn session(&mut self, session_id: String, resumable: bool) {
        loop {
            let (now, id, attempt) = (self.inner.now(), self.task.clone(), self.attempt);
            let session = session_id.clone();
            let stored = self
                .inner
                .store
                .write(move |db| store::session_opened(db, now, &id, attempt, session, resumable));
            match stored.await {
                Ok(task) => return self.inner.wakes.tell(&task),
                // Without it a run that is cut off later could not be taken up.
                Err(error) if self.try_again(&error).await => {}
                Err(error) => {
                    self.inner.too_late(&error);
                    tracing::warn!(task = %self.task, %error, "the session of a run was not stored");
                    return;
                }
            }
        }
    }

    /// Stores whether whoever does the work can be reached.
    async fn reach(&mut self, away: Option<String>) {
        let (now, id, attempt) = (self.inner.now(), self.task.clone(), self.attempt);
        let stored = self
            .inner
            .store
            .write(move |db| store::reach(db, now, &id, attempt, away));
        match stored.await {
            Ok(task) => self.inner.wakes.tell(&task),
            Err(StoreError::LogFull) => self.stop(StopCause::TooMuchOutput).await,
            Err(error) => {
                self.inner.too_late(&error);
                tracing::warn!(task = %self.task, %error, "that a remote cannot be reached was not stored");
            }
        }
    }

    /// Stores what has gathered.
    pub(super) async fn flush(&mut self) {
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
                    self.inner.too_late(&error);
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
        let placed = match self.place(source).await {
            Ok(placed) => placed,
            Err(error) => {
                return self.note(
                    "artifact_skipped",
                    format!("\"{id}\" was not kept: {error}"),
                );
            }
        };
        let info = ArtifactInfo {
            id,
            media_type,
            bytes: placed.bytes,
            sha256: placed.sha256,
            partial,
            remote: placed.remote,
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
                    self.inner.too_late(&error);
                    return self.note(
                        "artifact_skipped",
                        format!("\"{}\" was not kept: {error}", info.id),
                    );
                }
            }
        }
    }

    /// Stores a content; one that is elsewhere, and not here too, stays there until somebody reads it.
    async fn place(&self, source: ArtifactSource) -> Result<Placed, PutError> {
        if let ArtifactSource::Elsewhere {
            name,
            sha256,
            bytes,
        } = source
        {
            if !is_digest(&sha256) || bytes > ARTIFACT_BYTES {
                let text = "its node does not say what it is, or it is too large";
                return Err(PutError::Source(io::Error::other(text)));
            }
            if let Some(stored) = self.inner.blobs.held(&sha256).await {
                return Ok(Placed::of(stored));
            }
            return Ok(Placed {
                sha256,
                bytes,
                remote: Some(name),
                _stays: None,
            });
        }
        loop {
            match self.inner.blobs.put(source.clone()).await {
                Ok(stored) => return Ok(Placed::of(stored)),
                Err(PutError::Store(error)) if self.try_again(&error).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn note(&mut self, code: &str, text: String) {
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

/// A content that is stored, or known.
struct Placed {
    sha256: String,
    bytes: u64,
    /// What it is called where it is, when that is not here.
    remote: Option<String>,
    /// Held until a row names it.
    _stays: Option<Stored>,
}

impl Placed {
    fn of(stored: Stored) -> Self {
        Self {
            sha256: stored.sha256.clone(),
            bytes: stored.bytes,
            remote: None,
            _stays: Some(stored),
        }
    }
}

/// How long a run that was told to end may take to do so.
///
/// Work on another node that a caller wants ended has ended when that node says so, however long that takes.
fn stop_patience(elsewhere: bool, limited: bool) -> Duration {
    match (elsewhere, limited) {
        (true, false) => NEVER,
        (true, true) => LIMIT_PATIENCE,
        (false, _) => STOP_PATIENCE,
    }
}

/// A limit of a definition as a time span; a century stands for every larger number.
pub(super) fn seconds(limit: u64) -> Duration {
    const CENTURY: u64 = 100 * 365 * 86_400;
    Duration::from_secs(limit.min(CENTURY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_wish_waits_for_a_node_and_a_limit_of_ours_does_not() {
        assert_eq!(stop_patience(true, false), NEVER);
        assert_eq!(stop_patience(true, true), LIMIT_PATIENCE);
        assert_eq!(stop_patience(false, false), STOP_PATIENCE);
        assert_eq!(stop_patience(false, true), STOP_PATIENCE);
    }
}
