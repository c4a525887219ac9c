//! The mesh-llm host's name for a node, which is not ours: client-role nodes get a new one at every start.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Digits of a peer id: a key of 32 bytes.
const DIGITS: usize = 64;

/// A text that is no peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a mesh peer id is 64 digits of 0-9 a-f, as `token` of /api/status and mesh events hold it"
)]
pub struct PeerIdError;

/// A peer id as the host gives it in full: 64 lower-case hexadecimal digits (HC §6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MeshPeerId(String);

impl MeshPeerId {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MeshPeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MeshPeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == DIGITS && text.bytes().all(digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PeerIdError)
        }
    }
}

impl TryFrom<String> for MeshPeerId {
    type Error = PeerIdError;

    fn try_from(text: String) -> Result<Self, PeerIdError> {
        text.parse()
    }
}

impl From<MeshPeerId> for String {
    fn from(id: MeshPeerId) -> Self {
        id.0
    }
}
