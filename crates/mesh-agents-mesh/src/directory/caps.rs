//! What goes first when there is too much. A flood of invented peers must not push out one that answered.

use std::collections::BTreeSet;

use super::{Change, DIRECTORY_AGENTS, DIRECTORY_PEERS, Directory};
use crate::identity::NodeKey;

impl Directory {
    /// Makes room for one more peer: the one goes that showed no key and failed, and was longest not heard
    /// of. `false` when every peer answered, or was not asked yet.
    pub(super) fn make_room_for_peer(&mut self) -> bool {
        if self.peers.len() < DIRECTORY_PEERS {
            return true;
        }
        let useless = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.key.is_none() && !peer.schedule.is_well());
        let longest = useless.min_by_key(|(_, peer)| peer.heard);
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

    /// Makes room for `count` agents of `key` in place of those it has: nodes that are away go, the longest
    /// away first. `false` when that is not enough; then nothing went.
    pub(super) fn make_room_for_agents(
        &mut self,
        key: &NodeKey,
        count: usize,
        changes: &mut Vec<Change>,
    ) -> bool {
        let nodes = self.nodes.iter();
        let others = nodes.filter(|(other, _)| *other != key);
        let mut others: usize = others.map(|(_, node)| node.told.agents.len()).sum();
        if others + count <= DIRECTORY_AGENTS {
            return true;
        }
        let routed = self.routed();
        let stays = self
            .nodes
            .iter()
            .filter(|(other, _)| *other != key && routed.contains(other));
        let stay: usize = stays.map(|(_, node)| node.told.agents.len()).sum();
        if stay + count > DIRECTORY_AGENTS {
            return false;
        }
        while others + count > DIRECTORY_AGENTS {
            let Some(oldest) = self.away_longest(Some(key)) else {
                return false;
            };
            let gone = self.nodes.remove(&oldest);
            others -= gone.map_or(0, |node| node.told.agents.len());
            changes.push(Change::Gone(oldest));
        }
        true
    }

    fn away_longest(&self, but: Option<&NodeKey>) -> Option<NodeKey> {
        let routed = self.routed();
        let away = self.nodes.iter();
        let away = away.filter(|(key, _)| Some(*key) != but && !routed.contains(key));
        let longest = away.min_by_key(|(_, node)| node.told.heard_at);
        longest.map(|(key, _)| *key)
    }

    /// The keys some route leads to.
    fn routed(&self) -> BTreeSet<NodeKey> {
        self.peers.values().filter_map(|peer| peer.key).collect()
    }
}
