//! What the kernel is asked to tell of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _, WatcherKind};

use super::Shared;
use crate::files::Inode;

pub(super) enum Watches {
    /// There is nothing to watch yet.
    None,
    /// The system refuses; polling has to do, until another directory takes this one's place.
    Impossible(Inode),
    /// The system watches whole trees.
    Tree {
        root: Inode,
        _watcher: RecommendedWatcher,
    },
    /// The system watches single directories: the agents directory and each agent's. Not what is
    /// below: with `mode = "agent_dir"` a whole checkout may be.
    Places {
        root: Inode,
        watcher: RecommendedWatcher,
        places: BTreeMap<PathBuf, Inode>,
    },
}

impl Watches {
    /// Watches for the directory `root`, or the note that there can be none.
    pub(super) fn on(root: &Path, identity: Inode, shared: &Arc<Shared>) -> Self {
        let (shared, path) = (Arc::clone(shared), root.to_owned());
        let notice = move |event: notify::Result<notify::Event>| match event {
            Ok(event) => shared.notice(&path, &event),
            // Something was lost; the next look sees what.
            Err(_) => shared.wake(),
        };
        let started = notify::recommended_watcher(notice).and_then(|mut watcher| {
            if RecommendedWatcher::kind() == WatcherKind::Inotify {
                return Ok(Self::Places {
                    root: identity,
                    watcher,
                    places: BTreeMap::new(),
                });
            }
            watcher.watch(root, RecursiveMode::Recursive)?;
            Ok(Self::Tree {
                root: identity,
                _watcher: watcher,
            })
        });
        started.unwrap_or_else(|error| {
            tracing::warn!(dir = %root.display(), %error, "watching failed; polling");
            Self::Impossible(identity)
        })
    }

    /// Whether these are for the directory that is there now.
    pub(super) fn are_for(&self, identity: Option<Inode>) -> bool {
        match self {
            Self::None => identity.is_none(),
            Self::Impossible(root) | Self::Tree { root, .. } | Self::Places { root, .. } => {
                identity == Some(*root)
            }
        }
    }

    /// Watches exactly `wanted`, where directories are watched one by one.
    pub(super) fn follow(&mut self, wanted: &BTreeMap<PathBuf, Inode>) -> notify::Result<bool> {
        let Self::Places {
            watcher, places, ..
        } = self
        else {
            return Ok(false);
        };
        // First away with the old: a renamed directory keeps its watch under its old name.
        places.retain(|path, identity| {
            let stays = wanted.get(path) == Some(identity);
            if !stays {
                // Gone directories have lost their watch already.
                let _gone = watcher.unwatch(path);
            }
            stays
        });
        let mut added = false;
        for (path, identity) in wanted {
            if places.contains_key(path) {
                continue;
            }
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    places.insert(path.clone(), *identity);
                    added = true;
                }
                // Gone since it was read, or not ours to watch: the next look decides.
                Err(error) if !out_of_watches(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(added)
    }
}

fn out_of_watches(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(io) => io.kind() == std::io::ErrorKind::StorageFull,
        _ => false,
    }
}
