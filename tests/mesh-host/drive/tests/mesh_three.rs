//! Three nodes: an owner and two callers, of whom one is let in and the other is not; and the one that was is turned
//! away again while its call streams.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::scripts::Gate;
use mesh_host_drive::{
    AgentFiles, Client, Home, Host, HostSpec, PARK_SECONDS, SEEN_LIMIT, eventually, run_in,
};
use serde_json::{Value, json};

/// The agent.
const AGENT: &str = "ticker";

/// Notes its start, then says something every tenth of a second until the gate is open.
const TICKS: &str = r#"#!/bin/sh
set -eu
echo "$1" >> starts
n=0
while [ ! -e go ]; do
  n=$((n + 1))
  echo "tick $n"
  sleep 0.1
done
echo "the gate is open"
"#;

/// What a caller is told to ask for whom the owner has said nothing about.
const UNKNOWN: &str = "agents peers allow";

/// What a caller is told whom the owner has denied.
const DENIED: &str = "Only the owner can change that";

/// What is promised for a caller that is turned away. Printed beside what it took, and no limit of this test: the
/// machine may be busy.
const PROMISED: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_is_let_in_and_another_is_not() {
    run_in(async |[a, b, c]: [&Home; 3]| {
        let shared = a.shared(AGENT)?;
        let gate = Gate::new(&shared);
        a.agent(
            &AgentFiles::new(AGENT, TICKS)
                .in_directory(&shared)
                .offered(),
        )?;
        let owner = Host::start(a, HostSpec::new("owner")).await?;
        let token = owner.token().await?;
        let let_in = Host::start(b, HostSpec::new("let-in").joining(&token)).await?;
        let denied = Host::start(c, HostSpec::new("denied").joining(&token)).await?;
        let (b_mcp, c_mcp) = (let_in.mcp().await?, denied.mcp().await?);
        for mcp in [&b_mcp, &c_mcp] {
            listed(mcp, &a.key()?).await?;
        }

        refused(c, &c_mcp, UNKNOWN).await?;
        let seen = a.agents_json(&["peers", "list"])?;
        ensure!(knocked(&seen, &c.key()?)?, "the knock of C: {seen}");
        a.agents_json(&["peers", "allow", &b.key()?, AGENT])?;
        let task = streaming(&b_mcp, &gate).await?;
        refused(c, &c_mcp, UNKNOWN).await?;

        // B's client waits for news of its task when A's owner turns B away.
        let wait = json!({ "task_id": task, "wait_seconds": PARK_SECONDS });
        let waiting = b_mcp.call("get_task", wait);
        let turn_away = async {
            a.agents_json(&["peers", "deny", &b.key()?])?;
            Ok::<_, anyhow::Error>(Instant::now())
        };
        let (ended, at) = tokio::join!(waiting, turn_away);
        let (ended, took) = (ended?, at?.elapsed());
        ensure!(ended["state"] == "failed", "B was turned away: {ended}");
        ensure!(
            ended.to_string().contains(&b.key()?),
            "it says whom: {ended}"
        );
        say(&format!(
            "a streaming call ended {:.2} s after its caller was denied; {} s are promised",
            took.as_secs_f64(),
            PROMISED.as_secs()
        ));
        refused(b, &b_mcp, DENIED).await?;
        let seen = a.agents_json(&["peers", "list"])?;
        ensure!(
            !knocked(&seen, &b.key()?)?,
            "its owner has decided on B: {seen}"
        );

        // What runs on A is its owner's to end: it goes on.
        ensure!(states(a)? == ["working"], "A's task: {:?}", states(a)?);
        gate.open()?;
        eventually("A's task to end", SEEN_LIMIT, async || {
            Ok((states(a)? == ["completed"]).then_some(()))
        })
        .await?;
        ensure!(gate.starts()?.len() == 1, "one run: {:?}", gate.starts()?);

        for (host, mcp) in [(let_in, b_mcp), (denied, c_mcp)] {
            mcp.close().await?;
            host.stop().await?;
        }
        owner.stop().await
    })
    .await;
}

async fn listed(mcp: &Client, owner: &str) -> Result<()> {
    eventually("the agent to be listed", SEEN_LIMIT, async || {
        let query = json!({ "location": "remote" });
        let listed = mcp.call("get_agents", query).await?;
        let agents = listed["agents"].as_array().context("agents")?;
        let is_it = |agent: &Value| agent["agent_id"] == AGENT && agent["peer_id"] == *owner;
        Ok(agents.iter().any(is_it).then_some(()))
    })
    .await
}

/// A call of `caller` is refused, and it is told why and its own key.
async fn refused(caller: &Home, mcp: &Client, hint: &str) -> Result<()> {
    let key = caller.key()?;
    let call = json!({ "agent_id": AGENT, "message": "Tick.", "wait_seconds": PARK_SECONDS });
    let sent = mcp.call("send_message", call).await?;
    let said = sent.to_string();
    ensure!(sent["state"] == "failed", "nobody let {key} in: {sent}");
    ensure!(
        said.contains(&key) && said.contains(hint),
        "no word of {hint:?}: {sent}"
    );
    Ok(())
}

/// Whether A's list of peers shows its owner that the node with that key asked for the agent.
fn knocked(seen: &Value, key: &str) -> Result<bool> {
    let knocks = seen["mesh"]["knocks"].as_array().context("knocks")?;
    let is_it = |knock: &Value| knock["peer_id"] == *key && knock["agent_id"] == AGENT;
    Ok(knocks.iter().any(is_it))
}

/// A task that was taken and of which the caller hears.
async fn streaming(mcp: &Client, gate: &Gate) -> Result<String> {
    let call = json!({ "agent_id": AGENT, "message": "Tick." });
    let task = eventually("A to take the call", SEEN_LIMIT, async || {
        let sent = mcp.call("send_message", call.clone()).await?;
        let task = sent["task_id"].as_str().context("a task id")?.to_owned();
        let query = json!({ "task_id": task });
        eventually("it to start or be refused", SEEN_LIMIT, async || {
            if !gate.starts()?.is_empty() {
                return Ok(Some(Some(task.clone())));
            }
            let shown = mcp.call("get_task", query.clone()).await?;
            Ok((shown["state"] == "failed").then_some(None))
        })
        .await
    })
    .await?;
    let artifact = json!({ "task_id": task, "artifact_id": "response" });
    eventually("the caller to hear of it", SEEN_LIMIT, async || {
        // There is none before the first word.
        let shown = mcp.call("view_text_artifact", artifact.clone()).await;
        let text = shown.ok().map(|shown| shown["text"].to_string());
        Ok(text.filter(|text| text.contains("tick 3")).map(drop))
    })
    .await?;
    Ok(task)
}

fn states(a: &Home) -> Result<Vec<String>> {
    let listed = a.agents_json(&["tasks"])?;
    let tasks = listed["tasks"].as_array().context("tasks")?;
    let state = |task: &Value| Some(task["state"].as_str()?.to_owned());
    Ok(tasks.iter().filter_map(state).collect())
}

#[expect(clippy::print_stderr, reason = "figures, for whoever runs this")]
fn say(line: &str) {
    eprintln!("mesh_three: {line}");
}
