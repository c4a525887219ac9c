//! One engine, many ways in: the host's `/mcp`, `agents mcp` over stdio, the command line and the engine's
//! own `/mcp` at once on one data directory. The same tasks everywhere, and one limit for all of them.

use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::{join_all, try_join_all};
use mesh_host_drive::scripts::{GATED, Gate};
use mesh_host_drive::{
    AgentFiles, CallError, Client, Home, Host, HostSpec, Queue, eventually, run,
};
use serde_json::{Value, json};

/// One runs, two wait, and the fourth is one too many.
const QUEUE: Queue = Queue {
    running: 1,
    pending: 2,
};

/// Tasks an agent with [`QUEUE`] takes while none of them ends.
const ROOM: usize = 3;

/// Messages sent at the same time through each way in.
const RUSH: [&str; 4] = ["one", "two", "three", "four"];

/// Limit for the tasks taken to end once they may.
const RUNS_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn same_tasks_and_one_limit_through_every_way_in() {
    run(async |home| {
        let turns = gated(home, "turns")?;
        let rush = gated(home, "rush")?;
        let host = Host::start(home, HostSpec::new("surfaces")).await?;
        // Whoever comes first starts the engine; this one says hello once there is one.
        let stdio = Client::of_stdio(home).await?;
        let base_url = home.status()?["base_url"].take();
        let own = format!("{}/mcp", base_url.as_str().context("base_url")?);
        let ways = [
            Way::mcp("host", host.mcp().await?),
            Way::mcp("stdio", stdio),
            Way::mcp("engine", Client::of_engine(&own).await?),
            Way::Cli(home),
            Way::HostCli(&host),
        ];
        let engine = home.engine()?.context("an engine runs")?;

        let first = in_turn(&ways, &turns).await?;
        let second = all_at_once(&ways, &rush).await?;
        same_tasks(&ways, &first.union(&second).cloned().collect()).await?;

        assert_eq!(
            home.engine()?,
            Some(engine),
            "somebody brought their own engine"
        );
        assert_eq!(host.lost_plugins()?, 0);
        for way in ways {
            if let Way::Mcp(_, client) = way {
                client.close().await?;
            }
        }
        host.stop().await
    })
    .await;
}

fn gated(home: &Home, id: &str) -> Result<Gate> {
    let shared = home.shared(id)?;
    let agent = AgentFiles::new(id, GATED)
        .in_directory(&shared)
        .with_queue(QUEUE);
    home.agent(&agent)?;
    Ok(Gate::new(&shared))
}

/// The first three ways take the three places; then every way finds the agent full.
async fn in_turn(ways: &[Way<'_>], gate: &Gate) -> Result<BTreeSet<String>> {
    let mut taken = BTreeSet::new();
    for way in &ways[..ROOM] {
        let sent = way.send("turns", "Wait.").await?;
        taken.insert(sent.with_context(|| format!("{way:?} found no room"))?);
    }
    for way in ways {
        let sent = way.send("turns", "One too many.").await?;
        ensure!(sent.is_none(), "{way:?} got past the limit: {sent:?}");
    }
    // Refused is not stored.
    same_tasks(ways, &taken).await?;
    all_run(ways, gate, &taken).await?;
    Ok(taken)
}

/// Many at once through every way: as many are taken as there are places, whoever was first.
async fn all_at_once(ways: &[Way<'_>], gate: &Gate) -> Result<BTreeSet<String>> {
    let sends = ways
        .iter()
        .flat_map(|way| RUSH.map(|text| way.send("rush", text)));
    let sent = try_join_all(sends).await?;
    let taken: BTreeSet<_> = sent.into_iter().flatten().collect();
    ensure!(taken.len() == ROOM, "{ROOM} places and {taken:?}");
    all_run(ways, gate, &taken).await?;
    Ok(taken)
}

/// Opens the gate and waits until all have run, one after the other.
async fn all_run(ways: &[Way<'_>], gate: &Gate, taken: &BTreeSet<String>) -> Result<()> {
    gate.open()?;
    eventually("the tasks to complete", RUNS_LIMIT, async || {
        let states = try_join_all(taken.iter().map(|id| ways[0].state(id))).await?;
        if let Some(state) = states.iter().find(|state| *state == "failed") {
            bail!("a task is {state}");
        }
        Ok(states
            .iter()
            .all(|state| state == "completed")
            .then_some(()))
    })
    .await?;
    let starts = gate.starts()?;
    ensure!(starts.len() == taken.len(), "started: {starts:?}");
    ensure!(starts.into_iter().collect::<BTreeSet<_>>() == *taken);
    let most = gate.most_at_once()?;
    ensure!(most == 1, "{most} ran at once, and one may");
    Ok(())
}

async fn same_tasks(ways: &[Way<'_>], expected: &BTreeSet<String>) -> Result<()> {
    for (way, listed) in ways.iter().zip(join_all(ways.iter().map(Way::list)).await) {
        let listed = listed?;
        ensure!(
            listed == *expected,
            "{way:?} lists {listed:?}, not {expected:?}"
        );
    }
    Ok(())
}

/// A way in.
enum Way<'a> {
    /// An MCP session, with its name.
    Mcp(&'static str, Box<Client>),
    /// `agents …` in this home.
    Cli(&'a Home),
    /// `mesh-llm agents …` beside this host.
    HostCli(&'a Host<'a>),
}

impl std::fmt::Debug for Way<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mcp(name, _) => name,
            Self::Cli(_) => "agents",
            Self::HostCli(_) => "mesh-llm agents",
        })
    }
}

impl Way<'_> {
    fn mcp(name: &'static str, client: Client) -> Self {
        Self::Mcp(name, Box::new(client))
    }

    /// Sends without waiting; `None` when the agent is full.
    async fn send(&self, agent_id: &str, text: &str) -> Result<Option<String>> {
        let sent = match self {
            Self::Mcp(_, client) => {
                let message = json!({ "agent_id": agent_id, "message": text });
                match client.call("send_message", message).await {
                    Ok(sent) => sent,
                    Err(CallError::Refused { text, .. }) if text.starts_with("agent_full:") => {
                        return Ok(None);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            cli => {
                let output = cli
                    .cli(&["send", agent_id, text, "--no-wait", "--json"])
                    .await?;
                let answer = document(&output)?;
                if answer["error"]["code"] == "agent_full" {
                    ensure!(output.status.code() == Some(1), "{output:?}");
                    return Ok(None);
                }
                ensure!(output.status.success(), "{output:?}");
                answer
            }
        };
        Ok(Some(text_of(&sent, "task_id")?))
    }

    async fn list(&self) -> Result<BTreeSet<String>> {
        let listed = match self {
            Self::Mcp(_, client) => client.call("list_tasks", json!({})).await?,
            cli => document(&cli.cli(&["tasks", "--json"]).await?)?,
        };
        let tasks = listed["tasks"].as_array().context("tasks")?;
        tasks.iter().map(|task| text_of(task, "task_id")).collect()
    }

    async fn state(&self, task_id: &str) -> Result<String> {
        let task = match self {
            Self::Mcp(_, client) => {
                client
                    .call("get_task", json!({ "task_id": task_id }))
                    .await?
            }
            cli => document(&cli.cli(&["task", task_id, "--json"]).await?)?,
        };
        text_of(&task, "state")
    }

    async fn cli(&self, args: &[&str]) -> Result<Output> {
        match self {
            // Programs that are waited for: others must get on meanwhile.
            Self::Cli(home) => tokio::task::block_in_place(|| home.agents(args)),
            Self::HostCli(host) => tokio::task::block_in_place(|| host.cli(args)),
            Self::Mcp(name, _) => bail!("{name} is no command line"),
        }
    }
}

fn document(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| format!("no JSON: {output:?}"))
}

fn text_of(answer: &Value, key: &str) -> Result<String> {
    let text = answer[key].as_str();
    Ok(text.with_context(|| format!("{key}: {answer}"))?.to_owned())
}
