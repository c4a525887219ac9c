//! The A2A routes of a node: every agent's card, its JSON-RPC address, and the HTTP+JSON paths below.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::policy::{self, AgentState, Caller, Operation};
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::Code;
use sha2::{Digest as _, Sha256};

use crate::card;
use crate::server::{A2aServer, no_agent, refused};

/// How long a reader may keep a card without asking again, in seconds: an edit shows within 1 s
/// here, and a minute of a stale description hurts nobody.
const CARD_MAX_AGE: &str = "max-age=60";

/// `/a2a/agents/{id}` with all below it, and `/healthz`. Requests must carry their
/// [`Caller`] as an extension: who listens knows who calls. A mesh peer is let in or turned away here,
/// before any of a body is read.
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

/// The agent, if it is served and the caller may do this with it; else what to answer.
fn entered(
    server: &A2aServer,
    id: &str,
    extensions: &Extensions,
    operation: Operation<'_>,
) -> Result<Arc<AgentDefinition>, Box<Response>> {
    let agent = enabled(server, id).ok_or_else(|| Box::new(no_agent(id)))?;
    let peer = extensions.get::<Caller>();
    let peer = peer.filter(|caller| matches!(caller.principal, Principal::Key(_)));
    let Some(peer) = peer else {
        return Ok(agent);
    };
    match policy::may(peer, &agent.id, AgentState::Ready, operation) {
        Ok(()) => Ok(agent),
        // Byte for byte what an agent that never was is answered with.
        Err(refusal) if refusal.code == Code::AgentNotFound => Err(Box::new(no_agent(id))),
        Err(refusal) => Err(Box::new(refused(&refusal))),
    }
}

async fn jsonrpc(
    State(server): State<A2aServer>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    match entered(&server, &id, request.extensions(), Operation::Send) {
        Ok(agent) => server.jsonrpc(agent, request).await,
        Err(answer) => *answer,
    }
}

async fn rest(
    State(server): State<A2aServer>,
    Path((id, path)): Path<(String, String)>,
    request: Request,
) -> Response {
    match entered(&server, &id, request.extensions(), Operation::Send) {
        Ok(agent) => server.rest(agent, &path, request).await,
        Err(answer) => *answer,
    }
}

async fn serve_card(
    State(server): State<A2aServer>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (headers, extensions) = (request.headers(), request.extensions());
    let Ok(agent) = entered(&server, &id, extensions, Operation::Discover) else {
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
    if not_modified(headers, &tag) {
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
