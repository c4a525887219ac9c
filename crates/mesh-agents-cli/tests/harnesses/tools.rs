//! Our own tools inside a harness's session: an agent that gives work to another one.

use serde_json::json;

use crate::machine::{Harness, Machine, model, tool_results};

/// An agent finds another one, gives it work, and sees only that.
pub(crate) async fn delegate(harness: &Harness) {
    delegated(harness, "").await;
}

/// The same on a loopback of its own, out of which its model and our tools are led.
pub(crate) async fn delegate_on_its_own_loopback(harness: &Harness) {
    delegated(harness, "network = \"loopback\"").await;
}

async fn delegated(harness: &Harness, policy: &str) {
    let steps = json!([
        { "tools": [{ "names": ["*_get_agents"] }] },
        { "tools": [{ "names": ["*_send_message"], "arguments": {
            "agent_id": "test-runner", "message": "${prompt:Delegate (\\S+)}" } }] },
        { "tools": [{ "names": ["*_get_task"], "arguments": {
            "task_id": "${tool_result:task-[0-9A-Z]{26}}", "wait_seconds": 25 } }] },
        { "tools": [{ "names": ["*_view_data_artifact"], "arguments": {
            "task_id": "${tool_result:task-[0-9A-Z]{26}}", "artifact_id": "findings.json" } }] },
        { "tools": [{ "names": ["*_list_tasks"] }] },
        { "tools": [{ "names": ["*_get_task"], "arguments": { "task_id": "${prompt:not (task-\\w+)}" } }] },
        { "tools": [{ "names": ["bash", "*shell"], "arguments": {
            "command": "cd \"$TASK_ARTIFACTS_DIR\" && echo '{\"findings\":[]}' > findings.json && echo done > summary.md",
            "description": "Write the results" } }] },
        { "text": "Delegated." },
    ]);
    let model = model(steps).await;
    let machine = Machine::start(harness, &model.openai_url(), policy).await;
    let project = machine.path("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(
        project.join("run-tests.sh"),
        "echo 'a.sh:7: it broke'\nexit 1\n",
    )
    .unwrap();
    let project = project.to_str().unwrap();
    // A task of the owner's own, which the agent must not see.
    let owners = machine.complete("test-runner", project).await;

    let message = format!("Delegate {project} not {owners}");
    let parent = machine.complete("pr-review", &message).await;
    let results = tool_results(&model);
    let [agents, sent, waited, findings, listed, foreign, _] = results.as_slice() else {
        panic!("{results:#?}");
    };
    assert!(agents.contains("test-runner"), "{agents}");
    assert!(waited.contains("completed"), "{waited}");
    assert!(findings.contains("it broke"), "{findings}");
    assert!(foreign.contains("task_not_found"), "{foreign}");

    let tasks = machine.agents(&["--json", "tasks"]).await.json();
    let ids: Vec<&str> = tasks["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["task_id"].as_str().unwrap())
        .collect();
    let child = ids
        .iter()
        .find(|id| **id != parent && **id != owners)
        .unwrap_or_else(|| panic!("the owner does not see the child: {tasks:#}"));
    assert!(sent.contains(child), "{sent}");
    // It was submitted in the run's name: the run sees it, and nothing else.
    assert!(listed.contains(child), "{listed}");
    assert!(
        !listed.contains(&parent) && !listed.contains(&owners),
        "{listed}"
    );
    let log = model.log();
    let offered = &log
        .iter()
        .find(|entry| !entry.tools.is_empty())
        .unwrap()
        .tools;
    let ours = offered.iter().filter(|name| name.starts_with("mesh_"));
    assert_eq!(ours.count(), 8, "{offered:?}");
    machine.stop().await;
    model.stop().await.unwrap();
}
