//! Tasks with an agent of the other node, each beside the same with the owner's own agent.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use mesh_host_drive::scripts::Gate;
use mesh_host_drive::{AgentFiles, Client, Home, Queue, SEEN_LIMIT, eventually};
use serde_json::{Value, json};

use crate::rows::{Row, Samples};
use crate::{Nodes, beyond, taken};

/// Ends at once.
const QUICK: &str = "quick";

/// Says something again and again until its gate is open.
const TICKER: &str = "ticker";

/// Agents the owner offers.
pub(crate) const AGENTS: usize = 2;

/// Ten words a second.
const TICKS: &str = r#"#!/bin/sh
n=0
echo "$1" >> starts
while [ ! -e go ]; do
  n=$((n + 1))
  echo "tick $n."
  sleep 0.1
done
"#;

/// Submits measured.
const SUBMITS: usize = 200;

/// Whole tasks measured, one after the other.
const TASKS: usize = 40;

/// Reads measured.
const READS: usize = 2000;

/// Words followed at both nodes.
const WORDS: usize = 200;

/// Tasks at once.
const MANY: usize = 100;

/// Changes of an advert.
const CHANGES: usize = 20;

/// How long a change may take to be seen (issue 4).
const SEEN: Duration = Duration::from_secs(2);

/// The longest a call to an engine's own `/mcp` may be parked, in seconds.
const PARK: u64 = 240;

/// Between two looks at what changes.
const LOOK: Duration = Duration::from_millis(2);

pub(crate) fn agents(a: &Home) -> Result<()> {
    let queue = Queue {
        running: 8,
        pending: 1000,
    };
    a.agent(
        &AgentFiles::new(QUICK, "echo done\n")
            .with_queue(queue)
            .offered(),
    )?;
    let shared = a.shared(TICKER)?;
    a.agent(
        &AgentFiles::new(TICKER, TICKS)
            .in_directory(&shared)
            .offered(),
    )?;
    Ok(())
}

pub(crate) async fn admitted(nodes: &Nodes<'_>) -> Result<()> {
    taken(nodes, QUICK).await
}

/// A submit until it is on disk: at the owner, at the caller, and at the owner for the caller.
pub(crate) async fn submits(nodes: &Nodes<'_>) -> Result<()> {
    let (mut own, mut accepted, mut arrived) = (vec![], vec![], vec![]);
    for _ in 0..SUBMITS {
        let at = Instant::now();
        let task = submit(&nodes.owner).await?;
        own.push(at.elapsed());
        ended(&nodes.owner, &task).await?;

        let before = newest(&nodes.owner).await?;
        let at = Instant::now();
        let here = async {
            let task = submit(&nodes.caller).await?;
            Ok::<_, anyhow::Error>((task, at.elapsed()))
        };
        let there = async {
            while newest(&nodes.owner).await? == before {}
            Ok(at.elapsed())
        };
        let ((task, took), elapsed) = tokio::try_join!(here, there)?;
        accepted.push(took);
        arrived.push(elapsed);
        ended(&nodes.caller, &task).await?;
    }
    let (own, accepted, arrived) = (
        Samples::of(own),
        Samples::of(accepted),
        Samples::of(arrived),
    );
    let baseline = "the owner's own submit";
    Row::new(
        "remote submit, until the caller's engine has it on disk",
        &accepted,
    )
    .beside(baseline, &own, &accepted)
    .print();
    Row::new("remote submit, until the owner lists it", &arrived)
        .beside(baseline, &own, &arrived)
        .budget(beyond(&arrived, &own, &nodes.echo), true)
        .print();

    let (mut own, mut remote) = (vec![], vec![]);
    for _ in 0..TASKS {
        own.push(whole(&nodes.owner).await?);
        remote.push(whole(&nodes.caller).await?);
    }
    let (own, remote) = (Samples::of(own), Samples::of(remote));
    Row::new(
        "a task of a shell script, from send_message to its end",
        &remote,
    )
    .beside("the owner's own", &own, &remote)
    .budget(beyond(&remote, &own, &nodes.echo), true)
    .print();
    Ok(())
}

/// `get_task` of an ended task: what the caller knows of it lies in its own log.
pub(crate) async fn reads(nodes: &Nodes<'_>) -> Result<()> {
    let mut samples = Vec::new();
    for client in [&nodes.owner, &nodes.caller] {
        let task = submit(client).await?;
        ended(client, &task).await?;
        let query = json!({ "task_id": task });
        let mut times = Vec::with_capacity(READS);
        for _ in 0..READS {
            let at = Instant::now();
            client.call("get_task", query.clone()).await?;
            times.push(at.elapsed());
        }
        samples.push(Samples::of(times));
    }
    Row::new("get_task of a remote task", &samples[1])
        .beside("of the owner's own", &samples[0], &samples[1])
        .print();
    Ok(())
}

/// When each word of a task is heard on an A2A stream at the caller, and when at the owner.
pub(crate) async fn relay(nodes: &Nodes<'_>) -> Result<()> {
    let task = nodes.pair.send(TICKER, "Begin.").await?;
    let theirs = eventually("the owner to have it", SEEN_LIMIT, async || {
        Ok(nodes.pair.owners_tasks(TICKER)?.pop())
    })
    .await?;
    let key = nodes.pair.owner_home.key()?;
    let at_owner = format!("{}/a2a/agents/{TICKER}", nodes.owner_url);
    let at_caller = format!("{}/a2a/peers/{key}/agents/{TICKER}", nodes.caller_url);
    let (there, here) = tokio::try_join!(words(&at_owner, &theirs), words(&at_caller, &task))?;
    Gate::new(&nodes.pair.owner_home.path().join(TICKER)).open()?;
    ended(&nodes.caller, &task).await?;
    let both = there
        .iter()
        .filter_map(|(word, at)| Some((here.get(word)?, at)));
    let later = both.map(|(here, there)| here.saturating_duration_since(*there));
    let later = Samples::of(later.collect());
    Row::new(
        "a word of a running task, heard at the caller after it was at the owner",
        &later,
    )
    .beside("echo", &nodes.echo, &later)
    .print();
    Ok(())
}

/// Follows a task until so many of its words were heard, and says when each was first.
async fn words(agent: &str, task: &str) -> Result<BTreeMap<u64, Instant>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": { "id": task } });
    let request = http.post(agent).header("A2A-Version", "1.0").json(&body);
    let mut answer = request.send().await?.error_for_status()?;
    let mut heard = BTreeMap::new();
    let mut rest = String::new();
    while heard.len() < WORDS {
        let piece = answer.chunk().await?.context("the stream ended")?;
        let at = Instant::now();
        rest.push_str(&String::from_utf8_lossy(&piece));
        // An event is whole at its empty line; the part of the next one waits.
        let Some(end) = rest.rfind("\n\n") else {
            continue;
        };
        for found in rest[..end].split("tick ").skip(1) {
            let number = found
                .split('.')
                .next()
                .and_then(|number| number.parse().ok());
            if let Some(number) = number {
                heard.entry(number).or_insert(at);
            }
        }
        rest.drain(..end);
    }
    // The first event may have told of many words at once, which says nothing of their way.
    let first = heard.values().next().copied();
    heard.retain(|_, at| Some(*at) != first);
    Ok(heard)
}

/// Many at once: all complete.
pub(crate) async fn many(nodes: &Nodes<'_>) -> Result<()> {
    let mut took = Vec::new();
    for client in [&nodes.owner, &nodes.caller] {
        let at = Instant::now();
        try_join_all((0..MANY).map(|_| whole(client))).await?;
        took.push(at.elapsed().as_secs_f64());
    }
    Row::new(
        format!("{MANY} remote tasks at once, 8 of which run at a time, until all are complete"),
        format!("{:.1} s", took[1]),
    )
    .beside_text(
        format!("the owner's own: {:.1} s", took[0]),
        took[1] / took[0],
    )
    .print();
    Ok(())
}

/// A card on the owner's disk is changed: when `get_agents` shows it at the owner, and at the caller.
pub(crate) async fn advert(nodes: &Nodes<'_>) -> Result<()> {
    let (mut own, mut remote) = (vec![], vec![]);
    for number in 1..=CHANGES {
        let version = format!("1.0.{number}");
        let at = Instant::now();
        rewrite(nodes.pair.owner_home, &version)?;
        let here = shown(&nodes.caller, "remote", &version, at);
        let there = shown(&nodes.owner, "local", &version, at);
        let (here, there) = tokio::try_join!(here, there)?;
        remote.push(here);
        own.push(there);
    }
    let (own, remote) = (Samples::of(own), Samples::of(remote));
    let met = remote.p50() <= SEEN;
    Row::new(
        "a changed card, until the caller's get_agents shows it",
        &remote,
    )
    .beside("the owner's own get_agents", &own, &remote)
    .budget(format!("≤ {} s", SEEN.as_secs()), met)
    .print();
    Ok(())
}

fn rewrite(a: &Home, version: &str) -> Result<()> {
    let path = a.agents_dir().join(QUICK).join("agent-card.json");
    let mut card: Value = serde_json::from_slice(&fs::read(&path)?)?;
    card["version"] = json!(version);
    let part = path.with_extension("part");
    fs::write(&part, card.to_string())?;
    fs::rename(&part, &path).with_context(|| format!("replace {}", path.display()))
}

async fn shown(client: &Client, place: &str, version: &str, since: Instant) -> Result<Duration> {
    loop {
        let listed = client
            .call("get_agents", json!({ "location": place }))
            .await?;
        let agents = listed["agents"].as_array().context("agents")?;
        let is_it = |agent: &Value| agent["agent_id"] == QUICK && agent["version"] == *version;
        if agents.iter().any(is_it) {
            return Ok(since.elapsed());
        }
        ensure!(since.elapsed() < SEEN_LIMIT, "never shown: {listed}");
        tokio::time::sleep(LOOK).await;
    }
}

async fn submit(client: &Client) -> Result<String> {
    let call = json!({ "agent_id": QUICK, "message": "Begin." });
    let sent = client.call("send_message", call).await?;
    Ok(sent["task_id"].as_str().context("a task id")?.to_owned())
}

async fn whole(client: &Client) -> Result<Duration> {
    let call = json!({ "agent_id": QUICK, "message": "Begin.", "wait_seconds": PARK });
    let at = Instant::now();
    let ended = client.call("send_message", call).await?;
    ensure!(ended["state"] == "completed", "{ended}");
    Ok(at.elapsed())
}

async fn ended(client: &Client, task: &str) -> Result<()> {
    let query = json!({ "task_id": task, "wait_seconds": PARK });
    let ended = client.call("get_task", query).await?;
    ensure!(ended["state"] == "completed", "{ended}");
    Ok(())
}

/// The task that changed last.
async fn newest(client: &Client) -> Result<Option<String>> {
    let listed = client.call("list_tasks", json!({ "limit": 1 })).await?;
    Ok(listed["tasks"][0]["task_id"].as_str().map(str::to_owned))
}
