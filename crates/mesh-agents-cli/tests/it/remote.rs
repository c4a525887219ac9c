//! Two nodes: an agent of one is, on the other, an agent of type `remote`. Its tasks look like any
//! other, and what becomes of them on either side is known on both.

use std::fs;

use serde_json::{Value, json};

use crate::support::{World, kill, until};

/// The variable with the token, in the environment of the node that calls.
const VARIABLE: &str = "FAR_TOKEN";
const TOKEN: &str = "this-is-the-token-of-the-other-node";

/// The node where the agent runs, and the node where it is called from.
struct Nodes {
    // Ends first: what it sends must have somebody to hear it.
    here: World,
    there: World,
}

impl Nodes {
    /// `tester` there, `far` here; calls show `token` and use `binding`.
    fn with(token: &str, binding: &str, streaming: bool) -> Self {
        let there = World::with_tester();
        let file = there.path("caller.token");
        fs::write(&file, TOKEN).unwrap();
        there.settings(&format!(
            "[access_tokens]\ncaller = {:?}",
            file.display().to_string()
        ));
        // The engine starts with the first verb that needs it.
        there.json(&["tasks"]);
        let base = there.engine()["base_url"].as_str().unwrap().to_owned();
        let mut here = World::new();
        here.set_env(VARIABLE, token);
        here.agent("far")
            .without_instructions()
            .card(|card| {
                card["supportedInterfaces"] = json!([{
                    "url": format!("{base}/a2a/agents/tester"),
                    "protocolBinding": binding, "protocolVersion": "1.0"}]);
                card["capabilities"]["streaming"] = json!(streaming);
            })
            .runtime_toml(format!(
                "[runtime]\ntype = \"remote\"\n[auth]\nbearer_env = {VARIABLE:?}\n"
            ))
            .write()
            .unwrap();
        Self { here, there }
    }

    fn new() -> Self {
        Self::with(TOKEN, "JSONRPC", true)
    }

    /// The tasks there, newest first.
    fn tasks_there(&self) -> Vec<Value> {
        let tasks = self.there.json(&["tasks"]);
        tasks["tasks"].as_array().unwrap().clone()
    }

    /// The one task there.
    fn task_there(&self) -> String {
        until("a task there", || {
            let tasks = self.tasks_there();
            assert!(tasks.len() <= 1, "run twice: {tasks:?}");
            let id = tasks.first()?["task_id"].as_str()?;
            Some(id.to_owned())
        })
    }
}

/// What a caller gets of a task: artifacts by id with their text, and the agent's last words.
fn delivered(world: &World, task: &str) -> Vec<String> {
    let shown = world.json(&["task", task]);
    let task = &shown["task"];
    let mut found: Vec<String> = task["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|artifact| format!("{} {}", artifact["artifactId"], artifact["parts"][0]))
        .collect();
    found.sort();
    found.push(task["history"].as_array().unwrap().last().unwrap()["parts"].to_string());
    found
}

#[test]
fn a_task_of_a_remote_agent_looks_like_one_where_the_agent_is() {
    for (binding, streaming) in [("JSONRPC", true), ("HTTP+JSON", true), ("JSONRPC", false)] {
        let nodes = Nodes::with(TOKEN, binding, streaming);
        let message = "script: text Let me see.\nscript: tool look\nscript: text All \
            good.\nscript: write $TASK_ARTIFACTS_DIR/findings.json {\"n\": 18446744073709551615}\n\
            script: sh printf '\\377\\000' > $TASK_ARTIFACTS_DIR/blob.bin";
        let sent = nodes.here.run(&["send", "far", message]);
        assert_eq!(sent.code, 0, "{sent}");
        let here = nodes.here.json(&["tasks"])["tasks"][0].clone();
        assert_eq!(here["state"], "completed", "{here}");
        let (here, there) = (here["task_id"].as_str().unwrap(), nodes.task_there());
        let delivered_here = delivered(&nodes.here, here);
        assert_eq!(
            delivered_here,
            delivered(&nodes.there, &there),
            "{binding} {streaming}"
        );
        assert_eq!(delivered_here.len(), 5, "{delivered_here:?}");
    }
}

#[test]
fn a_question_there_is_answered_here() {
    let nodes = Nodes::new();
    let task = nodes.here.send("far", "tck-multi-turn");
    let asked = nodes.here.until_state(&task, "input_required");
    let text = asked["task"]["status"]["message"].to_string();
    assert!(text.contains("More input, please"), "{text}");
    let answered = nodes.here.run(&["send", "far", "--task", &task, "done"]);
    assert_eq!(answered.code, 0, "{answered}");
    nodes.here.until_state(&task, "completed");
    nodes.there.until_state(&nodes.task_there(), "completed");
}

#[test]
fn a_cancel_here_is_a_cancel_there() {
    let nodes = Nodes::new();
    let task = nodes.here.send("far", "script: text started\nscript: hang");
    nodes.there.until_state(&nodes.task_there(), "working");
    let canceled = nodes.here.run(&["cancel", &task]);
    assert_eq!(canceled.code, 0, "{canceled}");
    nodes.here.until_state(&task, "canceled");
    nodes.there.until_state(&nodes.task_there(), "canceled");
}

#[test]
fn an_engine_killed_here_goes_on_with_the_task_there() {
    let nodes = Nodes::new();
    let gate = nodes.here.path("tmp/gate");
    let message = format!(
        "script: text One,\nscript: wait_file {}\nscript: text two.",
        gate.display()
    );
    let task = nodes.here.send("far", &message);
    let there = nodes.task_there();
    // What was streamed before the kill is stored, so that it can be told apart from what follows.
    until("the first words", || {
        let shown = nodes.here.json(&["task", &task]).to_string();
        shown.contains("One,").then_some(())
    });
    kill(nodes.here.engine_pid());
    nodes.here.json(&["tasks"]);
    nodes.here.until_state(&task, "working");
    fs::write(&gate, "").unwrap();
    nodes.here.until_state(&task, "completed");
    assert_eq!(nodes.task_there(), there, "one task there");
    assert_eq!(
        delivered(&nodes.here, &task),
        delivered(&nodes.there, &there)
    );
}

#[test]
fn a_wrong_token_is_told_with_the_variable_it_came_from() {
    let nodes = Nodes::with("wrong", "JSONRPC", true);
    let sent = nodes.here.run(&["send", "far", "hello"]);
    assert_ne!(sent.code, 0, "{sent}");
    assert!(
        sent.err.contains("HTTP 401") && sent.err.contains(VARIABLE),
        "{sent}"
    );
    assert!(nodes.tasks_there().is_empty());
}
