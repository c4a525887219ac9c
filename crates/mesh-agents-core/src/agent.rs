//! What an agent is: its public card and its private runtime (DESIGN §2.5).
//!
//! These are the *checked* forms. The registry makes them from files; nobody else parses a key.

pub mod elsewhere;

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

use crate::ids::{AgentId, ArtifactId};
use crate::json::JsonText;

/// One agent as it may be run. Immutable: a task keeps the definition it was started with.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentDefinition {
    /// The name of its directory.
    pub id: AgentId,
    /// Absolute path of its directory.
    pub dir: PathBuf,
    /// SHA-256 over the three files, hex; changes when any of them changes.
    pub digest: String,
    /// Whether tools list it and new work is taken.
    pub enabled: bool,
    /// Who may know of it once it is published.
    pub visibility: Visibility,
    /// The public contract.
    pub card: AgentCard,
    /// What runs, and how often at once.
    pub runtime: RuntimeConfig,
    /// Where it runs.
    pub workspace: WorkspaceConfig,
    /// The brief.
    pub instructions: Instructions,
    /// Whether the harness gets our tools (`[tools.mesh] enabled`).
    pub tools_mesh: bool,
    /// Artifacts without which a run has not succeeded (`[result] require`).
    pub require: Vec<ArtifactId>,
    /// Environment variable with the bearer token for a remote agent (`[auth] bearer_env`).
    pub bearer_env: Option<String>,
    /// What it may do.
    pub policy: AgentPolicy,
}

/// The parts of an A2A Agent Card the program itself reads, and the whole card as written.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentCard {
    /// Human name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The agent's own version.
    pub version: String,
    /// What it can do.
    pub skills: Vec<Skill>,
    /// Media types it reads by default.
    pub input_modes: Vec<String>,
    /// Media types it writes by default.
    pub output_modes: Vec<String>,
    /// The file as written, A2A v1 native JSON.
    pub json: JsonText,
}

/// One skill of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    /// Stable id.
    pub id: String,
    /// Human name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
}

/// Which harness runs an agent (`runtime.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuntimeKind {
    /// OpenCode, preset.
    Opencode,
    /// Goose, preset.
    Goose,
    /// Pi through pi-acp, preset.
    Pi,
    /// Claude through claude-agent-acp, preset.
    Claude,
    /// Codex through codex-acp, preset.
    Codex,
    /// Gemini CLI, preset.
    Gemini,
    /// Any ACP command.
    Acp,
    /// A fixed command without a model, run by our own small harness.
    Command,
    /// An external A2A endpoint.
    Remote,
}

impl RuntimeKind {
    /// All kinds, in the order they are offered.
    pub const ALL: [Self; 9] = [
        Self::Opencode,
        Self::Goose,
        Self::Pi,
        Self::Claude,
        Self::Codex,
        Self::Gemini,
        Self::Acp,
        Self::Command,
        Self::Remote,
    ];

    /// The value of `runtime.type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opencode => "opencode",
            Self::Goose => "goose",
            Self::Pi => "pi",
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Acp => "acp",
            Self::Command => "command",
            Self::Remote => "remote",
        }
    }

    /// Whether we know the harness by name and bring its command and configuration.
    #[must_use]
    pub fn is_preset(self) -> bool {
        !matches!(self, Self::Acp | Self::Command | Self::Remote)
    }
}

impl fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `[runtime]` with `[runtime.env]` and `[runtime.queue]`. Texts may hold templates, expanded at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// `type`.
    pub kind: RuntimeKind,
    /// `command`; overrides a preset's, required for `acp` and `command`. Template.
    pub command: Option<String>,
    /// `args`; overrides a preset's when written. Templates.
    pub args: Option<Vec<String>>,
    /// `model`.
    pub model: String,
    /// `config`.
    pub config: ConfigSource,
    /// `max_concurrent_tasks`.
    pub max_concurrent_tasks: NonZeroU32,
    /// `inherit_env`: names passed through from our environment when set.
    pub inherit_env: Vec<String>,
    /// `[runtime.env]` in the order written. Values are templates.
    pub env: Vec<(String, String)>,
    /// `on_interrupt`.
    pub on_interrupt: OnInterrupt,
    /// `max_attempts`.
    pub max_attempts: NonZeroU32,
    /// `session`.
    pub session: SessionScope,
    /// `[runtime.queue] mode`.
    pub queue: QueueMode,
    /// `[runtime.queue] max_pending_tasks`.
    pub max_pending_tasks: u32,
}

/// Whose configuration a preset's harness runs with (`runtime.config`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// The model served at the mesh, private HOME.
    Mesh,
    /// The harness's own configuration and login.
    User,
}

/// What happens to a task whose run was interrupted and cannot be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInterrupt {
    /// It fails with the cause.
    Fail,
    /// It is started again, up to `max_attempts`.
    Retry,
}

/// How long a harness session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionScope {
    /// One session a task.
    PerTask,
    /// One session a context.
    PerContext,
}

/// What happens to work beyond `max_concurrent_tasks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueMode {
    /// It waits, up to `max_pending_tasks`.
    Queue,
    /// It is refused.
    Reject,
}

/// `[runtime.workspace]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceConfig {
    /// `mode`, with what it needs.
    pub mode: WorkspaceMode,
    /// `keep`.
    pub keep: Keep,
}

/// Where a run works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceMode {
    /// A fresh directory below the system's temporary directory.
    TempPerTask,
    /// A directory of the owner's; a template, must exist when the task starts.
    Path(String),
    /// The agent's own directory.
    AgentDir,
    /// No directory is prepared; the run works in its artifacts directory.
    None,
}

/// When a temporary workspace outlives its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Never.
    Never,
    /// When the run did not complete.
    OnFailure,
    /// Always.
    Always,
}

/// `[instructions]`, read when the agent is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instructions {
    /// Absolute path of the file.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
    /// How it reaches the harness.
    pub delivery: Delivery,
}

/// How instructions reach a harness. This key alone decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Before the first prompt of a session.
    FirstPrompt,
    /// Before every prompt.
    EveryPrompt,
    /// Not at all; the owner's command or configuration does it.
    None,
}

/// Who may know of an agent once it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Peers of a private mesh that were allowed.
    Private,
    /// Everybody.
    Public,
}

/// `[policy]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPolicy {
    /// `advertise_on_mesh`: whether other nodes of a mesh learn of it.
    pub advertise_on_mesh: bool,
    /// `public_mesh`: whether they do on a public mesh too.
    pub public_mesh: bool,
    /// `approval`: the answer to what a harness asks beyond its grant.
    pub approval: Approval,
    /// `filesystem`.
    pub filesystem: Filesystem,
    /// Whether the owner wrote `filesystem`: then a run that cannot be confined so is refused, else it says so.
    pub filesystem_explicit: bool,
    /// Whether the owner wrote `network`.
    pub network_explicit: bool,
    /// `read`: more absolute paths the run may read.
    pub read: Vec<PathBuf>,
    /// `write`: more absolute paths the run may write.
    pub write: Vec<PathBuf>,
    /// `network`. Anything but [`Network::Allow`] was written by the owner: it is enforced, or the run is refused.
    pub network: Network,
    /// `max_task_seconds`: the longest a run may take, questions included.
    pub max_task_seconds: u64,
    /// `idle_seconds`: the longest a run may be silent.
    pub idle_seconds: u64,
    /// `ask_seconds`: the longest a question stays open.
    pub ask_seconds: u64,
}

/// The answer to a permission a harness asks for beyond its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// No.
    Deny,
    /// The owner is asked each time.
    Ask,
    /// Yes to changes of files it may write, no to everything else.
    AutoEdit,
    /// Yes, once each time.
    Auto,
}

/// What a run's processes can reach of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    /// System directories, its own; nothing of the owner's.
    Workspace,
    /// Reads anything, writes its own.
    ReadAll,
    /// No confinement.
    Unconfined,
}

impl Filesystem {
    /// The value of `policy.filesystem`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::ReadAll => "read_all",
            Self::Unconfined => "unconfined",
        }
    }
}

/// What a run's processes can reach of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Whatever the machine can.
    #[default]
    Allow,
    /// The addresses on this machine's loopback that the run needs; a loopback of its own.
    Loopback,
    /// Nothing.
    Deny,
}

impl Network {
    /// The value of `policy.network`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Loopback => "loopback",
            Self::Deny => "deny",
        }
    }
}

/// A definition for tests of this and other crates, with the defaults of DESIGN §2.5.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use super::*;

    /// An enabled agent `id` of type `acp` with every default.
    ///
    /// # Panics
    /// When `id` is not an agent id.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "only tests call this, with ids they wrote themselves"
    )]
    pub fn definition(id: &str) -> AgentDefinition {
        let json = JsonText::parse("{}").expect("an empty object is JSON");
        AgentDefinition {
            id: id.parse().expect("a test's agent id"),
            dir: PathBuf::from("/agents").join(id),
            digest: "0".repeat(64),
            enabled: true,
            visibility: Visibility::Private,
            card: AgentCard {
                name: id.to_owned(),
                description: "An agent for tests".to_owned(),
                version: "0.1.0".to_owned(),
                skills: Vec::new(),
                input_modes: vec!["text/plain".to_owned()],
                output_modes: vec!["text/markdown".to_owned()],
                json,
            },
            runtime: RuntimeConfig {
                kind: RuntimeKind::Acp,
                command: Some("scripted-acp-agent".to_owned()),
                args: None,
                model: "auto".to_owned(),
                config: ConfigSource::Mesh,
                max_concurrent_tasks: NonZeroU32::MIN,
                inherit_env: Vec::new(),
                env: Vec::new(),
                on_interrupt: OnInterrupt::Fail,
                max_attempts: NonZeroU32::MIN.saturating_add(1),
                session: SessionScope::PerTask,
                queue: QueueMode::Queue,
                max_pending_tasks: 16,
            },
            workspace: WorkspaceConfig {
                mode: WorkspaceMode::TempPerTask,
                keep: Keep::OnFailure,
            },
            instructions: Instructions {
                file: PathBuf::from("/agents").join(id).join("instructions.md"),
                text: String::new(),
                delivery: Delivery::FirstPrompt,
            },
            tools_mesh: true,
            require: Vec::new(),
            bearer_env: None,
            policy: AgentPolicy {
                advertise_on_mesh: false,
                public_mesh: false,
                approval: Approval::Deny,
                filesystem: Filesystem::ReadAll,
                filesystem_explicit: false,
                read: Vec::new(),
                write: Vec::new(),
                network: Network::Allow,
                network_explicit: false,
                max_task_seconds: 3600,
                idle_seconds: 600,
                ask_seconds: 900,
            },
        }
    }
}
