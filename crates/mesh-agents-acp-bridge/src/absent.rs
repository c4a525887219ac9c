//! The face of this crate on a system that is no Unix: nothing is driven there, and each part says so.
//!
//! What is missing is the guard: a process that ends the whole tree of a harness when the engine goes. Windows has
//! job objects for that; once a guard holds one, the modules beside this one move out of their `cfg(unix)`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use futures::StreamExt as _;
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_core::ids::{QuestionId, RunId};
use mesh_agents_core::run::{
    Answer, Outcome, ProcessRef, Run, RunControl, RunEvent, RunSpec, Runner,
};
use mesh_agents_core::system::NO_RUNS;
use mesh_agents_core::task::Failure;

use crate::config::BridgeConfig;
use crate::support::ConfinementSupport;

/// A Runner whose every run fails at once with `unsupported_system`.
#[derive(Debug, Clone)]
pub struct AcpBridge {
    machine: Arc<PlatformConfinement>,
}

impl AcpBridge {
    /// A bridge; nothing of the configuration is used.
    #[must_use]
    pub fn new(config: BridgeConfig) -> Self {
        let BridgeConfig { agents_exe, .. } = config;
        let machine = platform_confinement(&agents_exe);
        Self {
            machine: Arc::new(machine),
        }
    }

    /// What this machine can keep a run from: nothing.
    pub fn confinement(&self) -> &PlatformConfinement {
        &self.machine
    }

    /// Returns at once: a run has ended before it is handed out.
    pub async fn drain(&self) {}
}

impl Runner for AcpBridge {
    fn start(&self, _spec: RunSpec) -> Run {
        let failure = Failure::new("unsupported_system", NO_RUNS);
        let ended = RunEvent::Ended(Outcome::Failed(failure));
        Run {
            events: futures::stream::iter([ended]).boxed(),
            control: Arc::new(Over),
        }
    }

    /// No run was ever started here.
    fn alive(&self, _process: &ProcessRef) -> bool {
        false
    }

    /// No run was ever started here, so nothing is left of one.
    fn reap(&self, _run: &RunId, _guard: Option<&ProcessRef>) -> u32 {
        0
    }

    fn unavailable(&self, _agent: &AgentDefinition) -> Option<String> {
        Some(NO_RUNS.to_owned())
    }
}

/// Controls a run that is over: it has no question, and nothing of it is left to end.
struct Over;

impl RunControl for Over {
    fn answer(&self, _question: &QuestionId, _answer: Answer) {}

    fn cancel(&self) {}
}

/// Whether this machine can confine a harness: it cannot run one.
#[must_use]
pub fn confinement_support() -> ConfinementSupport {
    ConfinementSupport::Missing(NO_RUNS.to_owned())
}

/// What this machine can keep a run from: nothing, since it has none.
#[must_use]
pub fn platform_confinement(_agents_exe: &Path) -> PlatformConfinement {
    let why = || Some(NO_RUNS.to_owned());
    PlatformConfinement {
        filesystem: why(),
        loopback: why(),
        deny: why(),
    }
}

/// There are no runs here, so nobody is part of one.
pub fn may_be_in_a_run(_pid: u32) -> bool {
    false
}

/// `agents harness guard`: says that there is none here, and ends with 1.
pub fn guard_main() -> ExitCode {
    refuse()
}

/// `agents harness exec`: says that there is none here, and ends with 1.
pub fn stage_main() -> ExitCode {
    refuse()
}

/// `agents harness probe`: says that there is nothing to try here, and ends with 1.
pub fn probe_main() -> ExitCode {
    refuse()
}

/// `agents harness command`: says that there is none here, and ends with 1.
pub fn command_main(_args: impl IntoIterator<Item = OsString>) -> ExitCode {
    refuse()
}

fn refuse() -> ExitCode {
    use std::io::Write as _;
    // A closed standard error changes nothing about the answer.
    let _closed = writeln!(std::io::stderr(), "error: {NO_RUNS}");
    ExitCode::FAILURE
}
