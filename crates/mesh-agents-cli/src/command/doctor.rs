//! `agents doctor`: what this machine has and lacks for running agents.

use std::sync::Arc;

use anyhow::Result;
use mesh_agents_acp_bridge::{AcpBridge, BridgeConfig, ConfinementSupport, confinement_support};
use mesh_agents_core::agent::{Network, RuntimeKind};
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_core::run::Runner;
use mesh_agents_plugin::frontend::Frontend;
use mesh_agents_registry::load;
use serde::Serialize;

use crate::client;
use crate::context::Context;
use crate::engine::lock::{self, EngineLock};
use crate::engine::node::runners::Runners;
use crate::output::{Exit, Output};

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

/// Looks at the data directory, the engine, confinement and every agent's harness.
pub(crate) async fn doctor(context: &Context, output: &mut Output) -> Result<Exit> {
    #[derive(Serialize)]
    struct Document {
        ok: bool,
        checks: Vec<Check>,
    }
    let mut checks = Vec::new();
    let mut check = |name: &str, found: Result<String, String>| {
        let ok = found.is_ok();
        let detail = found.unwrap_or_else(|problem| problem);
        checks.push(Check {
            name: name.to_owned(),
            ok,
            detail,
        });
    };
    let frontend = client::frontend(context)?;
    let engine = frontend.running().await;
    let place = data_directory(context, engine.is_some()).await;
    let usable = place.is_ok();
    check("data directory", place);
    if usable {
        check("tasks", stored(context, &frontend, engine.is_some()).await);
    }
    check(
        "engine",
        Ok(match &engine {
            Some(engine) => format!("runs (pid {}, {})", engine.pid, engine.base_url),
            None => "not running; the next command that needs one starts it".to_owned(),
        }),
    );
    check(
        "confinement",
        match confinement_support() {
            ConfinementSupport::Landlock => Ok("Landlock".to_owned()),
            ConfinementSupport::Missing(why) => Err(format!(
                "{why}; agents with an explicit policy.filesystem are refused, others run unconfined and say so"
            )),
        },
    );
    let bridge = AcpBridge::new(BridgeConfig::new(
        context.environment.0.clone(),
        context.program.clone(),
        context.temp.clone(),
        context.settings.layout.root().to_owned(),
    ));
    check("policy.network", Ok(networks(bridge.confinement())));
    let runners = Runners::new(bridge, Arc::clone(&context.environment), None);
    let snapshot = load(
        &context.settings.agents_dir,
        &context.registry_environment(),
    );
    for agent in snapshot.agents.values() {
        let found = match runners.unavailable(agent) {
            None if agent.runtime.kind == RuntimeKind::Remote => Ok(
                "its card and token can be used; the first task shows whether it answers"
                    .to_owned(),
            ),
            None => Ok(format!("{} is installed", agent.runtime.kind)),
            Some(problem) => Err(problem),
        };
        check(&format!("agent {}", agent.id), found);
    }
    for problem in &snapshot.problems {
        if problem.is_error() {
            let name = problem
                .agent
                .as_ref()
                .map_or("agents".to_owned(), |agent| format!("agent {agent}"));
            check(&name, Err(problem.to_string()));
        }
    }
    let ok = checks.iter().all(|check| check.ok);
    let words = output.words();
    let document = Document { ok, checks };
    output.answer("doctor", &document, |out| {
        for check in &document.checks {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            let detail = words.commands(&check.detail);
            writeln!(out, "{mark} {}: {detail}", check.name)?;
        }
        Ok(())
    })?;
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

/// Which values of `policy.network` can be kept. What cannot is no fault of the machine: an agent
/// that asks for it has a check of its own.
fn networks(machine: &PlatformConfinement) -> String {
    let said = [Network::Loopback, Network::Deny].map(|network| {
        let value = network.as_str();
        match machine.lacks(network) {
            None => format!("{value} can be enforced"),
            Some(why) => format!("{value} cannot be enforced: {why}"),
        }
    });
    said.join("; ")
}

/// Whether everything that is stored is there and whole; the engine looks where one runs.
async fn stored(
    context: &Context,
    frontend: &Frontend,
    engine_runs: bool,
) -> Result<String, String> {
    let (tasks, blobs, problems) = if engine_runs {
        let found = frontend.check().await;
        let found = found.map_err(|refusal| refusal.to_string())?;
        (found.tasks, found.blobs, found.problems)
    } else {
        let layout = &context.settings.layout;
        let lock = async {
            let socket = lock::socket_path(layout, &context.temp)?;
            EngineLock::take_over(layout, &socket).await
        };
        // Held while we look: an engine that starts meanwhile waits for us.
        let _lock = lock.await.map_err(|error| format!("{error:#}"))?;
        let found = mesh_agents_tasks::check(layout)
            .map_err(|error| format!("{}: {error}", layout.database().display()))?;
        let Some(found) = found else {
            return Ok("none yet".to_owned());
        };
        (found.tasks, found.blobs, found.problems)
    };
    if problems.is_empty() {
        Ok(format!(
            "{tasks}, with {blobs} artifact contents, all whole"
        ))
    } else {
        Err(problems.join("; "))
    }
}

/// Whether an engine could work there: one that runs proves it, else the lock is tried.
async fn data_directory(context: &Context, engine_runs: bool) -> Result<String, String> {
    let path = context.settings.data_dir.display().to_string();
    if !engine_runs {
        let layout = &context.settings.layout;
        let free = async {
            let socket = lock::socket_path(layout, &context.temp)?;
            EngineLock::take_over(layout, &socket).await
        };
        free.await.map_err(|error| format!("{error:#}"))?;
    }
    Ok(path)
}
