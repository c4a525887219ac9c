//! What users of the engine would miss, driven through its handle with a Runner in the test's hands.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod cancels;
mod care;
mod contexts;
mod elsewhere;
mod fake;
mod follow;
mod full;
mod lists;
mod parked;
mod prelude;
mod push;
mod questions;
mod races;
mod recovery;
mod resume;
mod runs;
mod submits;
