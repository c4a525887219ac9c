//! Who has which agent: what this node knows of the others, and whom to ask when.
//!
//! A state machine: happenings go in with the moment they happened at, changes come out, and who looks
//! gets a view. It holds nodes by key and routes by the host's peer id. A key is tied to a route only by a
//! handshake on a stream this node opened to it; events of the host and hints are claims, which make it
//! ask and nothing else (host-contract T12, T13, T15).
//!
//! - `happening.rs`: what goes in and what comes out.
//! - `answers.rs`: what comes of a pull.
//! - `node.rs`: what a node told, and for how long it holds.
//! - `schedule.rs`: when a peer is asked next.
//! - `caps.rs`: what goes first when there is too much.
//! - `claims.rs`: how often peers are asked that only strangers speak of.
//! - `pace.rs`: so many at once, and then one in a while.
//! - `view.rs`: what the others see of all this.

mod answers;
mod caps;
mod claims;
mod happening;
mod node;
mod pace;
mod schedule;
mod view;

use std::collections::{BTreeMap, BTreeSet};

pub use self::happening::{Change, Happening, Refused};
use self::node::Node;
pub use self::node::Remembered;
use self::pace::Pace;
use self::schedule::{Chance, Schedule};
pub use self::schedule::{Pull, PullFailure, Ticket};
pub use self::view::{AgentView, NoRoute, NodeView, Presence, Warning};
use crate::identity::NodeKey;
use crate::moment::Moment;
use crate::peer::MeshPeerId;

/// Most live peers, and most nodes remembered.
pub const DIRECTORY_PEERS: usize = 2_000;
/// Most agents of all nodes together.
pub const DIRECTORY_AGENTS: usize = 20_000;
/// Most bytes of the adverts and cards of all nodes together: 20,000 agents with what an ordinary one has.
pub const DIRECTORY_BYTES: usize = 64 * 1024 * 1024;

/// Who says that a peer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The host.
    Host,
    /// It was there once.
    Memory,
    /// Somebody claims to be it.
    Claim,
}

/// A peer that only we believe in is asked this often in vain; the waits between add up to a minute.
const GUESSES: u32 = 5;

/// While several peers hold one key each is asked this often, in milliseconds.
const CONFLICT: u64 = 10_000;

/// One live peer id of the host.
#[derive(Debug)]
struct Peer {
    /// The host has said that it is there since the link to it stands; else it is a guess of ours or a hint's.
    up: bool,
    /// Nobody but strangers ever spoke of it.
    claimed: bool,
    /// Who answered there, proved by a handshake.
    key: Option<NodeKey>,
    /// Who answered there before, until the node that does now has told of itself.
    before: Option<NodeKey>,
    /// Our own key answers there.
    is_us: bool,
    /// When the route was last heard of, on the steady clock.
    heard: u64,
    schedule: Schedule,
}

/// What this node knows of the others.
#[derive(Debug)]
pub struct Directory {
    own: NodeKey,
    linked: bool,
    peers: BTreeMap<MeshPeerId, Peer>,
    nodes: BTreeMap<NodeKey, Node>,
    tickets: BTreeMap<Ticket, MeshPeerId>,
    last_ticket: u64,
    claims: Pace,
    /// Nodes the owner lists, or whose agents are called from here.
    favoured: BTreeSet<NodeKey>,
    chance: Chance,
}

impl Directory {
    /// The directory of the node `own`, with the nodes it remembers; each is asked at the peer id it was
    /// last heard at. `seed` spreads the pulls of many nodes over time: any random number.
    #[must_use]
    pub fn new(
        own: NodeKey,
        remembered: impl IntoIterator<Item = Remembered>,
        seed: u64,
        now: Moment,
    ) -> Self {
        let mut directory = Self {
            own,
            linked: true,
            peers: BTreeMap::new(),
            nodes: BTreeMap::new(),
            tickets: BTreeMap::new(),
            last_ticket: 0,
            claims: claims::pace(),
            favoured: BTreeSet::new(),
            chance: Chance::new(seed),
        };
        let mut remembered: Vec<_> = remembered.into_iter().collect();
        remembered.retain(|node| node.key != own);
        remembered.sort_by_key(|node| std::cmp::Reverse(node.heard_at));
        for remembered in remembered.into_iter().take(DIRECTORY_PEERS) {
            let route = remembered.mesh_peer_id.clone();
            directory
                .nodes
                .insert(remembered.key, Node::restored(remembered));
            directory.see(&route, Source::Memory, now, &mut Vec::new());
        }
        directory
    }

    /// Takes in what happened.
    pub fn apply(&mut self, happening: Happening, now: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        match happening {
            Happening::PeerUp(peer) => self.see(&peer, Source::Host, now, &mut changes),
            Happening::PeerDown(peer) => self.lose(&peer, now, &mut changes),
            Happening::Hint(peer, sequence) => self.hint(&peer, sequence, now, &mut changes),
            Happening::Met(peer) => self.met(&peer, now, &mut changes),
            Happening::LinkDown => {
                self.linked = false;
                self.tickets.clear();
                for peer in self.peers.values_mut() {
                    peer.schedule.interrupted();
                }
            }
            Happening::LinkUp => {
                self.linked = true;
                for peer in self.peers.values_mut() {
                    peer.up = false;
                    peer.schedule.soon(now.mono, &mut self.chance);
                }
            }
            Happening::Answered {
                ticket,
                key,
                answer,
            } => {
                if let Some(peer) = self.tickets.remove(&ticket) {
                    self.answered(&peer, key, answer, now, &mut changes);
                }
            }
            Happening::Failed { ticket, failure } => {
                if let Some(peer) = self.tickets.remove(&ticket) {
                    self.failed(&peer, &failure, now, &mut changes);
                }
            }
            Happening::Forget(key) => self.forget(key, now, &mut changes),
            Happening::Tick => self.tick(now, &mut changes),
        }
        changes
    }

    /// Says whether the owner of this node lists `key`, or agents of it are called from here: then each change it
    /// hints at is asked for within a second, however many there are. Said before its answers are applied.
    pub fn favour(&mut self, key: NodeKey, is_favoured: bool) {
        if is_favoured {
            self.favoured.insert(key);
        } else {
            self.favoured.remove(&key);
        }
    }

    /// The peers to ask now, at the most `room` of them. Each must be answered by
    /// [`Happening::Answered`] or [`Happening::Failed`] with its ticket; one that never is counts as
    /// failed after a minute, and what comes later is not heard. What finds no room stays due.
    pub fn due(&mut self, room: usize, now: Moment) -> Vec<Pull> {
        if !self.linked {
            return Vec::new();
        }
        let mut due: Vec<_> = self
            .peers
            .iter()
            .filter_map(|(id, peer)| Some((peer.schedule.due(now.mono)?, id.clone())))
            .collect();
        due.sort_unstable();
        let mut pulls = Vec::new();
        for (_, peer) in due {
            if pulls.len() >= room {
                break;
            }
            let claimed = self.peers.get(&peer).is_some_and(|peer| peer.claimed);
            if !claimed || self.claims.take(now.mono) {
                pulls.extend(self.start(peer, now));
            }
        }
        pulls
    }

    /// When to call [`Directory::due`] and apply a [`Happening::Tick`] next, on the steady clock;
    /// `None`: when something happens.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        let pulls = self.peers.values().filter(|_| self.linked);
        let pulls = pulls.filter_map(|peer| {
            let at = peer.schedule.next_wake()?;
            Some(if peer.claimed {
                at.max(self.claims.next())
            } else {
                at
            })
        });
        let expiries = self.nodes.values().filter_map(Node::expires);
        pulls.chain(expiries).min()
    }

    fn start(&mut self, id: MeshPeerId, now: Moment) -> Option<Pull> {
        let peer = self.peers.get_mut(&id)?;
        peer.schedule.started(now.mono);
        let known = peer.key.and_then(|key| self.nodes.get(&key));
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.tickets.insert(ticket, id.clone());
        Some(Pull {
            ticket,
            peer: id,
            known: known.map(Node::known).unwrap_or_default(),
        })
    }

    /// A peer is there: it is asked soon, if it is new.
    fn see(&mut self, id: &MeshPeerId, by: Source, now: Moment, changes: &mut Vec<Change>) {
        let up = by == Source::Host;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.heard = now.mono;
            peer.claimed &= by == Source::Claim;
            if up && !std::mem::replace(&mut peer.up, true) && !peer.schedule.is_well() {
                peer.schedule.soon(now.mono, &mut self.chance);
            }
            return;
        }
        let has_room = match by {
            Source::Host | Source::Memory => self.make_room_for_peer(),
            Source::Claim => self.make_room_for_claim(),
        };
        if !has_room {
            changes.push(Change::Full(id.clone()));
            return;
        }
        let peer = Peer {
            up,
            claimed: by == Source::Claim,
            key: None,
            before: None,
            is_us: false,
            heard: now.mono,
            schedule: Schedule::new(now.mono, &mut self.chance),
        };
        self.peers.insert(id.clone(), peer);
    }

    fn lose(&mut self, id: &MeshPeerId, now: Moment, changes: &mut Vec<Change>) {
        if let Some(peer) = self.drop_peer(id)
            && let Some(key) = peer.key
        {
            self.route_lost(key, now, changes);
        }
    }

    /// Takes a peer out, and with it the pull that runs.
    fn drop_peer(&mut self, id: &MeshPeerId) -> Option<Peer> {
        self.tickets.retain(|_, peer| peer != id);
        self.peers.remove(id)
    }

    fn hint(&mut self, id: &MeshPeerId, sequence: u64, now: Moment, changes: &mut Vec<Change>) {
        self.see(id, Source::Claim, now, changes);
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let node = peer.key.and_then(|key| self.nodes.get(&key));
        if node.is_none_or(|node| node.sequence() < sequence) {
            peer.schedule.hinted(sequence, now.mono);
        }
    }

    /// A peer that did not answer when it was asked may do so now. Whoever opens streams can make this node
    /// ask a peer, as by hints, and no more often.
    fn met(&mut self, id: &MeshPeerId, now: Moment, changes: &mut Vec<Change>) {
        let well = |peer: &Peer| peer.schedule.is_well();
        if self.peers.get(id).is_some_and(well) {
            return;
        }
        let known = self.peers.get(id).and_then(|peer| peer.key);
        let known = known.and_then(|key| self.nodes.get(&key));
        let next = known.map_or(0, Node::sequence).saturating_add(1);
        self.hint(id, next, now, changes);
    }

    /// Ties a route to the key that was proved on it.
    fn attach(&mut self, id: &MeshPeerId, key: NodeKey, now: Moment, changes: &mut Vec<Change>) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.is_us = false;
        peer.claimed = false;
        let old = peer.key.replace(key);
        if old == Some(key) {
            return;
        }
        if let Some(old) = old {
            peer.before = Some(old);
            self.route_lost(old, now, changes);
            changes.push(Change::OtherKey {
                peer: id.clone(),
                old,
                new: key,
            });
        }
        if self.routes(&key).count() == 2 {
            changes.push(Change::KeyTwice(key));
            self.hurry_conflict(key, 0, now);
        }
    }

    /// Asks all holders of one key again `within` milliseconds: most often one of them is gone.
    fn hurry_conflict(&mut self, key: NodeKey, within: u64, now: Moment) {
        let holders: Vec<_> = self.routes(&key).cloned().collect();
        if holders.len() < 2 {
            return;
        }
        for id in holders {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.schedule.no_later_than(now.mono + within);
            }
        }
    }

    /// A route that led to `key` does not any more.
    fn route_lost(&mut self, key: NodeKey, now: Moment, changes: &mut Vec<Change>) {
        match self.routes(&key).count() {
            0 => {
                if let Some(node) = self.nodes.get_mut(&key)
                    && node.leave(now)
                {
                    changes.push(Change::Away(key));
                }
            }
            1 => changes.push(Change::KeyOnce(key)),
            _ => {}
        }
    }

    /// The live peer ids at which `key` was proved.
    fn routes<'a>(&'a self, key: &NodeKey) -> impl Iterator<Item = &'a MeshPeerId> {
        let key = *key;
        let of =
            move |(id, peer): (&'a MeshPeerId, &'a Peer)| (peer.key == Some(key)).then_some(id);
        self.peers.iter().filter_map(of)
    }

    fn forget(&mut self, key: NodeKey, now: Moment, changes: &mut Vec<Change>) {
        if self.nodes.remove(&key).is_none() {
            return;
        }
        for node in self.nodes.values_mut() {
            node.told.replaced.take_if(|old| *old == key);
        }
        for peer in self.peers.values_mut() {
            peer.before.take_if(|old| *old == key);
        }
        for peer in self.peers.values_mut().filter(|peer| peer.key == Some(key)) {
            peer.key = None;
            peer.schedule.soon(now.mono, &mut self.chance);
        }
        changes.push(Change::Gone(key));
    }

    fn tick(&mut self, now: Moment, changes: &mut Vec<Change>) {
        let lost = |id: &MeshPeerId| {
            let peer = self.peers.get(id);
            peer.is_none_or(|peer| peer.schedule.is_lost(now.mono))
        };
        let lost: Vec<_> = self
            .tickets
            .iter()
            .filter(|(_, peer)| lost(peer))
            .map(|(ticket, peer)| (*ticket, peer.clone()))
            .collect();
        for (ticket, peer) in lost {
            self.tickets.remove(&ticket);
            self.failed(&peer, &PullFailure::NoAnswer, now, changes);
        }
        for (key, node) in &mut self.nodes {
            if node.expire(now.mono) {
                changes.push(Change::Stale(*key));
            }
        }
    }
}
