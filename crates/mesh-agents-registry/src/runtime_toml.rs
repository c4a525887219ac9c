//! `runtime.toml` as written: every key of DESIGN §2.5, with its type, its range and its place.
//!
//! What keys need of each other, of the environment and of the disk is the next step's
//! (`validate`). Defaults are given there too, so that "not written" stays visible here: `None` is
//! "not written", or written wrongly and reported.

pub(crate) mod words;

use std::ops::RangeInclusive;

use mesh_agents_core::agent::{
    Approval, ConfigSource, Delivery, Filesystem, Keep, Network, OnInterrupt, QueueMode,
    RuntimeKind, SessionScope, Visibility,
};
use toml::de::DeTable;

use crate::report::Report;
use crate::toml_reader::{At, Choice, Section};

pub(crate) use self::words::WorkspaceWord;

/// One agent runs this many tasks at once at the most; each is a process tree.
pub(crate) const CONCURRENT: RangeInclusive<u32> = 1..=1024;
/// A queue longer than this is no longer waited for by anybody.
pub(crate) const PENDING: RangeInclusive<u32> = 0..=100_000;
/// More attempts than this hide a fault.
pub(crate) const ATTEMPTS: RangeInclusive<u32> = 1..=100;
/// Up to a year: deadlines stay far from what a monotonic clock can add.
pub(crate) const SECONDS: RangeInclusive<u32> = 1..=31_536_000;

/// The whole file.
pub(crate) struct RuntimeFile<'d> {
    pub(crate) enabled: Option<bool>,
    pub(crate) visibility: Option<Visibility>,
    pub(crate) runtime: RuntimeTable<'d>,
    pub(crate) workspace: WorkspaceTable<'d>,
    pub(crate) instructions_file: Option<At<String>>,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) tools_mesh: Option<bool>,
    pub(crate) require: Vec<At<String>>,
    pub(crate) bearer_env: Option<At<String>>,
    /// To ask what was written in `[auth]` and where.
    pub(crate) auth: Section<'d>,
    pub(crate) policy: PolicyTable<'d>,
    /// The full name of every key that decides something about a run, where it stands.
    pub(crate) written: Vec<At<String>>,
}

/// `[runtime]`, `[runtime.env]` and `[runtime.queue]`.
pub(crate) struct RuntimeTable<'d> {
    pub(crate) kind: Option<RuntimeKind>,
    pub(crate) command: Option<At<String>>,
    pub(crate) args: Option<Vec<At<String>>>,
    pub(crate) model: Option<At<String>>,
    pub(crate) config: Option<ConfigSource>,
    pub(crate) max_concurrent_tasks: Option<u32>,
    pub(crate) inherit_env: Vec<At<String>>,
    /// Names with their values, in the order written.
    pub(crate) env: Vec<(At<String>, At<String>)>,
    pub(crate) on_interrupt: Option<OnInterrupt>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) session: Option<SessionScope>,
    pub(crate) queue: Option<QueueMode>,
    pub(crate) max_pending_tasks: Option<u32>,
    /// To ask what was written in `[runtime.queue]` and where.
    pub(crate) queue_section: Section<'d>,
    /// To ask what was written and where.
    pub(crate) section: Section<'d>,
}

/// `[runtime.workspace]`. `repo` and `base` are for a mode that is not built yet.
pub(crate) struct WorkspaceTable<'d> {
    pub(crate) mode: Option<WorkspaceWord>,
    pub(crate) keep: Option<Keep>,
    pub(crate) path: Option<At<String>>,
    /// To ask what was written and where.
    pub(crate) section: Section<'d>,
}

/// `[policy]`.
pub(crate) struct PolicyTable<'d> {
    pub(crate) advertise_on_mesh: Option<bool>,
    pub(crate) public_mesh: Option<bool>,
    pub(crate) approval: Option<Approval>,
    pub(crate) filesystem: Option<Filesystem>,
    pub(crate) read: Vec<At<String>>,
    pub(crate) write: Vec<At<String>>,
    pub(crate) network: Option<Network>,
    pub(crate) max_task_seconds: Option<u32>,
    pub(crate) idle_seconds: Option<u32>,
    pub(crate) ask_seconds: Option<u32>,
    /// To ask what was written and where.
    pub(crate) section: Section<'d>,
}

/// Whether agents of this kind can be loaded by now.
pub(crate) fn is_built(kind: RuntimeKind) -> bool {
    words::KIND
        .iter()
        .any(|(_, choice)| matches!(choice, Choice::Built(built) if *built == kind))
}

/// Reads the file's tables, reporting every unknown key, wrong type, unknown or unbuilt value.
pub(crate) fn read<'d>(table: &'d DeTable<'d>, report: &mut Report<'_>) -> RuntimeFile<'d> {
    let root = Section::root(table);
    known_keys(root, report);
    let instructions = section(root, "instructions", "instructions", report);
    let tools = section(root, "tools", "tools", report);
    let tools_mesh = section(tools, "mesh", "tools.mesh", report);
    let result = section(root, "result", "result", report);
    let auth = section(root, "auth", "auth", report);
    let policy = section(root, "policy", "policy", report);
    let runtime = section(root, "runtime", "runtime", report);
    let workspace = section(runtime, "workspace", "runtime.workspace", report);
    let written = [runtime, instructions, tools, policy]
        .into_iter()
        .flat_map(|section| {
            let full = move |(key, span)| At {
                value: section.key(key),
                span,
            };
            section.keys().into_iter().map(full)
        })
        .collect();
    RuntimeFile {
        written,
        enabled: root.boolean("enabled", report),
        visibility: root.choice("visibility", words::VISIBILITY, report),
        runtime: runtime_table(runtime, report),
        workspace: workspace_table(workspace, report),
        instructions_file: instructions.filled("file", report),
        delivery: instructions.choice("delivery", words::DELIVERY, report),
        tools_mesh: tools_mesh.boolean("enabled", report),
        require: result.strings("require", report).unwrap_or_default(),
        bearer_env: auth.filled("bearer_env", report),
        auth,
        policy: policy_table(policy, report),
    }
}

fn runtime_table<'d>(runtime: Section<'d>, report: &mut Report<'_>) -> RuntimeTable<'d> {
    let queue = section(runtime, "queue", "runtime.queue", report);
    RuntimeTable {
        kind: runtime.choice("type", words::KIND, report),
        command: runtime.filled("command", report),
        args: runtime.strings("args", report),
        model: runtime.filled("model", report),
        config: runtime.choice("config", words::CONFIG, report),
        max_concurrent_tasks: runtime.number("max_concurrent_tasks", CONCURRENT, report),
        inherit_env: runtime.strings("inherit_env", report).unwrap_or_default(),
        env: env_values(runtime, report),
        on_interrupt: runtime.choice("on_interrupt", words::ON_INTERRUPT, report),
        max_attempts: runtime.number("max_attempts", ATTEMPTS, report),
        session: runtime.choice("session", words::SESSION, report),
        queue: queue.choice("mode", words::QUEUE, report),
        max_pending_tasks: queue.number("max_pending_tasks", PENDING, report),
        queue_section: queue,
        section: runtime,
    }
}

fn workspace_table<'d>(workspace: Section<'d>, report: &mut Report<'_>) -> WorkspaceTable<'d> {
    // Their types are checked; nothing reads them yet.
    workspace.filled("repo", report);
    workspace.filled("base", report);
    WorkspaceTable {
        mode: workspace.choice("mode", words::WORKSPACE, report),
        keep: workspace.choice("keep", words::KEEP, report),
        path: workspace.filled("path", report),
        section: workspace,
    }
}

fn policy_table<'d>(policy: Section<'d>, report: &mut Report<'_>) -> PolicyTable<'d> {
    PolicyTable {
        advertise_on_mesh: policy.boolean("advertise_on_mesh", report),
        public_mesh: policy.boolean("public_mesh", report),
        approval: policy.choice("approval", words::APPROVAL, report),
        filesystem: policy.choice("filesystem", words::FILESYSTEM, report),
        read: policy.strings("read", report).unwrap_or_default(),
        write: policy.strings("write", report).unwrap_or_default(),
        network: policy.choice("network", words::NETWORK, report),
        max_task_seconds: policy.number("max_task_seconds", SECONDS, report),
        idle_seconds: policy.number("idle_seconds", SECONDS, report),
        ask_seconds: policy.number("ask_seconds", SECONDS, report),
        section: policy,
    }
}

/// The table `name` in `parent`, its keys checked.
fn section<'d>(
    parent: Section<'d>,
    name: &str,
    path: &'static str,
    report: &mut Report<'_>,
) -> Section<'d> {
    let section = parent.section(name, path, report);
    known_keys(section, report);
    section
}

fn known_keys(section: Section<'_>, report: &mut Report<'_>) {
    let path = section.path();
    section.only(
        words::keys_of(path),
        |key| words::table_of(key, path),
        report,
    );
}

fn env_values(runtime: Section<'_>, report: &mut Report<'_>) -> Vec<(At<String>, At<String>)> {
    let env = runtime.section("env", "runtime.env", report);
    let mut values = Vec::new();
    for (name, span) in env.keys() {
        if let Some(value) = env.string(name, report) {
            let name = At {
                value: name.to_owned(),
                span,
            };
            values.push((name, value));
        }
    }
    values
}
