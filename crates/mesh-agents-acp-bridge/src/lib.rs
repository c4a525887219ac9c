//! A Runner that drives one ACP harness process under a guard (DESIGN §5).
//!
//! A run from top to bottom is [`job`]: its directories ([`workspace`]), what to start ([`preset`]
//! plans, [`plan`] is the plan), what it may reach ([`confinement`], [`network`]) and see ([`environment`]), the
//! processes ([`guard`]), the conversation ([`session`]), the results ([`artifacts`]) and what they
//! count as ([`verdict`]). [`command_harness`] is the one harness of our own. The operating system is
//! asked in [`platform`] only.

mod artifacts;
mod bridge;
mod command_harness;
mod config;
mod confinement;
mod environment;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod job;
mod logs;
mod model;
mod network;
mod plan;
mod platform;
mod preset;
mod session;
mod verdict;
mod whereabouts;
mod workspace;

pub use bridge::AcpBridge;
pub use command_harness::command_main;
pub use config::{BridgeConfig, Timeouts};
pub use confinement::{ConfinementSupport, confinement_support, platform_confinement};
pub use guard::{guard_main, probe_main, stage_main};
pub use model::lacks_model;
pub use platform::may_be_in_a_run;
