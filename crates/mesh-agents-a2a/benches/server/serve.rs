//! Our server in a process of its own: a task engine with one agent `a`, whose runs do what the message says, as those
//! of `tests/stock-a2a-server` do.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use futures::stream::BoxStream;
use mesh_agents_a2a::card::{AccessTokens, Place};
use mesh_agents_a2a::router::router;
use mesh_agents_a2a::server::A2aServer;
use mesh_agents_core::agent::{AgentDefinition, testing::definition};
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_agents_core::ids::{QuestionId, RunId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::run::{
    Answer, MeshEndpoints, Outcome, ProcessRef, Run, RunControl, RunEvent, RunSpec, Runner,
};
use mesh_agents_tasks::{Agents, EngineConfig, TaskEngine};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether a stream may begin.
const LOOK: Duration = Duration::from_millis(5);
/// Runs at once: as many as there are clients.
const RUNS: u32 = 64;

/// Does what the text of a message says.
#[derive(Debug)]
struct Words;

struct Nothing;

impl RunControl for Nothing {
    fn answer(&self, _question: &QuestionId, _answer: Answer) {}
    fn cancel(&self) {}
}

impl Runner for Words {
    fn start(&self, spec: RunSpec) -> Run {
        let line = spec.prompt.lines().last().unwrap_or_default();
        let words: Vec<&str> = line.split(' ').collect();
        let said = match words.as_slice() {
            ["stream", count, bytes, pace, gate] => said(
                count.parse().unwrap(),
                bytes.parse().unwrap(),
                Duration::from_millis(pace.parse().unwrap()),
                gate.into(),
            ),
            _ => futures::stream::empty().boxed(),
        };
        let ended = RunEvent::Ended(Outcome::Completed {
            answer: String::new(),
        });
        Run {
            events: said.chain(futures::stream::iter([ended])).boxed(),
            control: Arc::new(Nothing),
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

/// `count` pieces of `bytes` each, one in each `pace` or as fast as they are taken, as soon as the
/// file `gate` exists.
fn said(count: usize, bytes: usize, pace: Duration, gate: PathBuf) -> BoxStream<'static, RunEvent> {
    let open = async move {
        while !gate.exists() {
            tokio::time::sleep(LOOK).await;
        }
        let beats = (!pace.is_zero()).then(|| tokio::time::interval(pace));
        futures::stream::unfold((count, beats), move |(left, mut beats)| async move {
            let left = left.checked_sub(1)?;
            match &mut beats {
                Some(beats) => {
                    beats.tick().await;
                }
                None => tokio::task::yield_now().await,
            }
            Some((RunEvent::Text("#".repeat(bytes)), (left, beats)))
        })
    };
    futures::stream::once(open).flatten().boxed()
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

/// Serves the store in `dir`, says where, and ends with its stdin.
pub(crate) async fn serve(dir: &Path) {
    let mut agent = definition("a");
    agent.runtime.max_concurrent_tasks = NonZeroU32::new(RUNS).unwrap();
    agent.runtime.max_pending_tasks = 10_000_000;
    let ready = BTreeMap::from([(agent.id.clone(), Arc::new(agent))]);
    let engine = TaskEngine::open(EngineConfig {
        layout: Layout::new(dir),
        clock: Arc::new(Wall),
        runner: Arc::new(Words),
        agents: Agents {
            ready: Arc::new(ready),
            broken: Arc::default(),
        },
        mesh: MeshEndpoints::default(),
        tools_url: None,
    });
    let engine = engine.await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let end = CancellationToken::new();
    let app = router(A2aServer {
        engine: engine.clone(),
        place: Place {
            base: base.clone(),
            tokens: AccessTokens::None,
            seal: None,
        },
        end: end.clone(),
    });
    let app = app.layer(axum::Extension(Caller::local()));
    let mut out = std::io::stdout();
    writeln!(out, "ready {base}/a2a/agents/a").unwrap();
    let gone = async {
        let mut stdin = tokio::io::stdin();
        // Whoever started this process has ended; an error says the same.
        let _end = stdin.read_to_end(&mut Vec::new()).await;
    };
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served.unwrap(),
        () = gone => end.cancel(),
    }
    engine.shutdown(true).await;
}
