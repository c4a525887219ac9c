//! The command line (DESIGN §2.1). Help texts are the doc comments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::output::Words;

mod groups;

/// Agents for mesh-llm nodes: find them, give them work, read their artifacts.
#[derive(Debug, Parser)]
#[command(name = "agents", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

impl Cli {
    /// Reads a command line, whose first word is the program's name; `surface` is where it was typed.
    ///
    /// # Errors
    /// What clap says of a wrong one; help and version come this way too.
    pub(crate) fn read<I, T>(words: I, surface: Words) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString> + Clone,
    {
        let matches = Self::shown(surface).try_get_matches_from(words)?;
        Self::from_arg_matches(&matches)
    }

    /// Whether there is such a verb.
    pub(crate) fn has_verb(name: &str) -> bool {
        groups::has(name)
    }

    /// The command as its help shows it.
    pub(crate) fn shown(surface: Words) -> clap::Command {
        groups::in_groups(Self::command(), surface)
    }
}

/// Flags every verb takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Common {
    /// Where agent directories are [default: ~/.mesh-llm/agents] [env: MESH_AGENTS_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) agents_dir: Option<PathBuf>,
    /// Where tasks and artifacts are kept [default: ~/.mesh-llm] [env: MESH_AGENTS_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the agents of this machine
    ///
    /// Disabled and broken ones are listed too. Agents of other nodes: `agents peers list`.
    List,
    /// Create an agent that works, for you to edit
    Init(Init),
    /// Check agents, and say how to fix each mistake
    ///
    /// Reports every mistake at once, with its place, the reason and a fix. Warns about what is legal but
    /// probably not meant, and about what this machine lacks.
    ///
    /// Exit code 0: no errors (there may be warnings). 1: an agent cannot be used, or --strict was given and
    /// there is a warning. 2: wrong usage. --json is for editors; its shape is in
    /// crates/mesh-agents-registry/AUTHORING.md.
    Validate(Validate),
    /// Print the JSON Schema of an agent's file, for editors
    ///
    /// `agents init` writes both schemas beside the agents, in .schemas, and each runtime.toml names its own.
    /// A card cannot name its schema, because it is served and signed exactly as it is: tell your editor that
    /// agent-card.json has the schema .schemas/agent-card.json.
    Schema {
        /// The file whose schema to print
        #[arg(value_enum, value_name = "FILE")]
        of: SchemaArg,
    },
    /// Show one agent: card, runtime, problems
    Show {
        /// Agent id, from `agents list`
        agent: String,
    },
    /// Let an agent take work again
    Enable {
        /// Agent id, from `agents list`
        agent: String,
    },
    /// Stop an agent from taking new work; running tasks go on
    Disable {
        /// Agent id, from `agents list`
        agent: String,
    },
    /// Give an agent work and wait for the result
    ///
    /// Prints the answer on standard output and the state on standard error. Exit code 0: completed. 1: failed,
    /// rejected or canceled, or the task asks something; the command that answers it is printed. Ctrl-C stops
    /// the waiting, not the task.
    Send(Send),
    /// List tasks, newest change first
    #[command(args_conflicts_with_subcommands = true)]
    Tasks {
        #[command(subcommand)]
        action: Option<TasksAction>,
        /// Only tasks of this agent
        #[arg(long, value_name = "AGENT")]
        agent: Option<String>,
        /// Only tasks in this state: submitted, working, input_required, auth_required, completed, failed,
        /// canceled, rejected
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Only tasks of this conversation (a context_id)
        #[arg(long, value_name = "ID")]
        context: Option<String>,
        /// How many to list, 1 to 100
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// Go on after a page: the cursor it ended with
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
    },
    /// Show one task: state, answer, question, artifacts
    Task {
        /// Task id, from `agents send` or `agents tasks`
        task: String,
        /// Wait until it ends or asks something, at most this long; the exit code is then that of `agents
        /// send`, and 1 when the time is up
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "86400")]
        wait: Option<u64>,
    },
    /// End a task and every process it started
    Cancel {
        /// Task id, from `agents send` or `agents tasks`
        task: String,
    },
    /// List what a task left, or print one artifact
    Artifacts {
        /// Task id, from `agents send` or `agents tasks`
        task: String,
        /// Artifact to print, such as summary.md; without it they are listed
        artifact: Option<String>,
        /// Write the artifact to this file instead of printing it
        #[arg(long, short, value_name = "FILE", requires = "artifact")]
        output: Option<PathBuf>,
    },
    /// Show what happened in a task
    Logs {
        /// Task id, from `agents send` or `agents tasks`
        task: String,
        /// Keep printing until the task ends
        #[arg(long, short)]
        follow: bool,
    },
    /// Copy all tasks and artifacts while they are in use
    Backup {
        /// A directory, which must not exist yet; or a file ending in .sqlite, for the tasks without their
        /// artifacts
        path: PathBuf,
    },
    /// See other nodes, and say which may call your agents
    ///
    /// Without a command of its own, `agents peers` is `agents peers list`.
    Peers {
        #[command(subcommand)]
        action: Option<PeersAction>,
    },
    /// Show or replace this node's key
    ///
    /// Without a command of its own, `agents identity` is `agents identity show`.
    Identity {
        #[command(subcommand)]
        action: Option<IdentityAction>,
    },
    /// Say whether the engine runs, and what it does
    Status,
    /// Stop the engine once its running tasks have ended
    ///
    /// The engine is the background process that holds the tasks. The next command that needs it starts it
    /// again.
    Stop {
        /// End running tasks instead of waiting for them
        #[arg(long)]
        now: bool,
    },
    /// Show every setting, its value, and where that comes from
    Settings,
    /// Check this machine, its agents and everything stored
    Doctor,
    /// Watch an agent do real work, without host, model or network
    Demo,
    /// Run a node in the foreground: MCP at /mcp, A2A at /a2a
    Serve(Serve),
    /// Serve the tools over MCP on standard input and output
    ///
    /// For MCP clients that start their servers: register the command `agents mcp`.
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
    /// Id of the new agent, which is also the name of its directory
    #[arg(required_unless_present = "list_templates")]
    pub(crate) agent: Option<String>,
    /// Template to start from [default: the one named like the agent, if any]
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub(crate) template: Option<String>,
    /// List the templates
    #[arg(long)]
    pub(crate) list_templates: bool,
    /// What runs the agent [default: the template's, else opencode]
    #[arg(long, value_enum)]
    pub(crate) runtime: Option<AgentRuntimeArg>,
    /// A2A address of a remote agent
    #[arg(long, value_name = "URL", required_if_eq("runtime", "remote"))]
    pub(crate) url: Option<String>,
}

/// `agents validate`.
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Agents to check [default: all]
    pub(crate) agents: Vec<String>,
    /// Check the files only, not what this machine has
    #[arg(long)]
    pub(crate) files_only: bool,
    /// Fail on warnings too
    #[arg(long)]
    pub(crate) strict: bool,
}

/// `agents tasks …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TasksAction {
    /// Remove ended tasks now, with their artifacts and logs
    ///
    /// The engine does this by itself every hour. A limit you do not give here is the one of the settings:
    /// retention_days, retention_tasks, retention_bytes.
    Prune {
        /// Remove those that last changed this long ago: 90s, 30m, 12h, 7d, 4w
        #[arg(long, value_name = "AGE", value_parser = crate::command::care::age)]
        older_than: Option<Duration>,
        /// Keep only the newest N
        #[arg(long, value_name = "N")]
        keep: Option<u64>,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

/// `agents peers …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PeersAction {
    /// List other nodes, their agents, who may call yours and who was refused
    List,
    /// Show all that is known about one node
    ///
    /// Its agents, what it may do here, and what it asked for and was refused.
    Show {
        /// Its key, the start of its key, or its label
        #[arg(value_name = "NODE")]
        peer: String,
    },
    /// Choose the node to use when several have an agent of the same id
    Prefer {
        /// Agent id, without a node
        agent: String,
        /// The node: its key, the start of its key, or its label
        #[arg(value_name = "NODE", required_unless_present = "clear")]
        peer: Option<String>,
        /// Take the choice back: with several nodes you name one each time
        #[arg(long, conflicts_with = "peer")]
        clear: bool,
    },
    /// Let a node call agents of this node
    ///
    /// Written to acl.toml; counts within a second. An agent must also be advertised: advertise_on_mesh = true
    /// in its runtime.toml.
    Allow {
        /// Its key, as `agents identity show` prints it there, or the label you gave it
        #[arg(value_name = "NODE")]
        key: String,
        /// Agent ids, "agent/skill", or "*" for all that are advertised
        #[arg(required = true)]
        agents: Vec<String>,
        /// Your name for the node, to use instead of its key
        #[arg(long, value_name = "NAME")]
        label: Option<String>,
        /// Let it also grant the permissions that its tasks ask for, or not
        #[arg(long, value_name = "BOOL")]
        approve: Option<bool>,
    },
    /// Stop a node from calling agents of this node
    ///
    /// Counts within a second, for calls that are running too.
    Deny {
        /// Its key or label
        #[arg(value_name = "NODE")]
        key: String,
        /// Agent ids or "agent/skill" [default: all]
        agents: Vec<String>,
    },
    /// Remove what is written and known about a node
    ///
    /// It may call nothing then. If it is still on the mesh, it comes back as a new node.
    Forget {
        /// Its key or label
        #[arg(value_name = "NODE")]
        key: String,
    },
}

/// `agents identity …`.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityAction {
    /// Print this node's key, for others to allow
    Show,
    /// Give this node a new key; the old one is kept in a file
    ///
    /// To other nodes it is a new node then, which nobody has allowed yet. The engine stops; the next one uses
    /// the new key.
    Rotate {
        /// Rotate even while tasks run or wait: running ones are waited for, waiting ones lose their nodes
        #[arg(long)]
        force: bool,
    },
}

/// `agents send`.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Agent id, from `agents list`; one of another node may be written agent@z6Mk…
    pub(crate) agent: String,
    /// What to do, or the answer to a task's question; `-` reads it from standard input
    #[arg(required_unless_present = "option")]
    pub(crate) message: Option<String>,
    /// Print the task id and return at once
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Continue this conversation (a context_id)
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
    /// If the agent's node is away, keep the message for it, up to 72 hours
    #[arg(long, conflicts_with = "task")]
    pub(crate) queue_if_offline: bool,
    /// The node whose agent to use (key or label), when several have this id
    #[arg(long, value_name = "NODE")]
    pub(crate) peer: Option<String>,
    /// The skill to use; some owners allow single skills only
    #[arg(long, value_name = "ID")]
    pub(crate) skill: Option<String>,
    /// Your own key for this message: sent again under the same key it is the same task
    #[arg(long, value_name = "KEY")]
    pub(crate) message_id: Option<String>,
}

/// `agents serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:3131]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// File with the token callers must show; required beyond 127.0.0.1
    #[arg(long, value_name = "FILE")]
    pub(crate) access_token_file: Option<PathBuf>,
    /// The address clients use, when it is not the one listened on
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
