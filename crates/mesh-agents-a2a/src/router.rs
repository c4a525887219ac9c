//! The A2A routes of a node: every agent's card, its JSON-RPC address, and the HTTP+JSON paths below.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use sha2::{Digest as _, Sha256};

use crate::card;
use crate::server::{A2aServer, no_agent};

/// How long a reader may keep a card without asking again, in seconds: an edit shows within 1 s
/// here, and a minute of a stale description hurts nobody.
const CARD_MAX_AGE: &str = "max-age=60";

/// `/a2a/agents/{id}` with all below it, and `/healthz`. Requests must carry their
/// [`Caller`](mesh_agents_core::policy::Caller) as an extension: who listens knows who calls.
pub fn router(server: A2aServer) -> Router {
    Router::new()
        .route(
            "/a2a/agents/{id}/.well-known/agent-card.json",
            get(serve_card),
        )
        .route("/a2a/agents/{id}", post(jsonrpc))
        .route("/a2a/agents/{id}/", post(jsonrpc))
        .route("/a2a/agents/{id}/{*path}", any(rest))
        .with_state(server)
        .route("/healthz", get(|| async { "ok\n" }))
}

fn enabled(server: &A2aServer, id: &str) -> Option<Arc<AgentDefinition>> {
    let id: AgentId = id.parse().ok().filter(AgentId::is_local)?;
    let agent = server.engine.agents().get(&id).cloned();
    agent.filter(|agent| agent.enabled)
}

async fn jsonrpc(
    State(server): State<A2aServer>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    match enabled(&server, &id) {
        Some(agent) => server.jsonrpc(agent, request).await,
        None => no_agent(&id),
    }
}

async fn rest(
    State(server): State<A2aServer>,
    Path((id, path)): Path<(String, String)>,
    request: Request,
) -> Response {
    match enabled(&server, &id) {
        Some(agent) => server.rest(agent, &path, request).await,
        None => no_agent(&id),
    }
}

async fn serve_card(
    State(server): State<A2aServer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(agent) = enabled(&server, &id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let card = match card::served(&agent, &server.place) {
        Ok(card) => card,
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    let tag = format!("\"{:x}\"", Sha256::digest(card.as_str().as_bytes()));
    let cache = [
        (header::ETAG, tag.as_str()),
        (header::CACHE_CONTROL, CARD_MAX_AGE),
    ];
    if not_modified(&headers, &tag) {
        return (StatusCode::NOT_MODIFIED, cache).into_response();
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    (cache, json, card.as_str().to_owned()).into_response()
}

fn not_modified(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}
