//! What is decided of messages for nodes that are away, from values alone.

use std::time::Duration;

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::TaskId;
use mesh_agents_core::limits::{OFFLINE_PER_NODE, OFFLINE_WAIT};
use mesh_agents_core::run::Away;
use mesh_agents_core::task::TaskState;

/// The clock of the wall may jump, and the machine may sleep; so it is looked at this often.
pub const LOOK: Duration = Duration::from_secs(60);

/// What becomes of a message for another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It is sent at once, and does not wait.
    Now,
    /// It waits for its node until then.
    Waits(UnixMillis),
    /// The node is away, and the message may not wait, or waiting would not help.
    Away,
    /// As many wait for that node as may.
    Full,
}

/// Decides what becomes of a new message at `now`: for a node that is `away`, when `waiting` wait for it
/// already.
#[must_use]
pub fn admit(away: Option<&Away>, may_wait: bool, waiting: u64, now: UnixMillis) -> Admitted {
    if away.is_some_and(|away| !may_wait || away.since.is_none()) {
        return Admitted::Away;
    }
    if !may_wait {
        return Admitted::Now;
    }
    if waiting >= OFFLINE_PER_NODE {
        return Admitted::Full;
    }
    Admitted::Waits(waits_until(now))
}

/// A task whose node is not known to have its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The task.
    pub task: TaskId,
    /// Until when its message waits.
    pub until: UnixMillis,
    /// Where it stands.
    pub state: TaskState,
    /// Its attempts so far.
    pub attempt: u32,
}

/// Whether a message waits in the queue for its node. One that an earlier attempt may have sent does not:
/// its node may work on it, so it is sent again under its id for as long ([`patience`]), and never called unsent.
#[must_use]
pub fn holds(until: Option<UnixMillis>, attempt: u32) -> bool {
    until.is_some() && attempt == 0
}

/// Which of them have waited long enough at `now`, and in how long to look again.
pub fn look(
    waiting: impl IntoIterator<Item = Undelivered>,
    now: UnixMillis,
) -> (Vec<TaskId>, Duration) {
    let (mut due, mut wait) = (Vec::new(), LOOK);
    for message in waiting {
        if message.until > now {
            wait = wait.min(Duration::from_millis(message.until.since(now)));
        } else if has_waited(&message, now) {
            due.push(message.task);
        }
    }
    (due, wait)
}

/// Whether a message is to be given up at `now`.
#[must_use]
pub fn has_waited(message: &Undelivered, now: UnixMillis) -> bool {
    message.until <= now
        && message.state == TaskState::Submitted
        && holds(Some(message.until), message.attempt)
}

/// Until when a message still waits, of a task in this state whose node has named the task it made of it,
/// or not.
#[must_use]
pub fn still(until: Option<UnixMillis>, state: TaskState, named: bool) -> Option<UnixMillis> {
    until.filter(|_| !named && !state.is_terminal())
}

/// How long attempt number `attempt` of a task on another node may try to hand over its message, which was stored
/// at `sent`: one that waits, until then; one that an earlier attempt may have sent, as long as if it waited.
/// `None` for the first attempt of one that does not wait.
#[must_use]
pub fn patience(
    until: Option<UnixMillis>,
    attempt: u32,
    sent: UnixMillis,
    now: UnixMillis,
) -> Option<Duration> {
    let until = until.or_else(|| (attempt > 1).then(|| waits_until(sent)))?;
    Some(Duration::from_millis(until.since(now)))
}

/// Until when a message waits that was stored then.
fn waits_until(sent: UnixMillis) -> UnixMillis {
    let wait = i64::try_from(OFFLINE_WAIT.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(sent.0.saturating_add(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(since: Option<i64>) -> Away {
        Away {
            name: "lab".to_owned(),
            since: since.map(UnixMillis),
            why: "nobody answers".to_owned(),
        }
    }

    #[test]
    fn a_message_waits_only_where_it_may_and_where_waiting_helps() {
        let now = UnixMillis(1_000);
        let (gone, twice) = (away(Some(1)), away(None));
        let until = Admitted::Waits(UnixMillis(1_000 + 72 * 3_600_000));
        for (away, may_wait, waiting, becomes) in [
            (None, false, 0, Admitted::Now),
            (None, false, 100, Admitted::Now),
            (None, true, 99, until),
            (None, true, 100, Admitted::Full),
            (Some(&gone), false, 0, Admitted::Away),
            (Some(&gone), true, 99, until),
            (Some(&gone), true, 100, Admitted::Full),
            // Of two nodes with one key, or of one that is not known, nobody comes back.
            (Some(&twice), true, 0, Admitted::Away),
        ] {
            let said = admit(away, may_wait, waiting, now);
            assert_eq!(said, becomes, "{away:?} {may_wait} {waiting}");
        }
    }

    #[test]
    fn what_may_have_been_sent_has_as_long_as_what_waits() {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        let at = |n: u64| UnixMillis(i64::try_from(hours(n).as_millis()).unwrap());
        let until = Some(at(73));
        for (until, attempt, now, left) in [
            (until, 1, 1, Some(hours(72))),
            (until, 2, 70, Some(hours(3))),
            (until, 2, 80, Some(hours(0))),
            (None, 1, 1, None),
            (None, 2, 3, Some(hours(70))),
            (None, 3, 80, Some(hours(0))),
        ] {
            let said = patience(until, attempt, at(1), at(now));
            assert_eq!(said, left, "{until:?} {attempt} {now}");
        }
    }

    #[test]
    fn what_may_have_arrived_is_never_called_unsent() {
        let message = |n: u128, until, state, attempt| Undelivered {
            task: TaskId::from_ulid(ulid::Ulid(n)),
            until: UnixMillis(until),
            state,
            attempt,
        };
        let all = [
            message(1, 500, TaskState::Submitted, 0),
            message(2, 500, TaskState::Working, 1),
            // Its engine was killed while it was being sent.
            message(3, 500, TaskState::Submitted, 1),
            message(4, 502, TaskState::Submitted, 0),
            message(5, 900, TaskState::Submitted, 0),
        ];
        let (due, wait) = look(all, UnixMillis(501));
        assert_eq!(due, [TaskId::from_ulid(ulid::Ulid(1))]);
        assert_eq!(wait, Duration::from_millis(1));
        assert_eq!(look([], UnixMillis(0)), (Vec::new(), LOOK));
    }
}
