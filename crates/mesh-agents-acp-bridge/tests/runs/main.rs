//! Whole runs against the scripted ACP agent: real processes, real pipes, a real guard.
//! On Linux, whose `/proc` tells what became of the processes.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail the test"
)]

mod command;
mod confined;
mod ends;
mod happy;
mod network;
mod places;
mod questions;
mod resume;
mod support;
mod talk;
mod trees;
