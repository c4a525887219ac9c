//! Adverts, the directory of who has which agent, routing, who may call. Pure: no runtime, no I/O, no
//! clock; bytes, times and random numbers come in as values.
//!
//! A node's name is its key ([`NodeKey`]). What it tells of itself is an [`Advert`] that the owner's
//! [`Bulletin`] makes and a puller's [`Advert::open`] checks; each agent in it has a [`MeshCard`], fetched
//! by its [`Digest`]. The [`Directory`] holds what the others told and says whom to ask when; [`resolve`]
//! decides which node an agent id means.
//!
//! Two nodes prove their keys to each other by a [`handshake`]; what a caller then may is the owner's list's
//! word ([`acl`]) and the policy's decision, as often as its [`rate`] allows.

pub mod acl;
mod advert;
mod bulletin;
mod card;
mod digest;
mod directory;
pub mod handshake;
mod hint;
mod identity;
mod jws;
mod moment;
mod peer;
pub mod rate;
mod route;

pub use advert::{
    ADVERT_AGENTS, ADVERT_BYTES, ADVERT_SKILLS, ADVERT_VERSION, Advert, AdvertError,
    AdvertisedAgent, AdvertisedSkill, AdvertisedVisibility, Expect, LIFETIME_MILLIS,
    MeshVisibility, NODE_CARDS_BYTES, SKEW_MILLIS, VerifiedAdvert, Withheld, may_leave,
};
pub use bulletin::{Bulletin, Known, Published, Pulled, Standing};
pub use card::{CardError, CardRefused, ExpectCard, MeshCard, mesh_url, read_mesh_url};
pub use digest::{Digest, DigestError};
pub use directory::{
    AgentView, Change, DIRECTORY_AGENTS, DIRECTORY_BYTES, DIRECTORY_PEERS, Directory, Happening,
    NoRoute, NodeView, Presence, Pull, PullFailure, Refused, Remembered, Ticket, Warning,
};
pub use hint::{HintError, SEQUENCE_MAX, read_hint, write_hint};
pub use identity::{IdentityError, NodeKey, NodeSecret, SignatureError};
pub use jws::{HttpSignature, jwk_set, sign_http_card};
pub use moment::Moment;
pub use peer::{MeshPeerId, MeshPeerIdError};
pub use route::{Place, Resolved, Stored, Wanted, Why, resolve};
