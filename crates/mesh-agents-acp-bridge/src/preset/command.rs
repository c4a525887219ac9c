//! A fixed command without a model, started by our own small ACP harness.

use std::path::{Path, PathBuf};

use mesh_agents_core::task::Failure;

use super::{Configured, Harness, path_text};
use crate::plan::{McpSupport, no_text};

pub(super) const HARNESS: Harness = Harness {
    command: "",
    args: &[],
    install: "install it, or set runtime.command to its full path",
    uses_model: false,
    helpers: &[],
    mcp: McpSupport::None,
    ignore_text: no_text,
    configure: |_| {
        Ok(Configured {
            owner_home: true,
            ..Configured::default()
        })
    },
};

/// The command line in which `agents harness command` runs `program` with `args`.
pub(super) fn under_our_harness(
    agents_exe: &Path,
    program: &Path,
    args: Vec<String>,
) -> Result<(PathBuf, Vec<String>), Failure> {
    let command = ["harness", "command", "--", path_text(program)?].map(str::to_owned);
    Ok((
        agents_exe.to_owned(),
        command.into_iter().chain(args).collect(),
    ))
}
