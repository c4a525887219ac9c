//! Handing out what is due, and noting how it went.
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

/// Notifications on their way at once: many receivers, and 16 times the content below in memory.
const AT_ONCE: usize = 16;
/// Of these, for those whose last attempt failed: however many do not answer, others are told at once.
const RETRIES_AT_ONCE: usize = 8;
/// Of these, to one host and port: one that hangs holds no more than that.
const AT_ONCE_PER_RECEIVER: usize = 4;
/// Largest artifact whose content is sent along: receivers take about a megabyte, base64 adds a
/// third. The receiver of a larger one is told to read it.
pub(super) const CONTENT_BYTES: u64 = 256 * 1024;

/// Before the second attempt; doubles with each.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Longest time between attempts: a receiver that is back is told within five minutes.
const LONGEST_DELAY: Duration = Duration::from_secs(300);
/// Longest time a receiver can ask to be left alone.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// Attempts for a notification the receiver says no to: it may be a deployment under way.
const REFUSED_TRIES: u32 = 3;
/// A receiver that cannot be reached is given up after this long …
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// … and this many attempts: time in which no engine ran does not count alone.
const GIVE_UP_TRIES: u32 = 10;

/// Longest time without a look at the table: bounds what a step of the wall clock can delay.
const NAP: Duration = Duration::from_secs(5);
/// Between tries to write or read what the disk refuses.
const RETRY: Duration = Duration::from_secs(1);
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
struct Claim {
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
    failing_since: Option<UnixMillis>,
    place: PushPlace,
    claim: Claim,
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

/// Why a notification did not arrive.
#[derive(Debug, Clone)]
pub struct PushFailure {
    /// What follows from it.
    pub kind: PushFailureKind,
    /// The cause, without secrets.
    pub message: String,
    /// How long the receiver asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushFailureKind {
    /// No answer, or one that says "later". Tried for a day, ever more seldom.
    Unreachable,
    /// The receiver, or this node, says no. After a few tries an artifact is passed over; a change
    /// of state ends the configuration.
    Refused,
    /// The receiver says that it is gone for good, which ends the configuration.
    Gone,
}

/// What follows from a failure.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Again(UnixMillis),
    Skip,
    GiveUp,
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

    /// The receiver has it.
    pub async fn push_sent(&self, delivery: PushDelivery) {
        let place = delivery.place.clone();
        record(&self.inner, move |db| table::passed(db, &place)).await;
        drop(delivery.claim);
    }

    /// The receiver does not have it: decides and stores when it is tried again, if at all.
    pub async fn push_failed(&self, delivery: PushDelivery, failure: PushFailure) {
        let now = self.inner.now();
        let attempts = delivery.attempts.saturating_add(1);
        let since = delivery.failing_since.unwrap_or(now);
        let artifact = matches!(delivery.event.event, TaskEvent::Artifact { .. });
        let place = delivery.place.clone();
        let (task, config) = (&place.task, &place.config);
        let cause = &failure.message;
        match verdict(now, since, attempts, artifact, &failure) {
            Verdict::Again(next) => {
                tracing::debug!(%task, config, attempts, cause, "a notification is sent again");
                record(&self.inner, move |db| {
                    table::failed(db, &place, since, attempts, next)
                })
                .await;
            }
            Verdict::Skip => {
                tracing::warn!(%task, config, cause, "an artifact was passed over in notifications");
                let text = format!(
                    "configuration {config}: the artifact of event {} was not taken: {cause}",
                    place.seq
                );
                end_of(
                    &self.inner,
                    "push_skipped",
                    text,
                    place.clone(),
                    |db, place, _| table::passed(db, place),
                )
                .await;
            }
            Verdict::GiveUp => {
                tracing::warn!(%task, config, cause, "nothing more is sent to a receiver");
                let text = format!("configuration {config}: nothing more is sent: {cause}");
                end_of(
                    &self.inner,
                    "push_given_up",
                    text,
                    place.clone(),
                    table::gave_up,
                )
                .await;
            }
        }
        drop(delivery.claim);
    }
}

/// Stores an end, and a note of it in the task's log.
async fn end_of(
    inner: &Arc<Inner>,
    code: &str,
    text: String,
    place: PushPlace,
    store: impl Fn(&Connection, &PushPlace, &str) -> Result<bool, StoreError> + Copy + Send + 'static,
) {
    let now = inner.now();
    let note = TaskEvent::Note {
        code: code.to_owned(),
        text: text.clone(),
        data: None,
    };
    let noted = record(inner, move |db| {
        if !store(db, &place, &text)? {
            return Ok(None);
        }
        table::note(db, now, &place.task, &note)
    });
    if let Some(Some(task)) = noted.await {
        inner.wakes.tell(&task);
    }
}

/// Writes until it is written: a cursor that stands still sends the same event for ever.
async fn record<T: Send + 'static>(
    inner: &Arc<Inner>,
    op: impl Fn(&Connection) -> Result<T, StoreError> + Clone + Send + 'static,
) -> Option<T> {
    loop {
        match inner.store.write(op.clone()).await {
            Ok(done) => return Some(done),
            Err(StoreError::Closed) => return None,
            Err(error) => {
                tracing::error!(%error, "how a notification went was not stored; trying again");
                tokio::time::sleep(RETRY).await;
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

fn verdict(
    now: UnixMillis,
    since: UnixMillis,
    attempts: u32,
    artifact: bool,
    failure: &PushFailure,
) -> Verdict {
    let too_long = attempts >= GIVE_UP_TRIES && millis(GIVE_UP_AFTER) <= now.0 - since.0;
    match failure.kind {
        PushFailureKind::Gone => Verdict::GiveUp,
        PushFailureKind::Refused if attempts >= REFUSED_TRIES && artifact => Verdict::Skip,
        PushFailureKind::Refused if attempts >= REFUSED_TRIES => Verdict::GiveUp,
        PushFailureKind::Unreachable if too_long => Verdict::GiveUp,
        PushFailureKind::Refused | PushFailureKind::Unreachable => {
            let doubled = FIRST_DELAY.saturating_mul(1 << (attempts - 1).min(20));
            let asked = failure.retry_after.unwrap_or_default();
            let delay = doubled.min(LONGEST_DELAY).max(asked.min(LONGEST_ASKED));
            Verdict::Again(UnixMillis(now.0 + millis(delay)))
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: PushFailureKind) -> PushFailure {
        PushFailure {
            kind,
            message: "x".into(),
            retry_after: None,
        }
    }

    /// Plays attempts that all fail from time 0 on, until the end; the delays in seconds.
    fn play(artifact: bool, failure: &PushFailure) -> (Vec<i64>, Verdict) {
        let (mut now, mut delays) = (UnixMillis(0), Vec::new());
        for attempts in 1.. {
            match verdict(now, UnixMillis(0), attempts, artifact, failure) {
                Verdict::Again(next) => {
                    delays.push((next.0 - now.0) / 1000);
                    now = next;
                }
                end => return (delays, end),
            }
        }
        unreachable!()
    }

    #[test]
    fn one_that_cannot_be_reached_is_tried_for_a_day_ever_more_seldom() {
        let (delays, end) = play(false, &failure(PushFailureKind::Unreachable));
        assert_eq!(end, Verdict::GiveUp);
        assert_eq!(delays[..11], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        let total: i64 = delays.iter().sum();
        assert!((86_400..=86_700).contains(&total), "{total}");
    }

    #[test]
    fn a_refused_artifact_is_passed_over_and_a_refused_state_ends_it() {
        let refused = failure(PushFailureKind::Refused);
        assert_eq!(play(true, &refused), (vec![1, 2], Verdict::Skip));
        assert_eq!(play(false, &refused), (vec![1, 2], Verdict::GiveUp));
        let gone = failure(PushFailureKind::Gone);
        assert_eq!(play(true, &gone), (vec![], Verdict::GiveUp));
    }

    #[test]
    fn a_day_without_an_engine_is_not_a_day_of_failures() {
        let failure = failure(PushFailureKind::Unreachable);
        let now = UnixMillis(millis(GIVE_UP_AFTER) * 3);
        let early = verdict(now, UnixMillis(0), 2, false, &failure);
        assert_eq!(early, Verdict::Again(UnixMillis(now.0 + 2_000)));
    }

    #[test]
    fn a_receiver_that_asks_for_time_gets_it_within_bounds() {
        let ask = |seconds| PushFailure {
            retry_after: Some(Duration::from_secs(seconds)),
            ..failure(PushFailureKind::Unreachable)
        };
        let delay = |seconds| match verdict(UnixMillis(0), UnixMillis(0), 1, false, &ask(seconds)) {
            Verdict::Again(next) => next.0 / 1000,
            end => panic!("{end:?}"),
        };
        assert_eq!((delay(0), delay(30), delay(9_999_999)), (1, 30, 3_600));
    }
}
