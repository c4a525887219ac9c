//! A task engine with one agent whose runs answer at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use mesh_agents_core::agent::{AgentDefinition, testing::definition};
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_agents_core::ids::{QuestionId, RunId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::run::{
    Answer, MeshEndpoints, Outcome, ProcessRef, Run, RunControl, RunEvent, RunSpec, Runner,
};
use mesh_agents_tasks::{Agents, EngineConfig, TaskEngine};

pub(crate) struct Node {
    pub(crate) engine: TaskEngine,
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Noon;
impl Clock for Noon {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000)
    }
}

#[derive(Debug)]
struct Echo;
struct Deaf;

impl RunControl for Deaf {
    fn answer(&self, _: &QuestionId, _: Answer) {}
    fn cancel(&self) {}
}

impl Runner for Echo {
    fn start(&self, spec: RunSpec) -> Run {
        let answer = spec.prompt;
        let events = [
            RunEvent::Text(answer.clone()),
            RunEvent::Ended(Outcome::Completed { answer }),
        ];
        Run {
            events: futures::stream::iter(events).boxed(),
            control: Arc::new(Deaf),
        }
    }
    fn alive(&self, _: &ProcessRef) -> bool {
        false
    }
    fn reap(&self, _: &RunId, _: Option<&ProcessRef>) -> u32 {
        0
    }
    fn unavailable(&self, _: &AgentDefinition) -> Option<String> {
        None
    }
}

impl Node {
    pub(crate) async fn open() -> Self {
        // Left to the system's own cleaning: a static is never dropped.
        let dir = tempfile::tempdir().unwrap().keep();
        let clock: Arc<dyn Clock> = Arc::new(Noon);
        let agent = definition("a");
        let engine = TaskEngine::open(EngineConfig {
            layout: Layout::new(&dir),
            clock: Arc::clone(&clock),
            runner: Arc::new(Echo),
            agents: Agents {
                ready: Arc::new(BTreeMap::from([(agent.id.clone(), Arc::new(agent))])),
                broken: Arc::default(),
            },
            mesh: MeshEndpoints::default(),
            tools_url: None,
        });
        Self {
            engine: engine.await.unwrap(),
            clock,
        }
    }
}
