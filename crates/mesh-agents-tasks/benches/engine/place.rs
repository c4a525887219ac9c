//! An engine in a directory of its own on the disk of the build, with a Runner whose runs never end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use futures::StreamExt as _;
use mesh_agents_core::agent::{AgentDefinition, testing::definition};
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_agents_core::ids::{QuestionId, RunId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::run::{
    Answer, MeshEndpoints, Outcome, ProcessRef, Run, RunControl, RunEvent, RunSpec, Runner,
};
use mesh_agents_tasks::{Agents, EngineConfig, TaskEngine};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Runs that wait for their cancel.
#[derive(Debug)]
struct Endless;

struct EndlessControl(CancellationToken);

impl RunControl for EndlessControl {
    fn answer(&self, _question: &QuestionId, _answer: Answer) {}
    fn cancel(&self) {
        self.0.cancel();
    }
}

impl Runner for Endless {
    fn start(&self, _spec: RunSpec) -> Run {
        let token = CancellationToken::new();
        let control = Arc::new(EndlessControl(token.clone()));
        let end = async move {
            token.cancelled().await;
            RunEvent::Ended(Outcome::Canceled)
        };
        Run {
            events: futures::stream::once(end).boxed(),
            control,
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

/// The wall clock.
#[derive(Debug)]
struct Wall;

impl Clock for Wall {
    #[expect(
        clippy::disallowed_methods,
        reason = "the bench is the outermost layer and hands the time in"
    )]
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        UnixMillis(i64::try_from(since.as_millis()).unwrap())
    }
}

/// A directory beside the build, so that it lies on a disk and not in memory.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// An engine with one agent `a` that runs one task and lets as many wait as a test may need.
pub(crate) async fn engine(dir: &Path) -> TaskEngine {
    let mut agent = definition("a");
    agent.runtime.max_pending_tasks = 10_000_000;
    let ready = BTreeMap::from([(agent.id.clone(), Arc::new(agent))]);
    TaskEngine::open(EngineConfig {
        layout: Layout::new(dir),
        clock: Arc::new(Wall),
        runner: Arc::new(Endless),
        agents: Agents {
            ready: Arc::new(ready),
            broken: Arc::default(),
        },
        mesh: MeshEndpoints::default(),
        tools_url: None,
    })
    .await
    .unwrap()
}
