//! Windows, as far as it goes: no engine can run there, so what only an engine asks for fails.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use mesh_agents_core::system::NO_RUNS;
use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

use crate::settings::Environment;

/// Why no engine can run here.
pub(super) const MISSING: Option<&str> = Some(NO_RUNS);

/// The variable that names the owner's home directory.
pub(crate) const HOME: &str = "USERPROFILE";

/// There is no session of a terminal to leave.
pub(crate) fn leave_terminal() {}

/// What this machine calls itself.
pub(crate) fn host_name(environment: &Environment) -> String {
    let name = environment.get("COMPUTERNAME");
    name.unwrap_or_default().to_owned()
}

/// The process that started this one is not known here.
pub(crate) fn parent() -> Option<i32> {
    None
}

/// A file has the permissions of its directory, which in a user's profile are that user's alone.
pub(crate) fn owners_file() -> OpenOptions {
    OpenOptions::new()
}

/// Who can read a file is not known here, so no key of a node is kept.
pub(crate) fn keep_from_others(_path: &Path) -> Result<bool> {
    bail!(NO_RUNS)
}

/// It is for the sockets of engines, and there are none.
pub(crate) fn own_temp_dir(_temp: &Path) -> Result<PathBuf> {
    bail!(NO_RUNS)
}

/// What ends a process in the foreground or by its supervisor.
pub(crate) struct Signals {
    interrupt: CtrlC,
    terminate: CtrlBreak,
}

impl Signals {
    /// Hears them from now on, instead of ending by them.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            interrupt: ctrl_c().context("cannot listen for signals")?,
            terminate: ctrl_break().context("cannot listen for signals")?,
        })
    }

    /// Waits for the next.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
