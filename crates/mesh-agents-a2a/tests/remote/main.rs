//! The remote runner against a scripted A2A server: what a caller sees when the remote works, and
//! when it or the way to it does not.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test helpers fail the test by panicking"
)]

mod faults;
mod server;
mod support;
mod talk;
