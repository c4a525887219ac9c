//! Reading an advert of another node: nothing of it is believed before its key's signature holds.

use std::fmt;

use mesh_agents_core::clock::UnixMillis;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ADVERT_AGENTS, ADVERT_BYTES, ADVERT_VERSION, Advert, LIFETIME_MILLIS, SKEW_MILLIS};
use crate::digest::Digest;
use crate::hint::SEQUENCE_MAX;
use crate::identity::NodeKey;
use crate::jws::{self, Detached, Signed};
use crate::peer::MeshPeerId;

/// Whose advert is expected, from what the reader knows for sure.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// The key the handshake on this stream proved.
    pub key: &'a NodeKey,
    /// The mesh the reader is in; `None` while its host has not said.
    pub mesh_id: Option<&'a str>,
    /// Whom the stream was opened to.
    pub mesh_peer_id: &'a MeshPeerId,
}

/// Why an advert is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvertError {
    /// More bytes than an advert may have.
    #[error("the advert takes {bytes} bytes and {ADVERT_BYTES} is the most")]
    Size {
        /// Its size.
        bytes: usize,
    },
    /// More agents than an advert may have.
    #[error("the advert lists {count} agents and {ADVERT_AGENTS} is the most")]
    Agents {
        /// How many.
        count: usize,
    },
    /// It does not read as an advert.
    #[error("the advert cannot be read: {0}")]
    Form(String),
    /// Of a version this program does not know.
    #[error(
        "the advert has form {found} and this program reads {ADVERT_VERSION}; update the older of the two nodes"
    )]
    Version {
        /// Which.
        found: u32,
    },
    /// Another node's advert.
    #[error("the advert is of {found}, but {expected} is who answered")]
    Key {
        /// Who it says it is.
        found: NodeKey,
        /// Whom the handshake showed.
        expected: NodeKey,
    },
    /// Not signed by that node over these bytes.
    #[error("the advert is not signed by {key}: it was changed or made up")]
    Forged {
        /// Who should have signed.
        key: NodeKey,
    },
    /// Made for another mesh.
    #[error("the advert is for mesh {found:?} and this node is in mesh {expected:?}")]
    Mesh {
        /// The mesh of the advert.
        found: String,
        /// Ours.
        expected: String,
    },
    /// Made under another id of the host.
    #[error("the advert is of mesh peer {found}, but {expected} is who was asked")]
    Peer {
        /// The advert's.
        found: MeshPeerId,
        /// The one asked.
        expected: MeshPeerId,
    },
    /// Good for too long, or for no time.
    #[error("the advert is good for {millis} ms, and 1 to {LIFETIME_MILLIS} is allowed")]
    Lifetime {
        /// For how long.
        millis: i64,
    },
    /// Over, by more than clocks may differ.
    #[error(
        "the advert was over {} ago: it is an old one sent again, or one of the two clocks is wrong; set both by NTP",
        Span(*.millis)
    )]
    Expired {
        /// How long ago, on our clock.
        millis: i64,
    },
    /// Signed in our future, by more than clocks may differ.
    #[error(
        "the advert was signed {} in the future: one of the two clocks is wrong; set both by NTP",
        Span(*.millis)
    )]
    Future {
        /// How far ahead of our clock.
        millis: i64,
    },
}

/// Milliseconds, as people say them.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        match seconds {
            0..120 => write!(f, "{seconds} s"),
            120..7200 => write!(f, "{} min", seconds / 60),
            _ => write!(f, "{} h", seconds / 3600),
        }
    }
}

/// An advert that was checked; there is no other way to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAdvert {
    advert: Advert,
    content: Digest,
    bytes: usize,
}

impl VerifiedAdvert {
    /// The advert, its texts clean.
    #[must_use]
    pub fn advert(&self) -> &Advert {
        &self.advert
    }

    /// What keeping it takes: its bytes as it travelled, and those of its cards once they are
    /// [added](Self::with_cards).
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same, with so many bytes of cards kept beside it.
    #[must_use]
    pub fn with_cards(mut self, bytes: usize) -> Self {
        self.bytes = self.bytes.saturating_add(bytes);
        self
    }

    /// The digest of all but its times, over the signer's own words.
    #[must_use]
    pub fn content(&self) -> Digest {
        self.content
    }

    /// The advert, its texts clean.
    #[must_use]
    pub fn into_advert(self) -> Advert {
        self.advert
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    advert: &'a RawValue,
    protected: String,
    signature: String,
}

/// What is read before the signature is checked, to say clearly what is wrong.
#[derive(Deserialize)]
struct Outline<'a> {
    version: u32,
    key: NodeKey,
    #[serde(borrow)]
    agents: Vec<&'a RawValue>,
}

impl Advert {
    /// Reads what a node sent as its advert.
    ///
    /// # Errors
    /// [`AdvertError`]: the first thing that is wrong; nothing of the advert may be used then.
    pub fn open(
        bytes: &[u8],
        expect: Expect<'_>,
        now: UnixMillis,
    ) -> Result<VerifiedAdvert, AdvertError> {
        if bytes.len() > ADVERT_BYTES {
            return Err(AdvertError::Size { bytes: bytes.len() });
        }
        let form = |error: serde_json::Error| AdvertError::Form(error.to_string());
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(form)?;
        let text = envelope.advert.get();
        let outline: Outline<'_> = serde_json::from_str(text).map_err(form)?;
        if outline.key != *expect.key {
            return Err(AdvertError::Key {
                found: outline.key,
                expected: *expect.key,
            });
        }
        let signature = Detached {
            protected: envelope.protected,
            signature: envelope.signature,
        };
        jws::verify(expect.key, Signed::Advert, text.as_bytes(), &signature)
            .map_err(|_signature| AdvertError::Forged { key: *expect.key })?;
        if outline.version != ADVERT_VERSION {
            return Err(AdvertError::Version {
                found: outline.version,
            });
        }
        if outline.agents.len() > ADVERT_AGENTS {
            return Err(AdvertError::Agents {
                count: outline.agents.len(),
            });
        }
        let advert: Self = serde_json::from_str(text).map_err(form)?;
        advert.check(expect, now)?;
        Ok(VerifiedAdvert {
            content: advert.content(),
            advert: advert.cleaned(),
            bytes: bytes.len(),
        })
    }

    fn check(&self, expect: Expect<'_>, now: UnixMillis) -> Result<(), AdvertError> {
        if let (Some(found), Some(expected)) = (self.mesh_id.as_deref(), expect.mesh_id)
            && found != expected
        {
            return Err(AdvertError::Mesh {
                found: mesh_agents_core::text::clean_text(found, super::MESH_ID_CHARS),
                expected: expected.to_owned(),
            });
        }
        if self.mesh_peer_id != *expect.mesh_peer_id {
            return Err(AdvertError::Peer {
                found: self.mesh_peer_id.clone(),
                expected: expect.mesh_peer_id.clone(),
            });
        }
        if self.sequence > SEQUENCE_MAX {
            return Err(AdvertError::Form(format!(
                "sequence {} is beyond {SEQUENCE_MAX}",
                self.sequence
            )));
        }
        if let Some(agent) = self.agents.iter().find(|agent| !agent.id.is_local()) {
            // A node speaks of its own agents only.
            return Err(AdvertError::Form(format!(
                "agent {} is of another node",
                agent.id
            )));
        }
        if let Some(agent) = self.repeated() {
            return Err(AdvertError::Form(format!("agent {agent} is listed twice")));
        }
        let millis = self.expires_at.0.saturating_sub(self.issued_at.0);
        if !(1..=LIFETIME_MILLIS).contains(&millis) {
            return Err(AdvertError::Lifetime { millis });
        }
        let ahead = self.issued_at.0.saturating_sub(now.0);
        if ahead > SKEW_MILLIS {
            return Err(AdvertError::Future { millis: ahead });
        }
        let ago = now.0.saturating_sub(self.expires_at.0);
        if ago > SKEW_MILLIS {
            return Err(AdvertError::Expired { millis: ago });
        }
        Ok(())
    }
}
