//! The engine's side of its socket: what front-ends can ask of it (DESIGN §3).
//!
//! HTTP/1.1 on a Unix socket that only our own user may use, outside of runs. A front-end is the
//! person at this machine, so every call here is made by `local`. Paths begin with the protocol's number;
//! an addition keeps it, anything else changes [`PROTOCOL`].

mod care;
mod mesh;
mod peer;

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{ArtifactId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::MESSAGE_BYTES;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::ArtifactInfo;
use mesh_agents_tasks::TaskEngine;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backend::{CallMeta, Surface, ToolBackend};
use crate::mesh_link::MeshHub;
use crate::mesh_node::MeshNode;
pub use care::{BackupAnswer, BackupRequest, CheckAnswer, PruneAnswer, PruneRequest};
#[cfg(test)]
pub(crate) use mesh::routes as mesh_routes;
pub use mesh::{PeerState, PeersAnswer};
pub use peer::{InARun, OwnUser, Peer};

/// The protocol between front-ends and engines. Equal numbers understand each other.
pub const PROTOCOL: u32 = 1;
/// Header with the surface a call came in by.
pub const SURFACE_HEADER: &str = "x-agents-surface";
/// Header with the front-end process, a ULID.
pub const INSTANCE_HEADER: &str = "x-agents-instance";
/// Header that says the `message_id` is the front-end's own and not the caller's.
pub const MINTED_HEADER: &str = "x-agents-minted";

/// Header with the milliseconds a call may still be parked: less than the surface's cap when it was
/// sent before, to an engine that broke off.
pub const WAIT_HEADER: &str = "x-agents-wait-ms";

/// A message of the largest size, every byte escaped, and room for the other arguments.
const REQUEST_BYTES: usize = MESSAGE_BYTES * 7;
/// Events in one page of a log.
const EVENTS: u32 = 500;
/// A sign of life on an attached connection, so that a front-end notices an engine that hangs.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a person's command waits for an artifact that is with another node: longer than any fetch goes on.
const FETCH_PATIENCE: Duration = Duration::from_secs(20 * 60);

/// What the process around the engine does for front-ends.
pub trait EngineControl: Send + Sync {
    /// How the engine is.
    fn status(&self) -> Status;
    /// Starts to stop: waits for running tasks to end, or ends them `now`.
    fn stop(&self, now: bool);
    /// A front-end in a mesh-llm host says where that host is.
    fn report_mesh(&self, report: MeshReport);
}

/// How an engine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// [`PROTOCOL`] of its build.
    pub protocol: u32,
    /// Its process.
    pub pid: u32,
    /// Where it serves HTTP.
    pub base_url: String,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Its agents directory.
    pub agents_dir: PathBuf,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that wait.
    pub queued: u32,
    /// Front-ends attached to it.
    pub frontends: usize,
    /// Whether it is on its way out.
    pub stopping: bool,
}

/// Where a mesh-llm host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshReport {
    /// Its management API.
    pub api_url: String,
    /// Its OpenAI-compatible API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openai_url: Option<String>,
}

/// An event as it travels to front-ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// Its place in the task's log.
    pub seq: u64,
    /// When it was stored.
    pub at: UnixMillis,
    /// The event.
    pub event: TaskEvent,
}

/// A page of a task's log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LogPage {
    /// Oldest first; empty at the end of the log.
    pub events: Vec<LoggedEvent>,
}

/// The request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// End running tasks instead of waiting for them.
    pub now: bool,
}

/// What stands behind the socket.
#[derive(Clone)]
pub struct Engine {
    /// The tools.
    pub tools: Arc<dyn ToolBackend>,
    /// The tasks, for logs and raw artifacts.
    pub tasks: TaskEngine,
    /// The process around it.
    pub control: Arc<dyn EngineControl>,
    /// The mesh, as far as a plugin of a host is linked.
    pub mesh: MeshHub,
    /// This node among others.
    pub node: Option<MeshNode>,
    /// Attached front-ends, counted here.
    pub frontends: watch::Sender<usize>,
    /// Cancelled when the engine ends.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

/// The routes of the socket. To be served with [`Peer`] as connect info: without it every call is
/// refused.
pub fn router(engine: Engine) -> Router {
    let peers = mesh::routes(engine.mesh.clone(), engine.node.clone());
    Router::new()
        .route("/engine/v1/status", get(status))
        .route("/engine/v1/attach", get(attach))
        .route("/engine/v1/stop", post(stop))
        .route("/engine/v1/mesh", post(mesh))
        .route("/engine/v1/prune", post(care::prune))
        .route("/engine/v1/backup", post(care::backup))
        .route("/engine/v1/check", get(care::check))
        .route("/engine/v1/tools/{name}", post(tool))
        .route("/engine/v1/tasks/{task}/events", get(events))
        .route("/engine/v1/tasks/{task}/artifact", get(artifact))
        .route("/engine/v1/tasks/{task}/artifacts", get(artifacts))
        .with_state(engine)
        .merge(peers)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .layer(axum::middleware::from_fn(peer::refuse_runs))
}

async fn status(State(engine): State<Engine>) -> Json<Status> {
    Json(engine.control.status())
}

async fn stop(State(engine): State<Engine>, Json(stop): Json<Stop>) -> StatusCode {
    engine.control.stop(stop.now);
    StatusCode::ACCEPTED
}

async fn mesh(State(engine): State<Engine>, Json(report): Json<MeshReport>) -> StatusCode {
    engine.control.report_mesh(report);
    StatusCode::ACCEPTED
}

/// One attached front-end, counted while its connection lasts.
struct Attached(watch::Sender<usize>);

impl Attached {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

async fn attach(State(engine): State<Engine>) -> Response {
    let attached = Attached::new(&engine.frontends);
    let beats = stream::unfold(
        (attached, engine.stop, true),
        |(attached, stop, first)| async move {
            if !first {
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = tokio::time::sleep(HEARTBEAT) => {}
                }
            }
            let beat: Result<Bytes, io::Error> = Ok(Bytes::from_static(b"\n"));
            Some((beat, (attached, stop, false)))
        },
    );
    Body::from_stream(beats).into_response()
}

async fn tool(
    State(engine): State<Engine>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Refused> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let surface = Surface::from_str(text(SURFACE_HEADER).unwrap_or_default())
        .map_err(|error| invalid(format!("header {SURFACE_HEADER}: {error}")))?;
    let args = JsonText::parse(&body)
        .map_err(|error| invalid(format!("the arguments are not JSON: {error}")))?;
    let left = text(WAIT_HEADER).and_then(|text| text.parse().ok());
    let wait_cap = left
        .map_or(surface.wait_cap(), Duration::from_millis)
        .min(surface.wait_cap());
    let meta = CallMeta {
        wait_cap,
        instance: text(INSTANCE_HEADER).map(str::to_owned),
        minted: text(MINTED_HEADER).is_some(),
        ..CallMeta::local(surface)
    };
    let result = engine
        .tools
        .call(meta, &name, args)
        .await
        .map_err(Refused)?;
    Ok((
        [(header::CONTENT_TYPE, "application/json")],
        result.as_str().to_owned(),
    )
        .into_response())
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn events(
    State(engine): State<Engine>,
    Path(task): Path<String>,
    Query(query): Query<After>,
) -> Result<Json<LogPage>, Refused> {
    let task = task_id(&task)?;
    let events = engine
        .tasks
        .events(&Caller::local(), &task, query.after, EVENTS)
        .await
        .map_err(Refused)?;
    let logged = |event: mesh_agents_tasks::StoredEvent| LoggedEvent {
        seq: event.seq,
        at: event.at,
        event: event.event,
    };
    Ok(Json(LogPage {
        events: events.into_iter().map(logged).collect(),
    }))
}

#[derive(Deserialize)]
struct WhichArtifact {
    id: String,
}

async fn artifact(
    State(engine): State<Engine>,
    Path(task): Path<String>,
    Query(query): Query<WhichArtifact>,
) -> Result<Vec<u8>, Refused> {
    let task = task_id(&task)?;
    let artifact: ArtifactId = query
        .id
        .parse()
        .map_err(|error| invalid(format!("{error}")))?;
    let found = engine
        .tasks
        .artifact_within(&Caller::local(), &task, &artifact, FETCH_PATIENCE)
        .await;
    found.map(|(_, content)| content).map_err(Refused)
}

async fn artifacts(
    State(engine): State<Engine>,
    Path(task): Path<String>,
) -> Result<Json<Vec<ArtifactInfo>>, Refused> {
    let view = engine.tasks.view(&Caller::local(), &task_id(&task)?).await;
    view.map(|view| Json(view.artifacts)).map_err(Refused)
}

fn task_id(text: &str) -> Result<TaskId, Refused> {
    text.parse().map_err(|error| invalid(format!("{error}")))
}

fn invalid(message: String) -> Refused {
    Refused(Refusal::new(Code::InvalidArgument, message))
}

/// A refusal as it travels: its own JSON, under a status no success has.
struct Refused(Refusal);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::UNPROCESSABLE_ENTITY, Json(self.0)).into_response()
    }
}
