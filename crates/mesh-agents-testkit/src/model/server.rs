//! HTTP around the dialects: routes, pace, hanging, and noticing a client that leaves.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::{Answer, Reply, prepare};
use super::chat;
use super::log::{Exchange, Log, LogEntry};
use super::script::{ErrorAnswer, Script};

/// Largest request: a harness that resends a long session with its tools stays far below.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

const CHAT_PATH: &str = "/v1/chat/completions";

/// What all requests share.
#[derive(Debug)]
pub(super) struct Server {
    script: Mutex<Arc<Script>>,
    pub(super) log: Log,
    /// Becomes true, or loses its sender, when the server stops.
    stop: watch::Receiver<bool>,
}

impl Server {
    pub(super) fn new(script: Script, stop: watch::Receiver<bool>) -> Self {
        Self {
            script: Mutex::new(Arc::new(script)),
            log: Log::new(),
            stop,
        }
    }

    pub(super) fn set_script(&self, script: Script) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    fn script(&self) -> Arc<Script> {
        self.script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn stopped(&self) {
        // An error means that the owner is gone, which is a stop too.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }
}

/// All routes.
pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/v1/models", get(models))
        .route(CHAT_PATH, post(chat_completions))
        .route("/__log", get(show_log))
        .route("/__script", post(replace_script))
        .route("/__reset", post(reset))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(server)
}

async fn models(State(server): State<Arc<Server>>) -> Json<Value> {
    let model =
        |id: String| json!({ "id": id, "object": "model", "created": 0, "owned_by": "testkit" });
    let data: Vec<Value> = server.script().models().into_iter().map(model).collect();
    Json(json!({ "object": "list", "data": data }))
}

async fn show_log(State(server): State<Arc<Server>>) -> Json<Vec<LogEntry>> {
    Json(server.log.entries())
}

async fn replace_script(State(server): State<Arc<Server>>, Json(script): Json<Value>) -> Response {
    match serde_json::from_value(script) {
        Ok(script) => {
            server.set_script(script);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("not a script: {error}\n")).into_response(),
    }
}

async fn reset(State(server): State<Arc<Server>>) -> StatusCode {
    server.log.clear();
    StatusCode::NO_CONTENT
}

async fn chat_completions(
    State(server): State<Arc<Server>>,
    Json(request): Json<Value>,
) -> Response {
    let script = server.script();
    let conversation = chat::read(&request);
    let chosen = script.choose(&conversation);
    let exchange = server.log.open(LogEntry {
        path: CHAT_PATH.to_owned(),
        last_user: conversation.last_user().to_owned(),
        tools: conversation.tools.clone(),
        rule: chosen.rule,
        step: chosen.index,
        body: request.clone(),
        ..LogEntry::default()
    });
    let latency = Duration::from_millis(chosen.step.latency_ms);
    tokio::select! {
        () = tokio::time::sleep(latency) => {}
        () = server.stopped() => return stopping(exchange),
    }
    match prepare(&script, chosen.step, &conversation) {
        Ok(Reply::Answer(answer)) if request["stream"] == true => {
            let pieces = chat::pieces(&answer, &request, exchange.seq);
            stream(server, exchange, &answer, pieces)
        }
        Ok(Reply::Answer(answer)) if answer.hang => {
            server.stopped().await;
            stopping(exchange)
        }
        Ok(Reply::Answer(answer)) => {
            let body = chat::whole(&answer, &request, exchange.seq);
            exchange.finish();
            Json(body).into_response()
        }
        Ok(Reply::Error(error)) => {
            exchange.finish();
            error_response(&error)
        }
        Err(problem) => {
            exchange.fail(&problem);
            let message = format!("scripted-model: {problem}");
            // 400, because harnesses repeat a 5xx for a minute in silence.
            let body = json!({ "error": { "message": message, "type": "scripted_model" } });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

/// An event stream of `pieces` at the answer's pace; a hanging one stays open after them.
fn stream(
    server: Arc<Server>,
    exchange: Exchange,
    answer: &Answer,
    pieces: Vec<String>,
) -> Response {
    let (delay, hang) = (answer.chunk_delay, answer.hang);
    let state = (server, exchange, pieces.into_iter());
    let events = futures::stream::unfold(Some(state), move |state| async move {
        let (server, exchange, mut pieces) = state?;
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = server.stopped() => {
                exchange.abandon();
                return None;
            }
        }
        match pieces.next() {
            Some(piece) => {
                let event = Ok::<_, Infallible>(format!("data: {piece}\n\n"));
                if pieces.len() == 0 && !hang {
                    exchange.finish();
                    return Some((event, None));
                }
                Some((event, Some((server, exchange, pieces))))
            }
            None => {
                server.stopped().await;
                exchange.abandon();
                None
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

fn error_response(error: &ErrorAnswer) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = HeaderMap::new();
    for (name, value) in &error.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    match &error.body {
        Value::String(text) => (status, headers, text.clone()).into_response(),
        Value::Null => {
            let body =
                json!({ "error": { "message": "scripted error", "type": "scripted_model" } });
            (status, headers, Json(body)).into_response()
        }
        body => (status, headers, Json(body.clone())).into_response(),
    }
}

fn stopping(exchange: Exchange) -> Response {
    exchange.abandon();
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
