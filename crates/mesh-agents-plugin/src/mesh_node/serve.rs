//! What other nodes get on a stream they opened: this node's advert, its cards, and A2A behind the gate.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router, middleware};
use futures::StreamExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mesh_agents_mesh::rate::{Buckets, Rate};
use mesh_agents_mesh::{Digest, Happening, Known, NodeKey};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, timeout_at};

use super::places::Places;
use super::{MeshNode, gate, greet};
use crate::mesh_link::Incoming;

/// Where the advert is.
pub(super) const ADVERT: &str = "/mesh/v1/advert";
/// Where cards are, by digest.
pub(super) const CARDS: &str = "/mesh/v1/cards/";
/// Streams whose opener has not shown its key yet. Nobody knows whose they are (host-contract T12), so they
/// take a part of what there is, for the few seconds of a handshake.
const GREETING: usize = 128;
/// A stream nobody asks anything on is closed after this long; who opened it opens another. A head that
/// drips in has the same time.
const IDLE: Duration = Duration::from_secs(90);
/// How long the whole of a request's body may take: a message has 1 MiB at the most.
const BODY: Duration = Duration::from_secs(120);
/// How long an answer waits for a reader that takes nothing.
const DEAF: Duration = Duration::from_secs(60);
/// How long a stream without a place is kept, to tell its opener so.
const TURNED_AWAY: Duration = Duration::from_secs(5);
/// Largest head of a request: ours have a tenth of it.
const HEAD: usize = 16 * 1024;
/// How often one node may ask for the advert and for cards: one pull of everything at once, then a pull a
/// second.
const DISCOVERY: Rate = Rate {
    per_minute: 60,
    burst: 240,
};

/// Who opened the stream; its key is proven.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who(pub(super) NodeKey);

/// How often each node asked what there is. Those the owner's list names are held apart, so that a flood
/// of new keys, of which a bounded number is held, takes nothing from them.
#[derive(Debug, Default)]
struct Asked {
    peers: Buckets,
    strangers: Buckets,
}

/// The routes. `a2a` is shown to those who may call.
pub(super) fn app(node: &MeshNode, a2a: Router) -> Router {
    let gated = a2a.layer(middleware::from_fn_with_state(
        node.clone(),
        gate::authorise,
    ));
    let asked = Arc::<Mutex<Asked>>::default();
    Router::new()
        .route(ADVERT, get(advert))
        .route("/mesh/v1/cards/{digest}", get(card))
        .route_layer(middleware::from_fn_with_state(
            (node.clone(), asked),
            not_too_often,
        ))
        .with_state(node.clone())
        .fallback_service(gated)
        .layer(middleware::map_request(in_time))
}

/// Turns away who asks what there is more often than [`DISCOVERY`].
async fn not_too_often(
    State((node, asked)): State<(MeshNode, Arc<Mutex<Asked>>)>,
    Extension(Who(key)): Extension<Who>,
    request: Request,
    next: Next,
) -> Response {
    let up = node.uptime();
    let taken = {
        let is_stranger = node.is_stranger(&key);
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = &mut *asked;
        let buckets = if is_stranger {
            &mut asked.strangers
        } else {
            &mut asked.peers
        };
        buckets.take(&key, DISCOVERY, up)
    };
    match taken {
        Ok(()) => next.run(request).await,
        Err(flooded) => {
            let after = HeaderValue::from(flooded.seconds());
            let status = StatusCode::TOO_MANY_REQUESTS;
            (
                status,
                [(header::RETRY_AFTER, after)],
                format!("{flooded}\n"),
            )
                .into_response()
        }
    }
}

/// Gives the body of a request a time limit.
async fn in_time(request: Request) -> Request {
    let until = Instant::now() + BODY;
    request.map(|body| {
        let pieces =
            futures::stream::unfold(Some(body.into_data_stream()), move |body| async move {
                let mut body = body?;
                match timeout_at(until, body.next()).await {
                    Ok(piece) => Some((piece?.map_err(io::Error::other), Some(body))),
                    Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
                }
            });
        Body::from_stream(pieces)
    })
}

/// Takes streams until the node ends.
pub(super) async fn accept(node: MeshNode, app: Router) {
    let mut incoming = node.link().incoming();
    let greeting = Arc::new(Semaphore::new(GREETING));
    let places = Arc::<Places>::default();
    loop {
        let taken = tokio::select! {
            () = node.0.config.end.cancelled() => return,
            taken = incoming.recv() => taken,
        };
        let Some(taken) = taken else { return };
        let Ok(turn) = Arc::clone(&greeting).try_acquire_owned() else {
            tracing::warn!("a peer's stream found no place");
            continue;
        };
        let door = Door {
            app: app.clone(),
            places: Arc::clone(&places),
        };
        let serving = one(node.clone(), door, taken, turn);
        node.0.config.tasks.spawn(serving);
    }
}

/// What one stream gets.
struct Door {
    app: Router,
    places: Arc<Places>,
}

async fn one(node: MeshNode, door: Door, mut incoming: Incoming, turn: OwnedSemaphorePermit) {
    // Before the greeting: a list that changes while it goes on ends the stream too.
    let mut lists = node.0.lists.subscribe();
    lists.mark_unchanged();
    let here = node.here();
    incoming.stream.not_deaf(DEAF);
    let greeted = greet::receiver(&node.0.config, here.as_ref(), incoming.stream).await;
    drop(turn);
    let (opener, stream) = match greeted {
        Ok(greeted) => greeted,
        Err(error) => {
            tracing::debug!(%error, "a peer's stream was not taken");
            return;
        }
    };
    tracing::debug!(key = %opener.key, claimed = %opener.claimed_peer_id, "a node opened a stream");
    node.happen(Happening::Met(opener.claimed_peer_id.clone()));
    let place = door.places.take(opener.key, node.is_stranger(&opener.key));
    let mut http = http1::Builder::new();
    // The host closes its writing side early (host-contract T16).
    http.half_close(true);
    http.max_buf_size(HEAD);
    let (app, patience) = if place.is_some() {
        (door.app, IDLE)
    } else {
        tracing::warn!(key = %opener.key, "a node has too many streams open");
        http.keep_alive(false);
        (Router::new().fallback(full), TURNED_AWAY)
    };
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let service = TowerToHyperService::new(app.layer(Extension(Who(opener.key))));
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

/// What is said on a stream that has no place.
async fn full() -> Response {
    let after = HeaderValue::from(TURNED_AWAY.as_secs());
    let words = "this node has too many streams open to you; close some\n";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    (status, [(header::RETRY_AFTER, after)], words).into_response()
}

impl MeshNode {
    /// Whether the owner's list has no table for this key.
    fn is_stranger(&self, key: &NodeKey) -> bool {
        self.state().acl.acl().peer(key).is_none()
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
