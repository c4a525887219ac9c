//! One run from its directories to its verdict.

mod launch;

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::run::{ArtifactSource, Outcome, RunEvent, RunSpec};
use mesh_agents_core::task::Failure;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::artifacts::{self, Scan};
use crate::config::BridgeConfig;
use crate::confinement;
use crate::guard::wire::{Exit, Order};
use crate::session::{Questions, Session};
use crate::verdict::{self, SUMMARY, SessionEnd};
use crate::workspace::{Fate, Places};
use launch::Launched;

/// How long the pipes of a run may stay open after the sweep. They close with the last process;
/// only one that could not be killed holds them longer.
const PIPES: Duration = Duration::from_secs(5);

/// One run to be done.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) config: Arc<BridgeConfig>,
    pub(crate) tracker: TaskTracker,
    pub(crate) spec: RunSpec,
    pub(crate) events: mpsc::Sender<RunEvent>,
    pub(crate) cancel: CancellationToken,
    pub(crate) questions: Arc<Questions>,
}

impl Job {
    /// Does it, to the last event.
    pub(crate) async fn run(self) {
        let deserted = async {
            self.events.closed().await;
            self.cancel.cancel();
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = self.in_places() => outcome,
            () = deserted => return,
        };
        self.emit(RunEvent::Ended(outcome)).await;
    }

    async fn in_places(&self) -> Outcome {
        let (config, spec) = (Arc::clone(&self.config), self.spec.clone());
        let prepared = blocking(move || Places::prepare(&config, &spec)).await;
        let places = match prepared {
            Some(Ok(places)) => Arc::new(places),
            Some(Err(failure)) => return Outcome::Failed(failure),
            None => return Outcome::Interrupted("the engine is stopping".to_owned()),
        };
        let outcome = self.under_guard(&places).await;
        let fate = match outcome {
            Outcome::Completed { .. } => Fate::Completed,
            Outcome::Interrupted(_) => Fate::Interrupted,
            _ => Fate::Failed,
        };
        let cleared = blocking(move || places.clear(fate)).await;
        if let Some((code, text)) = cleared.flatten() {
            self.note(code, text).await;
        }
        outcome
    }

    async fn under_guard(&self, places: &Places) -> Outcome {
        let launching = tokio::select! {
            launching = self.launch(places) => launching,
            () = self.cancel.cancelled() => return Outcome::Canceled,
        };
        let mut launched = match launching {
            Ok(launched) => launched,
            Err(failure) => return Outcome::Failed(failure),
        };
        self.emit(RunEvent::Process(launched.guard.process)).await;
        let end = self.converse(&mut launched, places).await;
        let end = self.wind_up(&mut launched, end).await;
        self.judge(&launched, end).await
    }

    /// Waits for the program to run, then holds the session.
    async fn converse(&self, launched: &mut Launched, places: &Places) -> SessionEnd {
        let spawned = tokio::select! {
            spawned = launched.guard.spawned() => spawned,
            () = self.cancel.cancelled() => return SessionEnd::Cancelled,
        };
        if let Err(error) = spawned {
            // Killed is not broken: what was being started may be started again.
            return if launched.guard.was_killed() {
                SessionEnd::GuardLost
            } else {
                SessionEnd::Failed(launched.not_spawned(&error, self.spec.agent.policy.network))
            };
        }
        let Some((stdin, incoming)) = launched.line.take() else {
            return SessionEnd::Gone;
        };
        let session = Session {
            spec: &self.spec,
            plan: &launched.plan,
            workspace: &places.workspace,
            lost: places.lost,
            timeouts: &self.config.timeouts,
            cancel: &self.cancel,
            feed: &launched.feed,
            questions: &self.questions,
        };
        let leaving = async {
            launched.guard.left().await;
            launched.feed.end();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            end = session.hold(stdin, incoming) => end,
            () = leaving => SessionEnd::Gone,
        }
    }

    /// Ends the processes, waits until nothing of them is left, and finds out why they left.
    async fn wind_up(&self, launched: &mut Launched, end: SessionEnd) -> SessionEnd {
        // An end in the middle of a conversation closes stdin too.
        drop(launched.line.take());
        let cancelled = end == SessionEnd::Cancelled;
        if cancelled {
            let limit = self.config.timeouts.cancel_eof;
            let _ = tokio::time::timeout(limit, launched.guard.left()).await;
        } else {
            launched.guard.order(Order::Finish);
        }
        let over = tokio::select! {
            over = launched.guard.over() => over,
            () = self.cancel.cancelled() => {
                launched.guard.order(Order::Stop);
                launched.guard.over().await
            }
        };
        if over.swept.left > 0 {
            let text = format!("{} processes of the run would not die", over.swept.left);
            self.note("processes_left", text).await;
        }
        launched.await_pipes(PIPES).await;
        self.questions.void(&launched.feed).await;
        let junk = launched.feed.junk_lines();
        if junk > 0 {
            let text = format!(
                "the harness wrote {junk} lines to its output that are not ACP; they were skipped"
            );
            self.note("junk_output", text).await;
        }
        match end {
            SessionEnd::Cancelled | SessionEnd::Answered(_) | SessionEnd::Lost(_) => end,
            SessionEnd::Gone | SessionEnd::GuardLost if over.lost => SessionEnd::GuardLost,
            SessionEnd::Gone | SessionEnd::GuardLost => {
                SessionEnd::Failed(self.explain_exit(launched))
            }
            SessionEnd::Failed(mut failure) => {
                failure.stderr_tail = launched.stderr.reason();
                SessionEnd::Failed(failure)
            }
        }
    }

    fn explain_exit(&self, launched: &Launched) -> Failure {
        let how = match launched.guard.exit() {
            Some(Exit::Code(code)) => format!("left with exit status {code}"),
            Some(Exit::Signal(signal)) => format!("was ended by signal {signal}"),
            None => "closed its input or output".to_owned(),
        };
        let tail = launched.stderr.reason();
        let hint = launched
            .confined
            .then(|| confinement::hint(self.spec.agent.policy.filesystem, tail.as_deref()?))
            .flatten();
        let next = hint.unwrap_or_else(|| {
            let words = match &tail {
                Some(_) => "what it said last follows",
                None => "it said nothing on its standard error",
            };
            format!("{words}; try the command by hand")
        });
        let program = launched.plan.program.display();
        Failure {
            code: "harness_exited".to_owned(),
            message: format!("{program} {how} before it had answered; {next}"),
            stderr_tail: tail,
        }
    }

    /// Collects the results and says what the run counts as.
    async fn judge(&self, launched: &Launched, end: SessionEnd) -> Outcome {
        let dir = self.spec.dirs.artifacts();
        let scan = blocking(move || artifacts::scan(&dir))
            .await
            .unwrap_or_default();
        let answer = launched.feed.final_text();
        let outcome = verdict::decide(end, &answer, &scan.found, &self.spec.agent.require);
        let completed = matches!(outcome, Outcome::Completed { .. });
        self.deliver(scan, &answer, completed).await;
        outcome
    }

    async fn deliver(&self, scan: Scan, answer: &str, completed: bool) {
        if !scan.skipped.is_empty() {
            self.note("artifact_skipped", scan.skipped.join("; ")).await;
        }
        let written = scan.found.iter().any(|file| file.id.as_str() == SUMMARY);
        for file in scan.found {
            self.emit(RunEvent::Artifact {
                media_type: artifacts::media_type(&file.id).to_owned(),
                id: file.id,
                source: ArtifactSource::File(file.path),
                complete: completed,
            })
            .await;
        }
        let summary = SUMMARY.parse::<ArtifactId>();
        if let (Ok(id), true, false) = (summary, completed, written || answer.trim().is_empty()) {
            self.emit(RunEvent::Artifact {
                media_type: artifacts::media_type(&id).to_owned(),
                id,
                source: ArtifactSource::Text(answer.to_owned()),
                complete: true,
            })
            .await;
        }
    }

    async fn note(&self, code: &str, text: String) {
        let code = code.to_owned();
        self.emit(RunEvent::Note { code, text }).await;
    }

    async fn emit(&self, event: RunEvent) {
        // A reader that is gone is noticed by `run`.
        let _ = self.events.send(event).await;
    }
}

/// Runs something that touches the disk where it may block. `None` when the runtime is stopping.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
