//! The A2A routes of a node: every agent's card, its JSON-RPC address, and the HTTP+JSON paths below.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::policy::{Caller, Operation};
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::{Code, Refusal};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::card;
use crate::server::{A2aServer, no_agent, refused, unknown_caller};

/// How long a reader may keep a card without asking again, in seconds: an edit shows within 1 s
/// here, and a minute of a stale description hurts nobody.
const CARD_MAX_AGE: &str = "max-age=60";

/// `/a2a/agents/{id}` with all below it, the agents of other nodes at `/a2a/peers/{did}/agents/{id}`, the key
/// the cards are signed with, and `/healthz`. Requests must carry their
/// [`Caller`] as an extension: who listens knows who calls. A caller is let in or turned away here, before
/// any of a body is read.
pub fn router(server: A2aServer) -> Router {
    Router::new()
        .route(
            "/a2a/agents/{id}/.well-known/agent-card.json",
            get(serve_card),
        )
        .route("/a2a/agents/{id}", post(jsonrpc))
        .route("/a2a/agents/{id}/", post(jsonrpc))
        .route("/a2a/agents/{id}/{*path}", any(rest))
        .route(
            "/a2a/peers/{node}/agents/{id}/.well-known/agent-card.json",
            get(serve_card),
        )
        .route("/a2a/peers/{node}/agents/{id}", post(jsonrpc))
        .route("/a2a/peers/{node}/agents/{id}/", post(jsonrpc))
        .route("/a2a/peers/{node}/agents/{id}/{*path}", any(rest))
        .route(card::KEYS_PATH, get(keys))
        .with_state(server)
        .route("/healthz", get(|| async { "ok\n" }))
}

/// A caller that was turned away at the door, in the extensions of the answer: who counts these need not
/// read it.
#[derive(Debug, Clone)]
pub struct TurnedAway(pub Refusal);

/// The answer to a caller that is turned away, in words both bindings' readers understand.
#[must_use]
pub fn turned_away(refusal: Refusal) -> Response {
    let mut response = refused(&refusal);
    response.extensions_mut().insert(TurnedAway(refusal));
    response
}

/// The agent a path names.
#[derive(Debug, Deserialize)]
struct Named {
    /// The key of its node, when that is another.
    node: Option<String>,
    id: String,
    /// What follows the agent's address.
    #[serde(default)]
    path: String,
}

impl Named {
    fn agent(&self) -> Option<AgentId> {
        let id: AgentId = self.id.parse().ok().filter(AgentId::is_local)?;
        match &self.node {
            None => Some(id),
            Some(node) => AgentId::on_node(&id, node).ok(),
        }
    }
}

/// The agent, if it is served and the caller may do this with it; else what to answer.
async fn entered(
    server: &A2aServer,
    named: &Named,
    extensions: &Extensions,
    operation: Operation<'_>,
) -> Result<Arc<AgentDefinition>, Box<Response>> {
    let nobody = || Box::new(no_agent(&named.id));
    let caller = extensions
        .get::<Caller>()
        .ok_or_else(|| Box::new(unknown_caller()))?;
    let agent = named.agent().ok_or_else(nobody)?;
    let mut entered = server.engine.agent(caller, &agent, operation);
    if operation == Operation::Enter
        && matches!(&entered, Err(refusal) if refusal.code == Code::AgentNotFound)
        && matches!(caller.principal, Principal::Key(_))
        && let Ok(withdrawn) = server.engine.agent(caller, &agent, Operation::Return)
    {
        // Not offered any more; what it has begun here goes on to its end.
        match server.engine.has_tasks(caller, &agent).await {
            Ok(true) => entered = Ok(withdrawn),
            Ok(false) => {}
            Err(refusal) => entered = Err(refusal),
        }
    }
    entered.map_err(|refusal| match refusal.code {
        // Byte for byte what an agent that never was is answered with.
        Code::AgentNotFound | Code::AgentDisabled | Code::AgentUnavailable => nobody(),
        _ => Box::new(turned_away(refusal)),
    })
}

async fn jsonrpc(
    State(server): State<A2aServer>,
    Path(named): Path<Named>,
    request: Request,
) -> Response {
    match entered(&server, &named, request.extensions(), Operation::Enter).await {
        Ok(agent) => server.jsonrpc(agent, request).await,
        Err(answer) => *answer,
    }
}

async fn rest(
    State(server): State<A2aServer>,
    Path(named): Path<Named>,
    request: Request,
) -> Response {
    match entered(&server, &named, request.extensions(), Operation::Enter).await {
        Ok(agent) => server.rest(agent, &named.path, request).await,
        Err(answer) => *answer,
    }
}

async fn serve_card(
    State(server): State<A2aServer>,
    Path(named): Path<Named>,
    request: Request,
) -> Response {
    let (headers, extensions) = (request.headers(), request.extensions());
    let Ok(agent) = entered(&server, &named, extensions, Operation::Discover).await else {
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

/// The key this node's cards are signed with.
async fn keys(State(server): State<A2aServer>) -> Response {
    match &server.place.seal {
        Some(seal) => {
            let told = [
                (header::CONTENT_TYPE, "application/jwk-set+json"),
                (header::CACHE_CONTROL, CARD_MAX_AGE),
            ];
            (told, seal.keys()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
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
