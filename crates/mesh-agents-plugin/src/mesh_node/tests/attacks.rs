//! What a hostile node does to an honest one, over real streams: `callers` opens them, `owners` answers on
//! them, `claims` pretends to be somebody else. `crates/mesh-agents-mesh/ATTACKS.md` lists all of it.
//!
//! Where time matters it stands still and jumps ahead when nothing else happens; there are no engines in
//! those worlds, whose threads it would not wait for.

mod callers;
mod claims;
mod lines;
mod names;
mod owners;
mod quiet;

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
        Ok(self.node.open(whom).await?.1)
    }

    /// The same with HTTP on it.
    async fn http(&self, to: &MeshPeerId) -> SendRequest<Full<Bytes>> {
        let stream = self.opens(to).await.unwrap();
        let (http, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        self.node.0.config.tasks.spawn(async move {
            let _ends = connection.await;
        });
        http
    }

    /// One request on a stream of its own: the status and the body.
    async fn asks(&self, to: &MeshPeerId, method: Method, path: &str, body: &str) -> (u16, String) {
        let mut http = self.http(to).await;
        let answer = http.send_request(request(method, path, body)).await;
        read(answer.unwrap()).await
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
        self.node.0.config.tasks.wait().await;
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

async fn read(answer: Response<Incoming>) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// [`until`] where time jumps and patience costs nothing.
async fn soon(condition: impl AsyncFn() -> bool) {
    let met = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1_000), met)
        .await
        .expect("what was waited for did not happen");
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
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _broken = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
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

fn allow(key: NodeKey, what: &str) -> String {
    format!("[peers.\"{key}\"]\nallow = [\"{what}\"]\n")
}
