//! A node's name: its Ed25519 key, written `did:key:z…` (W3C did:key, multicodec 0xed).

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Multibase prefix of base58btc, after the method's own name.
const PREFIX: &str = "did:key:z";
/// The multicodec `ed25519-pub` as an unsigned varint.
const CODEC: [u8; 2] = [0xed, 0x01];
/// Longest text looked at: a key takes 56 characters.
const LONGEST: usize = 80;

/// Why a text is no node key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not a node key: {reason}; one looks like did:key:z6Mk… (`agents identity show` prints yours)"
)]
pub struct IdentityError {
    text: String,
    reason: &'static str,
}

/// A signature that was not made by this key over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not belong to this key and these bytes")]
pub struct SignatureError;

/// The public half: names a node, checks what it signed.
///
/// Kept as its 32 bytes, which were checked to be a key: the point they stand for takes six times as much,
/// and a node is named far more often than it signs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey([u8; 32]);

impl NodeKey {
    /// The key as its 32 bytes (RFC 8032 §5.1.2).
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Checks a signature over `bytes`, strictly: no key or signature with a small-order part passes.
    ///
    /// # Errors
    /// [`SignatureError`], also for a signature that is not 64 bytes long.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let signature = Signature::from_slice(signature).map_err(|_length| SignatureError)?;
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_opaque| SignatureError)?;
        let verified = key.verify_strict(bytes, &signature);
        verified.map_err(|_opaque| SignatureError)
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = CODEC.to_vec();
        bytes.extend(self.to_bytes());
        write!(f, "{PREFIX}{}", bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({self})")
    }
}

impl FromStr for NodeKey {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let wrong = |reason| IdentityError {
            text: text.chars().take(LONGEST).collect(),
            reason,
        };
        if text.len() > LONGEST {
            return Err(wrong("it is too long"));
        }
        let encoded = text
            .strip_prefix(PREFIX)
            .ok_or_else(|| wrong("it does not begin with did:key:z"))?;
        let bytes = bs58::decode(encoded)
            .into_vec()
            .map_err(|_character| wrong("it is not base58"))?;
        let key = bytes
            .strip_prefix(&CODEC)
            .and_then(|key| <[u8; 32]>::try_from(key).ok())
            .ok_or_else(|| wrong("it is not an Ed25519 key"))?;
        let point =
            VerifyingKey::from_bytes(&key).map_err(|_point| wrong("it is not a valid key"))?;
        if point.is_weak() {
            return Err(wrong("it is a weak key"));
        }
        Ok(Self(key))
    }
}

impl Serialize for NodeKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// The private half: signs for its node. Wiped when dropped, and never printed.
pub struct NodeSecret(SigningKey);

impl NodeSecret {
    /// The secret whose seed these 32 random bytes are (RFC 8032 §5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half.
    #[must_use]
    pub fn key(&self) -> NodeKey {
        NodeKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `bytes` (Ed25519, RFC 8032: no randomness needed).
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeSecret({})", self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first Ed25519 vector of the did:key specification's test suite.
    const VECTOR: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    const VECTOR_HEX: &str = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";

    #[test]
    fn a_key_is_written_as_the_specification_writes_it() {
        let key: NodeKey = VECTOR.parse().unwrap();
        let hex: String = key.to_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, VECTOR_HEX);
        assert_eq!(key.to_string(), VECTOR);
        // RFC 8032's all-zero seed has this very key.
        assert_eq!(NodeSecret::from_seed(&[0; 32]).key(), key);
    }

    #[test]
    fn a_text_that_is_no_key_says_why() {
        let long = format!("did:key:z{}", "6".repeat(100));
        // An X25519 key, the Ed25519 point of order one, another method, a broken alphabet.
        let small = {
            let mut bytes = CODEC.to_vec();
            bytes.push(1);
            bytes.extend([0; 31]);
            format!("{PREFIX}{}", bs58::encode(bytes).into_string())
        };
        for (text, reason) in [
            ("did:web:example.org", "does not begin"),
            ("did:key:z0OIl", "not base58"),
            (
                "did:key:z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F",
                "not an Ed25519 key",
            ),
            (small.as_str(), "weak"),
            (long.as_str(), "too long"),
        ] {
            let error = text.parse::<NodeKey>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn only_its_own_signature_over_the_same_bytes_passes() {
        let (ours, other) = (
            NodeSecret::from_seed(&[7; 32]),
            NodeSecret::from_seed(&[8; 32]),
        );
        let signature = ours.sign(b"hello");
        assert_eq!(ours.key().verify(b"hello", &signature), Ok(()));
        assert_eq!(ours.key().verify(b"hellO", &signature), Err(SignatureError));
        assert_eq!(
            other.key().verify(b"hello", &signature),
            Err(SignatureError)
        );
        assert_eq!(
            ours.key().verify(b"hello", &signature[..63]),
            Err(SignatureError)
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = NodeSecret::from_seed(&[0; 32]);
        assert_eq!(format!("{secret:?}"), format!("NodeSecret({VECTOR})"));
    }
}
