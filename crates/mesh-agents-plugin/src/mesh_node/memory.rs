//! What is known of other nodes outlives the engine: their keys stay pinned, their agents stay listed while
//! they are away, and a plain id keeps meaning the owner it meant.

use std::sync::Arc;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::{
    Bulletin, Change, Digest, Directory, ExpectCard, MeshCard, MeshPeerId, NodeKey, Remembered,
    Stored,
};
use mesh_agents_tasks::{Fact, FactKind};
use serde::{Deserialize, Serialize};

use super::own_ids::OwnIds;
use super::{MeshNode, State, cards, remote, seed};

/// [`Stored`] on disk.
#[derive(Serialize, Deserialize)]
struct Owner {
    node: NodeKey,
    chosen: bool,
}

fn kept(kind: FactKind, id: String, body: &impl Serialize) -> Fact {
    // None of these has a form JSON lacks; one that had would be forgotten, which is safe.
    let body = serde_json::to_string(body).ok();
    Fact { kind, id, body }
}

/// A plain id means this owner.
pub(super) fn owner(agent: &AgentId, stored: &Stored) -> Fact {
    let owner = Owner {
        node: stored.node,
        chosen: stored.is_chosen,
    };
    kept(FactKind::Owner, agent.to_string(), &owner)
}

/// A plain id means no owner any more.
pub(super) fn no_owner(agent: &AgentId) -> Fact {
    Fact {
        kind: FactKind::Owner,
        id: agent.to_string(),
        body: None,
    }
}

/// The card of an agent, as its node signed it.
pub(super) fn card(agent: &AgentId, card: &MeshCard) -> Fact {
    Fact {
        kind: FactKind::Card,
        id: agent.to_string(),
        body: Some(card.json().as_str().to_owned()),
    }
}

/// The sequence of this node's advert.
pub(super) fn sequence(sequence: u64) -> Fact {
    kept(FactKind::Sequence, String::new(), &sequence)
}

/// What our own host is and was called.
pub(super) fn own_ids(ids: &[MeshPeerId]) -> Fact {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    kept(FactKind::OwnIds, String::new(), &ids)
}

impl State {
    /// Notes what of a change is to be kept.
    pub(super) fn remember(&mut self, change: &Change) {
        match change {
            Change::Found(key) | Change::Updated(key) | Change::Back(key) | Change::Away(key) => {
                if let Some(told) = self.directory.remembered(key) {
                    let fact = kept(FactKind::Node, key.to_string(), told);
                    self.unsaved.push(fact);
                }
            }
            Change::Gone(key) => self.forget(key),
            _ => {}
        }
    }

    fn forget(&mut self, key: &NodeKey) {
        let did = key.to_string();
        let (cards, unsaved) = (&mut self.cards, &mut self.unsaved);
        cards.retain(|id, _| {
            let stays = id.node().as_deref() != Some(did.as_str());
            if !stays {
                unsaved.push(cards::gone(id));
            }
            stays
        });
        unsaved.push(Fact {
            kind: FactKind::Node,
            id: did,
            body: None,
        });
    }
}

impl MeshNode {
    /// Takes up what was known when the last engine ended. What cannot be read is left out.
    pub(super) async fn restore(&self) {
        let nodes: Vec<Remembered> = self.read(FactKind::Node).await;
        let sequence: Vec<u64> = self.read(FactKind::Sequence).await;
        let own_ids: Vec<Vec<String>> = self.read(FactKind::OwnIds).await;
        let owners = self.kept(FactKind::Owner).await;
        let cards = self.kept(FactKind::Card).await;
        let now = self.now();
        // Without random numbers the engine would not have started; the seed spreads work, no more.
        let seed = seed(&self.0.config).unwrap_or_default();
        let mut state = self.state();
        state.directory = Directory::new(self.key(), nodes, seed, now);
        let own_ids = own_ids.into_iter().flatten();
        let own_ids = own_ids.filter_map(|id| id.parse().ok());
        state.own_ids = OwnIds::restored(own_ids.collect());
        state.bulletin = Bulletin::new(sequence.first().copied().unwrap_or(0));
        for (agent, body) in owners {
            if let (Ok(agent), Ok(Owner { node, chosen })) =
                (agent.parse(), serde_json::from_str(&body))
            {
                let stored = Stored {
                    node,
                    is_chosen: chosen,
                };
                state.owners.insert(agent, stored);
            }
        }
        for (agent, body) in cards {
            state.take_up(&agent, &body);
        }
        drop(state);
        self.0.agents.notify_one();
    }

    async fn read<T: for<'de> Deserialize<'de>>(&self, kind: FactKind) -> Vec<T> {
        let kept = self.kept(kind).await.into_iter();
        let read = kept.filter_map(|(id, body)| {
            let read = serde_json::from_str(&body);
            read.inspect_err(|error| tracing::warn!(?kind, %id, %error, "is not readable"))
                .ok()
        });
        read.collect()
    }

    async fn kept(&self, kind: FactKind) -> Vec<(String, String)> {
        let Some(engine) = self.0.engine.get() else {
            return Vec::new();
        };
        let kept = engine.facts(kind).await;
        kept.inspect_err(|error| tracing::warn!(?kind, %error, "cannot be read"))
            .unwrap_or_default()
    }
}

impl State {
    /// Takes up a kept card, if a node tells of it; else it goes.
    fn take_up(&mut self, agent: &str, body: &str) {
        match self.read_card(agent, body) {
            Ok(Some((id, digest, definition))) => {
                self.cards.insert(id, (digest, Arc::new(definition)));
                return;
            }
            Ok(None) => tracing::debug!(%agent, "no node tells of a kept card any more"),
            Err(error) => tracing::warn!(%agent, %error, "a kept card is not believed"),
        }
        self.unsaved.push(Fact {
            kind: FactKind::Card,
            id: agent.to_owned(),
            body: None,
        });
    }

    /// Reads a kept card; `None` when no node tells of it, which is looked at first, since it costs least.
    fn read_card(
        &self,
        agent: &str,
        body: &str,
    ) -> Result<Option<(AgentId, Digest, AgentDefinition)>, String> {
        let id: AgentId = agent.parse().map_err(|error| format!("{error}"))?;
        let node = id.node().ok_or("it is no agent of another node")?;
        let key: NodeKey = node.parse().map_err(|error| format!("{error}"))?;
        let digest = Digest::of(body.as_bytes());
        let told = self.directory.remembered(&key);
        let mut agents = told.iter().flat_map(|told| &told.agents);
        if !agents.any(|told| told.card_digest == digest && told.id.as_str() == id.name()) {
            return Ok(None);
        }
        let definition = taken_up(&id, &key, digest, body)?;
        Ok(Some((id, digest, definition)))
    }
}

/// A kept card, checked as when it came: the database is one more place it travelled through.
fn taken_up(
    id: &AgentId,
    key: &NodeKey,
    digest: Digest,
    body: &str,
) -> Result<AgentDefinition, String> {
    let expect = ExpectCard {
        key,
        agent: &id.on_its_node(),
        digest,
    };
    let card = MeshCard::open(body.as_bytes(), expect).map_err(|error| error.to_string())?;
    remote::definition(id.clone(), &card)
}
