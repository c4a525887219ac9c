//! What is known of other nodes outlives the engine: their keys stay pinned, their agents stay listed while
//! they are away, and a plain id keeps meaning the owner it meant.

use std::sync::Arc;

use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::{
    Bulletin, Change, Digest, Directory, ExpectCard, MeshCard, MeshPeerId, NodeKey, Remembered,
    Stored,
};
use mesh_agents_tasks::{Fact, FactKind};
use serde::{Deserialize, Serialize};

use super::own_ids::OwnIds;
use super::{MeshNode, State, remote, seed};

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
        let gone = |kind, id| Fact {
            kind,
            id,
            body: None,
        };
        let did = key.to_string();
        let (cards, unsaved) = (&mut self.cards, &mut self.unsaved);
        cards.retain(|id, _| {
            let stays = id.node().as_deref() != Some(did.as_str());
            if !stays {
                unsaved.push(gone(FactKind::Card, id.to_string()));
            }
            stays
        });
        unsaved.push(gone(FactKind::Node, did));
    }
}

impl MeshNode {
    /// Puts on disk what is not there yet.
    pub(super) async fn save(&self) {
        let facts = std::mem::take(&mut self.state().unsaved);
        let Some(engine) = self.0.engine.get().filter(|_| !facts.is_empty()) else {
            return;
        };
        if let Err(error) = engine.keep_facts(facts).await {
            // The mesh will tell it again; a full disk is told of where tasks meet it.
            tracing::warn!(%error, "what was learned of the mesh is not kept");
        }
    }

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
            match taken_up(&agent, &body) {
                Ok((id, digest, definition)) => {
                    state.cards.insert(id, (digest, Arc::new(definition)));
                }
                Err(error) => tracing::warn!(%agent, %error, "a kept card is not believed"),
            }
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

/// A kept card, checked as when it came: the database is one more place it travelled through.
fn taken_up(
    agent: &str,
    body: &str,
) -> Result<(AgentId, Digest, mesh_agents_core::agent::AgentDefinition), String> {
    let id: AgentId = agent.parse().map_err(|error| format!("{error}"))?;
    let node = id.node().ok_or("it is no agent of another node")?;
    let key: NodeKey = node.parse().map_err(|error| format!("{error}"))?;
    let digest = Digest::of(body.as_bytes());
    let expect = ExpectCard {
        key: &key,
        agent: &id.on_its_node(),
        digest,
    };
    let card = MeshCard::open(body.as_bytes(), expect).map_err(|error| error.to_string())?;
    let definition = remote::definition(id.clone(), &card)?;
    Ok((id, digest, definition))
}
