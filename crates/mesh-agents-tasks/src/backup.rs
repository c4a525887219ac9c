//! Copies of everything, made while the engine works, and the look at whether everything is there.
//!
//! A directory with the database and the contents it names is the unit that can be restored: put in
//! the place of `<data-dir>/a2a`, an engine starts on it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh_agents_core::layout::Layout;
use mesh_agents_core::refusal::{Code, Refusal};
use sha2::{Digest, Sha256};
use tempfile::{Builder, TempDir};

use crate::engine::{Inner, TaskEngine, storage};
use crate::store::{self, Content, StoreError};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Where it is.
    pub path: PathBuf,
    /// Its tasks.
    pub tasks: u64,
    /// Contents of artifacts copied with them.
    pub blobs: u64,
    /// Contents that could not be copied, because they were missing or not what their names say.
    pub missing: Vec<String>,
}

/// What a look at everything found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Tasks there are.
    pub tasks: u64,
    /// Contents of artifacts there should be.
    pub blobs: u64,
    /// What is wrong, each in a line; empty when all is well.
    pub problems: Vec<String>,
}

impl TaskEngine {
    /// Writes a copy of all tasks as they are at this moment to `to`, an absolute path: a directory
    /// with database and contents, or the database alone where the name ends in `.sqlite`. Never
    /// overwrites anything; leaves nothing half done.
    ///
    /// # Errors
    /// `invalid_argument` when something is there already; `storage`, which may speak of the disk the
    /// copy was to be on.
    pub async fn backup(&self, to: &Path) -> Result<BackedUp, Refusal> {
        if !to.is_absolute() {
            let message = format!("{} is not an absolute path", to.display());
            return Err(Refusal::new(Code::InvalidArgument, message));
        }
        if to.exists() {
            return Err(Refusal::new(
                Code::InvalidArgument,
                format!(
                    "{} is there already, and a backup overwrites nothing",
                    to.display()
                ),
            )
            .hint("Choose another name, such as one with the date in it."));
        }
        let alone = to
            .extension()
            .is_some_and(|extension| extension == "sqlite");
        // Nothing that the copy names goes while it is made.
        let _keep = self.inner.blobs.keep();
        let done = if alone {
            database_alone(&self.inner, to).await
        } else {
            directory(&self.inner, to).await
        };
        done.map_err(|error| storage(&error))
    }

    /// Looks at everything that is stored. Reads all of it.
    ///
    /// # Errors
    /// `storage`, also for a database whose structure is damaged.
    pub async fn check(&self) -> Result<Checked, Refusal> {
        let blobs = self.inner.blobs.dir().to_owned();
        let looked = self
            .inner
            .store
            .read(move |db| store::look_at_all(db, &blobs));
        looked
            .await
            .map(Checked::from)
            .map_err(|error| storage(&error))
    }
}

impl From<store::Looked> for Checked {
    fn from(looked: store::Looked) -> Self {
        Self {
            tasks: looked.tasks,
            blobs: looked.contents,
            problems: looked.problems,
        }
    }
}

/// Looks at everything in a data directory that no engine holds; `None` when nothing was ever
/// stored. The caller holds the engine's lock.
///
/// # Errors
/// When the database cannot be read, or its structure is damaged.
pub fn check(layout: &Layout) -> Result<Option<Checked>, StoreError> {
    let looked = store::look_at_closed(&layout.database(), &layout.blobs())?;
    Ok(looked.map(Checked::from))
}

async fn database_alone(inner: &Arc<Inner>, to: &Path) -> Result<BackedUp, StoreError> {
    let place = parent(to).to_owned();
    let at = |error: io::Error| StoreError::of_file(&error, to);
    // Readable for the owner alone, as the original is.
    let file = Builder::new()
        .prefix(".agents-backup-")
        .tempfile_in(&place)
        .map_err(at)?;
    let path = file.path().to_owned();
    let copied = inner.store.read(move |db| store::copy(db, &path)).await?;
    fs::File::open(file.path())
        .and_then(|file| file.sync_all())
        .map_err(at)?;
    file.persist_noclobber(to)
        .map_err(|error| at(error.error))?;
    sync_dir(&place).map_err(at)?;
    Ok(BackedUp {
        path: to.to_owned(),
        tasks: copied.tasks,
        blobs: 0,
        missing: Vec::new(),
    })
}

async fn directory(inner: &Arc<Inner>, to: &Path) -> Result<BackedUp, StoreError> {
    let at = {
        let to = to.to_owned();
        move |error: io::Error| StoreError::of_file(&error, &to)
    };
    let place = parent(to).to_owned();
    // Its final name only when it is whole; only the owner may enter it.
    let dir = Builder::new()
        .prefix(".agents-backup-")
        .tempdir_in(&place)
        .map_err(&at)?;
    let database = dir.path().join(file_name(&inner.layout.database()));
    let path = database.clone();
    let copied = inner.store.read(move |db| store::copy(db, &path)).await?;
    let (from, to) = (inner.blobs.dir().to_owned(), to.to_owned());
    let blobs = dir.path().join(file_name(&from));
    let finish = move || -> io::Result<BackedUp> {
        fs::File::open(&database)?.sync_all()?;
        fs::create_dir(&blobs)?;
        let mut missing = Vec::new();
        let all = copied.contents.len();
        for Content { sha256, .. } in copied.contents {
            if !copy_blob(&from.join(&sha256), &blobs.join(&sha256), &sha256)? {
                missing.push(sha256);
            }
        }
        sync_dir(&blobs)?;
        place_dir(dir, &to)?;
        sync_dir(&place)?;
        Ok(BackedUp {
            path: to,
            tasks: copied.tasks,
            blobs: (all - missing.len()) as u64,
            missing,
        })
    };
    let finished = tokio::task::spawn_blocking(finish).await;
    finished
        .map_err(|_panicked| StoreError::Closed)?
        .map_err(at)
}

/// Gives the directory its name. A rename replaces an empty directory at most, and whoever made one
/// there a moment ago loses nothing by it.
fn place_dir(dir: TempDir, to: &Path) -> io::Result<()> {
    sync_dir(dir.path())?;
    fs::rename(dir.path(), to)?;
    // It is not where it was any more; there is nothing to clean up.
    let _moved = dir.keep();
    Ok(())
}

/// Copies a content; `false`, and no copy, when it is missing or not what its name says.
fn copy_blob(from: &Path, to: &Path, sha256: &str) -> io::Result<bool> {
    let content = match fs::read(from) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let digest = Sha256::digest(&content);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if hex != sha256 {
        return Ok(false);
    }
    let mut file = fs::File::create_new(to)?;
    io::Write::write_all(&mut file, &content)?;
    file.sync_all()?;
    Ok(true)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn file_name(path: &Path) -> &Path {
    path.file_name().map_or(path, Path::new)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}
