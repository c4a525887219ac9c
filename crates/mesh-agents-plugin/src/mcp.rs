//! The tools over MCP, on servers of our own: streamable HTTP and stdio.
//!
//! HTTP is served without MCP sessions: every request stands alone, so none can end while a call
//! is parked (sessions of rmcp end after 300 s without traffic, host-contract T4) and a restarted
//! engine goes on serving its clients. Answers are event streams with a comment every 15 s, so that
//! nothing on the way takes a parked call for a dead one.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::MESSAGE_BYTES;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::{Code, Refusal};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool as McpTool,
    ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt as _};
use tokio_util::sync::CancellationToken;

use crate::backend::{CallMeta, Surface, ToolBackend};
use crate::tool::{Effect, Tool, ToolName, table};

/// Largest request: a message of the largest size, every byte of it escaped in JSON, and room.
const REQUEST_BYTES: usize = MESSAGE_BYTES * 7;
/// A comment in a silent event stream this often keeps what lies between us and a client open.
const SSE_COMMENT: Duration = Duration::from_secs(15);
/// What a client is told when it connects.
const INSTRUCTIONS: &str = "Coding agents you can give work. get_agents shows them; send_message gives \
    one a task and returns a task_id; get_task with wait_seconds waits for the result; \
    view_text_artifact and view_data_artifact read what it left.";

/// The MCP service at `/mcp`, to be put behind [`crate::guard::Guard`], which says who calls: a
/// request without a [`Caller`] in its extensions is refused. `stop` ends the open streams.
pub fn router(backend: Arc<dyn ToolBackend>, version: &str, stop: CancellationToken) -> Router {
    let tools = McpTools::new(backend, Surface::Http, None, version);
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_sse_keep_alive(Some(SSE_COMMENT))
        .with_max_request_body_bytes(REQUEST_BYTES)
        .with_cancellation_token(stop)
        // The guard checks Host and Origin, and knows the names we are reached by.
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let service = StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new().route_service("/mcp", service)
}

/// Why MCP over stdio ended badly.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The client did not open the conversation as MCP says.
    #[error("the MCP client on stdin did not say hello as it should: {0}")]
    Hello(String),
    /// A fault of ours.
    #[error("the MCP server on stdio broke off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// Serves MCP on stdin and stdout until the client closes stdin.
///
/// # Errors
/// See [`StdioError`]. A client that leaves before it says hello is a normal end.
pub async fn serve_stdio(
    backend: Arc<dyn ToolBackend>,
    instance: Option<String>,
    version: &str,
) -> Result<(), StdioError> {
    let tools = McpTools::new(backend, Surface::Stdio, instance, version);
    serve_on(tools, rmcp::transport::stdio()).await
}

async fn serve_on<R, W>(tools: McpTools, stdio: (R, W)) -> Result<(), StdioError>
where
    R: tokio::io::AsyncRead + Send + Unpin + 'static,
    W: tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    match tools.serve(stdio).await {
        Ok(running) => {
            running.waiting().await?;
            Ok(())
        }
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(StdioError::Hello(error.to_string())),
    }
}

/// The tools as an MCP server. Cheap to clone.
#[derive(Clone)]
struct McpTools {
    backend: Arc<dyn ToolBackend>,
    tools: Arc<[McpTool]>,
    surface: Surface,
    instance: Option<String>,
    version: Arc<str>,
}

impl McpTools {
    fn new(
        backend: Arc<dyn ToolBackend>,
        surface: Surface,
        instance: Option<String>,
        version: &str,
    ) -> Self {
        let tools = table(surface.wait_cap());
        Self {
            backend,
            tools: tools.into_iter().map(shown).collect(),
            surface,
            instance,
            version: version.into(),
        }
    }

    fn meta(&self, context: &RequestContext<RoleServer>) -> Result<CallMeta, Refusal> {
        let caller = match self.surface {
            Surface::Http => context
                .extensions
                .get::<Parts>()
                .and_then(|parts| parts.extensions.get::<Caller>())
                .cloned()
                .ok_or_else(|| {
                    Refusal::new(
                        Code::Internal,
                        "nobody checked who is asking, so nobody is let in",
                    )
                })?,
            _ => Caller::local(),
        };
        let surface = match caller.principal {
            Principal::Task(_) => Surface::Task,
            _ => self.surface,
        };
        Ok(CallMeta {
            surface,
            instance: self.instance.clone(),
            caller,
            wait_cap: surface.wait_cap(),
            minted: false,
        })
    }

    async fn run(
        &self,
        tool: ToolName,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Refusal> {
        let meta = self.meta(context)?;
        let args = request.arguments.unwrap_or_default();
        let args = JsonText::of(&args).map_err(|error| unreadable(tool, &error))?;
        let result = self.backend.call(meta, tool.as_str(), args).await?;
        let structured = result.read().map_err(|error| unreadable(tool, &error))?;
        // The text is the same JSON again, as MCP asks (server/tools, "Structured Content"): there are
        // clients that show their model nothing else.
        let mut answer = CallToolResult::success(vec![ContentBlock::text(result.as_str())]);
        answer.structured_content = Some(structured);
        Ok(answer)
    }
}

impl ServerHandler for McpTools {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let who = Implementation::new("mesh-agents", self.version.to_string());
        ServerConfig::new(capabilities)
            .with_server_info(who.with_title("Mesh Agents"))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.to_vec()))
    }

    fn get_tool(&self, name: &str) -> Option<McpTool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let tool: ToolName = request
            .name
            .parse()
            .map_err(|error: crate::tool::UnknownTool| {
                ErrorData::invalid_params(error.to_string(), None)
            })?;
        let answer = tokio::select! {
            answer = self.run(tool, request, &context) => answer,
            // The client has gone or lost interest: no answer is read, so none is waited for.
            () = context.ct.cancelled() => {
                Err(Refusal::new(Code::Internal, "the call was given up by its caller"))
            }
        };
        Ok(answer.unwrap_or_else(|refusal| failed(&refusal)).into())
    }
}

fn failed(refusal: &Refusal) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(refusal.to_string())])
}

fn unreadable(tool: ToolName, error: &serde_json::Error) -> Refusal {
    Refusal::new(
        Code::Internal,
        format!("what {tool} has to say holds a value MCP cannot carry: {error}"),
    )
    .hint("Read it as text with view_text_artifact, or with `mesh-llm agents artifacts`.")
}

fn shown(tool: Tool) -> McpTool {
    let hints = ToolAnnotations::new()
        .read_only(tool.effect == Effect::Reads)
        .destructive(tool.effect == Effect::Ends)
        .idempotent(tool.effect != Effect::Adds)
        .open_world(tool.name == ToolName::SendMessage);
    McpTool::new(tool.name.as_str(), tool.description, Arc::new(tool.input))
        .with_title(tool.title)
        .with_raw_output_schema(Arc::new(tool.output))
        .with_annotations(hints)
}

#[cfg(test)]
mod tests;
