//! The way bytes travel to a remote agent and back: HTTP, or a stream of the mesh. The A2A transports
//! above do not know which they use.

mod mesh;

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, LOCATION};
use reqwest::{Client, Method, Url};
use tokio::time::timeout;

use super::fault::{Fault, Stage, words};

pub(crate) use mesh::MeshPipe;
pub use mesh::{Dial, MeshStream};

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// How long the first byte of the answer may take; `None` where the remote may rightly think
    /// as long as the task may take.
    pub(crate) patience: Option<Duration>,
}

/// One answer, its body still on the way.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) location: Option<String>,
    /// The `ETag`.
    pub(crate) tag: Option<String>,
    /// Where the part of a content begins that this is (`Content-Range`).
    pub(crate) begins_at: Option<u64>,
    pub(crate) body: BoxStream<'static, Result<Bytes, Fault>>,
}

/// Sends requests to one remote.
#[async_trait]
pub(crate) trait Pipe: Send + Sync {
    /// Sends one request and waits for the head of its answer.
    async fn send(&self, request: Request) -> Result<Response, Fault>;

    /// Waits until there is another way to the remote than there is at this call; for ever, where only a try
    /// can tell.
    fn back(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// HTTP.
#[derive(Debug, Clone)]
pub(crate) struct HttpPipe {
    client: Client,
    /// Longest silence within an answer. Event streams say something every 15 s or so, if only a
    /// comment; after a longer silence the connection is taken for lost and made anew.
    idle: Duration,
}

impl HttpPipe {
    pub(crate) fn new(client: Client, idle: Duration) -> Self {
        Self { client, idle }
    }
}

#[async_trait]
impl Pipe for HttpPipe {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let mut builder = self
            .client
            .request(request.method, request.url)
            .headers(request.headers);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let sent = builder.send();
        let answer = match request.patience {
            Some(limit) => timeout(limit, sent).await.map_err(|_| silent(limit))?,
            None => sent.await,
        };
        let answer = answer.map_err(|error| fault_of(&error))?;
        let header = |name| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(words(value))
        };
        let idle = self.idle;
        Ok(Response {
            status: answer.status().as_u16(),
            content_type: header(CONTENT_TYPE).unwrap_or_default(),
            location: header(LOCATION),
            tag: header(ETAG),
            begins_at: header(CONTENT_RANGE).as_deref().and_then(first_byte),
            body: until_silent(answer.bytes_stream().boxed(), idle),
        })
    }
}

/// The body, ended by a fault when nothing comes for `idle`.
fn until_silent(
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    idle: Duration,
) -> BoxStream<'static, Result<Bytes, Fault>> {
    futures::stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        match timeout(idle, body.next()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(body))),
            Ok(Some(Err(error))) => Some((Err(fault_of(&error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(silent(idle)), None)),
        }
    })
    .boxed()
}

impl Response {
    /// The whole body, at most `limit` bytes.
    pub(crate) async fn collect(mut self, limit: usize) -> Result<Bytes, Fault> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.body.next().await {
            let bytes = bytes?;
            if whole.len() + bytes.len() > limit {
                return Err(Fault::TooLarge { limit });
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }
}

/// The first byte in a `Content-Range`.
fn first_byte(range: &str) -> Option<u64> {
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .parse()
        .ok()
}

fn silent(limit: Duration) -> Fault {
    Fault::Broken {
        cause: format!("nothing was heard for {} s", limit.as_secs()),
    }
}

fn fault_of(error: &reqwest::Error) -> Fault {
    let causes = causes(error);
    // The innermost cause says most, and the outer ones repeat the URL.
    let cause = words(&causes.last().cloned().unwrap_or_default());
    if !error.is_connect() {
        return Fault::Broken { cause };
    }
    let all = causes.join(": ");
    let stage = if all.contains("dns error") || all.contains("failed to lookup address") {
        Stage::Name
    } else if refused(error) {
        Stage::Refused
    } else if [
        "ertificate",
        "tls",
        "TLS",
        "handshake",
        "HandshakeFailure",
        "CorruptMessage",
    ]
    .iter()
    .any(|word| all.contains(word))
    {
        Stage::Tls
    } else {
        Stage::Other
    };
    Fault::Unconnected { stage, cause }
}

fn causes(error: &reqwest::Error) -> Vec<String> {
    let mut found = vec![error.to_string()];
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        found.push(cause.to_string());
        next = cause.source();
    }
    found
}

fn refused(error: &reqwest::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        next = cause.source();
    }
    false
}
