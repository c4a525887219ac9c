//! Questions of a remote task as questions of ours, and answers as messages to it.

use a2a::{Message, Part, PartContent, TaskState, TaskStatus};
use mesh_agents_core::ids::{QuestionId, RunId, TaskId};
use mesh_agents_core::question::Question;
use mesh_agents_core::run::{Answer, QuestionKind, QuestionOption};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use crate::peer::OWNER;

/// Most options of a question that are taken over; nobody chooses among more.
const OPTIONS: usize = 32;

/// Longest text of a question that is taken over, in characters; nobody reads more before answering.
const TEXT_CHARS: usize = 16_000;
/// Longest name or kind of an option, in characters, and longest id in bytes: an option with a longer one cannot
/// be chosen, since the remote would not know it by less.
const OPTION: usize = 256;

/// What a remote task asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) id: QuestionId,
    pub(super) kind: QuestionKind,
    pub(super) text: String,
    pub(super) options: Vec<QuestionOption>,
    /// The remote's own id for it, when it is a node like ours.
    remote: Option<String>,
}

/// What a node like ours writes beside the text of a question (DESIGN §4).
#[derive(Deserialize)]
struct Shape {
    question_id: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    answered_by: Option<String>,
    #[serde(default)]
    options: Vec<OptionShape>,
}

#[derive(Deserialize)]
struct OptionShape {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: String,
}

/// The question in the status of an interrupted task; `number` counts the questions of the run. With a
/// node of the mesh, to which `task` is sent, a question keeps its name for as long as it is open, and what asks
/// permission says so.
pub(super) fn of(status: &TaskStatus, run: &RunId, number: u32, task: Option<&TaskId>) -> Asked {
    let auth = status.state == TaskState::AuthRequired;
    let shape = status.message.as_ref().and_then(shape);
    let text = status.message.as_ref().map(text).unwrap_or_default();
    let text = match (text.trim().is_empty(), auth) {
        (false, _) => text.trim().chars().take(TEXT_CHARS).collect(),
        (true, true) => "The remote agent needs a login and does not say which.".to_owned(),
        (true, false) => "The remote agent asks for more input and does not say what.".to_owned(),
    };
    let options = shape.iter().flat_map(|shape| &shape.options);
    let node = task.zip(shape.as_ref());
    let kind = match node {
        _ if auth => QuestionKind::Auth,
        Some((_, shape)) if shape.kind == "permission" => {
            match shape.answered_by.as_deref() == Some(OWNER) {
                true => QuestionKind::OwnerPermission,
                false => QuestionKind::Permission,
            }
        }
        _ => QuestionKind::Elicitation,
    };
    Asked {
        id: match node {
            Some((task, shape)) => id(&format!("{task} question {}", shape.question_id)),
            None => id(&format!("{run} question {number}")),
        },
        kind,
        text,
        options: options
            .filter(|option| option.id.len() <= OPTION)
            .take(OPTIONS)
            .map(|option| QuestionOption {
                id: option.id.clone(),
                name: if option.name.is_empty() {
                    option.id.clone()
                } else {
                    option.name.chars().take(OPTION).collect()
                },
                kind: option.kind.chars().take(OPTION).collect(),
            })
            .collect(),
        remote: shape.map(|shape| shape.question_id),
    }
}

/// An id that needs neither clock nor chance: a run asks its n-th question once.
fn id(name: &str) -> QuestionId {
    let digest = Sha256::digest(name);
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(digest) {
        *to = from;
    }
    QuestionId::from_ulid(Ulid::from_bytes(bytes))
}

fn shape(message: &Message) -> Option<Shape> {
    message.parts.iter().find_map(|part| match &part.content {
        PartContent::Data(data) => Shape::deserialize(data).ok(),
        _ => None,
    })
}

/// All text of a message, a blank line between its parts.
pub(super) fn text(message: &Message) -> String {
    let texts: Vec<&str> = message.parts.iter().filter_map(Part::as_text).collect();
    texts.join("\n\n")
}

impl Asked {
    /// Whether this is what is asked already, word for word.
    pub(super) fn is(&self, open: &Question) -> bool {
        let same = self.id == open.id && self.kind == open.kind;
        same && self.text == open.text && self.options == open.options
    }

    /// What is sent to the remote for an answer: text any agent understands, and data for a node
    /// like ours.
    pub(super) fn reply(&self, answer: &Answer) -> (String, Value) {
        let mut data = serde_json::Map::new();
        if let Some(remote) = &self.remote {
            data.insert("question_id".to_owned(), json!(remote));
        }
        let chosen = match answer {
            Answer::Option(id) => self.options.iter().find(|option| option.id == *id),
            Answer::Declined => self
                .options
                .iter()
                .find(|option| option.kind.starts_with("reject")),
            Answer::Text(_) => None,
        };
        let text = match (chosen, answer) {
            (Some(option), _) => {
                data.insert("option_id".to_owned(), json!(option.id));
                option.name.clone()
            }
            (None, Answer::Text(text) | Answer::Option(text)) => text.clone(),
            (None, Answer::Declined) => {
                "Nobody answers this. Go on without it, or stop.".to_owned()
            }
        };
        (text, Value::Object(data))
    }
}

#[cfg(test)]
mod tests {
    use mesh_agents_core::ids::RunId;

    use super::*;

    fn run() -> RunId {
        RunId::from_ulid(Ulid::from_parts(1, 2))
    }

    fn status(message: &Value) -> TaskStatus {
        serde_json::from_value(json!({"state": "TASK_STATE_INPUT_REQUIRED", "message": message}))
            .unwrap()
    }

    #[test]
    fn a_question_of_a_node_like_ours_keeps_its_options_and_is_answered_by_them() {
        let status = status(&json!({"messageId": "m", "role": "ROLE_AGENT", "parts": [
            {"text": "Which branch?"},
            {"data": {"question_id": "q-1", "kind": "elicitation", "options": [
                {"id": "a", "name": "main", "kind": "choice"},
                {"id": "b", "name": "", "kind": "reject_once"}]}}]}));
        let asked = of(&status, &run(), 1, None);
        assert_eq!(asked.text, "Which branch?");
        assert_eq!(asked.kind, QuestionKind::Elicitation);
        assert_eq!(asked.options[1].name, "b");
        assert_ne!(asked.id, of(&status, &run(), 2, None).id);
        assert_eq!(
            asked.reply(&Answer::Option("a".into())),
            (
                "main".to_owned(),
                json!({"question_id": "q-1", "option_id": "a"})
            )
        );
        assert_eq!(
            asked.reply(&Answer::Declined),
            (
                "b".to_owned(),
                json!({"question_id": "q-1", "option_id": "b"})
            )
        );
    }

    #[test]
    fn a_question_of_any_other_agent_is_answered_by_text() {
        let bare = of(&status(&Value::Null), &run(), 1, None);
        assert!(bare.text.contains("more input") && bare.options.is_empty());
        assert_eq!(
            bare.reply(&Answer::Text("main".into())),
            ("main".to_owned(), json!({}))
        );
        assert!(bare.reply(&Answer::Declined).0.contains("Go on without it"));
    }
}
