//! Where things lie below the data directory (DESIGN §2.2). Paths only; nothing is touched here.

use std::path::{Path, PathBuf};

use crate::ids::{AgentId, TaskId};

/// The files of one data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    a2a: PathBuf,
}

impl Layout {
    /// The layout below `data_dir` (`~/.mesh-llm` unless set otherwise).
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            a2a: data_dir.join("a2a"),
        }
    }

    /// The directory that is ours: `<data-dir>/a2a`.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.a2a
    }

    /// Tasks, event log and artifact index.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.a2a.join("mesh-agents.sqlite")
    }

    /// Artifact contents, one file per SHA-256.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.a2a.join("blobs")
    }

    /// Settings.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.a2a.join("agents.toml")
    }

    /// The node's key: 32 bytes, its owner's only.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.a2a.join("identity.key")
    }

    /// Who of other nodes may call.
    #[must_use]
    pub fn acl(&self) -> PathBuf {
        self.a2a.join("acl.toml")
    }

    /// Held by the one engine of this data directory; holds its pid and socket path.
    #[must_use]
    pub fn engine_lock(&self) -> PathBuf {
        self.a2a.join("engine.lock")
    }

    /// The engine's socket, unless the path is too long for one.
    #[must_use]
    pub fn engine_socket(&self) -> PathBuf {
        self.a2a.join("engine.sock")
    }

    /// The engine's log when it runs in the background.
    #[must_use]
    pub fn engine_log(&self) -> PathBuf {
        self.a2a.join("engine.log")
    }

    /// What belongs to one agent's runs.
    #[must_use]
    pub fn agent(&self, agent: &AgentId) -> PathBuf {
        self.a2a.join("agents").join(agent.as_str())
    }

    /// The harness's private HOME.
    #[must_use]
    pub fn agent_home(&self, agent: &AgentId) -> PathBuf {
        self.agent(agent).join("home")
    }

    /// The directory of one task's run: prompt, artifacts, logs.
    #[must_use]
    pub fn run(&self, agent: &AgentId, task: &TaskId) -> RunDirs {
        RunDirs {
            root: self.agent(agent).join("runtime").join(task.as_str()),
        }
    }
}

/// The directory of one task's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDirs {
    /// `<data-dir>/a2a/agents/<agent-id>/runtime/<task-id>`.
    pub root: PathBuf,
}

impl RunDirs {
    /// The caller's message, for harnesses that read it from a file.
    #[must_use]
    pub fn prompt(&self) -> PathBuf {
        self.root.join("prompt.txt")
    }

    /// Where a harness leaves its results.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// What a harness said besides its results.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The harness's standard error.
    #[must_use]
    pub fn stderr_log(&self) -> PathBuf {
        self.logs().join("harness.stderr")
    }

    /// Every ACP line in both directions.
    #[must_use]
    pub fn acp_log(&self) -> PathBuf {
        self.logs().join("acp.jsonl")
    }
}
