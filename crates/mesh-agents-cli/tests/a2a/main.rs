//! Every operation of A2A 1.0 on both bindings, by the Rust client of the A2A project, which nobody
//! here wrote, against a real node whose agents are the scripted one; and all of it once more after
//! `kill -9`. `tests/a2a-clients` holds the same checks for the clients of other languages.
//!
//! Prints `ok|FAIL rust BINDING NAME (REASON)` for each check; `A2A_CHECKS` in the environment
//! narrows them to those whose name contains it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]
#![cfg(target_os = "linux")]

mod callers;
mod events;
mod node;
mod pushing;
mod reading;
mod receiver;
mod report;
mod restart;
mod sending;
mod streaming;
mod world;

use node::Node;
use receiver::Receiver;
use report::{Check, Report};
use world::World;

/// All checks, by name.
fn checks() -> Vec<(&'static str, Check)> {
    [
        sending::checks(),
        streaming::checks(),
        reading::checks(),
        pushing::checks(),
        callers::checks(),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_client_drives_every_operation_and_a_kill_loses_nothing() {
    let node = Node::start();
    let receiver = Receiver::start().await;
    let worlds = ["JSONRPC", "HTTP+JSON"].map(|binding| World::new(&node, binding, &receiver));
    let mut report = Report::new();
    report.run(&worlds, checks()).await;
    restart::run(&mut report, &node, &worlds).await;
    report.end();
}
