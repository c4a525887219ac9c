//! Every tool through a real host's `/mcp`, with agents that need no model: the example `test-runner` as it
//! is in the repository, and scripts of the test's own.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_host_drive::scripts::{GATED, Gate, TEST_RUN};
use mesh_host_drive::{AgentFiles, Client, Home, Host, HostSpec, eventually, run};
use serde_json::{Value, json};

/// The whole public surface on the host. `cli.run` answers the host's command line and is no tool.
const TOOLS: [&str; 8] = [
    "agents.cancel_task",
    "agents.get_agent",
    "agents.get_agents",
    "agents.get_task",
    "agents.list_tasks",
    "agents.send_message",
    "agents.view_data_artifact",
    "agents.view_text_artifact",
];

/// The tool list is read by a model at every start: its compact JSON stays below this.
const TOOL_LIST_BYTES: usize = 12_000;

/// The longest a call may be parked through the host, whose own limit is 30 s.
const PARK: u64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn all_tools_with_test_runner() {
    run(async |home| {
        home.example("test-runner", "test-runner")?;
        let project = home.shared("project")?;
        std::fs::write(project.join("run-tests.sh"), TEST_RUN)?;
        home.agent(&AgentFiles::new("script", TEST_RUN))?;
        let shared = home.shared("gated")?;
        home.agent(&AgentFiles::new("gated", GATED).in_directory(&shared))?;
        let host = Host::start(home, HostSpec::new("all-tools")).await?;
        let mcp = host.mcp().await?;

        tools_are_listed(&mcp).await?;
        agents_are_described(&mcp).await?;
        let message = format!("Run the tests of this project:\n{}\n", project.display());
        let by_example = a_run_is_read_back(&mcp, "test-runner", &message).await?;
        let finished = a_run_is_read_back(&mcp, "script", "Run the tests.").await?;
        let parked = a_parked_call_ends_with_the_task(&mcp, &Gate::new(&shared)).await?;
        tasks_are_listed(&mcp, &[&by_example, &finished, &parked]).await?;
        a_running_task_is_canceled(home, &mcp).await?;
        mistakes_are_named(&mcp, &finished).await?;

        assert_eq!(host.lost_plugins()?, 0, "the plugin was lost");
        mcp.close().await?;
        host.stop().await
    })
    .await;
}

async fn tools_are_listed(mcp: &Client) -> Result<()> {
    let mut tools = mcp.tools().await?;
    tools.retain(|tool| tool.name.starts_with("agents."));
    let names: BTreeSet<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(names, BTreeSet::from(TOOLS));
    let bytes = serde_json::to_vec(&tools)?.len();
    assert!(bytes <= TOOL_LIST_BYTES, "tools/list takes {bytes} bytes");
    // Not listed is not enough: it must not be there.
    let hidden = mcp.call("cli.run", json!({ "args": ["list"] })).await;
    assert!(hidden.is_err(), "cli.run answered over MCP: {hidden:?}");
    Ok(())
}

async fn agents_are_described(mcp: &Client) -> Result<()> {
    let listed = mcp.call("get_agents", json!({})).await?;
    let agents = listed["agents"].as_array().context("agents")?;
    let ids: BTreeSet<_> = agents
        .iter()
        .filter_map(|agent| agent["agent_id"].as_str())
        .collect();
    let expected = BTreeSet::from(["gated", "script", "test-runner"]);
    assert_eq!(ids, expected, "{listed}");
    for agent in agents {
        assert_eq!(agent["location"], "local", "{agent}");
        assert_eq!(agent["state"], "ready", "{agent}");
    }

    let agent = mcp
        .call("get_agent", json!({ "agent_id": "test-runner" }))
        .await?;
    assert_eq!(agent["runtime"]["type"], "command", "{agent}");
    assert_eq!(agent["agent_card"]["name"], "Test Runner", "{agent}");
    let url = agent["agent_card"]["supportedInterfaces"][0]["url"]
        .as_str()
        .unwrap_or_default();
    assert!(url.ends_with("/a2a/agents/test-runner"), "{agent}");
    Ok(())
}

async fn a_run_is_read_back(mcp: &Client, agent_id: &str, message: &str) -> Result<String> {
    let message = json!({ "agent_id": agent_id, "message": message });
    let sent = mcp.call("send_message", message).await?;
    let task_id = sent["task_id"].as_str().context("task_id")?.to_owned();
    assert!(task_id.starts_with("task-"), "{sent}");

    let task = mcp
        .call(
            "get_task",
            json!({ "task_id": task_id, "wait_seconds": PARK }),
        )
        .await?;
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(
        task["task"]["status"]["state"], "TASK_STATE_COMPLETED",
        "{task}"
    );
    assert_eq!(task["agent_id"], agent_id, "{task}");

    let artifact = |id: &str| json!({ "task_id": task_id, "artifact_id": id });
    let summary = mcp
        .call("view_text_artifact", artifact("summary.md"))
        .await?;
    let text = summary["text"].as_str().context("text")?;
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    assert!(
        words.any(|word| word == "7"),
        "the exit code is in the summary: {text}"
    );

    let data = mcp
        .call("view_data_artifact", artifact("findings.json"))
        .await?;
    let findings = data["data"]["findings"].as_array().context("findings")?;
    let places: Vec<_> = findings
        .iter()
        .map(|f| (f["file"].clone(), f["line"].clone()))
        .collect();
    let expected = [
        (json!("src/sum.rs"), json!(3)),
        (json!("src/lib.rs"), json!(10)),
    ];
    assert_eq!(places, expected, "{data}");

    let mut pointed = artifact("findings.json");
    pointed["pointer"] = json!("/findings/0/issue");
    let issue = mcp.call("view_data_artifact", pointed).await?;
    assert_eq!(issue["data"], "assertion failed: sum(2, 2) == 5", "{issue}");
    Ok(task_id)
}

async fn a_parked_call_ends_with_the_task(mcp: &Client, gate: &Gate) -> Result<String> {
    let sent = mcp
        .call(
            "send_message",
            json!({ "agent_id": "gated", "message": "Wait." }),
        )
        .await?;
    let task_id = sent["task_id"].as_str().context("task_id")?.to_owned();
    gate.runner(&task_id).await?;
    let request = json!({ "task_id": task_id });
    assert_eq!(
        mcp.call("get_task", request.clone()).await?["state"],
        "working"
    );

    // Were it to end with anything but the task's end, it would answer "working" once more.
    let mut parked = request;
    parked["wait_seconds"] = json!(PARK);
    let (task, opened) = tokio::join!(mcp.call("get_task", parked), async { gate.open() });
    opened?;
    let task = task?;
    assert_eq!(task["state"], "completed", "{task}");
    Ok(task_id)
}

/// The first of the tasks is the one of `test-runner`.
async fn tasks_are_listed(mcp: &Client, expected: &[&str]) -> Result<()> {
    let listed = mcp.call("list_tasks", json!({})).await?;
    let tasks = listed["tasks"].as_array().context("tasks")?;
    let ids: BTreeSet<_> = tasks
        .iter()
        .filter_map(|task| task["task_id"].as_str())
        .collect();
    assert_eq!(ids, expected.iter().copied().collect(), "{listed}");

    let filter = json!({ "agent_id": "test-runner", "state": "completed" });
    let listed = mcp.call("list_tasks", filter).await?;
    let tasks = listed["tasks"].as_array().context("tasks")?;
    assert_eq!(tasks.len(), 1, "{listed}");
    assert_eq!(tasks[0]["task_id"], expected[0]);
    let names = tasks[0]["artifacts"]
        .as_array()
        .context("artifacts")?
        .iter();
    let artifacts: BTreeSet<_> = names
        .filter_map(|item| item["artifact_id"].as_str())
        .collect();
    assert!(
        artifacts.is_superset(&BTreeSet::from(["findings.json", "summary.md"])),
        "{listed}"
    );
    Ok(())
}

async fn a_running_task_is_canceled(home: &Home, mcp: &Client) -> Result<()> {
    let shared = home.shared("never")?;
    home.agent(&AgentFiles::new("never", GATED).in_directory(&shared))?;
    // A new directory is an agent as soon as the engine has seen it.
    let sent: Value = eventually(
        "the new agent to be known",
        Duration::from_secs(60),
        async || {
            Ok(mcp
                .call(
                    "send_message",
                    json!({ "agent_id": "never", "message": "Wait." }),
                )
                .await
                .ok())
        },
    )
    .await?;
    let task_id = sent["task_id"].as_str().context("task_id")?;
    let runner = Gate::new(&shared).runner(task_id).await?;

    let canceled = mcp
        .call("cancel_task", json!({ "task_id": task_id }))
        .await?;
    assert_eq!(canceled["task_id"], *task_id, "{canceled}");
    let task = mcp
        .call(
            "get_task",
            json!({ "task_id": task_id, "wait_seconds": PARK }),
        )
        .await?;
    assert_eq!(task["state"], "canceled", "{task}");
    // The state is written after the sweep: whoever reads it may rely on it.
    assert!(!runner.is_alive(), "canceled, and {runner:?} still runs");
    Ok(())
}

async fn mistakes_are_named(mcp: &Client, task_id: &str) -> Result<()> {
    let unknown = mcp
        .refused(
            "get_task",
            json!({ "task_id": "task-01ARZ3NDEKTSV4RRFFQ69G5FAV" }),
        )
        .await?;
    assert!(
        unknown.contains("task-01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        "{unknown}"
    );
    let near = mcp
        .refused("get_agent", json!({ "agent_id": "test-runer" }))
        .await?;
    assert!(
        near.contains("test-runner"),
        "the near id is offered: {near}"
    );
    let escaped = json!({ "task_id": task_id, "artifact_id": "../prompt.txt" });
    mcp.refused("view_text_artifact", escaped).await?;
    Ok(())
}
