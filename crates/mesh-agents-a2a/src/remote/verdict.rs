//! What a run counts as, once the remote task has ended. Decided from values.

use a2a::TaskState;
use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::run::Outcome;
use mesh_agents_core::task::Failure;

use super::results::{Held, Piece};

/// The artifact the final text becomes when the remote left no such file, as for a harness.
pub(super) const SUMMARY: &str = "summary.md";

/// The verdict over a remote task that ended as `state` with the `words` of its last status.
/// `code` is the failure code a node like ours gives.
pub(super) fn decide(
    state: &TaskState,
    words: &str,
    code: Option<&str>,
    answer: &str,
    pieces: &[Piece],
    require: &[ArtifactId],
) -> Outcome {
    let said = |otherwise: &str| {
        if words.is_empty() {
            otherwise.to_owned()
        } else {
            words.to_owned()
        }
    };
    match state {
        TaskState::Completed => {
            let missing = require
                .iter()
                .find_map(|id| check(id, answer, pieces).err());
            match missing {
                Some(failure) => Outcome::Failed(failure),
                None => Outcome::Completed {
                    answer: answer.to_owned(),
                },
            }
        }
        TaskState::Rejected => Outcome::Refused(said("the remote agent refused the task")),
        TaskState::Canceled => Outcome::Failed(Failure::new(
            "canceled_by_remote",
            format!(
                "the task was canceled at the remote agent, and nobody here asked for that{}",
                after(words)
            ),
        )),
        _ => {
            let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
            Outcome::Failed(Failure::new(
                "remote_failed",
                format!("the task failed at the remote agent{code}{}", after(words)),
            ))
        }
    }
}

fn after(words: &str) -> String {
    if words.is_empty() {
        ", which does not say why; its owner's logs may".to_owned()
    } else {
        format!(": {words}")
    }
}

fn check(id: &ArtifactId, answer: &str, pieces: &[Piece]) -> Result<(), Failure> {
    let Some(piece) = pieces.iter().find(|piece| piece.id == *id) else {
        // The final text becomes this one when nobody wrote it.
        if id.as_str() == SUMMARY && !answer.trim().is_empty() {
            return Ok(());
        }
        return Err(Failure::new(
            "required_artifact_missing",
            format!(
                "result.require names {id}, and the remote agent delivered no such artifact; change result.require, or ask the agent for it"
            ),
        ));
    };
    if id.extension().as_deref() != Some("json") {
        return Ok(());
    }
    let invalid = |why: String| {
        let text = format!("result.require names {id}, and what the remote agent delivered {why}");
        Failure::new("required_artifact_invalid", text)
    };
    let Held::Here(content) = &piece.content else {
        return Err(invalid(
            "came without its content, which was asked for".to_owned(),
        ));
    };
    match serde_json::from_slice::<serde::de::IgnoredAny>(content) {
        Ok(_) => Ok(()),
        Err(error) => Err(invalid(format!("is not JSON: {error}"))),
    }
}
