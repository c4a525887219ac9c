//! Whatever a task holds, what is shown of it fits and reads as an A2A Task.

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::limits::RESULT_BYTES;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::task::{Role, TaskState};
use proptest::prelude::*;

use super::*;

fn a_task() -> Task {
    Task {
        id: "task-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        context_id: "ctx-1".parse().unwrap(),
        agent_id: "a".parse().unwrap(),
        principal: Principal::Local,
        state: TaskState::Completed,
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
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        version: 1,
        last_seq: 1,
    }
}

fn piece(id: &str, content: &[u8]) -> Piece {
    let media_type = match id.rsplit('.').next() {
        Some("json") => "application/json",
        Some("md") => "text/markdown",
        _ => "application/octet-stream",
    };
    Piece {
        info: ArtifactInfo {
            id: id.parse().unwrap(),
            media_type: media_type.into(),
            bytes: content.len() as u64,
            sha256: String::new(),
            partial: false,
            remote: None,
        },
        content: (content.len() as u64 <= FETCH_BYTES).then(|| content.to_vec()),
    }
}

fn said(n: usize, text: &str) -> Message {
    let role = if n.is_multiple_of(2) {
        Role::User
    } else {
        Role::Agent
    };
    Message::text(format!("m{n}").parse().unwrap(), role, text)
}

#[test]
fn a_small_task_is_shown_whole() {
    let history = [said(0, "Review"), said(1, "Done")];
    let pieces = [
        piece("summary.md", b"# Fine"),
        piece("findings.json", b"{\"findings\":[]}"),
    ];
    let fitted = fit(&a_task(), &history, &pieces, None, RESULT_BYTES).unwrap();
    assert_eq!(fitted.left_out, None);
    let task: a2a::Task = fitted.task.read().unwrap();
    assert_eq!(task.history.unwrap().len(), 2);
    let artifacts = task.artifacts.unwrap();
    assert_eq!(
        artifacts[1].parts[0].content,
        a2a::PartContent::Data(serde_json::json!({"findings": []}))
    );
}

#[test]
fn the_summary_goes_in_first_and_what_is_missing_is_named() {
    let history: Vec<Message> = (0..12).map(|n| said(n, &"h".repeat(3_000))).collect();
    let mut pieces = vec![
        piece("summary.md", &[b's'; 9_000]),
        piece("a.md", &[b'a'; 8_000]),
        piece("b.md", &[b'b'; 8_500]),
        piece("huge.json", &[b' '; 100_000]),
        piece("shot.png", &[0xff; 10]),
    ];
    pieces[3].content = None;
    let fitted = fit(&a_task(), &history, &pieces, None, RESULT_BYTES).unwrap();
    let task: a2a::Task = fitted.task.read().unwrap();
    let text = |n: usize| match &task.artifacts.as_ref().unwrap()[n].parts[0].content {
        a2a::PartContent::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    assert!(text(0).starts_with("ss"), "the summary is whole");
    assert_eq!(text(3), "left out: read it with view_data_artifact");
    assert!(
        text(4).contains("agents artifacts"),
        "a picture is not poured into a model"
    );
    assert_eq!(
        task.history.unwrap().last().unwrap().message_id,
        "m11",
        "the newest stays"
    );
    let note = fitted.left_out.unwrap();
    assert!(
        note.contains("view_text_artifact") && note.contains("older messages"),
        "{note}"
    );
}

#[test]
fn as_many_messages_as_asked_are_not_called_missing() {
    let history: Vec<Message> = (0..5).map(|n| said(n, "h")).collect();
    for (asked, shown) in [(0, 0), (2, 2), (9, 5)] {
        let fitted = fit(&a_task(), &history, &[], Some(asked), RESULT_BYTES).unwrap();
        let task: a2a::Task = fitted.task.read().unwrap();
        assert_eq!(task.history.unwrap_or_default().len(), shown);
        assert_eq!(fitted.left_out, None);
    }
}

#[test]
fn a_thousand_artifacts_are_counted_where_they_cannot_be_listed() {
    let pieces: Vec<Piece> = (0..256)
        .map(|n| piece(&format!("dir/{n}.md"), b"x"))
        .collect();
    let fitted = fit(&a_task(), &[], &pieces, None, RESULT_BYTES).unwrap();
    assert!(fitted.task.as_str().len() <= RESULT_BYTES);
    assert!(fitted.left_out.unwrap().contains("of 256 artifacts"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_makes_it_too_large(
        texts in proptest::collection::vec(("[aä€😀\"\u{1}\n]{0,60}", 1_usize..400), 0..8),
        contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9_000), 0..8),
        status in ("[aä😀\u{1}]{0,40}", 1_usize..400),
        metadata in 0_usize..9_000,
        bytes in 22_000_usize..=RESULT_BYTES,
    ) {
        let mut task = a_task();
        task.status_message = Some(said(1, &status.0.repeat(status.1)));
        task.metadata = Some(JsonText::of(&serde_json::json!({"k": "v".repeat(metadata)})).unwrap());
        let history: Vec<Message> =
            texts.iter().enumerate().map(|(n, (text, times))| said(n, &text.repeat(*times))).collect();
        let pieces: Vec<Piece> =
            contents.iter().enumerate().map(|(n, content)| piece(&format!("{n}.md"), content)).collect();
        let fitted = fit(&task, &history, &pieces, None, bytes).unwrap();
        prop_assert!(fitted.task.as_str().len() <= bytes, "{} > {bytes}", fitted.task.as_str().len());
        let read: a2a::Task = fitted.task.read().unwrap();
        prop_assert_eq!(read.artifacts.unwrap_or_default().len(), pieces.len());
    }
}
