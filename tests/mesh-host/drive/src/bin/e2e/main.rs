//! Two nodes of a private mesh on this machine: an agent of A reviews a repository for B's client, which never
//! learns where it runs. `scripts/e2e-private-mesh-pr-review.sh` builds what it needs and starts it.
//!
//! Each step is what a user would do, through the hosts' own `/mcp` and `mesh-llm agents …`, and is printed with
//! its seconds. With `--kill` the same review is made again for each part that is named, and that part is killed
//! with SIGKILL in the middle of it.

mod kill;
mod steps;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use mesh_host_drive::review::{self, RESULTS, Repository, WHOLE};
use mesh_host_drive::{
    Home, Host, Model, PARK_SECONDS, Pair, SEEN_LIMIT, Victim, eventually, within,
};
use serde_json::{Value, json};

use steps::Steps;

/// The agent of the owner.
const AGENT: &str = "pr-review";

fn main() -> ExitCode {
    let victims = match victims() {
        Ok(victims) => victims,
        Err(error) => {
            steps::complain(&format!("{error:#}"));
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .context("start the tokio runtime")
        .and_then(|runtime| runtime.block_on(within(async |[a, b]| all(a, b, &victims).await)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            steps::complain(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The parts to be killed.
fn victims() -> Result<Vec<Victim>> {
    let mut words = std::env::args().skip(1);
    let mut victims = Vec::new();
    while let Some(word) = words.next() {
        ensure!(word == "--kill", "{word:?} is no argument; there is --kill");
        let name = words.next().unwrap_or_default();
        if name == "all" {
            victims.extend(Victim::ALL);
            continue;
        }
        match Victim::ALL.into_iter().find(|one| one.name() == name) {
            Some(victim) => victims.push(victim),
            None => bail!(
                "--kill {name:?}: there are all, {}",
                Victim::ALL.map(Victim::name).join(", ")
            ),
        }
    }
    Ok(victims)
}

/// From two empty homes to a verified review, and once more for each victim.
async fn all(a: &Home, b: &Home, victims: &[Victim]) -> Result<()> {
    let mut steps = Steps::default();
    let repository = Repository::new(a)?;
    let gate = repository.gate();
    gate.open()?;
    let model = Model::start(a, &repository.script(true))?;
    prepare(a, &repository, &model)?;
    steps.done("A has a repository, a model (scripted) and the agent pr-review, which it offers to its mesh");

    let mut pair = Pair::start(a, b).await?;
    steps.done(&format!(
        "A and B run, B joined by A's invite token; B's MCP is {}",
        pair.caller.url("/mcp")
    ));
    found(&pair).await?;
    steps.done(
        "B's client finds pr-review by agents.get_agents, on another node, and is shown its card",
    );

    refused(&pair).await?;
    steps.done("B's call is refused; B is told why, its own key, and what its owner is to ask");
    let_in(&pair)?;
    steps.done("A sees the knock in `agents peers list` and lets B in by `agents peers allow`");

    let task = reviewed(&pair).await?;
    steps
        .done("B's client sends the review again; OpenCode does it on A, and it is completed at B");
    let digests = repository.check(&pair.mcp, &task).await?;
    ensure!(pair.owners_tasks(AGENT)?.len() == 1, "one task at A");
    let listed = RESULTS.iter().zip(&digests);
    let listed: Vec<_> = listed
        .map(|(name, digest)| format!("{name} {}", &digest[..12]))
        .collect();
    steps.done(&format!("B reads and verifies {}", listed.join(", ")));

    let restarts = pair.owner.lost_plugins()? + pair.caller.lost_plugins()?;
    ensure!(restarts == 0, "{restarts} plugins were restarted");
    for victim in victims {
        let killed = kill::review(&mut pair, *victim, &repository, &digests).await;
        let said = killed.with_context(|| pair.views())?;
        steps.done(&said);
    }
    pair.stop().await?;
    model.stop().await?;
    steps.done("both hosts left");
    steps.all();
    Ok(())
}

/// What A's owner does before: the example agent, offered to others.
fn prepare(a: &Home, repository: &Repository, model: &Model) -> Result<()> {
    a.set("openai_url", model.openai_url())?;
    let path = json!(repository.path());
    let workspace = format!("mode = \"path\"\npath = {path}");
    let policy = "advertise_on_mesh = true\nnetwork = \"loopback\"";
    review::agent(a, AGENT, &workspace, policy)?;
    let valid = a.agents(&["validate", AGENT])?;
    ensure!(valid.status.success(), "agents validate: {valid:?}");
    Ok(())
}

/// The agent as B's client sees it.
async fn found(pair: &Pair<'_>) -> Result<()> {
    let listed = pair.listed(1).await?;
    let key = pair.owner_home.key()?;
    let agent = &listed[0];
    ensure!(
        listed.len() == 1
            && agent["agent_id"] == AGENT
            && agent["location"] == "remote"
            && agent["peer_id"] == *key,
        "B lists {listed:?}, and A's key is {key}"
    );
    let shown = json!({ "agent_id": AGENT });
    let shown = pair.mcp.call("get_agent", shown).await?;
    let card = &shown["agent_card"];
    ensure!(card["name"] == "PR Review", "the card: {shown}");
    // An A2A client of B's calls it at B.
    let url = card["supportedInterfaces"][0]["url"].as_str();
    ensure!(
        url.is_some_and(|url| url.starts_with("http://127.0.0.1:") && url.contains(&key)),
        "where it is served: {shown}"
    );
    ensure!(
        !shown.to_string().contains(".mesh-llm"),
        "a path of A's: {shown}"
    );
    Ok(())
}

/// Nobody let B in yet.
async fn refused(pair: &Pair<'_>) -> Result<()> {
    let call = json!({ "agent_id": AGENT, "message": WHOLE, "wait_seconds": PARK_SECONDS });
    let sent = pair.mcp.call("send_message", call).await?;
    let said = sent.to_string();
    let key = pair.caller_home.key()?;
    ensure!(sent["state"] == "failed", "nobody let B in: {sent}");
    for word in [&*key, "peers allow"] {
        ensure!(said.contains(word), "B is not told {word:?}: {sent}");
    }
    ensure!(pair.owners_tasks(AGENT)?.is_empty(), "A took the task");
    Ok(())
}

/// What A's owner does about it, by `mesh-llm agents …`.
fn let_in(pair: &Pair<'_>) -> Result<()> {
    let key = pair.caller_home.key()?;
    let seen = answer(&pair.owner, &["peers", "list"])?;
    let knock = &seen["mesh"]["knocks"][0];
    ensure!(
        knock["peer_id"] == *key && knock["agent_id"] == AGENT,
        "A sees no knock of {key}: {seen}"
    );
    answer(&pair.owner, &["peers", "allow", &key, AGENT])?;
    Ok(())
}

/// The same message again, until the owner's list counts; the first that is taken is the review.
async fn reviewed(pair: &Pair<'_>) -> Result<Value> {
    let task = eventually("A to take B's call", SEEN_LIMIT, async || {
        let task = pair.send(AGENT, WHOLE).await?;
        let taken = eventually("it to be taken or refused", SEEN_LIMIT, async || {
            if !pair.owners_tasks(AGENT)?.is_empty() {
                return Ok(Some(true));
            }
            let query = json!({ "task_id": task });
            let shown = pair.mcp.call("get_task", query).await?;
            Ok((shown["state"] == "failed").then_some(false))
        });
        Ok(taken.await?.then_some(task))
    })
    .await?;
    let ended = pair.ended(&task, SEEN_LIMIT * 2).await?;
    ensure!(ended["state"] == "completed", "the review: {ended}");
    Ok(ended)
}

/// What `mesh-llm agents … --json` answers.
fn answer(host: &Host<'_>, words: &[&str]) -> Result<Value> {
    let output = host.cli(&[words, &["--json"]].concat())?;
    let text = String::from_utf8_lossy(&output.stdout);
    // The host writes lines of its own before it.
    let line = text.lines().find(|line| line.starts_with('{'));
    let json = line.with_context(|| format!("mesh-llm agents {words:?}: {output:?}"))?;
    ensure!(output.status.success(), "mesh-llm agents {words:?}: {json}");
    Ok(serde_json::from_str(json)?)
}
