//! A Runner that drives one ACP harness process under a guard (DESIGN §5).
//!
//! A run from top to bottom is [`job`]: its directories ([`workspace`]), what to start ([`preset`]
//! plans, [`plan`] is the plan), what it may reach ([`confinement`], [`network`]) and see ([`environment`]), the
//! processes ([`guard`]), the conversation ([`session`]), the results ([`artifacts`]) and what they
//! count as ([`verdict`]). [`command_harness`] is the one harness of our own. The operating system is
//! asked in [`platform`] only.
//!
//! All of that needs a Unix. Elsewhere the crate has the same face, and `absent` behind it says what is missing.

mod config;
mod model;
mod support;

#[cfg(unix)]
mod artifacts;
#[cfg(unix)]
mod bridge;
#[cfg(unix)]
mod command_harness;
#[cfg(unix)]
mod confinement;
#[cfg(unix)]
mod environment;
#[cfg(all(unix, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(unix)]
mod guard;
#[cfg(unix)]
mod job;
#[cfg(unix)]
mod logs;
#[cfg(unix)]
mod network;
#[cfg(unix)]
mod plan;
#[cfg(unix)]
mod platform;
#[cfg(unix)]
mod preset;
#[cfg(unix)]
mod remove;
#[cfg(unix)]
mod session;
#[cfg(unix)]
mod verdict;
#[cfg(unix)]
mod whereabouts;
#[cfg(unix)]
mod workspace;

#[cfg(not(unix))]
mod absent;

#[cfg(not(unix))]
pub use absent::*;
pub use config::{BridgeConfig, Timeouts};
pub use model::lacks_model;
pub use support::ConfinementSupport;
#[cfg(unix)]
pub use {
    bridge::AcpBridge,
    command_harness::command_main,
    confinement::{confinement_support, platform_confinement},
    guard::{guard_main, probe_main, stage_main},
    platform::may_be_in_a_run,
};
