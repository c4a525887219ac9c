//! The tools, defined once; shown over MCP, to the mesh-llm host, and to front-ends on the engine's socket.
//!
//! Reading order: [`tool`] (the table), [`backend`] (what stands behind it), then [`engine_tools`]
//! (what they do) and the projections
//! [`mcp`] behind [`guard`] and [`host`].

pub mod backend;
pub mod engine_tools;
#[cfg(test)]
mod fake;
pub mod guard;
pub mod host;
pub mod mcp;
mod mint;
mod nearest;
pub mod tool;
