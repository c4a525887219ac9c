//! The directories of a run: made before it, and taken away after it as its agent says.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use mesh_agents_core::agent::{Keep, WorkspaceMode};
use mesh_agents_core::run::{ResumeReason, RunSpec};
use mesh_agents_core::task::Failure;

use crate::config::BridgeConfig;
use crate::preset;
use crate::remove;
use crate::whereabouts::Whereabouts;

/// The directories of one run.
#[derive(Debug)]
pub(crate) struct Places {
    /// Where the harness works; absolute.
    pub(crate) workspace: PathBuf,
    /// Its TMPDIR.
    pub(crate) tmp: PathBuf,
    /// Whether the session to go on in works in a place nobody knows any more.
    pub(crate) lost: bool,
    /// What becomes of the workspace; `None` when it is not ours to remove.
    keep: Option<Keep>,
}

/// What becomes of the task, as far as its directories care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done.
    Completed,
    /// It is over and not done.
    Failed,
    /// It may go on in another run.
    Interrupted,
}

impl Places {
    /// Makes the run's directory, the private HOME, TMPDIR and the workspace, and writes the prompt.
    /// A run that goes on where another was cut off finds that one's artifacts and workspace; every
    /// other begins with empty ones.
    pub(crate) fn prepare(config: &BridgeConfig, spec: &RunSpec) -> Result<Self, Failure> {
        let dirs = &spec.dirs;
        for dir in [&dirs.root, &dirs.logs(), &spec.home] {
            private_dir(dir).map_err(|error| cannot("make", dir, &error))?;
        }
        let artifacts = dirs.artifacts();
        task_dir(&artifacts, goes_on(spec)).map_err(|error| cannot("make", &artifacts, &error))?;
        let prompt = dirs.prompt();
        write_private(&prompt, spec.prompt.as_bytes())
            .map_err(|error| cannot("write", &prompt, &error))?;
        let name = format!("mesh-a2a-{}-{}", spec.agent.id, spec.task_id);
        let tmp = config.temp_root.join(format!("{name}-tmp"));
        fresh_dir(&tmp).map_err(|error| cannot("make", &tmp, &error))?;
        let mut places = Self {
            workspace: dirs.artifacts(),
            tmp,
            lost: false,
            keep: None,
        };
        let known = Whereabouts::of(spec);
        let earlier = spec.resume.as_ref();
        let place = earlier.and_then(|earlier| known.as_ref()?.find(&earlier.session_id));
        places.lost = earlier.is_some() && known.is_some() && place.is_none() && !goes_on(spec);
        match workspace(config, spec, &name, place) {
            Ok((workspace, keep)) => {
                places.workspace = workspace;
                places.keep = keep;
                Ok(places)
            }
            Err(failure) => {
                places.clear(Fate::Failed);
                Err(failure)
            }
        }
    }

    /// Removes what the run leaves no claim to. Returns what is worth telling its owner.
    pub(crate) fn clear(&self, fate: Fate) -> Option<(&'static str, String)> {
        let tmp = remove(&self.tmp);
        let removed = match self.keep {
            None => Ok(()),
            Some(Keep::Always) => return Some(self.kept()),
            // The run that takes this one up needs it.
            Some(_) if fate == Fate::Interrupted => return Some(self.kept()),
            Some(Keep::OnFailure) if fate == Fate::Failed => return Some(self.kept()),
            Some(Keep::OnFailure | Keep::Never) => remove(&self.workspace),
        };
        let error = removed.and(tmp).err()?;
        Some(("workspace_not_removed", error))
    }

    fn kept(&self) -> (&'static str, String) {
        let text = format!("the workspace is kept at {}", self.workspace.display());
        ("workspace_kept", text)
    }
}

fn workspace(
    config: &BridgeConfig,
    spec: &RunSpec,
    name: &str,
    place: Option<PathBuf>,
) -> Result<(PathBuf, Option<Keep>), Failure> {
    let path = match &spec.agent.workspace.mode {
        WorkspaceMode::TempPerTask => {
            // A session's place may hold what an earlier task of the context was to keep.
            let reuse = place.is_some() || goes_on(spec);
            let path = place.unwrap_or_else(|| config.temp_root.join(name));
            task_dir(&path, reuse).map_err(|error| cannot("make", &path, &error))?;
            return Ok((path, Some(spec.agent.workspace.keep)));
        }
        WorkspaceMode::Path(template) => {
            preset::expand_workspace_path(spec, &config.environment, template)?
        }
        WorkspaceMode::AgentDir => spec.agent.dir.clone(),
        WorkspaceMode::None => spec.dirs.artifacts(),
    };
    if !path.is_absolute() || !path.is_dir() {
        return Err(Failure::new(
            "workspace_missing",
            format!(
                "runtime.workspace: {} is not an existing directory with an absolute path; create it or correct runtime.workspace.path",
                path.display()
            ),
        ));
    }
    Ok((path, None))
}

/// Makes a directory only its owner can enter, and those above it.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes an empty directory of this name, ours alone. What an earlier attempt left is removed; in a
/// directory shared with others, what is not ours cannot be, and then this fails.
fn fresh_dir(path: &Path) -> io::Result<()> {
    match remove::tree(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(path)
}

/// Whether the run goes on where another run of its task was cut off.
fn goes_on(spec: &RunSpec) -> bool {
    let earlier = spec.resume.as_ref();
    earlier.is_some_and(|earlier| earlier.why != ResumeReason::NextTask)
}

/// Makes a directory of the task's own: the one that is there, or an empty one.
fn task_dir(path: &Path, reuse: bool) -> io::Result<()> {
    if reuse && is_ours(path) {
        return Ok(());
    }
    fresh_dir(path)
}

/// Whether a directory of this name is there, and not put there by somebody else.
fn is_ours(path: &Path) -> bool {
    let us = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == us)
}

/// Writes a file only its owner can read.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)
}

fn remove(path: &Path) -> Result<(), String> {
    match remove::tree(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!(
            "{} could not be removed: {error}; remove it by hand",
            path.display()
        )),
        _ => Ok(()),
    }
}

/// Writes the files a plan asks for, with the directories above them.
pub(crate) fn write_plan_files(files: &[crate::plan::PlanFile]) -> Result<(), Failure> {
    for file in files {
        let dir = file.path.parent().unwrap_or(&file.path);
        private_dir(dir)
            .and_then(|()| write_private(&file.path, file.text.as_bytes()))
            .map_err(|error| cannot("write", &file.path, &error))?;
    }
    Ok(())
}

/// Makes the directories a plan grants for writing that are not there yet, such as those of a harness
/// that has never run: confinement grants what exists, and nobody makes them from inside.
pub(crate) fn make_plan_dirs(dirs: &[PathBuf]) -> Result<(), Failure> {
    for dir in dirs {
        private_dir(dir).map_err(|error| cannot("make", dir, &error))?;
    }
    Ok(())
}

fn cannot(act: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        "run_directory",
        format!(
            "cannot {act} {}: {error}; check that its directory exists, has room and is writable",
            path.display()
        ),
    )
}
