//! Taking up 10,000 open tasks: 9,000 that wait, 1,000 whose runs ended with the engine before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_agents_core::ids::{MessageId, QuestionId, RunId};
use mesh_agents_core::policy::Caller;
use mesh_agents_core::run::{
    Answer, MeshEndpoints, ProcessRef, Run, RunControl, RunEvent, RunSpec, Runner,
};
use mesh_agents_core::task::{Message, Role};
use mesh_agents_registry::Watcher;
use mesh_agents_tasks::{Agents, EngineConfig, Submit, TaskEngine};
use mesh_agents_testkit::bench::{Row, ms};
use serde_json::json;
use tokio::task::JoinSet;
use ulid::Ulid;

use super::place::Place;

/// Tasks that run when their engine ends.
const WORKING: u32 = 1_000;
/// Tasks that wait.
const QUEUED: u32 = 9_000;
/// Clients that send them, so that they share commits.
const CLIENTS: u32 = 50;

/// Runs whose guards are dead.
#[derive(Debug)]
struct Dead;

struct Nothing;

impl RunControl for Nothing {
    fn answer(&self, _question: &QuestionId, _answer: Answer) {}
    fn cancel(&self) {}
}

impl Runner for Dead {
    fn start(&self, spec: RunSpec) -> Run {
        // No process was born at tick 1.
        let guard = ProcessRef { pid: 1, birth: 1 };
        let started = RunEvent::Started {
            session_id: spec.run_id.to_string(),
            resumable: false,
        };
        let events = futures::stream::iter([RunEvent::Process(guard), started]);
        Run {
            events: events.chain(futures::stream::pending()).boxed(),
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

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_790_000_000_000)
    }
}

pub(crate) fn rows() {
    let place = Place::new();
    let agent = place
        .agent("a")
        .runtime_key(&format!("max_concurrent_tasks = {WORKING}"))
        .tables("[runtime.queue]\nmax_pending_tasks = 10000");
    agent.write().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(leave_open(&place));
    runtime.shutdown_background();
    // Disabled, what waits goes on waiting: what is measured is the taking up, not ten thousand runs.
    agent.top_key("enabled = false").write().unwrap();
    let empty = Place::new().engine().1;
    let start = Instant::now();
    let (_engine, ready) = place.engine();
    let queued = place.status().unwrap()["queued"].clone();
    assert_eq!(queued, QUEUED);
    let none_works = || {
        let working = place
            .socket()?
            .tool("list_tasks", &json!({ "state": "working" }));
        working["tasks"].as_array()?.is_empty().then_some(())
    };
    place.until(none_works);
    let settled = start.elapsed();
    let ratio = |time: Duration| time.as_secs_f64() / empty.as_secs_f64();
    Row::new(
        format!("recover {} open tasks: until it serves", WORKING + QUEUED),
        ms(ready),
    )
    .baseline(format!("empty: {}", ms(empty)), ratio(ready))
    .budget("≤ 1 s", ready <= Duration::from_secs(1))
    .print();
    Row::new(
        format!("… until the {WORKING} interrupted ones have their cause"),
        ms(settled),
    )
    .baseline(format!("empty: {}", ms(empty)), ratio(settled))
    .print();
}

/// Leaves the tasks as a killed engine does: nothing is told to stop.
async fn leave_open(place: &Place) {
    let (_watcher, snapshots) = Watcher::start(
        &place.data().with_file_name("agents"),
        mesh_agents_registry::Environment {
            variables: BTreeMap::new(),
        },
    )
    .unwrap();
    let ready = Arc::new(snapshots.borrow().agents.clone());
    let engine = TaskEngine::open(EngineConfig {
        layout: place.layout(),
        clock: Arc::new(Noon),
        runner: Arc::new(Dead),
        agents: Agents {
            ready,
            broken: Arc::default(),
        },
        mesh: MeshEndpoints::default(),
        tools_url: None,
    });
    let engine = engine.await.unwrap();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let engine = engine.clone();
        clients.spawn(async move {
            for _ in 0..(WORKING + QUEUED) / CLIENTS {
                submit(&engine).await;
            }
        });
    }
    clients.join_all().await;
    let caller = Caller::local();
    let all_work = mesh_agents_tasks::ListTasks {
        state: Some(mesh_agents_core::task::TaskState::Working),
        limit: WORKING + 1,
        ..mesh_agents_tasks::ListTasks::default()
    };
    while engine
        .list(&caller, all_work.clone())
        .await
        .unwrap()
        .tasks
        .len()
        < WORKING as usize
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The process of an engine that is killed writes nothing more, and neither does this one.
    std::mem::forget(engine);
}

async fn submit(engine: &TaskEngine) {
    let submit = Submit {
        agent_id: "a".parse().unwrap(),
        message: Message::text(
            MessageId::from_ulid(Ulid::new()),
            Role::User,
            "Review the change of this branch.",
        ),
        metadata: None,
        context_id: None,
        task_id: None,
        push: None,
        queue_if_offline: false,
        minted: None,
    };
    engine.submit(&Caller::local(), submit).await.unwrap();
}
