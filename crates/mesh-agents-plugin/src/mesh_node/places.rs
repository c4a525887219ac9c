//! How many streams of other nodes are open at once, by key.
//!
//! Keys cost nothing to make, so those the owner's list does not name share what there is for strangers: a
//! flood of theirs leaves the others their streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_agents_mesh::NodeKey;

/// Streams of one node that the list names. It follows up to 64 tasks of one agent at once, each on a stream.
const OF_A_PEER: usize = 160;
/// Streams of one stranger: it pulls on one, and knocks on another.
const OF_A_STRANGER: usize = 4;
/// Streams of all strangers. A pull takes some milliseconds, so this is a large mesh at its busiest.
const OF_STRANGERS: usize = 64;

/// The streams that are open.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    of: BTreeMap<NodeKey, usize>,
    strangers: usize,
}

/// One stream's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    key: NodeKey,
    is_stranger: bool,
}

impl Places {
    /// A place for a stream of `key`; none when it has too many, or the strangers together have.
    pub(super) fn take(self: &Arc<Self>, key: NodeKey, is_stranger: bool) -> Option<Place> {
        let mut open = self.open();
        let most = if is_stranger {
            OF_A_STRANGER
        } else {
            OF_A_PEER
        };
        let has = open.of.get(&key).copied().unwrap_or_default();
        if has >= most || (is_stranger && open.strangers >= OF_STRANGERS) {
            return None;
        }
        open.of.insert(key, has + 1);
        open.strangers += usize::from(is_stranger);
        Some(Place {
            places: Arc::clone(self),
            key,
            is_stranger,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.open();
        open.strangers -= usize::from(self.is_stranger);
        if let Some(has) = open.of.get_mut(&self.key) {
            *has -= 1;
            if *has == 0 {
                open.of.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_agents_mesh::NodeSecret;

    use super::*;

    fn key(n: u8) -> NodeKey {
        NodeSecret::from_seed(&[n; 32]).key()
    }

    #[test]
    fn a_node_takes_its_own_places_and_strangers_theirs() {
        let places = Arc::new(Places::default());
        let mut held: Vec<Place> = Vec::new();
        for n in 0..=255 {
            held.extend((0..10).filter_map(|_| places.take(key(n), true)));
        }
        assert_eq!(held.len(), OF_STRANGERS);
        assert!(held.iter().filter(|place| place.key == key(0)).count() == OF_A_STRANGER);
        let peer: Vec<_> = (0..500)
            .filter_map(|_| places.take(key(1), false))
            .collect();
        // What it had as a stranger counts.
        assert_eq!(peer.len(), OF_A_PEER - OF_A_STRANGER);
        drop((held, peer));
        assert!(places.open().of.is_empty() && places.open().strangers == 0);
        assert!(places.take(key(9), true).is_some());
    }
}
