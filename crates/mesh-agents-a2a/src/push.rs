//! Push notifications: telling a caller's own server what happens to its task (A2A §3.5.3, §4.3.3).
//!
//! The engine hands out one event after the other for each configuration and keeps what is owed
//! ([`mesh_agents_tasks::push`]); the worker here sends it as a `StreamResponse` and says how that
//! went. Delivery is at least once: a receiver may hear a thing twice, and never hears it out of order.
//!
//! | The receiver answers | What follows |
//! |---|---|
//! | 2xx | it has the event; the next one follows |
//! | nothing, 408, 425, 429, 5xx | again after 1 s, 2 s, 4 s … 5 min, for a day (`Retry-After` is heeded) |
//! | 410 | the configuration is over |
//! | anything else, a redirect too | twice more; then an artifact is passed over, and a change of state ends the configuration |
//!
//! Both names of the token's header are sent, since 1.0 names none: `X-A2A-Notification-Token` (the
//! Python SDK's) and `A2A-Notification-Token` (the Rust one's).

mod client;
mod encode;
mod resolve;

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_tasks::{PushDelivery, TaskEngine};
use tokio::task::JoinSet;

use client::Sender;
pub use resolve::{Lookup, SystemLookup};

/// How long a worker that stops waits for what is on its way. It is sent again if it takes longer.
const LAST_SENDS: Duration = Duration::from_secs(2);
/// A pause after a fault of ours, so that it is not repeated in a tight loop.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// Sends what the engine hands out.
#[derive(Debug)]
pub struct PushWorker {
    engine: TaskEngine,
    sender: Arc<Sender>,
}

impl PushWorker {
    /// A worker for this engine, which screens receivers by the engine's push targets as they are
    /// now. Costs nothing until the first notification is due.
    #[must_use]
    pub fn new(engine: TaskEngine) -> Self {
        Self::with_lookup(engine, Arc::new(SystemLookup))
    }

    /// The same with another way to look up names.
    #[must_use]
    pub fn with_lookup(engine: TaskEngine, lookup: Arc<dyn Lookup>) -> Self {
        let sender = Arc::new(Sender::new(engine.push_targets(), lookup));
        Self { engine, sender }
    }

    /// Sends until the engine stops. How much is sent at once is the engine's to say.
    pub async fn run(self) {
        let mut sends = JoinSet::new();
        let mut next = Box::pin(self.engine.push_next());
        loop {
            tokio::select! {
                due = &mut next => {
                    let Some(delivery) = due else { break };
                    sends.spawn(send(self.engine.clone(), Arc::clone(&self.sender), delivery));
                    next.set(self.engine.push_next());
                }
                Some(done) = sends.join_next(), if !sends.is_empty() => {
                    if let Err(fault) = done {
                        tracing::error!(%fault, "a notification could not be sent; trying again");
                        tokio::time::sleep(AFTER_FAULT).await;
                    }
                }
            }
        }
        let all = async { while sends.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_SENDS, all).await.is_err() {
            tracing::debug!("notifications were cut off; the next engine sends them again");
        }
    }
}

async fn send(engine: TaskEngine, sender: Arc<Sender>, delivery: PushDelivery) {
    match sender.send(&delivery).await {
        Ok(()) => engine.push_sent(delivery).await,
        Err(failure) => engine.push_failed(delivery, failure).await,
    }
}
