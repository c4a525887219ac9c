//! Tests of the registry through its public interface, on real directories.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot set its scene fails"
)]

mod definitions;
mod editing;
mod hot_reload;
mod messages;
mod remote;
mod robustness;
mod scaffold;
mod support;
