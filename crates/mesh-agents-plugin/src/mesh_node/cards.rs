//! The cards of others' agents: of each node those its advert names, as the directory took it, and no others.
//! So what bounds the directory bounds them, in memory and on disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::{Digest, MeshCard, NodeKey};
use mesh_agents_tasks::{Fact, FactKind};

use super::{State, memory};

/// Most bytes of cards that pulls fetched and could not use yet: those of a few nodes at once.
const BEGUN_BYTES: usize = 4 * 1024 * 1024;

/// A card that was fetched, and that holds.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) id: AgentId,
    pub(super) digest: Digest,
    pub(super) card: MeshCard,
    pub(super) definition: AgentDefinition,
}

impl Fetched {
    pub(super) fn bytes(&self) -> usize {
        self.card.json().as_str().len()
    }
}

/// Cards of pulls that broke off, or whose advert was refused: the next one goes on where they ended, so that
/// a node with many agents and a slow line is known after a few. The oldest go first.
#[derive(Debug, Default)]
pub(super) struct Begun {
    cards: VecDeque<Fetched>,
    bytes: usize,
}

impl Begun {
    /// Keeps what a pull fetched in vain.
    pub(super) fn keep(&mut self, fetched: Vec<Fetched>) {
        for one in fetched {
            self.bytes += one.bytes();
            self.cards.push_back(one);
        }
        while self.bytes > BEGUN_BYTES
            && let Some(oldest) = self.cards.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
    }

    /// The card of this agent with this digest, if it is there.
    pub(super) fn take(&mut self, id: &AgentId, digest: Digest) -> Option<Fetched> {
        let is_it = |one: &Fetched| one.digest == digest && one.id == *id;
        let at = self.cards.iter().position(is_it)?;
        let taken = self.cards.remove(at)?;
        self.bytes -= taken.bytes();
        Some(taken)
    }
}

impl State {
    /// The agents a node tells of, by the ids they have here, with the digests of their cards.
    pub(super) fn told(&self, key: &NodeKey) -> BTreeMap<AgentId, Digest> {
        let did = key.to_string();
        let told = self.directory.remembered(key);
        let agents = told.iter().flat_map(|told| &told.agents);
        let ids = agents.filter_map(|agent| {
            let id = AgentId::on_node(&agent.id, &did).ok()?;
            Some((id, agent.card_digest))
        });
        ids.collect()
    }

    /// After an answer of `key`, before which it told of the agents `before`: what was fetched for it is
    /// taken over as far as the directory took its advert, and what it tells of no more goes.
    pub(super) fn settle(
        &mut self,
        key: &NodeKey,
        before: &BTreeMap<AgentId, Digest>,
        fetched: Vec<Fetched>,
    ) {
        let told = self.told(key);
        for id in before.keys() {
            let has = self.cards.get(id).map(|(digest, _)| digest);
            if has.is_some_and(|digest| told.get(id) != Some(digest)) {
                self.cards.remove(id);
                self.unsaved.push(gone(id));
            }
        }
        let is_told = |one: &Fetched| told.get(&one.id) == Some(&one.digest);
        let (of_now, others) = fetched.into_iter().partition(is_told);
        let of_now: Vec<Fetched> = of_now;
        for one in of_now {
            self.unsaved.push(memory::card(&one.id, &one.card));
            let entry = (one.digest, Arc::new(one.definition));
            self.cards.insert(one.id, entry);
        }
        // Or an advert that is refused again and again would have them fetched as often.
        self.begun.keep(others);
    }
}

/// A card is forgotten.
pub(super) fn gone(id: &AgentId) -> Fact {
    Fact {
        kind: FactKind::Card,
        id: id.to_string(),
        body: None,
    }
}
