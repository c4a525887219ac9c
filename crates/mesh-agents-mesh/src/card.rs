//! The mesh card: an agent's A2A card as other nodes get it.
//!
//! The author's card says what the agent can do; where it is reached, how a caller shows who it is and
//! whose word stands behind it are this node's. So the mesh card has one interface,
//! `mesh://<did>/a2a/agents/<id>`, no security schemes (the handshake is the login) and the signature of
//! the node's key (A2A §8.4). It holds the fields of A2A 1.0 only and nothing empty: that is what signers
//! and verifiers of different makers agree on byte for byte. What travels is canonical JSON (RFC 8785),
//! signature included, so a card has one form, and its SHA-256 names it.

mod shape;

use std::fmt;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::CARD_BYTES;
use mesh_agents_core::text::is_clean_lines;
use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::identity::{NodeKey, NodeSecret};
use crate::jws::{self, Detached, Signed};

/// Where an agent of a node is reached over the mesh.
#[must_use]
pub fn mesh_url(node: &NodeKey, agent: &AgentId) -> String {
    format!("mesh://{node}/a2a/agents/{agent}")
}

/// The node and the agent behind such an address; `None` for whatever [`mesh_url`] does not write.
#[must_use]
pub fn read_mesh_url(url: &str) -> Option<(NodeKey, AgentId)> {
    let (node, agent) = url.strip_prefix("mesh://")?.split_once("/a2a/agents/")?;
    Some((node.parse().ok()?, agent.parse().ok()?))
}

/// Why an agent has no mesh card.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The card on disk does not read as one.
    #[error("agent {agent}: its card has no form that can travel: {source}")]
    Shape {
        /// Whose card.
        agent: AgentId,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A number no reader but ours would keep exactly.
    #[error(
        "agent {agent}: its card holds a number beyond 2^53 in the parameters of an extension, \
         which other readers change; write it as text"
    )]
    Number {
        /// Whose card.
        agent: AgentId,
    },
    /// Too large, signature included.
    #[error(
        "agent {agent}: its signed card takes {bytes} bytes and {CARD_BYTES} is the most; shorten its texts"
    )]
    Size {
        /// Whose card.
        agent: AgentId,
        /// Its size.
        bytes: usize,
    },
}

/// Why a card another node sent is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardRefused {
    /// More bytes than a card may have.
    #[error("the card takes {bytes} bytes and {CARD_BYTES} is the most")]
    Size {
        /// Its size.
        bytes: usize,
    },
    /// Not the card the advert names.
    #[error(
        "the card is not the one its node advertised: its digest is {found}, advertised was {wanted}"
    )]
    Digest {
        /// Of the bytes that came.
        found: Digest,
        /// Of the advert.
        wanted: Digest,
    },
    /// Not JSON, not canonical, or not the shape of a card.
    #[error("the card cannot be read: {0}")]
    Form(String),
    /// It says that another node or agent is reached through it.
    #[error("the card's address is {found:?} where {wanted:?} was expected")]
    Address {
        /// What the card says.
        found: String,
        /// The only address it may name.
        wanted: String,
    },
    /// No signature of the node over these bytes.
    #[error("the card is not signed by {key}: it was changed on its way, or was never that node's")]
    Signature {
        /// Who should have signed.
        key: NodeKey,
    },
}

/// Whose card is expected. The key is one the reader trusts already, such as a handshake's.
#[derive(Debug, Clone, Copy)]
pub struct ExpectCard<'a> {
    /// The node.
    pub key: &'a NodeKey,
    /// The agent.
    pub agent: &'a AgentId,
    /// What the node's advert says of it.
    pub digest: Digest,
}

/// A signed mesh card: made here, or verified.
#[derive(Clone, PartialEq, Eq)]
pub struct MeshCard {
    json: JsonText,
    digest: Digest,
}

impl MeshCard {
    /// Makes and signs the card of a local agent.
    ///
    /// # Errors
    /// [`CardError`], which names the agent.
    pub fn sign(agent: &AgentDefinition, secret: &NodeSecret) -> Result<Self, CardError> {
        let failed = |source| CardError::Shape {
            agent: agent.id.clone(),
            source,
        };
        let url = mesh_url(&secret.key(), &agent.id);
        let mut card = shape::card(agent, url).map_err(|fault| match fault {
            shape::Fault::Json(source) => failed(source),
            shape::Fault::Number => CardError::Number {
                agent: agent.id.clone(),
            },
        })?;
        let payload = serde_json_canonicalizer::to_vec(&card).map_err(failed)?;
        card.sign(jws::sign(secret, Signed::Card, &payload));
        let text = serde_json_canonicalizer::to_string(&card).map_err(failed)?;
        if text.len() > CARD_BYTES {
            return Err(CardError::Size {
                agent: agent.id.clone(),
                bytes: text.len(),
            });
        }
        Ok(Self {
            digest: Digest::of(text.as_bytes()),
            json: JsonText::parse(&text).map_err(failed)?,
        })
    }

    /// Checks a card that came from another node: size and digest before a byte is read, then its one
    /// canonical form, its address, its texts and its signature.
    ///
    /// # Errors
    /// [`CardRefused`]: the first thing that is wrong.
    pub fn open(bytes: &[u8], expect: ExpectCard<'_>) -> Result<Self, CardRefused> {
        if bytes.len() > CARD_BYTES {
            return Err(CardRefused::Size { bytes: bytes.len() });
        }
        let digest = Digest::of(bytes);
        if digest != expect.digest {
            return Err(CardRefused::Digest {
                found: digest,
                wanted: expect.digest,
            });
        }
        let form = |error: &dyn fmt::Display| CardRefused::Form(error.to_string());
        let text = std::str::from_utf8(bytes).map_err(|error| form(&error))?;
        let mut members: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| form(&error))?;
        let canonical = serde_json_canonicalizer::to_string(&members);
        // A member written twice, white space, another spelling of a number: all of it ends here.
        if canonical.map_err(|error| form(&error))? != text {
            return Err(form(&"it is not canonical JSON"));
        }
        if !members
            .iter()
            .all(|(key, value)| is_clean_lines(key) && is_clean(value))
        {
            return Err(form(&"it holds control characters or hidden text"));
        }
        let shape: shape::Received = serde_json::from_str(text).map_err(|error| form(&error))?;
        let wanted = mesh_url(expect.key, expect.agent);
        match shape.only_address() {
            Some(found) if found == wanted => {}
            found => {
                return Err(CardRefused::Address {
                    found: found.unwrap_or("none, or several").to_owned(),
                    wanted,
                });
            }
        }
        members.remove(shape::SIGNATURES);
        let payload = serde_json_canonicalizer::to_vec(&members).map_err(|error| form(&error))?;
        let signed =
            |detached: &Detached| jws::verify(expect.key, Signed::Card, &payload, detached).is_ok();
        if !shape.signatures().any(signed) {
            return Err(CardRefused::Signature { key: *expect.key });
        }
        Ok(Self {
            digest,
            json: JsonText::parse(text).map_err(|error| form(&error))?,
        })
    }

    /// The card, exactly as it travels.
    #[must_use]
    pub fn json(&self) -> &JsonText {
        &self.json
    }

    /// The name of these bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for MeshCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeshCard({})", self.digest)
    }
}

/// Whether every text below is fit to be shown. Nesting is bounded: the parser stops at 128.
fn is_clean(value: &Value) -> bool {
    match value {
        Value::String(text) => is_clean_lines(text),
        Value::Array(items) => items.iter().all(is_clean),
        Value::Object(members) => members
            .iter()
            .all(|(key, value)| is_clean_lines(key) && is_clean(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}
