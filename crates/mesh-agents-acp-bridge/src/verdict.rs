//! The success rule (DESIGN §5): what a run that ended counts as. Decided from values.

use std::fs;

use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::run::Outcome;
use mesh_agents_core::task::Failure;

use crate::artifacts::Found;

/// How the session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// The prompt was answered with this stop reason.
    Answered(String),
    /// Something went wrong before that.
    Failed(Failure),
    /// It was asked to end.
    Cancelled,
    /// The harness closed the line before it answered; the processes tell why.
    Gone,
    /// The earlier session could not be taken up again, for this reason.
    Lost(String),
    /// Its guard died, and the harness with it.
    GuardLost,
}

/// The artifact the final text becomes when no such file was written.
pub(crate) const SUMMARY: &str = "summary.md";

/// The verdict over a run.
pub(crate) fn decide(
    end: SessionEnd,
    answer: &str,
    files: &[Found],
    require: &[ArtifactId],
) -> Outcome {
    let reason = match end {
        SessionEnd::Cancelled => return Outcome::Canceled,
        SessionEnd::Failed(failure) => return Outcome::Failed(failure),
        SessionEnd::Gone => {
            return Outcome::Failed(Failure::new(
                "harness_exited",
                "the harness closed its connection before it answered; see `agents logs`",
            ));
        }
        SessionEnd::GuardLost => {
            return Outcome::Interrupted(
                "the guard of the run was killed, and the harness with it".to_owned(),
            );
        }
        SessionEnd::Lost(why) => {
            return Outcome::Interrupted(format!(
                "the session of the interrupted run could not be taken up again: {why}"
            ));
        }
        SessionEnd::Answered(reason) => reason,
    };
    if reason != "end_turn" {
        return Outcome::Failed(stopped(&reason));
    }
    if answer.trim().is_empty() && files.is_empty() {
        return Outcome::Failed(Failure::new(
            "no_output",
            "the harness ended its turn without a word and without an artifact; usually its model could not be reached: look at the logs with `agents logs`",
        ));
    }
    for id in require {
        if let Err(failure) = check(id, answer, files) {
            return Outcome::Failed(failure);
        }
    }
    Outcome::Completed {
        answer: answer.to_owned(),
    }
}

fn stopped(reason: &str) -> Failure {
    let message = match reason {
        "max_tokens" => {
            "the model reached its token limit; choose one with a larger limit or a smaller task"
        }
        "max_turn_requests" => {
            "the harness reached its limit of model requests in one turn; raise it in its configuration or make the task smaller"
        }
        "refusal" => "the model refused; what the harness said is in the artifact `response`",
        "cancelled" => "the harness cancelled its turn by itself; see `agents logs`",
        _ => {
            "the harness ended its turn with a stop reason this program does not know; see `agents logs`"
        }
    };
    // The word becomes a code that programs branch on, so it is kept short and plain.
    let code: String = reason
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(64)
        .collect();
    let code = if code.is_empty() {
        "acp_error".to_owned()
    } else {
        code
    };
    Failure::new(code, message)
}

fn check(id: &ArtifactId, answer: &str, files: &[Found]) -> Result<(), Failure> {
    let Some(file) = files.iter().find(|file| file.id == *id) else {
        // The final text becomes this one when nobody wrote it.
        if id.as_str() == SUMMARY && !answer.trim().is_empty() {
            return Ok(());
        }
        return Err(Failure::new(
            "required_artifact_missing",
            format!(
                "result.require names {id}, and the harness did not write it to the artifacts directory; say so in instructions.md or change result.require"
            ),
        ));
    };
    if id.extension().as_deref() != Some("json") {
        return Ok(());
    }
    let broken = match fs::read(&file.path) {
        Ok(bytes) => serde_json::from_slice::<serde::de::IgnoredAny>(&bytes)
            .err()
            .map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    match broken {
        None => Ok(()),
        Some(error) => Err(Failure::new(
            "required_artifact_invalid",
            format!("result.require names {id}, and what the harness wrote is not JSON: {error}"),
        )),
    }
}
