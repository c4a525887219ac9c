//! What people are told about a directory that is not right. Each message is a reviewed snapshot.

use crate::support::{Agents, CARD, RUNTIME};

/// The messages for one agent `a` that has this `runtime.toml`.
fn told_for_runtime(runtime: &str) -> String {
    let agents = Agents::new();
    agents.with_runtime("a", runtime);
    agents.told(&agents.load().problems)
}

/// The messages for one agent `a` that has this `agent-card.json`.
fn told_for_card(card: &str) -> String {
    let agents = Agents::new();
    agents.good("a").write("a", "agent-card.json", card);
    let snapshot = agents.load();
    assert!(snapshot.agents.is_empty());
    agents.told(&snapshot.problems)
}

/// Several inputs, each with what is told about it.
fn table(tell: fn(&str) -> String, inputs: &[&str]) -> String {
    inputs
        .iter()
        .map(|input| format!("{input}\n-> {}\n\n", tell(input)))
        .collect()
}

#[test]
fn absent_empty_and_unlistable_agents_directories() {
    let agents = Agents::new();
    let empty = agents.load();
    assert!(empty.agents.is_empty());
    let mut told = agents.told(&empty.problems);
    std::fs::remove_dir(agents.dir()).unwrap();
    told += "\n\n";
    told += &agents.told(&agents.load().problems);
    std::fs::write(agents.dir(), "").unwrap();
    told += "\n\n";
    told += &agents.told(&agents.load().problems);
    insta::assert_snapshot!(told);
}

#[test]
fn directories_that_are_no_agents() {
    let agents = Agents::new();
    agents
        .good("right")
        .good("not an id")
        .good("a..b")
        .good("n\u{fc}tzlich")
        .good(&"x".repeat(65))
        .good(".hidden")
        .write("..", "README.md", "a file")
        .write("notes", "other.txt", "nothing of an agent");
    std::fs::write(agents.dir().join("README.md"), "a file lying around").unwrap();
    let snapshot = agents.load();
    assert_eq!(snapshot.agents.len(), 1);
    insta::assert_snapshot!(agents.told(&snapshot.problems));
}

#[test]
fn missing_and_unreadable_files() {
    let agents = Agents::new();
    agents
        .write("only-brief", "instructions.md", "x")
        .write("only-card", "agent-card.json", CARD)
        .good("empty-brief")
        .write("empty-brief", "instructions.md", " \n")
        .good("latin1")
        .write("latin1", "instructions.md", b"caf\xe9")
        .good("bom")
        .write("bom", "runtime.toml", "\u{feff}[runtime]\n")
        .good("long-brief")
        .write("long-brief", "instructions.md", "x".repeat(256 * 1024 + 1))
        .good("long-card")
        .write("long-card", "agent-card.json", " ".repeat(24 * 1024 + 1))
        .good("directory");
    let path = agents.dir().join("directory/runtime.toml");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let snapshot = agents.load();
    assert!(snapshot.agents.is_empty());
    insta::assert_snapshot!(agents.told(&snapshot.problems));
}

#[test]
fn keys_that_are_not_there() {
    insta::assert_snapshot!(table(
        told_for_runtime,
        &[
            "[runtime]\ntype = \"pi\"\nmax_concurent_tasks = 2\n",
            "[runtime]\ntype = \"pi\"\nmax_task_seconds = 2\n",
            "model = \"auto\"\n[runtime]\ntype = \"pi\"\n",
            "[runtime]\ntype = \"pi\"\nvisibility = \"private\"\n",
            "[runtime]\ntype = \"pi\"\nxyzzy = 1\n",
            "[runtime]\ntype = \"pi\"\n[runtime.Queue]\nmode = \"queue\"\n",
            "[runtime]\ntype = \"pi\"\n[workspace]\nmode = \"path\"\n",
            "[runtime]\ntype = \"pi\"\n[tools.mcp]\nenabled = true\n",
        ]
    ));
}

#[test]
fn values_of_the_wrong_type_or_out_of_range() {
    insta::assert_snapshot!(table(
        told_for_runtime,
        &[
            "enabled = \"yes\"\n[runtime]\ntype = \"pi\"\n",
            "runtime = \"pi\"\n",
            "[runtime]\ntype = 3\n",
            "[runtime]\ntype = \"pi\"\nargs = \"--acp\"\n",
            "[runtime]\ntype = \"pi\"\nargs = [\"a\", 1]\n",
            "[runtime]\ntype = \"pi\"\nmodel = \"\"\n",
            "[runtime]\ntype = \"pi\"\nmodel = \"{{ mesh.model }}\"\n",
            "[runtime]\ntype = \"pi\"\nmax_concurrent_tasks = 0\n",
            "[runtime]\ntype = \"pi\"\nmax_concurrent_tasks = -1\n",
            "[runtime]\ntype = \"pi\"\nmax_concurrent_tasks = 1.5\n",
            "[runtime]\ntype = \"pi\"\n[runtime.env]\nN = 1\n",
            "[runtime]\ntype = \"pi\"\n[policy]\nmax_task_seconds = 0\nidle_seconds = 99999999999999999999\n",
            "[runtime]\ntype = \"pi\"\n[policy]\nask_seconds = \"900\"\n",
        ]
    ));
}

#[test]
fn values_there_are_not_and_values_not_built_yet() {
    insta::assert_snapshot!(table(
        told_for_runtime,
        &[
            "[runtime]\ntype = \"open-code\"\n",
            "[runtime]\ntype = \"cursor\"\n",
            "[runtime]\ntype = \"claude\"\n",
            "[runtime]\ntype = \"codex\"\n",
            "[runtime]\ntype = \"gemini\"\n",
            "[runtime]\ntype = \"pi\"\n[runtime.workspace]\nmode = \"git_worktree\"\n",
            "[runtime]\ntype = \"pi\"\n[policy]\napproval = \"sometimes\"\n",
            "[runtime]\ntype = \"pi\"\n[policy]\nnetwork = \"lo\"\n",
            "[runtime]\ntype = \"pi\"\n[policy]\nnetwork = \"deny\"\n",
            "[runtime]\ntype = \"pi\"\n[policy]\nnetwork = \"loopback\"\nfilesystem = \"unconfined\"\n",
            "[runtime]\ntype = \"pi\"\n[policy]\nfilesystem = \"none\"\n",
        ]
    ));
}

#[test]
fn what_a_value_needs_besides() {
    insta::assert_snapshot!(table(
        told_for_runtime,
        &[
            "",
            "[runtime]\n",
            "[runtime]\ntype = \"acp\"\n",
            "[runtime]\ntype = \"command\"\n",
            "[runtime]\ntype = \"acp\"\ncommand = \" \"\n",
            "[runtime]\ntype = \"pi\"\n[policy]\napproval = \"ask\"\n",
            "[runtime]\ntype = \"command\"\ncommand = \"make\"\n[policy]\napproval = \"auto_edit\"\n",
            "[runtime]\ntype = \"goose\"\n[policy]\napproval = \"auto_edit\"\n",
            "[runtime]\ntype = \"pi\"\n[runtime.workspace]\nmode = \"path\"\n",
            "[runtime]\ntype = \"pi\"\n[runtime.workspace]\nmode = \"path\"\npath = \"src\"\n",
            "[runtime]\ntype = \"pi\"\n[runtime.workspace]\nmode = \"path\"\npath = \"/no/such/directory\"\n",
            "[runtime]\ntype = \"pi\"\n[runtime.workspace]\nmode = \"path\"\npath = \"{{ agent.card_path }}\"\n",
            "[runtime]\ntype = \"pi\"\n[runtime.workspace]\nmode = \"path\"\npath = \"$NOWHERE/src\"\n",
            "[runtime]\ntype = \"pi\"\n[instructions]\nfile = \"../../etc/passwd\"\n",
            "[runtime]\ntype = \"pi\"\n[instructions]\nfile = \"/etc/passwd\"\n",
            "[runtime]\ntype = \"pi\"\n[instructions]\nfile = \"no-such.md\"\n",
        ]
    ));
}

#[test]
fn templates_that_cannot_be_expanded() {
    insta::assert_snapshot!(table(
        told_for_runtime,
        &[
            "[runtime]\ntype = \"acp\"\ncommand = \"{{ mesh.mcp_ulr }}\"\n",
            "[runtime]\ntype = \"acp\"\ncommand = \"x\"\nargs = [\"a\", \"{{#if a}}\"]\n",
            "[runtime]\ntype = \"acp\"\ncommand = \"x\"\nargs = [\"$GH_TOKEN\", \"$$GH_TOKEN\"]\n",
            "[runtime]\ntype = \"acp\"\ncommand = \"x\"\n[runtime.env]\nA = \"{{ env.MISSING }}${ALSO_MISSING}\"\n",
            "[runtime]\ntype = \"acp\"\ncommand = \"a\\u0000b\"\n",
        ]
    ));
}

#[test]
fn names_and_paths_that_are_none() {
    insta::assert_snapshot!(table(
        told_for_runtime,
        &[
            "[runtime]\ntype = \"pi\"\ninherit_env = [\"$GH_TOKEN\", \"OK\", \"A=b\", \"\"]\n",
            "[runtime]\ntype = \"pi\"\ninherit_env = [\"MESH_AGENT_RUN\"]\n[runtime.env]\n\"a b\" = \"x\"\n",
            "[runtime]\ntype = \"pi\"\n[result]\nrequire = [\"../up\", \"/abs\", \"response\", \"ok.json\"]\n",
            "[runtime]\ntype = \"pi\"\n[policy]\nread = [\"src\", \"$SRC/x\", \"{{ agent.dir }}\"]\nwrite = [\"/a/../b\"]\n",
        ]
    ));
}

#[test]
fn keys_without_effect_are_warnings() {
    let agents = Agents::new();
    agents.with_runtime(
        "a",
        "[runtime]\ntype = \"acp\"\ncommand = \"x\"\nconfig = \"user\"\n[runtime.workspace]\npath = \"/\"\nbase = \"main\"\n[auth]\nbearer_env = \"TOKEN\"\n",
    );
    let snapshot = agents.load();
    assert_eq!(snapshot.agents.len(), 1, "a warning does not stop an agent");
    insta::assert_snapshot!(agents.told(&snapshot.problems));
}

#[test]
fn text_that_is_not_toml() {
    insta::assert_snapshot!(table(
        told_for_runtime,
        &[
            "[runtime\ntype = \"pi\"\n",
            "[runtime]\ntype = pi\n",
            "[runtime]\ntype = \"pi\"\ntype = \"pi\"\n",
            "[runtime]\ntype \"pi\"\nmodel = = \"x\"\n",
        ]
    ));
}

#[test]
fn all_mistakes_of_a_directory_are_told_at_once() {
    let agents = Agents::new();
    agents
        .good("right")
        .with_runtime(
            "wrong",
            "enabld = true\n[runtime]\ntype = \"acp\"\nargs = [\"{{ nope }}\"]\nmax_attempts = 0\n[policy]\nnetwork = \"maybe\"\n",
        )
        .write("wrong", "agent-card.json", CARD.replace("\"version\"", "\"Version\""))
        .write("wrong", "instructions.md", "");
    let snapshot = agents.load();
    assert_eq!(snapshot.agents.len(), 1, "the broken one hides nobody");
    insta::assert_snapshot!(agents.told(&snapshot.problems));
}

#[test]
fn cards_that_are_none() {
    let mut told = String::new();
    for card in ["", "{", "[]", "{}", "{} {}", "{\n  \"name\": \"x\",\n}"] {
        told += &format!("{card}\n-> {}\n\n", told_for_card(card));
    }
    for (from, to) in [
        ("\"name\": \"Test Agent\"", "\"name\": 7"),
        ("Test Agent", "Test\\u0007Agent"),
        ("Test Agent", "Test\\nAgent"),
        ("Does what", "Does \\u202e what"),
        ("Does what tests need.", " "),
        ("[\"one\", \"two\"]", "\"one\""),
        (", \"tags\": [\"one\", \"two\"]", ""),
        ("[\"one\", \"two\"]", "[]"),
        ("\"id\": \"s\"", "\"id\": null"),
        ("\"protocolBinding\"", "\"protocol_binding\""),
        ("[\"text/plain\"]", "[1]"),
        (
            "[\"one\", \"two\"] }",
            "[\"x\"] }, { \"id\": \"s\", \"name\": \"B\", \"description\": \"B\", \"tags\": [\"b\"] }",
        ),
        ("true", "\"yes\""),
        (
            "\"version\"",
            "\"provider\": { \"url\": \"http://x\" }, \"version\"",
        ),
        (
            "\"version\"",
            "\"securitySchemes\": { \"k\": {} }, \"version\"",
        ),
    ] {
        assert!(CARD.contains(from), "{from}");
        let answer = told_for_card(&CARD.replacen(from, to, 1));
        told += &format!("{from}  =>  {to}\n-> {answer}\n\n");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_card_of_a2a_0_3_is_named_as_such() {
    insta::assert_snapshot!(told_for_card(
        r#"{
  "protocolVersion": "0.3.0",
  "name": "Old",
  "description": "Speaks the version before.",
  "url": "http://127.0.0.1:1/",
  "preferredTransport": "JSONRPC",
  "additionalInterfaces": [{ "url": "http://127.0.0.1:1/", "transport": "GRPC" }],
  "version": "1",
  "capabilities": { "streaming": true, "stateTransitionHistory": false },
  "security": [],
  "supportsAuthenticatedExtendedCard": false,
  "kind": "agent",
  "defaultInputModes": ["text/plain"],
  "defaultOutputModes": ["text/plain"],
  "supportedInterfaces": [{ "url": "http://127.0.0.1:1/", "transport": "JSONRPC", "protocolBinding": "JSONRPC", "protocolVersion": "0.3" }],
  "skills": [{ "id": "s", "name": "S", "description": "S", "tags": ["t"], "security": [] }]
}"#
    ));
}

#[cfg(unix)]
#[test]
fn instructions_that_lead_out_of_the_directory() {
    let agents = Agents::new();
    std::fs::write(agents.beside("secret"), "the owner's").unwrap();
    agents
        .write("a", "agent-card.json", CARD)
        .write("a", "runtime.toml", RUNTIME);
    std::os::unix::fs::symlink(
        agents.beside("secret"),
        agents.dir().join("a/instructions.md"),
    )
    .unwrap();
    let snapshot = agents.load();
    assert!(snapshot.agents.is_empty());
    insta::assert_snapshot!(agents.told(&snapshot.problems));
}

#[test]
fn every_code_is_explained() {
    let text = include_str!("../../AUTHORING.md");
    let table = text.split("## Codes").nth(1).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut explained: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let mut codes = mesh_agents_registry::code::ALL.to_vec();
    explained.sort_unstable();
    codes.sort_unstable();
    assert_eq!(explained, codes);
}
