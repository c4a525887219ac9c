//! The words `runtime.toml` may hold: its tables with their keys, and the values keys choose from.

use mesh_agents_core::agent::{
    Approval, ConfigSource, Delivery, Filesystem, Keep, Network, OnInterrupt, QueueMode,
    RuntimeKind, SessionScope, Visibility,
};

use crate::toml_reader::Choice::{self, Built, NotYet};

/// The choices of one key.
pub(crate) type Choices<T> = &'static [(&'static str, Choice<T>)];

/// `runtime.workspace.mode` as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkspaceWord {
    TempPerTask,
    Path,
    AgentDir,
    GitWorktree,
    None,
}

/// Every table with the keys it may hold; `runtime.env` takes any name.
const TABLES: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "enabled",
            "visibility",
            "runtime",
            "instructions",
            "tools",
            "result",
            "auth",
            "policy",
        ],
    ),
    (
        "runtime",
        &[
            "type",
            "command",
            "args",
            "model",
            "config",
            "max_concurrent_tasks",
            "inherit_env",
            "on_interrupt",
            "max_attempts",
            "session",
            "env",
            "queue",
            "workspace",
        ],
    ),
    ("runtime.queue", &["mode", "max_pending_tasks"]),
    (
        "runtime.workspace",
        &["mode", "keep", "path", "repo", "base"],
    ),
    ("instructions", &["file", "delivery"]),
    ("tools", &["mesh"]),
    ("tools.mesh", &["enabled"]),
    ("result", &["require"]),
    ("auth", &["bearer_env"]),
    (
        "policy",
        &[
            "advertise_on_mesh",
            "public_mesh",
            "approval",
            "filesystem",
            "read",
            "write",
            "network",
            "max_task_seconds",
            "idle_seconds",
            "ask_seconds",
        ],
    ),
];

/// The paths of all tables.
pub(crate) fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(path, _)| *path)
}

/// The keys of the table `path`.
pub(crate) fn keys_of(path: &str) -> &'static [&'static str] {
    TABLES
        .iter()
        .find(|(table, _)| *table == path)
        .map_or(&[], |(_, keys)| keys)
}

/// The one other table a key found in `not` belongs to; `None` when there is none or several.
pub(super) fn table_of(key: &str, not: &str) -> Option<&'static str> {
    let mut tables = TABLES
        .iter()
        .filter(|(path, keys)| *path != not && keys.contains(&key))
        .map(|(path, _)| *path);
    let table = tables.next()?;
    tables.next().is_none().then_some(table)
}

pub(crate) const VISIBILITY: Choices<Visibility> = &[
    ("private", Built(Visibility::Private)),
    ("public", Built(Visibility::Public)),
];
pub(crate) const KIND: Choices<RuntimeKind> = &[
    ("opencode", Built(RuntimeKind::Opencode)),
    ("goose", Built(RuntimeKind::Goose)),
    ("pi", Built(RuntimeKind::Pi)),
    ("acp", Built(RuntimeKind::Acp)),
    ("command", Built(RuntimeKind::Command)),
    ("remote", Built(RuntimeKind::Remote)),
    ("claude", NotYet(RuntimeKind::Claude)),
    ("codex", NotYet(RuntimeKind::Codex)),
    ("gemini", NotYet(RuntimeKind::Gemini)),
];
pub(crate) const CONFIG: Choices<ConfigSource> = &[
    ("mesh", Built(ConfigSource::Mesh)),
    ("user", Built(ConfigSource::User)),
];
pub(crate) const ON_INTERRUPT: Choices<OnInterrupt> = &[
    ("fail", Built(OnInterrupt::Fail)),
    ("retry", Built(OnInterrupt::Retry)),
];
pub(crate) const SESSION: Choices<SessionScope> = &[
    ("per_task", Built(SessionScope::PerTask)),
    ("per_context", Built(SessionScope::PerContext)),
];
pub(crate) const QUEUE: Choices<QueueMode> = &[
    ("queue", Built(QueueMode::Queue)),
    ("reject", Built(QueueMode::Reject)),
];
pub(crate) const WORKSPACE: Choices<WorkspaceWord> = &[
    ("temp_per_task", Built(WorkspaceWord::TempPerTask)),
    ("path", Built(WorkspaceWord::Path)),
    ("agent_dir", Built(WorkspaceWord::AgentDir)),
    ("none", Built(WorkspaceWord::None)),
    ("git_worktree", NotYet(WorkspaceWord::GitWorktree)),
];
pub(crate) const KEEP: Choices<Keep> = &[
    ("never", Built(Keep::Never)),
    ("on_failure", Built(Keep::OnFailure)),
    ("always", Built(Keep::Always)),
];
pub(crate) const DELIVERY: Choices<Delivery> = &[
    ("first_prompt", Built(Delivery::FirstPrompt)),
    ("every_prompt", Built(Delivery::EveryPrompt)),
    ("none", Built(Delivery::None)),
];
pub(crate) const APPROVAL: Choices<Approval> = &[
    ("deny", Built(Approval::Deny)),
    ("ask", Built(Approval::Ask)),
    ("auto_edit", Built(Approval::AutoEdit)),
    ("auto", Built(Approval::Auto)),
];
pub(crate) const FILESYSTEM: Choices<Filesystem> = &[
    ("workspace", Built(Filesystem::Workspace)),
    ("read_all", Built(Filesystem::ReadAll)),
    ("unconfined", Built(Filesystem::Unconfined)),
];
pub(crate) const NETWORK: Choices<Network> = &[
    ("allow", Built(Network::Allow)),
    ("loopback", Built(Network::Loopback)),
    ("deny", Built(Network::Deny)),
];
