//! What a client of the A2A server would miss, over a task engine with a Runner in the test's hands.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod artifacts;
mod calls;
mod errors;
mod fake;
mod lists;
mod nodes;
mod oracle;
mod peers;
mod push;
mod streams;
