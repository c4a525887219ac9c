//! Who is there, by what the links so far said. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_agents_core::clock::UnixMillis;

use super::super::line::PeerLine;
use super::super::{HostPeer, MAX_PEERS, MeshPeerId, Peers};

/// Ids of our own host that are kept, one for each of its starts; nobody tells of one of long ago.
const OWN: usize = 256;

/// The peers, each with the link that told of it last.
#[derive(Debug, Default)]
pub(super) struct PeerTable {
    live: Peers,
    confirmed: BTreeMap<MeshPeerId, u64>,
    link: u64,
    changed: bool,
    /// Ids our own host has or had. Others go on telling of one it had for 45 s (host-contract T14), and dialling
    /// it would keep the host from opening any other stream for 10 s.
    own: BTreeSet<MeshPeerId>,
}

impl PeerTable {
    /// A new link begins; says which.
    pub(super) fn begin(&mut self) -> u64 {
        self.link += 1;
        self.link
    }

    /// Our own host has this id: it is no peer, now or later.
    pub(super) fn own(&mut self, id: &MeshPeerId) {
        if self.own.len() >= OWN {
            self.own.clear();
        }
        self.own.insert(id.clone());
        self.down(id);
    }

    /// A peer is there. One that was there already keeps the time it came.
    pub(super) fn up(&mut self, line: PeerLine, now: UnixMillis) {
        if self.own.contains(&line.mesh_peer_id) {
            return;
        }
        let known = self.live.get(&line.mesh_peer_id);
        if known.is_none() && self.live.len() >= MAX_PEERS {
            return;
        }
        self.confirmed.insert(line.mesh_peer_id.clone(), self.link);
        let peer = HostPeer {
            since: known.map_or(now, |known| known.since),
            mesh_peer_id: line.mesh_peer_id,
            role: line.role,
            version: line.version,
        };
        if known != Some(&peer) {
            self.changed = true;
            Arc::make_mut(&mut self.live).insert(peer.mesh_peer_id.clone(), peer);
        }
    }

    /// A peer went.
    pub(super) fn down(&mut self, peer: &MeshPeerId) {
        if self.confirmed.remove(peer).is_some() {
            self.changed = true;
            Arc::make_mut(&mut self.live).remove(peer);
        }
    }

    /// Forgets everybody the present link did not tell of.
    pub(super) fn keep_confirmed(&mut self) {
        let gone: Vec<_> = self
            .confirmed
            .iter()
            .filter(|(_, link)| **link != self.link)
            .map(|(peer, _)| peer.clone())
            .collect();
        for peer in gone {
            self.down(&peer);
        }
    }

    /// The live peers, if they changed since this was last asked.
    pub(super) fn changed(&mut self) -> Option<Peers> {
        std::mem::take(&mut self.changed).then(|| Arc::clone(&self.live))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> MeshPeerId {
        format!("{n:064x}").parse().unwrap()
    }

    fn line(n: usize, role: &str) -> PeerLine {
        PeerLine {
            mesh_peer_id: id(n),
            role: role.into(),
            version: "0.78.1".into(),
        }
    }

    #[test]
    fn a_peer_keeps_the_time_it_came_until_it_goes() {
        let mut table = PeerTable::default();
        table.begin();
        table.up(line(1, ""), UnixMillis(10));
        table.up(line(1, "client"), UnixMillis(20));
        let live = table.changed().unwrap();
        assert_eq!(
            (live[&id(1)].since, live[&id(1)].role.as_str()),
            (UnixMillis(10), "client")
        );
        table.up(line(1, "client"), UnixMillis(30));
        assert!(table.changed().is_none(), "nothing new was said");
        table.down(&id(1));
        assert!(table.changed().unwrap().is_empty());
        table.up(line(1, "client"), UnixMillis(40));
        assert_eq!(table.changed().unwrap()[&id(1)].since, UnixMillis(40));
    }

    #[test]
    fn who_a_later_link_does_not_confirm_is_forgotten_and_the_others_stay() {
        let mut table = PeerTable::default();
        table.begin();
        table.up(line(1, ""), UnixMillis(1));
        table.up(line(2, ""), UnixMillis(1));
        table.changed();
        table.begin();
        assert!(table.changed().is_none(), "a new link forgets nobody yet");
        table.up(line(2, ""), UnixMillis(9));
        table.keep_confirmed();
        let live = table.changed().unwrap();
        assert_eq!(live.keys().collect::<Vec<_>>(), [&id(2)]);
        assert_eq!(live[&id(2)].since, UnixMillis(1));
    }

    #[test]
    fn an_id_our_own_host_had_is_never_a_peer() {
        let mut table = PeerTable::default();
        table.begin();
        table.up(line(1, ""), UnixMillis(1));
        table.own(&id(1));
        assert!(table.changed().unwrap().is_empty());
        // The host starts anew, under another id, and hears of itself.
        table.begin();
        table.own(&id(2));
        table.up(line(1, "client"), UnixMillis(2));
        table.up(line(2, "client"), UnixMillis(2));
        assert!(table.changed().is_none());
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let mut table = PeerTable::default();
        table.begin();
        for n in 0..MAX_PEERS + 5 {
            table.up(line(n, ""), UnixMillis(1));
        }
        assert_eq!(table.changed().unwrap().len(), MAX_PEERS);
        table.down(&id(0));
        table.up(line(MAX_PEERS + 1, ""), UnixMillis(1));
        assert!(table.changed().unwrap().contains_key(&id(MAX_PEERS + 1)));
    }
}
