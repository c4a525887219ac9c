//! What `init` writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mesh_agents_core::agent::RuntimeKind;
use mesh_agents_registry::check;
use mesh_agents_registry::scaffold::{InitError, TEMPLATES, init, init_template};

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

/// The repository's `examples/`.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// What lies in a directory, by name.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn templates_are_the_examples_byte_for_byte_and_right_in_every_respect() {
    let agents = Agents::new();
    let mut names = BTreeSet::new();
    for template in TEMPLATES {
        let id = template.name.parse().unwrap();
        init_template(&agents.dir(), &id, template.name, None).unwrap();
        let made = content(&agents.dir().join(template.name));
        assert_eq!(made, content(&examples().join(template.name)));
        names.insert(template.name.to_owned());
    }
    let checked = check(&agents.dir(), &agents.environment, &BTreeSet::new());
    assert_eq!(agents.told(&checked.problems), "");
    assert_eq!(checked.agents.len(), TEMPLATES.len());
    let there = fs::read_dir(examples()).unwrap().map(Result::unwrap);
    let there = there.map(|entry| entry.file_name().into_string().unwrap());
    // `loop` is a prompt for a client.
    let there = there.filter(|name| !name.starts_with('.') && name != "loop");
    assert_eq!(there.collect::<BTreeSet<_>>(), names);
    assert_eq!(
        content(&agents.dir().join(".schemas")),
        content(&examples().join(".schemas")),
        "run `agents schema runtime > examples/.schemas/runtime.json`, and the same for card"
    );
}

#[test]
fn a_template_is_adapted_to_its_id_and_harness_and_to_nothing_else() {
    let agents = Agents::new();
    let id = "our-reviewer".parse().unwrap();
    init_template(&agents.dir(), &id, "pr-review", Some(RuntimeKind::Goose)).unwrap();
    let agent = agents.definition("our-reviewer");
    assert_eq!(agent.runtime.kind, RuntimeKind::Goose);
    assert_eq!(agent.card.name, "Our Reviewer");
    let only = BTreeSet::from(["our-reviewer".to_owned()]);
    let checked = check(&agents.dir(), &agents.environment, &only);
    assert_eq!(agents.told(&checked.problems), "");
    for (template, kind) in [
        ("test-runner", RuntimeKind::Goose),
        ("pr-review", RuntimeKind::Command),
        ("pr-reveiw", RuntimeKind::Opencode),
    ] {
        let id = "other".parse().unwrap();
        let refused = init_template(&agents.dir(), &id, template, Some(kind)).unwrap_err();
        assert!(refused.to_string().contains(template), "{refused}");
        assert!(!agents.dir().join("other").exists());
    }
}

#[test]
fn the_plainest_agent() {
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
        2,
        "the agent and the schemas: nothing half-written lies around"
    );
    let error = init(&dir, &"b".parse().unwrap(), RuntimeKind::Codex).unwrap_err();
    assert_eq!(
        error.to_string(),
        "runtime type codex is not built yet; what works now: opencode, goose, pi, acp, command, remote"
    );
}
