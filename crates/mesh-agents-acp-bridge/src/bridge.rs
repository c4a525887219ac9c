//! The Runner: starts jobs, and owns the tasks that do them.

use std::fmt;
use std::sync::Arc;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::{QuestionId, RunId};
use mesh_agents_core::run::{Answer, ProcessRef, Run, RunControl, RunEvent, RunSpec, Runner};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::BridgeConfig;
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
        }
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

    fn unavailable(&self, agent: &AgentDefinition) -> Option<String> {
        preset::unavailable(agent, &self.config.environment)
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
