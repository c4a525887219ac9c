//! A task's log as the updates A2A streams: statuses and pieces of artifacts, in the order of the log.
//!
//! Pure: it takes events and gives encoded `StreamResponse` values. A stream to a client and a push
//! notification are the same readings. What A2A has no word for (tool calls, plans, notes) is left
//! out, and so are messages: a stream that began with a task carries no messages (§3.1.2).

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::task::{ArtifactInfo, Task};
use mesh_agents_tasks::StoredEvent;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::convert::{self, Body, ConvertError, Piece};
use crate::peer::{Numbered, ToNode};

/// One value of a stream, with the key that says what it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Wrapped<'a> {
    Task(&'a JsonText),
    StatusUpdate(&'a JsonText),
    ArtifactUpdate(&'a JsonText),
}

/// An encoded task as the first value of a stream, and as the result of SendMessage.
///
/// # Errors
/// When `task` is no JSON; not for one made by [`convert`].
pub fn of_task(task: &Task, encoded: &JsonText) -> Result<JsonText, ConvertError> {
    wrap(task, &Wrapped::Task(encoded))
}

/// What an event of the log means to a reader of the stream.
#[derive(Debug)]
pub enum Update {
    /// This is to be sent.
    Send(JsonText),
    /// An artifact was stored whole: [`Updates::whole`] makes the update once its content is read.
    Stored(ArtifactInfo),
}

/// Turns the events of one task's log into updates, one after the other.
#[derive(Debug)]
pub struct Updates {
    task: Task,
    /// Digest of the text sent of the artifact `response`; `None` while there is none.
    streamed: Option<Sha256>,
    /// The reader, when it is another node.
    to_node: Option<ToNode>,
    /// The number of the event that was taken last.
    seq: u64,
}

impl Updates {
    /// Starts behind the event that `task` and `response` (the text streamed so far) stand for.
    #[must_use]
    pub fn after(task: Task, response: Option<&str>) -> Self {
        let response = response.filter(|text| !text.is_empty());
        Self {
            seq: task.last_seq,
            task,
            streamed: response.map(|text| Sha256::new().chain_update(text)),
            to_node: None,
        }
    }

    /// Starts behind event `after` of the log of `task`, when the text streamed was `response`.
    #[must_use]
    pub(crate) fn behind(task: Task, response: &str, after: u64) -> Self {
        let mut updates = Self::after(task, Some(response));
        updates.seq = after;
        // As it stood at that event it was changed before the events behind it.
        updates.task.updated_at = updates.task.created_at;
        updates
    }

    /// The same for a reader that may be another node.
    pub(crate) fn to(self, to_node: Option<ToNode>) -> Self {
        Self { to_node, ..self }
    }

    fn number(&self) -> Option<Numbered> {
        self.to_node.map(|_| Numbered { seq: self.seq })
    }

    /// The task, as far as the events taken say.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// What this event means; `None` for one that means nothing to a client.
    ///
    /// # Errors
    /// When the event has no JSON form.
    pub fn take(&mut self, stored: &StoredEvent) -> Result<Option<Update>, ConvertError> {
        self.seq = stored.seq;
        match &stored.event {
            TaskEvent::State {
                state,
                message,
                failure,
            } => {
                self.task.state = *state;
                self.task.status_message.clone_from(message);
                if let (Some(to_node), Some(message)) =
                    (self.to_node, &mut self.task.status_message)
                {
                    to_node.mark(message);
                }
                self.task.failure.clone_from(failure);
                // As the row has it: later than the change before, whatever the clock did.
                let next = UnixMillis(self.task.updated_at.0 + 1);
                self.task.updated_at = stored.at.max(next);
                let update = convert::status_update(&self.task, self.number())?;
                let update = wrap(&self.task, &Wrapped::StatusUpdate(&update))?;
                Ok(Some(Update::Send(update)))
            }
            TaskEvent::Text { text } => {
                let piece = match self.streamed {
                    Some(_) => Piece::More,
                    None => Piece::First,
                };
                self.streamed.get_or_insert_default().update(text);
                let artifact = convert::streamed(&self.task, text)?;
                self.artifact(&artifact, piece)
                    .map(|update| Some(Update::Send(update)))
            }
            TaskEvent::Attempt { resumed, .. } => {
                // One that is not resumed answers from the beginning.
                if !resumed {
                    self.streamed = None;
                }
                Ok(None)
            }
            TaskEvent::Artifact { artifact } => {
                let sent = artifact.id.as_str() == ArtifactId::RESPONSE
                    && self.streamed.as_ref().is_some_and(|sent| {
                        format!("{:x}", sent.clone().finalize()) == artifact.sha256
                    });
                Ok((!sent).then(|| Update::Stored(artifact.clone())))
            }
            // Questions show as the state they lead to; the rest has no word in A2A.
            _ => Ok(None),
        }
    }

    /// The update for an artifact that was stored whole.
    ///
    /// # Errors
    /// When the artifact has no JSON form.
    pub fn whole(&self, info: &ArtifactInfo, body: Body<'_>) -> Result<JsonText, ConvertError> {
        let body = match (self.to_node, body) {
            (Some(_), Body::Whole(bytes)) => Body::Exact(bytes),
            (_, body) => body,
        };
        let artifact = convert::artifact(&self.task, info, body)?;
        self.artifact(&artifact, Piece::Whole)
    }

    fn artifact(&self, artifact: &JsonText, piece: Piece) -> Result<JsonText, ConvertError> {
        let update = convert::artifact_update(&self.task, artifact, piece, self.number())?;
        wrap(&self.task, &Wrapped::ArtifactUpdate(&update))
    }
}

fn wrap(task: &Task, value: &Wrapped<'_>) -> Result<JsonText, ConvertError> {
    JsonText::of(value).map_err(|source| ConvertError {
        what: "a value of a stream",
        task: task.id.to_string(),
        source,
    })
}

#[cfg(test)]
mod tests;
