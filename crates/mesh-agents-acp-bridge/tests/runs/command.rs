//! Runs of `type = "command"`: planner, guard, confinement and the built-in harness together.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use mesh_agents_core::agent::{AgentDefinition, Filesystem, Network, RuntimeKind};
use mesh_agents_core::run::{ArtifactSource, RunEvent};

use super::support::{Events, World};

/// An agent that runs a shell script.
fn shell(world: &World, script: &str) -> AgentDefinition {
    let mut agent = world.agent();
    agent.runtime.kind = RuntimeKind::Command;
    agent.runtime.command = Some("sh".to_owned());
    agent.runtime.args = Some(vec!["-c".to_owned(), script.to_owned()]);
    agent
}

fn file(events: &Events, wanted: &str) -> String {
    let path = events.0.iter().find_map(|event| match event {
        RunEvent::Artifact {
            id,
            source: ArtifactSource::File(path),
            ..
        } if id.as_str() == wanted => Some(path),
        _ => None,
    });
    fs::read_to_string(path.unwrap()).unwrap()
}

#[tokio::test]
async fn a_command_that_finds_something_is_completed_with_its_findings() {
    let world = World::new();
    // `$$`: the shell is to see the variable, not our templates.
    let script = "cat \"$$TASK_PROMPT_PATH\"; echo; echo 'src/a.c:3: error: no'; exit 1";
    let mut agent = shell(&world, script);
    agent.require = vec!["findings.json".parse().unwrap()];
    let events = world.run_agent(agent, "$(touch injected) `hi`").await;
    assert!(
        events.answer().contains("$(touch injected) `hi`"),
        "{}",
        events.answer()
    );
    assert_eq!(
        events.artifacts(),
        [("findings.json", true), ("summary.md", true)]
    );
    assert!(file(&events, "findings.json").contains("\"src/a.c\""));
    assert!(file(&events, "summary.md").contains("Ended with exit code 1."));
}

#[tokio::test]
async fn a_command_that_never_ran_is_failed_with_its_cause() {
    let world = World::new();
    let events = world
        .run_agent(shell(&world, "no-such-tool --all"), "go")
        .await;
    let failure = events.failure();
    assert!(failure.message.contains("exit code 127"), "{failure:?}");
}

#[tokio::test]
async fn a_command_confined_to_its_workspace_still_delivers() {
    let world = World::new();
    let canary = world.owner_home().join("canary");
    fs::write(&canary, "secret of the owner").unwrap();
    let script = format!("cat {0}; echo x > {0}; pwd; echo done", canary.display());
    let mut agent = shell(&world, &script);
    agent.policy.filesystem = Filesystem::Workspace;
    let events = world.run_agent(agent, "go").await;
    assert!(events.answer().ends_with("done\n"), "{}", events.answer());
    assert_eq!(
        events.artifacts(),
        [("findings.json", true), ("summary.md", true)]
    );
    if events.note("confinement_skipped").is_none() {
        assert!(
            !events.text().contains("secret of the owner"),
            "{}",
            events.text()
        );
        assert_eq!(fs::read_to_string(&canary).unwrap(), "secret of the owner");
    }
}

#[tokio::test]
async fn a_command_without_the_network_still_delivers() {
    let world = World::new();
    for network in [Network::Deny, Network::Loopback] {
        let mut agent = shell(&world, "echo 'src/a.c:3: error: no'; exit 1");
        agent.policy.network = network;
        let events = world.run_agent(agent, "go").await;
        assert!(events.answer().contains("src/a.c:3"), "{network:?}");
        let artifacts = [("findings.json", true), ("summary.md", true)];
        assert_eq!(events.artifacts(), artifacts, "{network:?}");
    }
}
