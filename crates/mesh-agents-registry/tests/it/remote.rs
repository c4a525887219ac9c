//! Agents that run elsewhere: what their two files must say, and what is told when they do not.

use mesh_agents_core::agent::RuntimeKind;
use mesh_agents_registry::scaffold::{InitError, init_remote};

use crate::support::{Agents, CARD};

const OWN_URL: &str = "http://127.0.0.1:3131/a2a/agents/a";
const REMOTE: &str = "[runtime]\ntype = \"remote\"\n";
const WITH_TOKEN: &str = "[runtime]\ntype = \"remote\"\n[auth]\nbearer_env = \"REVIEW_TOKEN\"\n";

fn agent(card: &str, runtime: &str) -> Agents {
    let agents = Agents::new();
    agents
        .write("a", "agent-card.json", card)
        .write("a", "runtime.toml", runtime);
    agents
}

fn at(url: &str) -> String {
    CARD.replace(OWN_URL, url)
}

#[test]
fn a_remote_agent_needs_a_card_and_two_lines() {
    let agents = agent(
        &at("https://agents.example/review").replace("JSONRPC", "HTTP+JSON"),
        WITH_TOKEN,
    );
    let definition = agents.definition("a");
    assert_eq!(definition.runtime.kind, RuntimeKind::Remote);
    assert_eq!(definition.bearer_env.as_deref(), Some("REVIEW_TOKEN"));
    assert_eq!(
        definition.instructions.text, "",
        "instructions.md is not asked for"
    );
}

#[test]
fn what_the_target_must_be() {
    let mut told = String::new();
    let mut case = |what: &str, card: &str, runtime: &str| {
        let agents = agent(card, runtime);
        let snapshot = agents.load();
        let loads = if snapshot.agents.is_empty() {
            "refused"
        } else {
            "loads"
        };
        told += &format!("{what}: {loads}\n{}\n\n", agents.told(&snapshot.problems));
    };
    let other = "http://agents.example:8080/review";
    case("this machine, with a token", &at(OWN_URL), WITH_TOKEN);
    case("another machine in the clear", &at(other), REMOTE);
    case("the same with a token", &at(other), WITH_TOKEN);
    case(
        "a password in the URL",
        &at("https://me:pw@agents.example/"),
        REMOTE,
    );
    case("no URL", &at("agents.example"), REMOTE);
    case("a query", &at("https://agents.example/?k=v"), REMOTE);
    case("gRPC alone", &CARD.replace("JSONRPC", "GRPC"), REMOTE);
    case("A2A 0.3", &CARD.replace("\"1.0\" }", "\"0.3\" }"), REMOTE);
    insta::assert_snapshot!(told);
}

#[test]
fn keys_of_a_harness_are_told_to_do_nothing() {
    let runtime = r#"[runtime]
type = "remote"
command = "x"
args = []
model = "auto"
config = "mesh"
inherit_env = []
max_concurrent_tasks = 9
max_attempts = 3
[runtime.env]
A = "b"
[runtime.queue]
mode = "reject"
[runtime.workspace]
mode = "path"
path = "/"
[instructions]
file = "x.md"
delivery = "none"
[tools.mesh]
enabled = true
[result]
require = ["findings.json"]
[policy]
approval = "deny"
filesystem = "unconfined"
read = []
write = []
network = "allow"
max_task_seconds = 5
idle_seconds = 5
ask_seconds = 5
"#;
    let agents = agent(CARD, runtime);
    let snapshot = agents.load();
    assert_eq!(snapshot.agents.len(), 1, "warnings alone");
    insta::assert_snapshot!(agents.told(&snapshot.problems));
}

#[test]
fn init_writes_the_url_it_was_given() {
    let agents = Agents::new();
    let id = "far".parse().unwrap();
    let created = init_remote(&agents.dir(), &id, "http://agents.example/x").unwrap();
    assert_eq!(created.files.len(), 2);
    let snapshot = agents.load();
    assert!(
        snapshot.agents[&id]
            .card
            .json
            .as_str()
            .contains("http://agents.example/x")
    );
    let other = "other".parse().unwrap();
    let refused = init_remote(&agents.dir(), &other, "agents.example").unwrap_err();
    assert!(matches!(refused, InitError::Url { .. }), "{refused}");
    assert!(!agents.dir().join("other").exists());
}
