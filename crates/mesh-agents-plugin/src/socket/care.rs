//! What the owner asks of the store: remove what is old, make a copy, look at everything.

use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use mesh_agents_tasks::Prune;
use serde::{Deserialize, Serialize};

use super::{Engine, Refused};

/// Which ended tasks to remove; what is left out is as the settings have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PruneRequest {
    /// Those that last changed so long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than_seconds: Option<u64>,
    /// All but so many, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u64>,
    /// Whether to say only what would be removed.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneAnswer {
    /// Tasks.
    pub tasks: u64,
    /// Contents of artifacts that no task has any more.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Ended tasks that are kept.
    pub kept: u64,
    /// Whether nothing was removed.
    pub dry_run: bool,
}

/// Where to put a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRequest {
    /// An absolute path at which nothing is yet.
    pub path: PathBuf,
}

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupAnswer {
    /// Where it is.
    pub path: PathBuf,
    /// Tasks.
    pub tasks: u64,
    /// Contents of artifacts.
    pub blobs: u64,
    /// Contents that were missing or damaged, by digest.
    pub missing: Vec<String>,
}

/// What a look at everything found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckAnswer {
    /// Tasks there are.
    pub tasks: u64,
    /// Contents of artifacts there should be.
    pub blobs: u64,
    /// What is wrong, each in a line.
    pub problems: Vec<String>,
}

pub(super) async fn prune(
    State(engine): State<Engine>,
    Json(request): Json<PruneRequest>,
) -> Result<Json<PruneAnswer>, Refused> {
    let prune = Prune {
        older_than: request.older_than_seconds.map(Duration::from_secs),
        keep: request.keep,
        dry_run: request.dry_run,
        ..Prune::default()
    };
    let done = engine.tasks.prune(prune).await.map_err(Refused)?;
    Ok(Json(PruneAnswer {
        tasks: done.tasks,
        blobs: done.blobs,
        bytes: done.bytes,
        kept: done.kept,
        dry_run: request.dry_run,
    }))
}

pub(super) async fn backup(
    State(engine): State<Engine>,
    Json(request): Json<BackupRequest>,
) -> Result<Json<BackupAnswer>, Refused> {
    let made = engine.tasks.backup(&request.path).await.map_err(Refused)?;
    Ok(Json(BackupAnswer {
        path: made.path,
        tasks: made.tasks,
        blobs: made.blobs,
        missing: made.missing,
    }))
}

pub(super) async fn check(State(engine): State<Engine>) -> Result<Json<CheckAnswer>, Refused> {
    let checked = engine.tasks.check().await.map_err(Refused)?;
    Ok(Json(CheckAnswer {
        tasks: checked.tasks,
        blobs: checked.blobs,
        problems: checked.problems,
    }))
}
