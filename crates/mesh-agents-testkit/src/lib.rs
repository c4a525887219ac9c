//! Dev-only parts with which the other crates are tested: a scripted ACP agent, a scripted model server, agent directories.
//!
//! Real parts, fake world: the programs under test start real processes and speak real protocols, and only what would
//! need a network, a licence or luck is replaced by something that does exactly what a test tells it to do.
//!
//! | Part | Use |
//! |---|---|
//! | [`bin()`] | path of `scripted-acp-agent` or `scripted-model` as cargo built it |
//! | [`acp_agent`] | the language that drives the scripted ACP agent |
//! | [`ScriptedModel`] | a model server in the test's process; [`model`] has the script |
//! | [`AgentDir`] | writes an agent directory that loads |
//! | [`bench`] | what the benches share |
//!
//! Nothing here is shipped; no other crate may depend on it outside `[dev-dependencies]`.

pub mod acp_agent;
mod agent_dir;
pub mod bench;
mod bins;
pub mod model;

pub use agent_dir::AgentDir;
pub use bins::bin;
pub use model::ScriptedModel;
