//! `meshhost`: a real mesh-llm host, built from its published crates, for this repository's tests.
//!
//! It is the released `mesh-llm` program cut down to what our plugin can be tested against: a node on
//! loopback, the `mesh-llm <plugin> …` command line, the plugin manager and the skills installer. The
//! spelling of every mode is the released program's, so one set of arguments drives both; `node`, `cli`
//! and `install` are short names beside it. It never offers anything that needs a model or the internet.
#![recursion_limit = "512"]

mod node;
mod package;
mod plugin_cli;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Stack of a worker thread. The host's futures are deep when unoptimised: the 2 MiB default overflows.
const THREAD_STACK_BYTES: usize = 8 * 1024 * 1024;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "meshhost",
    version,
    about = "A real mesh-llm host for tests, on loopback"
)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    mode: Option<Mode>,
    #[command(flatten)]
    builtin: node::BuiltinArgs,
}

/// What this process is to be.
#[derive(Debug, Subcommand)]
enum Mode {
    /// A client-role node; it gets a new peer id at every start.
    #[command(alias = "client")]
    Node(node::NodeArgs),
    /// A serve-role node without a native runtime; it keeps its peer id in $HOME/.mesh-llm/key.
    Serve(node::NodeArgs),
    /// What `mesh-llm <plugin> <args…>` does: a second copy of the plugin answers `cli.run`.
    Cli {
        /// The plugin and its arguments, passed on as they are.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        plugin_and_args: Vec<String>,
    },
    /// Install a plugin from a local release archive.
    Install(package::InstallArgs),
    /// The released spelling of `install`.
    Plugins {
        #[command(subcommand)]
        command: package::PluginsCommand,
    },
    /// Install the skills of the installed plugins into the coding agents found under $HOME.
    Skills(package::SkillsArgs),
    /// Any other word is a plugin's name, as in the released program.
    #[command(external_subcommand)]
    Plugin(Vec<String>),
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(THREAD_STACK_BYTES)
        .build()
        .context("start the tokio runtime")?;
    let Some(mode) = args.mode else {
        return runtime.block_on(node::run_builtin(args.builtin));
    };
    match mode {
        Mode::Node(args) => runtime.block_on(node::run_client(args)),
        Mode::Serve(args) => runtime.block_on(node::run_serve(args)),
        Mode::Cli { plugin_and_args } | Mode::Plugin(plugin_and_args) => {
            runtime.block_on(plugin_cli::run(&plugin_and_args))
        }
        Mode::Install(args) => package::install(&args),
        Mode::Plugins {
            command: package::PluginsCommand::Install(args),
        } => package::install(&args),
        Mode::Skills(args) => package::install_skills(args),
    }
}

/// The released program prints the outermost error and exits 1, whatever the plugin's own exit code was.
#[expect(clippy::print_stderr, reason = "the one place that reports an error")]
fn report(error: &anyhow::Error) {
    eprintln!("Error: {error:#}");
}
