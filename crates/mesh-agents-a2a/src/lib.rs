//! A2A 1.0 on the wire: domain values as ProtoJSON, the card each agent is served with, and the
//! server that takes A2A calls.
//!
//! Numbers that callers and agents own never pass through a float: their values are spliced in as
//! the text they arrived in ([`json`]). What the A2A project's own crate offers (state and role
//! names, error codes and details) is used; its value trees are not. A call enters through
//! [`router`] and is taken by [`server`]; everything a task says on its way out is made by
//! [`convert`] and [`updates`]. The other way round, [`remote`] calls agents elsewhere through the
//! official client, with its types.

pub mod card;
pub mod convert;
pub mod http;
pub mod json;
mod peer;
pub mod push;
pub mod remote;
pub mod router;
pub mod server;
pub mod updates;
