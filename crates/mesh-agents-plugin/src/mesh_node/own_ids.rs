//! What our own host was called before this engine started.
//!
//! A host that starts anew as a client has another id, and the others go on telling of the one it had for 45 s
//! (host-contract T14). To dial that one would keep the host from opening any other stream for 10 s. While an engine
//! lives, its link knows the ids its host had; these are the ones of engines before it.
//!
//! Only ids our own host told us are kept, and they count for a minute after the start: whoever answers there later
//! is no shadow of ours but a node that lives, with a copy of our key perhaps, and is asked like any other.

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_mesh::MeshPeerId;
use mesh_agents_tasks::Fact;

use super::memory;
use crate::mesh_link::Peers;

/// Ids that are kept: a host that started anew so often within a minute is told of under each.
const KEPT: usize = 8;
/// How long after the engine's start an id of before is taken for our own: longer than others tell of a dead one.
const SHADOW: Duration = Duration::from_secs(60);

/// Ids of our own host.
#[derive(Debug, Default)]
pub(super) struct OwnIds {
    /// Newest first.
    ids: Vec<MeshPeerId>,
    /// Those that were kept when this engine started.
    before: Vec<MeshPeerId>,
}

impl OwnIds {
    /// What an engine before this one kept.
    pub(super) fn restored(ids: Vec<MeshPeerId>) -> Self {
        Self {
            before: ids.clone(),
            ids,
        }
    }

    /// Our host has this id now. What is to be kept, if that is news.
    pub(super) fn is(&mut self, id: &MeshPeerId) -> Option<Fact> {
        if self.ids.first() == Some(id) {
            return None;
        }
        self.ids.retain(|known| known != id);
        self.ids.insert(0, id.clone());
        self.ids.truncate(KEPT);
        Some(memory::own_ids(&self.ids))
    }

    /// The peers that are not ourselves, as far as this is known so long after the start; and after how much longer
    /// to look again, when there are others among them.
    pub(super) fn others(&self, peers: Peers, age: Duration) -> (Peers, Option<Duration>) {
        let left = SHADOW.saturating_sub(age);
        if left.is_zero() || !self.before.iter().any(|id| peers.contains_key(id)) {
            return (peers, None);
        }
        let mut others = (*peers).clone();
        others.retain(|id, _| !self.before.contains(id));
        (Arc::new(others), Some(left))
    }
}

#[cfg(test)]
mod tests {
    use mesh_agents_core::clock::UnixMillis;

    use super::*;
    use crate::mesh_link::HostPeer;

    fn id(n: u8) -> MeshPeerId {
        format!("{n:064x}").parse().unwrap()
    }

    fn peers(numbers: &[u8]) -> Peers {
        let peer = |n: &u8| HostPeer {
            mesh_peer_id: id(*n),
            role: "client".into(),
            version: "0".into(),
            since: UnixMillis(0),
        };
        Arc::new(numbers.iter().map(|n| (id(*n), peer(n))).collect())
    }

    #[test]
    fn an_id_of_before_is_no_peer_for_a_minute_and_then_is_one() {
        let own = OwnIds::restored(vec![id(1), id(2)]);
        let (young, old) = (Duration::from_secs(5), Duration::from_secs(60));
        let (seen, again) = own.others(peers(&[1, 3]), young);
        assert!(seen.keys().eq([&id(3)]));
        assert_eq!(again, Some(Duration::from_secs(55)));
        let (seen, again) = own.others(peers(&[1, 3]), old);
        assert!(seen.keys().eq([&id(1), &id(3)]) && again.is_none());
        // Nobody is told of who is not there.
        assert_eq!(own.others(peers(&[3]), young).1, None);
    }

    #[test]
    fn the_last_few_ids_are_kept_once_each() {
        let mut own = OwnIds::default();
        for n in 0..20 {
            assert!(own.is(&id(n)).is_some());
            assert!(own.is(&id(n)).is_none(), "it is known");
        }
        assert!(own.is(&id(15)).is_some());
        let last: Vec<_> = [15, 19, 18, 17, 16, 14, 13, 12].map(id).into();
        assert_eq!(own.ids, last);
        // What this engine's link knows itself needs no minute.
        assert!(own.others(peers(&[19]), Duration::ZERO).1.is_none());
    }
}
