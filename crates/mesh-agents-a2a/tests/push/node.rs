//! A task engine with one agent, whose runs do what the test says, and a worker beside it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::mpsc as stream;
use mesh_agents_a2a::push::{Lookup, PushWorker, SystemLookup};
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{QuestionId, RunId, TaskId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::push::{PushConfig, PushTargets};
use mesh_agents_core::run::{
    Answer, ArtifactSource, MeshEndpoints, Outcome, ProcessRef, Run, RunControl, RunEvent, RunSpec,
    Runner,
};
use mesh_agents_core::task::{Message, Role, Task};
use mesh_agents_tasks::{Agents, EngineConfig, Submit, TaskEngine};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What never takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ten minutes pass with each look at it: the next attempt is always due at once.
#[derive(Debug)]
struct HurryingClock(AtomicI64);

impl Clock for HurryingClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.fetch_add(600_000, Ordering::SeqCst))
    }
}

/// One run, in the hands of the test.
pub(crate) struct Started(stream::UnboundedSender<RunEvent>);

impl Started {
    pub(crate) fn say(&self, event: RunEvent) {
        self.0.unbounded_send(event).unwrap();
    }

    pub(crate) fn complete(&self, answer: &str) {
        self.say(RunEvent::Text(answer.into()));
        self.say(RunEvent::Ended(Outcome::Completed {
            answer: answer.into(),
        }));
    }
}

pub(crate) fn file(id: &str, media_type: &str, content: &str) -> RunEvent {
    RunEvent::Artifact {
        id: id.parse().unwrap(),
        media_type: media_type.into(),
        source: ArtifactSource::Text(content.into()),
        complete: true,
    }
}

/// Hands every run to the test.
#[derive(Debug)]
struct FakeRunner(mpsc::UnboundedSender<stream::UnboundedSender<RunEvent>>);

struct FakeControl(stream::UnboundedSender<RunEvent>);

impl RunControl for FakeControl {
    fn answer(&self, _question: &QuestionId, _answer: Answer) {}
    fn cancel(&self) {
        let _ended = self.0.unbounded_send(RunEvent::Ended(Outcome::Canceled));
    }
}

impl Runner for FakeRunner {
    fn start(&self, _spec: RunSpec) -> Run {
        let (events, stream) = stream::unbounded();
        self.0.send(events.clone()).unwrap();
        Run {
            events: stream.boxed(),
            control: Arc::new(FakeControl(events)),
        }
    }

    fn alive(&self, _process: &ProcessRef) -> bool {
        false
    }

    fn reap(&self, _run: &RunId, _guard: Option<&ProcessRef>) -> u32 {
        0
    }

    fn unavailable(&self, _agent: &AgentDefinition) -> Option<String> {
        None
    }
}

/// The engine and its worker.
pub(crate) struct Node {
    engine: TaskEngine,
    runs: mpsc::UnboundedReceiver<stream::UnboundedSender<RunEvent>>,
    worker: JoinHandle<()>,
}

impl Node {
    pub(crate) async fn open(dir: &Path, allow: &[&str]) -> Self {
        Self::open_with(dir, allow, Arc::new(SystemLookup)).await
    }

    pub(crate) async fn open_with(dir: &Path, allow: &[&str], lookup: Arc<dyn Lookup>) -> Self {
        let (started, runs) = mpsc::unbounded_channel();
        let agent = definition("a");
        let ready = BTreeMap::from([(agent.id.clone(), Arc::new(agent))]);
        let engine = TaskEngine::open(EngineConfig {
            layout: Layout::new(dir),
            clock: Arc::new(HurryingClock(AtomicI64::new(1_700_000_000_000))),
            runner: Arc::new(FakeRunner(started)),
            agents: Agents {
                ready: Arc::new(ready),
                broken: Arc::default(),
            },
            mesh: MeshEndpoints::default(),
            tools_url: None,
        })
        .await
        .unwrap();
        engine.set_push_targets(PushTargets::read(allow.iter().copied()).unwrap());
        let worker = PushWorker::with_lookup(engine.clone(), lookup);
        Self {
            engine,
            runs,
            worker: tokio::spawn(worker.run()),
        }
    }

    /// Sends a task with this configuration; it is at work when this returns.
    pub(crate) async fn send(&mut self, push: PushConfig) -> (Task, Started) {
        let key = format!("m-{}", ulid::Ulid::new()).parse().unwrap();
        let submit = Submit {
            agent_id: "a".parse().unwrap(),
            message: Message::text(key, Role::User, "x"),
            metadata: None,
            context_id: None,
            task_id: None,
            push: Some(push),
            queue_if_offline: false,
            minted: None,
        };
        let task = self.engine.submit(&Caller::local(), submit).await.unwrap();
        let run = tokio::time::timeout(PATIENCE, self.runs.recv());
        (task, Started(run.await.expect("a run starts").unwrap()))
    }

    pub(crate) async fn put(&self, task: &TaskId, config: PushConfig) {
        let put = self.engine.push_put(&Caller::local(), task, config).await;
        put.unwrap();
    }

    pub(crate) async fn until_ended(&self, task: &TaskId) {
        let limit = PATIENCE;
        let task = self.engine.wait(&Caller::local(), task, limit).await;
        assert!(task.unwrap().state.is_terminal());
    }

    /// Waits for a note in the log of a task that is at work; its text.
    pub(crate) async fn until_noted(&self, task: &TaskId, wanted: &str) -> String {
        let found = async {
            loop {
                let events = self.engine.events(&Caller::local(), task, 0, 100).await;
                for stored in events.unwrap() {
                    if let TaskEvent::Note { code, text, .. } = stored.event
                        && code == wanted
                    {
                        return text;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("{task} has no note {wanted}"))
    }

    /// Waits until all was told or given up.
    pub(crate) async fn until_nothing_owed(&self) {
        const EVER: Duration = Duration::from_secs(u32::MAX as u64);
        let done = async {
            while self.engine.push_pending(EVER).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, done).await;
        done.expect("all is told or given up");
    }

    /// Stops the engine; returns when its worker has ended.
    pub(crate) async fn stop(self) {
        self.engine.shutdown(true).await;
        let ended = tokio::time::timeout(PATIENCE, self.worker).await;
        ended.expect("the worker ends").unwrap();
    }
}
