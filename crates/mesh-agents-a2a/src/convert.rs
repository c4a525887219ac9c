//! Domain values as A2A 1.0 ProtoJSON (spec §4, §5.5–5.7).
//!
//! A task is put together from pieces that are encoded one by one ([`message`], [`artifact`]), so
//! that a caller with a size limit can weigh each piece before it decides what goes in.

mod wire;

use jiff::Timestamp;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::{ArtifactId, MessageId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::task::{ArtifactInfo, Failure, Message, Role, Task};

use self::wire::{
    ArtifactMetadata, FailureMetadata, WireArtifact, WireArtifactUpdate, WireMessage, WirePart,
    WireStatus, WireStatusUpdate, WireTask, content, exact, state, wire_part,
};
use crate::peer::Numbered;

/// Media type of the text a run streams.
const RESPONSE_TYPE: &str = "text/markdown";

/// A domain value that has no ProtoJSON form.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {what} of task {task} as A2A JSON: {source}")]
pub struct ConvertError {
    /// What was being written.
    pub what: &'static str,
    /// The task it belongs to.
    pub task: String,
    /// The cause.
    pub source: serde_json::Error,
}

/// The content of an artifact as it goes out.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// All of it, byte for byte, with its digest: for another node, which keeps it.
    Exact(&'a [u8]),
    /// Nothing of it; a part with this URL says where it is, beside its length and digest.
    Elsewhere(&'a str),
    /// Nothing of it; a text part with this note stands in, for an artifact has at least one part.
    LeftOut(&'a str),
}

/// A task and its encoded pieces.
#[derive(Debug)]
pub struct TaskDocument<'a> {
    /// The row.
    pub task: &'a Task,
    /// The message of the status ([`status_message`]), encoded.
    pub status_message: Option<JsonText>,
    /// Messages, oldest first, encoded.
    pub history: &'a [JsonText],
    /// Artifacts, encoded.
    pub artifacts: &'a [JsonText],
    /// The caller's data; must be an object.
    pub metadata: Option<&'a JsonText>,
}

impl TaskDocument<'_> {
    /// The A2A Task. Empty lists are left out.
    ///
    /// # Errors
    /// When a piece is no JSON; not for pieces made here.
    pub fn encode(&self) -> Result<JsonText, ConvertError> {
        let wire = WireTask {
            id: self.task.id.as_str(),
            context_id: self.task.context_id.as_str(),
            status: WireStatus {
                state: state(self.task.state),
                message: self.status_message.as_ref(),
                timestamp: timestamp(self.task.updated_at),
            },
            artifacts: self.artifacts,
            history: self.history,
            metadata: self.metadata,
        };
        JsonText::of(&wire).map_err(|source| failed("the task", self.task, source))
    }
}

/// A task with these messages, oldest first, and these encoded artifacts.
///
/// # Errors
/// When a message has no JSON form, or a piece is no JSON; not for pieces made here.
pub fn task(
    task: &Task,
    history: &[Message],
    artifacts: &[JsonText],
) -> Result<JsonText, ConvertError> {
    let history: Vec<JsonText> = history
        .iter()
        .map(|one| message(task, one))
        .collect::<Result<_, _>>()?;
    let document = TaskDocument {
        task,
        status_message: told_status(task)
            .map(|one| message(task, &one))
            .transpose()?,
        history: &history,
        artifacts,
        metadata: task.metadata.as_ref(),
    };
    document.encode()
}

/// What the task's status says: the message of its last state change, or its failure in words.
/// A failure's code travels as `metadata.failure_code` of that message.
#[must_use]
pub fn status_message(task: &Task) -> Option<Message> {
    let Some(failure) = &task.failure else {
        return task.status_message.clone();
    };
    let mut message = task.status_message.clone().or_else(|| {
        let id: MessageId = format!("{}:status", task.id).parse().ok()?;
        Some(Message::text(id, Role::Agent, failure_text(failure)))
    })?;
    if message.metadata.is_none() {
        message.metadata = JsonText::of(&FailureMetadata {
            failure_code: &failure.code,
        })
        .ok();
    }
    Some(message)
}

/// [`status_message`] as it goes out over A2A: a task that another node sent says of a failure what that node
/// may know, whoever reads it there. Its owner's tools show the whole.
#[must_use]
pub fn told_status(task: &Task) -> Option<Message> {
    let whole = status_message(task)?;
    match (&task.principal, &task.failure) {
        (Principal::Key(_), Some(failure)) => Some(Message {
            metadata: whole.metadata,
            ..Message::text(
                whole.message_id,
                Role::Agent,
                failure_text(&failure.for_peers()),
            )
        }),
        _ => Some(whole),
    }
}

/// The status of the task as an update (`TaskStatusUpdateEvent`), with the number of its event where the reader
/// is another node.
///
/// # Errors
/// When its message has no JSON form.
pub(crate) fn status_update(
    task: &Task,
    metadata: Option<Numbered>,
) -> Result<JsonText, ConvertError> {
    let words = told_status(task)
        .map(|one| message(task, &one))
        .transpose()?;
    let wire = WireStatusUpdate {
        task_id: task.id.as_str(),
        context_id: task.context_id.as_str(),
        status: WireStatus {
            state: state(task.state),
            message: words.as_ref(),
            timestamp: timestamp(task.updated_at),
        },
        metadata,
    };
    JsonText::of(&wire).map_err(|source| failed("a status update", task, source))
}

/// How an artifact update relates to what was sent of the artifact before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// It begins the artifact, or begins it anew.
    First,
    /// It goes behind what was sent.
    More,
    /// It is the whole artifact; nothing of it follows.
    Whole,
}

/// An encoded artifact as an update (`TaskArtifactUpdateEvent`), with the number of its event where the
/// reader is another node.
///
/// # Errors
/// When the artifact is no JSON; not for one made by [`artifact`] or [`streamed`].
pub(crate) fn artifact_update(
    task: &Task,
    artifact: &JsonText,
    piece: Piece,
    metadata: Option<Numbered>,
) -> Result<JsonText, ConvertError> {
    let wire = WireArtifactUpdate {
        task_id: task.id.as_str(),
        context_id: task.context_id.as_str(),
        artifact,
        append: piece == Piece::More,
        last_chunk: piece == Piece::Whole,
        metadata,
    };
    JsonText::of(&wire).map_err(|source| failed("an artifact update", task, source))
}

/// A piece of streamed text as the artifact `response`.
///
/// # Errors
/// Never for text; the encoder has no other form.
pub fn streamed(task: &Task, text: &str) -> Result<JsonText, ConvertError> {
    let wire = WireArtifact {
        artifact_id: ArtifactId::RESPONSE,
        parts: [WirePart {
            text: Some(text),
            media_type: Some(RESPONSE_TYPE),
            ..WirePart::default()
        }],
        metadata: None,
    };
    JsonText::of(&wire).map_err(|source| failed("streamed text", task, source))
}

/// A message of this task.
///
/// # Errors
/// When a part has no JSON form.
pub fn message(task: &Task, message: &Message) -> Result<JsonText, ConvertError> {
    let wire = WireMessage {
        message_id: message.message_id.as_str(),
        context_id: task.context_id.as_str(),
        task_id: task.id.as_str(),
        role: match message.role {
            Role::User => a2a::Role::User,
            Role::Agent => a2a::Role::Agent,
        },
        parts: message.parts.iter().map(wire_part).collect(),
        metadata: message.metadata.as_ref(),
        extensions: &message.extensions,
        reference_task_ids: &message.references,
    };
    JsonText::of(&wire).map_err(|source| failed("a message", task, source))
}

/// An artifact of this task: JSON becomes a data part, other UTF-8 a text part, the rest `raw`.
///
/// # Errors
/// When the pieces have no JSON form.
pub fn artifact(
    task: &Task,
    info: &ArtifactInfo,
    body: Body<'_>,
) -> Result<JsonText, ConvertError> {
    let part = match body {
        Body::Elsewhere(url) => WirePart {
            url: Some(url),
            media_type: Some(&info.media_type),
            filename: info.id.as_str().rsplit('/').next(),
            ..WirePart::default()
        },
        Body::LeftOut(note) => WirePart {
            text: Some(note),
            ..WirePart::default()
        },
        Body::Whole(bytes) => WirePart {
            media_type: Some(&info.media_type),
            ..content(info, bytes)
        },
        Body::Exact(bytes) => WirePart {
            media_type: Some(&info.media_type),
            ..exact(bytes)
        },
    };
    let elsewhere = matches!(body, Body::Elsewhere(_));
    let digest = (elsewhere || matches!(body, Body::Exact(_))).then_some(info.sha256.as_str());
    let left_out = matches!(body, Body::LeftOut(_));
    let wire = WireArtifact {
        artifact_id: info.id.as_str(),
        parts: [part],
        metadata: (left_out || info.partial || digest.is_some()).then_some(ArtifactMetadata {
            sha256: digest,
            left_out,
            partial: info.partial,
            media_type: left_out.then_some(info.media_type.as_str()),
            bytes: (left_out || elsewhere).then_some(info.bytes),
        }),
    };
    JsonText::of(&wire).map_err(|source| failed("an artifact", task, source))
}

/// The time that [`timestamp`] wrote; `None` for a text that is none.
#[must_use]
pub fn read_timestamp(text: &str) -> Option<UnixMillis> {
    let at: Timestamp = text.parse().ok()?;
    Some(UnixMillis(at.as_millisecond()))
}

/// ISO 8601 in UTC with milliseconds and `Z`.
#[must_use]
pub fn timestamp(at: UnixMillis) -> String {
    let edge = if at.0 < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_millisecond(at.0)
        .unwrap_or(edge)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// Whether an artifact of this media type is shown as data.
#[must_use]
pub fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json")
}

fn failure_text(failure: &Failure) -> String {
    format!("{}: {}", failure.code, failure.told())
}

fn failed(what: &'static str, task: &Task, source: serde_json::Error) -> ConvertError {
    ConvertError {
        what,
        task: task.id.to_string(),
        source,
    }
}

#[cfg(test)]
mod tests;
