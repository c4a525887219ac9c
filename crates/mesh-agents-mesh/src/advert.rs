//! The advert: what a node tells of itself, signed.
//!
//! It travels as `{"advert":{…},"protected":"…","signature":"…"}`: the advert in plain sight, and beside it
//! a JWS over exactly the bytes it stands in. The reader checks size, signature and key before it reads
//! what is inside, and cleans every text once more.
//!
//! Times are the sender's wall clock. A reader whose clock differs by up to [`SKEW_MILLIS`] believes the
//! advert and counts its life from the moment it came; beyond, the advert is refused with the difference,
//! whichever of the two clocks is wrong.

mod open;
mod select;

use std::collections::BTreeSet;

use mesh_agents_core::agent::{AgentDefinition, Visibility};
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::text::{DESCRIPTION_CHARS, NAME_CHARS, clean_text};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::open::{AdvertError, Expect, VerifiedAdvert};
pub use self::select::{MeshVisibility, Withheld, may_leave};
use crate::digest::Digest;
use crate::identity::{NodeKey, NodeSecret};
use crate::jws::{self, Signed};
use crate::peer::MeshPeerId;

/// The form described here.
pub const ADVERT_VERSION: u32 = 1;
/// Most bytes of an advert as it travels.
pub const ADVERT_BYTES: usize = 256 * 1024;
/// Most agents of one node.
pub const ADVERT_AGENTS: usize = 200;
/// Most bytes of the cards of one node, all together: those of 200 agents have some 600 KiB.
pub const NODE_CARDS_BYTES: usize = 1024 * 1024;
/// How long an advert is good for: three pulls may fail before its agents are shown as stale.
pub const LIFETIME_MILLIS: i64 = 180_000;
/// How far two nodes' clocks may differ: what a machine without NTP drifts in months.
pub const SKEW_MILLIS: i64 = 300_000;
/// Skills of one agent in an advert, and tags of one skill; the card has them all.
pub const ADVERT_SKILLS: usize = 12;
/// Most characters of a mesh id.
const MESH_ID_CHARS: usize = 128;

/// What a node tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advert {
    /// [`ADVERT_VERSION`].
    pub version: u32,
    /// The node: who signs.
    pub key: NodeKey,
    /// The mesh it believes to be in; `None` while its host has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_id: Option<String>,
    /// What the host calls the node at the moment.
    pub mesh_peer_id: MeshPeerId,
    /// A label for people, not a name: anybody may take it.
    pub name: String,
    /// Grows with every change of anything but the two times.
    pub sequence: u64,
    /// When it was signed.
    pub issued_at: UnixMillis,
    /// Until when it is good, at the most [`LIFETIME_MILLIS`] later.
    pub expires_at: UnixMillis,
    /// The agents that leave the node, by id.
    pub agents: Vec<AdvertisedAgent>,
}

/// One agent as other nodes list it; its card is fetched by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvertisedAgent {
    /// Its id on its node.
    pub id: AgentId,
    /// Human name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The agent's own version.
    pub version: String,
    /// Some of what it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<AdvertisedSkill>,
    /// SHA-256 of its mesh card.
    pub card_digest: Digest,
    /// Who may know of it.
    pub visibility: AdvertisedVisibility,
}

/// One skill in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvertisedSkill {
    /// Stable id.
    pub id: String,
    /// Human name.
    pub name: String,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// An agent's `visibility` in an advert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdvertisedVisibility {
    /// Everybody's.
    Public,
    /// For the peers of a private mesh, and whatever a later version says.
    #[serde(other)]
    Private,
}

impl AdvertisedAgent {
    /// How a local agent is told of, its card having this digest.
    #[must_use]
    pub fn of(agent: &AgentDefinition, card_digest: Digest) -> Self {
        let card = &agent.card;
        let skill = |skill: &mesh_agents_core::agent::Skill| AdvertisedSkill {
            id: skill.id.clone(),
            name: skill.name.clone(),
            tags: skill.tags.clone(),
        };
        let told = Self {
            id: agent.id.clone(),
            name: card.name.clone(),
            description: card.description.clone(),
            version: card.version.clone(),
            skills: card.skills.iter().map(skill).collect(),
            card_digest,
            visibility: match agent.visibility {
                Visibility::Public => AdvertisedVisibility::Public,
                Visibility::Private => AdvertisedVisibility::Private,
            },
        };
        told.cleaned()
    }

    /// The same with every text fit for a list and within its limit.
    fn cleaned(mut self) -> Self {
        let clean = |text: &mut String, most| *text = clean_text(text, most);
        clean(&mut self.name, NAME_CHARS);
        clean(&mut self.description, DESCRIPTION_CHARS);
        clean(&mut self.version, NAME_CHARS);
        self.skills.truncate(ADVERT_SKILLS);
        for skill in &mut self.skills {
            clean(&mut skill.id, NAME_CHARS);
            clean(&mut skill.name, NAME_CHARS);
            skill.tags.truncate(ADVERT_SKILLS);
            skill.tags.iter_mut().for_each(|tag| clean(tag, NAME_CHARS));
        }
        self
    }
}

/// An advert as it travels.
#[derive(Serialize)]
struct Envelope<'a> {
    advert: &'a RawValue,
    protected: &'a str,
    signature: &'a str,
}

impl Advert {
    /// The bytes that travel: this advert, signed. `secret` is that of [`Advert::key`].
    ///
    /// # Errors
    /// [`AdvertError::Size`] and [`AdvertError::Agents`]; who fills an advert leaves out what does not fit.
    pub fn sign(&self, secret: &NodeSecret) -> Result<Vec<u8>, AdvertError> {
        if self.agents.len() > ADVERT_AGENTS {
            return Err(AdvertError::Agents {
                count: self.agents.len(),
            });
        }
        let form = |error: serde_json::Error| AdvertError::Form(error.to_string());
        let canonical = serde_json_canonicalizer::to_string(self).map_err(form)?;
        let signature = jws::sign(secret, Signed::Advert, canonical.as_bytes());
        let advert = RawValue::from_string(canonical).map_err(form)?;
        let envelope = Envelope {
            advert: &advert,
            protected: &signature.protected,
            signature: &signature.signature,
        };
        let bytes = serde_json::to_vec(&envelope).map_err(form)?;
        if bytes.len() > ADVERT_BYTES {
            return Err(AdvertError::Size { bytes: bytes.len() });
        }
        Ok(bytes)
    }

    /// The digest of all but the times: two adverts of one sequence must agree in it.
    #[must_use]
    pub fn content(&self) -> Digest {
        let timeless = Self {
            issued_at: UnixMillis(0),
            expires_at: UnixMillis(0),
            ..self.clone()
        };
        // A struct of texts and numbers always has a canonical form.
        Digest::of(&serde_json_canonicalizer::to_vec(&timeless).unwrap_or_default())
    }

    fn cleaned(mut self) -> Self {
        self.name = clean_text(&self.name, NAME_CHARS);
        self.mesh_id = self.mesh_id.map(|id| clean_text(&id, MESH_ID_CHARS));
        self.agents = self
            .agents
            .into_iter()
            .map(AdvertisedAgent::cleaned)
            .collect();
        self
    }

    /// The first agent that is in the list twice.
    fn repeated(&self) -> Option<&AgentId> {
        let mut seen = BTreeSet::new();
        let mut agents = self.agents.iter();
        agents
            .find(|agent| !seen.insert(&agent.id))
            .map(|agent| &agent.id)
    }
}
