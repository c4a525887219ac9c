//! The least of an MCP client: enough to show what any client does (MCP 2025-06-18, Streamable HTTP).

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The protocol version this client speaks.
const PROTOCOL: &str = "2025-06-18";
/// Most bytes of an answer.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// One client.
#[derive(Debug)]
pub(super) struct McpClient {
    authority: String,
    path: String,
    next_id: u64,
}

impl McpClient {
    /// Says hello.
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("http://")
            .context("the demo speaks plain HTTP on loopback only")?;
        let (authority, path) = rest.split_once('/').context("the URL has no path")?;
        let mut client = Self {
            authority: authority.to_owned(),
            path: format!("/{path}"),
            next_id: 0,
        };
        let hello = json!({
            "protocolVersion": PROTOCOL,
            "capabilities": {},
            "clientInfo": { "name": "agents-demo", "version": crate::VERSION },
        });
        client.request("initialize", &hello).await?;
        Ok(client)
    }

    /// Calls a tool; returns its structured content.
    pub(super) async fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value> {
        let result = self
            .request(
                "tools/call",
                &json!({ "name": tool, "arguments": arguments }),
            )
            .await?;
        if result["isError"] == true {
            bail!(
                "{tool}: {}",
                result["content"][0]["text"].as_str().unwrap_or("failed")
            );
        }
        Ok(result["structuredContent"].clone())
    }

    async fn request(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.next_id += 1;
        let body =
            json!({ "jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params })
                .to_string();
        let text = self
            .post(&body)
            .await
            .with_context(|| format!("MCP {method} failed"))?;
        // JSON, or one event of a stream: `data: {…}`.
        let answers = text
            .lines()
            .map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
        let answer: Value = answers
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|value: &Value| value["id"] == self.next_id)
            .with_context(|| format!("MCP {method} was not answered: {text}"))?;
        if let Some(error) = answer.get("error") {
            bail!("MCP {method}: {error}");
        }
        Ok(answer["result"].clone())
    }

    async fn post(&self, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.authority).await?;
        // HTTP/1.0: the answer ends with the connection and comes in one piece, not in chunks.
        let request = format!(
            "POST {} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {PROTOCOL}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.path,
            self.authority,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("the answer has no body")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        anyhow::ensure!(status == "200", "HTTP {status}: {body}");
        Ok(body.to_owned())
    }
}
