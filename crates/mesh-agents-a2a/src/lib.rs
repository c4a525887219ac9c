//! A2A 1.0 on the wire: domain values as ProtoJSON, and the card each agent is served with.
//!
//! Numbers that callers and agents own never pass through a float: their values are spliced in as
//! the text they arrived in ([`json`]). What the A2A project's own crate offers (state and role
//! names, error codes, envelopes) is used; its value trees are not. Taking A2A calls is not built
//! yet, and the one route that a served card names says so ([`router`]).

pub mod card;
pub mod convert;
pub mod http;
pub mod json;
pub mod push;
pub mod remote;
pub mod router;
