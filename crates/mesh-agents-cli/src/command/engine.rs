//! The verbs about the engine itself: status, stop.

use std::time::Duration;

use anyhow::{Result, bail};
use mesh_agents_plugin::socket::Status;
use serde::Serialize;

use crate::client;
use crate::context::Context;
use crate::output::{Exit, Output};

/// How often a stopping engine is looked at.
const POLL: Duration = Duration::from_millis(20);
/// An engine told to stop now is gone well within this.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// `agents status`. Starts nothing.
pub(crate) async fn status(context: &Context, output: &mut Output) -> Result<Exit> {
    #[derive(Serialize)]
    struct Document {
        engine: Option<Status>,
    }
    let engine = client::frontend(context)?.running().await;
    let document = Document { engine };
    output.answer("status", &document, |out| match &document.engine {
        None => writeln!(
            out,
            "no engine is running; the next command that needs one starts it"
        ),
        Some(engine) => {
            let stopping = if engine.stopping { ", stopping" } else { "" };
            writeln!(
                out,
                "engine {} (pid {}){stopping}",
                engine.version, engine.pid
            )?;
            writeln!(
                out,
                "tasks     {} running, {} queued",
                engine.running, engine.queued
            )?;
            writeln!(out, "clients   {} attached", engine.frontends)?;
            writeln!(
                out,
                "http      {} (/mcp, /a2a/agents/<id>)",
                engine.base_url
            )?;
            writeln!(out, "data      {}", engine.data_dir.display())?;
            writeln!(out, "agents    {}", engine.agents_dir.display())
        }
    })?;
    Ok(Exit::Done)
}

/// `agents stop`. Returns when the engine is gone.
pub(crate) async fn stop(context: &Context, output: &mut Output, now: bool) -> Result<Exit> {
    #[derive(Serialize)]
    struct Document {
        stopped: Option<u32>,
    }
    let frontend = client::frontend(context)?;
    let Some(engine) = frontend.running().await else {
        output.answer("stop", &Document { stopped: None }, |out| {
            writeln!(out, "no engine is running")
        })?;
        return Ok(Exit::Done);
    };
    frontend.stop(now).await?;
    if !now && engine.running > 0 && !output.is_json() {
        let tasks = if engine.running == 1 { "task" } else { "tasks" };
        output.say(&format!(
            "waiting for {} running {tasks} (--now ends them)",
            engine.running
        ));
    }
    let deadline = tokio::time::Instant::now() + STOP_PATIENCE;
    while frontend
        .running()
        .await
        .is_some_and(|other| other.pid == engine.pid)
    {
        if now && tokio::time::Instant::now() > deadline {
            bail!(
                "the engine (pid {}) is still running after {} s; see engine.log in the data directory's a2a/",
                engine.pid,
                STOP_PATIENCE.as_secs()
            );
        }
        tokio::time::sleep(POLL).await;
    }
    let document = Document {
        stopped: Some(engine.pid),
    };
    output.answer("stop", &document, |out| {
        writeln!(out, "stopped (pid {})", engine.pid)
    })?;
    Ok(Exit::Done)
}

/// Has an engine that nobody needs make room for a node in the foreground. One that works or has
/// clients stays, and the node's start says who has the directory.
pub(crate) async fn relieve(context: &Context) -> Result<()> {
    /// An idle engine leaves in a moment.
    const PATIENCE: Duration = Duration::from_secs(3);
    let frontend = client::frontend(context)?;
    let Some(engine) = frontend.running().await else {
        return Ok(());
    };
    if engine.running > 0 || engine.frontends > 0 {
        return Ok(());
    }
    frontend.stop(false).await?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while frontend.running().await.is_some() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
