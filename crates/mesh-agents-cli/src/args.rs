//! The command line (DESIGN §2.1). Help texts are the doc comments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Agents for mesh-llm nodes: find them, give them work, read their artifacts.
#[derive(Debug, Parser)]
#[command(name = "agents", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// Flags every verb takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Where agent directories lie [default: ~/.mesh-llm/agents] [env: MESH_AGENTS_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) agents_dir: Option<PathBuf>,
    /// Where tasks and artifacts are kept [default: ~/.mesh-llm] [env: MESH_AGENTS_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the agents of this machine, disabled and broken ones too
    List,
    /// Create an agent directory that works, to be edited
    Init(Init),
    /// Check agent directories; all of them when none is named
    ///
    /// Tells every mistake at once with its place, the reason and the fix; warns of what is legal and
    /// probably not meant, and of what this machine lacks. Exit code 0: nothing is wrong, whatever the
    /// warnings; 1: an agent cannot be used, or with --strict there is a warning; 2: called wrongly.
    /// --json is for editors; crates/mesh-agents-registry/AUTHORING.md has its shape.
    Validate(Validate),
    /// Print the JSON Schema of a file, for editors
    ///
    /// `init` writes both beside the agents, in .schemas, and has runtime.toml name its own. Cards do not
    /// name theirs, since a card is served and signed as it is: tell your editor that agent-card.json has
    /// the schema .schemas/agent-card.json.
    Schema {
        /// Whose
        #[arg(value_enum)]
        of: SchemaArg,
    },
    /// Show one agent: card, runtime, problems
    Show {
        /// The agent
        agent: String,
    },
    /// Let an agent take work
    Enable {
        /// The agent
        agent: String,
    },
    /// Stop an agent from taking new work; what runs goes on
    Disable {
        /// The agent
        agent: String,
    },
    /// Send a message to an agent; waits for the result unless told otherwise
    Send(Send),
    /// List tasks, newest change first
    #[command(args_conflicts_with_subcommands = true)]
    Tasks {
        #[command(subcommand)]
        action: Option<TasksAction>,
        /// Only this agent's
        #[arg(long)]
        agent: Option<String>,
        /// Only those in this state
        #[arg(long)]
        state: Option<String>,
        /// Only those of this conversation
        #[arg(long)]
        context: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one task
    Task {
        /// The task
        task: String,
        /// Wait until it ends or asks something, at most this many seconds
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "86400")]
        wait: Option<u64>,
    },
    /// End a task, with everything it started
    Cancel {
        /// The task
        task: String,
    },
    /// List a task's artifacts, or print one
    Artifacts {
        /// The task
        task: String,
        /// The artifact to print
        artifact: Option<String>,
        /// Write it here instead of printing it
        #[arg(long, short, value_name = "FILE", requires = "artifact")]
        output: Option<PathBuf>,
    },
    /// Show what happened in a task
    Logs {
        /// The task
        task: String,
        /// Go on until the task ends
        #[arg(long, short)]
        follow: bool,
    },
    /// Copy all tasks and artifacts, while they are in use, to a place where nothing is yet
    Backup {
        /// A directory to be made; or a file ending in .sqlite, for the tasks without their artifacts
        path: PathBuf,
    },
    /// Other nodes on the mesh
    Peers {
        #[command(subcommand)]
        action: PeersAction,
    },
    /// This node's key
    Identity {
        #[command(subcommand)]
        action: IdentityAction,
    },
    /// Say whether an engine runs, and what it does
    Status,
    /// Stop the engine when its running tasks have ended
    Stop {
        /// End running tasks instead of waiting for them
        #[arg(long)]
        now: bool,
    },
    /// Show every setting, its value, and where that comes from
    Settings,
    /// Check this machine: harnesses, confinement, mesh, data directory
    Doctor,
    /// Watch an agent do real work, without host, model or network
    Demo,
    /// Run a node in the foreground: MCP at /mcp, agent cards at /a2a
    Serve(Serve),
    /// Serve the tools over MCP on standard input and output
    Mcp,
    /// The engine daemon, started on demand by the others
    #[command(hide = true)]
    Engine {
        /// Where to listen; the next free port when taken
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
    },
    /// Print the `plugin-manifest.json` of a release archive, for scripts/package.sh
    #[command(hide = true)]
    PluginManifest,
    /// Parts of a run, started by the engine
    #[command(hide = true)]
    Harness {
        #[command(subcommand)]
        part: Harness,
    },
}

/// `agents init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Its id, which is the name of its directory
    #[arg(required_unless_present = "list_templates")]
    pub(crate) agent: Option<String>,
    /// What it is to begin with; an id that is the name of a template takes that one
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub(crate) template: Option<String>,
    /// List the templates there are
    #[arg(long)]
    pub(crate) list_templates: bool,
    /// What runs it [default: what the template says, else opencode]
    #[arg(long, value_enum)]
    pub(crate) runtime: Option<AgentRuntimeArg>,
    /// Where a remote agent is called
    #[arg(long, value_name = "URL", required_if_eq("runtime", "remote"))]
    pub(crate) url: Option<String>,
}

/// `agents validate`.
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Agents to check
    pub(crate) agents: Vec<String>,
    /// Look at the files alone, not at what this machine has
    #[arg(long)]
    pub(crate) files_only: bool,
    /// Fail on warnings too
    #[arg(long)]
    pub(crate) strict: bool,
}

/// `agents tasks …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TasksAction {
    /// Remove ended tasks now, with their artifacts and logs; the engine does so by itself every hour
    ///
    /// What is not given is as the settings have it: retention_days, retention_tasks, retention_bytes.
    Prune {
        /// Those that last changed so long ago: 90s, 30m, 12h, 7d, 4w
        #[arg(long, value_name = "AGE", value_parser = crate::command::care::age)]
        older_than: Option<Duration>,
        /// All but the newest so many
        #[arg(long, value_name = "N")]
        keep: Option<u64>,
        /// Say only what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

/// `agents peers …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PeersAction {
    /// List the hosts on the mesh, the nodes behind them, and who asked in vain
    List,
    /// Show all that is known of one node: its agents, what it may here, what it asked for in vain
    Show {
        /// Its key, the start of it, or its label
        peer: String,
    },
    /// Choose the node whose agent a plain agent id means, when several have one
    Prefer {
        /// The agent
        agent: String,
        /// The node, by its key, the start of it, or its label
        #[arg(required_unless_present = "clear")]
        peer: Option<String>,
        /// Choose none: the id means the only node that has one, or has to be told apart again
        #[arg(long, conflicts_with = "peer")]
        clear: bool,
    },
    /// Let a node call agents of this one
    Allow {
        /// Its key, as `agents identity show` prints it there, or its label here
        key: String,
        /// Agents, "agent/skill", or "*" for all that are advertised
        #[arg(required = true)]
        agents: Vec<String>,
        /// A name for it
        #[arg(long)]
        label: Option<String>,
        /// Whether it may also answer what its tasks ask permission for
        #[arg(long)]
        approve: Option<bool>,
    },
    /// Keep a node from calling agents of this one; its running streams end
    Deny {
        /// Its key or label
        key: String,
        /// Agents or "agent/skill"; all when none is named
        agents: Vec<String>,
    },
    /// Remove all that is written and known of a node; one that is there is met again as a new one
    Forget {
        /// Its key or label
        key: String,
    },
}

/// `agents identity …`.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityAction {
    /// Print this node's key, by which others let it in
    Show,
    /// Give this node a new key; the old one is kept aside
    ///
    /// Other nodes see a new node, which nobody has let in. The engine leaves, and the next one has the new
    /// key.
    Rotate {
        /// Even while tasks run or wait: those that run are waited for, the others are cut off from their
        /// nodes
        #[arg(long)]
        force: bool,
    },
}

/// `agents send`.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The agent
    pub(crate) agent: String,
    /// What to do, or the answer to a task's question; `-` reads it from standard input
    #[arg(required_unless_present = "option")]
    pub(crate) message: Option<String>,
    /// Return at once instead of waiting for the end
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Go on in this conversation
    #[arg(long, value_name = "ID")]
    pub(crate) context: Option<String>,
    /// Answer the question of this task
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,
    /// Answer with this option of the question
    #[arg(long, value_name = "ID", requires = "task", allow_hyphen_values = true)]
    pub(crate) option: Option<String>,
    /// Answer this question, when the task asks several
    #[arg(long, value_name = "ID", requires = "task")]
    pub(crate) question: Option<String>,
    /// Have it wait, up to 72 hours, when the agent's node is away
    #[arg(long, conflicts_with = "task")]
    pub(crate) queue_if_offline: bool,
    /// The node whose agent it is, by key or label, when several have one of that id
    #[arg(long, value_name = "NODE")]
    pub(crate) peer: Option<String>,
    /// Key of this message: sending it again under the same key is the same task
    #[arg(long, value_name = "KEY")]
    pub(crate) message_id: Option<String>,
}

/// `agents serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:3131]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// File with the token that callers must show; needed to listen beyond this machine
    #[arg(long, value_name = "FILE")]
    pub(crate) access_token_file: Option<PathBuf>,
    /// The address clients reach this node by, when it is not the one it listens on
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
}

/// Parts of a run.
#[derive(Debug, Subcommand)]
pub(crate) enum Harness {
    /// Watches over one harness and ends its whole tree when the engine goes
    Guard,
    /// Confines itself, then becomes the harness
    Exec,
    /// Tries whether a run can have a network of its own here
    Probe,
    /// Runs a fixed command as an ACP agent
    Command {
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
}

/// A file of an agent.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub(crate) enum SchemaArg {
    /// agent-card.json
    Card,
    /// runtime.toml
    Runtime,
}

/// What runs a new agent.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub(crate) enum AgentRuntimeArg {
    /// OpenCode
    Opencode,
    /// Goose
    Goose,
    /// Pi
    Pi,
    /// Any ACP command
    Acp,
    /// A fixed command without a model
    Command,
    /// An agent elsewhere, called over A2A; needs --url
    Remote,
}
