//! What a hostile node does to an honest one, over real streams: `streams` opens them and keeps them, `callers`
//! asks on them, `owners` answers on them, `claims` pretends to be somebody else. `crates/mesh-agents-mesh/ATTACKS.md` lists all of it.
//!
//! Where time matters it stands still and jumps ahead when nothing else happens; there are no engines in
//! those worlds, whose threads it would not wait for.

mod callers;
mod claims;
mod full_disk;
mod names;
mod owners;
mod quiet;
mod streams;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mesh_agents_mesh::handshake::Whom;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::mesh_link::MeshStream;
use crate::mesh_node::{greet, life, serve};

/// A node without an engine: who calls it meets `a2a`.
struct Bare {
    node: MeshNode,
    id: MeshPeerId,
    dir: TempDir,
}

impl Bare {
    /// A node with its streams open and nothing going on by itself.
    fn idle(mesh: &MemoryMesh, number: u8) -> Self {
        Self::made(mesh, number, |config| config)
    }

    fn made(
        mesh: &MemoryMesh,
        number: u8,
        change: impl FnOnce(MeshNodeConfig) -> MeshNodeConfig,
    ) -> Self {
        let (id, dir) = (peer_id(number), tempfile::tempdir().unwrap());
        let config = change(config(mesh, number, &id, dir.path().join("acl.toml")));
        let node = MeshNode::new(config).unwrap();
        Self { node, id, dir }
    }

    /// Begins, with this list and the agent `echo`; takes streams when this returns.
    async fn begin(self, list: &str, a2a: Router) -> Self {
        write_list(self.dir.path(), list);
        self.node.set_local(agents_of(vec![offered("echo")]));
        life::begin(&self.node, serve::app(&self.node, a2a)).await;
        until(async || !self.node.state().bulletin.agents().is_empty()).await;
        self
    }

    /// An honest owner of `echo`.
    async fn owner(mesh: &MemoryMesh, number: u8) -> Self {
        let a2a = Router::new().fallback(|| async { "called" });
        Self::idle(mesh, number).begin("", a2a).await
    }

    /// Takes streams, and answers on them with `app` alone.
    async fn answers(self, app: Router) -> Self {
        let accepting = serve::accept(self.node.clone(), app);
        self.node.0.config.tasks.spawn(accepting);
        // It is at it once there is nothing else to do.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self
    }

    /// A stream whose ends know each other.
    async fn opens(&self, to: &MeshPeerId) -> io::Result<greet::Greeted> {
        let whom = Whom {
            peer_id: to.clone(),
            key: None,
        };
        Ok(patient("a stream", self.node.open(whom)).await?.1)
    }

    /// A stream on which nobody has said anything.
    async fn raw(&self, to: &MeshPeerId) -> MeshStream {
        let opened = patient("a raw stream", self.node.link().open(to));
        opened.await.unwrap()
    }

    /// The same with HTTP on it.
    async fn http(&self, to: &MeshPeerId) -> SendRequest<Full<Bytes>> {
        let stream = self.opens(to).await.unwrap();
        let shaken = patient("HTTP", handshake(TokioIo::new(stream))).await;
        let (http, connection) = shaken.unwrap();
        self.node.0.config.tasks.spawn(async move {
            let _ends = connection.await;
        });
        http
    }

    /// One request on a stream of its own: the status and the body.
    async fn asks(&self, to: &MeshPeerId, method: Method, path: &str, body: &str) -> (u16, String) {
        let mut http = self.http(to).await;
        sends(&mut http, request(method, path, body)).await
    }

    async fn gets(&self, to: &MeshPeerId, path: &str) -> (u16, String) {
        self.asks(to, Method::GET, path, "").await
    }

    /// What it knows of the agents of `key`.
    fn knows(&self, key: NodeKey) -> Vec<String> {
        let report = self.node.report();
        let line = report.nodes.into_iter().find(|line| line.peer_id == key);
        line.map(|line| line.agents).unwrap_or_default()
    }

    /// Leaves, and waits for everything it began.
    async fn leave(self, mesh: &MemoryMesh) {
        mesh.leave(&self.id);
        self.node.0.config.end.cancel();
        self.node.0.config.tasks.close();
        patient(
            "the end of the node's tasks",
            self.node.0.config.tasks.wait(),
        )
        .await;
    }
}

fn agents_of(agents: Vec<AgentDefinition>) -> Agents {
    let ready = agents
        .into_iter()
        .map(|one| (one.id.clone(), Arc::new(one)));
    Agents {
        ready: Arc::new(ready.collect()),
        broken: Arc::default(),
    }
}

fn request(method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "mesh")
        .header("content-type", "application/json")
        .header("a2a-version", "1.0")
        .body(Full::new(body.to_owned().into()))
        .unwrap()
}

/// The status and the body of an answer.
async fn read(answer: Response<Incoming>) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = patient("a body", answer.into_body().collect()).await;
    let body = body.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// One request on a stream that is there, and its head.
async fn heads(
    http: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Response<Incoming> {
    let what = format!("an answer to {} {}", request.method(), request.uri());
    patient(&what, http.send_request(request)).await.unwrap()
}

/// The same with its body.
async fn sends(
    http: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> (u16, String) {
    read(heads(http, request).await).await
}

/// Waits long enough for anything, also where every limit of a node passes one after the other. Where time
/// jumps this costs nothing.
#[track_caller]
fn patient<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    within(1_000, what, future)
}

/// [`until`] where time jumps and patience costs nothing.
#[track_caller]
fn soon(condition: impl AsyncFn() -> bool) -> impl Future<Output = ()> {
    let met = async move {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    patient("the condition", met)
}

/// Writes these bytes again and again, a pause after each, until the other side is tired of it.
#[track_caller]
fn drips(
    stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: &[u8],
    pause: Duration,
) -> impl Future<Output = ()> {
    patient("an end of what drips", async move {
        while stream.write_all(bytes).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    })
}

/// Counts what is under way.
struct Under(Arc<AtomicUsize>);

impl Under {
    fn way(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes until the other side closes, or breaks off.
#[track_caller]
fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> impl Future<Output = String> {
    patient("the end of a stream", async move {
        let mut bytes = Vec::new();
        let _broken = stream.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A body without end, in pieces of 64 KiB, and how many of them were taken.
fn endless() -> (axum::body::Body, Arc<AtomicUsize>) {
    let taken = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&taken);
    let pieces = futures::stream::repeat_with(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, io::Error>(Bytes::from_static(&[b'x'; PIECE]))
    });
    (axum::body::Body::from_stream(pieces), taken)
}

/// A list that lets all nodes call all agents.
const EVERYBODY: &str = "[everyone]\nallow = [\"*\"]\n";
const PIECE: usize = 64 * 1024;
const ECHO: &str = "/a2a/agents/echo";

fn seconds(since: Instant) -> u64 {
    since.elapsed().as_secs()
}

fn allow(key: NodeKey, what: &str) -> String {
    format!("[peers.\"{key}\"]\nallow = [\"{what}\"]\n")
}
