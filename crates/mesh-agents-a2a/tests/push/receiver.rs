//! A receiver of notifications on an ephemeral port of this machine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What a receiver answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16),
    Redirect(String),
    /// It takes the request and never answers.
    Never,
}

impl Answer {
    pub(crate) fn ok() -> Self {
        Self::Status(200)
    }
}

/// A port where nobody listens, and nobody else comes to listen while this is held; its url.
pub(crate) fn down() -> (TcpSocket, String) {
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/", held.local_addr().unwrap());
    (held, url)
}

/// A notification as it arrived.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The state of a status update, without its prefix.
    pub(crate) fn state(&self) -> String {
        let json = self.json();
        let state = json["statusUpdate"]["status"]["state"].as_str();
        let state = state.unwrap_or_else(|| panic!("no status update: {}", self.body));
        state.trim_start_matches("TASK_STATE_").to_owned()
    }

    /// The artifact of an artifact update.
    pub(crate) fn artifact(&self) -> String {
        let json = self.json();
        let id = json["artifactUpdate"]["artifact"]["artifactId"].as_str();
        id.unwrap_or_else(|| panic!("no artifact: {}", self.body))
            .to_owned()
    }
}

#[derive(Debug)]
struct Script {
    first: VecDeque<u16>,
    then: Answer,
}

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<Script>>,
    told: mpsc::UnboundedSender<Told>,
}

/// Answers as scripted and keeps what it is told. Stops when dropped.
pub(crate) struct Receiver {
    base: String,
    shared: Shared,
    told: mpsc::UnboundedReceiver<Told>,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    pub(crate) async fn start(then: Answer) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let script = Script {
            first: VecDeque::new(),
            then,
        };
        let shared = Shared {
            script: Arc::new(Mutex::new(script)),
            told: sender,
        };
        let app = Router::new().fallback(take).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            base,
            shared,
            told,
            server,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Answers these statuses first, then as before.
    pub(crate) fn answer_first(&self, statuses: impl IntoIterator<Item = u16>) {
        self.shared.script.lock().unwrap().first.extend(statuses);
    }

    pub(crate) fn answer(&self, then: Answer) {
        self.shared.script.lock().unwrap().then = then;
    }

    /// What it was told next.
    pub(crate) async fn next(&mut self) -> Told {
        let told = tokio::time::timeout(Duration::from_secs(60), self.told.recv()).await;
        told.expect("the receiver is told").unwrap()
    }

    /// Whether it was told nothing since; to be asked when the worker has stopped.
    pub(crate) async fn nothing_more(&mut self) {
        if let Ok(told) = self.told.try_recv() {
            panic!("told without need: {told:?}");
        }
    }
}

async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let told = Told {
        path: uri.to_string(),
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let answer = {
        let mut script = shared.script.lock().unwrap();
        let first = script.first.pop_front().map(Answer::Status);
        first.unwrap_or_else(|| script.then.clone())
    };
    let _test_over = shared.told.send(told);
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Answer::Never => std::future::pending().await,
    }
}
