//! The node under test, started, killed and stopped by `tests/a2a-clients/node.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A node and the directory that is all of its world.
pub(crate) struct Node {
    stage: TempDir,
    /// Where it is reached.
    pub(crate) base: String,
}

impl Node {
    pub(crate) fn start() -> Self {
        let stage = tempfile::tempdir().unwrap();
        let mut node = Self {
            stage,
            base: String::new(),
        };
        node.base = node.script("start");
        node
    }

    pub(crate) fn stage(&self) -> PathBuf {
        self.stage.path().to_owned()
    }

    /// Ends the engine with SIGKILL and starts it again, on the same port and data.
    pub(crate) fn kill_and_start_again(&self) {
        self.script("kill");
        assert_eq!(self.script("start"), self.base, "the node's address");
    }

    fn script(&self, verb: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/a2a-clients/node.sh");
        let done = Command::new(script)
            .arg(verb)
            .arg(self.stage.path())
            .env("AGENTS_BIN", env!("CARGO_BIN_EXE_agents"))
            .env(
                "A2A_TEST_AGENT",
                mesh_agents_testkit::bin("scripted-acp-agent"),
            )
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(done.status.success(), "node.sh {verb}: {}", done.status);
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.script("stop");
    }
}
