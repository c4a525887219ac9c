//! What the owner sees of the other nodes: who they are, what they offer, what they may, who asked in vain.

use mesh_agents_a2a::convert::timestamp;
use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::acl::Knock;
use mesh_agents_mesh::{NodeKey, Presence, Warning};
use serde::{Deserialize, Serialize};

use super::{MeshNode, State};
use crate::mesh_link::MeshPeerId;

/// The mesh as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeshReport {
    /// This node's key.
    pub peer_id: NodeKey,
    /// The others, by key.
    pub nodes: Vec<NodeLine>,
    /// Who asked in vain, the latest first.
    pub knocks: Vec<KnockLine>,
    /// Which node a plain agent id means, where that was settled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<OwnerLine>,
    /// Agents of this node whose owner wants them told of, and that stay here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<WithheldLine>,
    /// What is wrong with the list of who may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeLine {
    /// Its key.
    pub peer_id: NodeKey,
    /// Its label: what the owner calls it, else what it calls itself.
    pub name: String,
    /// `live`, `stale` or `away`.
    pub presence: String,
    /// Where it is reached.
    pub mesh_peer_ids: Vec<MeshPeerId>,
    /// Milliseconds since it last told what it has.
    pub age_ms: u64,
    /// Its agents.
    pub agents: Vec<String>,
    /// What to know before trusting it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One plain agent id that means one node's agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerLine {
    /// The id.
    pub agent_id: String,
    /// The node.
    pub peer_id: NodeKey,
    /// Whether the user chose it; else it was the only one when it was first asked for.
    pub chosen: bool,
}

/// One agent that stays here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithheldLine {
    /// Which.
    pub agent_id: String,
    /// Why, and what to change.
    pub reason: String,
}

/// One caller that was turned away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnockLine {
    /// Its key.
    pub peer_id: NodeKey,
    /// The agent it wanted.
    pub agent_id: String,
    /// How often.
    pub count: u64,
    /// When last (RFC 3339).
    pub last: String,
}

impl MeshNode {
    /// What the owner sees.
    #[must_use]
    pub fn report(&self) -> MeshReport {
        let now = self.now();
        let state = self.state();
        let acl = state.acl.acl();
        let nodes = state.directory.nodes(now).map(|node| {
            let label = acl.peer(&node.told.key).and_then(|peer| peer.label.clone());
            NodeLine {
                peer_id: node.told.key,
                name: label.unwrap_or_else(|| node.told.name.clone()),
                presence: presence(node.presence).to_owned(),
                mesh_peer_ids: node.routes.into_iter().cloned().collect(),
                age_ms: node.age,
                agents: node
                    .told
                    .agents
                    .iter()
                    .map(|one| one.id.to_string())
                    .collect(),
                warnings: node.warnings.iter().map(words).collect(),
            }
        });
        let knocks = state.knocks.list();
        MeshReport {
            peer_id: self.key(),
            nodes: nodes.collect(),
            knocks: knocks.iter().map(knock_line).collect(),
            owners: state.owner_lines().collect(),
            withheld: state.withheld.iter().map(stays).collect(),
            problem: state.acl.explain(),
        }
    }
}

impl State {
    /// Which node plain ids mean.
    pub(super) fn owner_lines(&self) -> impl Iterator<Item = OwnerLine> {
        self.owners.iter().map(|(agent, stored)| OwnerLine {
            agent_id: agent.to_string(),
            peer_id: stored.node,
            chosen: stored.is_chosen,
        })
    }
}

/// The word for it.
pub(super) fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::Live => "live",
        Presence::Stale => "stale",
        Presence::Away { .. } => "away",
    }
}

pub(super) fn knock_line(knock: &Knock) -> KnockLine {
    KnockLine {
        peer_id: knock.key,
        agent_id: knock.agent.to_string(),
        count: knock.count,
        last: timestamp(knock.last),
    }
}

fn stays((agent, reason): &(AgentId, String)) -> WithheldLine {
    WithheldLine {
        agent_id: agent.to_string(),
        reason: reason.clone(),
    }
}

pub(super) fn words(warning: &Warning) -> String {
    match warning {
        Warning::SameName { first } => format!("{first} had this name first"),
        Warning::OtherKey { old } => format!("it answers where {old} answered before"),
        Warning::KeyTwice { peers } => {
            format!(
                "its key answers at {} hosts at once; calls are refused",
                peers.len()
            )
        }
    }
}
