//! An MCP client as a coding tool would be one: streamable HTTP, one session, `tools/call`.

use anyhow::{Context, Result};
use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, ErrorCode, Tool};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::Value;

/// One session with the host's `/mcp`.
#[derive(Debug)]
pub struct Client {
    service: RunningService<RoleClient, ()>,
    prefix: String,
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
    /// Opens a session; tools will be called by their name without `prefix` and the dot after it.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn connect(url: &str, prefix: &str) -> Result<Self> {
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
            prefix: prefix.to_owned(),
        })
    }

    /// Every tool the host lists, of whichever plugin.
    ///
    /// # Errors
    /// When the host does not list them.
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
        let tool = format!("{}.{tool}", self.prefix);
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

    /// Ends the session, so that the host need not keep it for its five minutes.
    ///
    /// # Errors
    /// When the session's task failed.
    pub async fn close(self) -> Result<()> {
        self.service.cancel().await?;
        Ok(())
    }
}
