//! What is handed over at the end.

use mesh_agents_core::run::{Before, RunEvent};
use serde_json::json;

use super::*;
use crate::remote::RemoteTimeouts;
use crate::remote::mirror::{Answered, Input, Now, Terms};

const THERE: &str = "task-01K6PZ3GQ5E1X0JYJ4R2T8WQ9A";

fn mirror(said: &str) -> Mirror {
    Mirror::new(terms(said), Now::ZERO)
}

fn terms(said: &str) -> Terms {
    Terms {
        task: "task-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        attempt: 1,
        run: "run-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        prompt: "look".to_owned(),
        resume: None,
        before: Before {
            said: said.to_owned(),
            ..Before::default()
        },
        place: None,
        require: Vec::new(),
        on_mesh: true,
        streaming: false,
        url: "mesh://a".to_owned(),
        bearer_env: None,
        timeouts: RemoteTimeouts::default(),
    }
}

/// Tells it how its task ended, and returns what it does then.
fn ended(mut mirror: Mirror, artifacts: &serde_json::Value, words: &str) -> Vec<Do> {
    let task: Task = serde_json::from_value(json!({
        "id": THERE, "contextId": "c", "status": { "state": "TASK_STATE_COMPLETED" },
        "history": [{ "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "text": words }] }],
        "artifacts": artifacts,
    }))
    .unwrap();
    mirror.take(
        Input::Answered(Answered::Task(Box::new(task))),
        Now::from_secs(1),
    );
    assert!(mirror.is_over());
    std::iter::from_fn(|| mirror.next()).collect()
}

#[test]
fn an_answer_that_was_begun_anew_takes_the_place_of_what_was_said_before() {
    let anew = json!([{ "artifactId": "response",
        "parts": [{ "text": "All is well.", "mediaType": "text/markdown" }] }]);
    let done = ended(mirror("I look at the"), &anew, "All is well.");
    let answer = done.iter().find_map(|one| match one {
        Do::Log(RunEvent::Ended(Outcome::Completed { answer })) => Some(answer.as_str()),
        _ => None,
    });
    assert_eq!(answer, Some("All is well."), "{done:?}");
}

#[test]
fn what_stays_with_its_node_is_named_by_its_task_there() {
    let sha256 = "a".repeat(64);
    let left = json!([{ "artifactId": "a/b c.bin",
        "parts": [{ "url": "https://elsewhere.example/", "mediaType": "application/zip", "filename": "b c.bin" }],
        "metadata": { "sha256": sha256, "bytes": 3_000_000 } }]);
    let done = ended(mirror(""), &left, "done");
    let kept = done.iter().find_map(|one| match one {
        Do::Keep(kept) if kept.id.as_str() == "a/b c.bin" => Some(kept),
        _ => None,
    });
    let kept = kept.unwrap();
    assert_eq!(kept.media_type, "application/zip");
    let content = Content::There {
        name: format!("{THERE}/a/b c.bin"),
        sha256,
        bytes: 3_000_000,
    };
    assert_eq!(kept.content, content, "the URL is not what it is asked by");
}

#[test]
fn what_a_result_must_hold_has_to_come_to_be_believed() {
    let left = |part: serde_json::Value| {
        json!([{ "artifactId": "findings.json", "parts": [part],
            "metadata": { "sha256": digest_of("[1]"), "bytes": 3 } }])
    };
    for (part, code) in [
        (json!({ "text": "[1]" }), None),
        (
            json!({ "url": "/there" }),
            Some("required_artifact_invalid"),
        ),
    ] {
        let mut terms = terms("");
        terms.require = vec!["findings.json".parse().unwrap()];
        let done = ended(Mirror::new(terms, Now::ZERO), &left(part), "done");
        let failed = done.iter().find_map(|one| match one {
            Do::Log(RunEvent::Ended(Outcome::Failed(failure))) => Some(failure.code.as_str()),
            _ => None,
        });
        assert_eq!(failed, code, "{done:?}");
    }
}

fn digest_of(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    format!("{:x}", Sha256::digest(text))
}

/// Its run was cut off there and began anew, and nothing of the first attempt is the task's.
#[test]
fn what_an_attempt_left_that_its_owner_gave_up_is_not_kept() {
    let mut terms = terms("");
    terms.streaming = true;
    let mut mirror = Mirror::new(terms, Now::ZERO);
    mirror.take(Input::Answered(Answered::Stream), Now::ZERO);
    let ids = json!({ "taskId": THERE, "contextId": "c" });
    let of_task = |key: &str, mut value: serde_json::Value| {
        let value = value.as_object_mut().unwrap();
        value.extend(ids.as_object().unwrap().clone());
        let event = serde_json::from_value(json!({ key: value }));
        Input::Event(Box::new(event.unwrap()))
    };
    let state = |state: &str, words: &str| {
        let message =
            json!({ "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "text": words }] });
        let status = json!({ "state": format!("TASK_STATE_{state}"), "message": message });
        of_task("statusUpdate", json!({ "status": status }))
    };
    let file = |name: &str| json!({ "artifactId": name, "parts": [{ "text": name }] });
    let left = |name: &str| of_task("artifactUpdate", json!({ "artifact": file(name) }));
    for event in [
        state("WORKING", ""),
        left("early.txt"),
        state("SUBMITTED", "it starts over"),
        state("WORKING", ""),
        left("late.txt"),
    ] {
        mirror.take(event, Now::ZERO);
    }
    while mirror.next().is_some() {}
    mirror.take(state("COMPLETED", "done"), Now::ZERO);
    let asks = mirror.next();
    assert!(
        matches!(asks, Some(Do::Request(Request::Get { .. }))),
        "{asks:?}"
    );
    let done = ended(mirror, &json!([file("late.txt")]), "done");
    let kept = done.iter().filter_map(|one| match one {
        Do::Keep(kept) => Some(kept.id.as_str()),
        _ => None,
    });
    assert_eq!(kept.collect::<Vec<_>>(), ["late.txt", "summary.md"]);
}
