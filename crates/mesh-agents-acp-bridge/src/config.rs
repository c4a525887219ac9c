//! What a bridge is built with: values only, so that nothing here reads the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a bridge is built with.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// Our own environment. Only named variables of it reach a harness (DESIGN §5).
    pub environment: BTreeMap<String, String>,
    /// The binary `agents`, started again as `harness guard` and `harness exec`.
    pub agents_exe: PathBuf,
    /// The system's directory for temporary files; workspaces are made in it.
    pub temp_root: PathBuf,
    /// `<data-dir>/a2a`: never granted to a harness but for its own run and HOME.
    pub a2a_root: PathBuf,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// How long each step of a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of the program to its answer to `initialize`. OpenCode took 5.2 s when three
    /// started together on two cores (acp.md §1).
    pub initialize: Duration,
    /// For `session/new`: a stalled MCP server holds it for 60.5 s in OpenCode and Gemini.
    pub new_session: Duration,
    /// On cancel: from `session/cancel` to the answer of the prompt.
    pub cancel_answer: Duration,
    /// On cancel: from closing stdin to TERM. OpenCode leaves within 90 ms, its shells too.
    pub cancel_eof: Duration,
    /// On cancel: from TERM to KILL.
    pub cancel_term: Duration,
    /// At a normal end: from closing stdin to TERM. codex-acp takes 2.0 s.
    pub finish_eof: Duration,
    /// At a normal end: from TERM to KILL.
    pub finish_term: Duration,
    /// For the sweep, which normally takes a few milliseconds.
    pub sweep: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            initialize: Duration::from_secs(60),
            new_session: Duration::from_secs(120),
            cancel_answer: Duration::from_millis(400),
            cancel_eof: Duration::from_millis(300),
            cancel_term: Duration::from_millis(300),
            finish_eof: Duration::from_secs(3),
            finish_term: Duration::from_secs(2),
            sweep: Duration::from_millis(900),
        }
    }
}

impl BridgeConfig {
    /// A configuration with the default timeouts.
    #[must_use]
    pub fn new(
        environment: BTreeMap<String, String>,
        agents_exe: PathBuf,
        temp_root: PathBuf,
        a2a_root: PathBuf,
    ) -> Self {
        Self {
            environment,
            agents_exe,
            temp_root,
            a2a_root,
            timeouts: Timeouts::default(),
        }
    }
}
