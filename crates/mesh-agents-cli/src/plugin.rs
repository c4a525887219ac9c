//! The front-ends that speak MCP: the plugin process of a mesh-llm host, and MCP over stdio.

mod parent;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use mesh_agents_plugin::backend::ToolBackend;
use mesh_agents_plugin::frontend::Frontend;
use mesh_agents_plugin::host::{
    CliAnswer, CliRequest, CliRunner, HostConfig, HostMesh, package_manifest, run_plugin,
};
use ulid::Ulid;

use crate::VERSION;
use crate::args::Cli;
use crate::client;
use crate::context::Context;
use crate::output::{Exit, Output, Words};
use crate::run;
use crate::settings::Environment;

/// The variable by which a host says that this is its plugin, and where to connect.
pub(crate) const ENDPOINT: &str = "MESH_LLM_PLUGIN_ENDPOINT";

/// Prints what a release archive carries as `plugin-manifest.json`.
pub(crate) fn print_manifest(output: &mut Output) -> Result<Exit> {
    writeln!(output.raw(), "{}", package_manifest()?)?;
    Ok(Exit::Done)
}

/// Serves the host that started this process, until the host ends.
pub(crate) async fn serve_host(context: &Context) -> Result<Exit> {
    let environment = &context.environment;
    let frontend = client::frontend(context)?;
    let config = HostConfig {
        endpoint: environment
            .get(ENDPOINT)
            .context("MESH_LLM_PLUGIN_ENDPOINT is not set")?
            .into(),
        transport: environment
            .get("MESH_LLM_PLUGIN_TRANSPORT")
            .map(str::to_owned),
        instance: Ulid::new().to_string(),
        version: VERSION.to_owned(),
    };
    let backend: Arc<dyn ToolBackend> = Arc::new(frontend.clone());
    let mesh = HostMesh::default();
    let cli = cli_runner((**environment).clone());
    let served = run_plugin(config, backend, cli, mesh.clone());
    tokio::select! {
        served = served => served?,
        () = keep_engine(&frontend, &mesh) => {}
        () = mesh.stay_linked(&frontend) => {}
    }
    Ok(Exit::Done)
}

/// A copy of the plugin that the host starts for one `mesh-llm agents …` looks just like the one it
/// keeps (host-contract T20) and is gone before this; it must not start an engine to list files.
const SETTLED: Duration = Duration::from_secs(2);

/// Keeps the engine running while the host does, and tells it where the host is.
async fn keep_engine(frontend: &Frontend, mesh: &HostMesh) {
    tokio::select! {
        () = tokio::time::sleep(SETTLED) => {}
        // It is none of those copies, so an engine is wanted now: a peer may be waiting for it.
        () = mesh.of_a_node() => {}
    }
    let report = tokio::sync::Notify::new();
    let stay = frontend.stay_attached(|| report.notify_one());
    let tell = async {
        loop {
            // Every engine has to be told; a new one knows nothing.
            report.notified().await;
            if let Some(host) = parent::host().await {
                mesh.found_host(host.mesh_peer_id.as_deref());
                if let Err(refusal) = frontend.report_mesh(&host.report).await {
                    tracing::debug!(%refusal, "the engine was not told where the host is");
                }
            }
        }
    };
    tokio::join!(stay, tell);
}

/// Serves the tools on standard input and output until the client closes it.
pub(crate) async fn serve_stdio(context: &Context) -> Result<Exit> {
    let frontend = client::frontend(context)?;
    // An engine that cannot be started is told now, not at the first call.
    frontend.ensure_engine().await?;
    let backend: Arc<dyn ToolBackend> = Arc::new(frontend.clone());
    let served =
        mesh_agents_plugin::mcp::serve_stdio(backend, Some(Ulid::new().to_string()), VERSION);
    tokio::select! {
        served = served => served?,
        () = frontend.stay_attached(|| {}) => {}
    }
    Ok(Exit::Done)
}

/// Runs `mesh-llm agents …` inside this process, its output in buffers.
fn cli_runner(environment: Environment) -> CliRunner {
    Arc::new(move |request: CliRequest| {
        let environment = environment.clone();
        async move { run_captured(request, environment).await }.boxed()
    })
}

async fn run_captured(request: CliRequest, environment: Environment) -> CliAnswer {
    let (out, err) = (Buffer::default(), Buffer::default());
    let words = std::iter::once("agents".to_owned()).chain(request.args);
    let exit = match Cli::read(words, Words { in_host: true }) {
        Ok(cli) => {
            let mut output = Output::captured(
                Box::new(out.clone()),
                Box::new(err.clone()),
                cli.common.json,
            );
            match Box::pin(run::run(cli, environment, &mut output)).await {
                Ok(exit) => exit,
                Err(error) => output.error(&error),
            }
        }
        Err(error) => {
            let to = if error.use_stderr() { &err } else { &out };
            to.push(error.to_string().as_bytes());
            if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
        }
    };
    CliAnswer {
        exit_code: exit as i32,
        stdout: out.text(),
        stderr: err.text(),
    }
}

/// A stream that ends up in the host's answer.
#[derive(Debug, Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn push(&self, bytes: &[u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    async fn run_in_host(words: &[&str]) -> CliAnswer {
        let dir = tempfile::tempdir().unwrap();
        let home = ("HOME".to_owned(), dir.path().display().to_string());
        let args = words.iter().map(ToString::to_string).collect();
        run_captured(
            CliRequest { args, cwd: None },
            Environment(BTreeMap::from([home])),
        )
        .await
    }

    #[tokio::test]
    async fn what_never_ends_is_refused_with_the_command_to_run() {
        for words in [
            &["serve"][..],
            &["mcp"],
            &["demo"],
            &["logs", "task-x", "--follow"],
        ] {
            let answer = run_in_host(words).await;
            assert_eq!(answer.exit_code, 2, "{words:?}");
            assert!(
                answer.stderr.contains(&format!("agents {}", words[0])),
                "{}",
                answer.stderr
            );
        }
    }

    #[tokio::test]
    async fn a_verb_answers_with_its_streams_and_exit_code() {
        let answer = run_in_host(&["init", "pr-review", "--json"]).await;
        assert_eq!(answer.exit_code, 0, "{}", answer.stderr);
        assert!(
            answer.stdout.contains("\"schema\":\"agents.init/1\""),
            "{}",
            answer.stdout
        );
        let answer = run_in_host(&["show", "nobody"]).await;
        assert_eq!((answer.exit_code, answer.stdout.as_str()), (1, ""));
        assert!(
            answer.stderr.contains("agent_not_found"),
            "{}",
            answer.stderr
        );
        let answer = run_in_host(&["lst"]).await;
        assert_eq!(answer.exit_code, 2);
        assert!(answer.stderr.contains("list"), "{}", answer.stderr);
    }
}
