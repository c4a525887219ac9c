//! The two servers, each in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mesh_agents_testkit::bench::Memory;
use tempfile::TempDir;

/// What the command line says.
pub(crate) struct Setting {
    /// The program `stock-a2a-server`.
    pub(crate) stock: Option<PathBuf>,
    /// Where the filled stores are.
    pub(crate) stores: Option<PathBuf>,
}

impl Setting {
    /// The baseline, with this many tasks.
    pub(crate) fn stock(&self, tasks: u64) -> Option<Server> {
        let mut command = Command::new(self.stock.as_ref()?);
        command.arg("--tasks").arg(tasks.to_string());
        Some(Server::start(command))
    }

    /// The filled stores with the number of their tasks, small ones first.
    pub(crate) fn filled(&self) -> Vec<(u64, PathBuf)> {
        let Some(stores) = &self.stores else {
            return Vec::new();
        };
        let entries = std::fs::read_dir(stores).unwrap().map(Result::unwrap);
        let mut all: Vec<(u64, PathBuf)> = entries
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
            .collect();
        all.sort();
        all
    }
}

/// A directory beside the build, so that it lies on a disk and not in memory.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A server under way; it ends with this value.
pub(crate) struct Server {
    child: Child,
    /// Where it takes JSON-RPC.
    pub(crate) url: String,
    /// From the start of the process until it served.
    pub(crate) ready: Duration,
}

impl Server {
    /// Ours, over the store in `dir`.
    pub(crate) fn ours(dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(format!("--serve={}", dir.display()));
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let start = Instant::now();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().strip_prefix("ready ").unwrap().to_owned();
        Self {
            child,
            url,
            ready: start.elapsed(),
        }
    }

    /// What it holds of memory.
    pub(crate) fn memory(&self) -> Memory {
        Memory::of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends with its stdin; were it gone already, there would be nothing to wait for.
        let _ended = self.child.wait();
    }
}
