//! What the events of a log become on a stream.

use mesh_agents_core::principal::Principal;
use mesh_agents_core::task::TaskState;
use ulid::Ulid;

use super::*;

fn task() -> Task {
    let id = mesh_agents_core::ids::TaskId::from_ulid(Ulid::nil());
    Task {
        id,
        context_id: "c".parse().unwrap(),
        agent_id: "a".parse().unwrap(),
        principal: Principal::Local,
        state: TaskState::Working,
        status_message: None,
        failure: None,
        cancel_requested: false,
        unreachable_since: None,
        deliver_until: None,
        parent: None,
        depth: 0,
        attempt: 1,
        summary: String::new(),
        metadata: None,
        created_at: UnixMillis(5),
        updated_at: UnixMillis(9),
        version: 1,
        last_seq: 1,
    }
}

/// What a reader of the stream does with an event: `first`, `more`, `whole` or a state.
fn told(updates: &mut Updates, event: TaskEvent) -> Option<String> {
    let stored = StoredEvent {
        seq: 2,
        at: UnixMillis(7),
        event,
    };
    let update = match updates.take(&stored).unwrap()? {
        Update::Send(update) => update,
        Update::Stored(info) => updates.whole(&info, Body::Whole(b"content")).unwrap(),
    };
    let value: serde_json::Value = update.read().unwrap();
    if let Some(status) = value.get("statusUpdate") {
        let status = &status["status"];
        return Some(format!("{} {}", status["state"], status["timestamp"]));
    }
    let update = &value["artifactUpdate"];
    let how = match (update["append"].as_bool(), update["lastChunk"].as_bool()) {
        (Some(true), Some(false)) => "more",
        (Some(false), Some(false)) => "first",
        (Some(false), Some(true)) => "whole",
        other => panic!("{other:?}"),
    };
    Some(how.to_owned())
}

fn text(text: &str) -> TaskEvent {
    TaskEvent::Text { text: text.into() }
}

fn attempt(resumed: bool) -> TaskEvent {
    TaskEvent::Attempt {
        attempt: 2,
        run_id: mesh_agents_core::ids::RunId::from_ulid(Ulid::nil()),
        resumed,
    }
}

fn response(content: &str) -> TaskEvent {
    TaskEvent::Artifact {
        artifact: ArtifactInfo {
            id: ArtifactId::response(),
            media_type: "text/markdown".into(),
            bytes: content.len() as u64,
            sha256: format!("{:x}", Sha256::digest(content)),
            partial: false,
            remote: None,
        },
    }
}

#[test]
fn text_goes_on_where_the_task_that_came_first_left_off() {
    let mut fresh = Updates::after(task(), None);
    assert_eq!(told(&mut fresh, text("a")).unwrap(), "first");
    assert_eq!(told(&mut fresh, text("b")).unwrap(), "more");
    assert_eq!(told(&mut fresh, response("ab")), None, "it was sent");
    let mut late = Updates::after(task(), Some("a"));
    assert_eq!(told(&mut late, text("b")).unwrap(), "more");
    assert_eq!(told(&mut late, response("ab")), None, "it was sent");
}

#[test]
fn a_stored_response_that_is_not_what_was_streamed_is_sent_whole() {
    let mut updates = Updates::after(task(), Some("a"));
    assert_eq!(told(&mut updates, response("another")).unwrap(), "whole");
    let mut silent = Updates::after(task(), None);
    assert_eq!(told(&mut silent, response("ab")).unwrap(), "whole");
}

#[test]
fn a_new_attempt_begins_the_text_anew_and_a_resumed_one_goes_on() {
    let mut updates = Updates::after(task(), Some("a"));
    assert_eq!(told(&mut updates, attempt(true)), None);
    assert_eq!(told(&mut updates, text("b")).unwrap(), "more");
    assert_eq!(told(&mut updates, attempt(false)), None);
    assert_eq!(told(&mut updates, text("c")).unwrap(), "first");
    assert_eq!(told(&mut updates, response("c")), None, "it was sent");
}

#[test]
fn a_status_is_never_older_than_the_one_before() {
    let mut updates = Updates::after(task(), None);
    let state = |state| TaskEvent::State {
        state,
        message: None,
        failure: None,
    };
    let first = told(&mut updates, state(TaskState::InputRequired)).unwrap();
    assert!(first.ends_with(r#""1970-01-01T00:00:00.010Z""#), "{first}");
    let second = told(&mut updates, state(TaskState::Working)).unwrap();
    assert!(
        second.ends_with(r#""1970-01-01T00:00:00.011Z""#),
        "{second}"
    );
}
