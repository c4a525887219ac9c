//! The Runner: starts jobs, and owns the tasks that do them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use mesh_agents_core::agent::{AgentDefinition, Network, RuntimeKind};
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_core::ids::{QuestionId, RunId};
use mesh_agents_core::layout::RunDirs;
use mesh_agents_core::run::{
    Answer, LeftFile, ProcessRef, Run, RunControl, RunEvent, RunSpec, Runner,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::artifacts;
use crate::config::BridgeConfig;
use crate::confinement::{self, platform_confinement};
use crate::job::Job;
use crate::session::Questions;
use crate::{platform, preset};

/// Events a run may be ahead of its reader. Enough that a burst of updates does not wait for the
/// store's next commit; few enough that a flood waits in the harness and not in our memory.
const EVENTS: usize = 256;

/// Drives ACP harnesses. Cheap to clone; all clones own the same runs.
#[derive(Clone)]
pub struct AcpBridge {
    config: Arc<BridgeConfig>,
    tracker: TaskTracker,
    machine: Arc<OnceLock<PlatformConfinement>>,
}

impl fmt::Debug for AcpBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcpBridge")
            .field("runs", &self.tracker.len())
            .finish_non_exhaustive()
    }
}

impl AcpBridge {
    /// A bridge with this configuration.
    #[must_use]
    pub fn new(config: BridgeConfig) -> Self {
        Self {
            config: Arc::new(config),
            tracker: TaskTracker::new(),
            machine: Arc::default(),
        }
    }

    /// What this machine can keep a run from, for adverts and `agents doctor`. The first call tries
    /// it, which takes some milliseconds and blocks; later ones know.
    pub fn confinement(&self) -> &PlatformConfinement {
        let try_it = || platform_confinement(&self.config.agents_exe);
        self.machine.get_or_init(try_it)
    }

    /// Why a run of this agent would be refused for its network. What its files need is asked only
    /// when a run starts, since a default that cannot be kept is skipped.
    fn cannot_confine(&self, agent: &AgentDefinition) -> Option<String> {
        let network = agent.policy.network;
        if agent.runtime.kind == RuntimeKind::Remote || network == Network::Allow {
            return None;
        }
        let why = self.confinement().lacks(network)?;
        Some(confinement::network_unavailable(network, why).message)
    }

    /// Waits until every run has ended and every task of this bridge is over. Runs are not
    /// cancelled by it. New runs may still be started, and are waited for too.
    pub async fn drain(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Runner for AcpBridge {
    fn start(&self, spec: RunSpec) -> Run {
        let (sender, receiver) = mpsc::channel(EVENTS);
        let cancel = CancellationToken::new();
        let questions = Arc::new(Questions::default());
        let job = Job {
            config: Arc::clone(&self.config),
            tracker: self.tracker.clone(),
            spec,
            events: sender,
            cancel: cancel.clone(),
            questions: Arc::clone(&questions),
        };
        self.tracker.spawn(job.run());
        Run {
            events: Box::pin(events(receiver)),
            control: Arc::new(Control { cancel, questions }),
        }
    }

    fn alive(&self, process: &ProcessRef) -> bool {
        platform::birth(process.pid) == Some(process.birth)
    }

    fn reap(&self, run: &RunId, guard: Option<&ProcessRef>) -> u32 {
        // The guard first: a stopped one that is woken later must find nothing to do, and it holds
        // no more than what the mark finds anyway.
        if let Some(guard) = guard {
            platform::kill_one(guard.pid, guard.birth);
        }
        let budget = self.config.timeouts.sweep;
        platform::sweep(None, run.as_str(), budget).left
    }

    fn left(&self, _agent: &AgentDefinition, dirs: &RunDirs) -> Vec<LeftFile> {
        let found = artifacts::scan(&dirs.artifacts()).found.into_iter();
        found
            .map(|file| LeftFile {
                media_type: artifacts::media_type(&file.id).to_owned(),
                id: file.id,
                path: file.path,
            })
            .collect()
    }

    fn unavailable(&self, agent: &AgentDefinition) -> Option<String> {
        let program = preset::unavailable(agent, &self.config.environment);
        program.or_else(|| self.cannot_confine(agent))
    }
}

fn events(receiver: mpsc::Receiver<RunEvent>) -> impl futures::Stream<Item = RunEvent> + Send {
    futures::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    })
}

/// Influences one run.
struct Control {
    cancel: CancellationToken,
    questions: Arc<Questions>,
}

impl RunControl for Control {
    fn answer(&self, question: &QuestionId, answer: Answer) {
        self.questions.answer(question, answer);
    }

    fn cancel(&self) {
        self.cancel.cancel();
    }
}
