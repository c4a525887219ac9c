//! A client of the JSON-RPC binding: one connection kept open, no more work than it takes to ask and to count.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use ulid::Ulid;

/// One connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    path: String,
    /// Drives the connection, and ends with this value.
    _driver: JoinSet<()>,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Self {
        let (host, path) = url
            .strip_prefix("http://")
            .unwrap()
            .split_once('/')
            .unwrap();
        let stream = TcpStream::connect(host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // A server that ends closes it; whoever waits for an answer then says so.
            let _closed = connection.await;
        });
        Self {
            sender,
            host: host.to_owned(),
            path: format!("/{path}"),
            _driver: driver,
        }
    }

    async fn post(&mut self, method: &str, params: &Value) -> Response<Incoming> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = Request::post(&self.path)
            .header("Host", &self.host)
            .header("Content-Type", "application/json")
            .header("A2A-Version", "1.0")
            .body(Full::from(body.to_string()))
            .unwrap();
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        assert!(response.status().is_success(), "{method}: {response:?}");
        response
    }

    /// Asks and returns the answer as it came.
    pub(crate) async fn ask(&mut self, method: &str, params: &Value) -> Bytes {
        let body = self.post(method, params).await.into_body();
        body.collect().await.unwrap().to_bytes()
    }

    /// Asks and returns the result.
    pub(crate) async fn call(&mut self, method: &str, params: &Value) -> Value {
        let answer = self.ask(method, params).await;
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Sends a message that begins a task, and returns the task's id.
    pub(crate) async fn begin(&mut self, text: &str) -> String {
        let params = begin(text);
        let result = self.call("SendMessage", &params).await;
        result["task"]["id"].as_str().unwrap().to_owned()
    }

    /// Opens the stream of a task.
    pub(crate) async fn subscribe(mut self, task: &str) -> Events {
        let params = json!({"id": task});
        let body = self.post("SubscribeToTask", &params).await.into_body();
        Events {
            body,
            text: Vec::new(),
            _client: self,
        }
    }
}

/// The parameters of a send that begins a task and does not wait for it.
pub(crate) fn begin(text: &str) -> Value {
    json!({
        "message": {"messageId": Ulid::new().to_string(), "role": "ROLE_USER", "parts": [{"text": text}]},
        "configuration": {"returnImmediately": true},
    })
}

/// A stream of events.
pub(crate) struct Events {
    body: Incoming,
    text: Vec<u8>,
    _client: Client,
}

impl Events {
    /// The next event, with its fields as they came; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        // Where the end may still be: a piece is searched once.
        let mut searched = 0;
        loop {
            let end = self.text[searched..]
                .windows(2)
                .position(|two| two == b"\n\n");
            if let Some(end) = end {
                let rest = self.text.split_off(searched + end + 2);
                return Some(std::mem::replace(&mut self.text, rest));
            }
            searched = self.text.len().saturating_sub(1);
            let frame = self.body.frame().await?.ok()?;
            self.text.extend_from_slice(frame.data_ref()?);
        }
    }
}
