//! Figures of two real nodes, beside a bare echo over a mesh stream between the same hosts in the same run, as rows
//! of `scripts/bench.sh mesh`. Nothing fails for being slow; a plugin that was restarted, or a task that did not
//! complete, does.

mod echo;
mod rows;
mod tasks;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::{Client, Home, Host, HostSpec, Pair, SEEN_LIMIT, eventually, within};
use serde_json::Value;

use echo::{Echo, PAYLOAD};
use rows::{Row, Samples, ms};

/// Names the environment variable with the path of the echo plugin.
const ECHO_ENV: &str = "ECHO_BIN";

/// How long the nodes are left alone for the bytes of an idle minute.
const IDLE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .context("start the tokio runtime")
        .and_then(|runtime| runtime.block_on(within(async |[a, b]| figures(a, b).await)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            rows::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Both nodes, and clients of their engines: what is measured are the nodes, not their hosts' MCP.
struct Nodes<'home> {
    pair: Pair<'home>,
    owner: Client,
    caller: Client,
    owner_url: String,
    caller_url: String,
    echo: Samples,
}

async fn figures(a: &Home, b: &Home) -> Result<()> {
    tasks::agents(a)?;
    let program = std::env::var_os(ECHO_ENV).map(PathBuf::from);
    let program =
        program.with_context(|| format!("{ECHO_ENV} is not set: run scripts/bench.sh mesh"))?;
    let with_echo = |name: &str, home: &Home| -> Result<HostSpec> {
        let control = home.path().join("echo.sock").display().to_string();
        let mut spec = HostSpec::new(name).on_fixed_port()?;
        spec.beside = Some(("echo".to_owned(), program.clone(), vec![control]));
        Ok(spec)
    };
    let owner = Host::start(a, with_echo("owner", a)?).await?;
    let token = owner.token().await?;
    let caller = Host::start(b, with_echo("caller", b)?.joining(&token)).await?;
    let pair = Pair::with(a, b, owner, caller).await?;
    pair.listed(tasks::AGENTS).await?;
    pair.allow("*")?;
    // What is measured is not the rate the owner's list allows.
    pair.unhurried()?;

    let echo = Echo::new(&pair).await?;
    let kept = echo.kept().await?;
    Row::new(
        format!("bare echo of {PAYLOAD} bytes over a kept mesh stream"),
        &kept,
    )
    .print();
    let fresh = echo.fresh().await?;
    Row::new("the same over a fresh stream, opening included", &fresh)
        .beside("the kept one", &kept, &fresh)
        .print();
    let pings = echo::pings(&pair)?;
    Row::new("ping of the other engine over a fresh stream", &pings)
        .beside("a fresh echo", &fresh, &pings)
        .print();

    let (owner_url, caller_url) = (base_url(a)?, base_url(b)?);
    let nodes = Nodes {
        owner: Client::of_engine(&format!("{owner_url}/mcp")).await?,
        caller: Client::of_engine(&format!("{caller_url}/mcp")).await?,
        owner_url,
        caller_url,
        pair,
        echo: kept,
    };
    tasks::admitted(&nodes).await?;
    tasks::submits(&nodes).await?;
    tasks::reads(&nodes).await?;
    tasks::relay(&nodes).await?;
    tasks::many(&nodes).await?;
    tasks::advert(&nodes).await?;
    idle(&nodes).await?;
    let restarts = nodes.pair.owner.lost_plugins()? + nodes.pair.caller.lost_plugins()?;
    Row::new("plugins restarted in all of this, on both hosts", restarts).print();
    ensure!(restarts == 0, "{restarts} plugins were restarted");
    nodes.owner.close().await?;
    nodes.caller.close().await?;
    nodes.pair.stop().await
}

fn base_url(home: &Home) -> Result<String> {
    let status = home.status()?;
    Ok(status["base_url"].as_str().context("base_url")?.to_owned())
}

/// What goes over the mesh while nobody does anything, as the caller's engine counts it.
async fn idle(nodes: &Nodes<'_>) -> Result<()> {
    let traffic = || -> Result<Value> {
        let listed = nodes.pair.caller_home.agents_json(&["peers", "list"])?;
        Ok(listed["traffic"].clone())
    };
    let before = traffic()?;
    tokio::time::sleep(IDLE).await;
    let after = traffic()?;
    let count = |names: &[&str]| -> u64 {
        let of = |view: &Value| {
            names
                .iter()
                .filter_map(|name| view[*name].as_u64())
                .sum::<u64>()
        };
        of(&after) - of(&before)
    };
    let streams = count(&["streams_opened", "streams_taken"]);
    let bytes = count(&["bytes_sent", "bytes_received"]);
    let hints = count(&["hint_bytes"]);
    Row::new(
        "an idle minute of a node with one peer: bytes on mesh streams, and in hints",
        format!("{bytes} B on {streams} streams, {hints} B"),
    )
    .print();
    Ok(())
}

/// Waits until the owner's list counts.
async fn taken(nodes: &Nodes<'_>, agent: &str) -> Result<()> {
    eventually("the owner to let the caller", SEEN_LIMIT, async || {
        let task = nodes.pair.send(agent, "Begin.").await?;
        let ended = nodes.pair.ended(&task, SEEN_LIMIT).await?;
        Ok((ended["state"] == "completed").then_some(()))
    })
    .await
}

/// Milliseconds by which one median is more than another, in round trips of the echo.
fn beyond(more: &Samples, less: &Samples, echo: &Samples) -> String {
    let beyond = more.p50().saturating_sub(less.p50());
    let trips = beyond.as_secs_f64() / echo.p50().as_secs_f64();
    format!("{} more: {trips:.1} round trips", ms(beyond))
}
