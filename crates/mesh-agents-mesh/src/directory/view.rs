//! What others see of the directory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::AgentId;

use super::node::{Node, Remembered};
use super::{Directory, Peer};
use crate::advert::AdvertisedAgent;
use crate::identity::NodeKey;
use crate::moment::Moment;
use crate::peer::MeshPeerId;

/// Whether a node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It answered when last asked, and what it said still holds.
    Live,
    /// A route leads to it, but it does not answer, or what it said is too old.
    Stale,
    /// No route leads to it.
    Away {
        /// Since when.
        since: UnixMillis,
    },
}

/// What a person should know before trusting a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Another node had this label before.
    SameName {
        /// The first that had it.
        first: NodeKey,
    },
    /// It answers where another key answered before.
    OtherKey {
        /// The key before.
        old: NodeKey,
    },
    /// Its key answers at several peer ids; calls to it are refused.
    KeyTwice {
        /// Where.
        peers: Vec<MeshPeerId>,
    },
}

/// One node.
#[derive(Debug, Clone)]
pub struct NodeView<'a> {
    /// What it told last, and since when it is known.
    pub told: &'a Remembered,
    /// Whether it is there.
    pub presence: Presence,
    /// Where it is reached; several are a conflict.
    pub routes: Vec<&'a MeshPeerId>,
    /// What to know before trusting it.
    pub warnings: Vec<Warning>,
    /// How old what it told is, in milliseconds.
    pub age: u64,
}

/// One agent of another node.
#[derive(Debug, Clone, Copy)]
pub struct AgentView<'a> {
    /// Whose it is.
    pub node: &'a NodeKey,
    /// The node's label.
    pub node_name: &'a str,
    /// The agent.
    pub agent: &'a AdvertisedAgent,
    /// Whether its node is there.
    pub presence: Presence,
    /// How old this is, in milliseconds.
    pub age: u64,
}

/// Why a node cannot be called at the moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// Never heard of, or forgotten.
    #[error(
        "no node of this mesh is known by the key {0}; `agents peers list` shows those that are"
    )]
    Unknown(NodeKey),
    /// It was there once.
    #[error("the node {key} is away")]
    Away {
        /// Which.
        key: NodeKey,
        /// Since when.
        since: UnixMillis,
    },
    /// Its key is used by several nodes.
    #[error(
        "the key {key} is used by {} nodes at once, so nobody can say whose task this would be; on all but \
         one of them its owner must run `agents identity rotate`", .peers.len()
    )]
    KeyTwice {
        /// Which.
        key: NodeKey,
        /// Where.
        peers: Vec<MeshPeerId>,
    },
}

impl NoRoute {
    /// Since when the node is away; `None` when something else is in the way, which nobody's return mends.
    #[must_use]
    pub fn away_since(&self) -> Option<UnixMillis> {
        match self {
            Self::Away { since, .. } => Some(*since),
            Self::Unknown(_) | Self::KeyTwice { .. } => None,
        }
    }
}

impl Directory {
    /// All nodes, by key.
    pub fn nodes(&self, now: Moment) -> impl Iterator<Item = NodeView<'_>> {
        let routes = self.all_routes();
        let first = self.first_of_names();
        self.nodes.iter().map(move |(key, node)| {
            let routes = routes.get(key).cloned().unwrap_or_default();
            let mut warnings = Vec::new();
            if let Some(first) = first.get(&folded(&node.told.name))
                && *first != key
            {
                warnings.push(Warning::SameName { first: **first });
            }
            if let Some(old) = node.told.replaced {
                warnings.push(Warning::OtherKey { old });
            }
            if routes.len() > 1 {
                let peers = routes.iter().map(|(id, _)| (*id).clone()).collect();
                warnings.push(Warning::KeyTwice { peers });
            }
            NodeView {
                told: &node.told,
                presence: presence(node, &routes, now),
                routes: routes.iter().map(|(id, _)| *id).collect(),
                warnings,
                age: now.wall.since(node.told.heard_at),
            }
        })
    }

    /// All agents of other nodes, by node and id.
    pub fn agents(&self, now: Moment) -> impl Iterator<Item = AgentView<'_>> {
        let routes = self.all_routes();
        self.nodes.iter().flat_map(move |(key, node)| {
            let none = Vec::new();
            let presence = presence(node, routes.get(key).unwrap_or(&none), now);
            let view = move |agent| view(key, node, agent, presence, now);
            node.told.agents.iter().map(view)
        })
    }

    /// The nodes that have an agent of this id, by key.
    #[must_use]
    pub fn owners(&self, agent: &AgentId, now: Moment) -> Vec<AgentView<'_>> {
        let owners = self.nodes.iter().filter_map(|(key, node)| {
            let agent = find(node, agent)?;
            let presence = presence(node, &self.proved(key), now);
            Some(view(key, node, agent, presence, now))
        });
        owners.collect()
    }

    /// The agent of this id on this node.
    #[must_use]
    pub fn agent(&self, node: &NodeKey, agent: &AgentId, now: Moment) -> Option<AgentView<'_>> {
        let (key, node) = self.nodes.get_key_value(node)?;
        let agent = find(node, agent)?;
        let presence = presence(node, &self.proved(key), now);
        Some(view(key, node, agent, presence, now))
    }

    /// What is known of a node: to be stored, so that its key stays pinned over a restart.
    #[must_use]
    pub fn remembered(&self, key: &NodeKey) -> Option<&Remembered> {
        self.nodes.get(key).map(|node| &node.told)
    }

    /// Where to open a stream to a node.
    ///
    /// # Errors
    /// [`NoRoute`], to be shown.
    pub fn route(&self, key: &NodeKey) -> Result<&MeshPeerId, NoRoute> {
        let mut routes = self.routes(key);
        match (routes.next(), routes.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(NoRoute::KeyTwice {
                key: *key,
                peers: self.routes(key).cloned().collect(),
            }),
            (None, _) => match self.nodes.get(key) {
                Some(node) => Err(NoRoute::Away {
                    key: *key,
                    since: away_since(node),
                }),
                None => Err(NoRoute::Unknown(*key)),
            },
        }
    }

    /// Whether `key` was proved at `peer`: a peer that shows this key and no other is who a caller means.
    #[must_use]
    pub fn proved_at(&self, peer: &MeshPeerId) -> Option<&NodeKey> {
        self.peers.get(peer)?.key.as_ref()
    }

    fn proved(&self, key: &NodeKey) -> Vec<(&MeshPeerId, &Peer)> {
        let peers = self.peers.iter();
        peers.filter(|(_, peer)| peer.key == Some(*key)).collect()
    }

    fn all_routes(&self) -> BTreeMap<NodeKey, Vec<(&MeshPeerId, &Peer)>> {
        let mut routes: BTreeMap<NodeKey, Vec<_>> = BTreeMap::new();
        for (id, peer) in &self.peers {
            if let Some(key) = peer.key {
                routes.entry(key).or_default().push((id, peer));
            }
        }
        routes
    }

    /// Who had each label first.
    fn first_of_names(&self) -> BTreeMap<String, &NodeKey> {
        let mut first: BTreeMap<String, (UnixMillis, &NodeKey)> = BTreeMap::new();
        for (key, node) in &self.nodes {
            let seen = (node.told.first_seen, key);
            match first.entry(folded(&node.told.name)) {
                Entry::Vacant(place) => {
                    place.insert(seen);
                }
                Entry::Occupied(mut place) if seen.0 < place.get().0 => {
                    place.insert(seen);
                }
                Entry::Occupied(_) => {}
            }
        }
        first
            .into_iter()
            .map(|(name, (_, key))| (name, key))
            .collect()
    }
}

/// Labels that people read as the same one.
fn folded(name: &str) -> String {
    name.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

fn find<'a>(node: &'a Node, id: &AgentId) -> Option<&'a AdvertisedAgent> {
    node.told.agents.iter().find(|agent| agent.id == *id)
}

fn view<'a>(
    key: &'a NodeKey,
    node: &'a Node,
    agent: &'a AdvertisedAgent,
    presence: Presence,
    now: Moment,
) -> AgentView<'a> {
    AgentView {
        node: key,
        node_name: &node.told.name,
        agent,
        presence,
        age: now.wall.since(node.told.heard_at),
    }
}

fn presence(node: &Node, routes: &[(&MeshPeerId, &Peer)], now: Moment) -> Presence {
    if routes.is_empty() {
        return Presence::Away {
            since: away_since(node),
        };
    }
    let answers = routes.iter().any(|(_, peer)| peer.schedule.is_well());
    if answers && node.is_fresh(now.mono) {
        Presence::Live
    } else {
        Presence::Stale
    }
}

fn away_since(node: &Node) -> UnixMillis {
    node.told.away_since.unwrap_or(node.told.heard_at)
}
