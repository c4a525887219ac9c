//! Artifact contents: one immutable file per SHA-256, whole or not there.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::run::ArtifactSource;
use sha2::{Digest, Sha256};

/// Read and written in pieces of this size; an artifact never sits in memory whole while it is stored.
const PIECE: usize = 64 * 1024;

/// The directory of blobs.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    dir: PathBuf,
}

/// A blob that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

impl Blobs {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Copies a content into the store; on disk when this returns.
    pub(crate) async fn put(&self, source: ArtifactSource) -> io::Result<Stored> {
        let dir = self.dir.clone();
        let work = tokio::task::spawn_blocking(move || match source {
            ArtifactSource::File(path) => put(&dir, &mut open_regular(&path)?),
            ArtifactSource::Text(text) => put(&dir, &mut text.as_bytes()),
        });
        work.await.map_err(io::Error::other)?
    }

    /// Reads a content whole.
    pub(crate) async fn get(&self, sha256: &str) -> io::Result<Vec<u8>> {
        tokio::fs::read(self.dir.join(sha256)).await
    }
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

fn put(dir: &Path, source: &mut dyn Read) -> io::Result<Stored> {
    let mut file = tempfile::Builder::new()
        .prefix(".incoming-")
        .tempfile_in(dir)?;
    let mut digest = Sha256::new();
    let mut bytes = 0;
    let mut piece = vec![0; PIECE];
    loop {
        let read = source.read(&mut piece)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > ARTIFACT_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than an artifact may be",
            ));
        }
        digest.update(&piece[..read]);
        file.write_all(&piece[..read])?;
    }
    let sha256 = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    file.as_file().sync_all()?;
    let path = dir.join(&sha256);
    file.persist(&path).map_err(|error| error.error)?;
    Ok(Stored { sha256, bytes })
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
        assert_eq!(a, b);
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
}
