//! One HTTP/1.1 exchange on a Unix socket. A connection each: a parked call occupies its own anyway.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::{Method, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use mesh_agents_core::refusal::{Code, Refusal};

use crate::local::UnixStream;

/// An attached connection that is silent for this long belongs to an engine that hangs; the engine
/// gives a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// Nobody listens.
    #[error("{0}")]
    NoEngine(io::Error),
    /// The connection ended before the answer did.
    #[error("{0}")]
    Broken(String),
}

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub(super) struct Request {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Request {
    pub(super) fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(super) fn post(path: &str, body: Bytes) -> Self {
        Self {
            method: Method::POST,
            path: path.to_owned(),
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// Sends a request and reads the whole answer: a body, or the engine's refusal.
pub(super) async fn send(
    socket: &Path,
    request: Request,
) -> Result<Result<Bytes, Refusal>, WireError> {
    let exchange = async |response: Response<Incoming>| {
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| WireError::Broken(error.to_string()))?;
        Ok(answer(status, body.to_bytes()))
    };
    connected(socket, request, exchange).await
}

/// Holds an endless answer open until it ends or falls silent.
pub(super) async fn hold(socket: &Path, path: &str) -> Result<(), WireError> {
    let exchange = async |response: Response<Incoming>| {
        let mut body = response.into_body();
        loop {
            match tokio::time::timeout(SILENCE, body.frame()).await {
                Ok(Some(Ok(_beat))) => {}
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(WireError::Broken(error.to_string())),
                Err(_silent) => return Err(WireError::Broken("the engine fell silent".to_owned())),
            }
        }
    };
    connected(socket, Request::get(path), exchange).await
}

/// A connection whose two ends have left HTTP.
pub(crate) type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// Asks for a connection of another protocol.
pub(super) async fn upgrade(
    socket: &Path,
    path: &str,
    protocol: &str,
) -> Result<Result<Upgraded, Refusal>, WireError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(WireError::NoEngine)?;
    let broken = |error: hyper::Error| WireError::Broken(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let request = hyper::Request::post(path)
        .header(HOST, "engine")
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, protocol)
        .body(Empty::<Bytes>::new())
        .map_err(|error| WireError::Broken(error.to_string()))?;
    let conversation = async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
            return Ok(Ok(TokioIo::new(upgraded)));
        }
        let status = response.status();
        let body = response.into_body().collect().await.map_err(broken)?;
        Ok(match answer(status, body.to_bytes()) {
            Err(refusal) => Err(refusal),
            Ok(_) => Err(Refusal::new(
                Code::Internal,
                format!("the engine answered {status} instead of a link"),
            )),
        })
    };
    // Both are driven here; the connection is done when the conversation has what it asked for.
    let (said, _ended) = tokio::join!(conversation, connection.with_upgrades());
    said
}

async fn connected<T>(
    socket: &Path,
    request: Request,
    exchange: impl AsyncFnOnce(Response<Incoming>) -> Result<T, WireError>,
) -> Result<T, WireError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(WireError::NoEngine)?;
    let broken = |error: hyper::Error| WireError::Broken(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let mut wire = hyper::Request::builder()
        .method(request.method)
        .uri(request.path)
        .header(HOST, "engine");
    wire = wire.header(CONTENT_TYPE, "application/json");
    for (name, value) in &request.headers {
        wire = wire.header(*name, value);
    }
    let wire = wire
        .body(Full::new(request.body))
        .map_err(|error| WireError::Broken(error.to_string()))?;
    let mut connection = std::pin::pin!(connection);
    let conversation = async {
        let response = sender.send_request(wire).await.map_err(broken)?;
        exchange(response).await
    };
    let mut conversation = std::pin::pin!(conversation);
    // Both are driven here: no task is left behind when a caller goes away.
    tokio::select! {
        result = &mut conversation => result,
        ended = &mut connection => match ended {
            // The connection may be done before the last bytes of the answer were taken from it.
            Ok(()) => conversation.await,
            Err(error) => Err(broken(error)),
        },
    }
}

fn answer(status: StatusCode, body: Bytes) -> Result<Bytes, Refusal> {
    if status.is_success() {
        return Ok(body);
    }
    let refusal: Option<Refusal> = serde_json::from_slice(&body).ok();
    Err(refusal.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&body);
        let text: String = text.chars().take(200).collect();
        Refusal::new(
            Code::Internal,
            format!("the engine answered {status}: {text}"),
        )
    }))
}
