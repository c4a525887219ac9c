//! What the remote says, taken in one event at a time.

use a2a::{Message, Role, StreamResponse, Task, TaskState, TaskStatus};
use mesh_agents_core::run::{Outcome, RunEvent};
use tokio::time::Instant;

use super::{End, Step, Talk};
use crate::remote::fault::{Fault, words};
use crate::remote::question;

/// Longest task id of a remote that is taken. Ours are 31 bytes, others' are UUIDs.
const ID_BYTES: usize = 256;
/// Longest text of a status that is told, in characters.
const STATUS_CHARS: usize = 2000;

impl Talk {
    /// The remote was heard.
    pub(super) async fn heard(&mut self) {
        self.contact = Instant::now();
        if std::mem::take(&mut self.lost) {
            let text = format!("{} is in reach again", self.url);
            self.note("remote_reached", text).await;
        }
    }

    /// Takes one event of a stream. A step when it is more than news.
    pub(super) async fn take(&mut self, event: StreamResponse) -> Option<Step> {
        match event {
            StreamResponse::Task(task) => self.take_task(task).await,
            StreamResponse::StatusUpdate(update) => {
                if let Err(step) = self.learn(&update.task_id).await {
                    return Some(step);
                }
                self.status(update.status, false).await
            }
            StreamResponse::ArtifactUpdate(update) => {
                if let Err(step) = self.learn(&update.task_id).await {
                    return Some(step);
                }
                let append = update.append == Some(true);
                let text = self.results.update(update.artifact, append);
                self.say(text).await;
                None
            }
            StreamResponse::Message(message) if self.remote.is_none() => {
                Some(Step::Over(End::Message(message)))
            }
            StreamResponse::Message(message) => {
                self.last_words = Some(question::text(&message));
                None
            }
        }
    }

    /// Takes the task as it stands. A step when it ended or waits.
    pub(super) async fn take_task(&mut self, task: Task) -> Option<Step> {
        if let Err(step) = self.learn(&task.id).await {
            return Some(step);
        }
        let text = self.results.snapshot(task.artifacts.unwrap_or_default());
        self.say(text).await;
        if let Some(history) = task.history {
            self.last_words = agent_words(&history);
        }
        self.status(task.status, true).await
    }

    /// Learns the remote's id for the task, and tells the engine.
    async fn learn(&mut self, id: &str) -> Result<(), Step> {
        match &self.remote {
            Some(known) if known != id => {
                let cause = format!("news of task {} instead of {known}", words(id));
                return Err(self.nonsense(cause));
            }
            Some(_) => {}
            None if fit(id) => self.remote = Some(id.to_owned()),
            None => return Err(self.nonsense(format!("the task id {:?}", words(id)))),
        }
        if !std::mem::replace(&mut self.announced, true) {
            self.emit(RunEvent::Started {
                session_id: id.to_owned(),
                resumable: true,
            })
            .await;
        }
        Ok(())
    }

    fn nonsense(&self, cause: String) -> Step {
        let fault = Fault::Unreadable { cause };
        Step::Over(End::Other(Outcome::Failed(
            fault.failure(&self.url, self.bearer_env.as_deref()),
        )))
    }

    /// Passes on a piece of the answer.
    pub(super) async fn say(&mut self, text: String) {
        if !text.is_empty() {
            self.emit(RunEvent::Text(text)).await;
        }
    }

    async fn status(&mut self, status: TaskStatus, whole: bool) -> Option<Step> {
        match &status.state {
            TaskState::InputRequired | TaskState::AuthRequired => Some(Step::Ask(status)),
            state if state.is_terminal() => Some(Step::Over(End::Task { status, whole })),
            _ => {
                let text = status.message.as_ref().map(question::text);
                if let Some(text) = text.filter(|text| !text.trim().is_empty())
                    && self.told.as_deref() != Some(&text)
                {
                    self.told = Some(text.clone());
                    let text = text.chars().take(STATUS_CHARS).collect();
                    self.note("remote_status", text).await;
                }
                None
            }
        }
    }
}

/// Whether an id may go into a URL and our store.
fn fit(id: &str) -> bool {
    (1..=ID_BYTES).contains(&id.len())
        && !id.chars().any(|c| c.is_control() || c.is_whitespace())
        && !matches!(id, "." | "..")
}

/// What the agent said last, if it spoke last.
fn agent_words(history: &[Message]) -> Option<String> {
    let last = history.last().filter(|one| one.role == Role::Agent)?;
    let text = question::text(last);
    (!text.trim().is_empty()).then_some(text)
}
