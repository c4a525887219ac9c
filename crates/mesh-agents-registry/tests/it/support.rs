//! A temporary agents directory and what goes into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_registry::{Environment, Problem, Snapshot, load};
use tempfile::TempDir;

/// A card with everything that is required and nothing else.
pub(crate) const CARD: &str = r#"{
  "name": "Test Agent",
  "description": "Does what tests need.",
  "version": "1.2.3",
  "supportedInterfaces": [
    { "url": "http://127.0.0.1:3131/a2a/agents/a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }
  ],
  "capabilities": { "streaming": true },
  "defaultInputModes": ["text/plain"],
  "defaultOutputModes": ["text/markdown"],
  "skills": [
    { "id": "s", "name": "Skill", "description": "A skill.", "tags": ["one", "two"] }
  ]
}
"#;

/// A runtime that validates.
pub(crate) const RUNTIME: &str = "[runtime]\ntype = \"opencode\"\n";

/// An agents directory that goes away with this value.
pub(crate) struct Agents {
    root: TempDir,
    /// What `$NAME` may be.
    pub(crate) environment: Environment,
}

impl Agents {
    /// A directory without agents; `HOME` is `/home/owner`.
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("agents")).unwrap();
        let home = ("HOME".to_owned(), "/home/owner".to_owned());
        Self {
            root,
            environment: Environment::new([home]),
        }
    }

    /// The agents directory.
    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("agents")
    }

    /// A path beside the agents directory.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes one file of one agent.
    pub(crate) fn write(&self, agent: &str, file: &str, text: impl AsRef<[u8]>) -> &Self {
        write_into(&self.dir().join(agent), file, text.as_ref());
        self
    }

    /// Writes an agent that validates.
    pub(crate) fn good(&self, agent: &str) -> &Self {
        good_into(&self.dir().join(agent));
        self
    }

    /// Writes an agent that validates but for this `runtime.toml`.
    pub(crate) fn with_runtime(&self, agent: &str, runtime: &str) -> &Self {
        self.good(agent).write(agent, "runtime.toml", runtime)
    }

    pub(crate) fn load(&self) -> Snapshot {
        load(&self.dir(), &self.environment)
    }

    /// The agent, which must have no problem.
    pub(crate) fn definition(&self, agent: &str) -> Arc<AgentDefinition> {
        let snapshot = self.load();
        assert_eq!(self.told(&snapshot.problems), "");
        Arc::clone(&snapshot.agents[&agent.parse().unwrap()])
    }

    /// The problems as they are shown, with the temporary directory called `TMP`.
    pub(crate) fn told(&self, problems: &[Problem]) -> String {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        self.unrooted(&lines.join("\n"))
    }

    pub(crate) fn unrooted(&self, text: &str) -> String {
        text.replace(self.root.path().to_str().unwrap(), "TMP")
    }
}

pub(crate) fn good_into(dir: &Path) {
    write_into(dir, "agent-card.json", CARD.as_bytes());
    write_into(dir, "runtime.toml", RUNTIME.as_bytes());
    write_into(dir, "instructions.md", b"Do it.\n");
}

fn write_into(dir: &Path, file: &str, text: &[u8]) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
