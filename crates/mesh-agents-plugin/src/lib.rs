//! The tools, defined once; shown over MCP, to the mesh-llm host, and to front-ends on the engine's socket.
//!
//! Reading order: [`tool`] (the table), [`backend`] (what stands behind it), [`engine_tools`] (what
//! each does), then the projections [`mcp`] behind [`guard`] and [`host`]; [`socket`] and
//! [`frontend`] are the two ends between the engine and the processes that only pass calls on;
//! [`mesh_link`] is the engine's way to other nodes, through the plugin of a host; [`mesh_node`] is this
//! node among them.

pub mod backend;
pub mod engine_tools;
#[cfg(test)]
mod fake;
pub mod frontend;
pub mod guard;
pub mod host;
pub mod local;
pub mod mcp;
pub mod mesh_link;
pub mod mesh_node;
mod mint;
pub mod socket;
pub mod tool;
