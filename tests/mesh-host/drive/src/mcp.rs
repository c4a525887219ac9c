//! An MCP client as a coding tool would be one: streamable HTTP or a program's stdio, one session, `tools/call`.

use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, ErrorCode, Tool};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::{Home, PLUGIN, agents_bin};

/// One session with an MCP server.
#[derive(Debug)]
pub struct Client {
    service: RunningService<RoleClient, ()>,
    /// Put before every tool's name: `agents.` at the host, nothing at our own servers.
    prefix: String,
    /// The server, where it is one that its client starts.
    server: Option<Child>,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The tool itself said no: a result with `isError`, which is plain text for the model to read.
    #[error("{tool} refused: {text}")]
    Refused {
        /// The tool.
        tool: String,
        /// What it said.
        text: String,
    },
    /// The host knows no such tool. It also says so in the instant in which a plugin is coming up again.
    #[error("the host knows no tool {tool}: {text}")]
    UnknownTool {
        /// The tool.
        tool: String,
        /// What the host said.
        text: String,
    },
    /// The tool answered, but not with the structured content that every tool of ours has.
    #[error("{tool} answered without structured content: {text}")]
    Unstructured {
        /// The tool.
        tool: String,
        /// What it answered.
        text: String,
    },
    /// Anything else, a lost connection among it.
    #[error("{tool}: {source}")]
    Failed {
        /// The tool.
        tool: String,
        /// What went wrong.
        source: Box<ServiceError>,
    },
}

impl Client {
    /// Opens a session with a host's `/mcp`, where every plugin's tools begin with its name.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn of_host(url: &str) -> Result<Self> {
        Self::connect(url, format!("{PLUGIN}.")).await
    }

    /// Opens a session with an engine's own `/mcp`.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn of_engine(url: &str) -> Result<Self> {
        Self::connect(url, String::new()).await
    }

    async fn connect(url: &str, prefix: String) -> Result<Self> {
        // As rmcp builds its own, plus: loopback only, whatever proxy the machine has.
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()?;
        let config = StreamableHttpClientTransportConfig::with_uri(url);
        let transport = StreamableHttpClientTransport::with_client(http, config);
        let service = ().serve(transport).await.with_context(|| format!("MCP handshake at {url}"))?;
        Ok(Self {
            service,
            prefix,
            server: None,
        })
    }

    /// Starts `agents mcp` in a home and opens a session with it, as an editor would.
    ///
    /// # Errors
    /// When it cannot be started, or the handshake fails.
    ///
    /// # Panics
    /// As [`agents_bin`].
    pub async fn of_stdio(home: &Home) -> Result<Self> {
        let mut server = Command::new(agents_bin())
            .arg("mcp")
            .env_clear()
            .envs(home.environment())
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start agents mcp")?;
        let pipes = server.stdout.take().zip(server.stdin.take());
        let service =
            ().serve(pipes.context("piped")?)
                .await
                .context("MCP handshake with agents mcp")?;
        Ok(Self {
            service,
            prefix: String::new(),
            server: Some(server),
        })
    }

    /// Every tool the server lists, a host's of whichever plugin.
    ///
    /// # Errors
    /// When it does not list them.
    pub async fn tools(&self) -> Result<Vec<Tool>> {
        Ok(self.service.list_all_tools().await?)
    }

    /// Calls a tool of the plugin and returns its structured content.
    ///
    /// # Errors
    /// See [`CallError`].
    ///
    /// # Panics
    /// When `arguments` is no JSON object.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, CallError> {
        let tool = format!("{}{tool}", self.prefix);
        let Value::Object(arguments) = arguments else {
            panic!("the arguments of {tool} must be an object: {arguments}")
        };
        let request = CallToolRequestParams::new(tool.clone()).with_arguments(arguments);
        let result = match self.service.call_tool(request).await {
            Ok(result) => result,
            Err(ServiceError::McpError(error)) if error.code == ErrorCode::INVALID_PARAMS => {
                return Err(CallError::UnknownTool {
                    tool,
                    text: error.message.into_owned(),
                });
            }
            Err(source) => {
                return Err(CallError::Failed {
                    tool,
                    source: Box::new(source),
                });
            }
        };
        let blocks = result.content.iter().filter_map(|block| block.as_text());
        let text = blocks
            .map(|block| block.text.as_str())
            .collect::<Vec<_>>()
            .join("\n");
        match (result.is_error, result.structured_content) {
            (Some(true), _) => Err(CallError::Refused { tool, text }),
            (_, Some(content @ Value::Object(_))) => Ok(content),
            _ => Err(CallError::Unstructured { tool, text }),
        }
    }

    /// Calls a tool that is expected to refuse and returns what it says.
    ///
    /// # Errors
    /// When it does not refuse, or not by a result with `isError`.
    pub async fn refused(&self, tool: &str, arguments: Value) -> Result<String> {
        match self.call(tool, arguments).await {
            Err(CallError::Refused { text, .. }) => Ok(text),
            Err(other) => Err(other.into()),
            Ok(answer) => anyhow::bail!("{tool} was expected to refuse and answered {answer}"),
        }
    }

    /// Ends the session, so that a host need not keep it for its five minutes; a server that this client
    /// started leaves then.
    ///
    /// # Errors
    /// When the session's task failed, or the server left with an error.
    pub async fn close(self) -> Result<()> {
        self.service.cancel().await?;
        if let Some(mut server) = self.server {
            let left: ExitStatus = server.wait().await?;
            ensure!(left.success(), "the server left with {left}");
        }
        Ok(())
    }
}
