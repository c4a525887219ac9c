//! What an owner says, as it is on the wire.

use std::collections::HashMap;

use a2a::{Artifact, Part, PartContent, TaskState as Wire, error_code};
use mesh_agents_a2a::remote::Fault;
use mesh_agents_a2a::remote::mirror::SEQ;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::TaskState;
use serde_json::{Value, json};

pub(super) fn numbered(seq: usize) -> Option<HashMap<String, Value>> {
    Some(HashMap::from([(SEQ.to_owned(), json!(seq))]))
}

pub(super) fn response(text: String) -> Artifact {
    artifact("response", vec![Part::text(text)])
}

pub(super) fn file(name: &str, content: &[u8]) -> Artifact {
    let part = Part {
        content: PartContent::Raw(content.to_vec()),
        filename: Some(name.to_owned()),
        media_type: Some("application/octet-stream".to_owned()),
        metadata: None,
    };
    artifact(name, vec![part])
}

fn artifact(id: &str, parts: Vec<Part>) -> Artifact {
    Artifact {
        artifact_id: id.to_owned(),
        name: None,
        description: None,
        parts,
        metadata: None,
        extensions: None,
    }
}

pub(super) fn wire(state: TaskState) -> Wire {
    match state {
        TaskState::Submitted => Wire::Submitted,
        TaskState::Working => Wire::Working,
        TaskState::InputRequired => Wire::InputRequired,
        TaskState::AuthRequired => Wire::AuthRequired,
        TaskState::Completed => Wire::Completed,
        TaskState::Failed => Wire::Failed,
        TaskState::Canceled => Wire::Canceled,
        TaskState::Rejected => Wire::Rejected,
    }
}

/// The answer at the door, as the A2A router gives it.
pub(super) fn turned_away(refusal: &Refusal) -> Fault {
    let status = match refusal.code {
        Code::AgentNotFound | Code::AgentDisabled | Code::AgentUnavailable => 404,
        _ => 403,
    };
    Fault::Status {
        status,
        location: None,
        words: refusal.message.clone(),
    }
}

/// The answer inside, in the words of A2A.
pub(super) fn in_words(refusal: &Refusal) -> Fault {
    match refusal.code {
        Code::TaskNotFound => told(error_code::TASK_NOT_FOUND),
        _ => turned_away(refusal),
    }
}

pub(super) fn told(code: i32) -> Fault {
    Fault::Told {
        code,
        words: "no".to_owned(),
    }
}
