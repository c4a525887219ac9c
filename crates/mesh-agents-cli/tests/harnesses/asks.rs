//! Permissions a harness asks for, and what becomes of the answer.

use serde_json::{Value, json};

use crate::machine::{Harness, Machine, model};

/// OpenCode asks before it reads a file of secrets: allowed, the tool runs and the turn goes on;
/// rejected, the tool does not run. It has no subagents then, whose questions would never arrive.
pub(crate) async fn reads_a_secret(harness: &Harness) {
    // The model's own words never hold the secret: it can only come out of the file.
    let prepare = "cd \"$TASK_ARTIFACTS_DIR\" && echo '{\"findings\":[]}' > findings.json && echo done > summary.md; \
        cd \"$MESH_TASK_WORKSPACE\" && echo \"SECRET=$((4000 + 711))\" > .env && pwd";
    let steps = json!([
        { "tools": [{ "names": ["bash"], "arguments": { "command": prepare, "description": "Prepare" } }] },
        { "tools": [{ "names": ["read"], "arguments": { "filePath": "${tool_result:(/\\S+)}/.env" } }] },
        { "text": "Read it." },
    ]);
    for (option, read) in [("allow_once", true), ("reject_once", false)] {
        let model = model(steps.clone()).await;
        let ask = |text: &str| format!("{text}approval = \"ask\"\n");
        let machine = Machine::start_edited(harness, &model.openai_url(), ask).await;
        let asked = machine.send("pr-review", "Read the secret").await;
        assert_eq!(asked["state"], "input_required", "{asked:#}");
        let task = asked["task_id"].as_str().unwrap();
        let question = question(&asked);
        assert_eq!(question["kind"], "permission", "{question:#}");
        let options = question["options"].as_array().unwrap();
        let of_kind = |kind: &str| options.iter().find(|option| option["kind"] == kind);
        let id = of_kind(option).unwrap()["id"].as_str().unwrap();

        let words = [
            "--json",
            "send",
            "pr-review",
            "--task",
            task,
            "--option",
            id,
        ];
        let ended = machine.agents(&words).await.json();
        assert_eq!(ended["state"], "completed", "{ended:#}");
        let log = model.log();
        let told = log
            .iter()
            .any(|entry| entry.body.to_string().contains("4711"));
        assert_eq!(told, read, "{option}: {log:#?}");
        let offered = log.iter().find(|entry| !entry.tools.is_empty()).unwrap();
        assert!(
            !offered.tools.iter().any(|tool| tool == "task"),
            "{:?}",
            offered.tools
        );
        machine.stop().await;
        model.stop().await.unwrap();
    }
}

/// The data of the status message of a task that asks.
fn question(task: &Value) -> &Value {
    let parts = task["task"]["status"]["message"]["parts"].as_array();
    let data = parts.unwrap().iter().find(|part| part["data"].is_object());
    &data.unwrap_or_else(|| panic!("no question: {task:#}"))["data"]
}

/// Goose asks before every tool: allowed, the command runs; rejected, it does not.
pub(crate) async fn runs_a_command(harness: &Harness) {
    let results = "cd \"$TASK_ARTIFACTS_DIR\" && echo '{\"findings\":[]}' > findings.json && echo \"n=$((4000 + 711))\" > summary.md && cat summary.md";
    let steps = json!([
        { "tools": [{ "names": ["*shell"], "arguments": { "command": results } }] },
        { "text": "Done." },
    ]);
    for (option, ran) in [("allow_once", true), ("reject_once", false)] {
        let model = model(steps.clone()).await;
        let ask = |text: &str| format!("{text}approval = \"ask\"\n");
        let machine = Machine::start_edited(harness, &model.openai_url(), ask).await;
        let asked = machine.send("pr-review", "Write the results").await;
        assert_eq!(asked["state"], "input_required", "{asked:#}");
        let task = asked["task_id"].as_str().unwrap();
        let question = question(&asked);
        let options = question["options"].as_array().unwrap();
        let of_kind = |kind: &str| options.iter().find(|option| option["kind"] == kind);
        let id = of_kind(option).unwrap()["id"].as_str().unwrap();
        let words = [
            "--json",
            "send",
            "pr-review",
            "--task",
            task,
            "--option",
            id,
        ];
        let ended = machine.agents(&words).await.json();
        let wanted = if ran { "completed" } else { "failed" };
        assert_eq!(ended["state"], wanted, "{ended:#}");
        let log = model.log();
        let told = log
            .iter()
            .any(|entry| entry.body.to_string().contains("n=4711"));
        assert_eq!(told, ran, "{option}: {log:#?}");
        machine.stop().await;
        model.stop().await.unwrap();
    }
}
