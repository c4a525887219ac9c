//! Artifact contents: one immutable file per SHA-256, whole or not there.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::run::ArtifactSource;
use sha2::{Digest, Sha256};

use crate::store::StoreError;

/// Read and written in pieces of this size; an artifact never sits in memory whole while it is stored.
const PIECE: usize = 64 * 1024;

/// Names of contents on their way in begin with this.
pub(crate) const INCOMING: &str = ".incoming-";

/// Names of contents that come from elsewhere in pieces begin with this; their digest follows.
pub(crate) const PARTIAL: &str = ".partial-";

/// Whether a text is a SHA-256 as blobs are named by it. What another node says is a file name only then.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The directory of blobs. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    dir: PathBuf,
    wanted: Arc<Mutex<Wanted>>,
}

/// What must not be removed although no row of the database may name it (yet).
#[derive(Debug, Default)]
struct Wanted {
    /// Digests whose rows are being written.
    pins: HashMap<String, u32>,
    /// Readers of the whole directory.
    keeps: u32,
}

/// A blob that was stored. It stays at least until this is dropped: hold it until a row names it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    wanted: Arc<Mutex<Wanted>>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        let mut wanted = lock(&self.wanted);
        if let Some(pins) = wanted.pins.get_mut(&self.sha256) {
            *pins -= 1;
            if *pins == 0 {
                wanted.pins.remove(&self.sha256);
            }
        }
    }
}

/// While it lives no blob is removed.
#[derive(Debug)]
pub(crate) struct Keep(Arc<Mutex<Wanted>>);

impl Drop for Keep {
    fn drop(&mut self) {
        lock(&self.0).keeps -= 1;
    }
}

fn lock(wanted: &Mutex<Wanted>) -> MutexGuard<'_, Wanted> {
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a content was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    /// It cannot be kept, however often it is tried: unreadable, no file, too large.
    #[error("{0}")]
    Source(io::Error),
    /// The disk does not take it.
    #[error(transparent)]
    Store(StoreError),
}

impl Blobs {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            wanted: Arc::default(),
        }
    }

    /// Where they lie.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Copies a content into the store; on disk when this returns.
    pub(crate) async fn put(&self, source: ArtifactSource) -> Result<Stored, PutError> {
        let blobs = self.clone();
        let work = tokio::task::spawn_blocking(move || match source {
            ArtifactSource::File(path) => {
                blobs.store(&mut open_regular(&path).map_err(PutError::Source)?)
            }
            ArtifactSource::Text(text) => blobs.store(&mut text.as_bytes()),
            ArtifactSource::Elsewhere { name, .. } => Err(PutError::Source(io::Error::other(
                format!("its content is elsewhere, as \"{name}\""),
            ))),
        });
        work.await
            .map_err(|error| PutError::Source(io::Error::other(error)))?
    }

    /// Reads a content whole.
    pub(crate) async fn get(&self, sha256: &str) -> io::Result<Vec<u8>> {
        tokio::fs::read(self.dir.join(sha256)).await
    }

    /// Opens a content for reading; says its length.
    pub(crate) async fn open(&self, sha256: &str) -> io::Result<(tokio::fs::File, u64)> {
        let file = tokio::fs::File::open(self.dir.join(sha256)).await?;
        let bytes = file.metadata().await?.len();
        Ok((file, bytes))
    }

    /// A content that is here already. It stays as one that was just stored.
    pub(crate) async fn held(&self, sha256: &str) -> Option<Stored> {
        // Before it is looked at: from here on nobody removes it.
        let mut stored = self.pin(sha256.to_owned(), 0);
        let metadata = tokio::fs::metadata(self.dir.join(sha256)).await.ok()?;
        stored.bytes = metadata.len();
        metadata.is_file().then_some(stored)
    }

    /// Where a content is gathered until it is whole.
    pub(crate) fn partial(&self, sha256: &str) -> PathBuf {
        self.dir.join(format!("{PARTIAL}{sha256}"))
    }

    /// Takes a file that was gathered here and is `sha256` whole, on disk when this returns. Blocks.
    pub(crate) fn adopt(&self, gathered: &Path, sha256: &str, bytes: u64) -> io::Result<Stored> {
        let stored = self.pin(sha256.to_owned(), bytes);
        std::fs::rename(gathered, self.dir.join(sha256))?;
        std::fs::File::open(&self.dir)?.sync_all()?;
        Ok(stored)
    }

    fn pin(&self, sha256: String, bytes: u64) -> Stored {
        *lock(&self.wanted).pins.entry(sha256.clone()).or_default() += 1;
        Stored {
            sha256,
            bytes,
            wanted: Arc::clone(&self.wanted),
        }
    }

    /// Has all blobs stay while the result lives.
    pub(crate) fn keep(&self) -> Keep {
        lock(&self.wanted).keeps += 1;
        Keep(Arc::clone(&self.wanted))
    }

    /// Removes a blob unless `named` finds that a row names it, or one is about to: a content that is
    /// just being stored cannot slip in between the question and the removal. Returns its length when
    /// it was removed. Blocks; `named` should be one look into the database.
    pub(crate) fn remove_unless(
        &self,
        sha256: &str,
        named: impl FnOnce() -> Result<bool, StoreError>,
    ) -> Result<Option<u64>, StoreError> {
        let wanted = lock(&self.wanted);
        if wanted.keeps > 0 || wanted.pins.contains_key(sha256) || named()? {
            return Ok(None);
        }
        let path = self.dir.join(sha256);
        let removed = std::fs::symlink_metadata(&path).and_then(|metadata| {
            std::fs::remove_file(&path)?;
            Ok(metadata.len())
        });
        drop(wanted);
        match removed {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::of_file(&error, &path)),
        }
    }

    fn store(&self, source: &mut dyn Read) -> Result<Stored, PutError> {
        let disk = |error: io::Error| PutError::Store(StoreError::of_file(&error, &self.dir));
        let mut file = tempfile::Builder::new()
            .prefix(INCOMING)
            .tempfile_in(&self.dir)
            .map_err(disk)?;
        let (sha256, bytes) = copy(source, &mut file, disk)?;
        file.as_file().sync_all().map_err(disk)?;
        // Before it has its name: from here on nobody removes it.
        let stored = self.pin(sha256, bytes);
        file.persist(self.dir.join(&stored.sha256))
            .map_err(|error| disk(error.error))?;
        // The name, too, must outlive a power cut.
        std::fs::File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(disk)?;
        Ok(stored)
    }
}

/// Copies a content that is no larger than an artifact may be; returns its digest and length.
fn copy(
    source: &mut dyn Read,
    to: &mut impl Write,
    disk: impl Fn(io::Error) -> PutError,
) -> Result<(String, u64), PutError> {
    let mut digest = Sha256::new();
    let mut bytes = 0;
    let mut piece = vec![0; PIECE];
    loop {
        let read = source.read(&mut piece).map_err(PutError::Source)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > ARTIFACT_BYTES {
            return Err(PutError::Source(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than an artifact may be",
            )));
        }
        digest.update(&piece[..read]);
        to.write_all(&piece[..read]).map_err(&disk)?;
    }
    let hex = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok((hex, bytes))
}

fn open_regular(path: &Path) -> io::Result<std::fs::File> {
    let metadata = std::fs::symlink_metadata(path)?;
    if metadata.is_file() {
        std::fs::File::open(path)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_content_is_one_blob_and_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path().to_owned());
        let a = blobs.put(ArtifactSource::Text("abc".into())).await.unwrap();
        let b = blobs.put(ArtifactSource::Text("abc".into())).await.unwrap();
        assert_eq!((&a.sha256, a.bytes), (&b.sha256, 3));
        assert_eq!(
            a.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(blobs.get(&a.sha256).await.unwrap(), b"abc");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        blobs.put(ArtifactSource::File(link)).await.unwrap_err();
    }
    #[tokio::test]
    async fn a_blob_stays_while_its_row_is_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path().to_owned());
        let nobody = || Ok(false);
        let (a, b) = (
            blobs.put(ArtifactSource::Text("abc".into())).await.unwrap(),
            blobs.put(ArtifactSource::Text("abc".into())).await.unwrap(),
        );
        let digest = a.sha256.clone();
        for pin in [a, b] {
            assert_eq!(blobs.remove_unless(&digest, nobody).unwrap(), None);
            drop(pin);
        }
        let named = || Ok(true);
        assert_eq!(blobs.remove_unless(&digest, named).unwrap(), None);
        let keep = blobs.keep();
        assert_eq!(blobs.remove_unless(&digest, nobody).unwrap(), None);
        drop(keep);
        assert_eq!(blobs.remove_unless(&digest, nobody).unwrap(), Some(3));
        assert_eq!(blobs.remove_unless(&digest, nobody).unwrap(), None);
    }
}
