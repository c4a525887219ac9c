//! A scripted remote agent: an A2A server over JSON-RPC and HTTP+JSON that does what a test says,
//! faults included, and remembers every call.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One call that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The operation, as JSON-RPC names it.
    pub(crate) method: String,
    pub(crate) params: Value,
    pub(crate) headers: HeaderMap,
    /// Calls of this operation before it.
    pub(crate) nth: usize,
}

/// What the remote does with a call.
pub(crate) enum Reply {
    /// A result.
    Result(Value),
    /// An error of A2A.
    Error(i32, &'static str),
    /// A bare HTTP answer.
    Http(StatusCode, &'static str),
    /// A redirect.
    Redirect(String),
    /// A stream.
    Stream(Vec<Beat>),
    /// No answer, ever.
    Never,
}

/// One beat of a stream.
pub(crate) enum Beat {
    Event(Value),
    /// The connection breaks.
    Break,
    /// Nothing more, and the stream stays open.
    Hang,
}

type Script = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;

#[derive(Clone)]
struct Shared {
    script: Script,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// A running remote.
pub(crate) struct Remote {
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    end: CancellationToken,
    tracker: TaskTracker,
}

impl Remote {
    pub(crate) async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared {
            script: Arc::new(script),
            calls: Arc::clone(&calls),
        };
        let app = Router::new().fallback(serve).with_state(shared);
        let (end, tracker) = (CancellationToken::new(), TaskTracker::new());
        let stop = end.clone();
        tracker.spawn(async move {
            tokio::select! {
                served = async { axum::serve(listener, app).await } => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        Self {
            url,
            calls,
            end,
            tracker,
        }
    }

    /// The operations called so far, in order.
    pub(crate) fn methods(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|call| call.method.clone()).collect()
    }

    /// The calls of one operation.
    pub(crate) fn calls(&self, method: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        let of = calls.iter().filter(|call| call.method == method);
        of.cloned().collect()
    }

    /// Takes no further connections.
    pub(crate) async fn stop(self) {
        self.end.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// The operation and parameters of a request, of either binding.
fn decode(method: &Method, uri: &Uri, body: &Bytes) -> (String, Value, bool) {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let Some(path) = uri.path().strip_prefix("/rest/") else {
        let name = body["method"].as_str().unwrap_or_default().to_owned();
        return (name, body["params"].clone(), true);
    };
    let (last, verb) = path.rsplit_once(':').unwrap_or((path, ""));
    let id = last.rsplit('/').next().unwrap_or_default();
    let name = match (method.as_str(), verb) {
        ("POST", "send") => "SendMessage",
        ("POST", "stream") => "SendStreamingMessage",
        ("GET", "") => "GetTask",
        ("POST", "cancel") => "CancelTask",
        ("GET" | "POST", "subscribe") => "SubscribeToTask",
        _ => "unknown",
    };
    let params = if body.is_null() {
        json!({"id": id})
    } else {
        body
    };
    (name.to_owned(), params, false)
}

async fn serve(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (name, params, rpc) = decode(&method, &uri, &body);
    let call = {
        let mut calls = shared.calls.lock().unwrap();
        let nth = calls.iter().filter(|call| call.method == name).count();
        let call = Call {
            method: name,
            params,
            headers,
            nth,
        };
        calls.push(call.clone());
        call
    };
    let wrap = move |value: Value| {
        if rpc {
            json!({"jsonrpc": "2.0", "id": 1, "result": value})
        } else {
            value
        }
    };
    match (shared.script)(&call) {
        Reply::Result(value) => axum::Json(wrap(value)).into_response(),
        Reply::Error(code, words) if rpc => {
            let error =
                json!({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": words}});
            axum::Json(error).into_response()
        }
        Reply::Error(code, words) => {
            let reason = a2a::error_reason(code);
            let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason, "domain": "a2a-protocol.org"});
            let error = json!({"error": {"code": 400, "message": words, "details": [info]}});
            (StatusCode::BAD_REQUEST, axum::Json(error)).into_response()
        }
        Reply::Http(status, body) => (status, body).into_response(),
        Reply::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response(),
        Reply::Stream(beats) => stream(beats, wrap),
        Reply::Never => std::future::pending().await,
    }
}

fn stream(beats: Vec<Beat>, wrap: impl Fn(Value) -> Value + Send + 'static) -> Response {
    let bytes = futures::stream::iter(beats).then(move |beat| {
        let event = match &beat {
            Beat::Event(event) => format!("data: {}\n\n", wrap(event.clone())),
            Beat::Break | Beat::Hang => String::new(),
        };
        async move {
            // Whenever the body has nothing to give, what it gave before leaves the machine.
            tokio::task::yield_now().await;
            match beat {
                Beat::Event(_) => Ok(event),
                Beat::Break => Err(std::io::Error::other("the connection breaks")),
                Beat::Hang => std::future::pending().await,
            }
        }
    });
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(bytes),
    )
        .into_response()
}
