//! The one Runner of a node: each agent's runs go to whoever can do them.

use std::sync::Arc;

use mesh_agents_a2a::remote::{Dial, Lookup, RemoteRunner, RemoteTimeouts};
use mesh_agents_acp_bridge::AcpBridge;
use mesh_agents_core::agent::{AgentDefinition, RuntimeKind};
use mesh_agents_core::content::{ContentSpec, ContentStream};
use mesh_agents_core::ids::{AgentId, RunId};
use mesh_agents_core::layout::RunDirs;
use mesh_agents_core::run::{Away, LeftFile, ProcessRef, Run, RunSpec, Runner};

use crate::settings::Environment;

/// A harness on this machine, or an agent elsewhere.
#[derive(Debug)]
pub(crate) struct Runners {
    bridge: AcpBridge,
    remote: RemoteRunner,
}

impl Runners {
    /// The runners of a node. Tokens of remote agents come from `environment`.
    pub(crate) fn new(
        bridge: AcpBridge,
        environment: Arc<Environment>,
        mesh: Option<Arc<dyn Dial>>,
    ) -> Self {
        let lookup: Lookup = Arc::new(move |name| environment.0.get(name).cloned());
        Self {
            bridge,
            remote: RemoteRunner::new(lookup, RemoteTimeouts::default(), mesh),
        }
    }

    /// Waits until every run has ended. Runs are not cancelled by it.
    pub(super) async fn drain(&self) {
        tokio::join!(self.bridge.drain(), self.remote.drain());
    }

    fn of(&self, agent: &AgentDefinition) -> &dyn Runner {
        match agent.runtime.kind {
            RuntimeKind::Remote => &self.remote,
            _ => &self.bridge,
        }
    }
}

impl Runner for Runners {
    fn start(&self, spec: RunSpec) -> Run {
        self.of(&spec.agent).start(spec)
    }

    /// Only harnesses have processes here.
    fn alive(&self, process: &ProcessRef) -> bool {
        self.bridge.alive(process)
    }

    fn reap(&self, run: &RunId, guard: Option<&ProcessRef>) -> u32 {
        self.bridge.reap(run, guard)
    }

    /// What a remote run keeps in that directory is no result yet.
    fn left(&self, agent: &AgentDefinition, dirs: &RunDirs) -> Vec<LeftFile> {
        self.of(agent).left(agent, dirs)
    }

    fn unavailable(&self, agent: &AgentDefinition) -> Option<String> {
        self.of(agent).unavailable(agent)
    }

    fn away(&self, agent: &AgentDefinition) -> Option<Away> {
        self.of(agent).away(agent)
    }

    /// Harnesses leave everything here.
    fn content(&self, wanted: ContentSpec) -> ContentStream {
        self.remote.content(wanted)
    }

    fn stand_in(&self, agent: &AgentId) -> Option<AgentDefinition> {
        self.remote.stand_in(agent)
    }
}
