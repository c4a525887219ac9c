//! What our processes hold in memory beside a host: idle, while a task runs, and after many.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use mesh_host_drive::scripts::{AT_ONCE, GATED, Gate};
use mesh_host_drive::{
    AgentFiles, Home, Host, HostSpec, Process, Queue, agents_bin, eventually, run,
};
use serde_json::json;

/// The most any one of them may hold. The budgets of a release build are 30 MiB for an idle engine and 15
/// for a plugin; a debug build has more code to page in, and a leak passes any bound.
const LIMIT_KIB: u64 = 64 * 1024;

/// Tasks that run before the last look.
const TASKS: usize = 30;

/// Limit for them to end.
const RUNS_LIMIT: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_engine_plugin_and_guard() {
    run(async |home| {
        let shared = home.shared("gated")?;
        let gate = Gate::new(&shared);
        let queue = Queue {
            running: 4,
            pending: 64,
        };
        home.agent(
            &AgentFiles::new("gated", GATED)
                .in_directory(&shared)
                .with_queue(queue),
        )?;
        let host = Host::start(home, HostSpec::new("memory")).await?;
        let mcp = host.mcp().await?;
        mcp.call("get_agents", json!({})).await?;
        let engine = home.engine()?.context("an engine runs")?;
        let plugin = host.plugin().await?;
        let beside = [("host", host.process()?)];
        let ours = [("engine", engine), ("plugin", plugin)];
        look("idle", &ours, &beside)?;

        let message = json!({ "agent_id": "gated", "message": "Wait." });
        let sent = mcp.call("send_message", message).await?;
        gate.runner(sent["task_id"].as_str().context("task_id")?)
            .await?;
        look(
            "a task runs",
            &[ours[0], ours[1], ("guard", guard(home)?)],
            &beside,
        )?;
        gate.open()?;

        let message = json!({ "agent_id": "gated", "message": AT_ONCE });
        try_join_all((0..TASKS).map(|_| mcp.call("send_message", message.clone()))).await?;
        eventually("the tasks to complete", RUNS_LIMIT, async || {
            let query = json!({ "state": "completed", "limit": 100 });
            let listed = mcp.call("list_tasks", query).await?;
            let tasks = listed["tasks"].as_array().context("tasks")?;
            Ok((tasks.len() > TASKS).then_some(()))
        })
        .await?;
        look(&format!("after {} tasks", TASKS + 1), &ours, &beside)?;

        mcp.close().await?;
        host.stop().await
    })
    .await;
}

fn guard(home: &Home) -> Result<Process> {
    let program = agents_bin();
    let mut guards = home.processes();
    guards.retain(|process| {
        process.executable().as_deref() == Some(&program)
            && process.arguments().iter().any(|word| word == "guard")
    });
    guards.pop().context("a guard runs")
}

/// Prints what each holds, and holds ours to the limit.
#[expect(clippy::print_stdout, reason = "figures, seen with --nocapture")]
fn look(when: &str, ours: &[(&str, Process)], beside: &[(&str, Process)]) -> Result<()> {
    for (name, process) in ours.iter().chain(beside) {
        let kib = process.resident_kib();
        let kib = kib.with_context(|| format!("the {name} is gone"))?;
        println!("RSS {when}: {name} {:.1} MiB", kib as f64 / 1024.0);
        let counts = ours.iter().any(|(ours, _)| ours == name);
        ensure!(
            !counts || kib <= LIMIT_KIB,
            "the {name} holds {kib} KiB, {when}"
        );
    }
    Ok(())
}
