//! The tools as a plugin of the mesh-llm host.
//!
//! The host talks protobuf envelopes over a Unix socket; the SDK decodes them and [`AgentsPlugin`]
//! answers. It implements the SDK's trait itself instead of filling its routers, so that arguments
//! and results pass as the text they are. Everything the host contract warns of is kept here:
//! nothing is awaited in `initialize` or `on_initialized` (T5), health is the SDK's constant OK
//! (T9), only tools are in the manifest (T11), results are objects or plain text (T21), a call is
//! never parked for longer than 25 s (T3), and envelopes go out in one write each ([`pump`], T1).
//! What the host says of the mesh is only noted, and carried to the engine beside it ([`HostMesh`], T6).

mod mesh;
mod pump;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_llm_plugin::proto::{
    ChannelMessage, InvokeServiceRequest, InvokeServiceResponse, MeshEvent, OpenStreamRequest,
    OpenStreamResponse, OperationManifest, PluginManifest, ServiceKind,
};
use mesh_llm_plugin::{
    LocalStream, Plugin, PluginContext, PluginError, PluginInitializeRequest, PluginResult,
    PluginRuntime, async_trait, plugin_server_info,
};
use rmcp::model::ServerConfig;
use serde::{Deserialize, Serialize};

use crate::backend::{CallMeta, Surface, ToolBackend};
use crate::local::UnixStream;
use crate::tool::{Tool, ToolName, table};
pub use mesh::HostMesh;

/// What the host knows us by; also the name of the `[[plugin]]` stanza.
pub const PLUGIN_ID: &str = "agents";
/// The operation behind `mesh-llm agents …`: answered, but listed nowhere (host-contract T11).
const CLI_RUN: &str = "cli.run";
/// Size of the pipe between SDK and pump: the largest safe envelope passes without a stop.
const PIPE_BYTES: usize = pump::SAFE_ENVELOPE * 2;
/// Most bytes of each output of a command. The host takes 16 MiB in one piece and nobody reads more.
const OUTPUT_BYTES: usize = 1024 * 1024;
/// How long the last answers may take to reach a host that asked us to shut down.
const FLUSH: Duration = Duration::from_secs(2);

/// What the host tells a plugin at its start.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Value of `MESH_LLM_PLUGIN_ENDPOINT`: the socket to connect to.
    pub endpoint: PathBuf,
    /// Value of `MESH_LLM_PLUGIN_TRANSPORT`, if set.
    pub transport: Option<String>,
    /// This process: a ULID as text.
    pub instance: String,
    /// Our version.
    pub version: String,
}

/// A command line given to `mesh-llm agents`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CliRequest {
    /// The words after `agents`.
    #[serde(default)]
    pub args: Vec<String>,
    /// Where it was typed.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
}

/// What a command left. Outputs over 1 MiB are cut, saying so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CliAnswer {
    /// 0 done, 1 failed, 2 usage.
    pub exit_code: i32,
    /// Data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

/// Runs a command line of ours inside this process.
pub type CliRunner = Arc<dyn Fn(CliRequest) -> BoxFuture<'static, CliAnswer> + Send + Sync>;

/// Why the connection to the host ended badly.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A transport we do not speak.
    #[error("MESH_LLM_PLUGIN_TRANSPORT is {0:?} and only \"unix\" is built")]
    Transport(String),
    /// The socket.
    #[error("cannot connect to the host at {endpoint} (MESH_LLM_PLUGIN_ENDPOINT): {source}")]
    Connect {
        /// Where.
        endpoint: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The connection.
    #[error("the connection to the host broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The conversation.
    #[error("the host and this plugin do not understand each other: {0}")]
    Protocol(String),
    /// The manifest a release archive carries.
    #[error("cannot write the plugin's manifest: {0}")]
    Manifest(String),
}

/// What a release archive carries as `plugin-manifest.json`: what the host must know before the plugin runs, drawn
/// from the very manifest the running plugin answers with.
///
/// That is a schema of settings, or a web page. There is neither: the host keeps a plugin's settings and hands them
/// to nobody (host-contract T17), so that a page of them would change nothing.
///
/// # Errors
/// [`HostError::Manifest`] when a tool's schema or the manifest is no JSON.
pub fn package_manifest() -> Result<String, HostError> {
    let failed = |error: &dyn fmt::Display| HostError::Manifest(error.to_string());
    let manifest = manifest(&table(Surface::Host.wait_cap())).map_err(|error| failed(&error))?;
    mesh_llm_plugin::package_manifest_json(&manifest).map_err(|error| failed(&error))
}

/// Serves the host until it ends. The end of the host is a normal end of the plugin. What it says of
/// the mesh is kept in `mesh`, to be carried to the engine by [`HostMesh::stay_linked`].
///
/// # Errors
/// When the host cannot be reached, or the conversation fails while the host is there.
pub async fn run_plugin(
    config: HostConfig,
    backend: Arc<dyn ToolBackend>,
    cli: CliRunner,
    mesh: HostMesh,
) -> Result<(), HostError> {
    if let Some(other) = config.transport.as_deref().filter(|name| *name != "unix") {
        return Err(HostError::Transport(other.to_owned()));
    }
    let stream = UnixStream::connect(&config.endpoint)
        .await
        .map_err(|source| HostError::Connect {
            endpoint: config.endpoint.clone(),
            source,
        })?;
    let (host_read, host_write) = stream.into_split();
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let (sdk_read, sdk_write) = tokio::io::split(far);
    let plugin = AgentsPlugin::new(&config, backend, cli, mesh);
    let runtime = PluginRuntime::run_with_stream(plugin, LocalStream::Memory(near));
    let mut outward = Box::pin(pump::envelopes(sdk_read, host_write));
    let mut inward = Box::pin(pump::envelopes(host_read, sdk_write));
    tokio::select! {
        // The host has gone. What its calls asked for lives on in the engine.
        ended = &mut inward => ended.map_err(HostError::Broken),
        ended = &mut outward => match ended {
            Err(error) if is_gone(&error) => Ok(()),
            ended => ended.map_err(HostError::Broken),
        },
        ended = runtime => {
            // The SDK has stopped, by request or by mistake: let its last words reach the host.
            let _in_time = tokio::time::timeout(FLUSH, outward).await;
            ended.map_err(|error| HostError::Protocol(format!("{error:#}")))
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

/// The plugin. The SDK clones it for every request.
#[derive(Clone)]
struct AgentsPlugin {
    backend: Arc<dyn ToolBackend>,
    cli: CliRunner,
    mesh: HostMesh,
    tools: Arc<[Tool]>,
    instance: Arc<str>,
    version: Arc<str>,
}

impl fmt::Debug for AgentsPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentsPlugin").finish_non_exhaustive()
    }
}

impl AgentsPlugin {
    fn new(
        config: &HostConfig,
        backend: Arc<dyn ToolBackend>,
        cli: CliRunner,
        mesh: HostMesh,
    ) -> Self {
        Self {
            backend,
            cli,
            mesh,
            tools: table(Surface::Host.wait_cap()).into(),
            instance: config.instance.as_str().into(),
            version: config.version.as_str().into(),
        }
    }

    async fn call(&self, name: &str, input: &str) -> Result<JsonText, Refusal> {
        let tool: ToolName = name.parse().map_err(|error: crate::tool::UnknownTool| {
            Refusal::new(Code::InvalidArgument, error.to_string())
        })?;
        let input = if input.trim().is_empty() { "{}" } else { input };
        let args = JsonText::parse(input).map_err(|error| {
            Refusal::new(
                Code::InvalidArgument,
                format!("the arguments of {tool} are not JSON: {error}"),
            )
        })?;
        let meta = CallMeta {
            instance: Some(self.instance.to_string()),
            ..CallMeta::local(Surface::Host)
        };
        self.backend.call(meta, tool.as_str(), args).await
    }

    async fn run_command(&self, input: &str) -> PluginResult<InvokeServiceResponse> {
        let request: CliRequest = serde_json::from_str(input)
            .map_err(|error| PluginError::invalid_params(format!("{CLI_RUN}: {error}")))?;
        let mut answer = (self.cli)(request).await;
        for output in [&mut answer.stdout, &mut answer.stderr] {
            cut(output);
        }
        let output_json = serde_json::to_string(&answer)
            .map_err(|error| PluginError::internal(format!("{CLI_RUN}: {error}")))?;
        Ok(InvokeServiceResponse {
            output_json,
            is_error: false,
        })
    }
}

fn cut(output: &mut String) {
    if output.len() > OUTPUT_BYTES {
        output.truncate(output.floor_char_boundary(OUTPUT_BYTES));
        output.push_str("\n[cut here: run `agents` itself to see all of it]\n");
    }
}

fn operation(tool: &Tool) -> Result<OperationManifest, serde_json::Error> {
    Ok(OperationManifest {
        name: tool.name.as_str().to_owned(),
        description: tool.description.clone(),
        input_schema_json: serde_json::to_string(&tool.input)?,
        output_schema_json: Some(serde_json::to_string(&tool.output)?),
        title: Some(tool.title.to_owned()),
    })
}

/// What the host is told at the start: the tools and nothing else that it could call (host-contract T11).
fn manifest(tools: &[Tool]) -> Result<PluginManifest, serde_json::Error> {
    let (mesh_channels, mesh_event_subscriptions) = mesh::manifest();
    Ok(PluginManifest {
        operations: tools.iter().map(operation).collect::<Result<_, _>>()?,
        mesh_channels,
        mesh_event_subscriptions,
        ..PluginManifest::default()
    })
}

#[async_trait]
impl Plugin for AgentsPlugin {
    fn plugin_id(&self) -> &str {
        PLUGIN_ID
    }

    fn plugin_version(&self) -> String {
        self.version.to_string()
    }

    fn server_info(&self) -> ServerConfig {
        plugin_server_info(
            "mesh-agents",
            self.version.to_string(),
            "Mesh Agents",
            "Hosts coding agents and gives them work.",
            None::<String>,
        )
    }

    fn manifest(&self) -> Option<PluginManifest> {
        manifest(&self.tools).ok()
    }

    async fn initialize(
        &mut self,
        request: PluginInitializeRequest,
        _context: &mut PluginContext<'_>,
    ) -> PluginResult<()> {
        self.mesh.visibility(request.mesh_visibility);
        Ok(())
    }

    async fn on_initialized(&mut self, context: &mut PluginContext<'_>) -> anyhow::Result<()> {
        self.mesh.connected(context.owned());
        Ok(())
    }

    async fn on_mesh_event(
        &mut self,
        event: MeshEvent,
        _context: &mut PluginContext<'_>,
    ) -> anyhow::Result<()> {
        self.mesh.event(&event);
        Ok(())
    }

    async fn on_channel_message(
        &mut self,
        message: ChannelMessage,
        _context: &mut PluginContext<'_>,
    ) -> anyhow::Result<()> {
        self.mesh.message(message);
        Ok(())
    }

    async fn open_stream(
        &mut self,
        request: OpenStreamRequest,
        _context: &mut PluginContext<'_>,
    ) -> PluginResult<Option<OpenStreamResponse>> {
        Ok(Some(self.mesh.open_stream(request.stream_id).await))
    }

    async fn invoke_service(
        &mut self,
        request: InvokeServiceRequest,
        _context: &mut PluginContext<'_>,
    ) -> PluginResult<Option<InvokeServiceResponse>> {
        if request.kind() != ServiceKind::Operation {
            return Ok(None);
        }
        if request.service_name == CLI_RUN {
            return self.run_command(&request.input_json).await.map(Some);
        }
        let answer = self.call(&request.service_name, &request.input_json).await;
        Ok(Some(match answer {
            Ok(result) => InvokeServiceResponse {
                output_json: result.as_str().to_owned(),
                is_error: false,
            },
            Err(refusal) => InvokeServiceResponse {
                output_json: refusal.to_string(),
                is_error: true,
            },
        }))
    }
}

#[cfg(test)]
mod tests;
