//! What `init` writes.

use std::fs;

use mesh_agents_core::agent::RuntimeKind;
use mesh_agents_registry::scaffold::{InitError, init};

use crate::support::Agents;

fn written(agents: &Agents, id: &str, kind: RuntimeKind) -> String {
    let created = init(&agents.dir(), &id.parse().unwrap(), kind).unwrap();
    let mut text = String::new();
    for file in &created.files {
        text += &format!(
            "===== {}\n{}",
            agents.unrooted(&file.display().to_string()),
            fs::read_to_string(file).unwrap()
        );
    }
    for line in created.to_do {
        text += &format!("===== to do\n{}\n", agents.unrooted(&line));
    }
    text
}

#[test]
fn the_reviewer() {
    let agents = Agents::new();
    insta::assert_snapshot!(written(&agents, "pr-review", RuntimeKind::Opencode));
    agents.definition("pr-review");
}

#[test]
fn another_agent_says_nothing_of_pull_requests() {
    let agents = Agents::new();
    let text = written(&agents, "release-notes", RuntimeKind::Acp);
    assert!(!text.to_lowercase().contains("pull"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn every_type_that_is_built_makes_an_agent_without_a_problem() {
    for kind in RuntimeKind::ALL {
        let agents = Agents::new();
        let id = format!("{kind}-agent").parse().unwrap();
        match init(&agents.dir(), &id, kind) {
            Ok(created) => {
                let agent = agents.definition(id.as_str());
                assert_eq!(agent.runtime.kind, kind);
                assert_eq!(agent.dir, created.dir);
                assert!(
                    !agent.policy.filesystem_explicit,
                    "written out, tasks would be refused where nothing can confine them"
                );
            }
            Err(InitError::NotBuilt { kind: refused }) => {
                assert_eq!(refused, kind);
                assert_eq!(fs::read_dir(agents.dir()).unwrap().count(), 0);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn the_agents_directory_is_made_and_nothing_is_overwritten() {
    let agents = Agents::new();
    let dir = agents.dir().join("not/there/yet");
    let id = "a".parse().unwrap();
    init(&dir, &id, RuntimeKind::Command).unwrap();
    let before = fs::read_to_string(dir.join("a/runtime.toml")).unwrap();
    let error = init(&dir, &id, RuntimeKind::Pi).unwrap_err();
    assert_eq!(
        agents.unrooted(&error.to_string()),
        "TMP/agents/not/there/yet/a exists already; edit its files, or choose another id (`mesh-llm agents validate a` tells whether it is right)"
    );
    assert_eq!(
        fs::read_to_string(dir.join("a/runtime.toml")).unwrap(),
        before
    );
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        1,
        "nothing half-written lies around"
    );
    let error = init(&dir, &"b".parse().unwrap(), RuntimeKind::Codex).unwrap_err();
    assert_eq!(
        error.to_string(),
        "runtime type codex is not built yet; what works now: opencode, goose, pi, acp, command, remote"
    );
}
