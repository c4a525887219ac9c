//! Where a session works that outlives its task (`session = "per_context"`).
//!
//! OpenCode's tools stay in the directory a session began in, whatever directory it is taken up with
//! (seen with 1.18.33: its updates name the new one, its shell runs in the old). So a session keeps
//! its workspace's path, and the path is kept here, out of reach of the harness: what stands here
//! is granted to the next run.

use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mesh_agents_core::agent::{SessionScope, WorkspaceMode};
use mesh_agents_core::run::RunSpec;

use crate::workspace::{private_dir, write_private};

/// Sessions remembered for one agent. An older one begins anew; nobody goes on in it any more.
const SESSIONS: usize = 10_000;
/// Longest session id that becomes a file name, which holds two characters for each byte. Those
/// seen have 40 bytes at most.
const ID_BYTES: usize = 120;

/// The whereabouts of one agent's sessions: `<data-dir>/a2a/agents/<agent-id>/sessions/`.
#[derive(Debug)]
pub(crate) struct Whereabouts {
    dir: PathBuf,
}

impl Whereabouts {
    /// Those of the run's agent; `None` when its sessions end with their task, or work in a place
    /// that is the same for every task anyway.
    pub(crate) fn of(spec: &RunSpec) -> Option<Self> {
        let agent = &spec.agent;
        let outlives = agent.runtime.session == SessionScope::PerContext;
        let moves = agent.workspace.mode == WorkspaceMode::TempPerTask;
        let beside = spec.home.parent()?;
        (outlives && moves).then(|| Self {
            dir: beside.join("sessions"),
        })
    }

    /// Where the session works.
    pub(crate) fn find(&self, session: &str) -> Option<PathBuf> {
        let bytes = fs::read(self.file(session)?).ok()?;
        let place = PathBuf::from(std::ffi::OsString::from_vec(bytes));
        let parent = place.parent().is_some_and(Path::is_dir);
        (place.is_absolute() && parent).then_some(place)
    }

    /// Remembers where the session works.
    pub(crate) fn keep(&self, session: &str, place: &Path) -> io::Result<()> {
        let Some(file) = self.file(session) else {
            return Ok(());
        };
        private_dir(&self.dir)?;
        self.forget_oldest();
        write_private(&file, place.as_os_str().as_bytes())
    }

    fn file(&self, session: &str) -> Option<PathBuf> {
        let fits = !session.is_empty() && session.len() <= ID_BYTES;
        let name = || session.bytes().map(|byte| format!("{byte:02x}")).collect();
        fits.then(|| self.dir.join::<String>(name()))
    }

    fn forget_oldest(&self) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut known: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        let excess = (known.len() + 1).saturating_sub(SESSIONS);
        known.sort();
        for (_, file) in known.into_iter().take(excess) {
            // One that stays is one more.
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_while_there_is_room_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let known = Whereabouts {
            dir: dir.path().join("sessions"),
        };
        let place = dir.path().join("work");
        for id in ["ses_1", "../../x", "a/b", "ü"] {
            assert_eq!(known.find(id), None);
            known.keep(id, &place).unwrap();
            assert_eq!(known.find(id), Some(place.clone()), "{id}");
        }
        assert_eq!(fs::read_dir(&known.dir).unwrap().count(), 4);
        known.keep(&"x".repeat(121), &place).unwrap();
        assert_eq!(known.find(&"x".repeat(121)), None);
        // A place that cannot be made again is none.
        known
            .keep("ses_1", Path::new("/no/such/parent/work"))
            .unwrap();
        assert_eq!(known.find("ses_1"), None);
    }
}
