//! The binary `agents`: flags, wiring, start, stop, error report. No rule about agents or tasks
//! lives here; the verbs ask the crates that have them.

mod args;
mod client;
mod clock;
mod command;
mod context;
mod engine;
mod exclusive;
mod output;
mod plugin;
mod run;
mod settings;
mod system;
mod tokens;

use std::process::ExitCode;

use crate::args::{Cli, Harness, Verb};
use crate::output::{Exit, Output, Words};
use crate::settings::Environment;

/// Our version, as front-ends and engines tell each other.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os(), Words { in_host: false }) {
        Ok(cli) => cli,
        Err(error) => {
            let usage = error.use_stderr();
            // A closed terminal is no reason for another exit code.
            let _closed = error.print();
            return ExitCode::from(if usage {
                Exit::Usage as u8
            } else {
                Exit::Done as u8
            });
        }
    };
    // Parts of a run are small processes of their own: no runtime, no settings.
    if let Some(Verb::Harness { part }) = cli.verb {
        return match part {
            Harness::Guard => mesh_agents_acp_bridge::guard_main(),
            Harness::Exec => mesh_agents_acp_bridge::stage_main(),
            Harness::Probe => mesh_agents_acp_bridge::probe_main(),
            Harness::Command { command } => mesh_agents_acp_bridge::command_main(command),
        };
    }
    let mut output = Output::terminal(cli.common.json);
    // Neither does this: a build machine has no home to take settings from.
    if let Some(Verb::PluginManifest) = cli.verb {
        let exit = plugin::print_manifest(&mut output).unwrap_or_else(|error| output.error(&error));
        return ExitCode::from(exit as u8);
    }
    let exit = match start(cli, &mut output) {
        Ok(exit) => exit,
        Err(error) => output.error(&error),
    };
    ExitCode::from(exit as u8)
}

fn start(cli: Cli, output: &mut Output) -> anyhow::Result<Exit> {
    let environment = Environment::read();
    log_to_stderr(&environment, cli.verb.as_ref());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let exit = runtime.block_on(run::run(cli, environment, output));
    // A read of standard input cannot be called off; it must not hold the process.
    runtime.shutdown_background();
    exit
}

/// The engine's log is read after the fact and says more; verbs say what matters themselves.
fn log_to_stderr(environment: &Environment, verb: Option<&Verb>) {
    use tracing_subscriber::EnvFilter;
    let default = match verb {
        // rmcp tells of every connection, and over HTTP every call is one.
        Some(Verb::Engine { .. } | Verb::Serve(_)) => "info,rmcp=warn",
        _ => "warn",
    };
    let filter = environment.get("AGENTS_LOG").unwrap_or(default);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // The log lies on the disk that may be full. A line that is lost is no reason to complain on
        // the same stream, which would end the task that complains.
        .log_internal_errors(false)
        .init();
}
