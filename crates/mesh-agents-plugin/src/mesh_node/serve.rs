//! What other nodes get on a stream they opened: this node's advert, its cards, and A2A behind the gate.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mesh_agents_mesh::{Digest, Happening, Known, NodeKey};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Duration;

use super::{MeshNode, gate, greet};
use crate::mesh_link::Incoming;

/// Where the advert is.
pub(super) const ADVERT: &str = "/mesh/v1/advert";
/// Where cards are, by digest.
pub(super) const CARDS: &str = "/mesh/v1/cards/";
/// Streams at once. Peers keep a few each; one that floods finds no place and neither do others, so it
/// is well above what 2,000 quiet peers need.
const STREAMS: usize = 512;
/// A stream nobody asks anything on is closed after this long; who opened it opens another.
const IDLE: Duration = Duration::from_secs(90);

/// Who opened the stream; its key is proven.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who(pub(super) NodeKey);

/// The routes. `a2a` is shown to those who may call.
pub(super) fn app(node: &MeshNode, a2a: Router) -> Router {
    let gated = a2a.layer(middleware::from_fn_with_state(
        node.clone(),
        gate::authorise,
    ));
    Router::new()
        .route(ADVERT, get(advert))
        .route("/mesh/v1/cards/{digest}", get(card))
        .with_state(node.clone())
        .fallback_service(gated)
}

/// Takes streams until the node ends.
pub(super) async fn accept(node: MeshNode, app: Router) {
    let mut incoming = node.link().incoming();
    let places = Arc::new(Semaphore::new(STREAMS));
    loop {
        let taken = tokio::select! {
            () = node.0.config.end.cancelled() => return,
            taken = incoming.recv() => taken,
        };
        let Some(taken) = taken else { return };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("a peer's stream found no place");
            continue;
        };
        let serving = one(node.clone(), app.clone(), taken, place);
        node.0.config.tasks.spawn(serving);
    }
}

async fn one(node: MeshNode, app: Router, incoming: Incoming, _place: OwnedSemaphorePermit) {
    // Before the greeting: a list that changes while it goes on ends the stream too.
    let mut lists = node.0.lists.subscribe();
    lists.mark_unchanged();
    let here = node.here();
    let greeted = greet::receiver(&node.0.config, here.as_ref(), incoming.stream).await;
    let (opener, stream) = match greeted {
        Ok(greeted) => greeted,
        Err(error) => {
            tracing::debug!(%error, "a peer's stream was not taken");
            return;
        }
    };
    tracing::debug!(key = %opener.key, claimed = %opener.claimed_peer_id, "a node opened a stream");
    node.happen(Happening::Met(opener.claimed_peer_id.clone()));
    let service = TowerToHyperService::new(app.layer(Extension(Who(opener.key))));
    let mut http = http1::Builder::new();
    // The host closes its writing side early (host-contract T16).
    http.half_close(true);
    http.timer(TokioTimer::new()).header_read_timeout(IDLE);
    tokio::select! {
        served = http.serve_connection(TokioIo::new(stream), service) => {
            if let Err(error) = served {
                tracing::debug!(%error, key = %opener.key, "a node's stream broke");
            }
        }
        () = node.0.config.end.cancelled() => {}
        // Whoever still may comes again, and is judged anew.
        _changed = lists.changed() => {}
    }
}

async fn advert(State(node): State<MeshNode>, Query(known): Query<Known>) -> Response {
    let now = node.now().wall;
    let state = node.state();
    let answer = state.bulletin.answer(known, &node.0.config.secret, now);
    match answer {
        Ok(Some(bytes)) => json(bytes),
        Ok(None) => (StatusCode::SERVICE_UNAVAILABLE, "not ready yet\n").into_response(),
        Err(error) => {
            tracing::warn!(%error, "this node's advert cannot be told");
            (StatusCode::INTERNAL_SERVER_ERROR, "no advert\n").into_response()
        }
    }
}

async fn card(State(node): State<MeshNode>, Path(digest): Path<String>) -> Response {
    let Ok(digest) = digest.parse::<Digest>() else {
        return (StatusCode::NOT_FOUND, "no such card\n").into_response();
    };
    let state = node.state();
    match state.bulletin.card(digest) {
        Some(card) => json(card.json().as_str().as_bytes().to_vec()),
        None => (StatusCode::NOT_FOUND, "no such card\n").into_response(),
    }
}

fn json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}
