//! What goes first when there is too much. A flood of invented peers must not push out one that answered.

use std::collections::BTreeSet;

use super::claims::CLAIMED;
use super::node::Node;
use super::{Change, DIRECTORY_AGENTS, DIRECTORY_BYTES, DIRECTORY_PEERS, Directory, Peer};
use crate::advert::VerifiedAdvert;
use crate::identity::NodeKey;

/// What nodes take.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    agents: usize,
    bytes: usize,
}

impl Load {
    fn of(node: &Node) -> Self {
        Self {
            agents: node.told.agents.len(),
            bytes: node.told.bytes,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            agents: self.agents.saturating_add(other.agents),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn fits(self) -> bool {
        self.agents <= DIRECTORY_AGENTS && self.bytes <= DIRECTORY_BYTES
    }
}

impl Directory {
    /// Makes room for one more peer: one goes that only strangers spoke of, or else that showed no key and
    /// failed; of these the one that was longest not heard of. `false` when every peer answered, or was not
    /// asked yet.
    pub(super) fn make_room_for_peer(&mut self) -> bool {
        if self.peers.len() < DIRECTORY_PEERS {
            return true;
        }
        let failed = |peer: &Peer| peer.key.is_none() && !peer.schedule.is_well();
        self.drop_longest(|peer| peer.claimed) || self.drop_longest(failed)
    }

    /// Makes room for one more peer that only strangers spoke of: another one goes that failed. `false` when
    /// all of these were not asked yet; others never make room for it.
    pub(super) fn make_room_for_claim(&mut self) -> bool {
        let claimed = self.peers.values().filter(|peer| peer.claimed).count();
        if claimed < CLAIMED && self.peers.len() < DIRECTORY_PEERS {
            return true;
        }
        self.drop_longest(|peer| peer.claimed && !peer.schedule.is_well())
    }

    /// Drops the one of these peers that was longest not heard of; `false` when there is none.
    fn drop_longest(&mut self, of: impl Fn(&Peer) -> bool) -> bool {
        let these = self.peers.iter().filter(|(_, peer)| of(peer));
        let longest = these.min_by_key(|(_, peer)| peer.heard);
        match longest.map(|(id, _)| id.clone()) {
            Some(id) => self.drop_peer(&id).is_some(),
            None => false,
        }
    }

    /// Makes room for one more node: the one goes that has been away longest. `false` when none is away.
    pub(super) fn make_room_for_node(&mut self, changes: &mut Vec<Change>) -> bool {
        if self.nodes.len() < DIRECTORY_PEERS {
            return true;
        }
        let Some(key) = self.away_longest(None) else {
            return false;
        };
        self.nodes.remove(&key);
        changes.push(Change::Gone(key));
        true
    }

    /// Makes room for an advert of `key` in place of the one it has: nodes that are away go, the longest
    /// away first. `false` when that is not enough; then nothing went.
    pub(super) fn make_room_for_advert(
        &mut self,
        key: &NodeKey,
        advert: &VerifiedAdvert,
        changes: &mut Vec<Change>,
    ) -> bool {
        let wanted = Load {
            agents: advert.advert().agents.len(),
            bytes: advert.bytes(),
        };
        let mut load = self.load(|other| other != key).and(wanted);
        if load.fits() {
            return true;
        }
        let routed = self.routed();
        let stays = self.load(|other| other != key && routed.contains(other));
        if !stays.and(wanted).fits() {
            return false;
        }
        while !load.fits() {
            let Some(oldest) = self.away_longest(Some(key)) else {
                return false;
            };
            self.nodes.remove(&oldest);
            changes.push(Change::Gone(oldest));
            load = self.load(|other| other != key).and(wanted);
        }
        true
    }

    /// What the nodes `counts` says take together.
    fn load(&self, counts: impl Fn(&NodeKey) -> bool) -> Load {
        let nodes = self.nodes.iter().filter(|(key, _)| counts(key));
        nodes.fold(Load::default(), |sum, (_, node)| sum.and(Load::of(node)))
    }

    /// The node that goes first: one at whose place another key answers, since who has one place can show
    /// many keys there, and of those, or of all, the one that was longest not heard.
    fn away_longest(&self, but: Option<&NodeKey>) -> Option<NodeKey> {
        let routed = self.routed();
        let away = self.nodes.iter();
        let away = away.filter(|(key, _)| Some(*key) != but && !routed.contains(key));
        let longest = away.min_by_key(|(_, node)| {
            let place = self.peers.get(&node.told.mesh_peer_id);
            let displaced = place.is_some_and(|peer| peer.key.is_some());
            (!displaced, node.told.heard_at)
        });
        longest.map(|(key, _)| *key)
    }

    /// The keys some route leads to.
    fn routed(&self) -> BTreeSet<NodeKey> {
        self.peers.values().filter_map(|peer| peer.key).collect()
    }
}
