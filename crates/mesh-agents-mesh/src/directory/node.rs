//! One node, by its key: what it told last, and for how long that holds.

use mesh_agents_core::clock::UnixMillis;
use serde::{Deserialize, Serialize};

use super::Refused;
use crate::advert::{AdvertisedAgent, LIFETIME_MILLIS, VerifiedAdvert};
use crate::bulletin::Known;
use crate::digest::Digest;
use crate::identity::NodeKey;
use crate::moment::Moment;
use crate::peer::MeshPeerId;

/// What is kept of a node over a restart; its key is pinned by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The node.
    pub key: NodeKey,
    /// Its label.
    pub name: String,
    /// When it was first heard.
    pub first_seen: UnixMillis,
    /// When it last told or confirmed its agents.
    pub heard_at: UnixMillis,
    /// Since when no route leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_since: Option<UnixMillis>,
    /// Where it was last heard.
    pub mesh_peer_id: MeshPeerId,
    /// Of its last advert.
    pub sequence: u64,
    /// Of its last advert, the times left out.
    pub content: Digest,
    /// Who answered at its peer id before it, under another key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<NodeKey>,
    /// What its last advert takes with its cards, in bytes.
    #[serde(default)]
    pub bytes: usize,
    /// Its agents.
    pub agents: Vec<AdvertisedAgent>,
}

/// What an answer did.
pub(super) enum Taken {
    First,
    Changed,
    Back,
    Same,
}

/// What is known of one node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) told: Remembered,
    /// Until when what it told holds, on the steady clock; `None` when it does not any more.
    fresh_until: Option<u64>,
    /// The next pull asks for everything: its last "not modified" made no sense.
    distrusted: bool,
}

impl Node {
    pub(super) fn first(key: NodeKey, advert: VerifiedAdvert, now: Moment) -> Self {
        let (content, bytes) = (advert.content(), advert.bytes());
        let advert = advert.into_advert();
        Self {
            told: Remembered {
                key,
                name: advert.name,
                first_seen: now.wall,
                heard_at: now.wall,
                away_since: None,
                mesh_peer_id: advert.mesh_peer_id,
                sequence: advert.sequence,
                content,
                replaced: None,
                bytes,
                agents: advert.agents,
            },
            fresh_until: Some(until(now)),
            distrusted: false,
        }
    }

    pub(super) fn restored(mut told: Remembered) -> Self {
        told.away_since = Some(told.away_since.unwrap_or(told.heard_at));
        Self {
            told,
            fresh_until: None,
            distrusted: false,
        }
    }

    pub(super) fn sequence(&self) -> u64 {
        self.told.sequence
    }

    pub(super) fn known(&self) -> Known {
        Known {
            sequence: (!self.distrusted).then_some(self.told.sequence),
        }
    }

    /// When what it told ceases to hold.
    pub(super) fn expires(&self) -> Option<u64> {
        self.fresh_until
    }

    pub(super) fn is_fresh(&self, mono: u64) -> bool {
        self.fresh_until.is_some_and(|until| mono < until)
    }

    /// Whether what it told has ceased to hold just now.
    pub(super) fn expire(&mut self, mono: u64) -> bool {
        let over = self.fresh_until.is_some_and(|until| mono >= until);
        if over {
            self.fresh_until = None;
        }
        over
    }

    /// No route leads to it; `false` when none did before.
    pub(super) fn leave(&mut self, now: Moment) -> bool {
        let first = self.told.away_since.is_none();
        self.told.away_since.get_or_insert(now.wall);
        self.fresh_until = None;
        first
    }

    /// The sequence rule, for an advert of this node.
    pub(super) fn admits(&self, advert: &VerifiedAdvert) -> Result<(), Refused> {
        let (found, known) = (advert.advert().sequence, self.told.sequence);
        if found < known {
            return Err(Refused::Older { found, known });
        }
        if found == known && advert.content() != self.told.content {
            return Err(Refused::Contradicts(found));
        }
        Ok(())
    }

    /// Takes over an advert that [`Node::admits`] lets in.
    pub(super) fn take(&mut self, advert: VerifiedAdvert, now: Moment) -> Taken {
        let changed = advert.content() != self.told.content;
        let (content, bytes) = (advert.content(), advert.bytes());
        let advert = advert.into_advert();
        self.told.bytes = bytes;
        self.told.name = advert.name;
        self.told.mesh_peer_id = advert.mesh_peer_id;
        self.told.sequence = advert.sequence;
        self.told.content = content;
        self.told.agents = advert.agents;
        let confirmed = self.refresh(now);
        if changed { Taken::Changed } else { confirmed }
    }

    /// The node says that its advert of `sequence` still holds.
    pub(super) fn confirm(&mut self, sequence: u64, now: Moment) -> Result<Taken, Refused> {
        if self.distrusted || sequence != self.told.sequence {
            self.distrusted = true;
            return Err(Refused::NotAsked(sequence));
        }
        Ok(self.refresh(now))
    }

    fn refresh(&mut self, now: Moment) -> Taken {
        let was_fresh = self.fresh_until.is_some();
        self.told.away_since = None;
        self.told.heard_at = now.wall;
        self.fresh_until = Some(until(now));
        self.distrusted = false;
        if was_fresh { Taken::Same } else { Taken::Back }
    }
}

fn until(now: Moment) -> u64 {
    now.mono.saturating_add(LIFETIME_MILLIS.unsigned_abs())
}
