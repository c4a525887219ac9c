//! A task that waits for an answer while its run is gone: nothing of it runs and it has no slot, but
//! its clocks go on (DESIGN §4, "Recovery").
//!
//! Its answer, or the want of one, puts it back into the queue; its next attempt goes on in its
//! session with what was answered.

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{AgentId, TaskId};
use mesh_agents_core::run::Answer;
use mesh_agents_core::task::Task;
use mesh_agents_core::transition::{Happening, StopCause};

use crate::drive::RETRY;
use crate::engine::{Inner, stopped};
use crate::store::{self, OpenQuestion, StoreError};

/// Watches over a parked task until it is none any more.
pub(crate) fn watch(inner: &Arc<Inner>, task: &Task) {
    inner.slots.park(task);
    let parked = Parked {
        inner: Arc::clone(inner),
        agent: task.agent_id.clone(),
        task: task.id.clone(),
        attempt: task.attempt,
    };
    inner.spawn(parked.keep());
    // Its agent may have been removed before it was seen to wait here.
    inner.pump(&task.agent_id);
}

struct Parked {
    inner: Arc<Inner>,
    agent: AgentId,
    task: TaskId,
    attempt: u32,
}

/// What happens next to a parked task if nobody does anything, and in how long.
enum Due {
    Question(Box<OpenQuestion>),
    Deadline,
}

impl Parked {
    async fn keep(self) {
        let mut wakes = self.inner.wakes.subscribe(&self.task);
        let mut stop = self.inner.stop_signal();
        loop {
            let (due, left) = match self.due().await {
                Ok(Some(due)) => due,
                Ok(None) => return,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(task = %self.task, %error, "a task that asks cannot be read; trying again");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            tokio::select! {
                _ = wakes.changed() => {}
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(left) => {
                    if let Err(error) = self.pass(due).await {
                        tracing::warn!(task = %self.task, %error, "the end of a question was not stored; trying again");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        }
    }

    /// What is due next; `None` when the task does not wait here any more.
    async fn due(&self) -> Result<Option<(Due, Duration)>, StoreError> {
        let (id, number) = (self.task.clone(), self.attempt);
        let read = self.inner.store.read(move |db| {
            let row = store::task(db, &id, &mesh_agents_core::principal::Principal::Local)?;
            let parked = row.standing().parked() && row.task.attempt == number;
            let open = store::open_questions(db, &id)?;
            Ok((parked, open, store::attempt(db, &id, number)?))
        });
        let (parked, open, attempt) = match read.await {
            Err(StoreError::NoTask) => return Ok(None),
            other => other?,
        };
        let first = open.into_iter().min_by_key(|open| open.expires);
        let Some(question) = first.filter(|_| parked) else {
            return Ok(None);
        };
        let now = self.inner.now();
        let deadline = attempt.and_then(|attempt| attempt.deadline);
        Ok(Some(match deadline {
            Some(deadline) if deadline <= question.expires => {
                (Due::Deadline, Duration::from_millis(deadline.since(now)))
            }
            _ => {
                let left = Duration::from_millis(question.expires.since(now));
                (Due::Question(Box::new(question)), left)
            }
        }))
    }

    /// The time of the task, or of its question, is over.
    async fn pass(&self, due: Due) -> Result<(), StoreError> {
        match due {
            Due::Deadline => {
                let stop = Happening::Stop(StopCause::Deadline);
                match self.inner.happen(&self.task, None, stop).await {
                    // It was answered or ended in the same moment.
                    Ok(_) | Err(StoreError::Illegal(_)) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Due::Question(open) => self.decline(*open).await,
        }
    }

    async fn decline(&self, open: OpenQuestion) -> Result<(), StoreError> {
        let question = open.question;
        let chosen = match question.declined() {
            Answer::Option(option) => Some(option),
            Answer::Text(_) | Answer::Declined => None,
        };
        let note = TaskEvent::expired(&question);
        let (now, id, minted) = (
            self.inner.now(),
            self.task.clone(),
            self.inner.mint_message(),
        );
        let stored = self.inner.store.write(move |db| {
            let gone = (&question.id, chosen);
            store::settle(db, now, &id, None, gone, Some(&note), &minted)
        });
        match stored.await {
            Ok(Some(change)) => {
                self.inner.follow(change);
                self.inner.pump(&self.agent);
                Ok(())
            }
            // It was answered or ended in the same moment.
            Ok(None) | Err(StoreError::Illegal(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.inner.slots.unpark(&self.agent, &self.task);
    }
}
