//! A content as far as it has come: a file beside the blobs that outlives the line, and the engine.

use std::io::{self, Read as _};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

/// Read in pieces of this size.
const PIECE: usize = 64 * 1024;

/// The file, and the digest of what is in it.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    digest: Sha256,
    here: u64,
}

impl Partial {
    /// Opens what came before, or begins anew. More than `bytes` is of no use, and dropped.
    pub(super) async fn open(path: PathBuf, bytes: u64) -> io::Result<Self> {
        let opened = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::options()
                .read(true)
                .append(true)
                .create(true)
                .open(&path)?;
            if file.metadata()?.len() > bytes {
                file.set_len(0)?;
            }
            let (mut digest, mut here) = (Sha256::new(), 0);
            let mut piece = vec![0; PIECE];
            loop {
                let read = file.read(&mut piece)?;
                if read == 0 {
                    break;
                }
                digest.update(&piece[..read]);
                here += read as u64;
            }
            Ok(Self {
                path,
                file: File::from_std(file),
                digest,
                here,
            })
        });
        opened.await.map_err(io::Error::other)?
    }

    /// How many bytes are here.
    pub(super) fn here(&self) -> u64 {
        self.here
    }

    /// Takes the next piece.
    pub(super) async fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece).await?;
        self.digest.update(piece);
        self.here += piece.len() as u64;
        Ok(())
    }

    /// Has all that was taken reach the file.
    pub(super) async fn settle(&mut self) -> io::Result<()> {
        self.file.flush().await
    }

    /// The file, if it is the content of that digest and length; it is on disk then. Else it is gone. Blocks.
    pub(super) fn verified(self, sha256: &str, bytes: u64) -> io::Result<Option<PathBuf>> {
        if self.here == bytes && format!("{:x}", self.digest.finalize()) == sha256 {
            std::fs::File::open(&self.path)?.sync_all()?;
            return Ok(Some(self.path));
        }
        std::fs::remove_file(&self.path)?;
        Ok(None)
    }
}
