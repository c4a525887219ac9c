//! Whether a node may call an agent here, decided by its key before a byte of the call is read.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::policy::{AgentState, Caller, Operation, may};
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_mesh::NodeKey;
use mesh_agents_tasks::Agents;
use serde_json::json;

use super::MeshNode;
use super::serve::Who;

/// Where agents are.
const AGENTS: &str = "/a2a/agents/";
/// The card with this node's own addresses, which other nodes have no use for: they have the mesh card.
const OWN_CARD: &str = "/.well-known/agent-card.json";

/// Lets a request through with its caller, or answers it.
pub(super) async fn authorise(
    State(node): State<MeshNode>,
    Extension(Who(key)): Extension<Who>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let Some(agent) = agent_of(path).filter(|_| !path.ends_with(OWN_CARD)) else {
        return (StatusCode::NOT_FOUND, "nothing is there\n").into_response();
    };
    match node.admit(&key, &agent) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(Turned::Away(refusal)) => refused(StatusCode::FORBIDDEN, &refusal),
        Err(Turned::Later { seconds, refusal }) => {
            let mut response = refused(StatusCode::TOO_MANY_REQUESTS, &refusal);
            let after = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, after);
            response
        }
    }
}

/// A caller that is not let in.
enum Turned {
    Away(Refusal),
    Later { seconds: u64, refusal: Refusal },
}

impl MeshNode {
    fn admit(&self, key: &NodeKey, agent: &AgentId) -> Result<Caller, Turned> {
        let (now, up) = (self.now().wall, self.uptime());
        let mut state = self.state();
        let state = &mut *state;
        let acl = state.acl.acl().clone();
        let rate = acl.rate(key);
        let taken = match acl.peer(key) {
            Some(_) => state.buckets.take(key, rate, up),
            None => state.buckets.take_of_strangers(rate, up),
        };
        taken.map_err(|flooded| Turned::Later {
            seconds: flooded.seconds(),
            refusal: flooded.refusal(),
        })?;
        let told = state.bulletin.agents();
        let advertised = told.iter().any(|told| told.id == *agent);
        let grant = acl.grant(key, agent, None, advertised);
        let caller = Caller::key(key.to_string(), grant);
        let stands = standing(&state.local, agent);
        may(&caller, agent, stands, Operation::Send).map_err(|refusal| {
            if refusal.code == Code::NotAllowed {
                state.knocks.note(*key, agent, now);
            }
            Turned::Away(refusal)
        })?;
        Ok(caller)
    }
}

fn standing(local: &Agents, agent: &AgentId) -> AgentState {
    match local.ready.get(agent) {
        Some(agent) if agent.enabled => AgentState::Ready,
        Some(_) => AgentState::Disabled,
        None if local.broken.contains(agent) => AgentState::Broken,
        None => AgentState::Absent,
    }
}

fn agent_of(path: &str) -> Option<AgentId> {
    let rest = path.strip_prefix(AGENTS)?;
    let id = rest.split('/').next()?;
    id.parse().ok().filter(AgentId::is_local)
}

/// A refusal both bindings' readers understand: the caller's user is to see why.
fn refused(status: StatusCode, refusal: &Refusal) -> Response {
    let message = match &refusal.hint {
        Some(hint) => format!("{}. {hint}", refusal.message.trim_end_matches('.')),
        None => refusal.message.clone(),
    };
    let body = json!({ "error": {
        "code": status.as_u16(), "status": "PERMISSION_DENIED", "message": message,
    }});
    (status, axum::Json(body)).into_response()
}
