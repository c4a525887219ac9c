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

/// The directories of one run.
#[derive(Debug)]
pub(crate) struct Places {
    /// Where the harness works; absolute.
    pub(crate) workspace: PathBuf,
    /// Its TMPDIR.
    pub(crate) tmp: PathBuf,
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
        own_dir(&artifacts, spec).map_err(|error| cannot("make", &artifacts, &error))?;
        let prompt = dirs.prompt();
        write_private(&prompt, &spec.prompt).map_err(|error| cannot("write", &prompt, &error))?;
        let name = format!("mesh-a2a-{}-{}", spec.agent.id, spec.task_id);
        let tmp = config.temp_root.join(format!("{name}-tmp"));
        fresh_dir(&tmp).map_err(|error| cannot("make", &tmp, &error))?;
        let mut places = Self {
            workspace: dirs.artifacts(),
            tmp,
            keep: None,
        };
        match workspace(config, spec, &name) {
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
) -> Result<(PathBuf, Option<Keep>), Failure> {
    let path = match &spec.agent.workspace.mode {
        WorkspaceMode::TempPerTask => {
            let path = config.temp_root.join(name);
            own_dir(&path, spec).map_err(|error| cannot("make", &path, &error))?;
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
fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes an empty directory of this name, ours alone. What an earlier attempt left is removed; in a
/// directory shared with others, what is not ours cannot be, and then this fails.
fn fresh_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes a directory of the task's own: that of the run it goes on from, or an empty one.
fn own_dir(path: &Path, spec: &RunSpec) -> io::Result<()> {
    let earlier = spec.resume.as_ref();
    let goes_on = earlier.is_some_and(|earlier| earlier.why != ResumeReason::NextTask);
    if goes_on && is_ours(path) {
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
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_dir_all(path) {
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
            .and_then(|()| write_private(&file.path, &file.text))
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
