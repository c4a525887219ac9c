//! Real OpenCode as a harness of `agents serve`, with a scripted model: what only the real program can show.
//!
//! `scripts/test-opencode.sh` installs OpenCode and sets OPENCODE_BIN; without it every test here says that it is skipped.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod cancel;
mod confined;
mod machine;
mod review;
mod tools;
