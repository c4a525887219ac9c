//! How one snapshot follows another: what changed is read again, what was right goes on serving.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;

use crate::Environment;
use crate::agent_dir::{self, Reading};
use crate::code;
use crate::files::{CARD_FILE, DEFAULT_INSTRUCTIONS_FILE, Inode, RUNTIME_FILE, Stamp, inode};
use crate::problem::{Action, Problem, Severity};
use crate::snapshot::Snapshot;

/// What to do about an agents directory without agents.
const INIT_HINT: &str = "run `mesh-llm agents init pr-review` to make a first agent";

/// The longest id of an agent, in characters.
const AGENT_ID_CHARS: usize = 64;

/// What to do with directories that are broken and look unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Nothing.
    Keep,
    /// Read them again: what they lack may lie outside of them.
    Retry,
}

/// What a refresh found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refreshed {
    /// The next snapshot differs from the last one.
    pub(crate) changed: bool,
    /// Something was read for the first time since it changed. File times are coarse: a write in
    /// the same tick as this reading would not show, so it should be read once more.
    pub(crate) unsettled: bool,
}

/// Keeps what was read, so that only what changed is read again.
#[derive(Debug)]
pub(crate) struct Loader {
    dir: PathBuf,
    environment: Environment,
    entries: BTreeMap<OsString, Entry>,
    /// What is wrong with the agents directory itself.
    own_problem: Option<Problem>,
    generation: u64,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    unsettled: bool,
    instructions_file: PathBuf,
    /// The last definition that was right, while the directory exists.
    definition: Option<Arc<AgentDefinition>>,
    problems: Vec<Problem>,
}

/// What shows that a directory should be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    dir: Inode,
    files: [Option<Stamp>; 3],
}

impl Fingerprint {
    fn of(dir: &Path, instructions_file: &Path) -> Self {
        Self {
            dir: fs::metadata(dir).ok().as_ref().and_then(inode),
            files: [
                Stamp::of(&dir.join(CARD_FILE)),
                Stamp::of(&dir.join(RUNTIME_FILE)),
                Stamp::of(instructions_file),
            ],
        }
    }
}

impl Loader {
    pub(crate) fn new(agents_dir: &Path, environment: Environment) -> Self {
        Self {
            dir: std::path::absolute(agents_dir).unwrap_or_else(|_| agents_dir.to_owned()),
            environment,
            entries: BTreeMap::new(),
            own_problem: None,
            generation: 0,
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directories whose files matter, with what tells one from another of the same name.
    pub(crate) fn places(&self) -> BTreeMap<PathBuf, Inode> {
        let mut places = BTreeMap::new();
        for (name, entry) in &self.entries {
            let dir = self.dir.join(name);
            if let Some(below) = entry.instructions_file.parent().filter(|at| *at != dir) {
                places.insert(below.to_owned(), entry.fingerprint.dir);
            }
            places.insert(dir, entry.fingerprint.dir);
        }
        places
    }

    /// Reads what changed since the last time, and the directories named in `dirty` in any case.
    pub(crate) fn refresh(&mut self, dirty: &BTreeSet<OsString>, broken: Broken) -> Refreshed {
        let mut refreshed = Refreshed::default();
        let own_problem = match list(&self.dir) {
            Ok(names) => {
                refreshed = self.refresh_entries(&names, dirty, broken);
                names.is_empty().then(|| no_agents(&self.dir))
            }
            Err(error) => {
                // Gone is gone; a directory that cannot be read for now keeps its agents.
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
                    refreshed.changed |= !self.entries.is_empty();
                    self.entries.clear();
                }
                Some(unlistable(&self.dir, &error))
            }
        };
        refreshed.changed |= self.own_problem != own_problem;
        self.own_problem = own_problem;
        self.generation += u64::from(refreshed.changed);
        refreshed
    }

    fn refresh_entries(
        &mut self,
        names: &BTreeSet<OsString>,
        dirty: &BTreeSet<OsString>,
        broken: Broken,
    ) -> Refreshed {
        let before = self.entries.len();
        self.entries.retain(|name, _| names.contains(name));
        let mut refreshed = Refreshed {
            changed: self.entries.len() != before,
            unsettled: false,
        };
        for name in names {
            let one = self.refresh_entry(name, dirty.contains(name), broken);
            refreshed.changed |= one.changed;
            refreshed.unsettled |= one.unsettled;
        }
        refreshed
    }

    fn refresh_entry(&mut self, name: &OsStr, dirty: bool, broken: Broken) -> Refreshed {
        let dir = self.dir.join(name);
        let Some(id) = name
            .to_str()
            .and_then(|name| name.parse().ok())
            .filter(AgentId::is_local)
        else {
            return self.refuse_name(name, &dir);
        };
        let old = self.entries.get(name);
        let instructions = old.map_or_else(
            || dir.join(DEFAULT_INSTRUCTIONS_FILE),
            |entry| entry.instructions_file.clone(),
        );
        // Taken before the files are read: a write during the reading shows the next time.
        let mut fingerprint = Fingerprint::of(&dir, &instructions);
        let mut unsettled = true;
        if let Some(old) = old {
            let same = old.fingerprint == fingerprint;
            let retry = broken == Broken::Retry && !old.problems.is_empty();
            if same && !dirty && !old.unsettled && !retry {
                return Refreshed::default();
            }
            unsettled = !same || dirty;
        }
        let reading = agent_dir::read(&id, &dir, &self.environment);
        if reading.instructions_file != instructions {
            fingerprint.files[2] = Stamp::of(&reading.instructions_file);
        }
        let last_good = old.and_then(|entry| entry.definition.clone());
        let entry = Entry {
            fingerprint,
            unsettled,
            instructions_file: reading.instructions_file.clone(),
            definition: serving(last_good, &reading),
            problems: reading.problems,
        };
        let changed = old
            .is_none_or(|old| old.definition != entry.definition || old.problems != entry.problems);
        self.entries.insert(name.to_owned(), entry);
        Refreshed { changed, unsettled }
    }

    fn refuse_name(&mut self, name: &OsStr, dir: &Path) -> Refreshed {
        if self.entries.contains_key(name) {
            return Refreshed::default();
        }
        let shown = name.to_string_lossy().into_owned();
        let mut problem = Problem::new(
            Severity::Error,
            code::NAME,
            Some(&shown),
            dir.to_owned(),
            format!(
                "the directory's name is not an agent id: {shown:?} must be 1 to 64 characters of A-Z a-z 0-9 _ -"
            ),
            "rename it; the name of a directory that is not an agent may begin with a dot",
        );
        problem.actions.extend(renamed(dir, &shown));
        self.entries.insert(
            name.to_owned(),
            Entry {
                fingerprint: Fingerprint {
                    dir: None,
                    files: [None, None, None],
                },
                unsettled: false,
                instructions_file: dir.join(DEFAULT_INSTRUCTIONS_FILE),
                definition: None,
                problems: vec![problem],
            },
        );
        Refreshed {
            changed: true,
            unsettled: false,
        }
    }

    /// What was read so far.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let definitions = self.entries.values().filter_map(|e| e.definition.as_ref());
        Snapshot {
            dir: self.dir.clone(),
            generation: self.generation,
            agents: definitions
                .map(|definition| (definition.id.clone(), Arc::clone(definition)))
                .collect(),
            problems: self
                .own_problem
                .iter()
                .chain(self.entries.values().flat_map(|entry| &entry.problems))
                .cloned()
                .collect(),
        }
    }
}

/// The definition that serves after a reading: the new one, or the last good one, which can still
/// be switched off.
fn serving(
    last_good: Option<Arc<AgentDefinition>>,
    reading: &Reading,
) -> Option<Arc<AgentDefinition>> {
    match (&reading.definition, last_good) {
        (Some(new), Some(old)) if *new == *old => Some(old),
        (Some(new), _) => Some(Arc::new(new.clone())),
        (None, _) if reading.gone => None,
        (None, Some(old)) if reading.enabled == Some(false) && old.enabled => {
            let mut off = AgentDefinition::clone(&old);
            off.enabled = false;
            Some(Arc::new(off))
        }
        (None, old) => old,
    }
}

/// The names of the directories below `dir`, links followed. Files and names with a dot in front
/// are nobody's business.
fn list(dir: &Path) -> std::io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()) {
            names.insert(name);
        }
    }
    Ok(names)
}

fn no_agents(dir: &Path) -> Problem {
    own_problem(
        dir,
        "the agents directory holds no agents".to_owned(),
        INIT_HINT.to_owned(),
    )
}

fn unlistable(dir: &Path, error: &std::io::Error) -> Problem {
    let (reason, fix) = match error.kind() {
        ErrorKind::NotFound => (
            "the agents directory does not exist".to_owned(),
            INIT_HINT.to_owned(),
        ),
        ErrorKind::NotADirectory => (
            "the agents directory is not a directory".to_owned(),
            "name another one with --agents-dir or MESH_AGENTS_DIR".to_owned(),
        ),
        _ => (
            format!("the agents directory cannot be read: {error}"),
            "check its owner and permissions".to_owned(),
        ),
    };
    own_problem(dir, reason, fix)
}

fn own_problem(dir: &Path, reason: String, fix: String) -> Problem {
    Problem::new(
        Severity::Error,
        code::NOT_FOUND,
        None,
        dir.to_owned(),
        reason,
        fix,
    )
}

/// The directory under the nearest name that is an agent id, if that is free.
fn renamed(dir: &Path, name: &str) -> Option<Action> {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    let id: String = name.chars().map(plain).take(AGENT_ID_CHARS).collect();
    let id = id.trim_matches('-');
    let to = dir.with_file_name(id);
    (!id.is_empty() && !to.exists()).then(|| Action::Rename {
        file: dir.to_owned(),
        to,
    })
}
