//! A real MCP client against our servers, a fake engine behind them.

use std::collections::HashMap;

use axum::http::{HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use mesh_agents_core::limits::WAIT_SECONDS;
use rmcp::RoleClient;
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tokio::net::UnixListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::*;
use crate::fake::FakeBackend;
use crate::guard::Guard;

/// A node on a socket of its own; the address in requests is made up.
struct Node {
    dir: tempfile::TempDir,
    backend: Arc<FakeBackend>,
    _servers: JoinSet<()>,
}

impl Node {
    fn start(backend: FakeBackend) -> Self {
        let backend = Arc::new(backend);
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let guard = Guard {
            hosts: Vec::new(),
            token_required: false,
            resolve: Arc::new(|token| {
                let task = token.strip_prefix("run-of-")?.parse().ok()?;
                Some(Caller::task(task, Some(1), Principal::Local))
            }),
        };
        let shared: Arc<dyn ToolBackend> = Arc::clone(&backend) as Arc<dyn ToolBackend>;
        let app = guard.protect(router(shared, "0.0.0", CancellationToken::new()));
        let mut servers = JoinSet::new();
        servers.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            dir,
            backend,
            _servers: servers,
        }
    }

    async fn client(
        &self,
        host: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<RunningService<RoleClient, ()>, String> {
        let path = self.dir.path().join("s");
        let headers = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        let config = StreamableHttpClientTransportConfig::with_uri(format!("http://{host}/mcp"))
            .custom_headers(headers.collect::<HashMap<_, _>>());
        let transport = StreamableHttpClientTransport::from_unix_socket_with_config(
            path.to_str().unwrap(),
            config,
        );
        ().serve(transport).await.map_err(|error| error.to_string())
    }
}

fn call(name: &'static str, args: &serde_json::Value) -> CallToolRequestParams {
    CallToolRequestParams::new(name).with_arguments(args.as_object().unwrap().clone())
}

#[tokio::test]
async fn a_client_lists_and_calls_the_tools() {
    let node = Node::start(FakeBackend::echo());
    let client = node.client("127.0.0.1:3131", &[]).await.unwrap();
    let tools = client.list_all_tools().await.unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(names, ToolName::ALL.map(ToolName::as_str));
    let cancel = tools
        .iter()
        .find(|tool| tool.name == "cancel_task")
        .unwrap();
    let hints = cancel.annotations.as_ref().unwrap();
    assert_eq!(
        (hints.read_only_hint, hints.destructive_hint),
        (Some(false), Some(true))
    );

    let args = serde_json::json!({"agent_id": "a", "metadata": {"n": 9_007_199_254_740_993_u64}});
    let answer = client.call_tool(call("send_message", &args)).await.unwrap();
    assert_eq!(answer.is_error, Some(false));
    let structured = answer.structured_content.unwrap();
    assert_eq!(structured["args"], args, "arguments and results pass whole");
    assert_eq!(answer.content.len(), 1, "one short text block");
    let (meta, tool, _) = node.backend.asked().remove(0);
    assert_eq!(tool, "send_message");
    assert_eq!(meta, CallMeta::local(Surface::Http));
    assert_eq!(meta.wait_cap.as_secs(), WAIT_SECONDS);
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_an_error_of_the_tool_in_plain_text() {
    let node = Node::start(FakeBackend::new(|_, _| {
        Err(Refusal::new(Code::AgentNotFound, "no agent \"b\"").hint("Did you mean a?"))
    }));
    let client = node.client("localhost:1", &[]).await.unwrap();
    let answer = client
        .call_tool(call("get_agent", &serde_json::json!({"agent_id": "b"})))
        .await
        .unwrap();
    assert_eq!(answer.is_error, Some(true));
    assert!(answer.structured_content.is_none());
    let text = answer.content[0].as_text().unwrap().text.as_str();
    assert_eq!(text, "agent_not_found: no agent \"b\"\nDid you mean a?");
    let unknown = client
        .call_tool(call("get_agnet", &serde_json::json!({})))
        .await;
    assert!(
        unknown
            .unwrap_err()
            .to_string()
            .contains("did you mean get_agent?")
    );
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_token_makes_the_caller_its_task_for_each_request() {
    let node = Node::start(FakeBackend::echo());
    let task = "task-01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let token = format!("Bearer run-of-{task}");
    let client = node
        .client("127.0.0.1:9", &[("authorization", &token)])
        .await
        .unwrap();
    client
        .call_tool(call("get_agents", &serde_json::json!({})))
        .await
        .unwrap();
    let (meta, ..) = node.backend.asked().remove(0);
    assert_eq!(
        meta.caller.principal,
        Principal::Task(task.parse().unwrap())
    );
    assert_eq!(meta.surface, Surface::Task);
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn foreign_hosts_origins_and_tokens_do_not_get_in() {
    let node = Node::start(FakeBackend::echo());
    for (host, headers) in [
        ("evil.example:3131", vec![]),
        ("127.0.0.1:3131", vec![("origin", "https://evil.example")]),
        ("127.0.0.1:3131", vec![("authorization", "Bearer stolen")]),
    ] {
        let refused = node.client(host, &headers).await;
        assert!(refused.is_err(), "{host} {headers:?}");
    }
    assert!(node.backend.asked().is_empty());
}

#[tokio::test]
async fn stdio_serves_the_person_at_this_machine_and_ends_with_its_client() {
    let backend = Arc::new(FakeBackend::echo());
    let shared: Arc<dyn ToolBackend> = Arc::clone(&backend) as Arc<dyn ToolBackend>;
    let tools = McpTools::new(shared, Surface::Stdio, Some("i1".into()), "0.0.0");
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serving = serve_on(tools, tokio::io::split(far));
    let calling = async {
        let client = ().serve(tokio::io::split(near)).await.unwrap();
        let answer = client
            .call_tool(call("list_tasks", &serde_json::json!({})))
            .await;
        assert_eq!(answer.unwrap().is_error, Some(false));
        client.cancel().await.unwrap();
    };
    let (served, ()) = tokio::join!(serving, calling);
    served.unwrap();
    let (meta, ..) = backend.asked().remove(0);
    assert_eq!(
        (meta.surface, meta.instance.as_deref()),
        (Surface::Stdio, Some("i1"))
    );
    assert_eq!(meta.caller, Caller::local());
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Parked {
    Not,
    Waits,
    GivenUp,
}

/// Parks every call until it is released; says how that goes.
struct Parking {
    parked: watch::Sender<Parked>,
    release: Arc<Notify>,
}

/// A call while it is parked.
struct Waiting(watch::Sender<Parked>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.send_replace(Parked::GivenUp);
    }
}

impl ToolBackend for Parking {
    fn call<'a>(
        &'a self,
        _meta: CallMeta,
        _tool: &'a str,
        _args: JsonText,
    ) -> futures::future::BoxFuture<'a, Result<JsonText, Refusal>> {
        Box::pin(async move {
            self.parked.send_replace(Parked::Waits);
            let _waiting = Waiting(self.parked.clone());
            self.release.notified().await;
            Ok(JsonText::parse("{\"state\":\"working\"}").unwrap())
        })
    }
}

/// A call as a client of MCP 2025-06-18 sends it, without saying hello before: parked when this returns.
async fn parked_call() -> (
    axum::response::Response,
    watch::Receiver<Parked>,
    Arc<Notify>,
) {
    let release = Arc::new(Notify::new());
    let parking = Parking {
        parked: watch::Sender::new(Parked::Not),
        release: Arc::clone(&release),
    };
    let mut parked = parking.parked.subscribe();
    let app = router(Arc::new(parking), "0.0.0", CancellationToken::new());
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_task","arguments":{}}}"#;
    let mut request = axum::http::Request::post("/mcp")
        .header("host", "127.0.0.1")
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2025-06-18")
        .body(axum::body::Body::from(call))
        .unwrap();
    request.extensions_mut().insert(Caller::local());
    let answer = app.oneshot(request).await.unwrap();
    parked.wait_for(|now| *now == Parked::Waits).await.unwrap();
    (answer, parked, release)
}

#[tokio::test]
async fn a_parked_call_is_heard_of_at_once_and_needs_no_session() {
    let (answer, _parked, release) = parked_call().await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert!(
        !answer.headers().contains_key("mcp-session-id"),
        "nothing that could end meanwhile"
    );
    release.notify_one();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    assert!(
        text.contains(r#""structuredContent":{"state":"working"}"#),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_waiting() {
    let (answer, mut parked, _release) = parked_call().await;
    drop(answer);
    parked
        .wait_for(|now| *now == Parked::GivenUp)
        .await
        .unwrap();
}
