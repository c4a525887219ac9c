//! The mesh at the engine's socket: the link of a host's plugin, and who is there.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use hyper_util::rt::TokioIo;
use mesh_agents_a2a::convert::timestamp;
use mesh_agents_core::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::Refused;
use crate::mesh_link::{
    HostPeer, LocalNode, MeshHub, MeshLink as _, MeshPeerId, Traffic, line, ping,
};
use crate::mesh_node::{
    ForgetRequest, Forgotten, MeshNode, MeshReport, PeerShown, PreferRequest, Preferred,
};

/// Peers asked at a time.
const PINGS: usize = 16;
/// How long all of them may take together; who was not heard by then is said not to have answered.
const PINGS_LIMIT: Duration = Duration::from_secs(12);

/// Who is on the mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeersAnswer {
    /// Whether a mesh-llm host is connected to this engine.
    pub linked: bool,
    /// Our own host, as it was known last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalNode>,
    /// The others, by id.
    pub peers: Vec<PeerState>,
    /// Streams of peers that were refused since the engine's start.
    pub refused_streams: u64,
    /// What went over the mesh since the engine's start.
    #[serde(default)]
    pub traffic: Traffic,
    /// The nodes behind them, as far as they showed who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshReport>,
}

/// One peer, and whether an engine of ours answers there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerState {
    /// The host's id on the mesh.
    pub mesh_peer_id: MeshPeerId,
    /// What it does there, in the host's words.
    pub role: String,
    /// Version of its host.
    pub version: String,
    /// When it came (RFC 3339).
    pub since: String,
    /// Milliseconds until its engine answered a ping, the opening of the stream included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_ms: Option<f64>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The routes, for the router of the socket.
pub(crate) fn routes(hub: MeshHub, node: Option<MeshNode>) -> Router {
    let of_node = Router::new()
        .route("/engine/v1/mesh/peers/{peer}", get(show))
        .route("/engine/v1/mesh/prefer", post(prefer))
        .route("/engine/v1/mesh/forget", post(forget))
        .with_state(node.clone());
    Router::new()
        .route(line::PATH, post(link))
        .route(
            "/engine/v1/mesh/peers",
            get(async move |hub: State<MeshHub>| peers(hub, node).await),
        )
        .with_state(hub)
        .merge(of_node)
}

async fn link(State(hub): State<MeshHub>, mut request: Request) -> Response {
    let wanted = request.headers().get(header::UPGRADE);
    if wanted.is_none_or(|wanted| wanted != line::UPGRADE) {
        let text = format!("this is {} only\n", line::UPGRADE);
        return (StatusCode::UPGRADE_REQUIRED, text).into_response();
    }
    let Some(claim) = hub.claim() else {
        let refusal = Refusal::new(
            Code::NotAllowed,
            "the plugin of another mesh-llm host is linked to this engine",
        )
        .hint("Two hosts on one data directory: give one of them its own with --data-dir.");
        return Refused(refusal).into_response();
    };
    let upgrade = hyper::upgrade::on(&mut request);
    hub.tasks().spawn(async move {
        match upgrade.await {
            Ok(io) => claim.serve(TokioIo::new(io)).await,
            Err(error) => tracing::debug!(%error, "a link was not taken up"),
        }
    });
    (
        StatusCode::SWITCHING_PROTOCOLS,
        [
            (header::CONNECTION, "upgrade"),
            (header::UPGRADE, line::UPGRADE),
        ],
    )
        .into_response()
}

async fn show(
    State(node): State<Option<MeshNode>>,
    Path(peer): Path<String>,
) -> Result<Json<PeerShown>, Refused> {
    let shown = on_mesh(node)?.show(&peer);
    shown.map(Json).map_err(Refused)
}

async fn prefer(
    State(node): State<Option<MeshNode>>,
    Json(request): Json<PreferRequest>,
) -> Result<Json<Preferred>, Refused> {
    let chosen = on_mesh(node)?.prefer(&request).await;
    chosen.map(Json).map_err(Refused)
}

async fn forget(
    State(node): State<Option<MeshNode>>,
    Json(request): Json<ForgetRequest>,
) -> Result<Json<Forgotten>, Refused> {
    let known = on_mesh(node)?.forget(&request.peer_id).await;
    let known = known.map_err(Refused)?;
    Ok(Json(Forgotten { known }))
}

fn on_mesh(node: Option<MeshNode>) -> Result<MeshNode, Refused> {
    node.ok_or_else(|| {
        let refusal = Refusal::new(Code::EngineUnavailable, "this node is not on a mesh");
        Refused(refusal)
    })
}

async fn peers(State(hub): State<MeshHub>, node: Option<MeshNode>) -> Json<PeersAnswer> {
    let known = hub.peers().borrow().clone();
    let mut states: Vec<PeerState> = known.values().map(unheard).collect();
    let ids: Vec<MeshPeerId> = known.keys().cloned().collect();
    let asked = stream::iter(ids.into_iter().enumerate())
        .map(|(at, peer)| {
            let hub = hub.clone();
            async move { (at, ping(&hub, &peer, &Ulid::new().to_string()).await) }
        })
        .buffer_unordered(PINGS);
    let heard = asked.for_each(|(at, answer)| {
        if let Some(state) = states.get_mut(at) {
            match answer {
                Ok(took) => {
                    // Two places are enough for a person, and stable in a document.
                    state.ping_ms = Some((took.as_secs_f64() * 100_000.0).round() / 100.0);
                    state.problem = None;
                }
                Err(error) => state.problem = Some(error.to_string()),
            }
        }
        std::future::ready(())
    });
    // Who has not answered by then is left as it was.
    let _all = tokio::time::timeout(PINGS_LIMIT, heard).await;
    Json(PeersAnswer {
        linked: *hub.linked().borrow(),
        local: hub.local().borrow().clone(),
        peers: states,
        refused_streams: hub.refused_streams(),
        traffic: hub.traffic(),
        mesh: node.map(|node| node.report()),
    })
}

fn unheard(peer: &HostPeer) -> PeerState {
    PeerState {
        mesh_peer_id: peer.mesh_peer_id.clone(),
        role: peer.role.clone(),
        version: peer.version.clone(),
        since: timestamp(peer.since),
        ping_ms: None,
        problem: Some("it has not answered yet".to_owned()),
    }
}
