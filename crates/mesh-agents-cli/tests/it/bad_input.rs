//! Bad input: each message names what is wrong, where, and what to do next. Every case is a
//! reviewed snapshot; ids, paths, ports and pids are replaced.

use std::fs;
use std::net::TcpListener;

use serde_json::json;

use crate::support::{Mcp, World, until};

#[test]
fn an_absent_agents_directory_leads_to_init() {
    let world = World::bare();
    let said = [
        world.run(&["list"]),
        world.run(&["list", "--json"]),
        world.run(&["send", "reviewer", "hello"]),
        world.run(&["validate"]),
    ];
    world.check("absent_agents_directory", &said);
}

#[test]
fn an_empty_agents_directory_leads_to_init() {
    let world = World::new();
    let said = [
        world.run(&["list"]),
        world.run(&["send", "reviewer", "hello"]),
        world.run(&["send", "reviewer", "hello", "--json"]),
    ];
    world.check("empty_agents_directory", &said);
}

#[test]
fn an_unknown_agent_is_met_with_the_nearest_one() {
    let world = World::with_tester();
    let said = [
        world.run(&["send", "testre", "hello"]),
        world.run(&["send", "testre", "hello", "--json"]),
        world.run(&["show", "testre"]),
        world.run(&["show", "testre", "--json"]),
        world.run(&["validate", "testre"]),
        world.run(&["enable", "testre"]),
        world.run(&["show", "quite-another"]),
        world.run(&["send", "quite-another", "hello"]),
        world.run(&["tasks", "--agent", "quite-another"]),
    ];
    world.check("unknown_agent", &said);
}

#[test]
fn a_disabled_agent_takes_nothing_and_says_how_to_change_that() {
    let world = World::new();
    world
        .agent("tester")
        .top_key("enabled = false")
        .write()
        .unwrap();
    let said = [
        world.run(&["send", "tester", "hello"]),
        world.run(&["send", "tester", "hello", "--json"]),
        world.run(&["list"]),
    ];
    world.check("disabled_agent", &said);
}

#[test]
fn a_broken_card_is_named_by_file_and_path_and_hides_nobody() {
    let world = World::with_tester();
    world
        .agent("crooked")
        .card(|card| {
            card["skills"][0]["tags"] = json!("not a list");
        })
        .write()
        .unwrap();
    world
        .agent("torn")
        .card_text("{ \"name\": ")
        .write()
        .unwrap();
    let said = [
        world.run(&["list"]),
        world.run(&["list", "--json"]),
        world.run(&["validate", "crooked"]),
        world.run(&["show", "torn"]),
        world.run(&["send", "crooked", "hello"]),
        world.run(&["send", "tester", "script: text fine"]),
    ];
    world.check("broken_card", &said);
}

#[test]
fn what_is_wrong_in_runtime_toml_is_named_by_key() {
    let world = World::new();
    let tester = || world.agent("tester");
    let cases = [
        (
            "unknown key",
            tester().runtime_key("max_concurent_tasks = 2"),
        ),
        (
            "value not built yet",
            tester().tables("[runtime.workspace]\nmode = \"git_worktree\""),
        ),
        (
            "a network confined by nothing",
            tester().tables("[policy]\nnetwork = \"deny\"\nfilesystem = \"unconfined\""),
        ),
        (
            "unknown template variable",
            tester().env("WHERE", "{{ task.workspce }}"),
        ),
        ("unset variable", tester().env("TOKEN", "$NOT_SET_ANYWHERE")),
        (
            "path without a path",
            tester().tables("[runtime.workspace]\nmode = \"path\""),
        ),
        (
            "a path that is not there",
            tester().tables("[runtime.workspace]\nmode = \"path\"\npath = \"/no/such/place\""),
        ),
        (
            "acp without command",
            tester().runtime_toml("[runtime]\ntype = \"acp\"\n"),
        ),
        (
            "no toml",
            tester().runtime_toml("[runtime\ntype = \"acp\"\n"),
        ),
    ];
    let mut said = Vec::new();
    for (_what, agent) in cases {
        agent.write().unwrap();
        said.push(world.run(&["validate", "tester"]));
    }
    said.push(world.run(&["validate", "tester", "--json"]));
    said.push(world.run(&["send", "tester", "hello"]));
    world.check("runtime_toml", &said);
}

#[test]
fn a_harness_that_is_not_there_is_named() {
    let world = World::new();
    let agent = world.agent("tester");
    agent
        .runtime_key("command = \"no-such-harness\"")
        .write()
        .unwrap();
    let said = [
        world.run(&["send", "tester", "hello"]),
        world.run(&["send", "tester", "hello", "--json"]),
        world.run(&["doctor"]),
        world.run(&["doctor", "--json"]),
    ];
    // Beside what is asked here the JSON has everything a task has; one member is enough.
    let task = said[1].document();
    assert_eq!(task["state"], "failed", "{}", said[1]);
    let [text, _, doctor, doctor_json] = said;
    world.check("harness_not_on_path", &[text, doctor, doctor_json]);
}

#[test]
fn a_harness_that_dies_at_once_is_quoted() {
    let world = World::new();
    let agent = world.agent("tester");
    agent
        .script("start: stderr cannot find the config file\nstart: exit 3")
        .write()
        .unwrap();
    let said = [world.run(&["send", "tester", "hello"])];
    world.check("harness_dies_at_once", &said);
}

#[test]
fn a_harness_that_stays_silent_is_given_up_by_name() {
    let world = World::new();
    // Whether it has said anything within its second is its machine's to say.
    world.settings("harness_start_seconds = 1");
    let agent = world.agent("tester");
    agent.script("hang_initialize").write().unwrap();
    let said = [world.run(&["send", "tester", "hello"])];
    world.check("harness_silent_at_initialize", &said);
}

#[test]
fn a_message_over_the_limit_stores_nothing() {
    let world = World::with_tester();
    let message = vec![b'x'; 1024 * 1024 + 1];
    let said = [
        world.run_with(&["send", "tester", "-"], &message),
        world.run_with(&["send", "tester", "-", "--json"], &message),
        world.run_with(&["send", "tester", "-"], b""),
        world.run(&["tasks"]),
    ];
    world.check("message_over_the_limit", &said);
}

#[test]
fn a_task_or_artifact_that_is_not_there_is_told_with_what_is() {
    let world = World::with_tester();
    world.agent("other").write().unwrap();
    let task = world.send(
        "tester",
        "script: write $TASK_ARTIFACTS_DIR/summary.md fine",
    );
    world.until_state(&task, "completed");
    let nobody = "task-01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let said = [
        world.run(&["send", "other", "go on", "--task", &task]),
        world.run(&["send", "tester", "go on", "--task", &task]),
        world.run(&["cancel", &task]),
        world.run(&["task", nobody]),
        world.run(&["task", nobody, "--json"]),
        world.run(&["cancel", nobody]),
        world.run(&["logs", nobody]),
        world.run(&["artifacts", nobody]),
        world.run(&["artifacts", &task, "findings.json"]),
        world.run(&["artifacts", &task, "findings.json", "--json"]),
    ];
    world.check("not_there", &said);

    let mut mcp = Mcp::start(&world);
    let refused = mcp
        .call("get_task", &json!({ "task_id": task, "agent_id": "other" }))
        .unwrap_err();
    assert!(refused.starts_with("task_not_found: "), "{refused}");
    for tool in ["view_text_artifact", "view_data_artifact"] {
        let args = json!({ "task_id": task, "artifact_id": "gone.json" });
        let refused = mcp.call(tool, &args).unwrap_err();
        assert!(refused.starts_with("artifact_not_found: "), "{refused}");
        assert!(refused.contains("summary.md"), "{refused}");
    }
}

#[test]
fn no_id_is_a_way_out_of_its_place() {
    let world = World::with_tester();
    let task = world.send("tester", "script: text fine");
    world.until_state(&task, "completed");
    fs::write(world.path("data/a2a/canary"), "canary-sings").unwrap();
    let said = [
        world.run(&["send", "../tester", "hello"]),
        world.run(&["show", "../tester"]),
        world.run(&["validate", "../../home"]),
        world.run(&["init", "../outside"]),
        world.run(&["init", ".."]),
        world.run(&["enable", "../tester"]),
        world.run(&["task", "../../etc/passwd"]),
        world.run(&["cancel", "task-../../../../etc/passwd"]),
        world.run(&["logs", "../canary"]),
        world.run(&["artifacts", "../../x"]),
        world.run(&["artifacts", &task, "../../../../../canary"]),
        world.run(&["artifacts", &task, "/etc/passwd"]),
        world.run(&["artifacts", &task, "a/../../b"]),
        world.run(&["send", "tester", "hello", "--context", "../../x"]),
        world.run(&["send", "tester", "hello", "--task", "../../x"]),
        world.run(&["tasks", "--context", "../x"]),
        world.run(&["tasks", "--agent", "../x"]),
    ];
    assert!(
        said.iter()
            .all(|said| said.code != 0 && said.out.is_empty())
    );
    assert!(!world.path("outside").exists());
    world.check("path_traversal", &said);

    let mut mcp = Mcp::start(&world);
    for (tool, args) in [
        ("get_agent", json!({ "agent_id": "../tester" })),
        ("get_task", json!({ "task_id": "../x" })),
        ("cancel_task", json!({ "task_id": "../x" })),
        (
            "send_message",
            json!({ "agent_id": "../tester", "message": "x" }),
        ),
        (
            "view_text_artifact",
            json!({ "task_id": task, "artifact_id": "../canary" }),
        ),
        (
            "view_data_artifact",
            json!({ "task_id": task, "artifact_id": "../canary" }),
        ),
    ] {
        let refused = mcp.call(tool, &args).unwrap_err();
        assert!(
            refused.starts_with("invalid_argument: "),
            "{tool}: {refused}"
        );
    }
}

#[test]
fn a_taken_port_is_named_with_the_way_to_another() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = [
        world.run(&["serve", "--listen", &address]),
        world.run(&["serve", "--listen", &address, "--json"]),
        world.run(&["serve", "--listen", "0.0.0.0:0"]),
        world.run(&["serve", "--listen", "somewhere"]),
    ];
    world.check("port_taken", &said);
}

#[test]
fn a_second_engine_is_told_of_the_first() {
    let world = World::with_tester();
    world.run(&["tasks"]);
    let pid = world.engine_pid();
    // A node in the foreground takes over from an engine that is idle, never from one at work.
    let task = world.send("tester", "script: hang");
    world.until_state(&task, "working");
    let said = [
        world.run(&["engine"]),
        world.run(&["engine", "--json"]),
        world.run(&["serve", "--listen", "127.0.0.1:0"]),
    ];
    assert!(said[0].err.contains(&format!("pid {pid}")), "{}", said[0]);
    assert_eq!(world.engine_pid(), pid, "the first is undisturbed");
    assert_eq!(world.json(&["task", &task])["state"], "working");
    world.check("two_engines", &said);
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let world = World::with_tester();
    // Permissions do not bind the superuser, who runs many a test machine; what no user at all can
    // create is a directory below a file, and one in /proc.
    fs::write(world.path("home/file"), "").unwrap();
    let below_a_file = world.path("home/file/data");
    let below_a_file = below_a_file.to_str().unwrap();
    let said = [
        world.run(&["send", "tester", "hello", "--data-dir", below_a_file]),
        world.run(&["tasks", "--json", "--data-dir", below_a_file]),
        world.run(&["doctor", "--data-dir", below_a_file]),
        world.run(&["tasks", "--data-dir", "/proc/agents"]),
        world.run(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "/proc/agents",
        ]),
    ];
    world.check("read_only_data_directory", &said);
}

#[test]
fn a_typo_in_the_settings_is_named_by_line_and_nearest_key() {
    let world = World::with_tester();
    world.settings("lisen = \"127.0.0.1:3131\"");
    let mut said = vec![
        world.run(&["list"]),
        world.run(&["send", "tester", "hello", "--json"]),
    ];
    for line in [
        "harness_start_seconds = 0",
        "linger_seconds = -1",
        "public_url = 7",
        "= 7",
    ] {
        world.settings(line);
        said.push(world.run(&["status"]));
    }
    world.check("settings", &said);
}

#[test]
fn pages_and_states_that_are_none_are_told_which_there_are() {
    let world = World::with_tester();
    let said = [
        world.run(&["tasks", "--cursor", "nonsense"]),
        world.run(&["tasks", "--cursor", "nonsense", "--json"]),
        world.run(&["tasks", "--state", "bogus"]),
        world.run(&["tasks", "--state", "TASK_STATE_WORKING"]),
        world.run(&["tasks", "--limit", "0"]),
    ];
    world.check("cursor_and_state", &said);
}

#[test]
fn an_agent_whose_directory_goes_fails_what_waits_and_lets_finish_what_runs() {
    let world = World::with_tester();
    let running = world.send(
        "tester",
        "script: wait_file $TASK_ARTIFACTS_DIR/go\nscript: text done",
    );
    let queued = world.send("tester", "script: text never");
    world.until_state(&running, "working");
    fs::remove_dir_all(world.path("agents/tester")).unwrap();
    let gone = world.until_state(&queued, "failed");
    assert!(gone["task"].to_string().contains("agent_removed"), "{gone}");
    let go = until("the artifacts directory", || {
        let dir = world.artifacts("tester", &running);
        dir.is_dir().then(|| dir.join("go"))
    });
    fs::write(go, "").unwrap();
    world.until_state(&running, "completed");
}
