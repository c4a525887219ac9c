//! What a run's processes can reach of the file system (DESIGN §5, "Confinement"): decided here
//! from values, enforced by [`crate::platform`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mesh_agents_core::agent::{AgentPolicy, Filesystem};
use mesh_agents_core::task::Failure;
use serde::{Deserialize, Serialize};

use crate::plan::LaunchPlan;

/// Whether this machine can confine a harness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfinementSupport {
    /// Yes, by Landlock.
    Landlock,
    /// No; the reason, for a person.
    Missing(String),
}

/// Whether this machine can confine a harness, for `agents doctor` and `get_agent`.
#[must_use]
pub fn confinement_support() -> ConfinementSupport {
    crate::platform::confinement_support()
}

/// What a harness can reach. Everything else is refused by the kernel, to its children too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grants {
    /// What it can read and execute.
    pub(crate) read: Reading,
    /// What it can write, besides reading it.
    pub(crate) write: Vec<PathBuf>,
}

/// What a harness can read and execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reading {
    /// Anything.
    All,
    /// These and what is below them.
    Only(Vec<PathBuf>),
}

/// System directories every program needs to read.
const SYSTEM: [&str; 9] = [
    "/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc", "/proc", "/sys",
];

/// What belongs to one run, and so is granted to it and to nobody else.
#[derive(Debug, Clone)]
pub(crate) struct Own<'a> {
    /// The run's directory: prompt, artifacts, logs. Read.
    pub(crate) run: &'a Path,
    /// The agent's directory. Read.
    pub(crate) agent: &'a Path,
    /// Artifacts, logs, private HOME, TMPDIR. Written.
    pub(crate) write: Vec<PathBuf>,
    /// The workspace. Written.
    pub(crate) workspace: &'a Path,
}

/// The grants of a run under this policy; `None` when it is not to be confined.
///
/// # Errors
/// A grant that would reach the engine's own files below `a2a_root`.
pub(crate) fn grants(
    policy: &AgentPolicy,
    own: &Own<'_>,
    plan: &LaunchPlan,
    a2a_root: &Path,
) -> Result<Option<Grants>, Failure> {
    if policy.filesystem == Filesystem::Unconfined {
        return Ok(None);
    }
    let foreign = Foreign { own, a2a_root };
    for path in &policy.write {
        foreign.refuse(path, "policy.write")?;
    }
    foreign.refuse(own.workspace, "runtime.workspace")?;
    let mut write: BTreeSet<PathBuf> = own.write.iter().cloned().collect();
    write.insert(PathBuf::from("/dev"));
    write.insert(own.workspace.to_path_buf());
    write.extend(policy.write.iter().chain(&plan.write).cloned());
    let read = match policy.filesystem {
        Filesystem::ReadAll | Filesystem::Unconfined => Reading::All,
        Filesystem::Workspace => {
            for path in &policy.read {
                foreign.refuse(path, "policy.read")?;
            }
            let mut read: BTreeSet<PathBuf> = SYSTEM.map(PathBuf::from).into();
            read.insert(own.run.to_path_buf());
            read.insert(own.agent.to_path_buf());
            read.insert(plan.program.clone());
            // What a program reads to be itself is found by rule, so it never reaches too far.
            let plan = plan.read.iter();
            read.extend(
                plan.filter(|path| foreign.refuse(path, "").is_ok())
                    .cloned(),
            );
            read.extend(policy.read.iter().cloned());
            Reading::Only(read.into_iter().collect())
        }
    };
    Ok(Some(Grants {
        read,
        write: write.into_iter().collect(),
    }))
}

/// Tells which paths would reach the engine's files.
struct Foreign<'a> {
    own: &'a Own<'a>,
    a2a_root: &'a Path,
}

impl Foreign<'_> {
    fn refuse(&self, path: &Path, key: &str) -> Result<(), Failure> {
        // Compared as the kernel sees them. What does not exist grants nothing.
        let (Ok(path), Ok(root)) = (path.canonicalize(), self.a2a_root.canonicalize()) else {
            return Ok(());
        };
        let own = std::iter::once(self.own.run)
            .chain(self.own.write.iter().map(PathBuf::as_path))
            .filter_map(|own| own.canonicalize().ok())
            .any(|own| path.starts_with(own));
        if own || !(root.starts_with(&path) || path.starts_with(&root)) {
            return Ok(());
        }
        Err(Failure::new(
            "confinement_conflict",
            format!(
                "{key} grants {}, which reaches the engine's own files in {}; name narrower directories, or set policy.filesystem = \"unconfined\"",
                path.display(),
                root.display()
            ),
        ))
    }
}

/// A hint for a failure that looks as if the confinement refused a path: names the path and the key.
pub(crate) fn hint(filesystem: Filesystem, stderr: &str) -> Option<String> {
    let refused = stderr.lines().rev().find(|line| {
        let line = line.to_ascii_lowercase();
        ["permission denied", "eacces", "operation not permitted"]
            .iter()
            .any(|words| line.contains(words))
    })?;
    let path = refused
        .split(|c: char| c.is_whitespace() || "'\"`(),;[]".contains(c))
        .map(|word| word.trim_end_matches(':'))
        .find(|word| word.starts_with('/') && word.len() > 1)?;
    Some(format!(
        "the run is confined (policy.filesystem = \"{}\") and was refused {path}; if it needs it, add it to policy.read or policy.write",
        filesystem.as_str()
    ))
}
