//! How two nodes learn who the other is, before the first byte of HTTP on a mesh stream.
//!
//! Three lines of JSON, each at most [`LINE_BYTES`] with its newline; the rest of the stream is HTTP/1.1:
//!
//! ```text
//! opener   ──► hello    its key, a nonce, the peer id it says it has, the peer id it opened to, the mesh
//! receiver ──► welcome  its key, a nonce, the mesh, signature R
//! opener   ──► proof    signature O; the first request may follow in the same write
//! ```
//!
//! Both signatures cover: the name and version of this protocol, the signer's role, both keys, both
//! nonces, both peer ids, both mesh ids, and SHA-256 of all lines before the one the signature is in, byte
//! for byte. A first line of kind `ping` is answered by a `pong` that names nobody. A line that cannot be
//! accepted is answered by one of kind `refused` with a code and a fixed sentence: nothing of the node
//! that refuses, nothing the other side did not know. After `proof` only a broken or hostile opener can be
//! refused; it then reads that line where it waited for HTTP.
//!
//! Everything here is values in, values out: nonces come from the caller and must be random and used
//! once; reading, writing and time limits are the caller's too.
//!
//! # What stops whom
//!
//! - **Relay.** A opens to M; M opens to B and passes A's lines on, to be taken for A. A's hello names M's
//!   peer id, so B refuses it; M may write B's there, but then A's proof is over other lines than B saw.
//!   Towards A it is the same: B's welcome is over the hello B got. In short, B accepts A's key only on a
//!   stream that A's node wanted to end at B's peer id, and the host brings such a stream to that peer and
//!   nobody else (QUIC authenticates the peer id of the side that was dialled).
//! - **Replay.** Each side's nonce is in what the other signs.
//! - **Reflection.** Roles are in the signed bytes, a node refuses its own key, and a hello must be
//!   addressed to the peer id of its receiver.
//! - **Swapped key.** The opener says which key it expects, if it knows one; another key, though its
//!   signature is right, is [`HandshakeError::WrongKey`].
//! - **Another protocol's signatures.** What is signed begins with a label of this one and its version.
//!
//! # Is the opener's peer id true? (HC §7's callback: not used)
//!
//! The host tells a receiver nothing of who opened a stream (HC T12). The key is proven; the peer id the
//! opener gives is only its own word, and signed by it. A callback, opening a stream to that peer id and
//! asking it to confirm the nonce, would prove it. What does an attacker M gain while nobody does?
//! Authority rests on the key alone, so M, who can sign with M's key only, is M whatever it says. If a
//! receiver *routed* by that word, M could draw calls meant for the node at that peer id to its own key, or
//! make its key look as if it were at two peers at once. So the rule is: **where a key is, only the opener's
//! side of a handshake says**, since there the host has authenticated the peer id. The receiver's side
//! yields [`Opener`], whose field is called `claimed_peer_id` and serves display and logs. With that, a
//! callback would buy nothing, and cost a round trip and a way to make nodes dial each other.
//!
//! # What it does not give
//!
//! It says who holds the keys at both ends of the stream when it begins. It neither encrypts nor signs what
//! follows: the stream after it is as private and as untampered as the QUIC connection between the two
//! hosts, and as the two hosts and the local sockets between them and us. A host, or another process of
//! the same user on either machine, can read and change it. Whoever needs more than that needs it per
//! message (adverts and cards are signed for that reason). Nor does it say what the other may do: the
//! owner asks its access list at every request, so that a kept stream loses its rights with its key.

#[cfg(test)]
mod tests;
mod wire;

use sha2::{Digest as _, Sha256};

use crate::identity::{NodeKey, NodeSecret};
use crate::peer::MeshPeerId;

pub use self::wire::RefusalCode;
use self::wire::{Bytes32, HelloLine, ProofLine, WelcomeLine};

/// The longest line with its newline, in bytes. A hello takes under 500; the rest is room for fields to come.
pub const LINE_BYTES: usize = 4096;
/// The version both sides must speak.
pub const VERSION: u64 = 1;

/// Begins everything that is signed here: no signature made for anything else fits.
const LABEL: &[u8] = b"mesh-agents handshake 1";
/// Hides a mesh id of any length behind 32 bytes.
const MESH_LABEL: &[u8] = b"mesh-agents mesh id 1";

/// A number that is random and never used twice; 32 bytes.
pub type Nonce = [u8; 32];

/// This node as its own host names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// Its peer id. A receiver that does not know its own yet answers [`HandshakeError::NotReady`].
    pub peer_id: MeshPeerId,
    /// The mesh it is in; empty while the host has not said. Compared when both sides know theirs.
    pub mesh_id: String,
}

/// Whom a stream was opened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whom {
    /// The `target_peer_id` the host was given.
    pub peer_id: MeshPeerId,
    /// The key that must be there, when one is known.
    pub key: Option<NodeKey>,
}

/// Whom the opener reached: this key is at this peer id, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// Its key, proven.
    pub key: NodeKey,
    /// Its peer id, authenticated by the host.
    pub peer_id: MeshPeerId,
}

/// Who opened a stream to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opener {
    /// Its key, proven. All it may do follows from this.
    pub key: NodeKey,
    /// The peer id it says it has. To be shown, never to be dialled or routed by.
    pub claimed_peer_id: MeshPeerId,
}

/// Why a handshake did not come about. [`HandshakeError::line`] is what the other side is told of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// No newline within [`LINE_BYTES`].
    #[error(
        "the other side sent a line of more than {LINE_BYTES} bytes; it speaks another protocol"
    )]
    TooLong,
    /// No JSON object, a missing field, a value of the wrong form.
    #[error("the other side sent a line that is no part of this handshake: {0}")]
    Malformed(String),
    /// A version we do not speak.
    #[error(
        "the other side speaks version {theirs} of the handshake and this node speaks {VERSION}; update the older of the two"
    )]
    Version {
        /// What it speaks.
        theirs: u64,
    },
    /// A line of the handshake, but not the one that comes here.
    #[error("the other side sent another line than the {wanted} that comes here")]
    UnexpectedKind {
        /// What should have come.
        wanted: &'static str,
    },
    /// The hello is for another node, or says it comes from our own peer id.
    #[error(
        "the hello is addressed to another node: relayed by a third one, or this node's peer id has changed since; if it stays, restart mesh-llm on both nodes"
    )]
    WrongPeer,
    /// Both know which mesh they are in, and it is not the same one.
    #[error("the other side is in another mesh")]
    WrongMesh,
    /// The other side uses the key of this very node.
    #[error(
        "the other side uses this node's own key {0}: identity.key was copied to a second node, or this is an attack; give the copy a key of its own with `agents identity rotate`"
    )]
    OwnKey(NodeKey),
    /// Somebody else answers where a known key was expected; its own signature is right.
    #[error(
        "expected {expected} at that peer and found {found}: the node has a new key, or another node is in its place. If its owner confirms the new key, run `agents peers forget {expected}`"
    )]
    WrongKey {
        /// The key that was expected.
        expected: NodeKey,
        /// The key that answered.
        found: NodeKey,
    },
    /// The signature was not made by this key over what both sides should have seen.
    #[error(
        "the other side's signature is not over this handshake: a line was changed, replayed or relayed on its way"
    )]
    BadSignature,
    /// We do not know our own peer id yet.
    #[error(
        "this node has not heard its own peer id from mesh-llm yet; try again in a few seconds"
    )]
    NotReady,
    /// The other side refused.
    #[error("the other node refused the handshake ({}): {}", .0.as_str(), .0.words())]
    Refused(RefusalCode),
}

impl HandshakeError {
    /// What the other side is told: a code and a sentence, nothing of this node.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::TooLong => RefusalCode::TooLong,
            Self::Malformed(_) => RefusalCode::Malformed,
            Self::Version { .. } => RefusalCode::Version,
            Self::UnexpectedKind { .. } => RefusalCode::UnexpectedKind,
            Self::WrongPeer => RefusalCode::WrongPeer,
            Self::WrongMesh => RefusalCode::WrongMesh,
            Self::OwnKey(_) => RefusalCode::OwnKey,
            Self::WrongKey { .. } => RefusalCode::WrongKey,
            Self::BadSignature => RefusalCode::BadSignature,
            Self::NotReady => RefusalCode::NotReady,
            Self::Refused(code) => *code,
        }
    }

    /// The line to send before closing; none to a side that refused first.
    #[must_use]
    pub fn line(&self) -> Option<Vec<u8>> {
        (!matches!(self, Self::Refused(_))).then(|| wire::refused(self.code()))
    }
}

/// A line that asks whether anybody is there, and who is not asked. `nonce` has at most 64 visible ASCII
/// characters.
#[must_use]
pub fn ping(nonce: &str) -> Vec<u8> {
    wire::ping(nonce)
}

/// Whether `line` is the answer to the ping with `nonce`.
///
/// # Errors
/// Another nonce counts as [`HandshakeError::Malformed`]; else as [`Opening::read`].
pub fn read_pong(line: &[u8], nonce: &str) -> Result<(), HandshakeError> {
    if wire::is_pong_to(line, nonce)? {
        Ok(())
    } else {
        Err(HandshakeError::Malformed(
            "the pong answers another ping".to_owned(),
        ))
    }
}

/// The first line of a stream.
#[derive(Debug)]
pub enum Opening {
    /// Somebody asks whether we are there; holds the line to answer with.
    Ping(Vec<u8>),
    /// Somebody wants to be known; for [`Responder::receive`].
    Hello(Box<Hello>),
}

impl Opening {
    /// Reads a first line, its newline included.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(line: &[u8]) -> Result<Self, HandshakeError> {
        wire::read_opening(line)
    }
}

/// A hello as it was received.
#[derive(Debug)]
pub struct Hello {
    said: HelloLine,
    /// SHA-256 of its bytes.
    digest: Bytes32,
}

/// The opener's side, between its hello and the welcome.
#[derive(Debug)]
pub struct Initiator<'s> {
    secret: &'s NodeSecret,
    expected: Option<NodeKey>,
    hello: Hello,
}

impl<'s> Initiator<'s> {
    /// Begins; returns the line to send.
    #[must_use]
    pub fn begin(secret: &'s NodeSecret, nonce: Nonce, here: &Here, whom: Whom) -> (Self, Vec<u8>) {
        let said = HelloLine {
            key: secret.key(),
            nonce: Bytes32(nonce),
            from: here.peer_id.clone(),
            to: whom.peer_id,
            mesh: mesh_digest(&here.mesh_id),
        };
        let line = said.line();
        let initiator = Self {
            secret,
            expected: whom.key,
            hello: Hello {
                said,
                digest: digest(&[&line]),
            },
        };
        (initiator, line)
    }

    /// Reads the answer to the hello; returns the last line to send and whom it was sent to. HTTP may follow
    /// at once.
    ///
    /// # Errors
    /// Why this is not the one that was meant to be reached, or its refusal.
    pub fn finish(self, line: &[u8]) -> Result<(Vec<u8>, Authenticated), HandshakeError> {
        let hello = &self.hello;
        let welcome = WelcomeLine::read(line)?;
        if welcome.key == hello.said.key {
            return Err(HandshakeError::OwnKey(welcome.key));
        }
        same_mesh(hello.said.mesh, welcome.mesh)?;
        let theirs = signed(Role::Receiver, &hello.said, &welcome, &hello.digest);
        let verified = welcome.key.verify(&theirs, &welcome.signature);
        verified.map_err(|_other| HandshakeError::BadSignature)?;
        // Only now: a key nobody proved is not worth a warning about a changed one.
        if let Some(expected) = self.expected.filter(|expected| *expected != welcome.key) {
            return Err(HandshakeError::WrongKey {
                expected,
                found: welcome.key,
            });
        }
        let both = digest(&[&hello.digest.0, line]);
        let ours = signed(Role::Opener, &hello.said, &welcome, &both);
        let proof = ProofLine {
            signature: self.secret.sign(&ours),
        };
        let authenticated = Authenticated {
            key: welcome.key,
            peer_id: self.hello.said.to,
        };
        Ok((proof.line(), authenticated))
    }
}

/// The receiver's side, between its welcome and the proof.
#[derive(Debug)]
pub struct Responder {
    opener: Opener,
    /// What the proof must sign.
    awaited: Vec<u8>,
}

impl Responder {
    /// Takes a hello; returns the line to answer with. Nothing is known of the opener yet.
    ///
    /// # Errors
    /// The hello is not for this node, or from it.
    pub fn receive(
        secret: &NodeSecret,
        nonce: Nonce,
        here: &Here,
        hello: &Hello,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let key = secret.key();
        if hello.said.key == key {
            return Err(HandshakeError::OwnKey(key));
        }
        if hello.said.to != here.peer_id || hello.said.from == here.peer_id {
            return Err(HandshakeError::WrongPeer);
        }
        let mesh = mesh_digest(&here.mesh_id);
        same_mesh(hello.said.mesh, mesh)?;
        let mut welcome = WelcomeLine {
            key,
            nonce: Bytes32(nonce),
            mesh,
            signature: [0; 64],
        };
        let ours = signed(Role::Receiver, &hello.said, &welcome, &hello.digest);
        welcome.signature = secret.sign(&ours);
        let line = welcome.line();
        let both = digest(&[&hello.digest.0, &line]);
        let awaited = signed(Role::Opener, &hello.said, &welcome, &both);
        let responder = Self {
            opener: Opener {
                key: hello.said.key,
                claimed_peer_id: hello.said.from.clone(),
            },
            awaited,
        };
        Ok((responder, line))
    }

    /// Reads the opener's proof; who it is.
    ///
    /// # Errors
    /// The proof is none, or the opener refused us.
    pub fn finish(self, line: &[u8]) -> Result<Opener, HandshakeError> {
        let proof = ProofLine::read(line)?;
        let verified = self.opener.key.verify(&self.awaited, &proof.signature);
        verified.map_err(|_other| HandshakeError::BadSignature)?;
        Ok(self.opener)
    }
}

/// Who signs.
#[derive(Debug, Clone, Copy)]
enum Role {
    Opener,
    Receiver,
}

/// The bytes a side signs. Every field is preceded by its length, so no two sets of fields read the same.
fn signed(role: Role, hello: &HelloLine, welcome: &WelcomeLine, lines: &Bytes32) -> Vec<u8> {
    let role: &[u8] = match role {
        Role::Opener => b"opener",
        Role::Receiver => b"receiver",
    };
    let mesh = |mesh: Option<Bytes32>| mesh.map(|digest| digest.0.to_vec()).unwrap_or_default();
    let fields: [&[u8]; 11] = [
        LABEL,
        role,
        &hello.key.to_bytes(),
        &welcome.key.to_bytes(),
        &hello.nonce.0,
        &welcome.nonce.0,
        hello.from.as_str().as_bytes(),
        hello.to.as_str().as_bytes(),
        &mesh(hello.mesh),
        &mesh(welcome.mesh),
        &lines.0,
    ];
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend((field.len() as u64).to_be_bytes());
        bytes.extend(field);
    }
    bytes
}

fn mesh_digest(mesh_id: &str) -> Option<Bytes32> {
    (!mesh_id.is_empty()).then(|| digest(&[MESH_LABEL, mesh_id.as_bytes()]))
}

fn same_mesh(opener: Option<Bytes32>, receiver: Option<Bytes32>) -> Result<(), HandshakeError> {
    match (opener, receiver) {
        (Some(opener), Some(receiver)) if opener != receiver => Err(HandshakeError::WrongMesh),
        _ => Ok(()),
    }
}

/// SHA-256 of all parts, one after the other. Every use has parts of fixed length but for the last.
fn digest(parts: &[&[u8]]) -> Bytes32 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    Bytes32(hash.finalize().into())
}
