//! From what `runtime.toml` says to what it means: defaults, what keys need of each other, of the
//! environment and of the disk.

mod names;
mod remote;
mod templates;

use std::num::NonZeroU32;

use mesh_agents_core::agent::{
    AgentPolicy, Approval, ConfigSource, Delivery, Filesystem, Keep, Network, OnInterrupt,
    QueueMode, RuntimeConfig, RuntimeKind, SessionScope, Visibility, WorkspaceConfig,
};
use mesh_agents_core::ids::ArtifactId;

use crate::Environment;
use crate::code;
use crate::report::Report;
use crate::runtime_toml::{PolicyTable, RuntimeFile, RuntimeTable, WorkspaceTable, WorkspaceWord};
use crate::toml_reader::At;

/// Everything of a definition that `runtime.toml` decides.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) enabled: bool,
    pub(crate) visibility: Visibility,
    pub(crate) runtime: RuntimeConfig,
    pub(crate) workspace: WorkspaceConfig,
    pub(crate) delivery: Delivery,
    pub(crate) tools_mesh: bool,
    pub(crate) require: Vec<ArtifactId>,
    pub(crate) bearer_env: Option<String>,
    pub(crate) policy: AgentPolicy,
}

/// What can be checked against besides the file itself.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// For `$NAME`.
    pub(crate) environment: &'a Environment,
    /// What `{{ agent.… }}` and `{{ instructions.… }}` stand for; `None` for what only a task knows.
    pub(crate) known: &'a dyn Fn(&str) -> Option<String>,
}

/// Checks the file as a whole. `None` when the settings make no agent; the report says why.
pub(crate) fn settings(
    file: RuntimeFile<'_>,
    around: Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<Settings> {
    check_kind(&file.runtime, report);
    check_approval(&file, report);
    check_network(&file, report);
    templates::check(&file.runtime, around, report);
    names::check_env(&file, report);
    without_effect(&file, report);
    remote::without_effect(&file, report);
    let mode = templates::workspace_mode(&file.workspace, around, report);
    let require = names::artifacts(&file.require, report);
    let kind = file.runtime.kind;
    let policy = policy(&file.policy, kind, around.environment, report);
    Some(Settings {
        enabled: file.enabled.unwrap_or(true),
        visibility: file.visibility.unwrap_or(Visibility::Private),
        runtime: runtime(file.runtime, kind?),
        workspace: WorkspaceConfig {
            mode: mode?,
            keep: file.workspace.keep.unwrap_or(Keep::OnFailure),
        },
        delivery: file.delivery.unwrap_or(Delivery::FirstPrompt),
        tools_mesh: file.tools_mesh.unwrap_or(true),
        require,
        bearer_env: file.bearer_env.map(|at| at.value),
        policy,
    })
}

fn runtime(table: RuntimeTable<'_>, kind: RuntimeKind) -> RuntimeConfig {
    let texts = |list: Vec<At<String>>| list.into_iter().map(|at| at.value).collect();
    RuntimeConfig {
        kind,
        command: table.command.map(|at| at.value),
        args: table.args.map(texts),
        model: table.model.map_or_else(|| "auto".to_owned(), |at| at.value),
        config: table.config.unwrap_or(ConfigSource::Mesh),
        max_concurrent_tasks: at_least_one(table.max_concurrent_tasks, 1),
        inherit_env: texts(table.inherit_env),
        env: table
            .env
            .into_iter()
            .map(|(name, value)| (name.value, value.value))
            .collect(),
        on_interrupt: table.on_interrupt.unwrap_or(OnInterrupt::Fail),
        max_attempts: at_least_one(table.max_attempts, 2),
        session: table.session.unwrap_or(SessionScope::PerTask),
        queue: table.queue.unwrap_or(QueueMode::Queue),
        max_pending_tasks: table.max_pending_tasks.unwrap_or(16),
    }
}

fn at_least_one(number: Option<u32>, default: u32) -> NonZeroU32 {
    NonZeroU32::new(number.unwrap_or(default)).unwrap_or(NonZeroU32::MIN)
}

fn policy(
    table: &PolicyTable<'_>,
    kind: Option<RuntimeKind>,
    environment: &Environment,
    report: &mut Report<'_>,
) -> AgentPolicy {
    let default_filesystem = if kind.is_some_and(RuntimeKind::is_preset) {
        Filesystem::Workspace
    } else {
        Filesystem::ReadAll
    };
    AgentPolicy {
        advertise_on_mesh: table.advertise_on_mesh.unwrap_or(false),
        public_mesh: table.public_mesh.unwrap_or(false),
        approval: table.approval.unwrap_or(Approval::Deny),
        filesystem: table.filesystem.unwrap_or(default_filesystem),
        filesystem_explicit: table.filesystem.is_some(),
        read: names::paths("read", &table.read, environment, report),
        write: names::paths("write", &table.write, environment, report),
        network: table.network.unwrap_or(Network::Allow),
        network_explicit: table.network.is_some(),
        max_task_seconds: table.max_task_seconds.unwrap_or(3600).into(),
        idle_seconds: table.idle_seconds.unwrap_or(600).into(),
        ask_seconds: table.ask_seconds.unwrap_or(900).into(),
    }
}

/// `runtime.type`, and the command the types without one of their own need.
fn check_kind(table: &RuntimeTable<'_>, report: &mut Report<'_>) {
    let Some(kind) = table.kind else {
        if table.section.lacks("type") {
            report
                .error(
                    code::MISSING,
                    None,
                    "runtime.type",
                    "is missing",
                    "add `type = \"opencode\"` (or goose, pi, acp, command, remote) under [runtime]",
                )
                .add_line("runtime", "type = \"opencode\"");
        }
        return;
    };
    if matches!(kind, RuntimeKind::Acp | RuntimeKind::Command) && table.section.lacks("command") {
        let (example, line) = match kind {
            RuntimeKind::Acp => (
                "`command = \"my-harness\"`, a program that speaks ACP on stdio",
                "command = \"my-harness\"",
            ),
            _ => (
                "`command = \"cargo\"` and `args = [\"test\"]`, or whatever should run",
                "command = \"cargo\"\nargs = [\"test\"]",
            ),
        };
        let told = report.error(
            code::MISSING,
            table.section.place("type"),
            "runtime.command",
            format!("is required when type is {:?}", kind.as_str()),
            format!("add {example}, under [runtime]"),
        );
        // `args` that are there already stay as they are.
        let line = match table.section.has("args") {
            true => line.lines().next().unwrap_or(line),
            false => line,
        };
        told.add_line("runtime", line);
    }
    if let Some(model) = table.model.as_ref().filter(|at| at.value.contains("{{")) {
        report
            .error(
                code::TEMPLATE,
                Some(model.span.clone()),
                "runtime.model",
                "templates are not expanded here",
                "write \"auto\" for the mesh's model, or a model's name",
            )
            .replace(model.span.clone(), "\"auto\"");
    }
}

/// `policy.approval`: a harness that never asks cannot be answered.
fn check_approval(file: &RuntimeFile<'_>, report: &mut Report<'_>) {
    let (Some(kind), Some(approval)) = (file.runtime.kind, file.policy.approval) else {
        return;
    };
    let cause = match (kind, approval) {
        (_, Approval::Deny | Approval::Auto) => return,
        (RuntimeKind::Pi, _) => "pi acts without asking",
        (RuntimeKind::Command, _) => "a command acts without asking",
        (RuntimeKind::Goose, Approval::AutoEdit) => {
            "goose does not say which of its requests are edits"
        }
        _ => return,
    };
    report
        .error(
            code::CONFLICT,
            file.policy.section.place("approval"),
            "policy.approval",
            format!("cannot be kept: {cause}"),
            "write \"deny\" or \"auto\"; what it reaches is bounded by filesystem, read and write under [policy]",
        )
        .set(file.policy.section.entry("approval"), "\"deny\"");
}

/// `policy.network`: what could not work, or would hold nothing.
fn check_network(file: &RuntimeFile<'_>, report: &mut Report<'_>) {
    let policy = &file.policy;
    let confined = policy.network.filter(|network| *network != Network::Allow);
    let (Some(kind), Some(network)) = (file.runtime.kind, confined) else {
        return;
    };
    let (cause, fix, entry, value) = if policy.filesystem == Some(Filesystem::Unconfined) {
        (
            "cannot be kept while filesystem is \"unconfined\": a run that writes anywhere has other programs of yours connect for it".to_owned(),
            "write filesystem = \"workspace\" or \"read_all\", or network = \"allow\"",
            policy.section.entry("filesystem"),
            "\"workspace\"",
        )
    } else if network == Network::Deny && kind.is_preset() {
        (
            format!("leaves {:?} without its model", kind.as_str()),
            "write \"loopback\", which lets it reach the mesh's models on this machine, or \"allow\"",
            policy.section.entry("network"),
            "\"loopback\"",
        )
    } else {
        return;
    };
    report
        .error(
            code::CONFLICT,
            policy.section.place("network"),
            "policy.network",
            cause,
            fix,
        )
        .set(entry, value);
}

/// Keys that are right in themselves and do nothing here.
fn without_effect(file: &RuntimeFile<'_>, report: &mut Report<'_>) {
    let Some(kind) = file.runtime.kind else {
        return;
    };
    if let Some(at) = file.bearer_env.as_ref()
        && kind != RuntimeKind::Remote
    {
        report
            .warning(
                code::NO_EFFECT,
                Some(at.span.clone()),
                "auth.bearer_env",
                format!("has no effect when type is {:?}", kind.as_str()),
                "remove it; `inherit_env` under [runtime] hands a variable to the harness",
            )
            .remove(file.auth.entry("bearer_env"));
    }
    if file.runtime.config.is_some() && !kind.is_preset() && kind != RuntimeKind::Remote {
        report
            .warning(
                code::NO_EFFECT,
                file.runtime.section.place("config"),
                "runtime.config",
                format!("has no effect when type is {:?}", kind.as_str()),
                "remove it; the command runs with its owner's own configuration",
            )
            .remove(file.runtime.section.entry("config"));
    }
    if kind != RuntimeKind::Remote {
        unused_workspace_keys(&file.workspace, report);
    }
}

fn unused_workspace_keys(table: &WorkspaceTable<'_>, report: &mut Report<'_>) {
    // What belongs to a mode that is written and was not understood is not known either.
    if table.mode.is_none() && table.section.has("mode") {
        return;
    }
    for (key, word, mode) in [
        ("path", WorkspaceWord::Path, "path"),
        ("repo", WorkspaceWord::GitWorktree, "git_worktree"),
        ("base", WorkspaceWord::GitWorktree, "git_worktree"),
    ] {
        if table.section.has(key) && table.mode != Some(word) {
            report
                .warning(
                    code::NO_EFFECT,
                    table.section.place(key),
                    &table.section.key(key),
                    format!("has no effect unless mode is {mode:?}"),
                    format!("set `mode = {mode:?}`, or remove it"),
                )
                .remove(table.section.entry(key));
        }
    }
}
