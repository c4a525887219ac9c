//! The errors a caller of any surface sees: a stable code, the cause, the next step.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong, in one word that programs may branch on. The words never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    /// An argument has the wrong form or value.
    InvalidArgument,
    /// No such agent, or not for this caller.
    AgentNotFound,
    /// The agent exists and is switched off.
    AgentDisabled,
    /// The agent's directory cannot be used as it is, or not on this machine.
    AgentUnavailable,
    /// The agent's queue is full.
    AgentFull,
    /// No such task, or not for this caller.
    TaskNotFound,
    /// The task is at work and takes no message now.
    TaskBusy,
    /// The task has ended.
    TaskTerminal,
    /// The question is answered or void, or none is open.
    QuestionGone,
    /// No such artifact in this task.
    ArtifactNotFound,
    /// The task has no push configuration of that id.
    PushConfigNotFound,
    /// The artifact is known, and its content, which is with another node, cannot be had now.
    ArtifactUnavailable,
    /// The artifact exists and is not of the kind asked for.
    ArtifactKind,
    /// The message is over the limit.
    MessageTooLarge,
    /// The same message id came with another body.
    MessageConflict,
    /// The caller may not do this.
    NotAllowed,
    /// The caller asks too often.
    RateLimited,
    /// The value is known and its mechanism is not built yet.
    NotBuilt,
    /// The engine is stopping or unreachable.
    EngineUnavailable,
    /// The store cannot be read or written: disk full, read-only, damaged.
    Storage,
    /// A fault of ours.
    Internal,
}

impl Code {
    /// The code as it is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::AgentNotFound => "agent_not_found",
            Self::AgentDisabled => "agent_disabled",
            Self::AgentUnavailable => "agent_unavailable",
            Self::AgentFull => "agent_full",
            Self::TaskNotFound => "task_not_found",
            Self::TaskBusy => "task_busy",
            Self::TaskTerminal => "task_terminal",
            Self::QuestionGone => "question_gone",
            Self::ArtifactNotFound => "artifact_not_found",
            Self::ArtifactUnavailable => "artifact_unavailable",
            Self::PushConfigNotFound => "push_config_not_found",
            Self::ArtifactKind => "artifact_kind",
            Self::MessageTooLarge => "message_too_large",
            Self::MessageConflict => "message_conflict",
            Self::NotAllowed => "not_allowed",
            Self::RateLimited => "rate_limited",
            Self::NotBuilt => "not_built",
            Self::EngineUnavailable => "engine_unavailable",
            Self::Storage => "storage",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request that was refused or failed; nothing of it was stored unless the message says so.
///
/// Prints as `code: cause`, then the next step on a line of its own (DESIGN §2.3, errors).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// The cause, naming the argument, file or key.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without a next step.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n{hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}
