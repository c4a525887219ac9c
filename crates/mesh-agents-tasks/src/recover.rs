//! Taking up what an earlier engine left, and what a run left that was cut off under this one.
//!
//! What is to become of a task is decided purely, in [`plan`]; here it is done. Nothing is called
//! failed, and nothing is started again, while a process of the earlier run may live: its guard is
//! waited for and what it left is killed first.

pub(crate) mod plan;

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::ids::{ArtifactId, RunId};
use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::run::{ArtifactSource, LeftFile, ProcessRef};
use mesh_agents_core::task::{ArtifactInfo, Task};
use mesh_agents_core::transition::Standing;

use crate::drive::{LAST_TRIES, RETRY, Slot, response_info};
use crate::engine::Inner;
use crate::park;
use crate::store::{self, StoreError};
use plan::{AtStart, Cut, CutBy, at_start};

/// A guard ends its run within two seconds of its engine's death; this is more than that. One that
/// takes longer is stuck, and is killed with its run.
const GUARD_PATIENCE: Duration = Duration::from_secs(5);
/// How often a guard that still lives is looked at.
const GUARD_POLL: Duration = Duration::from_millis(50);

/// Reads what is open, queues what waits, watches over what asks, and sees to it that what ran is
/// brought to its end or goes on.
pub(crate) async fn take_up(inner: &Arc<Inner>) -> Result<(), StoreError> {
    let open = inner.store.read(store::open_tasks).await?;
    for row in open {
        let (standing, task) = (row.standing(), row.task);
        match at_start(standing) {
            AtStart::Queue => inner.slots.restore(&task),
            AtStart::Park => park::watch(inner, &task),
            AtStart::Clear => {
                // Until its last process is gone the run has its slot: a workspace that two tasks
                // share must not see both at once.
                inner.slots.hold(&task);
                let slot = Slot::of(inner, task.agent_id.clone(), task.id.clone());
                inner.spawn(clear(slot, task));
            }
            AtStart::Leave => {}
        }
    }
    Ok(())
}

/// Waits until nothing of a killed engine's run is left, then stores what becomes of its task.
async fn clear(slot: Slot, task: Task) {
    let inner = slot.inner();
    let (id, number) = (task.id.clone(), task.attempt);
    let found = inner.store.read(move |db| store::attempt(db, &id, number));
    let attempt = found.await.unwrap_or_else(|error| {
        tracing::error!(task = %task.id, %error, "the attempt of an interrupted task cannot be read");
        None
    });
    let (run, guard) = attempt.map_or((None, None), |one| (Some(one.run), one.guard));
    let gone = async {
        while guard.is_some_and(|guard| inner.runner.alive(&guard)) {
            tokio::time::sleep(GUARD_POLL).await;
        }
    };
    // A guard that outlives its time is killed below with the rest.
    let _in_time = tokio::time::timeout(GUARD_PATIENCE, gone).await;
    let undead = match run {
        Some(run) => reap(inner, &task, run, guard).await,
        None => 0,
    };
    keep_response(inner, &task).await;
    keep_files(inner, &task).await;
    let why = if task.agent_id.is_local() {
        "the engine that ran this task ended without stopping it (it was killed, or the machine went down), \
         and its run ended with it"
    } else {
        "the engine of this node was started anew, and the work goes on at the agent's node"
    };
    let cut = Cut {
        by: CutBy::Kill,
        why: why.to_owned(),
        at: None,
        session_lost: false,
        agent_known: inner.agents().knows(&task.agent_id),
        undead,
    };
    run_gone(inner, &task, cut).await;
}

/// Kills what a run left, which is mostly nothing. Says how much is still there.
pub(crate) async fn reap(
    inner: &Arc<Inner>,
    task: &Task,
    run: RunId,
    guard: Option<ProcessRef>,
) -> u32 {
    if !task.agent_id.is_local() {
        // Nothing of it ran here; a look at every process of the machine for each such task would take long.
        return 0;
    }
    let runner = Arc::clone(&inner.runner);
    let reaped = tokio::task::spawn_blocking(move || runner.reap(&run, guard.as_ref()));
    reaped.await.unwrap_or_else(|error| {
        // Only when the runtime stops, or the runner has a bug; the task is dealt with either way.
        tracing::error!(%error, "what an interrupted run left was not looked for");
        0
    })
}

/// Keeps the text a killed engine had stored of a stream as the artifact it would have become.
async fn keep_response(inner: &Arc<Inner>, task: &Task) {
    let (id, number) = (task.id.clone(), task.attempt);
    let limit = usize::try_from(ARTIFACT_BYTES).unwrap_or(usize::MAX);
    let kept = async {
        let stored = {
            let id = id.clone();
            let both = move |db: &_| {
                let there = store::artifact(db, &id, &ArtifactId::response())?;
                Ok((there, store::response(db, &id, limit)?))
            };
            inner.store.read(both).await?
        };
        let (None, text) = stored else {
            return Ok(());
        };
        if text.is_empty() {
            return Ok(());
        }
        let mut info = response_info(&text);
        // Held until its row is stored: nobody removes it meanwhile.
        let blob = match inner.blobs.put(ArtifactSource::Text(text)).await {
            Ok(blob) => blob,
            Err(error) => {
                tracing::warn!(task = %task.id, %error, "the text of an interrupted run was not kept");
                return Ok(());
            }
        };
        info.sha256.clone_from(&blob.sha256);
        let now = inner.now();
        let write = move |db: &_| store::store_artifact(db, now, &id, number, &info);
        inner.wakes.tell(&inner.store.write(write).await?);
        Ok::<(), StoreError>(())
    };
    if let Err(error) = kept.await {
        tracing::warn!(task = %task.id, %error, "the text of an interrupted run was not kept");
    }
}

/// Keeps what a killed run had written so far, as its own end would have: unfinished.
pub(crate) async fn keep_files(inner: &Arc<Inner>, task: &Task) {
    // Of an agent whose definition cannot be read nobody knows what is a result.
    let Some(agent) = inner.agents().ready.get(&task.agent_id).cloned() else {
        return;
    };
    let dirs = inner.layout.run(&task.agent_id, &task.id);
    let runner = Arc::clone(&inner.runner);
    // A look that breaks off found nothing: what becomes of the task does not wait for it.
    let left = tokio::task::spawn_blocking(move || runner.left(&agent, &dirs)).await;
    for file in left.unwrap_or_default() {
        let name = file.id.clone();
        if let Err(why) = keep_file(inner, task, file).await {
            tracing::warn!(task = %task.id, artifact = %name, %why, "a result of an interrupted run was not kept");
        }
    }
}

async fn keep_file(inner: &Arc<Inner>, task: &Task, file: LeftFile) -> Result<(), String> {
    let source = ArtifactSource::File(file.path);
    // Held until its row is stored: nobody removes it meanwhile.
    let blob = inner.blobs.put(source).await.map_err(|e| e.to_string())?;
    let info = ArtifactInfo {
        id: file.id,
        media_type: file.media_type,
        bytes: blob.bytes,
        sha256: blob.sha256.clone(),
        partial: true,
        remote: None,
    };
    let (id, number, now) = (task.id.clone(), task.attempt, inner.now());
    let write = move |db: &_| {
        // Cut off once more before anything changed.
        if store::artifact(db, &id, &info.id)?.as_ref() == Some(&info) {
            return Ok(None);
        }
        store::store_artifact(db, now, &id, number, &info).map(Some)
    };
    let stored = inner.store.write(write).await;
    if let Some(task) = stored.map_err(|e| e.to_string())? {
        inner.wakes.tell(&task);
    }
    Ok(())
}

/// Stores what becomes of a task whose run is gone, and does what follows. Tried until it is
/// stored: a task never stays at work with no run. An engine that stops gives up in the end; the
/// next one finds the task as it is.
pub(crate) async fn run_gone(inner: &Arc<Inner>, task: &Task, cut: Cut) {
    let mut last_tries = LAST_TRIES;
    loop {
        let (now, minted) = (inner.now(), inner.mint_message());
        let (id, number, cut) = (task.id.clone(), task.attempt, cut.clone());
        let stored = inner
            .store
            .write(move |db| store::run_gone(db, now, &id, number, &cut, &minted));
        match stored.await {
            Ok(change) => {
                let (again, task) = (change.again, inner.follow(change));
                let standing = Standing {
                    state: task.state,
                    again,
                    ..Standing::NEW
                };
                if standing.parked() && task.agent_id.is_local() {
                    park::watch(inner, &task);
                }
                return;
            }
            Err(error) if inner.too_late(&error) => {
                tracing::warn!(task = %task.id, "the end of a run came too late and was dropped");
                return;
            }
            Err(error) => {
                tracing::error!(task = %task.id, %error, "what becomes of an interrupted task was not stored; trying again");
                if inner.stopping() {
                    last_tries -= 1;
                    if last_tries == 0 {
                        return;
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

impl Inner {
    /// Whether a write came from an attempt that is over, or after the end; it is counted then.
    pub(crate) fn too_late(&self, error: &StoreError) -> bool {
        match error {
            StoreError::Stale | StoreError::Illegal(_) => {
                self.late.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                true
            }
            StoreError::NoTask | StoreError::Closed => true,
            _ => false,
        }
    }
}
