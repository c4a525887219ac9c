//! `mesh-llm agents …` beside a running node: a second copy of the plugin, the same engine and tasks.

use std::collections::BTreeSet;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::scripts::TEST_RUN;
use mesh_host_drive::{AgentFiles, Client, Host, HostSpec, run};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn cli_run_beside_running_node() {
    run(async |home| {
        home.agent(&AgentFiles::new("test-runner", TEST_RUN))?;
        let host = Host::start(home, HostSpec::new("cli")).await?;
        let mcp = host.mcp().await?;
        let by_mcp = send(&mcp).await?;
        let plugin = host.plugin().await?;
        let engine = home.engine()?.context("an engine runs")?;

        let listed = answer(&host.cli(&["list", "--json"])?)?;
        assert_eq!(listed["schema"], "agents.list/1", "{listed}");
        let agents = listed["agents"].as_array().context("agents")?;
        let ids: Vec<_> = agents.iter().map(|agent| &agent["agent_id"]).collect();
        assert_eq!(ids, ["test-runner"], "{listed}");

        let sent = answer(&host.cli(&["send", "test-runner", "Run the tests.", "--json"])?)?;
        let by_cli = sent["task_id"].as_str().context("task_id")?.to_owned();
        let wait = json!({ "task_id": by_cli, "wait_seconds": 25 });
        let task = mcp.call("get_task", wait).await?;
        assert_eq!(
            task["state"], "completed",
            "sent by the command line, read by MCP: {task}"
        );

        let by_both = BTreeSet::from([by_mcp, by_cli]);
        let shown = answer(&host.cli(&["tasks", "--json"])?)?;
        assert_eq!(task_ids(&shown)?, by_both, "{shown}");
        assert_eq!(
            task_ids(&mcp.call("list_tasks", json!({})).await?)?,
            by_both
        );

        validate(&host, home)?;
        let endless = host.cli(&["serve"])?;
        assert!(
            !endless.status.success(),
            "a verb without an end was accepted: {endless:?}"
        );
        let said = String::from_utf8_lossy(&endless.stderr);
        assert!(
            said.contains("agents serve"),
            "it says what to run instead: {said}"
        );

        assert_eq!(
            host.plugin_now()?,
            Some(plugin),
            "the node's own plugin was disturbed"
        );
        assert_eq!(
            home.engine()?,
            Some(engine),
            "the command line brought its own engine"
        );
        assert_eq!(host.lost_plugins()?, 0);
        mcp.close().await?;
        host.stop().await
    })
    .await;
}

async fn send(mcp: &Client) -> Result<String> {
    let message = json!({ "agent_id": "test-runner", "message": "Run.", "wait_seconds": 25 });
    let sent = mcp.call("send_message", message).await?;
    assert_eq!(sent["state"], "completed", "{sent}");
    Ok(sent["task_id"].as_str().context("task_id")?.to_owned())
}

/// A good directory passes; a bad one fails the command, which names the file.
fn validate(host: &Host<'_>, home: &mesh_host_drive::Home) -> Result<()> {
    let good = host.cli(&["validate", "--json"])?;
    assert!(good.status.success(), "{good:?}");

    let broken = home.agent(&AgentFiles::new("broken", TEST_RUN))?;
    std::fs::write(
        broken.join("runtime.toml"),
        "[runtime]\ntype = \"command\"\ncomand = \"x\"\n",
    )?;
    let bad = host.cli(&["validate", "--json"])?;
    assert!(!bad.status.success(), "an unknown key passed: {bad:?}");
    let said = format!("{bad:?}");
    assert!(
        said.contains("runtime.toml") && said.contains("comand"),
        "{said}"
    );
    Ok(())
}

fn answer(output: &Output) -> Result<Value> {
    ensure!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("no JSON: {output:?}"))
}

fn task_ids(listed: &Value) -> Result<BTreeSet<String>> {
    let tasks = listed["tasks"]
        .as_array()
        .with_context(|| format!("tasks: {listed}"))?;
    tasks
        .iter()
        .map(|t| Ok(t["task_id"].as_str().context("task_id")?.to_owned()))
        .collect()
}
