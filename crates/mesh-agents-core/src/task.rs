//! What a task is: state, messages, artifacts (A2A 1.0 §4.1, in the words of this domain).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::ids::{AgentId, ArtifactId, ContextId, MessageId, TaskId};
use crate::json::JsonText;
use crate::principal::Principal;

/// The states of A2A 1.0 (§4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Accepted and stored; waits for its turn.
    Submitted,
    /// A run is at work.
    Working,
    /// The run waits for an answer.
    InputRequired,
    /// The run waits for a login outside.
    AuthRequired,
    /// Ended well.
    Completed,
    /// Ended badly; the status message says why.
    Failed,
    /// Ended at a caller's wish.
    Canceled,
    /// Never started, for a reason of the agent's.
    Rejected,
}

impl TaskState {
    /// All states, in life order.
    pub const ALL: [Self; 8] = [
        Self::Submitted,
        Self::Working,
        Self::InputRequired,
        Self::AuthRequired,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Rejected,
    ];

    /// Whether nothing can happen to the task any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Canceled | Self::Rejected
        )
    }

    /// Whether the task waits for somebody outside.
    #[must_use]
    pub fn is_interrupted(self) -> bool {
        matches!(self, Self::InputRequired | Self::AuthRequired)
    }

    /// The lower-case name used in tool results and filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Working => "working",
            Self::InputRequired => "input_required",
            Self::AuthRequired => "auth_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no task state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "state {0:?} is not one of submitted, working, input_required, auth_required, completed, failed, canceled, rejected"
)]
pub struct UnknownState(pub String);

impl FromStr for TaskState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| UnknownState(text.chars().take(80).collect()))
    }
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The caller.
    User,
    /// The agent.
    Agent,
}

/// One message of a task's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Unique within the task.
    pub message_id: MessageId,
    /// Who wrote it.
    pub role: Role,
    /// What it says; at least one.
    pub parts: Vec<Part>,
    /// The caller's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
    /// Earlier tasks of the same context it refers to, as the caller wrote them (A2A §4.1.4).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// URIs of the extensions that shaped it (A2A §4.1.4).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
}

impl Message {
    /// A message of one text part.
    #[must_use]
    pub fn text(message_id: MessageId, role: Role, text: impl Into<String>) -> Self {
        Self {
            message_id,
            role,
            parts: vec![Part::text(text)],
            metadata: None,
            references: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// All text parts, a blank line between them.
    #[must_use]
    pub fn joined_text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match &part.content {
            Content::Text(text) => Some(text.as_str()),
            Content::Data(_) | Content::Url(_) | Content::Raw(_) => None,
        });
        texts.collect::<Vec<_>>().join("\n\n")
    }
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it holds.
    pub content: Content,
    /// Its media type, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The name of the file it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// The caller's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonText>,
}

impl Part {
    /// A part of plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            content: Content::Text(text.into()),
            media_type: None,
            filename: None,
            metadata: None,
        }
    }

    /// A part of structured data.
    #[must_use]
    pub fn data(data: JsonText) -> Self {
        Self {
            content: Content::Data(data),
            media_type: None,
            filename: None,
            metadata: None,
        }
    }
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Text.
    Text(String),
    /// Any JSON value.
    Data(JsonText),
    /// A reference to content elsewhere.
    Url(String),
    /// Bytes, in standard base64.
    Raw(String),
}

impl Content {
    /// Its length as it is stored.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Url(text) | Self::Raw(text) => text.len(),
            Self::Data(data) => data.as_str().len(),
        }
    }
}

/// Why a task failed or was rejected, in a form programs may branch on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word such as `harness_exited`, `deadline_exceeded`, `interrupted`.
    pub code: String,
    /// The cause and the next step, for a person.
    pub message: String,
    /// The last lines of the harness's standard error, when there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_tail: Option<String>,
}

impl Failure {
    /// A failure without output of the harness.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            stderr_tail: None,
        }
    }

    /// What another node is told of it: the code and a fixed sentence. The message may name a program, a path, a
    /// variable or a model of `runtime.toml`, and standard error may hold anything; those are its owner's.
    #[must_use]
    pub fn for_peers(&self) -> Self {
        let told = match self.code.as_str() {
            "interrupted" | "runner_lost" => {
                "the run was cut off at the agent's node, and nothing goes on with it; send the message again"
            }
            "question_lost" => {
                "the run was cut off while it asked a question that cannot be asked again; send the message again"
            }
            "agent_removed" => "the agent was removed from its node",
            "deadline_exceeded" => {
                "the run took longer than its owner allows and was stopped; give the agent less to do"
            }
            "idle_timeout" => {
                "the run gave no sign of life for as long as its owner allows and was stopped; send the message again"
            }
            "too_much_output" => {
                "the run produced more than one task may keep and was stopped; ask for less, or for files"
            }
            "no_output" => "the agent ended without a word and without a file",
            "canceled" | "canceled_by_harness" => "the run was canceled at the agent's node",
            "max_tokens" => "the model reached its token limit; send a smaller task",
            "refusal" => "the model refused; what the agent said is in the artifact `response`",
            _ => "the run failed at the agent's node, where its owner can see why: ask there",
        };
        Self::new(self.code.clone(), told)
    }

    /// The whole of it for a person: the message, and what the harness said last.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.stderr_tail {
            Some(tail) => format!(
                "{}\n\nThe last lines of its standard error:\n{tail}",
                self.message
            ),
            None => self.message.clone(),
        }
    }
}

/// An artifact in the index; its content is the blob with this digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactInfo {
    /// Path relative to the artifacts directory, or `response`.
    pub id: ArtifactId,
    /// Media type, by extension.
    pub media_type: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the content, hex.
    pub sha256: String,
    /// Whether the run that wrote it did not complete.
    pub partial: bool,
    /// What it is called at the node its content is fetched from when somebody asks for it; `None` when its
    /// content is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
}

/// A task as it stands: the row that the event log adds up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Minted by the engine.
    pub id: TaskId,
    /// The conversation it belongs to.
    pub context_id: ContextId,
    /// The agent it was sent to.
    pub agent_id: AgentId,
    /// Who sent it.
    pub principal: Principal,
    /// Where it stands.
    pub state: TaskState,
    /// What the last state change said.
    pub status_message: Option<Message>,
    /// Why it failed or was rejected.
    pub failure: Option<Failure>,
    /// Whether somebody asked for its end and the run has not ended yet.
    pub cancel_requested: bool,
    /// Since when whoever works on it is out of reach; it may go on there. Changes no state.
    pub unreachable_since: Option<UnixMillis>,
    /// Until when its message waits for the node it is for; `None` once it was delivered, and for
    /// every task that does not wait so.
    pub deliver_until: Option<UnixMillis>,
    /// The task whose harness sent it.
    pub parent: Option<TaskId>,
    /// Tasks between it and a caller's own; 0 for a caller's own.
    pub depth: u8,
    /// Starts so far.
    pub attempt: u32,
    /// First line of the caller's message, at most 200 characters.
    pub summary: String,
    /// The caller's own data.
    pub metadata: Option<JsonText>,
    /// When it was stored.
    pub created_at: UnixMillis,
    /// When its state last changed.
    pub updated_at: UnixMillis,
    /// Grows with every change; the compare-and-swap value.
    pub version: u64,
    /// Place of its newest event in the log.
    pub last_seq: u64,
}
