//! A client of the scripted agent: spawns it, opens a session, prompts, and keeps what it saw.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::schema::InitializeRequest;
use agent_client_protocol::{Client, Error, Lines, UntypedMessage, v1};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{SinkExt, StreamExt as _};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec};

/// A connected agent with an open session.
pub(crate) struct Agent {
    pub(crate) cx: v1::ConnectionTo<agent_client_protocol::Agent>,
    pub(crate) session: String,
    seen: Arc<Mutex<Seen>>,
}

/// What one prompt brought.
#[derive(Debug, Default, Clone)]
pub(crate) struct Answer {
    pub(crate) chunks: Vec<String>,
    pub(crate) asked: Vec<Value>,
    pub(crate) junk: usize,
    pub(crate) longest_line: usize,
    pub(crate) stop_reason: String,
}

type Seen = Answer;

impl Answer {
    pub(crate) fn text(&self) -> String {
        self.chunks.concat()
    }
}

impl Agent {
    pub(crate) fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scripted-acp-agent"));
        command.env_remove("TASK_ARTIFACTS_DIR");
        command
    }

    /// Prompts and returns everything seen since the prompt before.
    pub(crate) async fn prompt(&self, text: &str) -> Result<Answer, Error> {
        let params =
            json!({ "sessionId": self.session, "prompt": [{ "type": "text", "text": text }] });
        let (result, mut answer) = self.call("session/prompt", params).await;
        answer.stop_reason = result?["stopReason"].as_str().unwrap().to_owned();
        Ok(answer)
    }

    /// Sends any request; what was seen until its answer comes beside it.
    pub(crate) async fn call(&self, method: &str, params: Value) -> (Result<Value, Error>, Answer) {
        *self.seen.lock().unwrap() = Seen::default();
        let request = UntypedMessage::new(method, params).unwrap();
        let result = self.cx.send_request(request).block_task().await;
        (result, self.seen.lock().unwrap().clone())
    }

    /// The text of the running turn so far.
    pub(crate) fn text(&self) -> String {
        self.seen.lock().unwrap().text()
    }
}

pub(crate) fn spawn(command: &mut Command) -> Child {
    spawn_as_is(command.stderr(Stdio::null()))
}

/// Spawns it with whatever stderr `command` has.
pub(crate) fn spawn_as_is(command: &mut Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command.spawn().unwrap()
}

pub(crate) async fn run<R>(command: Command, talk: impl AsyncFnOnce(&Agent) -> R) -> R {
    run_in(command, &std::env::temp_dir(), talk).await
}

pub(crate) async fn run_in<R>(
    mut command: Command,
    cwd: &Path,
    talk: impl AsyncFnOnce(&Agent) -> R,
) -> R {
    let mut child = spawn(&mut command);
    let result = drive(&mut child, cwd, talk).await;
    assert!(child.wait().await.unwrap().success());
    result
}

pub(crate) async fn run_with_mcp<R>(
    mut command: Command,
    url: &str,
    talk: impl AsyncFnOnce(&Agent) -> R,
) -> R {
    let mut child = spawn(&mut command);
    let headers = json!([{ "name": "authorization", "value": "Bearer scripted" }]);
    let servers = json!([{ "type": "http", "name": "mesh", "url": url, "headers": headers }]);
    let result = connect(&mut child, Path::new("/"), servers, talk)
        .await
        .unwrap();
    assert!(child.wait().await.unwrap().success());
    result
}

pub(crate) async fn drive<R>(
    child: &mut Child,
    cwd: &Path,
    talk: impl AsyncFnOnce(&Agent) -> R,
) -> R {
    try_drive(child, cwd, talk).await.unwrap()
}

pub(crate) async fn try_drive<R>(
    child: &mut Child,
    cwd: &Path,
    talk: impl AsyncFnOnce(&Agent) -> R,
) -> Result<R, Error> {
    connect(child, cwd, json!([]), talk).await
}

async fn connect<R>(
    child: &mut Child,
    cwd: &Path,
    mcp_servers: Value,
    talk: impl AsyncFnOnce(&Agent) -> R,
) -> Result<R, Error> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let out = FramedWrite::new(child.stdin.take().unwrap(), LinesCodec::new());
    let out = SinkExt::<String>::sink_map_err(out, std::io::Error::other);
    let noted = seen.clone();
    let lines =
        FramedRead::new(child.stdout.take().unwrap(), LinesCodec::new()).filter_map(move |line| {
            let line = line.map_err(std::io::Error::other);
            let mut seen = noted.lock().unwrap();
            if let Ok(line) = &line {
                seen.longest_line = seen.longest_line.max(line.len());
                seen.junk += usize::from(!line.starts_with('{'));
            }
            std::future::ready(
                Some(line).filter(|line| line.as_ref().map_or(true, |line| line.starts_with('{'))),
            )
        });
    let (updates, requests) = (seen.clone(), seen.clone());
    Client
        .v1()
        .on_receive_notification(
            async move |update: UntypedMessage, _cx| {
                let update = &update.params["update"];
                if update["sessionUpdate"] == "agent_message_chunk" {
                    let text = update["content"]["text"].as_str().unwrap().to_owned();
                    updates.lock().unwrap().chunks.push(text);
                }
                Ok(())
            },
            agent_client_protocol::on_receive_notification!(),
        )
        .on_receive_request(
            async move |request: UntypedMessage, responder: v1::Responder<Value>, _cx| {
                let asked = {
                    let mut seen = requests.lock().unwrap();
                    seen.asked.push(request.params.clone());
                    seen.asked.len()
                };
                responder.respond(answer(&request, asked))
            },
            agent_client_protocol::on_receive_request!(),
        )
        .connect_with(
            Lines::new(out, lines),
            async |cx: v1::ConnectionTo<agent_client_protocol::Agent>| {
                let hello = serde_json::to_value(InitializeRequest::new(ProtocolVersion::V1))?;
                let mut hello = UntypedMessage::new("initialize", hello)?;
                hello.params["clientCapabilities"] = json!({ "elicitation": { "form": {} } });
                cx.send_request(hello).block_task().await?;
                let new = json!({ "cwd": cwd, "mcpServers": mcp_servers });
                let new = cx
                    .send_request(UntypedMessage::new("session/new", new)?)
                    .block_task()
                    .await?;
                let session = new["sessionId"].as_str().unwrap().to_owned();
                Ok(talk(&Agent { cx, session, seen }).await)
            },
        )
        .await
}

/// Allows once, or else takes the first option; fills forms with `more`, later with `done`.
fn answer(request: &UntypedMessage, asked: usize) -> Value {
    if request.method == "elicitation/create" {
        let text = if asked == 1 { "more" } else { "done" };
        return json!({ "action": "accept", "content": { "answer": text } });
    }
    let options = request.params["options"].as_array().unwrap();
    let chosen = options
        .iter()
        .find(|option| option["kind"] == "allow_once")
        .unwrap_or(&options[0]);
    json!({ "outcome": { "outcome": "selected", "optionId": chosen["optionId"] } })
}

/// Waits for a condition; the test runner's own limit is the only one.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A minimal MCP server with one tool, which insists on its token, session header and order of calls.
pub(crate) struct McpServer {
    pub(crate) url: String,
    stop: oneshot::Sender<()>,
    task: JoinSet<std::io::Result<()>>,
}

impl McpServer {
    pub(crate) async fn start(events: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/mcp", axum::routing::post(mcp))
            .with_state(events);
        let (stop, stopped) = oneshot::channel();
        let serve = axum::serve(listener, router).with_graceful_shutdown(async move {
            let _ = stopped.await;
        });
        let mut task = JoinSet::new();
        task.spawn(async move { serve.await });
        Self { url, stop, task }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.send(()).unwrap();
        self.task.join_next().await.unwrap().unwrap().unwrap();
    }
}

async fn mcp(State(events): State<bool>, headers: HeaderMap, body: String) -> Response {
    let message: Value = serde_json::from_str(&body).unwrap();
    let method = message["method"].as_str().unwrap();
    if headers
        .get(header::AUTHORIZATION)
        .is_none_or(|token| token != "Bearer scripted")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if method != "initialize" && headers.get("mcp-session-id").is_none_or(|id| id != "s1") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let result = match method {
        "initialize" => {
            json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {} })
        }
        "tools/list" => json!({ "tools": [{ "name": "greet" }] }),
        "tools/call" => {
            let name = message["params"]["arguments"]["name"].as_str().unwrap();
            json!({ "content": [{ "type": "text", "text": format!("hello {name}") }] })
        }
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
    let (kind, body) = if events {
        let notice = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {} });
        (
            "text/event-stream",
            format!(": hi\n\ndata: {notice}\n\nevent: message\ndata: {answer}\n\n"),
        )
    } else {
        ("application/json", answer.to_string())
    };
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::HeaderName::from_static("mcp-session-id"), "s1"),
        ],
        body,
    )
        .into_response()
}
