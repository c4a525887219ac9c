//! A Runner whose runs do what the test says, and an engine around it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use futures::channel::mpsc as stream;
use mesh_agents_core::agent::{AgentDefinition, elsewhere};
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_agents_core::content::{ContentFault, ContentSpec, ContentStream};
use mesh_agents_core::ids::{AgentId, QuestionId, RunId, TaskId};
use mesh_agents_core::layout::{Layout, RunDirs};
use mesh_agents_core::policy::Caller;
use mesh_agents_core::run::{
    Answer, Away, LeftFile, MeshEndpoints, Outcome, ProcessRef, QuestionKind, QuestionOption, Run,
    RunControl, RunEvent, RunSpec, Runner,
};
use mesh_agents_core::task::{Message, Role, Task, TaskState};
use mesh_agents_tasks::{Agents, EngineConfig, Submit, TaskEngine};
use tokio::sync::mpsc;

/// A clock that stands until the test moves it.
#[derive(Debug)]
pub(crate) struct ManualClock(pub(crate) AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// One run, in the hands of the test.
pub(crate) struct Started {
    pub(crate) spec: RunSpec,
    pub(crate) events: stream::UnboundedSender<RunEvent>,
    pub(crate) canceled: Arc<AtomicBool>,
    /// What it was answered, in order.
    pub(crate) answers: mpsc::UnboundedReceiver<(QuestionId, Answer)>,
}

impl Started {
    pub(crate) fn say(&self, event: RunEvent) {
        self.events.unbounded_send(event).unwrap();
    }

    /// As [`Self::say`], where nobody may listen any more.
    pub(crate) fn try_say(&self, event: RunEvent) {
        let _over = self.events.unbounded_send(event);
    }

    /// Asks a question with these options (`id:name:kind`), and returns its id.
    pub(crate) fn ask(&self, kind: QuestionKind, text: &str, options: &[&str]) -> QuestionId {
        let id = QuestionId::from_ulid(ulid::Ulid::new());
        let option = |option: &&str| {
            let mut words = option.split(':').map(str::to_owned);
            let mut word = || words.next().unwrap_or_default();
            QuestionOption {
                id: word(),
                name: word(),
                kind: word(),
            }
        };
        self.say(RunEvent::Question {
            id: id.clone(),
            kind,
            text: text.into(),
            options: options.iter().map(option).collect(),
        });
        id
    }

    /// Opens its session.
    pub(crate) fn open(&self, session: &str, resumable: bool) {
        self.say(RunEvent::Started {
            session_id: session.into(),
            resumable,
        });
    }

    /// The next answer it is told.
    pub(crate) async fn told(&mut self) -> (QuestionId, Answer) {
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv());
        answer.await.expect("an answer arrives").unwrap()
    }

    pub(crate) fn complete(&self, answer: &str) {
        self.say(RunEvent::Ended(Outcome::Completed {
            answer: answer.into(),
        }));
    }
}

/// Hands every run to the test.
pub(crate) struct FakeRunner {
    started: mpsc::UnboundedSender<Started>,
    /// Guards that are said to live.
    pub(crate) alive: Mutex<BTreeSet<u32>>,
    /// Runs whose rest was killed.
    pub(crate) reaped: Mutex<Vec<(RunId, Option<ProcessRef>)>>,
    /// How many processes of such a run do not die.
    pub(crate) undead: AtomicU32,
    /// Whether a cancel ends the run by itself.
    pub(crate) obeys: AtomicBool,
    /// Whether the nodes of agents elsewhere are away.
    pub(crate) away: AtomicBool,
    /// Whether agents nobody offers any more can be followed.
    pub(crate) stands_in: AtomicBool,
    /// Agents of which no content ever comes.
    pub(crate) stalls: Mutex<BTreeSet<AgentId>>,
    /// The contents it was asked for.
    pub(crate) asked: Mutex<Vec<ContentSpec>>,
    /// What it sends of the next ones; nothing, when nothing is left.
    contents: Mutex<VecDeque<Pieces>>,
}

/// What comes of a content.
type Pieces = Vec<Result<Vec<u8>, ContentFault>>;

impl FakeRunner {
    /// Has it send this when it is next asked for a content.
    pub(crate) fn sends(&self, pieces: Pieces) {
        self.contents.lock().unwrap().push_back(pieces);
    }
}

impl fmt::Debug for FakeRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeRunner")
    }
}

struct FakeControl {
    events: stream::UnboundedSender<RunEvent>,
    canceled: Arc<AtomicBool>,
    obeys: bool,
    answers: mpsc::UnboundedSender<(QuestionId, Answer)>,
}

impl RunControl for FakeControl {
    fn answer(&self, question: &QuestionId, answer: Answer) {
        // The test may have let go of the run.
        let _gone = self.answers.send((question.clone(), answer));
    }
    fn cancel(&self) {
        if !self.canceled.swap(true, Ordering::SeqCst) && self.obeys {
            // The run may have ended in the same moment.
            let _ended = self
                .events
                .unbounded_send(RunEvent::Ended(Outcome::Canceled));
        }
    }
}

impl Runner for FakeRunner {
    fn start(&self, spec: RunSpec) -> Run {
        let (events, stream) = stream::unbounded();
        let canceled = Arc::new(AtomicBool::new(false));
        let (answers, told) = mpsc::unbounded_channel();
        let control = Arc::new(FakeControl {
            events: events.clone(),
            canceled: Arc::clone(&canceled),
            obeys: self.obeys.load(Ordering::SeqCst),
            answers,
        });
        self.started
            .send(Started {
                spec,
                events,
                canceled,
                answers: told,
            })
            .unwrap();
        Run {
            events: stream.boxed(),
            control,
        }
    }

    fn alive(&self, process: &ProcessRef) -> bool {
        self.alive.lock().unwrap().contains(&process.pid)
    }

    fn reap(&self, run: &RunId, guard: Option<&ProcessRef>) -> u32 {
        self.reaped
            .lock()
            .unwrap()
            .push((run.clone(), guard.copied()));
        self.undead.load(Ordering::SeqCst)
    }

    fn left(&self, _agent: &AgentDefinition, dirs: &RunDirs) -> Vec<LeftFile> {
        let path = dirs.artifacts().join("findings.json");
        let there = path.is_file().then(|| LeftFile {
            id: "findings.json".parse().unwrap(),
            media_type: "application/json".into(),
            path,
        });
        there.into_iter().collect()
    }

    fn unavailable(&self, _agent: &AgentDefinition) -> Option<String> {
        None
    }

    fn away(&self, _agent: &AgentDefinition) -> Option<Away> {
        self.away.load(Ordering::SeqCst).then(|| Away {
            name: "lab".into(),
            since: Some(UnixMillis(NOON - 60_000)),
            why: "the node lab is away".into(),
        })
    }

    fn stand_in(&self, agent: &AgentId) -> Option<AgentDefinition> {
        let stands_in = self.stands_in.load(Ordering::SeqCst);
        stands_in.then(|| elsewhere::stand_in(agent)).flatten()
    }

    fn content(&self, wanted: ContentSpec) -> ContentStream {
        let stalls = self.stalls.lock().unwrap().contains(&wanted.agent);
        self.asked.lock().unwrap().push(wanted);
        if stalls {
            return futures::stream::pending().boxed();
        }
        let pieces = self.contents.lock().unwrap().pop_front();
        futures::stream::iter(pieces.unwrap_or_default()).boxed()
    }
}

/// What never takes so long: a disk that others write to may hold up a write for seconds.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// When engines open, unless a test says otherwise.
pub(crate) const NOON: i64 = 1_700_000_000_000;

/// An engine that is killed when `work` is done: nothing of it gets another turn.
pub(crate) fn killed<T>(dir: &Path, agents: Agents, work: impl AsyncFnOnce(&mut Bench) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let done = runtime.block_on(async {
        let mut bench = Bench::open(dir, agents).await;
        work(&mut bench).await
    });
    runtime.shutdown_background();
    done
}

/// An engine with a fake runner.
pub(crate) struct Bench {
    pub(crate) engine: TaskEngine,
    pub(crate) runner: Arc<FakeRunner>,
    pub(crate) runs: mpsc::UnboundedReceiver<Started>,
    pub(crate) clock: Arc<ManualClock>,
}

pub(crate) fn agents(definitions: impl IntoIterator<Item = AgentDefinition>) -> Agents {
    let ready: BTreeMap<_, _> = definitions
        .into_iter()
        .map(|d| (d.id.clone(), Arc::new(d)))
        .collect();
    Agents {
        ready: Arc::new(ready),
        broken: Arc::default(),
    }
}

impl Bench {
    pub(crate) async fn open(dir: &Path, agents: Agents) -> Self {
        Self::open_at(dir, agents, NOON).await
    }

    pub(crate) async fn open_at(dir: &Path, agents: Agents, at: i64) -> Self {
        let (started, runs) = mpsc::unbounded_channel();
        let runner = Arc::new(FakeRunner {
            started,
            alive: Mutex::default(),
            reaped: Mutex::default(),
            undead: AtomicU32::new(0),
            obeys: AtomicBool::new(true),
            away: AtomicBool::new(false),
            stands_in: AtomicBool::new(false),
            stalls: Mutex::default(),
            asked: Mutex::default(),
            contents: Mutex::default(),
        });
        let clock = Arc::new(ManualClock(AtomicI64::new(at)));
        let engine = TaskEngine::open(EngineConfig {
            layout: Layout::new(dir),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            runner: Arc::clone(&runner) as Arc<dyn Runner>,
            agents,
            mesh: MeshEndpoints::default(),
            tools_url: Some("http://127.0.0.1:1/mcp".into()),
        })
        .await
        .unwrap();
        Self {
            engine,
            runner,
            runs,
            clock,
        }
    }

    pub(crate) async fn send(&self, agent: &str, text: &str) -> Task {
        self.engine
            .submit(&Caller::local(), submit(agent, text, &unique()))
            .await
            .unwrap()
    }

    pub(crate) async fn next_run(&mut self) -> Started {
        let run = tokio::time::timeout(PATIENCE, self.runs.recv());
        run.await.expect("a run starts").unwrap()
    }

    /// The next run of this task. One of a task that has ended since may be handed over late.
    pub(crate) async fn next_run_of(&mut self, id: &TaskId) -> Started {
        loop {
            let run = self.next_run().await;
            if run.spec.task_id == *id {
                return run;
            }
        }
    }

    /// The kinds of a task's events so far.
    pub(crate) async fn kinds(&self, id: &TaskId) -> Vec<&'static str> {
        let events = self.engine.events(&Caller::local(), id, 0, 1_000).await;
        events.unwrap().iter().map(|one| one.event.kind()).collect()
    }

    /// Waits until so many events of this kind are stored.
    pub(crate) async fn stored(&self, id: &TaskId, kind: &str, count: usize) {
        while self
            .kinds(id)
            .await
            .iter()
            .filter(|one| **one == kind)
            .count()
            < count
        {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn until(&self, id: &TaskId, state: TaskState) -> Task {
        let started = tokio::time::Instant::now();
        loop {
            let task = self.engine.task(&Caller::local(), id).await.unwrap();
            if task.state == state {
                return task;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{id} is {} and should be {state}: {:?}",
                task.state,
                task.failure
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn unique() -> String {
    format!("m-{}", ulid::Ulid::new())
}

pub(crate) fn submit(agent: &str, text: &str, key: &str) -> Submit {
    Submit {
        agent_id: agent.parse().unwrap(),
        message: Message::text(key.parse().unwrap(), Role::User, text),
        metadata: None,
        context_id: None,
        task_id: None,
        push: None,
        queue_if_offline: false,
        minted: None,
    }
}
