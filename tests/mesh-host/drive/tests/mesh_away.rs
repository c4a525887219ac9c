//! Two nodes that lose each other for a minute while one works for the other. Most of it is waiting, so
//! `scripts/test-host.sh` runs it beside the other tests.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::scripts::{AT_ONCE, GATED, Gate};
use mesh_host_drive::{AgentFiles, Home, Host, HostSpec, Pair, SEEN_LIMIT, eventually, run_in};
use serde_json::{Value, json};

/// The agent.
const AGENT: &str = "gated";

/// How long the link is cut: longer than the 45 s after which a host gives up a silent peer.
const CUT: Duration = Duration::from_secs(60);

/// Limit for two hosts to find each other again: one looks for the other once a minute.
const FOUND_LIMIT: Duration = Duration::from_secs(240);

/// The owner's host is held, as if its link were cut: it hears and says nothing, and everything behind it goes
/// on. Its engine ends the task meanwhile, and the caller hears of it afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn away_behind_a_link_cut_for_a_minute() {
    run_in(async |[a, b]: [&Home; 2]| {
        let gate = gated(a)?;
        let pair = Pair::start(a, b).await?;
        let undisturbed = first(&pair).await?;

        let task = at_work(&pair, &gate).await?;
        let host = pair.owner.process()?;
        host.hold();
        let cut = Instant::now();
        gate.open()?;
        let unheard = lost(&pair, &task).await?;
        say(&format!("cut: the caller says so after {unheard:.1} s"));
        ended_there(a).await?;
        tokio::time::sleep_until((cut + CUT).into()).await;
        let shown = pair
            .mcp
            .call("get_task", json!({ "task_id": task }))
            .await?;
        ensure!(
            shown["state"] == "working",
            "loss of contact is no state: {shown}"
        );
        host.let_go();

        let back = Instant::now();
        same_end(&pair, &task, &undisturbed, &gate).await?;
        say(&format!(
            "cut for {} s: completed {:.1} s after its end",
            CUT.as_secs(),
            back.elapsed().as_secs_f64()
        ));
        ensure!(pair.owner.lost_plugins()? + pair.caller.lost_plugins()? == 0);
        pair.stop().await
    })
    .await;
}

/// A serve-role owner keeps its peer id and its port: nobody joins anew, the caller's host looks for it.
#[tokio::test(flavor = "multi_thread")]
async fn away_by_a_kill_and_back_as_the_same_peer() {
    run_in(async |[a, b]: [&Home; 2]| {
        let gate = gated(a)?;
        let mut spec = HostSpec::new("owner").on_fixed_port()?;
        spec.keeps_id = true;
        let owner = Host::start(a, spec).await?;
        let mut pair = Pair::of(a, b, owner).await?;
        let undisturbed = first(&pair).await?;
        let id = pair.owner.token().await?;

        let task = at_work(&pair, &gate).await?;
        pair.owner.kill9()?;
        gate.open()?;
        ended_there(a).await?;
        pair.owner.restart().await?;
        ensure!(pair.owner.token().await? == id, "the same peer");

        let back = Instant::now();
        same_end(&pair, &task, &undisturbed, &gate).await?;
        say(&format!(
            "an owner's host killed that keeps its peer id: completed {:.1} s after it was up",
            back.elapsed().as_secs_f64()
        ));
        pair.stop().await
    })
    .await;
}

fn gated(a: &Home) -> Result<Gate> {
    let shared = a.shared(AGENT)?;
    let agent = AgentFiles::new(AGENT, GATED).in_directory(&shared);
    a.agent(&agent.offered())?;
    Ok(Gate::new(&shared))
}

/// The results of a task that nothing happened to.
async fn first(pair: &Pair<'_>) -> Result<String> {
    pair.listed(1).await?;
    pair.allow(AGENT)?;
    let done = eventually("the owner to let the caller", SEEN_LIMIT, async || {
        let task = pair.send(AGENT, AT_ONCE).await?;
        let ended = pair.ended(&task, SEEN_LIMIT).await?;
        Ok((ended["state"] == "completed").then_some(task))
    });
    response(pair, &done.await?).await
}

async fn at_work(pair: &Pair<'_>, gate: &Gate) -> Result<String> {
    let before = gate.starts()?.len();
    let task = pair.send(AGENT, "Wait for the gate.").await?;
    eventually("the task to be at work", SEEN_LIMIT, async || {
        Ok((gate.starts()?.len() > before).then_some(()))
    })
    .await?;
    Ok(task)
}

/// Waits until the caller is told that contact is lost; says after how many seconds.
async fn lost(pair: &Pair<'_>, task: &str) -> Result<f64> {
    let cut = Instant::now();
    eventually("the caller to say so", SEEN_LIMIT, async || {
        let logs = pair.caller_home.agents(&["logs", task])?;
        let logs = String::from_utf8_lossy(&logs.stdout).into_owned();
        Ok(logs.contains("remote_unreachable").then_some(()))
    })
    .await?;
    Ok(cut.elapsed().as_secs_f64())
}

/// Waits for the end of all tasks at their owner, who needs no host for it.
async fn ended_there(a: &Home) -> Result<()> {
    eventually("the task to end at its owner", SEEN_LIMIT, async || {
        let tasks = a.agents_json(&["tasks"])?;
        let tasks = tasks["tasks"].as_array().context("tasks")?;
        let ended = |task: &Value| task["state"] == "completed";
        Ok(tasks.iter().all(ended).then_some(()))
    })
    .await
}

/// The task ends as the undisturbed one did, and was started once.
async fn same_end(pair: &Pair<'_>, task: &str, undisturbed: &str, gate: &Gate) -> Result<()> {
    let ended = pair.ended(task, FOUND_LIMIT).await;
    let ended = ended.with_context(|| pair.views())?;
    ensure!(ended["state"] == "completed", "{ended}");
    ensure!(response(pair, task).await? == undisturbed, "other results");
    ensure!(
        gate.starts()?.len() == 2,
        "one start each: {:?}",
        gate.starts()?
    );
    Ok(())
}

async fn response(pair: &Pair<'_>, task: &str) -> Result<String> {
    let artifact = json!({ "task_id": task, "artifact_id": "response" });
    let shown = pair.mcp.call("view_text_artifact", artifact).await?;
    Ok(shown["text"].as_str().context("a text")?.to_owned())
}

#[expect(clippy::print_stderr, reason = "figures, for whoever runs this")]
fn say(line: &str) {
    eprintln!("mesh_away: {line}");
}
