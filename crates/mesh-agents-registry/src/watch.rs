//! Keeps a snapshot up to date while its directory changes.
//!
//! One thread owns the loader and reads again when the kernel tells of a change, and now and then
//! anyway: notifications can be lost, missing or impossible (network file systems, watch limits),
//! files cannot. Only directories that changed are read.

mod watches;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::EventKind;
use notify::event::{AccessKind, AccessMode};
use tokio::sync::watch;

use self::watches::Watches;
use crate::Environment;
use crate::files;
use crate::loader::{Broken, Loader};
use crate::snapshot::Snapshot;

/// A change is read once it has been quiet this long: editors and `git` write in bursts.
const QUIET: Duration = Duration::from_millis(100);
/// … but not later than this after the first notice, however busy the directory is.
const QUIET_AT_MOST: Duration = Duration::from_millis(400);
/// What was just read is read once more after this, longer than any file system's clock tick.
/// Also the pace where there are no notifications: no directory yet, or no watches to be had.
const POLL: Duration = Duration::from_millis(500);
/// How often everything is looked at although nothing was heard.
const NET: Duration = Duration::from_secs(5);
/// … and polling rests this many times as long as a look took, to stay a small load.
const POLL_REST: u32 = 20;

/// The watcher's thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot start the thread that watches {}; the limit of processes may be reached (ulimit -u)",
    dir.display()
)]
pub struct WatchError {
    /// The agents directory.
    pub dir: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// Watches one agents directory. Dropping it ends its thread and waits for that.
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Loads `agents_dir`, which need not exist yet, and publishes a snapshot whenever it changes.
    /// Blocks for the first load. A new or changed agent shows within a second.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        agents_dir: &Path,
        environment: Environment,
    ) -> Result<(Self, watch::Receiver<Arc<Snapshot>>), WatchError> {
        Self::start_with(Loader::new(agents_dir, environment), Watches::None)
    }

    fn start_with(
        mut loader: Loader,
        watches: Watches,
    ) -> Result<(Self, watch::Receiver<Arc<Snapshot>>), WatchError> {
        loader.refresh(&BTreeSet::new(), Broken::Keep);
        let (publish, snapshots) = watch::channel(Arc::new(loader.snapshot()));
        // One pending wake-up says all there is to say.
        let (wake, woken) = sync_channel(1);
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            dirty: Mutex::new(BTreeSet::new()),
            wake,
        });
        let dir = loader.dir().to_owned();
        let worker = Worker {
            watches,
            loader,
            publish,
            shared: Arc::clone(&shared),
            woken,
        };
        let thread = std::thread::Builder::new()
            .name("agents-watch".to_owned())
            .spawn(move || worker.run())
            .map_err(|source| WatchError { dir, source })?;
        let watcher = Self {
            shared,
            thread: Some(thread),
        };
        Ok((watcher, snapshots))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches the agents directory panicked");
        }
    }
}

/// What the notification thread, the worker and the handle share.
#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// Names of agent directories that were told of; bounded by the number of directories.
    dirty: Mutex<BTreeSet<OsString>>,
    wake: SyncSender<()>,
}

impl Shared {
    fn wake(&self) {
        // A full channel already holds a wake-up.
        let _already_pending = self.wake.try_send(());
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn notice(&self, root: &Path, event: &notify::Event) {
        if !matters(event.kind) {
            return;
        }
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        for path in &event.paths {
            let name = path
                .strip_prefix(root)
                .ok()
                .and_then(|below| below.iter().next());
            dirty.extend(name.map(OsString::from));
        }
        drop(dirty);
        self.wake();
    }

    fn take_dirty(&self) -> BTreeSet<OsString> {
        std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reading is reported too, ours included; only what may have written counts.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

struct Worker {
    /// Before the loader, so that it is gone first.
    watches: Watches,
    loader: Loader,
    publish: watch::Sender<Arc<Snapshot>>,
    shared: Arc<Shared>,
    woken: Receiver<()>,
}

impl Worker {
    fn run(mut self) {
        self.watch();
        // What changed before the watches were there.
        let mut wait = POLL;
        loop {
            let woken = self.woken.recv_timeout(wait).is_ok();
            if woken && !self.shared.stopped() {
                self.until_quiet();
            }
            if self.shared.stopped() {
                return;
            }
            wait = self.look(woken);
        }
    }

    /// Waits for a burst of changes to end.
    fn until_quiet(&self) {
        let began = Instant::now();
        while began.elapsed() < QUIET_AT_MOST
            && self.woken.recv_timeout(QUIET).is_ok()
            && !self.shared.stopped()
        {}
    }

    /// Reads what changed, publishes it, and says how long to wait for the next look.
    fn look(&mut self, woken: bool) -> Duration {
        let began = Instant::now();
        let broken = if woken { Broken::Keep } else { Broken::Retry };
        let refreshed = self.loader.refresh(&self.shared.take_dirty(), broken);
        if refreshed.changed {
            let snapshot = self.loader.snapshot();
            tracing::info!(
                generation = snapshot.generation,
                agents = snapshot.agents.len(),
                problems = snapshot.problems.len(),
                "agents reloaded"
            );
            self.publish.send_replace(Arc::new(snapshot));
        }
        let newly_watched = self.watch();
        if matches!(self.watches, Watches::None | Watches::Impossible(_)) {
            POLL.max(began.elapsed() * POLL_REST)
        } else if refreshed.unsettled || newly_watched {
            POLL
        } else {
            NET
        }
    }

    /// Keeps the watches on what is there now. Returns whether one was added.
    fn watch(&mut self) -> bool {
        let root = self.loader.dir();
        let identity = std::fs::metadata(root).ok().map(|m| files::inode(&m));
        if !self.watches.are_for(identity) {
            self.watches = match identity {
                None => Watches::None,
                Some(identity) => Watches::on(root, identity, &self.shared),
            };
        }
        let mut places = self.loader.places();
        places.insert(root.to_owned(), identity.flatten());
        match self.watches.follow(&places) {
            Ok(added) => added,
            Err(error) => {
                let limit = "raise fs.inotify.max_user_watches to be told of changes at once";
                tracing::warn!(dir = %root.display(), %error, limit, "watching failed; polling");
                self.watches = Watches::Impossible(identity.flatten());
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_the_system_cannot_tell_looking_again_and_again_does() {
        let dir = tempfile::tempdir().unwrap();
        let inode = files::inode(&std::fs::metadata(dir.path()).unwrap());
        let loader = Loader::new(dir.path(), Environment::default());
        let (_watcher, mut snapshots) =
            Watcher::start_with(loader, Watches::Impossible(inode)).unwrap();
        let id = "a".parse().unwrap();
        crate::scaffold::init(dir.path(), &id, mesh_agents_core::agent::RuntimeKind::Pi).unwrap();
        snapshots
            .wait_for(|s| s.agents.contains_key(&id))
            .await
            .unwrap();
        crate::edit::set_enabled(dir.path(), &id, false).unwrap();
        snapshots
            .wait_for(|s| !s.agents[&id].enabled)
            .await
            .unwrap();
    }
}
