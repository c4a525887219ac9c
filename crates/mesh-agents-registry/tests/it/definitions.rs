//! What files mean: defaults, samples, links, digests, many agents.

use std::path::PathBuf;

use mesh_agents_core::agent::{
    Approval, ConfigSource, Delivery, Filesystem, Keep, Network, OnInterrupt, QueueMode,
    RuntimeKind, SessionScope, Visibility, WorkspaceMode,
};
use mesh_agents_core::ids::ArtifactId;
use mesh_agents_registry::Environment;

use crate::support::{Agents, CARD};

#[test]
fn all_defaults() {
    let agents = Agents::new();
    agents.good("a");
    let agent = agents.definition("a");
    assert_eq!(agent.id.as_str(), "a");
    assert_eq!(agent.dir, agents.dir().join("a"));
    assert!(agent.enabled && agent.tools_mesh);
    assert_eq!(agent.visibility, Visibility::Private);
    let runtime = &agent.runtime;
    assert_eq!(runtime.kind, RuntimeKind::Opencode);
    assert_eq!((&runtime.command, &runtime.args), (&None, &None));
    assert_eq!(runtime.model, "auto");
    assert_eq!(runtime.config, ConfigSource::Mesh);
    assert_eq!(runtime.max_concurrent_tasks.get(), 1);
    assert!(runtime.inherit_env.is_empty() && runtime.env.is_empty());
    assert_eq!(runtime.on_interrupt, OnInterrupt::Fail);
    assert_eq!(runtime.max_attempts.get(), 2);
    assert_eq!(runtime.session, SessionScope::PerTask);
    assert_eq!(runtime.queue, QueueMode::Queue);
    assert_eq!(runtime.max_pending_tasks, 16);
    assert_eq!(agent.workspace.mode, WorkspaceMode::TempPerTask);
    assert_eq!(agent.workspace.keep, Keep::OnFailure);
    assert_eq!(
        agent.instructions.file,
        agents.dir().join("a/instructions.md")
    );
    assert_eq!(agent.instructions.text, "Do it.\n");
    assert_eq!(agent.instructions.delivery, Delivery::FirstPrompt);
    assert_eq!((&agent.require, &agent.bearer_env), (&Vec::new(), &None));
    let policy = &agent.policy;
    assert_eq!(policy.approval, Approval::Deny);
    assert_eq!(policy.filesystem, Filesystem::Workspace);
    assert!(!policy.filesystem_explicit);
    assert!(policy.read.is_empty() && policy.write.is_empty());
    assert_eq!(policy.max_task_seconds, 3600);
    assert_eq!(policy.idle_seconds, 600);
    assert_eq!(policy.ask_seconds, 900);
}

const ALL_KEYS: &str = r#"
enabled = false
visibility = "public"
[runtime]
type = "goose"
command = "$HOME/bin/goose"
args = ["acp", "--dir={{ task.workspace }}", "$$5"]
model = "qwen3-coder"
config = "user"
max_concurrent_tasks = 3
inherit_env = ["GH_TOKEN", "http_proxy"]
on_interrupt = "fail"
max_attempts = 5
session = "per_task"
[runtime.env]
ZULU = "1"
ALPHA = "{{ mesh.mcp_url }}"
[runtime.queue]
mode = "reject"
max_pending_tasks = 0
[runtime.workspace]
mode = "path"
keep = "always"
path = "$ROOT/src"
[instructions]
file = "prompts/brief.md"
delivery = "every_prompt"
[tools.mesh]
enabled = false
[result]
require = ["findings.json", "a/b.md", "findings.json"]
[policy]
advertise_on_mesh = false
public_mesh = false
approval = "auto"
filesystem = "unconfined"
read = ["~/src", "$HOME/doc", "${HOME}", "/opt/data"]
write = ["~"]
network = "allow"
max_task_seconds = 10
idle_seconds = 20
ask_seconds = 30
"#;

#[test]
fn every_key_away_from_its_default() {
    let agents = Agents::new();
    std::fs::create_dir(agents.beside("src")).unwrap();
    agents
        .with_runtime("a", ALL_KEYS)
        .write("a", "prompts/brief.md", "Elsewhere.");
    let root = agents.beside("").to_str().unwrap().to_owned();
    let mut agents = agents;
    agents.environment = Environment::new([
        ("HOME".to_owned(), "/home/owner".to_owned()),
        ("ROOT".to_owned(), root),
    ]);
    let agent = agents.definition("a");
    assert!(!agent.enabled && !agent.tools_mesh);
    assert_eq!(agent.visibility, Visibility::Public);
    let runtime = &agent.runtime;
    assert_eq!(
        runtime.command.as_deref(),
        Some("$HOME/bin/goose"),
        "a template"
    );
    assert_eq!(runtime.args.as_ref().unwrap()[2], "$$5");
    assert_eq!(runtime.model, "qwen3-coder");
    assert_eq!(runtime.config, ConfigSource::User);
    assert_eq!(runtime.max_concurrent_tasks.get(), 3);
    assert_eq!(runtime.inherit_env, ["GH_TOKEN", "http_proxy"]);
    assert_eq!(runtime.max_attempts.get(), 5);
    let names: Vec<_> = runtime.env.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ZULU", "ALPHA"], "in the order written");
    assert_eq!(
        (runtime.queue, runtime.max_pending_tasks),
        (QueueMode::Reject, 0)
    );
    assert_eq!(
        agent.workspace.mode,
        WorkspaceMode::Path("$ROOT/src".to_owned())
    );
    assert_eq!(agent.workspace.keep, Keep::Always);
    assert_eq!(agent.instructions.text, "Elsewhere.");
    assert_eq!(agent.instructions.delivery, Delivery::EveryPrompt);
    let require: Vec<_> = agent.require.iter().map(ArtifactId::as_str).collect();
    assert_eq!(require, ["findings.json", "a/b.md"]);
    let policy = &agent.policy;
    assert_eq!(policy.approval, Approval::Auto);
    assert!(policy.filesystem == Filesystem::Unconfined && policy.filesystem_explicit);
    let home = |path: &str| PathBuf::from("/home/owner").join(path);
    assert_eq!(
        policy.read,
        [
            home("src"),
            home("doc"),
            home(""),
            PathBuf::from("/opt/data")
        ]
    );
    assert_eq!(policy.write, [home("")]);
    assert_eq!(
        (
            policy.max_task_seconds,
            policy.idle_seconds,
            policy.ask_seconds
        ),
        (10, 20, 30)
    );
}

#[test]
fn the_acp_sample_of_the_source_document_loads() {
    let agents = Agents::new();
    agents.with_runtime(
        "a",
        r#"
[runtime]
type = "acp"
command = "my-harness"
args = ["--acp"]

[runtime.env]
MESH_LLM_MCP_URL = "{{ mesh.mcp_url }}"
MESH_LLM_API_URL = "{{ mesh.api_url }}"
MESH_AGENT_WORKSPACE = "{{ task.workspace }}"
"#,
    );
    let agent = agents.definition("a");
    assert_eq!(agent.runtime.kind, RuntimeKind::Acp);
    assert_eq!(agent.runtime.command.as_deref(), Some("my-harness"));
    assert_eq!(agent.runtime.args, Some(vec!["--acp".to_owned()]));
    assert_eq!(agent.runtime.env.len(), 3);
    assert_eq!(agent.policy.filesystem, Filesystem::ReadAll);
}

#[test]
fn a_path_only_a_task_knows_is_left_to_the_task() {
    let agents = Agents::new();
    agents.with_runtime(
        "a",
        "[runtime]\ntype = \"pi\"\n[runtime.workspace]\nmode = \"path\"\npath = \"/no/such/{{ task.id }}\"\n",
    );
    agents.definition("a");
}

#[test]
fn the_card_is_kept_as_it_was_written() {
    let agents = Agents::new();
    let card = CARD.replace(
        "\"version\"",
        "\"iconUrl\": \"http:\\/\\/x\", \"x-own\": { \"big\": 9007199254740993, \"z\": 1.10 }, \"version\"",
    );
    agents.good("a").write("a", "agent-card.json", &card);
    let agent = agents.definition("a");
    assert_eq!(agent.card.json.as_str(), card.trim_end());
    assert_eq!(agent.card.name, "Test Agent");
    assert_eq!(agent.card.version, "1.2.3");
    assert_eq!(agent.card.skills[0].tags, ["one", "two"]);
    assert_eq!(agent.card.output_modes, ["text/markdown"]);
}

#[test]
fn the_digest_changes_with_each_of_the_three_files_and_nothing_else() {
    let agents = Agents::new();
    agents.good("a");
    let digest = || agents.definition("a").digest.clone();
    let mut seen = vec![digest()];
    assert_eq!(seen[0].len(), 64);
    agents.write("a", "notes.txt", "not one of them");
    assert_eq!(digest(), seen[0]);
    for (file, text) in [
        ("agent-card.json", CARD.replace("1.2.3", "1.2.4")),
        (
            "runtime.toml",
            "[runtime]\ntype = \"opencode\"\n# x\n".to_owned(),
        ),
        ("instructions.md", "Do it.\nAnd more.".to_owned()),
    ] {
        agents.write("a", file, text);
        assert!(!seen.contains(&digest()), "{file}");
        seen.push(digest());
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_an_agent_is_an_agent() {
    let agents = Agents::new();
    let real = agents.beside("elsewhere");
    crate::support::good_into(&real);
    std::os::unix::fs::symlink(&real, agents.dir().join("linked")).unwrap();
    std::os::unix::fs::symlink("/no/such/place", agents.dir().join("dangling")).unwrap();
    assert_eq!(agents.definition("linked").dir, agents.dir().join("linked"));
}

#[test]
fn near_ids_are_offered() {
    let agents = Agents::new();
    agents.good("pr-review").good("test-runner");
    let snapshot = agents.load();
    let near = |id: &str| snapshot.nearest(id).map(ToString::to_string);
    assert_eq!(near("pr_reviw").as_deref(), Some("pr-review"));
    assert_eq!(near("testrunner").as_deref(), Some("test-runner"));
    assert_eq!(near("../pr-review").as_deref(), Some("pr-review"));
    assert_eq!(near("deploy"), None);
}

/// Links to one directory: making and removing 20,000 real files takes most of a minute.
#[cfg(unix)]
#[test]
fn five_thousand_agents_load() {
    let agents = Agents::new();
    let real = agents.beside("real");
    crate::support::good_into(&real);
    for number in 1..5000 {
        std::os::unix::fs::symlink(&real, agents.dir().join(format!("agent-{number}"))).unwrap();
    }
    agents
        .good("broken")
        .write("broken", "agent-card.json", "{");
    let snapshot = agents.load();
    assert_eq!(snapshot.agents.len(), 4999);
    assert_eq!(snapshot.problems.len(), 1);
}

#[test]
fn each_value_of_network_is_what_it_says() {
    let of = |kind: &str, policy: &str| {
        let agents = Agents::new();
        let runtime =
            format!("[runtime]\ntype = \"{kind}\"\ncommand = \"x\"\n[policy]\n{policy}\n");
        agents.with_runtime("a", &runtime);
        agents.definition("a").policy.network
    };
    assert_eq!(of("command", ""), Network::Allow);
    assert_eq!(of("command", "network = \"deny\""), Network::Deny);
    assert_eq!(of("acp", "network = \"deny\""), Network::Deny);
    for kind in ["opencode", "acp", "command"] {
        assert_eq!(of(kind, "network = \"allow\""), Network::Allow);
        assert_eq!(of(kind, "network = \"loopback\""), Network::Loopback);
    }
}
