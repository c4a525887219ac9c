//! All that is known of one other node, and what it may here.

use mesh_agents_a2a::convert::timestamp;
use mesh_agents_core::policy::Standing;
use mesh_agents_core::refusal::Refusal;
use mesh_agents_mesh::acl::{Pattern, Rules};
use mesh_agents_mesh::{Digest, NodeKey, NodeView};
use serde::{Deserialize, Serialize};

use super::report::{KnockLine, OwnerLine, knock_line, presence, words};
use super::{MeshNode, State};
use crate::mesh_link::MeshPeerId;

/// One other node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerShown {
    /// Its key.
    pub peer_id: NodeKey,
    /// Its label: what the owner calls it, else what it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it told of itself; none when it was never heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Heard>,
    /// What it may here.
    pub rights: Rights,
    /// The plain ids that mean its agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub means: Vec<OwnerLine>,
    /// What it asked for in vain, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knocks: Vec<KnockLine>,
    /// What to know before trusting it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What a node told of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// What it calls itself.
    pub name: String,
    /// `live`, `stale` or `away`.
    pub presence: String,
    /// Since when it is away (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_since: Option<String>,
    /// Where it is reached now.
    pub mesh_peer_ids: Vec<MeshPeerId>,
    /// Where it was reached last.
    pub last_mesh_peer_id: MeshPeerId,
    /// When it was first heard (RFC 3339).
    pub first_seen: String,
    /// When it last told or confirmed what it has (RFC 3339).
    pub last_contact: String,
    /// The same in milliseconds before now.
    pub age_ms: u64,
    /// Of its last advert.
    pub sequence: u64,
    /// Its agents.
    pub agents: Vec<PeerAgent>,
}

/// One agent of another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAgent {
    /// Its id there.
    pub agent_id: String,
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// SHA-256 of its signed card.
    pub card_digest: Digest,
    /// Whether that card is here, checked against the node's key; without it the agent cannot be used.
    pub card_verified: bool,
}

/// What a node may here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// Whether the list names it.
    pub listed: bool,
    /// What the list allows it.
    pub allow: Vec<String>,
    /// What the list denies it.
    pub deny: Vec<String>,
    /// What the list allows everyone.
    pub everyone_allow: Vec<String>,
    /// What the list denies everyone.
    pub everyone_deny: Vec<String>,
    /// Whether it answers for permissions.
    pub approve: bool,
    /// Requests a minute.
    pub requests_per_minute: u32,
    /// Requests at once.
    pub burst: u32,
    /// What all that comes to for each agent this node offers now.
    pub agents: Vec<RightLine>,
}

/// What a node may with one agent of this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightLine {
    /// Which.
    pub agent_id: String,
    /// `allowed`, `unlisted`, `denied`, or `closed` when the list cannot be read.
    pub standing: String,
}

impl MeshNode {
    /// All that is known of the node that `text` names: by its key, the start of it, or its label.
    ///
    /// # Errors
    /// `invalid_argument` when that is none, or several, which it lists.
    pub fn show(&self, text: &str) -> Result<PeerShown, Refusal> {
        let (own, now) = (self.key(), self.now());
        let state = self.state();
        let key = state.find("peer", text, &own, now)?;
        let node = state.directory.nodes(now).find(|node| node.told.key == key);
        let knocks = state.knocks.list();
        Ok(PeerShown {
            peer_id: key,
            name: state.label(&key),
            warnings: node
                .iter()
                .flat_map(|node| &node.warnings)
                .map(words)
                .collect(),
            heard: node.map(|node| state.heard(&node)),
            rights: state.rights(&key),
            means: state
                .owner_lines()
                .filter(|line| line.peer_id == key)
                .collect(),
            knocks: knocks
                .iter()
                .filter(|knock| knock.key == key)
                .map(knock_line)
                .collect(),
        })
    }
}

impl State {
    fn heard(&self, node: &NodeView<'_>) -> Heard {
        let told = node.told;
        let agents = told.agents.iter().map(|agent| {
            let id = mesh_agents_core::ids::AgentId::on_node(&agent.id, &told.key.to_string());
            let card = id.ok().and_then(|id| self.cards.get(&id));
            PeerAgent {
                agent_id: agent.id.to_string(),
                name: agent.name.clone(),
                version: agent.version.clone(),
                card_digest: agent.card_digest,
                card_verified: card.is_some_and(|(digest, _)| *digest == agent.card_digest),
            }
        });
        Heard {
            name: told.name.clone(),
            presence: presence(node.presence).to_owned(),
            away_since: told.away_since.map(timestamp),
            mesh_peer_ids: node.routes.iter().map(|id| (*id).clone()).collect(),
            last_mesh_peer_id: told.mesh_peer_id.clone(),
            first_seen: timestamp(told.first_seen),
            last_contact: timestamp(told.heard_at),
            age_ms: node.age,
            sequence: told.sequence,
            agents: agents.collect(),
        }
    }

    fn rights(&self, key: &NodeKey) -> Rights {
        let acl = self.acl.acl();
        let peer = acl.peer(key);
        let none = Rules::default();
        let own = peer.map_or(&none, |peer| &peer.rules);
        let rate = acl.rate(key);
        let agents = self.bulletin.agents().iter().map(|agent| RightLine {
            agent_id: agent.id.to_string(),
            standing: match acl.standing(key, &agent.id, None) {
                Standing::Allowed => "allowed",
                Standing::Unlisted => "unlisted",
                Standing::Denied => "denied",
                Standing::Closed => "closed",
            }
            .to_owned(),
        });
        Rights {
            listed: peer.is_some(),
            allow: texts(&own.allow),
            deny: texts(&own.deny),
            everyone_allow: texts(&acl.everyone().allow),
            everyone_deny: texts(&acl.everyone().deny),
            approve: peer.is_some_and(|peer| peer.approve),
            requests_per_minute: rate.per_minute,
            burst: rate.burst,
            agents: agents.collect(),
        }
    }
}

fn texts(patterns: &[Pattern]) -> Vec<String> {
    patterns.iter().map(ToString::to_string).collect()
}
