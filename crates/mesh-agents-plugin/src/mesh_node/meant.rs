//! Which node an agent id means, and what the tools are told of it.

use std::fmt::Write as _;

use mesh_agents_a2a::convert::timestamp;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::text::{NAME_CHARS, clean_text};
use mesh_agents_mesh::{
    LIFETIME_MILLIS, NodeKey, Place, Presence, Resolved, Stored, Wanted, Why, resolve,
};

use super::{MeshNode, State, memory};

/// Where an agent id leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// The id the engine knows it by.
    pub id: AgentId,
    /// Why that one; `None` when nobody has such an agent.
    pub why: Option<Why>,
    /// The same for people: which node and why. `None` where there was nothing to choose.
    pub route: Option<String>,
}

/// What is known of an agent of another node, besides its card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The label of its node: the owner's, else the node's own.
    pub peer_name: String,
    /// How old this is, in milliseconds: its node told or confirmed it then.
    pub age_ms: u64,
    /// Since when its node is away, if it is.
    pub offline_since: Option<UnixMillis>,
    /// What to know before work is sent there.
    pub careful: Option<String>,
}

impl MeshNode {
    /// The agent that `agent` means to a caller here, on the node `peer` when one is named: by its key
    /// (`did:key:…`), the start of it, or its label.
    ///
    /// # Errors
    /// `invalid_argument` for a `peer` that is none or several, and where several nodes have such an agent;
    /// `agent_not_found`.
    pub fn meant(&self, agent: &AgentId, peer: Option<&str>) -> Result<Meant, Refusal> {
        let named = peer.map(str::to_owned).or_else(|| agent.node());
        let name = agent.on_its_node();
        let (own, now) = (self.key(), self.now());
        let mut state = self.state();
        let state = &mut *state;
        let node = named.map(|peer| state.find("peer_id", &peer, &own, now));
        let node = node.transpose()?;
        let is_local = state.has(&name);
        if node.is_none()
            && !is_local
            && !state.owners.contains_key(&name)
            && state.directory.owners(&name, now).is_empty()
        {
            // Nobody has it; the tools know best which id was nearly right.
            return Ok(Meant {
                id: name,
                why: None,
                route: None,
            });
        }
        let resolved = resolve(
            &Wanted {
                agent: &name,
                node: node.as_ref(),
                own: &own,
                is_local,
                stored: state.owners.get(&name),
            },
            &state.directory,
            now,
        )?;
        let id = match resolved.place {
            Place::Local => name.clone(),
            Place::Node(key) => AgentId::on_node(&name, &key.to_string()).map_err(|error| {
                Refusal::new(Code::Internal, format!("no id for this agent: {error}"))
            })?,
        };
        let route = state.route(&name, &resolved, now);
        if resolved.store
            && let Place::Node(node) = resolved.place
        {
            let first = Stored {
                node,
                is_chosen: false,
            };
            state.unsaved.push(memory::owner(&name, &first));
            state.owners.insert(name, first);
            self.0.agents.notify_one();
        }
        Ok(Meant {
            id,
            why: Some(resolved.why),
            route,
        })
    }

    /// What is known of an agent of another node; `None` for one of this, or of a node that was forgotten.
    #[must_use]
    pub fn news(&self, agent: &AgentId) -> Option<News> {
        let key: NodeKey = agent.node()?.parse().ok()?;
        let now = self.now();
        let state = self.state();
        let view = state.directory.agent(&key, &agent.on_its_node(), now)?;
        let told_at = UnixMillis(now.wall.0.saturating_sub_unsigned(view.age));
        let peer_name = state.label(&key).unwrap_or_default();
        let old = view.age >= LIFETIME_MILLIS.unsigned_abs();
        let (offline_since, careful) = match view.presence {
            Presence::Live => (None, None),
            Presence::Away { since } => (
                Some(since),
                Some(format!(
                    "its node {peer_name:?} is away since {}",
                    timestamp(since)
                )),
            ),
            Presence::Stale => (
                old.then_some(told_at),
                Some(format!(
                    "its node {peer_name:?} does not answer; last heard {}",
                    timestamp(told_at)
                )),
            ),
        };
        Some(News {
            peer_name,
            age_ms: view.age,
            offline_since,
            careful,
        })
    }

    /// Which node has the agent of a task that is there already, for people; `None` for one of this node.
    #[must_use]
    pub fn stays(&self, agent: &AgentId) -> Option<String> {
        let node = agent.node()?;
        let label = node.parse().ok().and_then(|key| self.state().label(&key));
        let label = label.unwrap_or(node);
        Some(format!("on {label:?}, because the task is there"))
    }
}

impl State {
    /// Whether this node has an agent of that id.
    pub(super) fn has(&self, agent: &AgentId) -> bool {
        self.local.ready.contains_key(agent) || self.local.broken.contains(agent)
    }

    /// A node's label: what the owner calls it, else what it calls itself.
    pub(super) fn label(&self, key: &NodeKey) -> Option<String> {
        let ours = self.acl.acl().peer(key).and_then(|peer| peer.label.clone());
        let told = || Some(self.directory.remembered(key)?.name.clone());
        ours.or_else(told)
            .map(|label| clean_text(&label, NAME_CHARS))
    }

    /// Which node was taken and why. Nothing is said of an agent that only this node has.
    fn route(
        &self,
        agent: &AgentId,
        resolved: &Resolved,
        now: mesh_agents_mesh::Moment,
    ) -> Option<String> {
        let because = resolved.why.as_str();
        match resolved.place {
            Place::Local => {
                let others = self.directory.owners(agent, now).len();
                let nodes = if others == 1 {
                    "node has"
                } else {
                    "nodes have"
                };
                (others > 0).then(|| {
                    format!(
                        "on this node, because {because}; {others} other {nodes} one too: peer_id names theirs"
                    )
                })
            }
            Place::Node(key) => {
                let label = self.label(&key).unwrap_or_else(|| key.to_string());
                let mut route = format!("on {label:?}, because {because}");
                let view = self.directory.agent(&key, agent, now)?;
                if let Presence::Away { since } = view.presence {
                    // Writing to a string cannot fail.
                    let _ = write!(route, "; it is away since {}", timestamp(since));
                }
                Some(route)
            }
        }
    }
}
