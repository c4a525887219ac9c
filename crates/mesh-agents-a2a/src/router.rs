//! The A2A routes of a node: cards now; calls are answered with a refusal that says so.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::card;

/// How long a reader may keep a card without asking again, in seconds: an edit shows within 1 s
/// here, and a minute of a stale description hurts nobody.
const CARD_MAX_AGE: &str = "max-age=60";

/// Finds an agent by id, disabled ones included.
pub type FindAgent = Arc<dyn Fn(&AgentId) -> Option<Arc<AgentDefinition>> + Send + Sync>;

/// What the routes need.
#[derive(Clone)]
pub struct A2aRoutes {
    /// The agents of this node.
    pub find: FindAgent,
    /// The public address of this node, without a slash at its end.
    pub base: String,
}

impl fmt::Debug for A2aRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("A2aRoutes")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// `/a2a/agents/{id}/.well-known/agent-card.json`, `/a2a/agents/{id}` and `/healthz`.
pub fn router(routes: A2aRoutes) -> Router {
    Router::new()
        .route(
            "/a2a/agents/{id}/.well-known/agent-card.json",
            get(serve_card),
        )
        .route("/a2a/agents/{id}", post(not_built))
        .with_state(routes)
        .route("/healthz", get(|| async { "ok\n" }))
}

fn enabled(routes: &A2aRoutes, id: &str) -> Option<Arc<AgentDefinition>> {
    let id: AgentId = id.parse().ok()?;
    (routes.find)(&id).filter(|agent| agent.enabled)
}

async fn serve_card(
    State(routes): State<A2aRoutes>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(agent) = enabled(&routes, &id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let card = match card::served(&agent, &routes.base) {
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

/// The part of a JSON-RPC request its answer must repeat.
#[derive(Deserialize)]
struct CallId {
    #[serde(default)]
    id: Option<a2a::JsonRpcId>,
}

async fn not_built(
    State(routes): State<A2aRoutes>,
    Path(id): Path<String>,
    body: String,
) -> Response {
    if enabled(&routes, &id).is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let call = serde_json::from_str::<CallId>(&body).ok();
    let id = call
        .and_then(|call| call.id)
        .unwrap_or(a2a::JsonRpcId::Null);
    let error = a2a::A2AError::new(
        a2a::error_code::UNSUPPORTED_OPERATION,
        "this node serves agent cards and does not take A2A calls yet; call its agents through its MCP tools at /mcp",
    );
    Json(a2a::JsonRpcResponse::error(id, error.to_jsonrpc_error())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use mesh_agents_core::agent::testing::definition;
    use tower::ServiceExt as _;

    fn node() -> Router {
        let find: FindAgent = Arc::new(|id| {
            let mut agent = definition(id.as_str());
            agent.enabled = id.as_str() != "off";
            (id.as_str() != "nobody").then(|| Arc::new(agent))
        });
        router(A2aRoutes {
            find,
            base: "http://127.0.0.1:3131".into(),
        })
    }

    async fn ask(request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let response = node().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (
            parts.status,
            parts.headers,
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    fn card_of(id: &str) -> axum::http::request::Builder {
        Request::get(format!("/a2a/agents/{id}/.well-known/agent-card.json"))
    }

    #[tokio::test]
    async fn a_card_is_served_once_and_then_not_modified() {
        let (status, headers, body) = ask(card_of("a").body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert!(body.contains("http://127.0.0.1:3131/a2a/agents/a"));
        let tag = headers[header::ETAG].to_str().unwrap();
        let again = card_of("a").header(header::IF_NONE_MATCH, format!("\"x\", W/{tag}"));
        let (status, _, body) = ask(again.body(Body::empty()).unwrap()).await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    }

    #[tokio::test]
    async fn an_agent_that_is_off_absent_or_impossible_is_not_found() {
        for id in ["off", "nobody", "..%2f..%2fetc"] {
            let (status, ..) = ask(card_of(id).body(Body::empty()).unwrap()).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{id}");
        }
    }

    #[tokio::test]
    async fn a_call_is_refused_with_its_own_id_and_the_way_that_works() {
        let call = Request::post("/a2a/agents/a").body(Body::from(
            r#"{"jsonrpc":"2.0","id":"q7","method":"SendMessage"}"#,
        ));
        let (_, _, body) = ask(call.unwrap()).await;
        let answer: a2a::JsonRpcResponse = serde_json::from_str(&body).unwrap();
        assert_eq!(answer.id, a2a::JsonRpcId::String("q7".into()));
        let error = answer.error.unwrap();
        assert_eq!(error.code, a2a::error_code::UNSUPPORTED_OPERATION);
        assert!(error.message.contains("/mcp"));
    }
}
