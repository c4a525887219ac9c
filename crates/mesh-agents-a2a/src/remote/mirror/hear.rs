//! What the remote says, taken in one event at a time.

use std::collections::HashMap;

use a2a::{Message, Role, StreamResponse, Task, TaskState, TaskStatus};
use mesh_agents_core::run::RunEvent;
use serde_json::Value;

use super::{End, Look, Mirror, Phase, SEQ};
use crate::remote::fault::{Fault, words};
use crate::remote::question;

/// Longest task id of a remote that is taken. Ours are 31 bytes, others' are UUIDs.
const ID_BYTES: usize = 256;
/// Longest text of a status that is told, in characters.
const STATUS_CHARS: usize = 2000;

/// What follows from something the remote said, if it is more than news. Without one the mirror goes
/// on with what it was doing.
pub(super) enum Then {
    /// It was news.
    On,
    /// The phase was set: it waits, or it is over.
    Done,
}

impl Mirror {
    /// The remote was heard.
    pub(super) fn heard(&mut self) {
        self.contact = self.now;
        if std::mem::take(&mut self.lost) {
            self.log(RunEvent::Reach { away: None });
            let text = format!("{} is in reach again", self.terms.url);
            self.note("remote_reached", text);
        } else if self.unsure {
            // An earlier run may have left it out of reach.
            self.log(RunEvent::Reach { away: None });
        }
        self.unsure = false;
    }

    /// Takes one event of a stream.
    pub(super) fn hear(&mut self, event: StreamResponse) -> Then {
        match event {
            StreamResponse::Task(task) => self.take_task(task),
            StreamResponse::StatusUpdate(update) => {
                if let Then::Done = self.learn(&update.task_id) {
                    return Then::Done;
                }
                if !self.is_new(update.metadata.as_ref()) {
                    return Then::On;
                }
                self.status(update.status, false)
            }
            StreamResponse::ArtifactUpdate(update) => {
                if let Then::Done = self.learn(&update.task_id) {
                    return Then::Done;
                }
                if self.is_new(update.metadata.as_ref()) {
                    let append = update.append == Some(true);
                    let text = self.results.update(update.artifact, append);
                    self.say(text);
                }
                Then::On
            }
            StreamResponse::Message(message) if self.remote.is_none() => {
                self.end(End::Message(message));
                Then::Done
            }
            StreamResponse::Message(message) => {
                self.last_words = Some(question::text(&message));
                Then::On
            }
        }
    }

    /// Takes the task as it stands.
    pub(super) fn take_task(&mut self, task: Task) -> Then {
        match self.news(task) {
            Some(status) => self.status(status, true),
            None if self.is_over() => Then::Done,
            None => Then::On,
        }
    }

    /// Takes all of a task but its status, which is returned; `None` when it says nothing new.
    pub(super) fn news(&mut self, task: Task) -> Option<TaskStatus> {
        if let Then::Done = self.learn(&task.id) {
            return None;
        }
        if std::mem::take(&mut self.remembers) {
            // Its log does not go on where it was left, and what it is now counts.
            self.seq = 0;
        }
        if let Some(seq) = self.number(task.metadata.as_ref()) {
            // As it stands may be as it stood: an answer that was overtaken by a stream. Its end is its end, also
            // where the owner's log is shorter than it was: one that was restored from a backup.
            if seq < self.seq && !task.status.state.is_terminal() {
                return None;
            }
            self.seq = self.seq.max(seq);
        }
        let text = self.results.snapshot(task.artifacts.unwrap_or_default());
        self.say(text);
        if let Some(history) = task.history {
            self.last_words = agent_words(&history);
        }
        Some(task.status)
    }

    /// The number a node gives what it says.
    fn number(&self, metadata: Option<&HashMap<String, Value>>) -> Option<u64> {
        let seq = metadata?.get(SEQ)?.as_u64();
        seq.filter(|_| self.terms.on_mesh)
    }

    /// Whether an update is to be applied; it is applied then.
    fn is_new(&mut self, metadata: Option<&HashMap<String, Value>>) -> bool {
        let Some(seq) = self.number(metadata) else {
            return true;
        };
        let new = seq > self.seq;
        self.seq = self.seq.max(seq);
        self.remembers = false;
        new
    }

    /// Learns the remote's id for the task, and tells the engine.
    pub(super) fn learn(&mut self, id: &str) -> Then {
        match &self.remote {
            Some(known) if known != id => {
                let cause = format!("news of task {} instead of {known}", words(id));
                return self.nonsense(cause);
            }
            Some(_) => {}
            None if fit(id) => self.remote = Some(id.to_owned()),
            None => return self.nonsense(format!("the task id {:?}", words(id))),
        }
        if !std::mem::replace(&mut self.announced, true) {
            self.log(RunEvent::Started {
                session_id: id.to_owned(),
                resumable: true,
            });
        }
        Then::On
    }

    fn nonsense(&mut self, cause: String) -> Then {
        let outcome = self.failure_of(&Fault::Unreadable { cause });
        self.end(End::Other(outcome));
        Then::Done
    }

    /// Passes on a piece of the answer.
    pub(super) fn say(&mut self, text: String) {
        if !text.is_empty() {
            self.log(RunEvent::Text(text));
        }
    }

    pub(super) fn status(&mut self, status: TaskStatus, whole: bool) -> Then {
        match &status.state {
            TaskState::InputRequired | TaskState::AuthRequired => {
                self.asks(status);
                Then::Done
            }
            state if state.is_terminal() => {
                self.end(End::Task { status, whole });
                Then::Done
            }
            state => {
                if *state == TaskState::Submitted {
                    self.results.doubt();
                }
                self.withdraw();
                self.late = None;
                let text = status.message.as_ref().map(question::text);
                if let Some(text) = text.filter(|text| !text.trim().is_empty())
                    && self.told.as_deref() != Some(&text)
                {
                    self.told = Some(text.clone());
                    let text = text.chars().take(STATUS_CHARS).collect();
                    self.note("remote_status", text);
                }
                Then::On
            }
        }
    }

    /// Goes on in a phase that what was heard has not set.
    pub(super) fn go_on(&mut self, then: Then, look: Look) {
        match (then, look) {
            (Then::Done, _) => {}
            (Then::On, Look::Poll) => {
                let pause = self.poll.next();
                self.after(pause, Phase::Pausing(Look::Poll));
            }
            (Then::On, Look::Attach) => self.attach(),
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
