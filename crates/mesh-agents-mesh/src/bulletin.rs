//! The owner's side of an advert: what this node tells at the moment, and under which sequence.

use std::collections::BTreeMap;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::text::{NAME_CHARS, clean_text};
use serde::{Deserialize, Serialize};

use crate::advert::{
    ADVERT_AGENTS, ADVERT_BYTES, ADVERT_VERSION, Advert, AdvertError, AdvertisedAgent, Expect,
    LIFETIME_MILLIS, MeshVisibility, NODE_CARDS_BYTES, VerifiedAdvert, Withheld, may_leave,
};
use crate::card::MeshCard;
use crate::digest::Digest;
use crate::hint::SEQUENCE_MAX;
use crate::identity::NodeSecret;
use crate::peer::MeshPeerId;

/// Bytes of an advert that are not agents: key, ids, name, signature.
const FRAME_BYTES: usize = 2 * 1024;

/// What a puller knows already: the request for an advert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Known {
    /// The sequence of the advert it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

/// The answer to a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// The sequence the puller named is still the one. Not signed: it is worth what the handshake of the
    /// stream it came on is worth, and shows nothing but that the node is there and says so.
    NotModified(u64),
    /// The advert.
    Advert(VerifiedAdvert),
}

#[derive(Serialize, Deserialize)]
struct NotModified {
    not_modified: u64,
}

/// Largest `{"not_modified":…}`, white space and additions included.
const NOT_MODIFIED_BYTES: usize = 256;

impl Pulled {
    /// Reads the answer of a node.
    ///
    /// # Errors
    /// As [`Advert::open`].
    pub fn read(bytes: &[u8], expect: Expect<'_>, now: UnixMillis) -> Result<Self, AdvertError> {
        if bytes.len() <= NOT_MODIFIED_BYTES
            && let Ok(NotModified { not_modified }) = serde_json::from_slice(bytes)
        {
            return Ok(Self::NotModified(not_modified));
        }
        Advert::open(bytes, expect, now).map(Self::Advert)
    }
}

/// What the node knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The mesh it is in, when its host has said.
    pub mesh_id: Option<String>,
    /// What the host calls it.
    pub mesh_peer_id: MeshPeerId,
    /// A label for people.
    pub name: String,
    /// What kind of mesh it is.
    pub mesh: MeshVisibility,
    /// What the machine can keep a run from.
    pub machine: PlatformConfinement,
}

/// What a publication came to.
#[derive(Debug)]
pub struct Published {
    /// The sequence to hint at; to be stored before anything is sent, so that it never goes back.
    pub sequence: u64,
    /// Whether anything is other than before.
    pub changed: bool,
    /// The agents that stay here, with the reason each.
    pub withheld: Vec<(AgentId, Withheld)>,
}

/// What is left of an advert while it is filled.
struct Room {
    agents: usize,
    bytes: usize,
    cards: usize,
}

impl Room {
    /// Takes a place for one more agent with these bytes, if there is one.
    fn take(&mut self, line: usize, card: usize) -> bool {
        let fits = self.agents > 0 && line <= self.bytes && card <= self.cards;
        if fits {
            self.agents -= 1;
            self.bytes -= line;
            self.cards -= card;
        }
        fits
    }
}

/// What this node tells at the moment.
#[derive(Debug)]
pub struct Bulletin {
    sequence: u64,
    current: Option<(Advert, Digest)>,
    cards: BTreeMap<Digest, MeshCard>,
}

impl Bulletin {
    /// A bulletin that goes on after `last_sequence`, the last one stored (0 at first).
    #[must_use]
    pub fn new(last_sequence: u64) -> Self {
        Self {
            sequence: last_sequence,
            current: None,
            cards: BTreeMap::new(),
        }
    }

    /// Whether anything was told yet, be it that nothing is offered.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.current.is_some()
    }

    /// Takes over what there is to tell. Cards are signed anew; Ed25519 gives the same bytes for the
    /// same card, so nothing changes by it.
    pub fn publish<'a>(
        &mut self,
        standing: &Standing,
        agents: impl IntoIterator<Item = &'a AgentDefinition>,
        secret: &NodeSecret,
        now: UnixMillis,
    ) -> Published {
        let mut withheld = Vec::new();
        let mut cards = BTreeMap::new();
        let mut told: Vec<AdvertisedAgent> = Vec::new();
        let mut room = Room {
            agents: ADVERT_AGENTS,
            bytes: ADVERT_BYTES - FRAME_BYTES,
            cards: NODE_CARDS_BYTES,
        };
        for agent in agents {
            match tell(agent, standing, secret, &mut room) {
                Ok((line, card)) => {
                    cards.insert(card.digest(), card);
                    told.push(line);
                }
                Err(reason) => withheld.push((agent.id.clone(), reason)),
            }
        }
        told.sort_by(|a, b| a.id.cmp(&b.id));
        let mut advert = Advert {
            version: ADVERT_VERSION,
            key: secret.key(),
            mesh_id: standing.mesh_id.clone(),
            mesh_peer_id: standing.mesh_peer_id.clone(),
            name: clean_text(&standing.name, NAME_CHARS),
            sequence: 0,
            issued_at: UnixMillis(0),
            expires_at: UnixMillis(0),
            agents: told,
        };
        let content = advert.content();
        let changed = self.current.as_ref().is_none_or(|(_, old)| *old != content);
        if changed {
            // The time keeps a node whose database was lost ahead of what it said before.
            let time = u64::try_from(now.0).unwrap_or(0);
            self.sequence = (self.sequence + 1).max(time).min(SEQUENCE_MAX);
            advert.sequence = self.sequence;
            self.current = Some((advert, content));
        }
        self.cards = cards;
        Published {
            sequence: self.sequence,
            changed,
            withheld,
        }
    }

    /// The answer to a pull, as it travels; `None` before the first [`Bulletin::publish`].
    ///
    /// # Errors
    /// [`AdvertError::Size`] when a label or mesh id leaves no room.
    pub fn answer(
        &self,
        known: Known,
        secret: &NodeSecret,
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, AdvertError> {
        let Some((advert, _)) = &self.current else {
            return Ok(None);
        };
        if known.sequence == Some(advert.sequence) {
            let answer = NotModified {
                not_modified: advert.sequence,
            };
            let bytes = serde_json::to_vec(&answer);
            return bytes
                .map(Some)
                .map_err(|error| AdvertError::Form(error.to_string()));
        }
        let dated = Advert {
            issued_at: now,
            expires_at: UnixMillis(now.0.saturating_add(LIFETIME_MILLIS)),
            ..advert.clone()
        };
        dated.sign(secret).map(Some)
    }

    /// The sequence of what is told at the moment, or of what was told last.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The card of an agent that is told of at the moment.
    #[must_use]
    pub fn card(&self, digest: Digest) -> Option<&MeshCard> {
        self.cards.get(&digest)
    }

    /// The agents that are told of at the moment, by id.
    #[must_use]
    pub fn agents(&self) -> &[AdvertisedAgent] {
        self.current
            .as_ref()
            .map_or(&[], |(advert, _)| &advert.agents)
    }
}

/// How an agent is told of, with its card, when it may be and there is room.
fn tell(
    agent: &AgentDefinition,
    standing: &Standing,
    secret: &NodeSecret,
    room: &mut Room,
) -> Result<(AdvertisedAgent, MeshCard), Withheld> {
    may_leave(agent, standing.mesh, &standing.machine)?;
    let card = MeshCard::sign(agent, secret)?;
    let line = AdvertisedAgent::of(agent, card.digest());
    let bytes = serde_json::to_vec(&line).map_or(usize::MAX, |bytes| bytes.len() + 1);
    if room.take(bytes, card.json().as_str().len()) {
        Ok((line, card))
    } else {
        Err(Withheld::NoRoom)
    }
}
