//! Waking those who wait for a task. The log is the truth; this only says "look again".

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_agents_core::ids::TaskId;
use mesh_agents_core::task::{Task, TaskState};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

type Senders = Mutex<HashMap<TaskId, watch::Sender<Seen>>>;

/// What a waiter is told: enough to know whether to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Newest event.
    pub(crate) seq: u64,
    /// State.
    pub(crate) state: TaskState,
    /// Whether whoever works on it is out of reach.
    pub(crate) unreachable: bool,
}

/// Waiters by task; only tasks somebody waits for are in it.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    senders: Arc<Senders>,
    /// For those who read the logs of many tasks.
    pub(crate) bell: Bell,
}

impl Wakes {
    /// Starts to listen. Read the task after this, so that nothing falls between.
    pub(crate) fn subscribe(&self, task: &TaskId) -> Subscription {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = senders.entry(task.clone()).or_insert_with(|| {
            watch::Sender::new(Seen {
                seq: 0,
                state: TaskState::Submitted,
                unreachable: false,
            })
        });
        Subscription {
            receiver: sender.subscribe(),
            task: task.clone(),
            senders: Arc::clone(&self.senders),
        }
    }

    /// Tells the waiters of a task how it stands now.
    pub(crate) fn tell(&self, task: &Task) {
        self.bell.tell(task);
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = senders.get(&task.id) {
            // Commits are told by several tasks and may arrive out of order; never go back.
            sender.send_if_modified(|seen| {
                let newer = task.last_seq > seen.seq;
                if newer {
                    *seen = Seen {
                        seq: task.last_seq,
                        state: task.state,
                        unreachable: task.unreachable_since.is_some(),
                    };
                }
                newer
            });
        }
    }
}

/// Wakes the one who pushes to others, when something happens to a task that somebody outside
/// wants to hear of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bell {
    shared: Arc<Bells>,
}

#[derive(Debug, Default)]
struct Bells {
    watched: Mutex<HashSet<TaskId>>,
    rung: Notify,
}

impl Bell {
    /// Rings from now on when something happens to this task, until it ends.
    pub(crate) fn watch(&self, task: &TaskId) {
        self.watched().insert(task.clone());
    }

    /// Rings: look now.
    pub(crate) fn ring(&self) {
        self.shared.rung.notify_waiters();
    }

    /// Waits for the next ring. Enable it before looking, so that nothing falls between.
    pub(crate) fn rung(&self) -> Notified<'_> {
        self.shared.rung.notified()
    }

    fn tell(&self, task: &Task) {
        let mut watched = self.watched();
        let heard = if task.state.is_terminal() {
            watched.remove(&task.id)
        } else {
            watched.contains(&task.id)
        };
        drop(watched);
        if heard {
            self.ring();
        }
    }

    fn watched(&self) -> MutexGuard<'_, HashSet<TaskId>> {
        self.shared
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One waiter; leaves the map as it was when dropped.
#[derive(Debug)]
pub(crate) struct Subscription {
    receiver: watch::Receiver<Seen>,
    task: TaskId,
    senders: Arc<Senders>,
}

impl Subscription {
    /// Waits until something new is told.
    pub(crate) async fn changed(&mut self) -> Seen {
        match self.receiver.changed().await {
            Ok(()) => *self.receiver.borrow_and_update(),
            // The sender lives in the map while this subscription does.
            Err(_gone) => std::future::pending().await,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if senders
            .get(&self.task)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            senders.remove(&self.task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulid::Ulid;

    #[test]
    fn a_task_nobody_waits_for_takes_no_room() {
        let wakes = Wakes::default();
        let id = TaskId::from_ulid(Ulid::nil());
        let (a, b) = (wakes.subscribe(&id), wakes.subscribe(&id));
        drop(a);
        assert_eq!(wakes.senders.lock().unwrap().len(), 1);
        drop(b);
        assert!(wakes.senders.lock().unwrap().is_empty());
    }
}
