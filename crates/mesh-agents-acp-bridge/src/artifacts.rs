//! What a harness left in its artifacts directory, once it is gone.

use std::fs;
use std::path::{Path, PathBuf};

use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::limits::{ARTIFACT_BYTES, ARTIFACTS_PER_TASK};

/// Deepest directory below the artifacts directory that is looked into.
const DEPTH: usize = 16;
/// Most directory entries looked at; a tree larger than this is a mistake such as `node_modules`.
const ENTRIES: usize = 20_000;

/// One file that becomes an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its path relative to the artifacts directory.
    pub(crate) id: ArtifactId,
    /// Its absolute path.
    pub(crate) path: PathBuf,
}

/// What was found, and what was passed over and why.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// In the order of their ids.
    pub(crate) found: Vec<Found>,
    /// One sentence for each thing passed over.
    pub(crate) skipped: Vec<String>,
    entries: usize,
}

/// Lists the regular files below `dir`. Links are never followed: the harness may have set one to
/// any file of the owner's.
pub(crate) fn scan(dir: &Path) -> Scan {
    let mut scan = Scan::default();
    if fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir()) {
        scan.directory(dir, "", 0);
    } else {
        scan.skip("", "is no longer a directory");
    }
    scan.found.sort_by(|a, b| a.id.cmp(&b.id));
    let excess = scan.found.len().saturating_sub(ARTIFACTS_PER_TASK);
    if excess > 0 {
        scan.found.truncate(ARTIFACTS_PER_TASK);
        scan.skipped.push(format!(
            "{excess} more files: a task keeps at most {ARTIFACTS_PER_TASK} artifacts"
        ));
    }
    scan
}

impl Scan {
    fn directory(&mut self, dir: &Path, prefix: &str, depth: usize) {
        if depth > DEPTH {
            return self.skip(prefix, "is nested too deeply");
        }
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => return self.skip(prefix, &format!("cannot be listed: {error}")),
        };
        for entry in entries.flatten() {
            self.entries += 1;
            if self.entries > ENTRIES {
                return self.skip(prefix, "holds too many files");
            }
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                self.skip(prefix, "holds a name that is not UTF-8");
                continue;
            };
            let id = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}/{name}")
            };
            // Of the entry itself, not of what a link points to.
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => self.directory(&entry.path(), &id, depth + 1),
                Ok(meta) if meta.is_file() => self.file(&id, entry.path(), meta.len()),
                Ok(_) => self.skip(&id, "is neither a file nor a directory"),
                Err(error) => self.skip(&id, &format!("cannot be read: {error}")),
            }
        }
    }

    fn file(&mut self, id: &str, path: PathBuf, bytes: u64) {
        match id.parse::<ArtifactId>() {
            Ok(id) if id.as_str() == ArtifactId::RESPONSE => {
                self.skip(id.as_str(), "has the reserved name of the streamed text");
            }
            Ok(_) if bytes > ARTIFACT_BYTES => {
                let limit = ARTIFACT_BYTES / (1024 * 1024);
                self.skip(
                    id,
                    &format!("has {bytes} bytes; at most {limit} MiB are kept"),
                );
            }
            Ok(id) => self.found.push(Found { id, path }),
            Err(error) => self.skip(id, &error.to_string()),
        }
    }

    fn skip(&mut self, id: &str, why: &str) {
        // Enough to see what is wrong; a build tree would give thousands.
        if self.skipped.len() < 20 {
            let id = if id.is_empty() {
                "the artifacts directory"
            } else {
                id
            };
            self.skipped.push(format!("{id} {why}"));
        }
    }
}

/// The media type of an artifact, by its extension.
pub(crate) fn media_type(id: &ArtifactId) -> &'static str {
    match id.extension().as_deref() {
        Some("md" | "markdown") => "text/markdown",
        Some("txt" | "log") => "text/plain",
        Some("json") => "application/json",
        Some("html" | "htm") => "text/html",
        Some("csv") => "text/csv",
        Some("xml") => "application/xml",
        Some("yaml" | "yml") => "application/yaml",
        Some("toml") => "application/toml",
        Some("diff" | "patch") => "text/x-diff",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("svg") => "image/svg+xml",
        Some("pdf") => "application/pdf",
        _ => "application/octet-stream",
    }
}
