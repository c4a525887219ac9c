//! Push: who wants to be told what happens to a task, and what each is to be told next.
//!
//! The engine keeps configurations and hands out what is due, one event at a time for each
//! configuration, in the order of the log; a worker sends it and says how that went
//! ([`TaskEngine::push_next`]). What is told: every change of state and every stored artifact.
//! Streamed text is not: a receiver would be called ten times a second, and the text comes whole as
//! the artifact `response` at the end.

mod check;
mod desk;
mod outcome;

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::TaskId;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::push::{PushConfig, PushTargets};
use mesh_agents_core::refusal::{Code, Refusal};
use rusqlite::Connection;

use crate::engine::{Inner, TaskEngine, refusal, storage};
use crate::store::push::{self as table, NewPush};
use crate::store::{self, StoreError};
pub(crate) use check::checked;
pub(crate) use desk::Desk;
pub use desk::PushDelivery;
pub use outcome::{PushFailure, PushFailureKind};

/// Most configurations of one task: each is sent every change, and a caller has few places to listen.
pub const PUSH_CONFIGS_PER_TASK: u32 = 32;

/// One page of a task's configurations, by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushPage {
    /// The configurations.
    pub configs: Vec<PushConfig>,
    /// Where the next page starts; `None` on the last.
    pub next_token: Option<String>,
}

impl TaskEngine {
    /// Adds a configuration to a task, or replaces the one of that id; an empty id is minted.
    ///
    /// Any task takes one, an ended one too: the first thing told is how the task stands, so that a
    /// caller that was slower than its task still hears of its end. A configuration stays until it
    /// is deleted or the task is; after the end of the task nothing more is sent.
    ///
    /// # Errors
    /// `task_not_found`, also for another's task; `invalid_argument` for what cannot be sent to or
    /// for one too many; `storage`.
    pub async fn push_put(
        &self,
        caller: &Caller,
        id: &TaskId,
        config: PushConfig,
    ) -> Result<PushConfig, Refusal> {
        let new = checked(&self.inner, config)?;
        let stored = new.config.clone();
        let (task_id, principal) = (id.clone(), caller.principal.clone());
        let put = self.inner.store.write(move |db| {
            let row = store::task(db, &task_id, &principal)?;
            if let Some(full) = full(db, &task_id, &new)? {
                return Ok(Err(full));
            }
            table::put(db, &task_id, &new)?;
            Ok(Ok(row.task.state.is_terminal()))
        });
        let over = put.await.map_err(|error| refusal(&error, id))??;
        // What happens from the commit to here is seen by the look that the ring causes.
        if !over {
            self.inner.wakes.bell.watch(id);
        }
        self.inner.wakes.bell.ring();
        Ok(stored)
    }

    /// One configuration of a task.
    ///
    /// # Errors
    /// `task_not_found`, also for another's task; `push_config_not_found`; `storage`.
    pub async fn push_get(
        &self,
        caller: &Caller,
        id: &TaskId,
        config: &str,
    ) -> Result<PushConfig, Refusal> {
        let (task_id, principal) = (id.clone(), caller.principal.clone());
        let wanted = config.to_owned();
        let found = self.inner.store.read(move |db| {
            store::task(db, &task_id, &principal)?;
            table::config(db, &task_id, &wanted)
        });
        let found = found.await.map_err(|error| refusal(&error, id))?;
        found.ok_or_else(|| {
            let config: String = config.chars().take(200).collect();
            Refusal::new(
                Code::PushConfigNotFound,
                format!("task {id} has no push configuration {config:?}"),
            )
            .hint("List the configurations of the task to see the ones there are.")
        })
    }

    /// A page of a task's configurations, by id: at most `page_size` of them, or all.
    ///
    /// # Errors
    /// `task_not_found`, also for another's task; `invalid_argument` for a page size of 0; `storage`.
    pub async fn push_list(
        &self,
        caller: &Caller,
        id: &TaskId,
        page_size: Option<u32>,
        page_token: Option<&str>,
    ) -> Result<PushPage, Refusal> {
        if page_size == Some(0) {
            return Err(
                Refusal::new(Code::InvalidArgument, "page_size is 0").hint("Ask for at least 1.")
            );
        }
        let limit = page_size.map_or(PUSH_CONFIGS_PER_TASK, |size| {
            size.min(PUSH_CONFIGS_PER_TASK)
        });
        // The token is the id the page before ended with: any text is a place in the order of ids.
        let after = page_token.unwrap_or_default().to_owned();
        let (task_id, principal) = (id.clone(), caller.principal.clone());
        let configs = self.inner.store.read(move |db| {
            store::task(db, &task_id, &principal)?;
            table::configs(db, &task_id, &after, limit + 1)
        });
        let mut configs = configs.await.map_err(|error| refusal(&error, id))?;
        let more = configs.len() > limit as usize;
        configs.truncate(limit as usize);
        let last = configs.last().filter(|_| more);
        Ok(PushPage {
            next_token: last.map(|config| config.id.clone()),
            configs,
        })
    }

    /// Removes a configuration; one that is not there is removed already. A notification on its way
    /// may still arrive.
    ///
    /// # Errors
    /// `task_not_found`, also for another's task; `storage`.
    pub async fn push_delete(
        &self,
        caller: &Caller,
        id: &TaskId,
        config: &str,
    ) -> Result<(), Refusal> {
        let (task_id, principal) = (id.clone(), caller.principal.clone());
        let config = config.to_owned();
        let deleted = self.inner.store.write(move |db| {
            store::task(db, &task_id, &principal)?;
            table::delete(db, &task_id, &config)
        });
        deleted.await.map_err(|error| refusal(&error, id))
    }

    /// Sets where notifications may go besides public addresses; nowhere until this is called.
    pub fn set_push_targets(&self, targets: PushTargets) {
        self.inner.push.set_targets(targets);
    }

    /// Where notifications may go besides public addresses.
    #[must_use]
    pub fn push_targets(&self) -> Arc<PushTargets> {
        self.inner.push.targets()
    }

    /// Whether something is still to be told to somebody who could be reached, or was not yet tried,
    /// within the last `patience`: a reason for an engine to stay a little longer.
    ///
    /// # Errors
    /// `storage`.
    pub async fn push_pending(&self, patience: Duration) -> Result<bool, Refusal> {
        let patience = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        let since = UnixMillis(self.inner.now().0.saturating_sub(patience));
        let pending = self
            .inner
            .store
            .read(move |db| table::owed_fresh(db, since));
        pending.await.map_err(|error| storage(&error))
    }
}

/// Why a task takes no further configuration, if it does not.
pub(crate) fn full(
    db: &Connection,
    id: &TaskId,
    new: &NewPush,
) -> Result<Option<Refusal>, StoreError> {
    if table::has_room(db, id, &new.config.id, PUSH_CONFIGS_PER_TASK)? {
        return Ok(None);
    }
    let message =
        format!("task {id} has {PUSH_CONFIGS_PER_TASK} push configurations, and that is the most");
    Ok(Some(
        Refusal::new(Code::InvalidArgument, message).hint("Delete one, or replace one by its id."),
    ))
}

/// Loads which tasks somebody wants to hear of.
pub(crate) async fn take_up(inner: &Arc<Inner>) -> Result<(), StoreError> {
    for task in inner.store.read(table::watched).await? {
        inner.wakes.bell.watch(&task);
    }
    Ok(())
}
