//! Nodes on a mesh inside one process: real engines, real A2A, real handshakes, no host.

mod artifacts;
mod attacks;
mod calls;
mod contact;
mod disk;
mod grants;
mod hints;
mod knocks;
mod peers;
mod questions;
mod served;
mod tools;

use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use mesh_agents_a2a::card::{AccessTokens, Place as Served};
use mesh_agents_a2a::remote::{RemoteRunner, RemoteTimeouts};
use mesh_agents_a2a::server::A2aServer;
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::agent::{AgentDefinition, Filesystem, Network, RuntimeKind};
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::content::{ContentSpec, ContentStream};
use mesh_agents_core::ids::{ArtifactId, MessageId, QuestionId, RunId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::layout::Layout;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::refusal::Refusal;
use mesh_agents_core::run::{
    Answer, ArtifactSource, MeshEndpoints, Outcome, ProcessRef, Run, RunControl, RunEvent, RunSpec,
    Runner,
};
use mesh_agents_core::task::{Failure, Message, Role, Task, TaskState};
use mesh_agents_mesh::{MeshPeerId, Why};
use mesh_agents_tasks::{EngineConfig, FactKind, Submit};
use serde_json::{Value, json};
use tempfile::TempDir;
use ulid::Ulid;

use super::*;
use crate::backend::{CallMeta, Surface, ToolBackend as _};
use crate::engine_tools::EngineTools;
use crate::mesh_link::memory::MemoryMesh;

/// What is an owner's and no other node's.
const CANARY: &str = "canary-77e1";

/// What `leave` leaves, written as no program of ours writes it.
const FINDINGS: &str = "{ \"n\" : 1.0e2,\n  \"findings\" : [ ] }\n";

/// Says `echo: ` and the prompt; `hang` waits to be cancelled, `fail` fails with the owner's words.
#[derive(Debug)]
struct Echo;

struct Cancel(CancellationToken);

impl RunControl for Cancel {
    fn answer(&self, _question: &QuestionId, _answer: Answer) {}
    fn cancel(&self) {
        self.0.cancel();
    }
}

impl Runner for Echo {
    fn start(&self, spec: RunSpec) -> Run {
        if spec.prompt.starts_with("ask") {
            return questions::asking(&spec);
        }
        let cancel = CancellationToken::new();
        let answer = format!("echo: {}", spec.prompt);
        let mut said = vec![RunEvent::Text(answer.clone())];
        if spec.prompt.starts_with("leave") {
            said.push(RunEvent::Artifact {
                id: "findings.json".parse().unwrap(),
                media_type: "application/json".into(),
                source: ArtifactSource::Text(FINDINGS.into()),
                complete: true,
            });
        }
        said.extend(artifacts::left(&spec.prompt));
        let said = futures::stream::iter(said);
        let end = {
            let cancel = cancel.clone();
            async move {
                if spec.prompt.contains("hang") {
                    cancel.cancelled().await;
                    return RunEvent::Ended(Outcome::Canceled);
                }
                if spec.prompt.contains("fail") {
                    let words = format!("/opt/{CANARY} could not be executed");
                    let mut failure = Failure::new("harness_not_found", words);
                    failure.stderr_tail = Some(format!("TOKEN={CANARY}"));
                    return RunEvent::Ended(Outcome::Failed(failure));
                }
                RunEvent::Ended(Outcome::Completed { answer })
            }
        };
        Run {
            events: said.chain(futures::stream::once(end)).boxed(),
            control: Arc::new(Cancel(cancel)),
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

/// Agents of this node are echoes, those of others are called.
#[derive(Debug)]
struct Both {
    there: RemoteRunner,
    /// What the runs of this node's agents were given to call others with.
    tokens: Tokens,
}

/// Bearer tokens of runs, in the order of their starts.
type Tokens = Arc<Mutex<Vec<String>>>;

impl Runner for Both {
    fn start(&self, spec: RunSpec) -> Run {
        if spec.agent.runtime.kind == RuntimeKind::Remote {
            self.there.start(spec)
        } else {
            let given = spec.tools.iter().map(|tools| tools.token.clone());
            self.tokens.lock().unwrap().extend(given);
            Echo.start(spec)
        }
    }

    fn alive(&self, _process: &ProcessRef) -> bool {
        false
    }

    fn reap(&self, _run: &RunId, _guard: Option<&ProcessRef>) -> u32 {
        0
    }

    fn unavailable(&self, agent: &AgentDefinition) -> Option<String> {
        self.there
            .unavailable(agent)
            .filter(|_| !agent.id.is_local())
    }

    fn away(&self, agent: &AgentDefinition) -> Option<Away> {
        self.there.away(agent)
    }

    fn content(&self, wanted: ContentSpec) -> ContentStream {
        self.there.content(wanted)
    }
}

#[derive(Debug)]
struct Wall;

impl Clock for Wall {
    fn now(&self) -> UnixMillis {
        // It stands still: what waits here waits by the steady clock.
        UnixMillis(1_790_000_000_000)
    }
}

/// The node with key `number`, which its host calls `id` and whose list is the file `acl`.
fn config(mesh: &MemoryMesh, number: u8, id: &MeshPeerId, acl: PathBuf) -> MeshNodeConfig {
    MeshNodeConfig {
        link: Arc::new(mesh.join(id)),
        secret: NodeSecret::from_seed(&[number; 32]),
        // Some have one name: it is no more than a label.
        name: format!("node {}", number % 10),
        acl,
        machine: PlatformConfinement::default(),
        clock: Arc::new(Wall),
        random: Arc::new(|| {
            let mut bytes = [0; 32];
            bytes[..16].copy_from_slice(&Ulid::new().to_bytes());
            Ok(bytes)
        }),
        tasks: TaskTracker::new(),
        end: CancellationToken::new(),
    }
}

fn peer_id(number: u8) -> MeshPeerId {
    format!("{number:064x}").parse().unwrap()
}

struct Peer {
    node: MeshNode,
    engine: TaskEngine,
    id: MeshPeerId,
    dir: TempDir,
    tokens: Tokens,
    /// What other nodes ask this one, and what is done to its answers.
    tap: Arc<artifacts::Tap>,
}

impl Peer {
    async fn join(mesh: &MemoryMesh, number: u8, agents: Vec<AgentDefinition>) -> Self {
        let id = peer_id(number);
        Self::join_as(mesh, number, id, agents, tempfile::tempdir().unwrap()).await
    }

    /// The node `number`, which its host calls `id` and that keeps what it knows in `dir`.
    async fn join_as(
        mesh: &MemoryMesh,
        number: u8,
        id: MeshPeerId,
        agents: Vec<AgentDefinition>,
        dir: TempDir,
    ) -> Self {
        let list = dir.path().join("acl.toml");
        let node = MeshNode::new(config(mesh, number, &id, list)).unwrap();
        let timeouts = RemoteTimeouts {
            retry_first: Duration::from_millis(20),
            retry_most: Duration::from_millis(100),
            silent: Duration::from_secs(1),
            ..RemoteTimeouts::default()
        };
        let there = RemoteRunner::new(Arc::new(|_| None), timeouts, Some(Arc::new(node.clone())));
        let ready = agents
            .into_iter()
            .map(|one| (one.id.clone(), Arc::new(one)));
        let agents = Agents {
            ready: Arc::new(ready.collect()),
            broken: Arc::default(),
        };
        node.set_local(agents.clone());
        let tokens = Tokens::default();
        let runner = Both {
            there,
            tokens: Arc::clone(&tokens),
        };
        let engine = TaskEngine::open(EngineConfig {
            layout: Layout::new(dir.path()),
            clock: Arc::new(Wall),
            runner: Arc::new(runner),
            agents,
            mesh: MeshEndpoints::default(),
            tools_url: Some("http://127.0.0.1:1/mcp".to_owned()),
        });
        let engine = engine.await.unwrap();
        let server = A2aServer {
            engine: engine.clone(),
            place: place("http://127.0.0.1:1"),
            end: CancellationToken::new(),
        };
        let tap = Arc::<artifacts::Tap>::default();
        let router = artifacts::tapped(mesh_agents_a2a::router::router(server), &tap);
        node.start(engine.clone(), router).await;
        Self {
            node,
            engine,
            id,
            dir,
            tokens,
            tap,
        }
    }

    /// The tools of this node, as its surfaces have them.
    fn tools(&self) -> EngineTools {
        EngineTools {
            engine: self.engine.clone(),
            problems: Arc::new(Vec::new),
            place: place("http://127.0.0.1:1"),
            clock: Arc::new(Wall),
            mesh: Some(self.node.clone()),
        }
    }

    /// Calls a tool as `caller`.
    async fn call(&self, caller: Caller, tool: &str, args: Value) -> Result<Value, Refusal> {
        let meta = CallMeta {
            caller,
            ..CallMeta::local(Surface::Http)
        };
        let args = JsonText::of(&args).unwrap();
        let result = self.tools().call(meta, tool, args).await?;
        Ok(result.read().unwrap())
    }

    /// Lets a key call, and waits until that counts.
    async fn allow(&self, key: NodeKey, agent: &str) {
        let list = format!("[peers.\"{key}\"]\nallow = [\"{agent}\"]\n");
        write_list(self.dir.path(), &list);
        until(async || self.node.state().acl.acl().peer(&key).is_some()).await;
    }

    /// Waits until this node knows the agent of that name on `owner`.
    async fn sees(&self, name: &str, owner: &Self) -> AgentId {
        let name: AgentId = name.parse().unwrap();
        let id = AgentId::on_node(&name, &owner.node.key().to_string()).unwrap();
        until(async || self.engine.agents().contains_key(&id)).await;
        id
    }

    async fn send(&self, agent: &AgentId, text: &str) -> Task {
        let submit = Submit {
            agent_id: agent.clone(),
            message: Message::text(MessageId::from_ulid(Ulid::new()), Role::User, text),
            metadata: None,
            context_id: None,
            task_id: None,
            push: None,
            queue_if_offline: false,
            minted: None,
        };
        self.engine.submit(&Caller::local(), submit).await.unwrap()
    }

    async fn ended(&self, task: &Task) -> Task {
        let limit = Duration::from_secs(60);
        let task = self.engine.wait(&Caller::local(), &task.id, limit).await;
        task.unwrap()
    }

    /// Leaves; what it knew stays in its directory.
    async fn leave(self, mesh: &MemoryMesh) -> TempDir {
        mesh.leave(&self.id);
        self.stop().await
    }

    /// Its engine ends; its host stays.
    async fn stop(self) -> TempDir {
        self.node.0.config.end.cancel();
        self.engine.shutdown(true).await;
        self.node.0.config.tasks.close();
        self.node.0.config.tasks.wait().await;
        self.dir
    }
}

fn place(base: &str) -> Served {
    Served {
        base: base.to_owned(),
        tokens: AccessTokens::None,
        seal: None,
    }
}

fn write_list(dir: &Path, text: &str) {
    let new = dir.join("acl.new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, dir.join("acl.toml")).unwrap();
}

fn offered(id: &str) -> AgentDefinition {
    let mut agent = definition(id);
    agent.policy.advertise_on_mesh = true;
    agent.policy.filesystem = Filesystem::Workspace;
    agent.policy.network = Network::Loopback;
    agent.card.json = JsonText::parse(
        r#"{"name":"Echo","description":"Says it again","version":"1.0.0","capabilities":{"streaming":true},
            "supportedInterfaces":[],"defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"],
            "skills":[{"id":"echo","name":"Echo","description":"Says it again","tags":["echo"]}]}"#,
    )
    .unwrap();
    agent
}

/// Waits until it holds, for a minute at the most.
#[track_caller]
fn until(mut condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let met = async move {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(60, "the condition", met)
}

/// Waits for so many seconds at the most, and says what for and where.
#[track_caller]
fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let waited = tokio::time::timeout(Duration::from_secs(seconds), future).await;
        waited.unwrap_or_else(|_| panic!("{place}: not within {seconds} s: {what}"))
    }
}
