//! Sessions of a real harness that outlive its process: its data lies in the agent's private HOME.

use mesh_agents_testkit::ScriptedModel;
use serde_json::{Value, json};

use crate::machine::{Harness, Machine, within};

/// The results the example agent has to leave.
const RESULTS: &str = "cd \"$TASK_ARTIFACTS_DIR\" && echo '{\"findings\":[]}' > findings.json && echo done > summary.md";

/// A tool call of the harness's shell.
fn shell(command: &str) -> Value {
    json!({ "tools": [{ "names": ["bash", "*shell"], "arguments": {
        "command": command, "description": "Work" } }] })
}

/// All that was said in the newest request for an answer.
fn conversation(model: &ScriptedModel) -> String {
    let log = model.log();
    let asked = log.iter().rfind(|entry| !entry.tools.is_empty()).unwrap();
    asked.body["messages"].to_string()
}

/// The node is killed in the middle of a tool call; the next one takes the session up, and the model
/// sees what was said before and what is left of the work.
pub(crate) async fn after_a_kill(harness: &Harness) {
    let hang = format!(
        "{RESULTS}; echo half > half.md; cd \"$MESH_TASK_WORKSPACE\"; echo 1 > begun.txt; sleep 600"
    );
    let script = json!({
        "rules": [{ "when": "was cut off", "steps": [
            shell("cat begun.txt \"$TASK_ARTIFACTS_DIR\"/half.md && pwd"),
            { "text": "Finished it." },
        ]}],
        "steps": [shell(&hang), { "text": "never" }],
        "aux": { "text": "A title" },
    });
    let model = ScriptedModel::start(script).await.unwrap();
    let mut machine = Machine::start(harness, &model.openai_url(), "").await;
    let sent = machine
        .agents(&[
            "--json",
            "send",
            "--no-wait",
            "pr-review",
            "Mind the teapot",
        ])
        .await
        .json();
    let task = sent["task_id"].as_str().unwrap();
    let begun = machine.path(&format!("tmp/mesh-a2a-pr-review-{task}/begun.txt"));
    within(async {
        while !begun.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    machine.kill_and_restart().await;
    let ended = machine
        .agents(&["--json", "task", task, "--wait"])
        .await
        .json();
    assert_eq!(ended["state"], "completed", "{ended:#}");
    let said = conversation(&model);
    assert!(said.contains("Mind the teapot"), "{said}");
    assert!(said.contains("was cut off"), "{said}");
    assert!(said.contains("half"), "its files are there: {said}");
    machine.stop().await;
    model.stop().await.unwrap();
}

/// The second task of a context goes on in the session of the first: the model sees the earlier turn,
/// the shell works where it may, and the results are the second task's own.
pub(crate) async fn next_task(harness: &Harness) {
    let steps = json!([shell(&format!("{RESULTS} && cd \"$MESH_TASK_WORKSPACE\" && pwd")), { "text": "Noted." }]);
    let script = json!({ "steps": steps, "aux": { "text": "A title" } });
    let model = ScriptedModel::start(script).await.unwrap();
    let session = |text: &str| {
        assert!(text.contains("\n[runtime]\n"));
        text.replace("\n[runtime]\n", "\n[runtime]\nsession = \"per_context\"\n")
    };
    let machine = Machine::start_edited(harness, &model.openai_url(), session).await;
    let first = machine.send("pr-review", "Mind the teapot").await;
    assert_eq!(first["state"], "completed", "{first:#}");
    let context = first["task"]["contextId"].as_str().unwrap();
    let words = [
        "--json",
        "send",
        "pr-review",
        "--context",
        context,
        "And the kettle?",
    ];
    let second = machine.agents(&words).await.json();
    assert_eq!(second["state"], "completed", "{second:#}");
    assert_ne!(second["task_id"], first["task_id"]);
    let said = conversation(&model);
    let (teapot, kettle) = (said.find("Mind the teapot"), said.find("And the kettle?"));
    assert!(teapot.is_some() && teapot < kettle, "{said}");
    assert!(
        second["task"]["artifacts"]
            .to_string()
            .contains("findings.json"),
        "{second:#}"
    );
    machine.stop().await;
    model.stop().await.unwrap();
}
