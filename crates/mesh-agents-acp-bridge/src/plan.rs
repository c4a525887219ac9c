//! What to start: the values that pass between the planner of a runtime type ([`crate::preset`])
//! and the bridge that starts, confines and drives whatever was planned.
//!
//! The planner decides from values and looks at the file system only to find a program; the bridge
//! never knows which runtime type it drives. [`crate::preset`] offers:
//! `plan(&PlanContext) -> Result<LaunchPlan, Failure>`, `needs_model(&AgentDefinition) -> bool`,
//! `unavailable(&AgentDefinition, environment) -> Option<String>` and
//! `expand_workspace_path(&RunSpec, environment, template) -> Result<PathBuf, Failure>`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mesh_agents_core::run::RunSpec;
use serde_json::Value;

/// What a plan is made from.
#[derive(Debug)]
pub(crate) struct PlanContext<'a> {
    /// The run.
    pub(crate) spec: &'a RunSpec,
    /// Absolute path of the directory the harness will work in; it exists.
    pub(crate) workspace: &'a Path,
    /// Our own environment, for `$NAME` and `PATH`.
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// The binary `agents`, for the built-in harness.
    pub(crate) agents_exe: &'a Path,
    /// The model to use at `mesh.openai_url`; set when `needs_model` said so.
    pub(crate) model: Option<&'a str>,
}

/// A file the harness needs before it starts, such as its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanFile {
    /// Absolute path below the private HOME.
    pub(crate) path: PathBuf,
    /// Its content; written with mode 0600.
    pub(crate) text: String,
}

/// Which HOME a harness gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HomeKind {
    /// The agent's own, below the data directory.
    Private,
    /// The owner's, for a harness with a login and configuration of its own.
    Owner,
}

/// Whether a harness wires MCP servers given in `session/new`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum McpSupport {
    /// Over HTTP, when it also advertises so.
    Http,
    /// Not at all, whatever it advertises.
    None,
}

/// How to start one harness.
#[derive(Debug, Clone)]
pub(crate) struct LaunchPlan {
    /// Absolute path, found on PATH by the planner.
    pub(crate) program: PathBuf,
    /// Its arguments, expanded.
    pub(crate) args: Vec<String>,
    /// Environment beyond the base of every harness, expanded: the preset's own, then `[runtime.env]`.
    pub(crate) env: Vec<(String, String)>,
    /// Files to write before the start.
    pub(crate) files: Vec<PlanFile>,
    /// Paths it may read beyond the grants of every harness.
    pub(crate) read: Vec<PathBuf>,
    /// Directories it may write beyond the grants of every harness; made when they are not there.
    pub(crate) write: Vec<PathBuf>,
    /// Which HOME it gets.
    pub(crate) home: HomeKind,
    /// Whether our tools can reach it.
    pub(crate) mcp: McpSupport,
    /// A text of its own making that is no answer, taken from its `session/new` result: a piece of
    /// the answer equal to it is dropped. [`no_text`] when there is none.
    pub(crate) ignore_text: fn(&Value) -> Option<String>,
}

/// The `ignore_text` of a harness that says nothing of its own.
pub(crate) fn no_text(_session: &Value) -> Option<String> {
    None
}
