//! The `tck-…` words with which public A2A conformance suites tell an agent what to do, each as ordinary steps.

use serde_json::json;

use super::script::{Elicit, Line, Step};
use super::words;

/// The steps of the last `tck-` word that stands alone in `text`.
pub(super) fn last_word(text: &str) -> Option<Vec<Line>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.split(|c| !is_part(c)).rev().find_map(exact_word)
}

/// The steps of `word` if it is a `tck-` word.
pub(super) fn exact_word(word: &str) -> Option<Vec<Line>> {
    let steps = steps(word)?;
    Some(
        steps
            .into_iter()
            .map(|step| Line {
                source: word.to_owned(),
                step,
            })
            .collect(),
    )
}

fn steps(word: &str) -> Option<Vec<Step>> {
    let text = |text: &str| Step::Text(text.to_owned());
    Some(match word {
        "tck-complete-task" => vec![text("The task is complete.")],
        "tck-long-running" => vec![text("Working. "), Step::Work { seconds: 30 }, text("Done.")],
        "tck-multi-turn" => vec![
            Step::Elicit(Elicit {
                message: "More input, please; `done` ends the task.".to_owned(),
                schema: words::answer_schema(),
                until: Some("done".to_owned()),
            }),
            text("The task is complete."),
        ],
        "tck-message-response" => vec![text("A direct answer.")],
        "tck-task-failure" => vec![Step::Error {
            code: -32603,
            message: "tck-task-failure asked for a failure".to_owned(),
        }],
        "tck-auth-required" => vec![Step::AuthRequired, text("Authenticated.")],
        "tck-stream-chunked" => vec![Step::Chunks {
            count: 5,
            bytes: 16,
            delay_ms: 20,
        }],
        "tck-artifact-data" => vec![
            Step::Write {
                path: "$TASK_ARTIFACTS_DIR/data.json".to_owned(),
                content: json!({ "kind": "tck-artifact-data", "values": [1, 2, 3] }).to_string(),
            },
            text("Wrote data.json."),
        ],
        "tck-burst" => vec![Step::Burst(400)],
        _ => return None,
    })
}
