//! The errors of A2A 1.0.1 (§5.4, §9.5, §10.6, §11.6), in one table for both bindings.

use a2a::error_code;
use a2a::errordetails::{FieldViolation, PROTOCOL_DOMAIN, TypedDetail};
use mesh_agents_core::refusal::{Code, Refusal};
use std::collections::HashMap;

/// What kind of error it is. Those below `Internal` are not named by A2A: JSON-RPC has one code for
/// them, HTTP and `reason` say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    TaskNotFound,
    TaskNotCancelable,
    UnsupportedOperation,
    ContentTypeNotSupported,
    ExtensionSupportRequired,
    VersionNotSupported,
    Parse,
    InvalidRequest,
    MethodNotFound,
    InvalidParams,
    Internal,
    /// The body is over the limit.
    TooLarge,
    /// No such path below an agent, or no such agent.
    NoSuchPath,
    /// No such artifact in the task.
    NoSuchArtifact,
    /// The bytes asked for are behind the end of the artifact.
    PastEnd,
    /// The path exists and takes another method.
    MethodNotAllowed,
    /// The caller has to show who it is.
    Unauthenticated,
    /// The caller may not do this.
    Denied,
    /// The agent's queue is full.
    Exhausted,
    /// The caller asks too often.
    Flooded,
    /// The engine is stopping, or its disk refuses.
    Unavailable,
}

/// One line of the table.
pub(crate) struct Line {
    /// JSON-RPC error code.
    pub(crate) code: i32,
    /// HTTP status.
    pub(crate) http: u16,
    /// Name of the gRPC status, as `google.rpc.Status` in JSON has it.
    pub(crate) status: &'static str,
    /// `google.rpc.ErrorInfo.reason`.
    pub(crate) reason: &'static str,
}

impl Kind {
    /// Its line of the table.
    pub(crate) fn line(self) -> Line {
        let code = self.code();
        let (http, status) = self.http();
        let reason = match self {
            Self::TooLarge => "REQUEST_TOO_LARGE",
            Self::NoSuchPath | Self::NoSuchArtifact => "NOT_FOUND",
            Self::PastEnd => "OUT_OF_RANGE",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::Unauthenticated | Self::Denied | Self::Unavailable => status,
            Self::Exhausted => "AGENT_FULL",
            Self::Flooded => "RATE_LIMITED",
            _ => a2a::error_reason(code),
        };
        Line {
            code,
            http,
            status,
            reason,
        }
    }

    const fn code(self) -> i32 {
        match self {
            Self::TaskNotFound => error_code::TASK_NOT_FOUND,
            Self::TaskNotCancelable => error_code::TASK_NOT_CANCELABLE,
            Self::UnsupportedOperation => error_code::UNSUPPORTED_OPERATION,
            Self::ContentTypeNotSupported => error_code::CONTENT_TYPE_NOT_SUPPORTED,
            Self::ExtensionSupportRequired => error_code::EXTENSION_SUPPORT_REQUIRED,
            Self::VersionNotSupported => error_code::VERSION_NOT_SUPPORTED,
            Self::Parse => error_code::PARSE_ERROR,
            Self::InvalidRequest | Self::TooLarge | Self::Unauthenticated | Self::Denied => {
                error_code::INVALID_REQUEST
            }
            Self::MethodNotFound
            | Self::NoSuchPath
            | Self::NoSuchArtifact
            | Self::MethodNotAllowed => error_code::METHOD_NOT_FOUND,
            Self::InvalidParams | Self::PastEnd => error_code::INVALID_PARAMS,
            Self::Internal | Self::Exhausted | Self::Flooded | Self::Unavailable => {
                error_code::INTERNAL_ERROR
            }
        }
    }

    const fn http(self) -> (u16, &'static str) {
        match self {
            Self::TaskNotFound | Self::NoSuchPath | Self::NoSuchArtifact => (404, "NOT_FOUND"),
            Self::PastEnd => (416, "OUT_OF_RANGE"),
            Self::TaskNotCancelable
            | Self::UnsupportedOperation
            | Self::ExtensionSupportRequired
            | Self::VersionNotSupported => (400, "FAILED_PRECONDITION"),
            Self::ContentTypeNotSupported
            | Self::Parse
            | Self::InvalidRequest
            | Self::InvalidParams => (400, "INVALID_ARGUMENT"),
            Self::MethodNotFound => (404, "UNIMPLEMENTED"),
            Self::MethodNotAllowed => (405, "UNIMPLEMENTED"),
            Self::TooLarge => (413, "INVALID_ARGUMENT"),
            Self::Unauthenticated => (401, "UNAUTHENTICATED"),
            Self::Denied => (403, "PERMISSION_DENIED"),
            Self::Exhausted | Self::Flooded => (429, "RESOURCE_EXHAUSTED"),
            Self::Unavailable => (503, "UNAVAILABLE"),
            Self::Internal => (500, "INTERNAL"),
        }
    }
}

/// A call that was refused or failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    /// What is wrong with which field, for invalid parameters.
    pub(crate) violations: Vec<FieldViolation>,
    /// The engine's own word for it, which says more than A2A's.
    pub(crate) code: Option<Code>,
}

impl Fault {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            violations: Vec::new(),
            code: None,
        }
    }

    /// Invalid parameters: what is wrong with one field.
    pub(crate) fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::invalid(vec![FieldViolation {
            field: field.into(),
            description: description.into(),
        }])
    }

    /// Invalid parameters: at least one violation.
    pub(crate) fn invalid(violations: Vec<FieldViolation>) -> Self {
        let told: Vec<String> = violations
            .iter()
            .map(|one| format!("{}: {}", one.field, one.description))
            .collect();
        Self {
            violations,
            ..Self::new(Kind::InvalidParams, told.join("; "))
        }
    }

    /// No such task, or not for this caller, or not of this agent.
    pub(crate) fn no_task(id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::new(
            Kind::TaskNotFound,
            format!(
                "no task \"{id}\"; task ids are made by the server: use one as SendMessage returned it"
            ),
        )
    }

    /// A refusal of the engine, for an operation on a task that exists or is to be made.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let kind = match refusal.code {
            Code::TaskNotFound | Code::PushConfigNotFound => Kind::TaskNotFound,
            Code::InvalidArgument => Kind::InvalidParams,
            Code::MessageTooLarge => return Self::of_field(refusal, "message.parts"),
            Code::MessageConflict => return Self::of_field(refusal, "message.messageId"),
            // A message the task cannot take: it is at work, has ended, or waits for something else.
            Code::TaskBusy | Code::TaskTerminal | Code::NotBuilt => Kind::UnsupportedOperation,
            Code::NotAllowed => Kind::Denied,
            Code::AgentFull => Kind::Exhausted,
            Code::RateLimited => Kind::Flooded,
            Code::AgentNotFound | Code::AgentDisabled => Kind::NoSuchPath,
            Code::AgentUnavailable
            | Code::ArtifactUnavailable
            | Code::EngineUnavailable
            | Code::Storage => Kind::Unavailable,
            Code::ArtifactNotFound => Kind::NoSuchArtifact,
            _ => Kind::Internal,
        };
        let message = match next_step(refusal.code) {
            Some(step) => format!("{}. {step}", refusal.message),
            None => said(refusal),
        };
        Self {
            code: Some(refusal.code),
            ..Self::new(kind, message)
        }
    }

    fn of_field(refusal: &Refusal, field: &str) -> Self {
        Self {
            code: Some(refusal.code),
            ..Self::field(field, said(refusal))
        }
    }

    /// The details both bindings carry: `ErrorInfo` always, `BadRequest` for invalid parameters.
    pub(crate) fn details(&self) -> Vec<TypedDetail> {
        let metadata = self
            .code
            .map(|code| HashMap::from([("code".to_owned(), code.to_string())]));
        let info = TypedDetail::error_info(self.kind.line().reason, PROTOCOL_DOMAIN, metadata);
        let mut details = vec![info];
        if !self.violations.is_empty() {
            details.push(TypedDetail::bad_request(self.violations.clone()));
        }
        details
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::refused(&refusal)
    }
}

/// The next step in A2A's own words, where the engine's are those of its tools.
fn next_step(code: Code) -> Option<&'static str> {
    match code {
        Code::TaskBusy => {
            Some("Follow it with SubscribeToTask, or send without taskId for a new task")
        }
        Code::TaskTerminal => Some(
            "To go on in the same conversation, send without taskId and with the contextId of this one",
        ),
        _ => None,
    }
}

/// The cause and the next step, in one text.
fn said(refusal: &Refusal) -> String {
    match &refusal.hint {
        Some(hint) => format!("{}. {hint}", refusal.message),
        None => refusal.message.clone(),
    }
}
