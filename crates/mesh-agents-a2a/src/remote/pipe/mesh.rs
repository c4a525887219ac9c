//! HTTP/1.1 over streams of the mesh: one request at a time on each, kept for the next one while idle.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderValue, Request as HttpRequest, header};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http_body_util::{BodyDataStream, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mesh_agents_core::run::Away;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{Pipe, Request, Response, first_byte, silent};
use crate::remote::fault::{Fault, Stage, words};

/// Idle streams kept to one node: a run has one open for its events and needs another now and then.
const KEPT: usize = 4;
/// Longest wait for a stream: the mesh dials a peer it lost within 10 s or not at all, and the two
/// nodes show each other who they are.
const OPEN: Duration = Duration::from_secs(20);

/// A stream to another node, both ends known to each other.
pub trait MeshStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> MeshStream for T {}

/// Opens streams to nodes of the mesh.
#[async_trait]
pub trait Dial: Send + Sync {
    /// A new stream to the node with this key (`did:key:…`), after both have shown who they are.
    ///
    /// # Errors
    /// Why there is none, in words: the node is away, unknown, or somebody else answered.
    async fn dial(&self, node: &str) -> io::Result<Box<dyn MeshStream>>;

    /// Waits until there is another way to that node than there is at this call.
    fn back(&self, node: &str) -> BoxFuture<'static, ()>;

    /// Why that node cannot be called at the moment, if that is known without asking it.
    fn away(&self, node: &str) -> Option<Away>;
}

type Sender = SendRequest<Full<Bytes>>;

/// The way to one node. Cheap to clone; clones share the idle streams.
#[derive(Clone)]
pub(crate) struct MeshPipe {
    dial: Arc<dyn Dial>,
    node: Arc<str>,
    idle: Arc<Mutex<Vec<Sender>>>,
    streams: TaskTracker,
    /// Longest silence within an answer.
    silence: Duration,
}

impl fmt::Debug for MeshPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshPipe")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl MeshPipe {
    /// The way to `node`. `streams` owns what carries the bytes.
    pub(crate) fn new(
        dial: Arc<dyn Dial>,
        node: &str,
        streams: TaskTracker,
        silence: Duration,
    ) -> Self {
        Self {
            dial,
            node: node.into(),
            idle: Arc::default(),
            streams,
            silence,
        }
    }

    /// A kept stream, or a new one.
    async fn sender(&self) -> Result<Sender, Fault> {
        loop {
            // The lock is not to be held while the stream is looked at.
            let kept = lock(&self.idle).pop();
            let Some(mut kept) = kept else { break };
            if !kept.is_closed() && kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        self.fresh().await
    }

    async fn fresh(&self) -> Result<Sender, Fault> {
        let unconnected = |cause: String| Fault::Unconnected {
            stage: Stage::Refused,
            cause: words(&cause),
        };
        let opened = timeout(OPEN, self.dial.dial(&self.node)).await;
        let stream = opened
            .map_err(|_| unconnected(format!("no stream within {} s", OPEN.as_secs())))?
            .map_err(|error| unconnected(error.to_string()))?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unconnected(error.to_string()))?;
        self.streams.spawn(async move {
            // What breaks a stream is told to the request that is on it.
            let _ends = connection.await;
        });
        Ok(sender)
    }
}

#[async_trait]
impl Pipe for MeshPipe {
    fn back(&self) -> BoxFuture<'static, ()> {
        self.dial.back(&self.node)
    }

    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let patience = request.patience;
        let mut sender = self.sender().await?;
        let answer = sender.try_send_request(http_request(request)?);
        let answer = match patience {
            Some(limit) => timeout(limit, answer).await.map_err(|_| silent(limit))?,
            None => answer.await,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(mut unsent) => {
                // A kept stream that the other side had just given up: nothing of it was sent.
                let Some(request) = unsent.take_message() else {
                    return Err(broken(unsent.error()));
                };
                sender = self.fresh().await?;
                let again = sender.send_request(request);
                timeout(patience.unwrap_or(self.silence), again)
                    .await
                    .map_err(|_| silent(self.silence))?
                    .map_err(|error| broken(&error))?
            }
        };
        let header = |name| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(words(value))
        };
        Ok(Response {
            status: answer.status().as_u16(),
            content_type: header(header::CONTENT_TYPE).unwrap_or_default(),
            location: header(header::LOCATION),
            tag: header(header::ETAG),
            begins_at: header(header::CONTENT_RANGE)
                .as_deref()
                .and_then(first_byte),
            body: self.body(answer.into_body(), sender),
        })
    }
}

impl MeshPipe {
    /// The body, ended by a fault when nothing comes for too long. The stream is kept after its end.
    fn body(&self, body: Incoming, sender: Sender) -> BoxStream<'static, Result<Bytes, Fault>> {
        let (idle, silence) = (Arc::clone(&self.idle), self.silence);
        let begun = Some((BodyDataStream::new(body), sender));
        futures::stream::unfold(begun, move |state| {
            let idle = Arc::clone(&idle);
            async move {
                let (mut body, sender) = state?;
                match timeout(silence, body.next()).await {
                    Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some((body, sender)))),
                    Ok(Some(Err(error))) => Some((Err(broken(&error)), None)),
                    Ok(None) => {
                        let mut idle = lock(&idle);
                        if idle.len() < KEPT {
                            idle.push(sender);
                        }
                        None
                    }
                    Err(_) => Some((Err(silent(silence)), None)),
                }
            }
        })
        .boxed()
    }
}

fn http_request(request: Request) -> Result<HttpRequest<Full<Bytes>>, Fault> {
    let path = match request.url.query() {
        Some(query) => format!("{}?{query}", request.url.path()),
        None => request.url.path().to_owned(),
    };
    let body = Full::new(request.body.unwrap_or_default());
    let mut built = HttpRequest::builder()
        .method(request.method)
        .uri(path)
        .body(body)
        .map_err(|error| Fault::Unconnected {
            stage: Stage::Other,
            cause: error.to_string(),
        })?;
    *built.headers_mut() = request.headers;
    let host = HeaderValue::from_static("mesh");
    built.headers_mut().insert(header::HOST, host);
    Ok(built)
}

fn broken(error: &hyper::Error) -> Fault {
    Fault::Broken {
        cause: words(&error.to_string()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
