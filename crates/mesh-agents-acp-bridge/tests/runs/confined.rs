//! What the kernel refuses a confined harness.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mesh_agents_acp_bridge::{ConfinementSupport, confinement_support};
use mesh_agents_core::agent::{
    AgentDefinition, ConfigSource, Filesystem, RuntimeKind, WorkspaceMode,
};

use super::support::{World, names, program};

fn confined(world: &World, filesystem: Filesystem) -> AgentDefinition {
    assert_eq!(
        confinement_support(),
        ConfinementSupport::Landlock,
        "these tests need Linux 6.2 or later with Landlock"
    );
    let mut agent = world.agent();
    agent.policy.filesystem = filesystem;
    agent.policy.filesystem_explicit = true;
    agent
}

/// A world with a secret in the owner's HOME, the engine's database, and another task's files.
fn furnished() -> (World, Vec<String>) {
    let world = World::new();
    let other = world.tmp().join("mesh-a2a-other-task");
    let run = world.path("data/a2a/agents/other/runtime/task/artifacts");
    fs::create_dir_all(&other).unwrap();
    fs::create_dir_all(&run).unwrap();
    let canaries = [
        world.owner_home().join("canary"),
        world.path("data/a2a/mesh-agents.sqlite"),
        other.join("canary"),
        run.join("canary"),
    ];
    let paths = canaries.map(|path| {
        fs::write(&path, "canary-sings").unwrap();
        path.to_str().unwrap().to_owned()
    });
    (world, paths.into())
}

#[tokio::test]
async fn a_harness_in_its_workspace_reads_nothing_of_the_owners() {
    let (world, canaries) = furnished();
    let mut prompt = String::new();
    for canary in &canaries {
        prompt.push_str(&format!("script: read {canary}\nscript: sh cat {canary}\n"));
    }
    // Nor what the engine was started with.
    let engine = std::process::id();
    prompt.push_str(&format!("script: read /proc/{engine}/environ\n"));
    prompt.push_str("script: read $TASK_PROMPT_PATH\nscript: write $TASK_ARTIFACTS_DIR/a.md x");
    let agent = confined(&world, Filesystem::Workspace);
    let events = world.run_agent(agent, &prompt).await;
    events.answer();
    // Its own prompt can be read, so reading as such works; what it wrote arrives.
    assert!(events.text().contains("script: read"), "{}", events.text());
    assert!(!events.text().contains("canary-sings"), "{}", events.text());
    assert!(
        !events.text().contains("CARGO_MANIFEST_DIR="),
        "{}",
        events.text()
    );
    assert_eq!(events.artifacts()[0], ("a.md", true));
}

#[tokio::test]
async fn a_confined_harness_writes_only_where_it_may() {
    for filesystem in [Filesystem::Workspace, Filesystem::ReadAll] {
        let (world, canaries) = furnished();
        let mut prompt = String::new();
        for canary in &canaries {
            prompt.push_str(&format!(
                "script: write {canary} killed\nscript: sh echo killed > {canary}; echo new > {canary}.new; rm -f {canary}; truncate -s 0 {canary}\n"
            ));
        }
        prompt.push_str("script: write $TMPDIR/t x\nscript: write here.txt x\nscript: sh cat here.txt $TMPDIR/t && echo kept");
        let agent = confined(&world, filesystem);
        let events = world.run_agent(agent, &prompt).await;
        assert!(events.text().contains("kept"), "{}", events.text());
        for canary in &canaries {
            assert_eq!(
                fs::read_to_string(canary).unwrap(),
                "canary-sings",
                "{filesystem:?}"
            );
        }
        assert_eq!(names(&world.owner_home()), ["canary"]);
    }
}

#[tokio::test]
async fn a_harness_with_the_owners_configuration_can_make_its_first_files() {
    let (world, _) = furnished();
    let mut agent = confined(&world, Filesystem::Workspace);
    agent.runtime.kind = RuntimeKind::Opencode;
    agent.runtime.config = ConfigSource::User;
    agent.runtime.args = Some(Vec::new());
    let prompt = "script: sh echo x > ~/.local/share/opencode/first && echo kept";
    let events = world.run_agent(agent, prompt).await;
    assert!(events.text().contains("kept"), "{}", events.text());
    let dir = world.owner_home().join(".local/share/opencode");
    let mode = fs::metadata(&dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(names(&dir), ["first"]);
}

#[tokio::test]
async fn reading_all_and_grants_open_what_they_say() {
    let (world, canaries) = furnished();
    let prompt = format!(
        "script: read {}\nscript: write {} x",
        canaries[0],
        world.path("owner/new").display()
    );
    let events = world
        .run_agent(confined(&world, Filesystem::ReadAll), &prompt)
        .await;
    assert!(events.text().contains("canary-sings"), "{}", events.text());
    assert!(!world.path("owner/new").exists());

    let mut agent = confined(&world, Filesystem::Workspace);
    agent.policy.read = vec![world.owner_home()];
    let events = world.run_agent(agent.clone(), &prompt).await;
    assert!(events.text().contains("canary-sings"), "{}", events.text());
    assert!(!world.path("owner/new").exists());

    agent.policy.write = vec![world.owner_home()];
    world.run_agent(agent, &prompt).await.answer();
    assert!(world.path("owner/new").exists());

    fs::remove_file(world.path("owner/new")).unwrap();
    world
        .run_agent(confined(&world, Filesystem::Unconfined), &prompt)
        .await
        .answer();
    assert!(world.path("owner/new").exists());
}

/// A grant is a path, and a path in a directory that a run can write leads the next run where the first one says.
#[tokio::test]
async fn what_a_run_leaves_in_its_workspace_is_no_grant_of_the_next() {
    for key in ["policy.write", "policy.read", "runtime.args"] {
        let (world, canaries) = furnished();
        let mut agent = confined(&world, Filesystem::Workspace);
        let dir = world.path("project");
        let sub = dir.join("sub");
        fs::create_dir_all(&sub).unwrap();
        agent.workspace.mode = WorkspaceMode::Path(dir.to_str().unwrap().to_owned());
        match key {
            "policy.write" => agent.policy.write = vec![sub.clone()],
            "policy.read" => agent.policy.read = vec![sub.clone()],
            _ => agent.runtime.args = Some(vec![sub.to_str().unwrap().to_owned()]),
        }
        let plant = format!(
            "script: write sub/own x\nscript: sh rm -r sub && ln -s {} sub && echo planted",
            world.owner_home().display()
        );
        let first = world.run_agent(agent.clone(), &plant).await;
        assert!(first.text().contains("planted"), "{key}: {}", first.text());
        let prompt = format!("script: read {}\nscript: write sub/new x", canaries[0]);
        let second = world.run_agent(agent, &prompt).await;
        assert!(!second.text().contains("canary-sings"), "{key}");
        assert_eq!(names(&world.owner_home()), ["canary"], "{key}");
        if key.starts_with("policy.") {
            let failure = second.failure();
            assert_eq!(failure.code, "confinement_conflict", "{failure:?}");
            let owner = world.owner_home().canonicalize().unwrap();
            let said = format!("{key} grants {}", sub.display());
            assert!(failure.message.starts_with(&said), "{failure:?}");
            assert!(
                failure.message.contains(owner.to_str().unwrap()),
                "{failure:?}"
            );
        }
    }
}

/// The engine writes a run's logs, and is not confined: what the harness of one attempt leaves in their place must
/// not lead the next attempt's out.
#[tokio::test]
async fn what_a_run_leaves_among_its_logs_leads_nobody_out() {
    let (world, canaries) = furnished();
    let agent = confined(&world, Filesystem::Workspace);
    let plant = |what: &str| {
        format!("script: sh cd $TASK_ARTIFACTS_DIR/../logs && rm -rf * && {what} && echo planted")
    };
    let links = format!(
        "ln -s {} acp.jsonl && ln -s {} harness.stderr",
        canaries[0],
        world.owner_home().join("new").display()
    );
    let spec = world.spec(agent, &plant(&links));
    let next = |prompt: &str| {
        let mut next = spec.clone();
        next.prompt = prompt.to_owned();
        next
    };
    let first = world.run_spec(spec.clone()).await;
    assert!(first.text().contains("planted"), "{}", first.text());
    let second = world
        .run_spec(next(&plant(
            "mkfifo acp.jsonl && mkdir -p harness.stderr/x",
        )))
        .await;
    assert_eq!(fs::read_to_string(&canaries[0]).unwrap(), "canary-sings");
    assert_eq!(names(&world.owner_home()), ["canary"]);
    assert!(second.text().contains("planted"), "{}", second.text());
    let third = world.run_spec(next("script: text hello")).await;
    assert_eq!(third.answer(), "hello");
    let log = fs::read_to_string(spec.dirs.acp_log()).unwrap();
    assert!(log.contains("session/prompt"), "{log}");
    assert_eq!(fs::read_to_string(spec.dirs.stderr_log()).unwrap(), "");
}

#[tokio::test]
async fn a_confined_harness_cannot_kill_its_guard() {
    let world = World::new();
    let prompt =
        "script: sh kill -9 $(cut -d' ' -f4 /proc/$PPID/stat) && echo killed\nscript: text alive";
    let events = world
        .run_agent(confined(&world, Filesystem::ReadAll), prompt)
        .await;
    assert!(events.answer().contains("alive"));
    assert!(!events.text().contains("killed"), "{}", events.text());
}

#[tokio::test]
async fn grants_that_reach_the_engines_files_are_refused() {
    let (world, _) = furnished();
    for key in ["policy.read", "policy.write"] {
        let mut agent = confined(&world, Filesystem::Workspace);
        let paths = vec![world.path("data")];
        match key {
            "policy.read" => agent.policy.read = paths,
            _ => agent.policy.write = paths,
        }
        let events = world.run_agent(agent, "script: text x").await;
        assert_eq!(events.failure().code, "confinement_conflict");
        assert!(events.failure().message.contains(key));
    }
}

#[tokio::test]
async fn a_harness_refused_a_path_at_its_start_says_which() {
    let (world, canaries) = furnished();
    let mut agent = confined(&world, Filesystem::Workspace);
    // A harness that needs a file of the owner's, as `cat` would complain about it.
    let harness = world.path("harness.sh");
    let script = format!("#!/bin/sh\nexec cat {}\n", canaries[0]);
    program(&harness, &script);
    agent.runtime.command = Some(harness.to_str().unwrap().to_owned());
    // The program lies beside the canaries here, which would grant them with its directory.
    agent.runtime.args = Some(Vec::new());
    let events = world.run_agent(agent, "hello").await;
    let failure = events.failure();
    assert_eq!(failure.code, "harness_exited");
    assert!(failure.message.contains(&canaries[0]), "{failure:?}");
    assert!(failure.message.contains("policy.read"), "{failure:?}");
}
