//! What the event log of a task is made of (DESIGN §4).
//!
//! The log is the truth: a task row, a history, a stream and a list are readings of it. Bodies are
//! stored as JSON; adding a variant is compatible, changing one needs a migration.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::ids::{QuestionId, RunId};
use crate::json::JsonText;
use crate::question::Question;
use crate::run::{PlanEntry, QuestionKind, QuestionOption, ToolCall};
use crate::task::{ArtifactInfo, Failure, Message, TaskState};

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
// Tagged from outside: an inner tag would have serde buffer the body, and raw JSON cannot be buffered.
#[serde(rename_all = "snake_case")]
pub enum TaskEvent {
    /// A message joined the history: the caller's, or the agent's final one.
    Message {
        /// The message.
        message: Message,
    },
    /// The state changed.
    State {
        /// The new state.
        state: TaskState,
        /// What was said with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Message>,
        /// Why, when it failed or was rejected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// A run was started. One that is not `resumed` starts over: artifacts and text before it are
    /// no longer the task's. One that is resumed goes on with both; only the artifact `response`,
    /// which holds the text so far, gives way to the text that goes on.
    Attempt {
        /// 1 for the first.
        attempt: u32,
        /// Its id.
        run_id: RunId,
        /// Whether it goes on in the session of the attempt before it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        resumed: bool,
    },
    /// The harness opened its session.
    Session {
        /// The harness's id for it.
        session_id: String,
        /// Whether it can be resumed after a restart.
        resumable: bool,
    },
    /// Text of the answer, to be appended to the `response` artifact.
    Text {
        /// The text.
        text: String,
    },
    /// A tool call began or changed.
    ToolCall {
        /// All that is known of it now.
        call: ToolCall,
    },
    /// The harness's plan, whole.
    Plan {
        /// Its entries.
        entries: Vec<PlanEntry>,
    },
    /// Tokens used so far.
    Usage {
        /// Tokens in the context.
        used: u64,
        /// Size of the context.
        size: u64,
    },
    /// An artifact was stored.
    Artifact {
        /// Its index entry.
        artifact: ArtifactInfo,
    },
    /// A run asks something.
    Question {
        /// Its id.
        id: QuestionId,
        /// What kind.
        question: QuestionKind,
        /// What is asked.
        text: String,
        /// What may be answered.
        options: Vec<QuestionOption>,
    },
    /// A question was answered or became void.
    QuestionGone {
        /// Its id.
        id: QuestionId,
        /// The chosen option, if one was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chosen: Option<String>,
    },
    /// Something worth knowing that changes nothing, such as confinement that was skipped.
    Note {
        /// A stable word.
        code: String,
        /// For a person.
        text: String,
        /// Data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<JsonText>,
    },
    /// A caller asked for the end of the task.
    CancelRequested,
    /// Whoever works on the task is out of reach, or in reach again. Nothing else changes by it.
    Reach {
        /// Why not; `None` when it is in reach again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        away: Option<String>,
    },
    /// The message waits for the node it is for, which is away, at most until then.
    Waits {
        /// When it is given up.
        until: UnixMillis,
    },
}

impl TaskEvent {
    /// The word of the note on a question that nobody answered in time.
    pub const EXPIRED: &'static str = "question_expired";

    /// The note on a question that nobody answered in time.
    #[must_use]
    pub fn expired(question: &Question) -> Self {
        Self::Note {
            code: Self::EXPIRED.to_owned(),
            text: format!(
                "declined, because nobody answered within policy.ask_seconds: {}",
                question.text
            ),
            data: None,
        }
    }

    /// The tag it is stored under.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::State { .. } => "state",
            Self::Attempt { .. } => "attempt",
            Self::Session { .. } => "session",
            Self::Text { .. } => "text",
            Self::ToolCall { .. } => "tool_call",
            Self::Plan { .. } => "plan",
            Self::Usage { .. } => "usage",
            Self::Artifact { .. } => "artifact",
            Self::Question { .. } => "question",
            Self::QuestionGone { .. } => "question_gone",
            Self::Note { .. } => "note",
            Self::CancelRequested => "cancel_requested",
            Self::Reach { .. } => "reach",
            Self::Waits { .. } => "waits",
        }
    }
}
