//! The verbs `mcp` and `mcp_tools`: a plain streamable-HTTP MCP client, as a harness has one.
//!
//! Written out because it must show what is on the wire and nothing else: the headers the client gave, one request per
//! connection, an answer as JSON or as an event stream.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::turn::Turn;

/// The protocol version asked for.
const MCP_VERSION: &str = "2025-06-18";

/// Longest wait for one answer: above every wait that a server of ours would make a caller park for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

impl Turn {
    /// Calls a tool and streams the text of its result, errors included.
    pub(super) async fn mcp_call(&self, tool: &str, arguments: &Value) -> Result<(), String> {
        let params = json!({ "name": tool, "arguments": arguments });
        let text = match self.mcp_request("tools/call", params).await? {
            Ok(result) => result_text(&result),
            Err(error) => error,
        };
        self.say(&format!("mcp {tool}: {text}\n")).await
    }

    /// Streams the names of the server's tools.
    pub(super) async fn mcp_tools(&self) -> Result<(), String> {
        let text = match self.mcp_request("tools/list", json!({})).await? {
            Ok(result) => {
                let tools = result["tools"].as_array().into_iter().flatten();
                let names: Vec<&str> = tools.filter_map(|tool| tool["name"].as_str()).collect();
                names.join(" ")
            }
            Err(error) => error,
        };
        self.say(&format!("mcp tools: {text}\n")).await
    }

    /// The outer error is the script's (no server to ask), the inner one the server's.
    async fn mcp_request(
        &self,
        method: &str,
        params: Value,
    ) -> Result<Result<Value, String>, String> {
        let servers = self
            .session
            .as_ref()
            .and_then(|session| session.mcp_servers.as_array());
        let server = servers
            .into_iter()
            .flatten()
            .find(|server| server["type"] == "http");
        let mut client = McpClient::new(server.ok_or("the session has no HTTP MCP server")?)?;
        Ok(client.connect_and_request(method, params).await)
    }
}

struct McpClient {
    authority: String,
    path: String,
    headers: Vec<(String, String)>,
    session: Option<String>,
}

impl McpClient {
    fn new(server: &Value) -> Result<Self, String> {
        let url = server["url"].as_str().unwrap_or_default();
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| format!("not an http:// URL: {url:?}"))?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let given = server["headers"].as_array().into_iter().flatten();
        let headers = given
            .map(|header| (text(&header["name"]), text(&header["value"])))
            .collect();
        Ok(Self {
            authority: authority.to_owned(),
            path: path.to_owned(),
            headers,
            session: None,
        })
    }

    async fn connect_and_request(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let hello = json!({
            "protocolVersion": MCP_VERSION,
            "capabilities": {},
            "clientInfo": { "name": "scripted-acp-agent", "version": env!("CARGO_PKG_VERSION") },
        });
        self.call(1, "initialize", hello).await?;
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.post(&initialized, None).await?;
        self.call(2, method, params).await
    }

    async fn call(&mut self, id: u64, method: &str, params: Value) -> Result<Value, String> {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let answer = self.post(&message, Some(id)).await?;
        match answer.get("error") {
            Some(error) => Err(format!("error {error}")),
            None => Ok(answer["result"].clone()),
        }
    }

    /// Posts one message; with an `id` the answer to it, else null.
    async fn post(&mut self, message: &Value, id: Option<u64>) -> Result<Value, String> {
        let exchange = self.exchange(message, id);
        match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(result) => result.map_err(|error| format!("{}: {error}", self.authority)),
            Err(_) => Err(format!(
                "{}: no answer in {} s",
                self.authority,
                ANSWER_TIMEOUT.as_secs()
            )),
        }
    }

    async fn exchange(&mut self, message: &Value, id: Option<u64>) -> Result<Value, Failure> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Owned here: leaving this function ends the connection.
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        let response = sender.send_request(self.request(message)?).await?;
        if let Some(session) = response.headers().get("mcp-session-id") {
            self.session = Some(session.to_str()?.to_owned());
        }
        let Some(id) = id.filter(|_| response.status() == StatusCode::OK) else {
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            let body = String::from_utf8_lossy(&body);
            return if status.is_success() {
                Ok(Value::Null)
            } else {
                Err(format!("{status} {body}").into())
            };
        };
        answer(response, id).await
    }

    fn request(&self, message: &Value) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::post(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", MCP_VERSION);
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(request.body(Full::new(Bytes::from(message.to_string())))?)
    }
}

/// Whatever the transport fails with; it ends up as text in the stream.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The message with `id` out of a JSON body or an event stream, which need not end after it.
async fn answer(response: Response<Incoming>, id: u64) -> Result<Value, Failure> {
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .map(|kind| kind.as_bytes().to_vec());
    let events = kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
    let mut body = response.into_body();
    let mut received = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            received.extend_from_slice(&data);
        }
        if events && let Some(message) = event_with(&received, id) {
            return Ok(message);
        }
    }
    if events {
        return Err("the event stream ended without an answer".into());
    }
    Ok(serde_json::from_slice(&received)?)
}

/// The first complete event whose data is the message with `id`.
fn event_with(received: &[u8], id: u64) -> Option<Value> {
    let text = String::from_utf8_lossy(received).replace("\r\n", "\n");
    let (complete, _) = text.rsplit_once("\n\n")?;
    complete.split("\n\n").find_map(|event| {
        let data = event.lines().filter_map(|line| line.strip_prefix("data:"));
        let data: Vec<&str> = data.map(str::trim_start).collect();
        let message: Value = serde_json::from_str(&data.join("\n")).ok()?;
        (message["id"] == id).then_some(message)
    })
}

/// The text blocks of a tool's result, else its structured content, marked when it is an error.
fn result_text(result: &Value) -> String {
    let blocks = result["content"].as_array().into_iter().flatten();
    let texts: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
    let text = if texts.is_empty() {
        result["structuredContent"].to_string()
    } else {
        texts.join("\n")
    };
    if result["isError"] == true {
        format!("isError {text}")
    } else {
        text
    }
}
