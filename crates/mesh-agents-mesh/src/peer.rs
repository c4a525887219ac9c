//! What the mesh-llm host calls a node: the id of a route, not of a node (a client-role node has a new
//! one after every start, host-contract T22).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Characters of an id.
const HEX_DIGITS: usize = 64;

/// The host's peer id: 64 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MeshPeerId(Box<str>);

/// Why a text is no peer id of the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a peer id of the mesh host: it has 64 characters of 0-9 a-f")]
pub struct MeshPeerIdError {
    text: String,
}

impl MeshPeerId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MeshPeerId {
    type Err = MeshPeerIdError;

    fn from_str(text: &str) -> Result<Self, MeshPeerIdError> {
        let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == HEX_DIGITS && text.bytes().all(hex) {
            Ok(Self(text.into()))
        } else {
            Err(MeshPeerIdError {
                text: text.chars().take(HEX_DIGITS + 1).collect(),
            })
        }
    }
}

impl TryFrom<String> for MeshPeerId {
    type Error = MeshPeerIdError;
    fn try_from(text: String) -> Result<Self, MeshPeerIdError> {
        text.parse()
    }
}

impl From<MeshPeerId> for String {
    fn from(id: MeshPeerId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for MeshPeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MeshPeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_full_id_in_its_one_spelling_is_one() {
        let full = "0123456789abcdef".repeat(4);
        assert_eq!(full.parse::<MeshPeerId>().unwrap().as_str(), full);
        for wrong in ["", "0123456789", &full.to_uppercase(), &format!("{full}0")] {
            assert!(wrong.parse::<MeshPeerId>().is_err(), "{wrong}");
        }
    }
}
