//! What comes of a pull: what its answer says of a node, or that there was none.

use std::collections::btree_map::Entry;

use super::node::{Node, Taken};
use super::{CONFLICT, Change, Directory, GUESSES, Peer, PullFailure, Refused};
use crate::advert::VerifiedAdvert;
use crate::bulletin::Pulled;
use crate::identity::NodeKey;
use crate::moment::Moment;
use crate::peer::MeshPeerId;

impl Directory {
    pub(super) fn answered(
        &mut self,
        id: &MeshPeerId,
        key: NodeKey,
        answer: Pulled,
        now: Moment,
        changes: &mut Vec<Change>,
    ) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.heard = now.mono;
        if key == self.own {
            self.met_ourselves(id, now, changes);
            return;
        }
        if let Pulled::Advert(advert) = &answer
            && (advert.advert().key != key || advert.advert().mesh_peer_id != *id)
        {
            self.refuse(id, Refused::Elsewhere, now, changes);
            return;
        }
        if !self.nodes.contains_key(&key) && !self.make_room_for_node(changes) {
            self.refuse(id, Refused::NoRoom, now, changes);
            return;
        }
        self.attach(id, key, now, changes);
        let taken = match answer {
            Pulled::NotModified(sequence) => match self.nodes.get_mut(&key) {
                Some(node) => node.confirm(sequence, now),
                None => Err(Refused::NotAsked(sequence)),
            },
            Pulled::Advert(advert) => self.take(key, advert, now, changes),
        };
        // Not lost while the node says nothing that is believed.
        if let (Some(node), Some(peer)) = (self.nodes.get_mut(&key), self.peers.get_mut(id)) {
            node.told.replaced = peer.before.take().or(node.told.replaced);
        }
        match taken {
            Ok(taken) => self.took(id, key, &taken, now, changes),
            Err(reason) => self.refuse(id, reason, now, changes),
        }
        self.hurry_conflict(key, CONFLICT, now);
    }

    fn took(
        &mut self,
        id: &MeshPeerId,
        key: NodeKey,
        taken: &Taken,
        now: Moment,
        changes: &mut Vec<Change>,
    ) {
        changes.extend(match taken {
            Taken::First => Some(Change::Found(key)),
            Taken::Changed => Some(Change::Updated(key)),
            Taken::Back => Some(Change::Back(key)),
            Taken::Same => None,
        });
        let news = matches!(taken, Taken::First | Taken::Changed);
        let sequence = self.nodes.get(&key).map_or(0, Node::sequence);
        if let Some(peer) = self.peers.get_mut(id) {
            let schedule = &mut peer.schedule;
            if news && !self.favoured.contains(&key) {
                schedule.changed(now.mono);
            }
            schedule.succeeded(sequence, news, now.mono, &mut self.chance);
        }
    }

    /// This node's own key answers at a peer: no other node is there.
    fn met_ourselves(&mut self, id: &MeshPeerId, now: Moment, changes: &mut Vec<Change>) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let schedule = &mut peer.schedule;
        schedule.failed(&PullFailure::NotHere, now.mono, &mut self.chance);
        let was_us = std::mem::replace(&mut peer.is_us, true);
        if let Some(other) = peer.key.take() {
            self.route_lost(other, now, changes);
        }
        if !was_us {
            changes.push(Change::OwnKey(id.clone()));
        }
    }

    /// Takes over an advert: the sequence rule, then the room there is.
    fn take(
        &mut self,
        key: NodeKey,
        advert: VerifiedAdvert,
        now: Moment,
        changes: &mut Vec<Change>,
    ) -> Result<Taken, Refused> {
        if let Some(node) = self.nodes.get(&key) {
            node.admits(&advert)?;
        }
        if !self.make_room_for_advert(&key, &advert, changes) {
            return Err(Refused::NoRoom);
        }
        match self.nodes.entry(key) {
            Entry::Occupied(node) => Ok(node.into_mut().take(advert, now)),
            Entry::Vacant(place) => {
                place.insert(Node::first(key, advert, now));
                Ok(Taken::First)
            }
        }
    }

    fn refuse(&mut self, id: &MeshPeerId, reason: Refused, now: Moment, changes: &mut Vec<Change>) {
        if let Some(peer) = self.peers.get_mut(id) {
            let failure = PullFailure::NoAnswer;
            peer.schedule.failed(&failure, now.mono, &mut self.chance);
        }
        changes.push(Change::Refused {
            peer: id.clone(),
            reason,
        });
    }

    pub(super) fn failed(
        &mut self,
        id: &MeshPeerId,
        failure: &PullFailure,
        now: Moment,
        changes: &mut Vec<Change>,
    ) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.schedule.failed(failure, now.mono, &mut self.chance);
        let key = peer.key;
        if let PullFailure::Refused(reason) = failure {
            changes.push(Change::Refused {
                peer: id.clone(),
                reason: Refused::Unreadable(reason.clone()),
            });
        }
        // One of two that show a key and does not answer is the start before this one, not yet missed by
        // the host (host-contract T14, T22).
        if let Some(key) = key
            && self.routes(&key).count() > 1
            && !matches!(failure, PullFailure::Refused(_))
            && let Some(peer) = self.peers.get_mut(id)
        {
            peer.key = None;
            self.route_lost(key, now, changes);
        }
        let hopeless = |peer: &Peer| !peer.up && peer.schedule.failures() >= GUESSES;
        if self.peers.get(id).is_some_and(hopeless) {
            self.lose(id, now, changes);
        }
    }
}
