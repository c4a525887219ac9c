//! The host dies in the middle of a task, and the task does not notice.

use std::time::Duration;

use anyhow::Context as _;
use mesh_host_drive::scripts::{GATED, Gate};
use mesh_host_drive::{AgentFiles, Host, HostSpec, eventually, run};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_survives_the_kill_of_its_host() {
    run(async |home| {
        let shared = home.shared("gated")?;
        let gate = Gate::new(&shared);
        home.agent(&AgentFiles::new("gated", GATED).in_directory(&shared))?;
        let mut host = Host::start(home, HostSpec::new("killed")).await?;

        let mcp = host.mcp().await?;
        let sent = mcp
            .call(
                "send_message",
                json!({ "agent_id": "gated", "message": "Wait." }),
            )
            .await?;
        let task_id = sent["task_id"].as_str().context("task_id")?.to_owned();
        let runner = gate.runner(&task_id).await?;
        let engine = home.engine()?.context("an engine runs")?;
        let plugin = host.plugin().await?;

        // Ctrl-C at the host, or the end of its terminal, reaches all of its session and nothing else.
        assert_ne!(engine.session(), host.process()?.session());
        assert_ne!(runner.session(), host.process()?.session());

        host.kill9()?;
        drop(mcp);
        // The plugin sees the end of its connection and leaves; what it fronted for stays.
        eventually(
            "the plugin to leave with its host",
            Duration::from_secs(60),
            async || Ok((!plugin.is_alive()).then_some(())),
        )
        .await?;
        assert!(runner.is_alive(), "the run died with the host");
        assert_eq!(
            home.engine()?,
            Some(engine),
            "the engine died with the host"
        );

        host.restart().await?;
        let mcp = host.mcp().await?;
        let task = mcp.call("get_task", json!({ "task_id": task_id })).await?;
        assert_eq!(task["state"], "working", "{task}");
        assert!(runner.is_alive(), "the run died when the host came back");

        gate.open()?;
        let task = mcp
            .call(
                "get_task",
                json!({ "task_id": task_id, "wait_seconds": 25 }),
            )
            .await?;
        assert_eq!(task["state"], "completed", "{task}");
        let artifact = json!({ "task_id": task_id, "artifact_id": "pid.txt" });
        let written = mcp.call("view_text_artifact", artifact).await?;
        let pid: i32 = written["text"].as_str().context("text")?.trim().parse()?;
        assert_eq!(pid, runner.pid(), "another process finished the task");
        assert_eq!(gate.starts()?, [task_id], "the task was started once");
        assert_eq!(home.engine()?, Some(engine), "another engine answers");

        mcp.close().await?;
        host.stop().await
    })
    .await;
}
