//! What is known of a caller from another node before its call is read: how often it comes, and what the
//! owner's list says of its key. Whether it may call is decided by the A2A router, for all callers alike.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mesh_agents_a2a::router::{TurnedAway, turned_away};
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::policy::{Caller, Grant, SKILL_HEADER, Standing};
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_mesh::NodeKey;
use mesh_agents_mesh::rate::Flooded;
use mesh_agents_tasks::Grants;

use super::serve::Who;
use super::{MeshNode, State as Known};

/// Where agents are.
const AGENTS: &str = "/a2a/agents/";
/// The card with this node's own addresses, which other nodes have no use for: they have the mesh card.
const OWN_CARD: &str = "/.well-known/agent-card.json";

/// Says who calls, and notes who was turned away.
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
    if !node.state().bulletin.is_out() {
        // What is offered is not known yet, and an agent that is must not be called gone.
        let refusal = Refusal::new(
            Code::EngineUnavailable,
            "this node's engine has only just started",
        );
        return turned_away(refusal.hint("Send the call again."));
    }
    let skill = skill_of(request.headers());
    let caller = match node.calls(&key, &agent, skill.as_deref()) {
        Ok(caller) => caller,
        Err(flooded) => return later(flooded),
    };
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    let refused = response.extensions().get::<TurnedAway>();
    if refused.is_some_and(|TurnedAway(refusal)| refusal.code == Code::NotAllowed) {
        let now = node.now().wall;
        let mut state = node.state();
        // Of who is denied the owner has decided.
        if state.acl.acl().standing(&key, &agent, None) != Standing::Denied {
            state.knocks.note(key, &agent, now);
        }
    }
    response
}

impl MeshNode {
    /// The caller that `key` is to this agent, unless it calls too often.
    fn calls(
        &self,
        key: &NodeKey,
        agent: &AgentId,
        skill: Option<&str>,
    ) -> Result<Caller, Flooded> {
        let up = self.uptime();
        let mut state = self.state();
        let state = &mut *state;
        let acl = state.acl.acl();
        let rate = acl.rate(key);
        match acl.peer(key) {
            Some(_) => state.buckets.take(key, rate, up)?,
            None => state.buckets.take_of_strangers(rate, up)?,
        }
        Ok(Caller::key(key.to_string(), state.grant(key, agent, skill)))
    }
}

impl Known {
    /// What the owner's list says of a key and an agent, and whether that is offered.
    fn grant(&self, key: &NodeKey, agent: &AgentId, skill: Option<&str>) -> Grant {
        let offered = self.bulletin.agents();
        let advertised = offered.iter().any(|offered| offered.id == *agent);
        self.acl.acl().grant(key, agent, skill, advertised)
    }
}

impl Grants for MeshNode {
    fn grant(&self, did: &str, agent: &AgentId) -> Grant {
        match did.parse() {
            Ok(key) => self.state().grant(&key, agent, None),
            // No handshake proves a key that is none.
            Err(_) => Grant {
                agent: agent.clone(),
                skill: None,
                advertised: false,
                standing: Standing::Unlisted,
                approve: false,
            },
        }
    }
}

/// The skill a call says it is for.
fn skill_of(headers: &HeaderMap) -> Option<String> {
    let skill = headers.get(SKILL_HEADER)?.to_str().ok()?;
    Some(skill.to_owned())
}

fn agent_of(path: &str) -> Option<AgentId> {
    let rest = path.strip_prefix(AGENTS)?;
    let id = rest.split('/').next()?;
    id.parse().ok().filter(AgentId::is_local)
}

fn later(flooded: Flooded) -> Response {
    let mut response = turned_away(flooded.refusal());
    let after = HeaderValue::from(flooded.seconds());
    response.headers_mut().insert(header::RETRY_AFTER, after);
    response
}
