//! What follows when a receiver has been told something, or could not be.

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use rusqlite::Connection;

use super::desk::PushDelivery;
use crate::engine::{Inner, TaskEngine};
use crate::store::StoreError;
use crate::store::push::{self as table, PushPlace};

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

/// Between tries to write or read what the disk refuses.
pub(super) const RETRY: Duration = Duration::from_secs(1);

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

impl TaskEngine {
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
pub(super) async fn record<T: Send + 'static>(
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
