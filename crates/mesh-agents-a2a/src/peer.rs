//! What another node is told besides what any A2A client is: which event of the task's log it is told of,
//! whether the question is one that only the owner of this node answers, and of large artifacts where their
//! content is instead of the content.

use std::collections::BTreeMap;

use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::task::{ArtifactInfo, Content, Message, Task};
use serde::Serialize;
use serde_json::value::RawValue;

/// The key under which a task, a status or an artifact update says which event of the owner's log it
/// stands for, so that a reader applies each once.
pub const SEQ: &str = "mesh_agents_seq";

/// The header by which another node says that it fetches large artifacts when somebody wants to read them.
/// Nodes before it do not send it, and are sent artifacts whole.
pub(crate) const ARTIFACTS_HEADER: &str = "mesh-agents-artifacts";
/// Its value.
pub(crate) const BY_REFERENCE: &str = "by-reference";

/// Largest content that goes inline to a node that fetches: what fits a few reads of a tool costs less sent
/// along than asked for.
const INLINE_BYTES: u64 = 64 * 1024;
/// Most bytes of such contents in one answer or stream, so that a task with all of its 256 artifacts is still
/// told in about a second on a slow line.
const INLINE_TOTAL: u64 = 1024 * 1024;

/// What may still go inline to a node that fetches the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inline(u64);

impl Default for Inline {
    fn default() -> Self {
        Self(INLINE_TOTAL)
    }
}

impl Inline {
    /// Whether this artifact goes inline; its bytes are taken then. The streamed text always does: it is
    /// what was read as it came.
    pub(crate) fn takes(&mut self, info: &ArtifactInfo) -> bool {
        if info.id.as_str() == ArtifactId::RESPONSE {
            return true;
        }
        let fits = info.bytes <= INLINE_BYTES && info.bytes <= self.0;
        if fits {
            self.0 -= info.bytes;
        }
        fits
    }
}

/// The header by which a node that follows a task says which event of its log it has applied last. The stream
/// goes on behind that one instead of beginning with the whole task; that of an answer to a question, too.
pub(crate) const AFTER_HEADER: &str = "mesh-agents-after";

/// The key in a question's data that says who answers it, where that is not its caller.
pub(crate) const ANSWERED_BY: &str = "answered_by";
/// Its value.
pub(crate) const OWNER: &str = "owner";

/// A reader on another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ToNode {
    /// Whether its key may answer what its tasks ask permission for.
    pub(crate) approves: bool,
    /// Whether it fetches large artifacts by itself.
    pub(crate) fetches: bool,
}

impl ToNode {
    /// Adds what that node is told of a whole task.
    pub(crate) fn add(self, task: &mut Task) {
        let mut metadata: BTreeMap<String, Box<RawValue>> = task
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.read().ok())
            .unwrap_or_default();
        if let Ok(seq) = serde_json::value::to_raw_value(&task.last_seq) {
            metadata.insert(SEQ.to_owned(), seq);
        }
        if let Ok(metadata) = JsonText::of(&metadata) {
            task.metadata = Some(metadata);
        }
        if let Some(message) = &mut task.status_message {
            self.mark(message);
        }
    }

    /// Marks a question that this reader cannot answer.
    pub(crate) fn mark(self, message: &mut Message) {
        if self.approves {
            return;
        }
        for part in &mut message.parts {
            let Content::Data(data) = &mut part.content else {
                continue;
            };
            let Ok(mut shape) = data.read::<BTreeMap<String, Box<RawValue>>>() else {
                continue;
            };
            let kind = shape.get("kind").map(|kind| kind.get());
            if shape.contains_key("question_id")
                && kind == Some("\"permission\"")
                && let Ok(owner) = serde_json::value::to_raw_value(OWNER)
            {
                shape.insert(ANSWERED_BY.to_owned(), owner);
                if let Ok(marked) = JsonText::of(&shape) {
                    *data = marked;
                }
            }
        }
    }
}

/// The metadata of an update for another node.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Numbered {
    #[serde(rename = "mesh_agents_seq")]
    pub(crate) seq: u64,
}
