//! A node with one agent whose runs do what the test says, and a client that speaks both bindings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use futures::StreamExt as _;
use futures::channel::mpsc as stream;
use http_body_util::BodyExt as _;
use mesh_agents_a2a::card::{AccessTokens, Place};
use mesh_agents_a2a::router::router;
use mesh_agents_a2a::server::A2aServer;
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_agents_core::ids::{QuestionId, RunId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::run::{
    Answer, MeshEndpoints, Outcome, ProcessRef, QuestionKind, Run, RunControl, RunEvent, RunSpec,
    Runner,
};
use mesh_agents_tasks::{Agents, EngineConfig, TaskEngine};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Where the agent of the tests is served.
pub(crate) const AGENT: &str = "/a2a/agents/a";

/// Each look at it is a millisecond later.
#[derive(Debug)]
struct TickingClock(AtomicI64);

impl Clock for TickingClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// One run, in the hands of the test.
pub(crate) struct Started {
    pub(crate) spec: RunSpec,
    pub(crate) events: stream::UnboundedSender<RunEvent>,
    /// What its questions were answered.
    pub(crate) answers: mpsc::UnboundedReceiver<Answer>,
}

impl Started {
    pub(crate) fn say(&self, event: RunEvent) {
        self.events.unbounded_send(event).unwrap();
    }

    /// Asks something of this kind, to be answered with words.
    pub(crate) fn ask(&self, kind: QuestionKind, text: &str) {
        self.say(RunEvent::Question {
            id: QuestionId::from_ulid(ulid::Ulid::new()),
            kind,
            text: text.into(),
            options: Vec::new(),
        });
    }

    /// The next answer to a question.
    pub(crate) async fn told(&mut self) -> Answer {
        let answer = tokio::time::timeout(Duration::from_secs(60), self.answers.recv());
        answer.await.expect("an answer arrives").unwrap()
    }

    /// Leaves the run at work until the test is over; it lives as long as its sender.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }

    pub(crate) fn complete(&self, answer: &str) {
        self.say(RunEvent::Ended(Outcome::Completed {
            answer: answer.into(),
        }));
    }
}

#[derive(Debug)]
struct FakeRunner {
    started: mpsc::UnboundedSender<Started>,
}

struct FakeControl {
    events: stream::UnboundedSender<RunEvent>,
    answers: mpsc::UnboundedSender<Answer>,
}

impl RunControl for FakeControl {
    fn answer(&self, _question: &QuestionId, answer: Answer) {
        // The test may have let go of the run.
        let _gone = self.answers.send(answer);
    }
    fn cancel(&self) {
        // The run may have ended in the same moment.
        let _ended = self
            .events
            .unbounded_send(RunEvent::Ended(Outcome::Canceled));
    }
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Started")
    }
}

impl Runner for FakeRunner {
    fn start(&self, spec: RunSpec) -> Run {
        let (events, heard) = stream::unbounded();
        let (answers, told) = mpsc::unbounded_channel();
        let control = Arc::new(FakeControl {
            events: events.clone(),
            answers,
        });
        // A test that looks at no runs has let go of them.
        let _unwatched = self.started.send(Started {
            spec,
            events,
            answers: told,
        });
        Run {
            events: heard.boxed(),
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

/// A node.
pub(crate) struct Node {
    pub(crate) engine: TaskEngine,
    pub(crate) runs: mpsc::UnboundedReceiver<Started>,
    pub(crate) app: Router,
    pub(crate) end: CancellationToken,
    _dir: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Node {
    pub(crate) async fn start() -> Self {
        let mut agents = [definition("a"), definition("b"), definition("off")];
        for agent in &mut agents {
            agent.runtime.max_pending_tasks = 1_000;
        }
        agents[2].enabled = false;
        Self::with(agents, AccessTokens::None).await
    }

    pub(crate) async fn with(
        agents: impl IntoIterator<Item = AgentDefinition>,
        tokens: AccessTokens,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (started, runs) = mpsc::unbounded_channel();
        let ready: BTreeMap<_, _> = agents
            .into_iter()
            .map(|agent| (agent.id.clone(), Arc::new(agent)))
            .collect();
        let engine = TaskEngine::open(EngineConfig {
            layout: Layout::new(dir.path()),
            clock: Arc::new(TickingClock(AtomicI64::new(1_700_000_000_000))),
            runner: Arc::new(FakeRunner { started }),
            agents: Agents {
                ready: Arc::new(ready),
                broken: Arc::default(),
            },
            mesh: MeshEndpoints::default(),
            tools_url: None,
        });
        let engine = engine.await.unwrap();
        let end = CancellationToken::new();
        let app = router(A2aServer {
            engine: engine.clone(),
            place: Place {
                base: "http://127.0.0.1:3131".into(),
                tokens,
                seal: None,
            },
            end: end.clone(),
        });
        Self {
            engine,
            runs,
            app,
            end,
            _dir: dir,
        }
    }

    /// Sends a request as this caller.
    pub(crate) async fn request_as(&self, caller: &Caller, request: Request<Body>) -> Response {
        let mut request = request;
        request.extensions_mut().insert(caller.clone());
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Answered {
        read(self.request_as(&Caller::local(), request).await).await
    }

    /// A JSON-RPC call.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.call_as(&Caller::local(), method, params).await
    }

    pub(crate) async fn call_as(&self, caller: &Caller, method: &str, params: Value) -> Value {
        let response = self.request_as(caller, rpc(method, &params)).await;
        let answered = read(response).await;
        let answer = answered.json();
        assert_eq!(answer["id"], json!("q"), "{answer}");
        answer
    }

    /// A REST call.
    pub(crate) async fn rest(&self, method: &str, path: &str, body: Option<Value>) -> Answered {
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("{AGENT}{path}"))
            .header("A2A-Version", "1.0")
            .header("content-type", "application/json")
            .body(body);
        self.ask(request.unwrap()).await
    }

    /// Opens a stream by JSON-RPC.
    pub(crate) async fn open(&self, method: &str, params: Value) -> Events {
        let response = self
            .request_as(&Caller::local(), rpc(method, &params))
            .await;
        Events::of(response)
    }

    /// Opens a stream by REST.
    pub(crate) async fn open_rest(&self, method: &str, path: &str, body: Option<Value>) -> Events {
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("{AGENT}{path}"))
            .header("A2A-Version", "1.0")
            .body(body);
        Events::of(self.request_as(&Caller::local(), request.unwrap()).await)
    }

    pub(crate) async fn next_run(&mut self) -> Started {
        let run = tokio::time::timeout(Duration::from_secs(60), self.runs.recv());
        run.await.expect("a run starts").unwrap()
    }
}

pub(crate) fn rpc(method: &str, params: &Value) -> Request<Body> {
    let body = json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params});
    Request::post(AGENT)
        .header("A2A-Version", "1.0")
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// A message of one text part under this key.
pub(crate) fn message(key: &str, text: &str) -> Value {
    json!({"messageId": key, "role": "ROLE_USER", "parts": [{"text": text}]})
}

/// The parameters of a send that does not wait.
pub(crate) fn at_once(key: &str, text: &str) -> Value {
    json!({"message": message(key, text), "configuration": {"returnImmediately": true}})
}

pub(crate) async fn read(response: Response) -> Answered {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answered {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// A stream of events (SSE), read as far as the test reads.
pub(crate) struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The data of the next event; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                match event.strip_prefix("data: ") {
                    Some(data) => return Some(serde_json::from_str(data).unwrap()),
                    None => assert!(event.starts_with(':'), "{event}"),
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(60), self.body.next());
            let chunk = chunk.await.expect("the stream goes on or ends")?;
            self.text
                .push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    /// All that is left.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}
