//! The least of an HTTP client: one connection kept open, so that what is timed is the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

/// One connection.
pub(crate) struct Http {
    reading: BufReader<Box<dyn Read>>,
    writing: Box<dyn Write>,
    host: String,
    next_id: u64,
}

impl Http {
    /// To the engine's socket; `None` when nobody listens.
    pub(crate) fn socket(path: &Path) -> Option<Self> {
        let stream = UnixStream::connect(path).ok()?;
        let writing = stream.try_clone().ok()?;
        Some(Self::over(stream, writing, "engine"))
    }

    /// To `http://HOST:PORT`.
    pub(crate) fn tcp(base: &str) -> Self {
        let host = base.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        let writing = stream.try_clone().unwrap();
        Self::over(stream, writing, host)
    }

    fn over(reading: impl Read + 'static, writing: impl Write + 'static, host: &str) -> Self {
        Self {
            reading: BufReader::new(Box::new(reading)),
            writing: Box::new(writing),
            host: host.to_owned(),
            next_id: 0,
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> Option<String> {
        let host = &self.host;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.exchange(&request)
    }

    pub(crate) fn post(&mut self, path: &str, headers: &str, body: &str) -> Option<String> {
        let (host, length) = (&self.host, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             {headers}\r\n{body}"
        );
        self.exchange(&request)
    }

    /// Calls a tool over the engine's socket.
    pub(crate) fn tool(&mut self, name: &str, arguments: &Value) -> Value {
        let path = format!("/engine/v1/tools/{name}");
        let answer = self.post(&path, "x-agents-surface: cli\r\n", &arguments.to_string());
        serde_json::from_str(&answer.unwrap()).unwrap()
    }

    /// Calls a tool over MCP.
    pub(crate) fn mcp_tool(&mut self, name: &str, arguments: &Value) -> Value {
        self.mcp(
            "tools/call",
            &json!({ "name": name, "arguments": arguments }),
        )["structuredContent"]
            .clone()
    }

    /// One MCP request; returns its result.
    pub(crate) fn mcp(&mut self, method: &str, params: &Value) -> Value {
        self.next_id += 1;
        let body =
            json!({ "jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params });
        let headers =
            "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\n";
        let text = self.post("/mcp", headers, &body.to_string()).unwrap();
        let answers = text
            .lines()
            .map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
        let mut answers = answers.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let answer = answers.find(|value| value["id"] == self.next_id).unwrap();
        assert!(
            answer["error"].is_null() && answer["result"]["isError"] != true,
            "{answer}"
        );
        answer["result"].clone()
    }

    fn exchange(&mut self, request: &str) -> Option<String> {
        self.writing.write_all(request.as_bytes()).ok()?;
        let status = self.line()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().ok()?,
                Some(("transfer-encoding", _)) => chunked = true,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).ok()?;
                self.take(size, &mut body)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.take(length, &mut body)?;
        }
        let body = String::from_utf8(body).ok()?;
        assert!(status.contains(" 20"), "{status}: {body}");
        Some(body)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reading.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }

    fn take(&mut self, size: usize, body: &mut Vec<u8>) -> Option<()> {
        let read = (&mut self.reading)
            .take(size as u64)
            .read_to_end(body)
            .ok()?;
        (read == size).then_some(())
    }
}
