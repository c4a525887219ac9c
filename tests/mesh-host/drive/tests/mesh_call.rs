//! Two isolated nodes on loopback: an agent of A does what B's client sends it, once A lets B.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::scripts::{GATED, Gate, TEST_RUN};
use mesh_host_drive::{AgentFiles, Client, Home, Host, HostSpec, eventually, run};
use serde_json::{Value, json};

/// Limit for an agent of the other node to be listed; the machine may be busy.
const SEEN_LIMIT: Duration = Duration::from_secs(90);
/// The longest a call may be parked through the host, whose own limit is 30 s.
const PARK: u64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_another_node_is_found_and_called_through_the_host() {
    run(async |a| {
        a.agent(&AgentFiles::new("test-runner", TEST_RUN).offered())?;
        a.agent(&AgentFiles::new("private", TEST_RUN))?;
        let shared = a.shared("gated")?;
        a.agent(
            &AgentFiles::new("gated", GATED)
                .in_directory(&shared)
                .offered(),
        )?;
        call_from_another(a, &shared).await;
        Ok(())
    })
    .await;
}

/// The second node has a home of its own, ended as the first one's is.
async fn call_from_another(a: &Home, shared: &Path) {
    run(async |b| {
        let host_a = Host::start(a, HostSpec::new("A")).await?;
        let status = host_a.get("/api/status").await?;
        let token = status["token"].as_str().context("a token")?.to_owned();
        let mut spec = HostSpec::new("B");
        spec.join.push(token);
        let host_b = Host::start(b, spec).await?;
        let started = Instant::now();
        let mcp = host_b.mcp().await?;

        let found = eventually("A's agent to be listed at B", SEEN_LIMIT, async || {
            let listed = mcp
                .call("get_agents", json!({ "location": "remote" }))
                .await?;
            let agents = listed["agents"].as_array().context("agents")?.clone();
            Ok((agents.len() > 1).then_some(agents))
        })
        .await?;
        say(&format!(
            "listed after {:.1} s",
            started.elapsed().as_secs_f64()
        ));
        ensure!(
            found.len() == 2,
            "only what is advertised is listed: {found:?}"
        );
        let agent = &found[1];
        let key_a = identity(a)?;
        ensure!(
            agent["agent_id"] == "test-runner" && agent["peer_id"] == key_a.as_str(),
            "{agent}"
        );

        let refused = send(&mcp, "Run the tests.").await?;
        ensure!(refused["state"] == "failed", "nobody let B: {refused}");
        let key_b = identity(b)?;
        ensure!(
            refused.to_string().contains(&key_b),
            "B learns its own key: {refused}"
        );
        let knocks = agents(a, &["peers", "list", "--json"])?;
        ensure!(
            knocks["mesh"]["knocks"][0]["peer_id"] == key_b.as_str(),
            "A sees who asked: {knocks}"
        );

        agents(a, &["peers", "allow", &key_b, "test-runner", "--json"])?;
        let done = eventually("A to let B", SEEN_LIMIT, async || {
            let sent = send(&mcp, "Run the tests.").await?;
            Ok((sent["state"] == "completed").then_some(sent))
        })
        .await?;
        let started = Instant::now();
        let again = send(&mcp, "Run the tests again.").await?;
        ensure!(again["state"] == "completed", "{again}");
        say(&format!(
            "a remote task of a shell script: {} ms",
            started.elapsed().as_millis()
        ));

        let task = done["task_id"].as_str().context("a task id")?;
        let artifact = json!({ "task_id": task, "artifact_id": "findings.json" });
        let there = mcp.call("view_data_artifact", artifact).await?;
        ensure!(there["data"].to_string().contains("src/sum.rs"), "{there}");
        let hidden = json!({ "agent_id": "private", "peer_id": key_a, "message": "m" });
        ensure!(
            mcp.call("send_message", hidden).await.is_err(),
            "private is not there for B"
        );

        agents(a, &["peers", "allow", &key_b, "gated", "--json"])?;
        outlives_the_callers_engine(b, &mcp, &Gate::new(shared)).await?;

        agents(a, &["peers", "deny", &key_b, "--json"])?;
        eventually("A to turn B away again", SEEN_LIMIT, async || {
            let sent = send(&mcp, "Run the tests.").await?;
            Ok((sent["state"] == "failed").then_some(()))
        })
        .await?;
        ensure!(
            host_a.lost_plugins()? + host_b.lost_plugins()? == 0,
            "a plugin was lost"
        );
        mcp.close().await?;
        host_a.stop().await?;
        host_b.stop().await
    })
    .await;
}

/// The caller's engine is killed while the owner works: the same task ends, started once.
async fn outlives_the_callers_engine(b: &Home, mcp: &Client, gate: &Gate) -> Result<()> {
    let call = json!({ "agent_id": "gated", "message": "Wait for the gate." });
    let sent = eventually("A to take the task", SEEN_LIMIT, async || {
        let sent = mcp.call("send_message", call.clone()).await?;
        let task = sent["task_id"].as_str().context("a task id")?.to_owned();
        // "working" says that this node's run began; whether A takes it is known by what comes of it.
        eventually("the run to start or be refused", SEEN_LIMIT, async || {
            if gate.starts()?.len() == 1 {
                return Ok(Some(Some(task.clone())));
            }
            let shown = mcp.call("get_task", json!({ "task_id": task })).await?;
            Ok((shown["state"] == "failed").then_some(None))
        })
        .await
    })
    .await?;
    let engine = b.engine()?.context("an engine runs")?;
    engine.kill9();
    gate.open()?;
    let killed = Instant::now();
    let ended = eventually("the task to end at B", SEEN_LIMIT, async || {
        // The first calls may meet the front-end while it looks for the next engine.
        let Ok(shown) = mcp.call("get_task", json!({ "task_id": sent })).await else {
            return Ok(None);
        };
        Ok(matches!(
            shown["state"].as_str(),
            Some("completed" | "failed" | "canceled")
        )
        .then_some(shown))
    })
    .await?;
    say(&format!(
        "the caller's engine was killed: the task ended there after {:.1} s",
        killed.elapsed().as_secs_f64()
    ));
    ensure!(ended["state"] == "completed", "{ended}");
    ensure!(gate.starts()?.len() == 1, "it was started once");
    let artifact = json!({ "task_id": sent, "artifact_id": "response" });
    let text = mcp.call("view_text_artifact", artifact).await?;
    ensure!(text.to_string().contains("the gate is open"), "{text}");
    Ok(())
}

async fn send(mcp: &Client, message: &str) -> Result<Value> {
    let call = json!({ "agent_id": "test-runner", "message": message, "wait_seconds": PARK });
    Ok(mcp.call("send_message", call).await?)
}

fn identity(home: &Home) -> Result<String> {
    let shown = agents(home, &["identity", "show", "--json"])?;
    Ok(shown["peer_id"].as_str().context("a key")?.to_owned())
}

fn agents(home: &Home, words: &[&str]) -> Result<Value> {
    let output = home.agents(words)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).with_context(|| format!("agents {words:?}: {output:?}"))
}

fn say(line: &str) {
    eprintln!("mesh_call: {line}");
}
