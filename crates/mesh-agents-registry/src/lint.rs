//! What is legal in an agent's files and probably not meant. Found for `agents validate` alone: none
//! of it keeps an agent from serving.

mod args;
mod secrets;
mod together;

use mesh_agents_core::agent::{Filesystem, Network, QueueMode, RuntimeKind, Visibility};
use mesh_agents_core::ids::AgentId;

pub(crate) use self::together::{Together, together};
use crate::code;
use crate::report::Report;
use crate::runtime_toml::RuntimeFile;

/// What `runtime.toml` says that its owner probably did not mean.
pub(crate) fn runtime(file: &RuntimeFile<'_>, agent: &AgentId, report: &mut Report<'_>) {
    args::check(&file.runtime, report);
    secrets::check(&file.runtime, report);
    limits(file, report);
    queue(file, report);
    advertised(file, agent, report);
}

/// A pause or a question longer than the whole task may take.
fn limits(file: &RuntimeFile<'_>, report: &mut Report<'_>) {
    let policy = &file.policy;
    let Some(most) = policy.max_task_seconds else {
        return;
    };
    for (key, value) in [
        ("idle_seconds", policy.idle_seconds),
        ("ask_seconds", policy.ask_seconds),
    ] {
        let Some(value) = value.filter(|value| *value > most) else {
            continue;
        };
        report
            .warning(
                code::LIMIT,
                policy.section.place(key),
                &policy.section.key(key),
                format!("{value} is never reached: the task ends after {most} seconds"),
                format!("write at most {most}, or raise max_task_seconds"),
            )
            .set(policy.section.entry(key), &most.to_string());
    }
}

/// How many may wait where nobody waits.
fn queue(file: &RuntimeFile<'_>, report: &mut Report<'_>) {
    let runtime = &file.runtime;
    if runtime.queue == Some(QueueMode::Reject) && runtime.max_pending_tasks.is_some() {
        report
            .warning(
                code::NO_EFFECT,
                runtime.queue_section.place("max_pending_tasks"),
                "runtime.queue.max_pending_tasks",
                "has no effect while mode is \"reject\": nothing waits",
                "remove it, or set `mode = \"queue\"`",
            )
            .remove(runtime.queue_section.entry("max_pending_tasks"));
    }
}

/// Agents that are meant for others and never reach them.
fn advertised(file: &RuntimeFile<'_>, agent: &AgentId, report: &mut Report<'_>) {
    let policy = &file.policy;
    let advertised = policy.advertise_on_mesh == Some(true);
    if policy.public_mesh == Some(true) {
        let (reason, fix) = match (advertised, file.visibility) {
            (false, _) => (
                "has no effect without advertise_on_mesh = true",
                "write that too, or remove it",
            ),
            (true, Some(Visibility::Public)) => ("", ""),
            (true, _) => (
                "has no effect while visibility is \"private\"",
                "set visibility = \"public\" at the top of the file, or remove it",
            ),
        };
        if !reason.is_empty() {
            report
                .warning(
                    code::NO_EFFECT,
                    policy.section.place("public_mesh"),
                    "policy.public_mesh",
                    reason,
                    fix,
                )
                .remove(policy.section.entry("public_mesh"));
        }
    }
    if !advertised {
        return;
    }
    let place = policy.section.place("advertise_on_mesh");
    let key = "policy.advertise_on_mesh";
    if file.enabled == Some(false) {
        report.warning(
            code::NOBODY_CALLS,
            place.clone(),
            key,
            "has no effect while the agent is disabled",
            format!("run `mesh-llm agents enable {agent}`"),
        );
    }
    let kind = file.runtime.kind;
    if kind == Some(RuntimeKind::Remote) {
        return;
    }
    let preset = kind.is_some_and(RuntimeKind::is_preset);
    let mut unsaid = Vec::new();
    if policy.filesystem.is_none() && !preset {
        unsaid.push(("filesystem", Filesystem::Workspace.as_str()));
    }
    if policy.network.is_none() {
        unsaid.push(("network", Network::Loopback.as_str()));
    }
    for (name, value) in unsaid
        .into_iter()
        .filter(|(name, _)| policy.section.lacks(name))
    {
        report
            .warning(
                code::NOBODY_CALLS,
                place.clone(),
                key,
                format!("has no effect until {name} is written: what others send is offered no more than you chose"),
                format!("write `{name} = {value:?}` under [policy], or a wider value on purpose"),
            )
            .add_line("policy", &format!("{name} = {value:?}"));
    }
}
