//! The directories of a run: made before it, and taken away after it as its agent says.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use mesh_agents_core::agent::{Keep, WorkspaceMode};
use mesh_agents_core::run::{ResumeReason, RunSpec};
use mesh_agents_core::task::Failure;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use ulid::Ulid;

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

/// Writes the files a plan asks for below the private HOME, with the directories above them.
///
/// HOME outlives the run and is the harness's to write, and nothing confines us: where an earlier run left a link
/// it is taken away and never followed.
pub(crate) fn write_plan_files(
    home: &Path,
    files: &[crate::plan::PlanFile],
) -> Result<(), Failure> {
    for file in files {
        write_below(home, &file.path, file.text.as_bytes())
            .map_err(|error| cannot("write", &file.path, &error))?;
    }
    Ok(())
}

/// What a directory is opened with here: to be gone through, and only if it is one.
const GO_THROUGH: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Puts a file in its place, whole, step by step from `base` down: a path as a text could lead elsewhere by now.
fn write_below(base: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let outside = || io::Error::other("it is not below the private HOME");
    let below = path.strip_prefix(base).map_err(|_| outside())?;
    let mut names: Vec<&OsStr> = below.iter().collect();
    let name = names.pop().ok_or_else(outside)?;
    let mut dir = openat(CWD, base, GO_THROUGH, Mode::empty())?;
    for name in names {
        dir = dir_in(&dir, name)?;
    }
    let new = format!(".mesh-{}", Ulid::new());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&dir, &new, flags, Mode::RUSR | Mode::WUSR)?;
    let written = File::from(file)
        .write_all(content)
        .and_then(|()| Ok(renameat(&dir, &new, &dir, name)?));
    if written.is_err() {
        // Best effort: what remains is a file of a few hundred bytes.
        let _ = unlinkat(&dir, &new, AtFlags::empty());
    }
    written
}

/// The directory `name` of `dir`, made when there is none. What else is there, such as a link, goes.
fn dir_in(dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    match openat(dir, name, GO_THROUGH, Mode::empty()) {
        Err(Errno::NOENT) => {}
        Err(Errno::NOTDIR | Errno::LOOP) => unlinkat(dir, name, AtFlags::empty())?,
        opened => return Ok(opened?),
    }
    match mkdirat(dir, name, Mode::RWXU) {
        // Another run of this agent was faster.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(openat(dir, name, GO_THROUGH, Mode::empty())?)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::plan::PlanFile;

    #[test]
    fn a_file_of_a_plan_lies_in_its_home_whatever_an_earlier_run_left_there() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["home/.pi", "owner/agent"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["owner/profile", "owner/agent/models.json"] {
            fs::write(at(name), "the owner's").unwrap();
        }
        let home = at("home");
        let files = ["models.json", "settings.json"].map(|name| PlanFile {
            path: home.join(".pi/agent").join(name),
            text: "ours".to_owned(),
        });
        let written = || {
            write_plan_files(&home, &files).unwrap();
            for file in &files {
                assert_eq!(fs::read_to_string(&file.path).unwrap(), "ours");
                let real = file.path.canonicalize().unwrap();
                assert!(real.starts_with(home.canonicalize().unwrap()), "{real:?}");
            }
            for name in ["owner/profile", "owner/agent/models.json"] {
                assert_eq!(fs::read_to_string(at(name)).unwrap(), "the owner's");
            }
            let left = fs::read_dir(home.join(".pi/agent")).unwrap().count();
            assert_eq!(left, files.len());
        };
        written();
        // A file that is a link.
        fs::remove_file(&files[0].path).unwrap();
        symlink(at("owner/profile"), &files[0].path).unwrap();
        written();
        // A directory that is one.
        fs::remove_dir_all(home.join(".pi/agent")).unwrap();
        symlink(at("owner/agent"), home.join(".pi/agent")).unwrap();
        written();
        assert_eq!(fs::read_dir(at("owner/agent")).unwrap().count(), 1);
    }
}
