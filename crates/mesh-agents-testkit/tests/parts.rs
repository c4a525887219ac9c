//! The small parts: finding the programs, writing agent directories.

use mesh_agents_testkit::{AgentDir, bin};

#[test]
fn programs_are_found_without_cargo_naming_them() {
    let named_by_cargo = std::path::Path::new(env!("CARGO_BIN_EXE_scripted-acp-agent"));
    assert_eq!(bin("scripted-acp-agent"), named_by_cargo);
}

#[test]
#[should_panic(expected = "cargo build -p mesh-agents-testkit --bins")]
fn a_program_that_is_not_built_says_what_builds_it() {
    let _ = bin("scripted-nothing");
}

#[test]
fn an_agent_directory_has_what_the_test_said_and_defaults_for_the_rest() {
    let root = tempfile::tempdir().unwrap();
    let dir = AgentDir::new(root.path(), "a-1")
        .scripted_acp("/kit/agent")
        .script("write $HOME/x \"y\"")
        .script("hang")
        .env("URL", "{{ mesh.mcp_url }}")
        .top_key("enabled = false")
        .runtime_key("max_concurrent_tasks = 2")
        .runtime_key("max_concurrent_tasks = 3")
        .tables("[policy]\napproval = \"auto\"")
        .card(|card| card["name"] = "Another".into())
        .without_instructions()
        .write()
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(dir.join("runtime.toml")).unwrap(),
        r#"enabled = false
[runtime]
type = "acp"
command = "/kit/agent"
max_concurrent_tasks = 3
[runtime.env]
SCRIPTED_ACP = "write $$HOME/x \"y\"\nhang"
URL = "{{ mesh.mcp_url }}"
[policy]
approval = "auto"
"#
    );
    let card = std::fs::read_to_string(dir.join("agent-card.json")).unwrap();
    let card: serde_json::Value = serde_json::from_str(&card).unwrap();
    assert_eq!(card["name"], "Another");
    assert_eq!(card["supportedInterfaces"][0]["protocolBinding"], "JSONRPC");
    assert!(!dir.join("instructions.md").exists());
}
