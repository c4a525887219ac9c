//! A data directory, an agents directory, and the processes on them; all gone with the place.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mesh_agents_core::layout::Layout;
use mesh_agents_testkit::AgentDir;
use serde_json::Value;
use tempfile::TempDir;

use super::http::Http;

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The directories.
pub(crate) struct Place {
    dir: TempDir,
}

/// A process, killed when dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        // A short path, so that the socket lies in the data directory.
        let dir = tempfile::tempdir().unwrap();
        for name in ["data/a2a", "agents", "home"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::new(&self.data())
    }

    /// An agent with the scripted harness.
    pub(crate) fn agent(&self, id: &str) -> AgentDir {
        AgentDir::new(self.dir.path().join("agents"), id)
            .scripted_acp(mesh_agents_testkit::bin("scripted-acp-agent"))
    }

    /// The binary with these words, on these directories and nothing of the caller's.
    pub(crate) fn agents(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agents"));
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.dir.path().join("home"))
            .env("MESH_AGENTS_DATA_DIR", self.data())
            .env("MESH_AGENTS_DIR", self.dir.path().join("agents"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Starts an engine; returns it once it has answered, and how long that took.
    pub(crate) fn engine(&self) -> (Process, Duration) {
        let start = Instant::now();
        let engine = self.agents(&["engine", "--listen", "127.0.0.1:0"]).spawn();
        let engine = Process(engine.unwrap());
        self.until_ready(start);
        (engine, start.elapsed())
    }

    /// Starts `agents serve`; returns it with its base URL.
    pub(crate) fn serve(&self) -> (Process, String) {
        let start = Instant::now();
        let node = self.agents(&["serve", "--listen", "127.0.0.1:0"]).spawn();
        let node = Process(node.unwrap());
        let status = self.until_ready(start);
        let base = status["base_url"].as_str().unwrap().to_owned();
        (node, base)
    }

    fn until_ready(&self, start: Instant) -> Value {
        loop {
            if let Some(status) = self.status() {
                return status;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "no engine on {}",
                self.data().display()
            );
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// How the engine is, if it answers.
    pub(crate) fn status(&self) -> Option<Value> {
        let status = self.socket()?.get("/engine/v1/status")?;
        serde_json::from_str(&status).ok()
    }

    /// A connection to the engine's socket.
    pub(crate) fn socket(&self) -> Option<Http> {
        Http::socket(&self.layout().engine_socket())
    }

    /// Waits until `condition` holds.
    pub(crate) fn until<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(value) = condition() {
                return value;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "it did not happen on {}",
                self.data().display()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
