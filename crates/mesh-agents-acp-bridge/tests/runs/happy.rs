//! A run that goes well.

use std::fs;

use mesh_agents_core::run::{ArtifactSource, RunEvent};

use super::support::World;

#[tokio::test]
async fn a_run_streams_its_answer_and_delivers_its_files() {
    let world = World::new();
    let events = world
        .run("script: text Looking.\nscript: tool grep\nscript: plan a | b\nscript: usage 10 100\nscript: write $TASK_ARTIFACTS_DIR/findings.json {\"findings\":[]}\nscript: text All is well.")
        .await;
    assert_eq!(events.answer(), "All is well.");
    assert_eq!(events.text(), "Looking.All is well.");
    assert_eq!(
        events.artifacts(),
        [("findings.json", true), ("summary.md", true)]
    );
    let Some(RunEvent::Artifact {
        source: ArtifactSource::File(path),
        media_type,
        ..
    }) = events
        .0
        .iter()
        .find(|e| matches!(e, RunEvent::Artifact { .. }))
    else {
        panic!("{events:#?}")
    };
    assert_eq!(fs::read_to_string(path).unwrap(), "{\"findings\":[]}");
    assert_eq!(media_type, "application/json");
    assert!(events.0.iter().any(|e| matches!(e, RunEvent::ToolCall(_))));
    assert!(
        events
            .0
            .iter()
            .any(|e| matches!(e, RunEvent::Plan(plan) if plan.len() == 2))
    );
    assert!(events.0.contains(&RunEvent::Usage {
        used: 10,
        size: 100
    }));
    assert_eq!(world.left_in_tmp(), Vec::<String>::new());
}

/// A tool that runs beside the answer says that it is done when it is, in the middle of a sentence too.
#[tokio::test]
async fn news_of_a_tool_call_that_is_known_cuts_no_answer() {
    let world = World::new();
    let update = |kind: &str, id: &str| {
        format!(
            "script: {{\"update\":{{\"sessionUpdate\":\"{kind}\",\"toolCallId\":\"{id}\",\"status\":\"completed\"}}}}\n"
        )
    };
    let prompt = [
        "script: text Looking.\n",
        &update("tool_call", "one"),
        "script: text The build:\n",
        &update("tool_call_update", "one"),
        "script: text green.",
    ];
    let events = world.run(&prompt.concat()).await;
    assert_eq!(events.answer(), "The build:green.");
    // One that nobody announced begins with its first news.
    let prompt = [
        "script: text Looking.\n",
        &update("tool_call_update", "two"),
        "script: text All is well.",
    ];
    assert_eq!(world.run(&prompt.concat()).await.answer(), "All is well.");
}
