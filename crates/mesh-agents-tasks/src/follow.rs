//! Reading a task's log as it grows.
//!
//! The log is the truth and the wake only says "look again": a reader that is slow reads later, one
//! that goes away leaves nothing behind, and neither holds up the run or another reader. What a
//! reader holds is one batch at most.

use mesh_agents_core::ids::TaskId;
use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::{ArtifactInfo, Task};

use crate::api::{StoredEvent, TaskView};
use crate::engine::{TaskEngine, refusal};
use crate::store;
use crate::wake::Subscription;

/// Most events of one batch: a burst costs few reads, and a batch is still small.
const BATCH_EVENTS: u32 = 256;
/// A batch ends with the event that passes this many bytes of stored bodies, so that what a slow
/// reader holds is bounded whatever the events are.
const BATCH_BYTES: usize = 256 * 1024;

/// A reader of one task's log. Dropping it is all it takes to stop.
#[derive(Debug)]
pub struct Follow {
    engine: TaskEngine,
    task: TaskId,
    wakes: Subscription,
    /// The last event handed out.
    after: u64,
    /// Whether there may be events nobody has looked for yet.
    look: bool,
}

impl TaskEngine {
    /// A task as it stands, and a reader of all that happens to it from there on: nothing is
    /// missing between the two and nothing is in both.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn follow(
        &self,
        caller: &Caller,
        id: &TaskId,
    ) -> Result<(TaskView, Follow), Refusal> {
        // Listening begins first, so that no wake falls between.
        let wakes = self.inner.wakes.subscribe(id);
        let view = self.view(caller, id).await?;
        let after = view.task.last_seq;
        Ok((view, self.reader(id, wakes, after)))
    }

    /// A reader of what happened to a task after event `after` of its log.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn follow_from(
        &self,
        caller: &Caller,
        id: &TaskId,
        after: u64,
    ) -> Result<Follow, Refusal> {
        let wakes = self.inner.wakes.subscribe(id);
        self.task(caller, id).await?;
        Ok(self.reader(id, wakes, after))
    }

    /// A task, the text it had streamed at event `after` of its log, and a reader of what happened since.
    /// `None` when its log has no such event, and for 0: there is nothing to go on behind.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn follow_behind(
        &self,
        caller: &Caller,
        id: &TaskId,
        after: u64,
    ) -> Result<Option<(Task, String, Follow)>, Refusal> {
        let wakes = self.inner.wakes.subscribe(id);
        let task = self.task(caller, id).await?;
        if after == 0 || after > task.last_seq {
            return Ok(None);
        }
        let limit = usize::try_from(ARTIFACT_BYTES).unwrap_or(usize::MAX);
        let of = id.clone();
        let said = self
            .inner
            .store
            .read(move |db| store::said_at(db, &of, after, limit));
        let said = said.await.map_err(|error| refusal(&error, id))?;
        Ok(Some((task, said, self.reader(id, wakes, after))))
    }

    fn reader(&self, id: &TaskId, wakes: Subscription, after: u64) -> Follow {
        Follow {
            engine: self.clone(),
            task: id.clone(),
            wakes,
            after,
            look: true,
        }
    }
}

impl Follow {
    /// The next events in the order of the log, at least one; waits until there are some. `None`
    /// when the task has ended and all of its log was read. May be dropped and called again: no
    /// event is lost by that.
    ///
    /// # Errors
    /// `task_not_found` when the task was deleted meanwhile; `storage`.
    pub async fn next(&mut self) -> Result<Option<Vec<StoredEvent>>, Refusal> {
        loop {
            if !self.look {
                self.wakes.changed().await;
                self.look = true;
            }
            let (task, after) = (self.task.clone(), self.after);
            let read = self
                .engine
                .inner
                .store
                .read(move |db| store::batch(db, &task, after, BATCH_EVENTS, BATCH_BYTES));
            let batch = read.await.map_err(|error| refusal(&error, &self.task))?;
            // No await from here to the return: what was read is either handed out or read again.
            // Behind the end of a task nothing wakes a reader any more.
            self.look = batch.more || batch.ended;
            if let Some(last) = batch.events.last() {
                self.after = last.seq;
                return Ok(Some(batch.events));
            }
            if batch.ended {
                return Ok(None);
            }
        }
    }

    /// The content of an artifact that an event of this log named.
    ///
    /// # Errors
    /// `storage` when it cannot be read, also when it was deleted since.
    pub async fn content(&self, info: &ArtifactInfo) -> Result<Vec<u8>, Refusal> {
        let content = self.engine.inner.blobs.get(&info.sha256).await;
        content.map_err(|error| {
            Refusal::new(
                Code::Storage,
                format!(
                    "artifact \"{}\" of {} cannot be read: {error}",
                    info.id, self.task
                ),
            )
        })
    }
}
