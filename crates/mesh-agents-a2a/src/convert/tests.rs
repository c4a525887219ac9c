//! What goes out is read back with the A2A project's own types.

use mesh_agents_core::ids::{ContextId, TaskId};
use mesh_agents_core::principal::Principal;
use mesh_agents_core::task::TaskState;
use proptest::prelude::*;

use super::*;

fn a_task(state: TaskState) -> Task {
    Task {
        id: "task-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse::<TaskId>().unwrap(),
        context_id: "ctx-1".parse::<ContextId>().unwrap(),
        agent_id: "a".parse().unwrap(),
        principal: Principal::Local,
        state,
        status_message: None,
        failure: None,
        cancel_requested: false,
        unreachable_since: None,
        deliver_until: None,
        parent: None,
        depth: 0,
        attempt: 1,
        summary: "Hello".into(),
        metadata: None,
        created_at: UnixMillis(1_700_000_000_000),
        updated_at: UnixMillis(1_700_000_000_007),
        version: 3,
        last_seq: 9,
    }
}

fn info(id: &str, media_type: &str) -> ArtifactInfo {
    ArtifactInfo {
        id: id.parse().unwrap(),
        media_type: media_type.into(),
        bytes: 5,
        sha256: "0".repeat(64),
        partial: false,
        remote: None,
    }
}

fn read(text: &JsonText) -> a2a::Task {
    text.read().unwrap()
}

/// These artifacts, encoded.
fn encoded(task: &Task, artifacts: &[(ArtifactInfo, Body<'_>)]) -> Vec<JsonText> {
    let encoded = artifacts.iter();
    let encoded = encoded.map(|(info, body)| artifact(task, info, *body).unwrap());
    encoded.collect()
}

#[test]
fn a_completed_task_reads_as_the_a2a_project_writes_it() {
    let mut row = a_task(TaskState::Completed);
    row.metadata = Some(JsonText::parse(r#"{"ticket":9007199254740993}"#).unwrap());
    let history = [
        Message::text("m1".parse().unwrap(), Role::User, "Review it"),
        Message::text("m2".parse().unwrap(), Role::Agent, "Done"),
    ];
    let findings = "{\n  \"findings\": [ {\"line\": 9007199254740993, \"score\": 1.10} ]\n}";
    let artifacts = [
        (
            info("summary.md", "text/markdown"),
            Body::Whole(b"# Fine\n".as_slice()),
        ),
        (
            info("findings.json", "application/json"),
            Body::Whole(findings.as_bytes()),
        ),
        (
            info("shot.png", "image/png"),
            Body::Whole(&[0xff, 0x00, 0x10]),
        ),
        (info("big.log", "text/plain"), Body::LeftOut("left out")),
        (
            info("far/a.zip", "application/zip"),
            Body::Elsewhere("http://127.0.0.1:3132/a2a/there/far/a.zip"),
        ),
    ];
    let text = task(&row, &history, &encoded(&row, &artifacts)).unwrap();
    insta::assert_snapshot!(text.as_str());
    let back = read(&text);
    assert_eq!(back.status.state, a2a::TaskState::Completed);
    assert_eq!(back.artifacts.unwrap().len(), 5);
    assert_eq!(back.history.unwrap()[1].role, a2a::Role::Agent);
}

#[test]
fn a_failure_shows_its_words_and_its_code() {
    let mut row = a_task(TaskState::Failed);
    row.failure = Some(Failure {
        code: "harness_exited".into(),
        message: "the harness ended with exit code 3".into(),
        stderr_tail: Some("no such model".into()),
    });
    let back = read(&task(&row, &[], &[]).unwrap());
    let said = back.status.message.unwrap();
    let a2a::PartContent::Text(words) = &said.parts[0].content else {
        panic!("a text part");
    };
    assert!(words.contains("exit code 3") && words.contains("no such model"));
    assert_eq!(said.metadata.unwrap()["failure_code"], "harness_exited");
    assert_eq!(said.task_id.as_deref(), Some(row.id.as_str()));
}

#[test]
fn another_node_is_told_of_a_failure_by_its_code_and_nothing_of_its_owner() {
    let codes = [
        "harness_not_found",
        "configuration",
        "interrupted",
        "no_output",
        "any",
    ];
    for code in codes {
        let mut row = a_task(TaskState::Failed);
        row.principal = Principal::Key("did:key:z6Mk".into());
        row.failure = Some(Failure {
            code: code.into(),
            message: "runtime.toml: canary-program could not be executed".into(),
            stderr_tail: Some("canary-token".into()),
        });
        let whole = task(&row, &[], &[]).unwrap();
        let update = status_update(&row, None).unwrap();
        for text in [&whole, &update] {
            assert!(!text.as_str().contains("canary"), "{text:?}");
            assert!(text.as_str().contains(code), "{text:?}");
        }
        let kept = status_message(&row).unwrap();
        assert!(
            format!("{kept:?}").contains("canary-program"),
            "the owner's"
        );
    }
}

#[test]
fn json_that_does_not_parse_is_shown_as_text() {
    let row = a_task(TaskState::Completed);
    let broken = (
        info("findings.json", "application/json"),
        Body::Whole(b"{\"a\":".as_slice()),
    );
    let back = read(&task(&row, &[], &encoded(&row, &[broken])).unwrap());
    let part = &back.artifacts.unwrap()[0].parts[0];
    assert_eq!(part.content, a2a::PartContent::Text("{\"a\":".into()));
}

#[test]
fn times_have_milliseconds_and_z_at_every_end_of_the_scale() {
    assert_eq!(timestamp(UnixMillis(0)), "1970-01-01T00:00:00.000Z");
    assert_eq!(
        timestamp(UnixMillis(1_700_000_000_007)),
        "2023-11-14T22:13:20.007Z"
    );
    assert!(timestamp(UnixMillis(i64::MAX)).starts_with("9999-"));
}

proptest! {
    #[test]
    fn any_bytes_make_an_artifact_that_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let row = a_task(TaskState::Working);
        let one = (info("x.bin", "application/json"), Body::Whole(bytes.as_slice()));
        let text = task(&row, &[], &encoded(&row, &[one])).unwrap();
        let part = read(&text).artifacts.unwrap().remove(0).parts.remove(0);
        match part.content {
            a2a::PartContent::Text(text) => prop_assert_eq!(text.as_bytes(), bytes.as_slice()),
            a2a::PartContent::Raw(raw) => prop_assert_eq!(raw, bytes),
            a2a::PartContent::Data(value) => {
                prop_assert_eq!(value, serde_json::from_slice::<serde_json::Value>(&bytes).unwrap());
            }
            a2a::PartContent::Url(_) => prop_assert!(false, "never a url"),
        }
    }
}
