//! Workspaces and artifacts: what is made, what is kept, what is passed over.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mesh_agents_core::agent::{AgentDefinition, Keep, WorkspaceMode};
use mesh_agents_core::run::{ArtifactSource, RunEvent};

use super::support::{World, names};

fn keeping(world: &World, keep: Keep) -> AgentDefinition {
    let mut agent = world.agent();
    agent.workspace.keep = keep;
    agent
}

const GOOD: &str = "script: write left.txt x\nscript: text done";
const BAD: &str = "script: write left.txt x\nscript: stop refusal";

#[tokio::test]
async fn a_temporary_workspace_is_kept_as_the_agent_says() {
    for (keep, prompt, kept) in [
        (Keep::Never, GOOD, false),
        (Keep::Never, BAD, false),
        (Keep::OnFailure, GOOD, false),
        (Keep::OnFailure, BAD, true),
        (Keep::Always, GOOD, true),
        (Keep::Always, BAD, true),
    ] {
        let world = World::new();
        let spec = world.spec(keeping(&world, keep), prompt);
        let name = format!("mesh-a2a-tester-{}", spec.task_id);
        let events = world.run_spec(spec).await;
        let left = world.left_in_tmp();
        if kept {
            assert_eq!(left, std::slice::from_ref(&name), "{keep:?}");
            let dir = world.tmp().join(&name);
            assert_eq!(names(&dir), ["left.txt"]);
            let mode = fs::metadata(&dir).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
            assert!(events.note("workspace_kept").unwrap().contains(&name));
        } else {
            assert_eq!(left, Vec::<String>::new(), "{keep:?}");
        }
    }
}

#[tokio::test]
async fn a_second_attempt_begins_in_an_empty_workspace() {
    let world = World::new();
    let spec = world.spec(
        keeping(&world, Keep::Always),
        "script: write left.txt x\nscript: text 1",
    );
    let mut again = spec.clone();
    again.prompt = "script: sh ls -A".to_owned();
    world.run_spec(spec).await;
    let events = world.run_spec(again).await;
    assert!(!events.text().contains("left.txt"), "{}", events.text());
}

#[tokio::test]
async fn other_workspaces_are_the_owners_and_stay() {
    let world = World::new();
    let mut agent = world.agent();
    let dir = world.owner_home().join("src");
    fs::create_dir(&dir).unwrap();
    agent.workspace.mode = WorkspaceMode::Path("$HOME/src".to_owned());
    agent.workspace.keep = Keep::Never;
    world.run_agent(agent.clone(), GOOD).await.answer();
    assert_eq!(names(&dir), ["left.txt"]);

    agent.workspace.mode = WorkspaceMode::AgentDir;
    world.run_agent(agent.clone(), GOOD).await.answer();
    assert_eq!(names(&agent.dir), ["left.txt"]);

    // Without a workspace, what is written to the working directory is a result.
    agent.workspace.mode = WorkspaceMode::None;
    let events = world.run_agent(agent.clone(), GOOD).await;
    assert_eq!(
        events.artifacts(),
        [("left.txt", true), ("summary.md", true)]
    );

    agent.workspace.mode = WorkspaceMode::Path("$HOME/nowhere".to_owned());
    let events = world.run_agent(agent, GOOD).await;
    assert!(events.failure().message.contains("nowhere"));
}

#[tokio::test]
async fn a_workspace_that_holds_the_engines_own_files_is_refused() {
    let world = World::new();
    let mut agent = world.agent();
    let data = world.path("data").to_str().unwrap().to_owned();
    agent.workspace.mode = WorkspaceMode::Path(data);
    let events = world.run_agent(agent, GOOD).await;
    let failure = events.failure();
    assert_eq!(failure.code, "confinement_conflict", "{failure:?}");
    assert!(failure.message.contains("runtime.workspace"), "{failure:?}");
}

#[tokio::test]
async fn only_real_files_of_a_sane_size_become_artifacts() {
    let world = World::new();
    let secret = world.owner_home().join("secret");
    fs::write(&secret, "mine").unwrap();
    let prompt = format!(
        "script: sh cd $TASK_ARTIFACTS_DIR && mkdir -p a/b && echo x > a/b/c.txt && ln -s {} link.md && mkfifo pipe && echo y > response && truncate -s 20M big.bin\nscript: write $TASK_ARTIFACTS_DIR/summary.md own\nscript: text done",
        secret.display()
    );
    let events = world.run(&prompt).await;
    assert_eq!(
        events.artifacts(),
        [("a/b/c.txt", true), ("summary.md", true)]
    );
    let skipped = events.note("artifact_skipped").unwrap();
    for name in ["link.md", "pipe", "response", "big.bin"] {
        assert!(skipped.contains(name), "{name}: {skipped}");
    }
    // The harness's own summary is not replaced.
    let summary = events.0.iter().find_map(|event| match event {
        RunEvent::Artifact { id, source, .. } if id.as_str() == "summary.md" => Some(source),
        _ => None,
    });
    let Some(ArtifactSource::File(path)) = summary else {
        panic!("{summary:?}")
    };
    assert_eq!(fs::read_to_string(path).unwrap(), "own");
}
