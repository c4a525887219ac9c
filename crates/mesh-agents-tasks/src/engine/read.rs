//! What is asked of the engine about its tasks: one, many, what happened, what came out. Nothing here changes any.

use std::time::Duration;

use mesh_agents_core::ids::{ArtifactId, TaskId};
use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::{ArtifactInfo, Task, TaskState};

use super::{TaskEngine, refusal, stopped, storage};
use crate::api::{ListTasks, StoredEvent, TaskPage, TaskView};
use crate::drive;
use crate::fetch;
use crate::store::{self, StoreError};

impl TaskEngine {
    /// A task the caller may see.
    ///
    /// # Errors
    /// `task_not_found`, also for another's task; `storage`.
    pub async fn task(&self, caller: &Caller, id: &TaskId) -> Result<Task, Refusal> {
        let (id, principal) = (id.clone(), caller.principal.clone());
        let row = self.inner.store.read({
            let id = id.clone();
            move |db| store::task(db, &id, &principal)
        });
        row.await
            .map(|row| row.task)
            .map_err(|error| refusal(&error, &id))
    }

    /// Waits until the task is interrupted or terminal, or `limit` is over, and returns it as it stands.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn wait(
        &self,
        caller: &Caller,
        id: &TaskId,
        limit: Duration,
    ) -> Result<Task, Refusal> {
        let task = self.task(caller, id).await?;
        let settled = |state: TaskState| state.is_terminal() || state.is_interrupted();
        if settled(task.state) || limit.is_zero() {
            return Ok(task);
        }
        let mut wakes = self.inner.wakes.subscribe(id);
        let task = self.task(caller, id).await?;
        if settled(task.state) {
            return Ok(task);
        }
        let mut stop = self.inner.stop.subscribe();
        let settle = async {
            loop {
                let seen = tokio::select! {
                    seen = wakes.changed() => seen,
                    // An engine that stops answers its waiters with what is so far.
                    () = stopped(&mut stop) => return Ok(()),
                };
                // What is told may be older than the answer this caller has just given.
                if settled(seen.state) && settled(self.task(caller, id).await?.state) {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(limit, settle).await {
            Ok(Err(refusal)) => Err(refusal),
            // Time running out is a normal answer: the task as it stands.
            Ok(Ok(())) | Err(_) => self.task(caller, id).await,
        }
    }

    /// A task with its history and artifacts.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn view(&self, caller: &Caller, id: &TaskId) -> Result<TaskView, Refusal> {
        let (task_id, principal) = (id.clone(), caller.principal.clone());
        let view = self.inner.store.read(move |db| {
            // One moment for all of it: a reader of the log goes on exactly where this ends.
            let db = db.unchecked_transaction()?;
            let task = store::task(&db, &task_id, &principal)?.task;
            let artifacts = store::artifacts(&db, &task_id)?;
            // A run that was cut off left its text as an artifact until the next one goes on with it.
            let streamed = artifacts.iter().all(|one| one.id != ArtifactId::response());
            let streams = streamed && !task.state.is_terminal();
            let limit = usize::try_from(ARTIFACT_BYTES).unwrap_or(usize::MAX);
            Ok(TaskView {
                history: store::history(&db, &task_id)?,
                artifacts,
                response: streams
                    .then(|| store::response(&db, &task_id, limit))
                    .transpose()?,
                last_activity: store::last_activity(&db, &task_id)?,
                task,
            })
        });
        view.await.map_err(|error| refusal(&error, id))
    }

    /// A page of the caller's tasks, newest change first.
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that is not ours; `storage`.
    pub async fn list(&self, caller: &Caller, query: ListTasks) -> Result<TaskPage, Refusal> {
        let after = query.cursor.as_deref().map(cursor_read).transpose()?;
        let principal = caller.principal.clone();
        let page = self.inner.store.read(move |db| {
            // One moment for the page and for the count of all pages.
            let db = db.unchecked_transaction()?;
            let (rows, more) = store::list(&db, &principal, &query, after.as_ref())?;
            let last = rows.last().filter(|_| more);
            let next_cursor = last.map(|row| format!("{}.{}", row.task.updated_at, row.task.id));
            let tasks = rows.into_iter().map(|row| {
                let artifacts = store::artifacts(&db, &row.task.id)?;
                Ok((row.task, artifacts))
            });
            Ok(TaskPage {
                tasks: tasks.collect::<Result<_, StoreError>>()?,
                next_cursor,
                total: query
                    .count
                    .then(|| store::total(&db, &principal, &query))
                    .transpose()?,
            })
        });
        page.await.map_err(|error| storage(&error))
    }

    /// An artifact's entry and content. `response` can be read while the task runs. A content that is still
    /// with another node is fetched; a tool has time for most (a call waits 20 s at most).
    ///
    /// # Errors
    /// `task_not_found`, `artifact_not_found` with the ids there are, `artifact_unavailable` when it is with
    /// another node and cannot be had now, `storage`.
    pub async fn artifact(
        &self,
        caller: &Caller,
        id: &TaskId,
        artifact: &ArtifactId,
    ) -> Result<(ArtifactInfo, Vec<u8>), Refusal> {
        self.artifact_within(caller, id, artifact, fetch::PATIENCE)
            .await
    }

    /// [`Self::artifact`] for who can wait longer.
    ///
    /// # Errors
    /// As there.
    pub async fn artifact_within(
        &self,
        caller: &Caller,
        id: &TaskId,
        artifact: &ArtifactId,
        patience: Duration,
    ) -> Result<(ArtifactInfo, Vec<u8>), Refusal> {
        let (task_id, artifact_id) = (id.clone(), artifact.clone());
        let principal = caller.principal.clone();
        let found = self.inner.store.read(move |db| {
            let task = store::task(db, &task_id, &principal)?.task;
            let found = store::artifact(db, &task_id, &artifact_id)?;
            let streaming = found.is_none()
                && !task.state.is_terminal()
                && artifact_id == ArtifactId::response();
            let limit = usize::try_from(ARTIFACT_BYTES).unwrap_or(usize::MAX);
            let text = streaming
                .then(|| store::response(db, &task_id, limit))
                .transpose()?;
            Ok((
                found,
                text.filter(|text| !text.is_empty()),
                store::artifacts(db, &task_id)?,
                task.state,
            ))
        });
        let (found, text, all, state) = found.await.map_err(|error| refusal(&error, id))?;
        match (found, text) {
            (Some(info), _) => {
                let content = self.content_within(id, &info, patience).await?;
                // It is here now, wherever it was.
                Ok((
                    ArtifactInfo {
                        remote: None,
                        ..info
                    },
                    content,
                ))
            }
            (None, Some(text)) => Ok((drive::response_info(&text), text.into_bytes())),
            (None, None) => Err(no_artifact(id, artifact, &all, state)),
        }
    }

    /// An artifact's entry, of one that is stored.
    pub(crate) async fn entry(
        &self,
        caller: &Caller,
        id: &TaskId,
        artifact: &ArtifactId,
    ) -> Result<ArtifactInfo, Refusal> {
        let (task_id, artifact_id) = (id.clone(), artifact.clone());
        let principal = caller.principal.clone();
        let found = self.inner.store.read(move |db| {
            let task = store::task(db, &task_id, &principal)?.task;
            let found = store::artifact(db, &task_id, &artifact_id)?;
            Ok((found, store::artifacts(db, &task_id)?, task.state))
        });
        let (found, all, state) = found.await.map_err(|error| refusal(&error, id))?;
        found.ok_or_else(|| no_artifact(id, artifact, &all, state))
    }

    /// Events of a task's log after `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn events(
        &self,
        caller: &Caller,
        id: &TaskId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Refusal> {
        let (task_id, principal) = (id.clone(), caller.principal.clone());
        let events = self.inner.store.read(move |db| {
            store::task(db, &task_id, &principal)?;
            store::events(db, &task_id, after, limit)
        });
        events.await.map_err(|error| refusal(&error, id))
    }
}

fn cursor_read(cursor: &str) -> Result<(i64, TaskId), Refusal> {
    let parts = cursor
        .split_once('.')
        .and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    parts.ok_or_else(|| {
        Refusal::new(Code::InvalidArgument, format!("cursor {cursor:?} is not one list_tasks returned"))
            .hint("Pass next_cursor of the page before unchanged, or leave cursor out for the first page.")
    })
}

fn no_artifact(
    id: &TaskId,
    artifact: &ArtifactId,
    all: &[ArtifactInfo],
    state: TaskState,
) -> Refusal {
    let message = format!("task {id} has no artifact \"{artifact}\"");
    let hint = if !all.is_empty() {
        let ids: Vec<&str> = all.iter().map(|info| info.id.as_str()).take(20).collect();
        format!("It has: {}.", ids.join(", "))
    } else if state.is_terminal() {
        format!("It ended {state} without artifacts; get_task shows its status message.")
    } else {
        format!("It is {state}; artifacts are there when it ends: call get_task with wait_seconds.")
    };
    Refusal::new(Code::ArtifactNotFound, message).hint(hint)
}
