//! Requests on `engine.sock`: whatever comes, it is answered with JSON or refused with a reason, and
//! the engine goes on.

use std::sync::{Arc, LazyLock};

use arbitrary::{Result, Unstructured};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::ConnectInfo;
use axum::http::Request;
use mesh_agents_plugin::engine_tools::EngineTools;
use mesh_agents_plugin::mesh_link::{HubConfig, MeshHub};
use mesh_agents_plugin::socket::{
    Engine, EngineControl, MeshReport, PROTOCOL, Peer, Status, router,
};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::super::grammar;
use super::node::Node;

const TOOLS: &[&str] = &[
    "get_agents",
    "get_agent",
    "send_message",
    "get_task",
    "list_tasks",
    "cancel_task",
    "view_text_artifact",
    "view_data_artifact",
    "no_such_tool",
];
const WORDS: &[&str] = &[
    "agent_id",
    "a",
    "message",
    "context_id",
    "ctx-1",
    "task_id",
    "message_id",
    "m-1",
    "wait_seconds",
    "peer_id",
    "metadata",
    "option_id",
    "history_length",
    "state",
    "working",
    "limit",
    "cursor",
    "artifact_id",
    "response",
    "offset",
    "max_chars",
    "pointer",
    "/0/a",
    "query",
    "tags",
    "location",
    "local",
    "task-00000000000000000000000001",
];

struct Idle(Status);
impl EngineControl for Idle {
    fn status(&self) -> Status {
        self.0.clone()
    }
    fn stop(&self, _now: bool) {}
    fn report_mesh(&self, _report: MeshReport) {}
}

/// One engine for all inputs: what one leaves must not trouble the next.
static SOCKET: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let node = runtime.block_on(Node::open());
    let status = Status {
        version: "0".into(),
        protocol: PROTOCOL,
        pid: 0,
        base_url: String::new(),
        data_dir: "/d".into(),
        agents_dir: "/a".into(),
        running: 0,
        queued: 0,
        frontends: 0,
        stopping: false,
    };
    let hub = HubConfig {
        dir: tempfile::tempdir().unwrap().keep(),
        in_a_run: Arc::new(|_| true),
        clock: node.clock.clone(),
        tasks: TaskTracker::new(),
        end: CancellationToken::new(),
    };
    let engine = Engine {
        mesh: MeshHub::new(hub).unwrap(),
        node: None,
        tools: Arc::new(EngineTools {
            engine: node.engine.clone(),
            problems: Arc::new(Vec::new),
            place: mesh_agents_a2a::card::Place {
                base: "http://127.0.0.1:1".into(),
                tokens: mesh_agents_a2a::card::AccessTokens::None,
                seal: None,
            },
            clock: node.clock.clone(),
            mesh: None,
        }),
        tasks: node.engine,
        control: Arc::new(Idle(status)),
        frontends: watch::Sender::new(0),
        stop: CancellationToken::new(),
    };
    (runtime, router(engine))
});

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(Some(request)) = input(&mut u) else {
        return;
    };
    let (runtime, router) = &*SOCKET;
    runtime.block_on(async {
        let told = format!("{request:?}");
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(!status.is_server_error(), "{status} {told}");
        assert_ne!(status.as_u16(), 403, "{told}");
        if status.as_u16() == 200 {
            let _: serde_json::Value = serde_json::from_slice(&body).expect("an answer is JSON");
        }
        if status.as_u16() == 422 && told.contains("/tools/") {
            let refusal: serde_json::Value =
                serde_json::from_slice(&body).expect("a refusal is JSON");
            assert!(!refusal["message"].as_str().unwrap().is_empty(), "{told}");
            assert_ne!(refusal["code"], "internal", "{told}: {refusal}");
        }
    });
}

fn input(u: &mut Unstructured<'_>) -> Result<Option<Request<Body>>> {
    let tool = u.choose(TOOLS)?;
    let (method, path, body) = match u.int_in_range(0..=11)? {
        10 => ("GET", "/engine/v1/mesh/peers".to_owned(), String::new()),
        11 => (
            "POST",
            "/engine/v1/mesh/link".to_owned(),
            grammar::text(u, WORDS)?,
        ),
        0 => (
            "POST",
            "/engine/v1/mesh".to_owned(),
            grammar::json(u, &["api_url", "openai_url", "http://x"])?,
        ),
        1 => (
            "POST",
            "/engine/v1/stop".to_owned(),
            grammar::json(u, &["now"])?,
        ),
        2 => {
            let task = grammar::text(u, WORDS)?;
            (
                "GET",
                format!(
                    "/engine/v1/tasks/{task}/artifact?id={}",
                    grammar::text(u, WORDS)?
                ),
                String::new(),
            )
        }
        3 => {
            let task = grammar::text(u, WORDS)?;
            (
                "GET",
                format!(
                    "/engine/v1/tasks/{task}/events?after={}",
                    grammar::text(u, WORDS)?
                ),
                String::new(),
            )
        }
        _ => (
            "POST",
            format!("/engine/v1/tools/{tool}"),
            grammar::json(u, WORDS)?,
        ),
    };
    let surface = *u.choose(&["cli", "stdio", "host", "", "x"])?;
    // Waiting is not what is looked for here.
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-agents-surface", surface)
        .header("x-agents-wait-ms", "0")
        .header("content-type", "application/json")
        // Without it every request is refused as a run's before anything of it is read.
        .extension(ConnectInfo(Peer::OUTSIDE_OF_RUNS))
        .body(Body::from(body));
    // A path that is no path never gets past an HTTP parser.
    Ok(request.ok())
}
