//! One run: a message sent to a remote agent, and the task it became followed to its end.

mod backoff;
mod cancel;
mod close;
mod follow;
mod hear;
mod open;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use a2a::{Message, TaskStatus};
use mesh_agents_core::ids::QuestionId;
use mesh_agents_core::run::{Answer, Outcome, RunEvent, RunSpec};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::backoff::Backoff;
use super::call::{Caller, Stream};
use super::results::Results;
use super::target::{Target, misconfigured};
use super::wire::Patience;
use super::{RemoteTimeouts, Shared};

/// How long a cancel waits for the remote to name a task it was only just sent: without its id
/// nothing can be canceled over there.
const NAMING: Duration = Duration::from_millis(500);

/// One run to be done.
pub(super) struct Job {
    pub(super) shared: Arc<Shared>,
    pub(super) spec: RunSpec,
    pub(super) events: mpsc::Sender<RunEvent>,
    pub(super) answers: mpsc::Receiver<(QuestionId, Answer)>,
    pub(super) cancel: CancellationToken,
}

impl Job {
    /// Does it, to the last event.
    pub(super) async fn run(self) {
        let events = self.events.clone();
        let outcome = tokio::select! {
            outcome = self.hold() => outcome,
            // Nobody listens any more, which ends the run by force; the remote may go on.
            () = events.closed() => return,
        };
        let _ = events.send(RunEvent::Ended(outcome)).await;
    }

    async fn hold(self) -> Outcome {
        let target = match Target::of(&self.spec.agent, &self.shared.lookup) {
            Ok(target) => target,
            Err(failure) => return Outcome::Failed(failure),
        };
        let pipe = match self.shared.pipe(&target) {
            Ok(pipe) => pipe,
            Err(error) => return Outcome::Failed(misconfigured(error.to_string())),
        };
        let timeouts = match target.node {
            None => self.shared.timeouts,
            Some(_) => RemoteTimeouts {
                contact: Duration::MAX,
                ..self.shared.timeouts
            },
        };
        let patience = Patience {
            first_byte: timeouts.first_byte,
        };
        let caller = match Caller::new(&target, pipe, patience).await {
            Ok(caller) => caller,
            Err(failure) => return Outcome::Failed(failure),
        };
        Talk {
            caller,
            streaming: target.streaming,
            on_mesh: target.node.is_some(),
            url: target.url,
            bearer_env: target.bearer_env,
            retry: Backoff::new(timeouts.retry_first, timeouts.retry_most),
            poll: Backoff::new(timeouts.retry_first, timeouts.poll_most),
            timeouts,
            results: Results::going_on(self.spec.before.said.clone()),
            spec: self.spec,
            events: self.events,
            answers: self.answers,
            cancel: self.cancel,
            remote: None,
            announced: false,
            last_words: None,
            told: None,
            sent: 0,
            asked: 0,
            contact: Instant::now(),
            lost: false,
        }
        .hold()
        .await
    }
}

/// A run under way.
struct Talk {
    caller: Caller,
    /// Whether the remote streams, as far as is known.
    streaming: bool,
    /// Whether it is an agent of another node of the mesh.
    on_mesh: bool,
    url: String,
    bearer_env: Option<String>,
    timeouts: RemoteTimeouts,
    spec: RunSpec,
    events: mpsc::Sender<RunEvent>,
    answers: mpsc::Receiver<(QuestionId, Answer)>,
    cancel: CancellationToken,
    /// The remote's id for the task, once it is known.
    remote: Option<String>,
    /// Whether the engine knows it too.
    announced: bool,
    results: Results,
    /// The agent's last message in the history.
    last_words: Option<String>,
    /// What the last status at work said, so that it is told once.
    told: Option<String>,
    /// Messages sent in this run.
    sent: u32,
    /// Questions asked in this run.
    asked: u32,
    /// When the remote was last heard.
    contact: Instant,
    /// Whether contact is lost now, and was told to be.
    lost: bool,
    retry: Backoff,
    poll: Backoff,
}

/// What is to be done next.
enum Step {
    /// Send this message.
    Send(Message),
    /// Read this stream.
    Read(Stream),
    /// Find out how the task stands, and follow it again.
    Attach,
    /// Look at the task again after a pause.
    Poll,
    /// Ask the caller what this status asks.
    Ask(TaskStatus),
    /// Finish: the remote has.
    Over(End),
}

/// How it ended.
enum End {
    /// The task reached its end; `whole` when all of it was just seen.
    Task { status: TaskStatus, whole: bool },
    /// The remote answered without making a task.
    Message(Message),
    /// Otherwise.
    Other(Outcome),
}

impl Talk {
    async fn hold(mut self) -> Outcome {
        let cancel = self.cancel.clone();
        let asked_at = OnceLock::new();
        let mut step = tokio::select! {
            biased;
            () = cancel.cancelled() => return Outcome::Canceled,
            step = self.first() => step,
        };
        loop {
            let patience = if self.remote.is_none() {
                NAMING
            } else {
                Duration::ZERO
            };
            let canceled = async {
                cancel.cancelled().await;
                let at = *asked_at.get_or_init(Instant::now);
                sleep(patience).await;
                at
            };
            step = tokio::select! {
                biased;
                at = canceled => return self.cancel_remote(at).await,
                step = self.advance(step) => step,
            };
            if let Step::Over(end) = step {
                return self.end(end).await;
            }
        }
    }

    async fn advance(&mut self, step: Step) -> Step {
        match step {
            Step::Send(message) => self.send(message).await,
            Step::Read(stream) => self.read(stream).await,
            Step::Attach => self.attach().await,
            Step::Poll => self.look().await,
            Step::Ask(status) => self.ask(status).await,
            Step::Over(end) => Step::Over(end),
        }
    }

    async fn note(&self, code: &str, text: String) {
        let code = code.to_owned();
        self.emit(RunEvent::Note { code, text }).await;
    }

    async fn emit(&self, event: RunEvent) {
        // A reader that is gone is noticed by `Job::run`.
        let _ = self.events.send(event).await;
    }

    /// The task over there, for a person.
    fn remote_name(&self) -> String {
        match &self.remote {
            Some(id) => format!("task {id} at {}", self.url),
            None => format!("the message sent to {}", self.url),
        }
    }
}
