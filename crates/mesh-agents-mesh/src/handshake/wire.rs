//! The lines as JSON. Unknown fields are passed over here and bound by the signatures, which cover every
//! byte of the lines before them; what they mean is for a later version to say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};
use serde_json::json;

use super::{HandshakeError, Hello, LINE_BYTES, Opening, VERSION, digest};
use crate::identity::NodeKey;
use crate::peer::MeshPeerId;

/// How much of a parser's complaint is kept: it may quote the other side.
const REASON_CHARS: usize = 160;
/// Longest nonce of a ping that is sent back, in bytes: any short text will do, it proves nothing.
const PING_BYTES: usize = 64;

/// 32 bytes, written as base64url without padding, which has one spelling for each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes32(pub(super) [u8; 32]);

impl<'de> Deserialize<'de> for Bytes32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_bytes(deserializer).map(Self)
    }
}

fn read_bytes<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(de::Error::custom)?;
    let length = |_| de::Error::custom(format_args!("not {N} bytes in base64url"));
    bytes.try_into().map_err(length)
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `hello`.
#[derive(Debug, Deserialize)]
pub(super) struct HelloLine {
    pub(super) key: NodeKey,
    pub(super) nonce: Bytes32,
    pub(super) from: MeshPeerId,
    pub(super) to: MeshPeerId,
    #[serde(default)]
    pub(super) mesh: Option<Bytes32>,
}

impl HelloLine {
    pub(super) fn line(&self) -> Vec<u8> {
        line(&json!({
            "mesh_agents": VERSION,
            "kind": "hello",
            "key": self.key.to_string(),
            "nonce": base64(&self.nonce.0),
            "from": self.from.as_str(),
            "to": self.to.as_str(),
            "mesh": self.mesh.map(|mesh| base64(&mesh.0)),
        }))
    }
}

/// `welcome`.
#[derive(Debug, Deserialize)]
pub(super) struct WelcomeLine {
    pub(super) key: NodeKey,
    pub(super) nonce: Bytes32,
    #[serde(default)]
    pub(super) mesh: Option<Bytes32>,
    #[serde(deserialize_with = "read_bytes")]
    pub(super) signature: [u8; 64],
}

impl WelcomeLine {
    pub(super) fn line(&self) -> Vec<u8> {
        line(&json!({
            "mesh_agents": VERSION,
            "kind": "welcome",
            "key": self.key.to_string(),
            "nonce": base64(&self.nonce.0),
            "mesh": self.mesh.map(|mesh| base64(&mesh.0)),
            "signature": base64(&self.signature),
        }))
    }

    pub(super) fn read(line: &[u8]) -> Result<Self, HandshakeError> {
        of_kind(line, "welcome")
    }
}

/// `proof`.
#[derive(Debug, Deserialize)]
pub(super) struct ProofLine {
    #[serde(deserialize_with = "read_bytes")]
    pub(super) signature: [u8; 64],
}

impl ProofLine {
    pub(super) fn line(&self) -> Vec<u8> {
        line(&json!({
            "mesh_agents": VERSION,
            "kind": "proof",
            "signature": base64(&self.signature),
        }))
    }

    pub(super) fn read(line: &[u8]) -> Result<Self, HandshakeError> {
        of_kind(line, "proof")
    }
}

/// `ping` and `pong`.
#[derive(Debug, Deserialize)]
struct NonceLine {
    nonce: String,
}

impl NonceLine {
    fn checked(self) -> Result<String, HandshakeError> {
        let plain = |byte: u8| byte.is_ascii_graphic();
        if self.nonce.len() <= PING_BYTES && self.nonce.bytes().all(plain) {
            Ok(self.nonce)
        } else {
            Err(HandshakeError::Malformed(format!(
                "the nonce of a ping has at most {PING_BYTES} visible ASCII characters"
            )))
        }
    }
}

pub(super) fn ping(nonce: &str) -> Vec<u8> {
    line(&json!({"mesh_agents": VERSION, "kind": "ping", "nonce": nonce}))
}

pub(super) fn is_pong_to(line: &[u8], nonce: &str) -> Result<bool, HandshakeError> {
    let back = of_kind::<NonceLine>(line, "pong")?.checked()?;
    Ok(back == nonce)
}

pub(super) fn read_opening(bytes: &[u8]) -> Result<Opening, HandshakeError> {
    let json = json_of(bytes)?;
    match kind_of(json)?.as_str() {
        "ping" => {
            let nonce = parse::<NonceLine>(json)?.checked()?;
            Ok(Opening::Ping(line(
                &json!({"mesh_agents": VERSION, "kind": "pong", "nonce": nonce}),
            )))
        }
        "hello" => Ok(Opening::Hello(Box::new(Hello {
            said: parse(json)?,
            digest: digest(&[bytes]),
        }))),
        _ => Err(HandshakeError::UnexpectedKind {
            wanted: "hello or ping",
        }),
    }
}

/// Why one side does not go on, as the other is told. The words never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalCode {
    /// A line over the limit.
    TooLong,
    /// A line that cannot be read.
    Malformed,
    /// Another version.
    Version,
    /// Not the line that comes here.
    UnexpectedKind,
    /// A hello for another node.
    WrongPeer,
    /// Another mesh.
    WrongMesh,
    /// The receiver's own key.
    OwnKey,
    /// Not the key that was expected.
    WrongKey,
    /// A signature that does not fit.
    BadSignature,
    /// The receiver does not know its own peer id yet.
    NotReady,
    /// A code of a later version.
    Other,
}

impl RefusalCode {
    const ALL: [Self; 11] = [
        Self::TooLong,
        Self::Malformed,
        Self::Version,
        Self::UnexpectedKind,
        Self::WrongPeer,
        Self::WrongMesh,
        Self::OwnKey,
        Self::WrongKey,
        Self::BadSignature,
        Self::NotReady,
        Self::Other,
    ];

    /// The code on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::UnexpectedKind => "unexpected_kind",
            Self::WrongPeer => "wrong_peer",
            Self::WrongMesh => "wrong_mesh",
            Self::OwnKey => "own_key",
            Self::WrongKey => "wrong_key",
            Self::BadSignature => "bad_signature",
            Self::NotReady => "not_ready",
            Self::Other => "other",
        }
    }

    /// What it means, for the side that was refused. Our own words: those of the other side are not shown.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::TooLong => "a line of the handshake is too long",
            Self::Malformed => "a line of the handshake cannot be read",
            Self::Version => "it speaks another version of the handshake; update the older node",
            Self::UnexpectedKind => "another line of the handshake was due",
            Self::WrongPeer => "the hello is addressed to another peer id",
            Self::WrongMesh => "the hello comes from another mesh",
            Self::OwnKey => "the hello uses the receiver's own key",
            Self::WrongKey => "another key was expected here",
            Self::BadSignature => "the signature is not over this handshake",
            Self::NotReady => "it does not know its own peer id yet; try again in a few seconds",
            Self::Other => "for a reason that this version does not know",
        }
    }

    /// Whether the same handshake may succeed a little later.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(self, Self::NotReady)
    }
}

pub(super) fn refused(code: RefusalCode) -> Vec<u8> {
    line(&json!({
        "mesh_agents": VERSION,
        "kind": "refused",
        "code": code.as_str(),
        "message": code.words(),
    }))
}

#[derive(Deserialize)]
struct RefusedLine {
    code: String,
}

#[derive(Deserialize)]
struct Head {
    mesh_agents: u64,
    kind: String,
}

/// Reads a line that must be of `kind`; a refusal is an error of its own.
fn of_kind<T: DeserializeOwned>(line: &[u8], kind: &'static str) -> Result<T, HandshakeError> {
    let json = json_of(line)?;
    match kind_of(json)? {
        found if found == kind => parse(json),
        found if found == "refused" => {
            let RefusedLine { code } = parse(json)?;
            let known = RefusalCode::ALL.into_iter().find(|c| c.as_str() == code);
            Err(HandshakeError::Refused(known.unwrap_or(RefusalCode::Other)))
        }
        _ => Err(HandshakeError::UnexpectedKind { wanted: kind }),
    }
}

/// The line without its newline, which must be there once and at the end.
fn json_of(line: &[u8]) -> Result<&[u8], HandshakeError> {
    if line.len() > LINE_BYTES {
        return Err(HandshakeError::TooLong);
    }
    match line.split_last() {
        Some((b'\n', json)) if !json.contains(&b'\n') => Ok(json),
        _ => Err(HandshakeError::Malformed(
            "it is not one line that ends in a newline".to_owned(),
        )),
    }
}

fn kind_of(json: &[u8]) -> Result<String, HandshakeError> {
    let head: Head = parse(json)?;
    if head.mesh_agents == VERSION {
        Ok(head.kind)
    } else {
        Err(HandshakeError::Version {
            theirs: head.mesh_agents,
        })
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, HandshakeError> {
    serde_json::from_slice(json).map_err(|error| {
        let reason = error.to_string();
        let plain = reason.chars().filter(|c| !c.is_control());
        HandshakeError::Malformed(plain.take(REASON_CHARS).collect())
    })
}

fn line(json: &serde_json::Value) -> Vec<u8> {
    let mut line = json.to_string().into_bytes();
    line.push(b'\n');
    line
}
