//! What the owner changes in what is known of other nodes: which one a plain agent id means, and that one is
//! forgotten.

use mesh_agents_core::ids::AgentId;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_mesh::{Happening, NodeKey, Place, Stored, Wanted, resolve};
use serde::{Deserialize, Serialize};

use super::{MeshNode, memory};

/// A choice to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreferRequest {
    /// The plain agent id.
    pub agent_id: String,
    /// The node it is to mean: its key, the start of it, or its label; `None` to choose none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// A node to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetRequest {
    /// Its key.
    pub peer_id: NodeKey,
}

/// A node that is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Whether anything was known of it.
    pub known: bool,
}

/// A choice that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferred {
    /// The plain agent id.
    pub agent_id: AgentId,
    /// The node it means now; `None` when that is found out anew at the next use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<NodeKey>,
    /// That node's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The node it meant before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<NodeKey>,
    /// Whether it means something else now.
    pub changed: bool,
}

impl MeshNode {
    /// Makes a plain agent id mean the agent of one node from now on, or takes that back. On disk when this
    /// returns; tasks that are there already stay where they are.
    ///
    /// # Errors
    /// `invalid_argument` naming `agent` or `peer`, `agent_not_found` with the nodes that have such an agent;
    /// `storage` when it is not on disk: it counts then, and is written once the disk takes it.
    pub async fn prefer(&self, request: &PreferRequest) -> Result<Preferred, Refusal> {
        let agent: AgentId = request
            .agent_id
            .parse()
            .map_err(|error| invalid(format!("argument agent: {error}")))?;
        if !agent.is_local() {
            return Err(invalid(format!(
                "argument agent: {:?} names its node already, so there is nothing to choose",
                agent.as_str()
            ))
            .hint(format!("Give the plain id: {}.", agent.name())));
        }
        let chosen = match &request.peer {
            Some(peer) => Some(self.owner(&agent, peer)?),
            None => None,
        };
        if self.0.engine.get().is_none() {
            return Err(Refusal::new(
                Code::EngineUnavailable,
                "the engine is starting",
            ));
        }
        let preferred = {
            let mut state = self.state();
            let (fact, before) = match chosen.clone() {
                Some(stored) => (
                    memory::owner(&agent, &stored),
                    state.owners.insert(agent.clone(), stored),
                ),
                None => (memory::no_owner(&agent), state.owners.remove(&agent)),
            };
            state.unsaved.push(fact);
            let name = chosen.as_ref().and_then(|stored| state.label(&stored.node));
            Preferred {
                agent_id: agent,
                peer_id: chosen.as_ref().map(|stored| stored.node),
                name,
                changed: before != chosen,
                before: before.map(|stored| stored.node),
            }
        };
        self.stored().await?;
        Ok(preferred)
    }

    /// Waits until all that is noted is on disk. What is not is tried again.
    async fn stored(&self) -> Result<(), Refusal> {
        let saved = self.save().await;
        if saved.is_err() {
            self.0.agents.notify_one();
        }
        saved
    }

    /// Forgets all that is known of a node: its key is not pinned any more, its agents go, and no plain id
    /// means them. One that is there is met again as a new one. On disk when this returns.
    ///
    /// Returns whether anything was known of it.
    ///
    /// # Errors
    /// `storage` when it is not on disk: it is forgotten then, and that is written once the disk takes it.
    pub async fn forget(&self, key: &NodeKey) -> Result<bool, Refusal> {
        let known = {
            let mut state = self.state();
            let state = &mut *state;
            state.knocks.clear(key);
            let unsaved = &mut state.unsaved;
            state.owners.retain(|agent, stored| {
                let stays = stored.node != *key;
                if !stays {
                    unsaved.push(memory::no_owner(agent));
                }
                stays
            });
            state.directory.remembered(key).is_some()
        };
        self.happen(Happening::Forget(*key));
        self.stored().await?;
        Ok(known)
    }

    /// The node `peer` as the owner of `agent`, if it can be.
    fn owner(&self, agent: &AgentId, peer: &str) -> Result<Stored, Refusal> {
        let (own, now) = (self.key(), self.now());
        let state = self.state();
        let node = state.find("peer", peer, &own, now)?;
        if state.has(agent) {
            return Err(invalid(format!(
                "argument agent: this node has an agent {:?} itself, and its plain id always means that one",
                agent.as_str()
            ))
            .hint("To use another node's for one message, pass its key as peer_id (--peer)."));
        }
        let wanted = Wanted {
            agent,
            node: Some(&node),
            own: &own,
            is_local: false,
            stored: None,
        };
        match resolve(&wanted, &state.directory, now)?.place {
            Place::Node(node) => Ok(Stored {
                node,
                is_chosen: true,
            }),
            Place::Local => Err(invalid(
                "argument peer: this node has no such agent".to_owned(),
            )),
        }
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::new(Code::InvalidArgument, message)
}
