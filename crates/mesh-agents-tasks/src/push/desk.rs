//! Handing out what is due.
//!
//! A configuration has one event out at a time, so its receiver hears in order. Whoever holds one
//! holds a claim that frees it when dropped: what a worker did not say it sent is handed out again.
//! Nothing is lost and nothing waits in memory; an engine that starts goes on where the cursor is.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::push::{PushConfig, PushTargets};
use mesh_agents_core::task::Task;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use crate::api::StoredEvent;
use crate::engine::{Inner, TaskEngine};
use crate::store::StoreError;
use crate::store::push::{self as table, Busy, Owed, PushPlace};
use crate::wake::Bell;

use super::outcome::{RETRY, record};

/// Notifications on their way at once: many receivers, and 16 times the content below in memory.
const AT_ONCE: usize = 16;
/// Of these, for those whose last attempt failed: however many do not answer, others are told at once.
const RETRIES_AT_ONCE: usize = 8;
/// Of these, to one host and port: one that hangs holds no more than that.
const AT_ONCE_PER_RECEIVER: usize = 4;
/// Largest artifact whose content is sent along: receivers take about a megabyte, base64 adds a
/// third. The receiver of a larger one is told to read it.
pub(super) const CONTENT_BYTES: u64 = 256 * 1024;

/// Longest time without a look at the table: bounds what a step of the wall clock can delay.
const NAP: Duration = Duration::from_secs(5);
/// How long an engine that stops waits for what is on its way. It is sent again if it takes longer.
const LAST_PUSHES: Duration = Duration::from_secs(3);

/// What is out, and where it may go.
#[derive(Debug)]
pub(crate) struct Desk {
    targets: Mutex<Arc<PushTargets>>,
    out: Mutex<HashMap<String, Out>>,
    bell: Bell,
    closed: CancellationToken,
}

/// A configuration that is being told something.
#[derive(Debug)]
struct Out {
    receiver: String,
    retry: bool,
}

/// Keeps a configuration from being handed out twice.
#[derive(Debug)]
pub(super) struct Claim {
    desk: Arc<Desk>,
    key: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.desk.out().remove(&self.key);
        self.desk.bell.ring();
    }
}

/// One event to tell one receiver. Dropped without a word it is handed out again.
pub struct PushDelivery {
    /// Where to send it and with what.
    pub config: PushConfig,
    /// The task as it stands now; state, message and time of a change are those of the event.
    pub task: Task,
    /// What happened: a [`TaskEvent::State`] or a [`TaskEvent::Artifact`].
    pub event: StoredEvent,
    /// The content of the artifact, unless it is too large to send or gone.
    pub content: Option<Vec<u8>>,
    /// Attempts for it that failed.
    pub attempts: u32,
    pub(super) failing_since: Option<UnixMillis>,
    pub(super) place: PushPlace,
    pub(super) claim: Claim,
}

impl fmt::Debug for PushDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushDelivery")
            .field("place", &self.place)
            .field("config", &self.config)
            .field("event", &self.event)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

enum Pick {
    Due(Box<(Claim, Owed)>),
    /// Nothing now; at this time at the latest.
    Later(Option<UnixMillis>),
}

impl Desk {
    pub(crate) fn new(bell: Bell) -> Self {
        Self {
            targets: Mutex::default(),
            out: Mutex::default(),
            bell,
            closed: CancellationToken::new(),
        }
    }

    pub(super) fn targets(&self) -> Arc<PushTargets> {
        let targets = self.targets.lock();
        Arc::clone(&targets.unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_targets(&self, targets: PushTargets) {
        let mut held = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(targets);
    }

    /// Hands out nothing more, and waits a little for the word on what is out.
    pub(crate) async fn close(&self) {
        self.closed.cancel();
        let all_back = async {
            loop {
                let rung = self.bell.rung();
                tokio::pin!(rung);
                rung.as_mut().enable();
                if self.out().is_empty() {
                    return;
                }
                rung.await;
            }
        };
        if tokio::time::timeout(LAST_PUSHES, all_back).await.is_err() {
            tracing::debug!("notifications were cut off; the next engine sends them again");
        }
    }

    fn out(&self) -> MutexGuard<'_, HashMap<String, Out>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Picks and claims in one step: the claims are locked while the table is read, and a cursor is
    /// on disk before its claim goes, so no event is picked after it was sent.
    fn pick(self: &Arc<Self>, db: &Connection, now: UnixMillis) -> Result<Pick, StoreError> {
        let mut out = self.out();
        if out.len() >= AT_ONCE {
            return Ok(Pick::Later(None));
        }
        let busy = busy(&out)?;
        let Some(owed) = table::owed(db, now, &busy)? else {
            return Ok(Pick::Later(table::next_owed(db, now)?));
        };
        let key = key(&owed.place);
        out.insert(
            key.clone(),
            Out {
                receiver: owed.receiver.clone(),
                retry: owed.attempts > 0,
            },
        );
        drop(out);
        let desk = Arc::clone(self);
        Ok(Pick::Due(Box::new((Claim { desk, key }, owed))))
    }
}

/// As the table spells it.
fn key(place: &PushPlace) -> String {
    format!("{}/{}", place.task, place.config)
}

fn busy(out: &HashMap<String, Out>) -> Result<Busy, StoreError> {
    let mut shares: HashMap<&str, usize> = HashMap::new();
    for one in out.values() {
        *shares.entry(&one.receiver).or_default() += 1;
    }
    let full = shares
        .into_iter()
        .filter(|(_, n)| *n >= AT_ONCE_PER_RECEIVER);
    let receivers: Vec<&str> = full.map(|(receiver, _)| receiver).collect();
    let configs: Vec<&str> = out.keys().map(String::as_str).collect();
    Ok(Busy {
        configs: json(&configs)?,
        receivers: json(&receivers)?,
        no_retries: out.values().filter(|one| one.retry).count() >= RETRIES_AT_ONCE,
    })
}

fn json(list: &[&str]) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|error| StoreError::Unreadable {
        what: "id",
        why: error.to_string(),
    })
}

impl TaskEngine {
    /// Waits until something is to be told to somebody and hands it out; `None` once the engine
    /// stops. What is handed out is bounded: 16 at once, 4 to one host and port, and half of them at
    /// most to receivers that failed before.
    pub async fn push_next(&self) -> Option<PushDelivery> {
        let inner = &self.inner;
        loop {
            let rung = inner.wakes.bell.rung();
            tokio::pin!(rung);
            rung.as_mut().enable();
            if inner.push.closed.is_cancelled() {
                return None;
            }
            let (desk, now) = (Arc::clone(&inner.push), inner.now());
            let nap = match inner.store.read(move |db| desk.pick(db, now)).await {
                Ok(Pick::Due(due)) => match delivery(inner, *due).await {
                    Some(delivery) => return Some(delivery),
                    None => continue,
                },
                Ok(Pick::Later(at)) => at.map(|at| Duration::from_millis(at.since(now)).min(NAP)),
                Err(error) => {
                    tracing::error!(%error, "cannot see who is to be told what");
                    Some(RETRY)
                }
            };
            let asleep = async {
                match nap {
                    Some(nap) => tokio::time::sleep(nap).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rung => {}
                () = asleep => {}
                () = inner.push.closed.cancelled() => return None,
            }
        }
    }
}

async fn delivery(inner: &Arc<Inner>, (claim, owed): (Claim, Owed)) -> Option<PushDelivery> {
    let event = match owed.event {
        Ok(event) => event,
        Err(error) => {
            tracing::error!(task = %owed.place.task, %error, "nothing more is sent to a receiver");
            let (place, why) = (owed.place, error.to_string());
            record(inner, move |db| table::gave_up(db, &place, &why)).await;
            return None;
        }
    };
    let content = match &event.event {
        TaskEvent::Artifact { artifact } if artifact.bytes <= CONTENT_BYTES => {
            // A blob that retention has taken is told as one that is not sent along.
            inner.blobs.get(&artifact.sha256).await.ok()
        }
        _ => None,
    };
    Some(PushDelivery {
        config: owed.config,
        task: owed.task,
        event,
        content,
        attempts: owed.attempts,
        failing_since: owed.failing_since,
        place: owed.place,
        claim,
    })
}
