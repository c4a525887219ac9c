//! What the operating system is asked for: the process tree, and the confinement of a harness.
//!
//! One module for each kind of system, with the same functions; nothing else in the crate is
//! conditional. Where a system cannot do something, its module says so in words and the callers
//! pass those words on.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::may_be_in_a_run;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
pub use other::may_be_in_a_run;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::*;

use serde::{Deserialize, Serialize};

/// What a sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Swept {
    /// Processes that were still there and were killed.
    pub(crate) killed: u32,
    /// Processes that would not die in the time given (such as one the kernel holds in a device).
    pub(crate) left: u32,
}
