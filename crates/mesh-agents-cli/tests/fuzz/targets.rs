//! The targets. Each takes bytes, makes an input of them, and panics when what must always hold does not.
//!
//! Paths are spelled out because libFuzzer's programs in tests/fuzz take this file from elsewhere.

#[path = "targets/a2a_body.rs"]
pub(crate) mod a2a_body;
#[path = "targets/acl_toml.rs"]
pub(crate) mod acl_toml;
#[path = "targets/acp_lines.rs"]
pub(crate) mod acp_lines;
#[path = "targets/agent_card.rs"]
pub(crate) mod agent_card;
#[path = "targets/engine_socket.rs"]
pub(crate) mod engine_socket;
#[path = "targets/mesh_advert.rs"]
pub(crate) mod mesh_advert;
#[path = "targets/mesh_handshake.rs"]
pub(crate) mod mesh_handshake;
#[path = "targets/node.rs"]
mod node;
#[path = "targets/runtime_toml.rs"]
pub(crate) mod runtime_toml;
