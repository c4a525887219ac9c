//! The real binary `agents`, driven as a person or a program drives it: what it says to bad input,
//! what it does with good, and what becomes of the processes it starts, however things end.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]
#![cfg(target_os = "linux")]

mod artifacts;
mod at_once;
mod bad_input;
mod cancel;
mod confinement;
mod engine_life;
mod escapes;
mod flow;
mod hot_reload;
mod isolation;
mod kills;
mod mistakes;
mod peers;
mod push;
mod questions;
mod remote;
mod resume;
mod storage;
mod support;
mod versions;
