//! Writing agent directories, as a user would: a card, a runtime, a brief, and a script to run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

/// How many tasks of an agent may run and wait.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// `runtime.max_concurrent_tasks`.
    pub running: u32,
    /// `runtime.queue.max_pending_tasks`.
    pub pending: u32,
}

/// An agent of `type = "command"`: its script is run by `/bin/sh` with the task's id as `$1`.
#[derive(Clone, Debug)]
pub struct AgentFiles {
    /// The agent's id, which names its directory.
    pub id: String,
    /// The script's text.
    pub script: String,
    /// `runtime.workspace.mode = "path"` with this path; a fresh temporary directory per task without it.
    pub workspace: Option<PathBuf>,
    /// The limits; the defaults of the file format without it.
    pub queue: Option<Queue>,
    /// Whether other nodes of the mesh may know of it.
    pub offered: bool,
}

impl AgentFiles {
    /// An agent that runs the script in a fresh directory per task.
    #[must_use]
    pub fn new(id: &str, script: &str) -> Self {
        Self {
            id: id.to_owned(),
            script: script.to_owned(),
            workspace: None,
            queue: None,
            offered: false,
        }
    }

    /// The same, run in a directory all its tasks share with the test.
    #[must_use]
    pub fn in_directory(mut self, path: &Path) -> Self {
        self.workspace = Some(path.to_owned());
        self
    }

    /// The same, told of on the mesh, its runs confined as that asks.
    #[must_use]
    pub fn offered(mut self) -> Self {
        self.offered = true;
        self
    }

    /// The same with these limits.
    #[must_use]
    pub fn with_queue(mut self, queue: Queue) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Writes the directory below `agents_dir` and returns it.
    ///
    /// # Errors
    /// What the file system refuses.
    pub(crate) fn write(&self, agents_dir: &Path) -> Result<PathBuf> {
        let dir = agents_dir.join(&self.id);
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let card = serde_json::to_string_pretty(&self.card())?;
        let files = [
            ("agent-card.json", card),
            (
                "instructions.md",
                "Run the script. Do nothing else.\n".to_owned(),
            ),
            ("run.sh", self.script.clone()),
            // Last: a directory is an agent once it has a runtime.
            ("runtime.toml", self.runtime()),
        ];
        for (name, text) in files {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(dir)
    }

    fn card(&self) -> serde_json::Value {
        json!({
            "name": self.id,
            "description": "Runs a script for a test.",
            "version": "0.1.0",
            "supportedInterfaces": [{
                "url": format!("http://127.0.0.1:3131/a2a/agents/{}", self.id),
                "protocolBinding": "JSONRPC",
                "protocolVersion": "1.0"
            }],
            "capabilities": { "streaming": true },
            "defaultInputModes": ["text/plain"],
            "defaultOutputModes": ["text/markdown"],
            "skills": [{
                "id": "run",
                "name": "Run the script",
                "description": "Runs it once per message.",
                "tags": ["test"]
            }]
        })
    }

    fn runtime(&self) -> String {
        let mut text = String::from(
            "enabled = true\nvisibility = \"private\"\n\n[runtime]\ntype = \"command\"\ncommand = \"/bin/sh\"\n\
             args = [\"{{ agent.dir }}/run.sh\", \"{{ task.id }}\"]\n",
        );
        if let Some(Queue { running, pending }) = self.queue {
            text += &format!(
                "max_concurrent_tasks = {running}\n\n[runtime.queue]\nmax_pending_tasks = {pending}\n"
            );
        }
        if let Some(path) = &self.workspace {
            // A JSON string is a TOML basic string for any path a test makes.
            text += &format!(
                "\n[runtime.workspace]\nmode = \"path\"\npath = {}\n",
                json!(path.display().to_string())
            );
        }
        if self.offered {
            text += "\n[policy]\nadvertise_on_mesh = true\nfilesystem = \"workspace\"\nnetwork = \"loopback\"\n";
        }
        text
    }
}
