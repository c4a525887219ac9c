//! The words of the domain: ids, agents, principals, policy, tasks, transitions and the Runner port.
//!
//! This crate says what an agent, a task and a run *are* and which changes are legal. It has no
//! runtime and no I/O: it never awaits, never opens a file, never reads the environment or the
//! clock. Everything here can be decided from values, so everything here is tested from values.
//!
//! Reading order: [`ids`], [`agent`], [`task`], [`transition`], [`run`], [`policy`].

pub mod agent;
pub mod clock;
pub mod confinement;
pub mod content;
pub mod endpoint;
pub mod event;
pub mod ids;
pub mod json;
pub mod layout;
pub mod limits;
pub mod near;
pub mod policy;
pub mod position;
pub mod principal;
pub mod push;
pub mod question;
pub mod refusal;
pub mod run;
pub mod system;
pub mod task;
pub mod template;
pub mod text;
pub mod toml_reader;
pub mod transition;
