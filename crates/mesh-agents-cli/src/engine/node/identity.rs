//! The node's key on disk: made once, read by its owner only.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use mesh_agents_core::layout::Layout;
use mesh_agents_mesh::{NodeKey, NodeSecret};

use crate::{exclusive, system};

/// The seed of the key is in the file as it is.
const SEED_BYTES: usize = 32;

/// Characters of a key in the name of the file it is kept in when another took its place.
const KEPT_CHARS: usize = 16;

/// The key of this data directory; made when there is none.
pub(crate) fn of(layout: &Layout) -> Result<NodeSecret> {
    let path = layout.identity();
    if let Some(known) = known(&path)? {
        return Ok(known);
    }
    // Two that begin at once must end with one key, which the disk has.
    let _alone = exclusive::hold(&path)?;
    match known(&path)? {
        Some(known) => Ok(known),
        None => make(&path),
    }
}

/// The key that is there.
fn known(path: &Path) -> Result<Option<NodeSecret>> {
    match fs::read(path) {
        Ok(bytes) => read(path, &bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("cannot read this node's key {}", path.display()))
        }
    }
}

/// A key that took the place of another.
#[derive(Debug)]
pub(crate) struct Rotated {
    /// The key before.
    pub(crate) old: NodeKey,
    /// The key now.
    pub(crate) new: NodeKey,
    /// Where the one before is.
    pub(crate) kept: PathBuf,
}

/// Makes a new key in the place of the old one, which is kept beside it. An engine that runs goes on with the
/// old one until it ends.
pub(crate) fn rotate(layout: &Layout) -> Result<Rotated> {
    let path = layout.identity();
    // Two at once would keep one and the same old key, and lose the new one of the first.
    let _alone = exclusive::hold(&path)?;
    let bytes = fs::read(&path)
        .with_context(|| format!("cannot read this node's key {}", path.display()))?;
    let old = read(&path, &bytes)?.key();
    let text = old.to_string();
    let short: String = text
        .chars()
        .skip("did:key:".len())
        .take(KEPT_CHARS)
        .collect();
    let kept = path.with_extension(format!("{short}.old"));
    let dir = path.parent().context("the key's file has no directory")?;
    let aside = write(dir, &kept, &bytes);
    aside.with_context(|| format!("cannot keep the old key in {}", kept.display()))?;
    let new = make(&path)?.key();
    Ok(Rotated { old, new, kept })
}

/// 32 random bytes of the system.
pub(crate) fn random() -> io::Result<[u8; SEED_BYTES]> {
    let mut bytes = [0; SEED_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn read(path: &Path, bytes: &[u8]) -> Result<NodeSecret> {
    let Ok(seed) = <[u8; SEED_BYTES]>::try_from(bytes) else {
        bail!(
            "{} is not this node's key: it has {} bytes and {SEED_BYTES} are right. Put it back from a backup, or remove it: then this node gets a new key, and its peers must allow that anew",
            path.display(),
            bytes.len()
        );
    };
    if system::keep_from_others(path)? {
        tracing::warn!(path = %path.display(), "others could read this node's key; they cannot any more");
    }
    Ok(NodeSecret::from_seed(&seed))
}

fn make(path: &Path) -> Result<NodeSecret> {
    let seed = random().context("the system has no random numbers")?;
    let dir = path.parent().context("the key's file has no directory")?;
    let written = write(dir, path, &seed);
    written.with_context(|| format!("cannot write this node's key {}", path.display()))?;
    Ok(NodeSecret::from_seed(&seed))
}

/// Whole or not at all: a key that others have seen must not be lost half-way.
fn write(dir: &Path, path: &Path, seed: &[u8]) -> io::Result<()> {
    // Made by its owner alone to read (0600).
    let mut new = tempfile::Builder::new()
        .prefix(".identity-")
        .tempfile_in(dir)?;
    new.write_all(seed)?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    fs::File::open(dir)?.sync_all()
}
