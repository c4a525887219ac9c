//! Adverts, the directory of who has which agent, routing, who may call. Pure: no runtime, no I/O, no
//! clock; bytes, times and random numbers come in as values.

pub mod acl;
pub mod handshake;
mod identity;
pub mod rate;

pub use identity::{IdentityError, NodeKey, NodeSecret, SignatureError};
