//! Two isolated nodes on loopback: an agent of A does what B's client sends it, once A lets B.

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
        for victim in Victim::ALL {
            let shared = a.shared(victim.agent())?;
            let agent = AgentFiles::new(victim.agent(), GATED);
            a.agent(&agent.in_directory(&shared).offered())?;
        }
        call_from_another(a).await;
        Ok(())
    })
    .await;
}

/// The second node has a home of its own, ended as the first one's is.
async fn call_from_another(a: &Home) {
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
            Ok((agents.len() > Victim::ALL.len()).then_some(agents))
        })
        .await?;
        say(&format!(
            "listed after {:.1} s",
            started.elapsed().as_secs_f64()
        ));
        ensure!(
            found.len() == Victim::ALL.len() + 1,
            "only what is advertised is listed: {found:?}"
        );
        let agent = found.last().context("an agent")?;
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

        agents(a, &["peers", "allow", &key_b, "*", "--json"])?;
        for victim in Victim::ALL {
            let gate = Gate::new(&a.shared(victim.agent())?);
            killed(victim, (a, &host_a), (b, &host_b), &mcp, &gate).await?;
        }

        agents(a, &["peers", "deny", &key_b, "--json"])?;
        eventually("A to turn B away again", SEEN_LIMIT, async || {
            let sent = send(&mcp, "Run the tests.").await?;
            Ok((sent["state"] == "failed").then_some(()))
        })
        .await?;
        mcp.close().await?;
        host_a.stop().await?;
        host_b.stop().await
    })
    .await;
}

/// What is killed while the owner works for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    CallersEngine,
    CallersPlugin,
    OwnersPlugin,
    OwnersEngine,
}

impl Victim {
    const ALL: [Self; 4] = [
        Self::CallersEngine,
        Self::CallersPlugin,
        Self::OwnersPlugin,
        Self::OwnersEngine,
    ];

    /// The agent whose task it meets. They are listed by name, before `test-runner`.
    fn agent(self) -> &'static str {
        match self {
            Self::CallersEngine => "gated-1",
            Self::CallersPlugin => "gated-2",
            Self::OwnersPlugin => "gated-3",
            Self::OwnersEngine => "gated-4",
        }
    }

    /// How the task ends: a harness dies with its engine, and nothing else takes it along.
    fn end(self) -> &'static str {
        match self {
            Self::OwnersEngine => "failed",
            _ => "completed",
        }
    }
}

/// One is killed while the owner works: the same task ends as it should, started once.
async fn killed(
    victim: Victim,
    (a, host_a): (&Home, &Host<'_>),
    (b, host_b): (&Home, &Host<'_>),
    mcp: &Client,
    gate: &Gate,
) -> Result<()> {
    let task = at_work(mcp, victim.agent(), gate).await?;
    match victim {
        Victim::CallersEngine => b.engine()?.context("an engine runs")?.kill9(),
        Victim::OwnersEngine => a.engine()?.context("an engine runs")?.kill9(),
        Victim::CallersPlugin => host_b.plugin().await?.kill9(),
        Victim::OwnersPlugin => host_a.plugin().await?.kill9(),
    }
    gate.open()?;
    let since = Instant::now();
    let ended = eventually("the task to end at B", SEEN_LIMIT, async || {
        // The first calls may meet a front-end that looks for the next engine, or a host for its plugin.
        let Ok(shown) = mcp.call("get_task", json!({ "task_id": task })).await else {
            return Ok(None);
        };
        let over = ["completed", "failed", "canceled"];
        Ok(over
            .iter()
            .any(|end| shown["state"] == *end)
            .then_some(shown))
    })
    .await?;
    say(&format!(
        "{victim:?} killed: {} after {:.1} s",
        ended["state"],
        since.elapsed().as_secs_f64()
    ));
    ensure!(ended["state"] == victim.end(), "{victim:?}: {ended}");
    ensure!(gate.starts()?.len() == 1, "{victim:?}: it was started once");
    if victim.end() == "completed" {
        let artifact = json!({ "task_id": task, "artifact_id": "response" });
        let text = mcp.call("view_text_artifact", artifact).await?;
        ensure!(text.to_string().contains("the gate is open"), "{text}");
    } else {
        ensure!(
            ended.to_string().contains("interrupted"),
            "the true cause: {ended}"
        );
    }
    Ok(())
}

/// A task of that agent that its owner has started.
async fn at_work(mcp: &Client, agent: &str, gate: &Gate) -> Result<String> {
    let call = json!({ "agent_id": agent, "message": "Wait for the gate." });
    eventually("A to take the task", SEEN_LIMIT, async || {
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
    .await
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

#[expect(clippy::print_stderr, reason = "figures, for whoever runs this")]
fn say(line: &str) {
    eprintln!("mesh_call: {line}");
}
