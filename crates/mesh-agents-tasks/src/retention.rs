//! What is kept and what goes: ended tasks by age, number and size, oldest first (DESIGN §4).
//!
//! A pass removes a few tasks at a time and rests between two writes for as long as the last one
//! took, so that submits and running tasks have the writer for at least half of the time. It can be
//! broken off anywhere, by a kill too: the next goes on.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::limits::{KEY_DAYS, RETENTION_BYTES, RETENTION_DAYS, RETENTION_TASKS};
use mesh_agents_core::refusal::Refusal;
use tokio::time::{Instant, sleep};

use crate::blobs::{INCOMING, PARTIAL, is_digest};
use crate::engine::{Inner, TaskEngine, storage};
use crate::store::{self, Content, Leaving, StoreError};

/// Tasks taken out in one write: few enough that a submit behind it hardly waits.
const BATCH: u64 = 16;
/// Rows removed in one write. Most are small; 125 of the largest pieces of text are half a MiB.
const ROWS: usize = 125;
/// Keys forgotten in one write.
const KEYS: u32 = 250;
/// Files of the blobs' directory looked at while one reading connection is held.
const FILES: usize = 250;
/// The first pass begins when the calls an engine was started for are likely answered.
const FIRST: Duration = Duration::from_secs(2);
/// Between two passes.
const EVERY: Duration = Duration::from_secs(3600);
/// One pass in so many looks for blobs that nobody names: only a kill leaves one.
const SWEEP_EVERY: u32 = 24;
/// A content that has been on its way in for so long was left by an engine that is gone.
const INCOMING_AGE: Duration = Duration::from_secs(3600);
/// What was fetched of a content is kept this long for its rest: longer than a message waits for a node. Without
/// an artifact that wants the rest it goes as what never arrived.
const PARTIAL_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Directories within each other, at most, of what is removed; no program makes more on purpose.
const LEVELS: usize = 200;

const DAY: Duration = Duration::from_secs(86_400);

/// How much is kept. Only tasks that have ended are ever removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// For how long after their last change.
    pub age: Duration,
    /// How many of them.
    pub tasks: u64,
    /// How many bytes of artifacts, those of open tasks included.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: DAY * RETENTION_DAYS,
            tasks: RETENTION_TASKS,
            bytes: RETENTION_BYTES,
        }
    }
}

/// One pass as somebody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prune {
    /// In place of [`Retention::age`].
    pub older_than: Option<Duration>,
    /// In place of [`Retention::tasks`].
    pub keep: Option<u64>,
    /// In place of [`Retention::bytes`].
    pub bytes: Option<u64>,
    /// Whether to say only what would be removed.
    pub dry_run: bool,
}

/// What a pass removed, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Tasks.
    pub tasks: u64,
    /// Contents of artifacts that no task has any more.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Ended tasks that are kept.
    pub kept: u64,
}

/// The engine's side of it.
#[derive(Debug, Default)]
pub(crate) struct Care {
    limits: Mutex<Retention>,
    /// Held by the one pass there is at a time.
    pass: tokio::sync::Mutex<()>,
}

impl Care {
    fn limits(&self) -> Retention {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskEngine {
    /// Removes what `limits` do not cover: soon, and then once an hour while the engine runs.
    pub fn retain(&self, limits: Retention) {
        *self
            .inner
            .care
            .limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = limits;
        self.inner.spawn(keep_up(Arc::clone(&self.inner)));
    }

    /// Removes ended tasks now, with everything that belongs to them: events, artifacts, the
    /// directories of their runs. Their message ids stay known for 90 days.
    ///
    /// # Errors
    /// `storage`. What was removed until then is gone.
    pub async fn prune(&self, prune: Prune) -> Result<Pruned, Refusal> {
        let limits = self.inner.care.limits();
        let limits = Retention {
            age: prune.older_than.unwrap_or(limits.age),
            tasks: prune.keep.unwrap_or(limits.tasks),
            bytes: prune.bytes.unwrap_or(limits.bytes),
        };
        let done = if prune.dry_run {
            forecast(&self.inner, limits).await
        } else {
            pass(&self.inner, limits, true).await
        };
        done.map_err(|error| storage(&error))
    }
}

async fn keep_up(inner: Arc<Inner>) {
    let mut stop = inner.stop_signal();
    let mut wait = FIRST;
    let mut passes = 0_u32;
    loop {
        tokio::select! {
            () = sleep(wait) => {}
            _ = stop.wait_for(|stopping| *stopping) => return,
        }
        wait = EVERY;
        let sweep = passes.is_multiple_of(SWEEP_EVERY);
        passes = passes.wrapping_add(1);
        match pass(&inner, inner.care.limits(), sweep).await {
            Ok(pruned) if pruned.tasks > 0 => {
                tracing::info!(
                    tasks = pruned.tasks,
                    bytes = pruned.bytes,
                    "removed old tasks"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "old tasks were not removed"),
        }
    }
}

fn before(inner: &Inner, age: Duration) -> UnixMillis {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(inner.now().0.saturating_sub(age))
}

async fn forecast(inner: &Arc<Inner>, limits: Retention) -> Result<Pruned, StoreError> {
    let before = before(inner, limits.age);
    let read = inner.store.read(move |db| {
        let all = store::kept(db)?;
        let gone = store::forecast(db, before, limits.tasks, limits.bytes)?;
        Ok((all, gone))
    });
    let (all, gone) = read.await?;
    Ok(Pruned {
        tasks: gone.tasks,
        blobs: gone.blobs,
        bytes: gone.bytes,
        kept: all.ended.saturating_sub(gone.tasks),
    })
}

/// One pass. `sweep`: also looks for blobs that nobody names.
async fn pass(inner: &Arc<Inner>, limits: Retention, sweep: bool) -> Result<Pruned, StoreError> {
    let _one_at_a_time = inner.care.pass.lock().await;
    let mut pass = Pass {
        inner,
        pruned: Pruned::default(),
    };
    let left_over = inner.store.read(store::left_over).await?;
    for some in left_over.chunks(usize::try_from(BATCH).unwrap_or(1)) {
        pass.remove(some.to_vec()).await?;
    }
    // What an earlier pass has taken is in none of these numbers.
    let kept = inner.store.read(store::kept).await?;
    pass.pruned = Pruned::default();
    let aged = before(inner, limits.age);
    while !inner.stopping() && pass.take(aged, BATCH).await? > 0 {}
    let ever = UnixMillis(i64::MAX);
    while !inner.stopping() {
        let ended = kept.ended.saturating_sub(pass.pruned.tasks);
        let too_many = ended.saturating_sub(limits.tasks).min(BATCH);
        if too_many == 0 || pass.take(ever, too_many).await? == 0 {
            break;
        }
    }
    // One by one: the next may be enough, and what is kept is kept.
    while !inner.stopping()
        && kept.bytes.saturating_sub(pass.pruned.bytes) > limits.bytes
        && pass.take(ever, 1).await? > 0
    {}
    pass.forget_keys().await?;
    if sweep {
        pass.sweep().await?;
    }
    pass.pruned.kept = kept.ended.saturating_sub(pass.pruned.tasks);
    Ok(pass.pruned)
}

struct Pass<'a> {
    inner: &'a Arc<Inner>,
    pruned: Pruned,
}

impl Pass<'_> {
    /// Removes the oldest ended tasks from before `before`, at most `limit`; says how many.
    async fn take(&mut self, before: UnixMillis, limit: u64) -> Result<u64, StoreError> {
        let leaving = self.write(move |db| store::take(db, before, limit)).await?;
        let count = leaving.len() as u64;
        self.pruned.tasks += count;
        if count > 0 {
            self.remove(leaving).await?;
        }
        Ok(count)
    }

    /// Removes all that is left of tasks whose rows are gone.
    async fn remove(&mut self, leaving: Vec<Leaving>) -> Result<(), StoreError> {
        let leaving: Arc<[Leaving]> = leaving.into();
        let mut done = 0;
        while done < leaving.len() {
            let rest = Arc::clone(&leaving);
            let cleared = self
                .write(move |db| store::clear(db, &rest[done..], ROWS))
                .await?;
            done += cleared.done;
            self.release(cleared.contents).await?;
        }
        let layout = self.inner.layout.clone();
        let dirs = tokio::task::spawn_blocking(move || {
            let gone = leaving.iter().filter(|one| {
                let dir = layout.run(&one.agent, &one.task).root;
                match remove_dir(&dir) {
                    Ok(()) => true,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                    Err(error) => {
                        tracing::warn!(dir = %dir.display(), %error, "the directory of a removed task stays");
                        false
                    }
                }
            });
            gone.map(|one| one.task.clone()).collect::<Vec<_>>()
        });
        let gone = dirs.await.map_err(|_panicked| StoreError::Closed)?;
        self.write(move |db| store::forget(db, &gone)).await
    }

    /// Removes contents that no artifact is any more.
    async fn release(&mut self, mut contents: Vec<Content>) -> Result<(), StoreError> {
        if contents.is_empty() {
            return Ok(());
        }
        // Two artifacts may be one content, which is removed and counted once.
        contents.sort_by(|a, b| (&a.sha256, b.here).cmp(&(&b.sha256, a.here)));
        contents.dedup_by(|a, b| a.sha256 == b.sha256);
        let blobs = self.inner.blobs.clone();
        let read = self.inner.store.read(move |db| {
            let (mut count, mut bytes) = (0, 0);
            for content in contents {
                if store::is_named(db, &content.sha256)? {
                    continue;
                }
                // One that must stay for now, or that was gone, does not count less.
                blobs.remove_unless(&content.sha256, || store::is_named(db, &content.sha256))?;
                if !content.here {
                    continue;
                }
                count += 1;
                bytes += content.bytes;
            }
            Ok((count, bytes))
        });
        let (count, bytes) = read.await?;
        self.pruned.blobs += count;
        self.pruned.bytes += bytes;
        Ok(())
    }

    async fn forget_keys(&self) -> Result<(), StoreError> {
        let before = before(self.inner, DAY * KEY_DAYS);
        while !self.inner.stopping()
            && self
                .write(move |db| store::forget_keys(db, before, KEYS))
                .await?
                > 0
        {}
        Ok(())
    }

    /// Looks through the blobs for those that nobody names, and for what never arrived, whole or in part.
    async fn sweep(&mut self) -> Result<(), StoreError> {
        let dir = self.inner.blobs.dir().to_owned();
        let files = fs::read_dir(&dir).map_err(|error| StoreError::of_file(&error, &dir))?;
        let mut files = Some(files);
        let stale = before(self.inner, INCOMING_AGE);
        let given_up = before(self.inner, PARTIAL_AGE);
        while let Some(mut some) = files.take() {
            if self.inner.stopping() {
                return Ok(());
            }
            let blobs = self.inner.blobs.clone();
            let read = self.inner.store.read(move |db| {
                let (mut looked, mut count, mut bytes) = (0, 0, 0);
                for file in some.by_ref().take(FILES) {
                    looked += 1;
                    let Ok(file) = file else { continue };
                    let Ok(name) = file.file_name().into_string() else {
                        continue;
                    };
                    if name.starts_with(INCOMING) {
                        if is_older(&file, stale) {
                            // Gone by now is as good.
                            let _gone = fs::remove_file(file.path());
                        }
                    } else if let Some(digest) = name.strip_prefix(PARTIAL) {
                        let wanted = store::is_fetched(db, digest)?;
                        if is_older(&file, if wanted { given_up } else { stale }) {
                            let _gone = fs::remove_file(file.path());
                        }
                    } else if is_digest(&name)
                        && !store::is_named(db, &name)?
                        && let Some(freed) =
                            blobs.remove_unless(&name, || store::is_named(db, &name))?
                    {
                        count += 1;
                        bytes += freed;
                    }
                }
                Ok(((looked == FILES).then_some(some), count, bytes))
            });
            let (rest, count, bytes) = read.await?;
            self.pruned.blobs += count;
            self.pruned.bytes += bytes;
            files = rest;
        }
        Ok(())
    }

    /// A write of this pass, and the rest after it.
    async fn write<T: Send + 'static>(
        &self,
        op: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let done = self.inner.store.write(op).await?;
        sleep(start.elapsed()).await;
        Ok(done)
    }
}

/// Removes what the runs of a task left, unless it is nested so deeply that it must be their doing: removing it takes
/// a step of the stack and an open file for each level, and would end the engine, this time and every time it tried.
fn remove_dir(dir: &Path) -> io::Result<()> {
    let mut open = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = open.pop() {
        if depth > LEVELS {
            let why = format!("its directories are nested deeper than {LEVELS}; remove it by hand");
            return Err(io::Error::other(why));
        }
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push((entry.path(), depth + 1));
            }
        }
    }
    fs::remove_dir_all(dir)
}

fn is_older(file: &fs::DirEntry, than: UnixMillis) -> bool {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let since = modified
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.is_some_and(|since| i64::try_from(since.as_millis()).is_ok_and(|at| at < than.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_would_end_the_engine_is_left_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let nested = |name: &str, levels: usize| {
            let top = dir.path().join(name);
            fs::create_dir_all(top.join("d/".repeat(levels))).unwrap();
            top
        };
        let (plain, deep) = (nested("plain", LEVELS), nested("deep", LEVELS + 1));
        remove_dir(&plain).unwrap();
        assert!(!plain.exists());
        let refused = remove_dir(&deep).unwrap_err().to_string();
        assert!(refused.contains("remove it by hand"), "{refused}");
        assert!(deep.exists());
        let nothing = remove_dir(&plain).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::NotFound);
    }
}
